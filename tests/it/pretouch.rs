//! Memory is taken at opening or as it is used, as one likes, and a store can say how much of it is there.
#![cfg(target_os = "linux")]

use super::alone::alone;
use oxifaster::ErrorKind;
use oxifaster::device::MemoryDisk;
use oxifaster::stats::MemoryStats;
use oxifaster::store::{FasterKv, FasterKvConfig};

const LOG: u64 = 64 << 20;
/// A table of 8 MiB and an eighth of that for overflow.
const INDEX: u64 = 9 << 20;

type Store = FasterKv<u64, u64, MemoryDisk>;

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_log_memory_size(LOG).with_page_size_bits(20).with_table_size(1 << 17)
}

fn open(config: FasterKvConfig) -> Store {
    FasterKv::open(config, MemoryDisk::new()).unwrap()
}

fn check_sizes(stats: MemoryStats) {
    assert_eq!((stats.index.bytes, stats.log.bytes), (INDEX, LOG));
    for area in [stats.index, stats.log] {
        let (resident, huge) = (area.resident.unwrap(), area.huge.unwrap());
        assert!(huge <= resident && resident <= area.bytes, "{stats:?}");
    }
}

#[test]
fn memory_is_there_right_after_opening() {
    let stats = open(config()).memory_stats();
    check_sizes(stats);
    assert_eq!((stats.index.resident, stats.log.resident), (Some(INDEX), Some(LOG)));
}

#[test]
fn memory_comes_as_it_is_used_if_one_says_so() {
    let store = open(config().with_pretouch(false));
    let before = store.memory_stats();
    check_sizes(before);
    // A session may bring a huge page of each area.
    let [index, log] = [before.index, before.log].map(|area| area.resident.unwrap());
    assert!(index + log <= 4 << 20, "{before:?}");
    let mut session = store.start_session();
    (0..500_000).for_each(|key| session.upsert(key, key).unwrap());
    let after = store.memory_stats();
    check_sizes(after);
    assert!(after.log.resident.unwrap() >= 500_000 * 24, "{after:?}");
    assert!(after.index.resident.unwrap() >= INDEX / 9 * 8, "keys are spread over all of the table: {after:?}");
}

#[test]
fn memory_lies_on_huge_pages_where_there_are_any() {
    let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if !enabled.contains("[always]") && !enabled.contains("[madvise]") {
        println!("skipped: this system gives no huge pages ({:?})", enabled.trim());
        return;
    }
    let stats = open(config()).memory_stats();
    check_sizes(stats);
    assert!(stats.index.huge > Some(0) && stats.log.huge > Some(0), "{stats:?}");
}

/// What the kernel says when it is asked to give memory at once.
mod told {
    use super::*;
    use std::collections::BTreeMap;

    /// Has `madvise(.., MADV_POPULATE_WRITE)` of this process answer `errno`.
    fn have_populating_answer(errno: i32) {
        use seccompiler::{
            SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        };
        let advice = libc::MADV_POPULATE_WRITE as u64;
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, advice).unwrap();
        let rules = BTreeMap::from([(libc::SYS_madvise, vec![SeccompRule::new(vec![condition]).unwrap()])]);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let answer = SeccompAction::Errno(errno as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap();
        let program: seccompiler::BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
    }

    #[test]
    fn a_refusal_is_an_error() {
        if !alone("pretouch::told::a_refusal_is_an_error", &[]) {
            return;
        }
        have_populating_answer(libc::ENOMEM);
        let error = FasterKv::<u64, u64, _>::open(config(), MemoryDisk::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("memory budget"), "it says what to do: {error}");
        let mut session = open(config().with_pretouch(false)).start_session();
        session.upsert(1, 2).unwrap();
        assert_eq!(session.read(&1).unwrap(), Some(2));
    }

    #[test]
    fn a_kernel_that_does_not_know_the_call_gives_memory_all_the_same() {
        if !alone("pretouch::told::a_kernel_that_does_not_know_the_call_gives_memory_all_the_same", &[]) {
            return;
        }
        have_populating_answer(libc::EINVAL);
        let stats = open(config()).memory_stats();
        check_sizes(stats);
        assert_eq!((stats.index.resident, stats.log.resident), (Some(INDEX), Some(LOG)));
    }
}
