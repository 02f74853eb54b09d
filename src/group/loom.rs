//! Models of group commit. The log is a number that grows; a commit takes it as it is. A wait that nobody ends is a
//! deadlock, which the model checker reports. The header of each model says which changes were seen to break it.

use super::{GroupCommit, Policy, Tenant};
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, AtomicU64, Ordering};
use loom::sync::Notify;
use loom::thread;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

struct Log {
    tail: AtomicU64,
    commits: AtomicU64,
    /// The commit that fails.
    fails_at: u64,
}

impl Log {
    fn new(fails_at: u64) -> Self {
        Self { tail: AtomicU64::new(1), commits: AtomicU64::new(0), fails_at }
    }
}

impl Tenant for Log {
    type Report = u64;

    fn commit(&self) -> Result<(Address, u64)> {
        let number = self.commits.fetch_add(1, Ordering::AcqRel);
        if number == self.fails_at {
            return Err(Error::new(ErrorKind::DeviceFailed, "as planned"));
        }
        Ok((Address::new(self.tail.fetch_add(0, Ordering::AcqRel)), number))
    }

    fn tail(&self) -> Result<Address> {
        Ok(Address::new(self.tail.load(Ordering::Relaxed)))
    }
}

/// A log and its group.
struct Both {
    log: Log,
    group: GroupCommit<u64>,
}

impl Both {
    fn new(policy: Option<Policy>, fails_at: u64) -> Arc<Self> {
        let group = GroupCommit::new(policy, Duration::from_secs(3600), Address::new(1), 0);
        Arc::new(Self { log: Log::new(fails_at), group })
    }

    fn append(&self) -> Address {
        let address = Address::new(self.log.tail.fetch_add(1, Ordering::Relaxed));
        self.group.note_growth(address);
        address
    }

    fn thread(self: &Arc<Self>, run: impl FnOnce(&Self) + 'static) -> thread::JoinHandle<()> {
        let both = Arc::clone(self);
        thread::spawn(move || run(&both))
    }
}

const AT_ONCE: Option<Policy> = Some(Policy { interval: Duration::ZERO, bytes: 2, waiters: 1 });

/// G1, G2: whoever waits finds it durable, whoever led.
///
/// Broken by: not telling at the end of a commit.
#[test]
fn whoever_waits_is_told_and_a_commit_may_serve_two() {
    loom::model(|| {
        let both = Both::new(None, u64::MAX);
        let append_and_wait = |both: &Both| {
            let address = both.append();
            both.group.wait(&both.log, address).unwrap();
            assert!(both.group.durable() > address);
        };
        let other = both.thread(append_and_wait);
        append_and_wait(&both);
        other.join().unwrap();
        assert!(both.log.commits.load(Ordering::Relaxed) <= 2);
    });
}

/// G2: who appends and goes on is covered by the thread, also if a commit is under way that does not cover it.
///
/// Broken by: no fence in `note_growth`; not looking at the tail at the end of a commit.
#[test]
fn who_goes_on_is_covered_by_the_thread() {
    loom::model(|| {
        let both = Both::new(AT_ONCE, u64::MAX);
        let server = both.thread(|both| both.group.serve(&both.log));
        let other = both.thread(|both| {
            both.append();
        });
        let address = both.append();
        other.join().unwrap();
        let last = address.max(Address::new(both.log.tail.load(Ordering::Relaxed) - 1));
        assert!(both.group.wait_beyond(last, Duration::from_secs(3600)) > last);
        both.group.stop();
        server.join().unwrap();
    });
}

struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.notify();
    }
}

/// G2, G3: a future is woken when its entry is durable, and when it never will be, whoever led.
///
/// Broken by: not waking anybody when a commit fails; not telling the thread in `poll`.
#[test]
fn a_future_is_woken_when_it_is_over() {
    for fails_at in [u64::MAX, 0] {
        loom::model(move || {
            let both = Both::new(None, fails_at);
            let server = both.thread(|both| both.group.serve(&both.log));
            let other = both.thread(|both| drop(both.group.wait(&both.log, both.append())));
            let (address, bell) = (both.append(), std::sync::Arc::new(Bell(Notify::new())));
            let waker = Waker::from(std::sync::Arc::clone(&bell));
            let outcome = loop {
                match both.group.poll(address, &waker) {
                    Poll::Ready(outcome) => break outcome,
                    Poll::Pending => bell.0.wait(),
                }
            };
            assert_eq!(outcome.is_ok(), fails_at == u64::MAX);
            assert!(outcome.is_err() || both.group.durable() > address);
            assert_eq!(both.group.check().is_err(), outcome.is_err());
            other.join().unwrap();
            both.group.stop();
            server.join().unwrap();
        });
    }
}
