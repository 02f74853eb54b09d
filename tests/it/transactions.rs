//! Transactions and locked keys, among themselves and beside every other kind of operation.

use crate::executor::wait_until_ready;
use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::{MemoryDisk, NullDisk};
use oxifaster::directory::MemoryDirectory;
use oxifaster::locks::LockMode;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget, Session};
use oxifaster::{Error, ErrorKind, Result};
use proptest::prelude::*;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

type Store = FasterKv<u64, u64, MemoryDisk>;

const ACCOUNTS: u64 = 40;
const EACH: u64 = 1000;

/// With an index of so many buckets, and memory for a few hundred records.
fn config(buckets: u64) -> FasterKvConfig {
    FasterKvConfig::default()
        .with_memory_budget(512 << 10)
        .with_page_size_bits(13)
        .with_log_memory_size(64 << 10)
        .with_table_size(buckets)
        .with_pretouch(false)
}

/// Says that the others may stop, also when an assertion fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn store(buckets: u64) -> Store {
    FasterKv::open(config(buckets), MemoryDisk::new()).unwrap()
}

fn wait<T>(mut future: impl Future<Output = T> + Unpin) -> T {
    wait_until_ready(|context| Pin::new(&mut future).poll(context))
}

/// Numbers that are as good as random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

fn open_accounts(store: &Store) {
    let mut session = store.start_session();
    (0..ACCOUNTS).for_each(|account| session.upsert(account, EACH).unwrap());
}

/// Moves something from one account to another, and says whether it did.
fn transfer(session: &mut Session<u64, u64>, from: u64, to: u64, amount: u64) -> Result<bool> {
    session.transaction(|bank| {
        let balance = bank.read(&from)?.unwrap_or(0);
        if balance < amount || from == to {
            return Ok(false);
        }
        bank.upsert(from, balance - amount);
        bank.rmw(to, |balance| *balance += amount)?;
        Ok(true)
    })
}

fn total(session: &mut Session<u64, u64>) -> Result<u64> {
    session.transaction(|bank| (0..ACCOUNTS).map(|account| Ok(bank.read(&account)?.unwrap_or(0))).sum())
}

#[test]
fn a_transaction_takes_effect_as_a_whole_or_not_at_all() {
    let store = store(64);
    let mut session = store.start_session();
    session.upsert(1, 10).unwrap();
    let before = session.serial();
    let outcome = session.transaction(|transaction| {
        assert_eq!(transaction.read(&1)?, Some(10));
        transaction.upsert(2, 20);
        transaction.delete(1);
        transaction.rmw(3, |value| *value += 5)?;
        // It sees what it did; nobody else does.
        assert_eq!((transaction.read(&1)?, transaction.read(&2)?, transaction.read(&3)?), (None, Some(20), Some(5)));
        let mut other = store.start_session();
        assert_eq!((other.read(&1)?, other.read(&2)?), (Some(10), None));
        Ok("done")
    });
    assert_eq!(outcome.unwrap(), "done");
    assert_eq!(session.serial(), before + 1, "it is one operation");
    assert_eq!(store.stats().operations.transactions, 1);
    assert_eq!(
        (session.read(&1).unwrap(), session.read(&2).unwrap(), session.read(&3).unwrap()),
        (None, Some(20), Some(5))
    );

    let failed: Result<()> = session.transaction(|transaction| {
        transaction.upsert(2, 21);
        transaction.delete(3);
        Err(Error::new(ErrorKind::NotFound, "no such account"))
    });
    assert_eq!(failed.unwrap_err().what(), "no such account");
    session
        .transaction(|transaction| {
            transaction.upsert(2, 22);
            transaction.roll_back();
            assert_eq!(transaction.read(&2)?, Some(20));
            transaction.upsert(4, 40);
            Ok(())
        })
        .unwrap();
    assert_eq!(
        (session.read(&2).unwrap(), session.read(&3).unwrap(), session.read(&4).unwrap()),
        (Some(20), Some(5), Some(40))
    );
}

#[test]
fn a_transaction_that_panics_leaves_nothing_behind() {
    let store = store(64);
    let mut session = store.start_session();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        session.transaction::<()>(|transaction| {
            transaction.upsert(1, 1);
            panic!("in the midst")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(session.read(&1).unwrap(), None);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut locked = session.lock(&[(1, LockMode::Exclusive)]).unwrap();
        locked.rmw(1, |_| panic!("in the midst"))
    }));
    assert!(panicked.is_err());
    store.start_session().upsert(1, 7).unwrap();
    assert!(transfer(&mut session, 1, 2, 7).unwrap());
}

