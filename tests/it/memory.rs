//! A store takes the memory it was given, however much data there is and whoever reads it.

use oxifaster::ErrorKind;
use oxifaster::device::{FileSystemDisk, MemoryDisk};
use oxifaster::status::Status;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use std::process::Command;

/// What the process may need beside the store: threads of the device, sessions, what the allocator keeps.
const BESIDES: usize = 4 << 20;

/// Bytes of memory that this process has in use, the pages of its executable not counted: how many of those are there
/// depends on how large the tests are.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    of("RssAnon:") + of("RssShmem:")
}

/// Fills a store with `times` its budget, reads all of it from many sessions, and returns how much memory that took at
/// most.
fn measure<const WORDS: usize>(budget: usize, times: usize, mutable_fraction: f64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let before = resident();
    let mut most = 0;
    let config = FasterKvConfig::default().with_memory_budget(budget as u64).with_mutable_fraction(mutable_fraction);
    let store = FasterKv::open(config, FileSystemDisk::open(dir.path().join("log")).unwrap()).unwrap();
    let keys = (budget * times / (WORDS * 8 + 24)) as u64;
    let mut session = store.start_session();
    for key in 0..keys {
        session.upsert(key, [key; WORDS]).unwrap();
        if key % 10_000 == 0 {
            most = most.max(resident());
        }
    }
    let mut sessions: Vec<_> = (0..100).map(|_| store.start_session()).collect();
    for round in 0..20u64 {
        for (at, session) in sessions.iter_mut().enumerate() {
            for step in 0..4 {
                session.begin_read(&((round * 7919 + at as u64 * 104_729 + step * 1_299_709) % keys)).unwrap();
            }
        }
        most = most.max(resident());
        for session in &mut sessions {
            while session.pending() > 0 {
                drop(session.complete_pending(true).unwrap());
            }
        }
    }
    // A crowd of futures has as many buffers as there may be accesses under way, not one each.
    let mut futures = store.start_async_session();
    let mut reads: Vec<_> = (0..400u64).map(|step| futures.read(&(step * 1_299_709 % keys))).collect();
    for read in &mut reads {
        drop(super::async_session::poll_once(read));
    }
    most = most.max(resident());
    drop(reads);
    for key in (0..keys).step_by(keys as usize / 200) {
        assert_eq!(session.read(&key).unwrap(), Some([key; WORDS]));
    }
    assert!(store.stats().read_misses > 1_000);
    most.max(resident()) - before
}

/// In a process of its own, since the other tests of this one take memory too.
#[cfg(target_os = "linux")]
#[test]
fn memory_in_use_stays_within_the_budget() {
    const CASE: &str = "OXIFASTER_TEST_MEMORY_CASE";
    // Budget, how many times as much data, words of a value, mutable fraction.
    const CASES: [(usize, usize, usize, f64); 5] = [
        (1 << 20, 10, 2, 0.0),
        (1 << 20, 10, 120, 1.0),
        (4 << 20, 10, 120, 0.5),
        (16 << 20, 4, 2, 1.0),
        (64 << 20, 2, 120, 0.9),
    ];
    if let Ok(case) = std::env::var(CASE) {
        let (budget, times, words, mutable_fraction) = CASES[case.parse::<usize>().unwrap()];
        let measure = if words == 2 { measure::<2> } else { measure::<120> };
        let taken = measure(budget, times, mutable_fraction);
        println!("{taken} of {budget}");
        assert!(taken <= budget + BESIDES, "it took {taken} bytes of {budget}");
        return;
    }
    for case in 0..CASES.len() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["memory::memory_in_use_stays_within_the_budget", "--exact", "--nocapture"]);
        let output = child.env(CASE, case.to_string()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains(" of "), "case {case}: {told}");
    }
}

#[test]
fn what_is_held_is_within_the_budget_and_named() {
    for budget in [1 << 20, 5_000_000, 64 << 20] {
        let config = FasterKvConfig::default().with_memory_budget(budget);
        let store = FasterKv::<u64, u64, _>::open(config, oxifaster::device::MemoryDisk::new()).unwrap();
        let stats = store.stats();
        let held: usize = stats.memory.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(stats.memory_budget as u64, budget);
        assert!(held as u64 <= budget && held as u64 > budget / 2, "{:?}", stats.memory);
        assert_eq!(
            stats.memory.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["index", "log", "read buffers", "checkpoint buffer", "compaction"]
        );
    }
}

#[test]
fn a_session_whose_outcomes_nobody_fetches_says_so() {
    let store = FasterKv::open(FasterKvConfig::default().with_memory_budget(1 << 20), MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    session.upsert(7u64, 8u64).unwrap();
    store.evict().unwrap();
    let error = loop {
        match session.begin_read(&7) {
            Ok(begun) => assert_eq!(begun.status(), Status::Pending),
            Err(error) => break error,
        }
    };
    let pending = session.pending();
    let most = Session::<u64, u64>::OUTCOMES_MAX + 64;
    assert!(error.kind() == ErrorKind::Limit && pending <= most, "{error}: {pending}");
    assert_eq!(session.read(&7).unwrap(), Some(8), "calls that leave no outcome go on");
    let mut fetched = 0;
    while session.pending() > 0 {
        fetched += session.complete_pending(true).unwrap().len();
    }
    assert_eq!(fetched, pending);
    assert_eq!(session.begin_read(&7).unwrap().status(), Status::Pending);
}
