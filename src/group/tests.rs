use super::{GroupCommit, Policy, Tenant};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A number that grows; commits fail from one on.
struct Log {
    tail: AtomicU64,
    commits: AtomicU64,
    fails_at: u64,
}

impl Tenant for Log {
    type Report = u64;

    fn commit(&self) -> Result<(Address, u64)> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        if number >= self.fails_at {
            return Err(Error::new(ErrorKind::DeviceFailed, "as planned").with("number", number));
        }
        Ok((self.tail()?, number))
    }

    fn tail(&self) -> Result<Address> {
        Ok(Address::new(self.tail.load(Ordering::SeqCst)))
    }
}

fn log(fails_at: u64) -> Log {
    Log { tail: AtomicU64::new(8), commits: AtomicU64::new(0), fails_at }
}

fn group(policy: Option<Policy>) -> GroupCommit<u64> {
    GroupCommit::new(policy, Duration::from_secs(20), Address::new(8), u64::MAX)
}

fn append(log: &Log, group: &GroupCommit<u64>) -> Address {
    let address = Address::new(log.tail.fetch_add(1, Ordering::SeqCst));
    group.note_growth(address);
    address
}

#[test]
fn nothing_is_committed_that_is_durable_unless_something_else_has_changed() {
    let (log, group) = (log(u64::MAX), group(None));
    assert_eq!(group.commit(&log).unwrap(), u64::MAX, "there was nothing");
    append(&log, &group);
    assert_eq!((group.commit(&log).unwrap(), group.commit(&log).unwrap()), (0, 0));
    group.note_change();
    assert_eq!((group.commit(&log).unwrap(), group.commit(&log).unwrap()), (1, 1));
    assert_eq!(group.commit_by(&log, || log.commit()).unwrap(), 2);
    assert_eq!(group.last(), 2);
}

#[test]
fn the_first_failure_is_the_last_commit_and_everybody_is_told_the_same() {
    let (log, group) = (log(1), group(None));
    let first = append(&log, &group);
    group.wait(&log, first).unwrap();
    let second = append(&log, &group);
    for _ in 0..2 {
        let failures =
            [group.wait(&log, second).unwrap_err(), group.commit(&log).unwrap_err(), group.check().unwrap_err()];
        assert!(failures.iter().all(|failure| failure.field("number") == Some("1")), "{failures:?}");
    }
    assert_eq!(log.commits.load(Ordering::SeqCst), 2, "no commit is tried again");
    group.wait(&log, first).unwrap();
}

#[test]
fn who_waits_for_company_waits_until_enough_have_come_or_the_interval_is_over() {
    const WAITERS: u64 = 4;
    let policy = |interval| Some(Policy { interval, bytes: u64::MAX, waiters: WAITERS as usize });
    let (log, group) = (log(u64::MAX), group(policy(Duration::from_secs(3600))));
    std::thread::scope(|scope| {
        for _ in 0..WAITERS {
            scope.spawn(|| group.wait(&log, append(&log, &group)).unwrap());
        }
    });
    assert_eq!(log.commits.load(Ordering::SeqCst), 1, "all four share one commit");
    let (log, group, started) = (self::log(u64::MAX), self::group(policy(Duration::from_millis(20))), Instant::now());
    group.wait(&log, append(&log, &group)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(20), "nobody came");
}

#[test]
fn the_thread_commits_when_the_bytes_are_together() {
    let policy = Policy { interval: Duration::from_secs(3600), bytes: 100, waiters: 1 };
    let both = Arc::new((log(u64::MAX), group(Some(policy))));
    let serving = Arc::clone(&both);
    let thread = super::spawn(move || serving.1.serve(&serving.0)).unwrap();
    let (log, group) = &*both;
    for _ in 0..3 {
        let last = (0..101).map(|_| append(log, group)).last().unwrap();
        let durable = group.wait_beyond(Address::new(last.get() - 1), Duration::from_secs(20));
        assert!(durable >= last, "{durable} {last}");
        group.commit(log).unwrap();
    }
    group.stop();
    thread.join().unwrap();
}
