//! Sizes that are changed while the store is in use: what was promised of memory holds for the new size.

use oxifaster::ErrorKind;
use oxifaster::device::{FaultyDisk, MemoryDisk, NullDisk};
use oxifaster::index::GrowthRefusal;
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn config(pages: u64) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_table_size(1 << 12)
        .with_page_size_bits(16)
        .with_log_memory_size(pages << 16)
        .with_pretouch(false)
}

/// Bytes of anonymous memory that this process has in use.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// The process really has less memory, stays there however much is written, and has it again when it may.
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_has_less_memory_takes_less_from_the_system() {
    use oxifaster::device::FileSystemDisk;
    const LARGE: u64 = 128 << 20;
    const SMALL: u64 = 16 << 20;
    const SLACK: u64 = 8 << 20;
    const KEYS: u64 = 1_500_000;
    if !super::alone::alone("resize::a_log_that_has_less_memory_takes_less_from_the_system", &[]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let config = FasterKvConfig::default().with_table_size(1 << 18).with_page_size_bits(20).with_log_memory_size(LARGE);
    let store = FasterKv::<u64, [u64; 12], _>::open(config, FileSystemDisk::open(place.path()).unwrap()).unwrap();
    let mut session = store.start_session();
    for key in 0..KEYS {
        session.upsert(key, [key; 12]).unwrap();
    }
    let (full, budget) = (resident(), store.stats().memory);
    assert!(store.memory_stats().log.resident.unwrap() > LARGE - (4 << 20));

    store.set_log_memory(SMALL).unwrap();
    let small = resident();
    assert!(small + (LARGE - SMALL) < full + SLACK, "{full} bytes before, {small} after");
    let log = store.memory_stats().log;
    assert_eq!((log.bytes, store.log_memory()), (SMALL, SMALL));
    assert!(log.resident.unwrap() <= SMALL, "{log:?}");
    let of = |memory: &[(&'static str, usize)]| memory.iter().find(|(name, _)| *name == "log").unwrap().1 as u64;
    assert_eq!(of(&store.stats().memory) + LARGE - SMALL, of(&budget), "the budget has it back");

    // Several times around the ring, which is as large as it was.
    let mut most = 0;
    for key in 0..2 * KEYS {
        session.upsert(key % KEYS, [key; 12]).unwrap();
        if key % 50_000 == 0 {
            most = most.max(resident());
        }
    }
    assert!(most < small + SLACK, "{small} bytes after, then {most}");
    assert!(store.memory_stats().log.resident.unwrap() <= SMALL);
    for key in (0..KEYS).step_by(997) {
        assert_eq!(session.read(&key).unwrap(), Some([KEYS + key; 12]), "key {key}");
    }

    store.set_log_memory(LARGE).unwrap();
    for key in 0..KEYS {
        session.upsert(key, [key; 12]).unwrap();
    }
    assert!(store.memory_stats().log.resident.unwrap() > LARGE - (4 << 20), "{:?}", store.memory_stats().log);
    assert_eq!(of(&store.stats().memory), of(&budget));
    for key in (0..KEYS).step_by(997) {
        assert_eq!(session.read(&key).unwrap(), Some([key; 12]), "key {key}");
    }
}

/// Writers count, readers look, while memory and the mutable part become smaller and larger all the time.
#[test]
fn nothing_is_lost_while_sizes_change_under_writers_and_readers() {
    const KEYS: u64 = 20_000;
    const ROUNDS: u64 = 12;
    let store = FasterKv::<u64, u64, _>::open(config(32), MemoryDisk::new()).unwrap();
    let (over, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    let mut session = store.start_session();
                    for _ in 0..ROUNDS {
                        for key in (writer..KEYS).step_by(2) {
                            session
                                .rmw(key, |value| {
                                    *value += 1;
                                    true
                                })
                                .unwrap();
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut session = store.start_session();
            let mut seen = vec![0; KEYS as usize];
            while !over.load(Ordering::Relaxed) {
                for key in (0..KEYS).step_by(7) {
                    let value = session.read(&key).unwrap().unwrap_or(0);
                    assert!(value >= seen[key as usize], "key {key} went back to {value}");
                    seen[key as usize] = value;
                }
            }
        });
        let sizes = scope.spawn(|| {
            let mut step = 0u64;
            while !over.load(Ordering::Relaxed) {
                step += 1;
                store.set_log_memory((4 + step * 11 % 29) << 16).unwrap();
                store.set_mutable_fraction((step % 11) as f64 / 10.0).unwrap();
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let outcomes: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        sizes.join().unwrap();
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    assert!(changes.into_inner() > 3);
    let mut session = store.start_session();
    for key in 0..KEYS {
        assert_eq!(session.read(&key).unwrap(), Some(ROUNDS), "key {key}");
    }
}

#[test]
fn what_the_log_gives_up_the_index_may_have() {
    let budget = 4 << 20;
    let config = FasterKvConfig::default().with_memory_budget(budget).with_page_size_bits(14).with_table_size(1 << 12);
    let store = FasterKv::<u64, u64, _>::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    for key in 0..100_000 {
        session.upsert(key, key).unwrap();
    }
    let grow_as_far_as_it_goes = || loop {
        let buckets = store.index_stats().buckets;
        if let Err(error) = store.grow_index(2 * buckets) {
            assert_eq!(error.field("reason"), Some(GrowthRefusal::Budget.reason()));
            return buckets;
        }
    };
    let before = grow_as_far_as_it_goes();
    store.set_log_memory(1 << 20).unwrap();
    assert!(grow_as_far_as_it_goes() > before);
    let error = store.set_log_memory(3 << 20).unwrap_err();
    assert_eq!(
        (error.kind(), store.log_memory()),
        (ErrorKind::Limit, 1 << 20),
        "the budget has given it away: {error}"
    );
    assert!((0..100_000).all(|key| session.read(&key).unwrap() == Some(key)));
}

#[test]
fn what_is_updated_in_place_follows_the_share() {
    let store = FasterKv::<u64, u64, _>::open(config(32), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    for key in 0..60_000 {
        session.upsert(key, key).unwrap();
    }
    let open = |store: &FasterKv<u64, u64, _>| {
        let at = store.addresses();
        (at.tail.get() - at.read_only.get()) >> 16
    };
    let before = open(&store);
    assert!(before > 15, "{before}");
    store.set_mutable_fraction(0.25).unwrap();
    assert!(open(&store) <= 8, "{:?}", store.addresses());
    let tail = store.addresses().tail;
    session.upsert(59_999, 1).unwrap();
    assert_eq!(store.addresses().tail, tail, "the newest is still open");
    session.upsert(10_000, 1).unwrap();
    assert!(store.addresses().tail > tail, "an older one is not any more");
    store.set_mutable_fraction(0.5).unwrap();
    for key in 100_000..150_000 {
        session.upsert(key, key).unwrap();
    }
    assert!(open(&store) > 12, "{:?}", store.addresses());
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert_eq!(store.set_mutable_fraction(wrong).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn sizes_that_make_no_sense_and_devices_that_cannot_are_refused() {
    let store = FasterKv::<u64, u64, _>::open(config(32), MemoryDisk::new()).unwrap();
    for wrong in [0, 3 << 16, 33 << 16, u64::MAX] {
        let error = store.set_log_memory(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{wrong}: {error}");
    }
    assert_eq!(store.log_memory(), 32 << 16);
    let store = FasterKv::<u64, u64, _>::open(config(32), NullDisk::new()).unwrap();
    assert_eq!(store.set_log_memory(8 << 16).unwrap_err().kind(), ErrorKind::Limit);
    store.set_mutable_fraction(0.1).unwrap();
}

/// The call that finds the device broken says so; when it is mended, the same call ends what was begun.
#[test]
fn a_device_that_fails_meanwhile_costs_nothing_but_time() {
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let store = FasterKv::open(config(32).with_wait_limit(Duration::from_secs(5)), disk).unwrap();
    let mut session = store.start_session();
    for key in 0..60_000u64 {
        session.upsert(key, key).unwrap();
    }
    plan.break_writes();
    let error = store.set_log_memory(4 << 16).unwrap_err();
    assert!([ErrorKind::DeviceFailed, ErrorKind::Busy].contains(&error.kind()), "{error}");
    plan.repair();
    store.set_log_memory(4 << 16).unwrap();
    assert_eq!(store.log_memory(), 4 << 16);
    let at = store.addresses();
    assert!(at.tail.get() - at.head.get() <= 4 << 16, "{at:?}");
    assert!((0..60_000).all(|key| session.read(&key).unwrap() == Some(key)));
}