#[test]
fn what_does_not_fit_on_a_page_is_refused_before_anything_is_written() {
    let store = store(64);
    let mut session = store.start_session();
    let write = |session: &mut Session<u64, u64>, count: u64| {
        session.transaction(|transaction| {
            (0..count).for_each(|key| transaction.upsert(key, key));
            Ok(())
        })
    };
    let error = write(&mut session, 8192 / 24).unwrap_err();
    assert_eq!((error.kind(), error.field("room on a page")), (ErrorKind::Limit, Some("8128")), "{error}");
    assert_eq!(session.read(&0).unwrap(), None);
    write(&mut session, 200).unwrap();
    assert!((0..200).all(|key| session.read(&key).unwrap() == Some(key)));
}

/// Accounts are moved between by transactions and by callers who lock, are added to by all faces of plain operations, and are
/// looked at as a whole, while their records leave memory and the index is as small as can be.
fn money_is_neither_lost_nor_made(buckets: u64) {
    let store = store(buckets);
    open_accounts(&store);
    let (added, stop, start) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(5));
    std::thread::scope(|scope| {
        for worker in 0..2u64 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                let (mut session, mut dice) = (store.start_session(), Dice(worker));
                start.wait();
                for _ in 0..1500 {
                    let (from, to) = (dice.below(ACCOUNTS), dice.below(ACCOUNTS));
                    transfer(&mut session, from, to, dice.below(50)).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let (mut session, mut dice) = (store.start_session(), Dice(77));
            start.wait();
            for _ in 0..1000 {
                let (a, b) = (dice.below(ACCOUNTS), dice.below(ACCOUNTS));
                let mut locked = session.lock(&[(b, LockMode::Exclusive), (a, LockMode::Exclusive)]).unwrap();
                let sum = locked.read(&a).unwrap().unwrap() + locked.read(&b).unwrap().unwrap();
                if a != b {
                    locked.upsert(a, sum / 2).unwrap();
                    locked
                        .rmw(b, |balance| {
                            *balance = sum - sum / 2;
                            true
                        })
                        .unwrap();
                }
            }
        });
        scope.spawn(|| {
            let (mut session, mut dice) = (store.start_session(), Dice(78));
            let mut futures = store.start_async_session();
            start.wait();
            while !stop.load(Ordering::Relaxed) {
                let keys: Vec<u64> = (0..3).map(|_| dice.below(ACCOUNTS)).collect();
                added.fetch_add(
                    session
                        .rmw_batch(&keys, |_, balance| {
                            *balance += 1;
                            true
                        })
                        .unwrap() as u64,
                    Ordering::Relaxed,
                );
                let one = |balance: &mut u64| {
                    *balance += 1;
                    true
                };
                assert!(session.rmw(dice.below(ACCOUNTS), one).unwrap());
                assert!(wait(futures.rmw(dice.below(ACCOUNTS), one)).unwrap());
                added.fetch_add(2, Ordering::Relaxed);
                // Other keys push the accounts out of memory.
                (0..20).for_each(|_| session.upsert(1000 + dice.below(5000), 0).unwrap());
            }
        });
        let (mut session, _stops) = (store.start_session(), Stops(&stop));
        start.wait();
        for _ in 0..200 {
            let least = added.load(Ordering::Relaxed);
            let sum = total(&mut session).unwrap();
            assert!(sum >= ACCOUNTS * EACH + least, "{sum} of at least {}", ACCOUNTS * EACH + least);
        }
    });
    let mut session = store.start_session();
    assert_eq!(total(&mut session).unwrap(), ACCOUNTS * EACH + added.load(Ordering::Relaxed));
    assert!(store.addresses().head > store.addresses().begin, "the accounts have left memory");
}

#[test]
fn money_is_neither_lost_nor_made_with_one_lock_for_all() {
    money_is_neither_lost_nor_made(1);
}

#[test]
fn money_is_neither_lost_nor_made_with_many_locks() {
    money_is_neither_lost_nor_made(1024);
}

/// Two keys are always written together. Whoever reads one and then the other, by whatever face, finds the second no older.
#[test]
fn plain_reads_never_see_half_of_a_transaction() {
    let store = store(64);
    let (a, b) = (1, 2);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut session, _stops) = (store.start_session(), Stops(&stop));
            for round in 1..4000 {
                session
                    .transaction(|transaction| {
                        transaction.upsert(a, round);
                        transaction.upsert(b, round);
                        Ok(())
                    })
                    .unwrap();
            }
        });
        for (first, second) in [(a, b), (b, a)] {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                let mut session = store.start_session();
                while !stop.load(Ordering::Relaxed) {
                    let one = session.read(&first).unwrap();
                    let other = session.read(&second).unwrap();
                    assert!(one <= other, "{one:?} and then {other:?}");
                    let both = session.read_batch(&[first, second]).unwrap();
                    assert!(both[0] <= both[1], "{both:?} of one batch");
                }
            });
        }
    });
}

/// Each of two takes from one of two accounts if both together allow it: one of them must see what the other did.
#[test]
fn two_that_read_the_same_and_write_different_keys_do_not_both_go_by_what_they_read() {
    let store = store(64);
    for _ in 0..500 {
        let mut session = store.start_session();
        session.upsert(1, 50).unwrap();
        session.upsert(2, 50).unwrap();
        let start = Barrier::new(2);
        let took: u64 = std::thread::scope(|scope| {
            let both = [1, 2].map(|own| {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    let mut session = store.start_session();
                    start.wait();
                    let take = session.transaction(|transaction| {
                        let sum = transaction.read(&1)?.unwrap_or(0) + transaction.read(&2)?.unwrap_or(0);
                        if sum < 100 {
                            return Ok(0);
                        }
                        transaction.rmw(own, |balance| *balance -= 50)?;
                        Ok(1)
                    });
                    take.unwrap()
                })
            });
            both.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(took, 1);
    }
}

#[test]
fn a_locked_key_holds_others_up_and_only_those() {
    let config = config(1024).with_wait_limit(Duration::from_millis(20));
    let store = FasterKv::<u64, u64, _>::open(config, NullDisk::new()).unwrap();
    let (mut session, mut other) = (store.start_session(), store.start_session());
    (0..10).for_each(|key| session.upsert(key, key).unwrap());
    let busy = |outcome: Result<()>| assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Busy);

    let mut locked = session.lock(&[(1, LockMode::Shared), (2, LockMode::Exclusive)]).unwrap();
    assert_eq!(other.read(&1).unwrap(), Some(1));
    busy(other.upsert(1, 0));
    busy(other.delete(&1));
    busy(other.read(&2).map(drop));
    busy(other.rmw(2, |_| true).map(drop));
    busy(other.read_batch(&[3, 2]).map(drop));
    busy(other.transaction(|transaction| transaction.read(&2)).map(drop));
    busy(other.transaction(|transaction| {
        transaction.upsert(1, 0);
        Ok(())
    }));
    busy(other.lock(&[(3, LockMode::Shared), (2, LockMode::Shared)]).map(drop));
    other.upsert(3, 30).unwrap();
    let mut shared = other.lock(&[(1, LockMode::Shared)]).unwrap();
    assert_eq!(shared.read(&1).unwrap(), Some(1));

    // Its holder may do what his mode allows.
    busy(locked.upsert(1, 0));
    busy(locked.rmw(1, |_| true).map(drop));
    busy(locked.insert(1, 0).map(drop));
    busy(locked.delete(&1));
    locked.upsert(2, 22).unwrap();
    assert_eq!(locked.read(&2).unwrap(), Some(22));
    locked.delete(&2).unwrap();
    assert!(locked.insert(2, 23).unwrap());
    locked.upsert(5, 50).unwrap(); // not locked by anybody

    // An upgrade waits for those who share, and of two only one can have it.
    let error = locked.upgrade(&1, Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(locked.upgrade(&9, Duration::ZERO).unwrap_err().kind(), ErrorKind::NotFound);
    drop(shared);
    locked.upgrade(&1, Duration::ZERO).unwrap();
    locked.upgrade(&1, Duration::ZERO).unwrap();
    locked.upsert(1, 11).unwrap();
    busy(other.read(&1).map(drop));
    drop(locked);
    assert_eq!((other.read(&1).unwrap(), other.read(&2).unwrap()), (Some(11), Some(23)));
}

#[test]
fn of_two_upgrades_one_is_refused_and_the_other_goes_on() {
    let store = store(1024);
    let (mut one, mut two) = (store.start_session(), store.start_session());
    let (first, refused) = (Barrier::new(2), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for session in [&mut one, &mut two] {
            let (first, refused) = (&first, &refused);
            scope.spawn(move || {
                let mut locked = session.lock(&[(1, LockMode::Shared)]).unwrap();
                first.wait();
                match locked.upgrade(&1, Duration::from_secs(20)) {
                    Ok(()) => drop(locked.rmw(1, |value| {
                        *value += 1;
                        true
                    })),
                    Err(error) => {
                        assert_eq!(error.what(), "another holder of a shared lock is being upgraded");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!((one.read(&1).unwrap(), refused.load(Ordering::Relaxed)), (Some(1), 1));
}

#[test]
fn a_future_sleeps_until_a_lock_ends() {
    #[derive(Default)]
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let store = store(64);
    let (mut session, mut futures) = (store.start_session(), store.start_async_session());
    let calls = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&calls));
    let locked = session.lock(&[(1, LockMode::Exclusive)]).unwrap();
    let mut upsert = futures.upsert(1, 5);
    let mut poll = || Pin::new(&mut upsert).poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending() && poll().is_pending());
    assert_eq!(calls.0.load(Ordering::Relaxed), 0, "it does not ask again and again");
    drop(locked);
    assert_eq!(calls.0.load(Ordering::Relaxed), 1);
    assert!(matches!(poll(), Poll::Ready(Ok(()))));
    assert_eq!(session.read(&1).unwrap(), Some(5));
}

/// Whatever the kind of checkpoint, and whenever it is taken: all of a transaction is there after a recovery, or nothing.
#[test]
fn a_checkpoint_cuts_through_no_transaction() {
    for kind in [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental] {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let store = FasterKv::<u64, u64, _>::open(config(256), disk.clone()).unwrap();
        open_accounts(&store);
        let (stop, mut tokens) = (AtomicBool::new(false), Vec::new());
        std::thread::scope(|scope| {
            for worker in 0..3u64 {
                let (store, stop) = (&store, &stop);
                scope.spawn(move || {
                    let (mut session, mut dice) = (store.start_session(), Dice(worker));
                    while !stop.load(Ordering::Relaxed) {
                        let (from, to) = (dice.below(ACCOUNTS), dice.below(ACCOUNTS));
                        transfer(&mut session, from, to, dice.below(50)).unwrap();
                    }
                });
            }
            let _stops = Stops(&stop);
            for _ in 0..12 {
                let options = CheckpointOptions::default().with_kind(kind);
                tokens.push(store.checkpoint_to(&directory, &options).unwrap().token);
            }
        });
        drop(store);
        for token in tokens {
            let target = RecoveryTarget::Token(token);
            let recovered = FasterKv::recover_from(&directory, target, config(256), disk.duplicate(), &|_| ());
            let (store, _): (Store, _) = recovered.unwrap();
            assert_eq!(total(&mut store.start_session()).unwrap(), ACCOUNTS * EACH, "{kind:?}");
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Read(u64),
    Upsert(u64, u64),
    Delete(u64),
    Add(u64, u64),
    RollBack,
}

fn steps() -> impl Strategy<Value = Vec<(Vec<Step>, bool)>> {
    let key = 0..12u64;
    let step = prop_oneof![
        key.clone().prop_map(Step::Read),
        (key.clone(), any::<u64>()).prop_map(|(key, value)| Step::Upsert(key, value)),
        key.clone().prop_map(Step::Delete),
        (key, 0..9u64).prop_map(|(key, by)| Step::Add(key, by)),
        Just(Step::RollBack),
    ];
    proptest::collection::vec((proptest::collection::vec(step, 0..8), any::<bool>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One after the other, transactions and plain calls do what they would do to a map.
    #[test]
    fn transactions_do_to_a_store_what_they_would_do_to_a_map(program in steps(), buckets in prop_oneof![Just(1u64), Just(64)]) {
        let store = store(buckets);
        let (mut session, mut map) = (store.start_session(), HashMap::new());
        for (at, (steps, commits)) in program.into_iter().enumerate() {
            let mut next: HashMap<u64, u64> = map.clone();
            let outcome = session.transaction(|transaction| {
                for step in &steps {
                    match *step {
                        Step::Read(key) => assert_eq!(transaction.read(&key)?, next.get(&key).copied()),
                        Step::Upsert(key, value) => {
                            transaction.upsert(key, value);
                            next.insert(key, value);
                        }
                        Step::Delete(key) => {
                            transaction.delete(key);
                            next.remove(&key);
                        }
                        Step::Add(key, by) => {
                            transaction.rmw(key, |value| *value = value.wrapping_add(by))?;
                            let value = next.entry(key).or_insert(0);
                            *value = value.wrapping_add(by);
                        }
                        Step::RollBack => {
                            transaction.roll_back();
                            next = map.clone();
                        }
                    }
                }
                if commits { Ok(()) } else { Err(Error::new(ErrorKind::Cancelled, "not this time")) }
            });
            prop_assert_eq!(outcome.is_ok(), commits);
            if commits {
                map = next;
            }
            if at % 3 == 0 {
                store.evict().unwrap();
            }
            for key in 0..12 {
                prop_assert_eq!(session.read(&key).unwrap(), map.get(&key).copied());
            }
        }
    }
}
