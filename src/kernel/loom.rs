//! Models of whole operations: index, log, epoch and records together, on pages of 128 bytes. The header of each says
//! which changes were seen to break it.

use super::{DeleteOp, Fate, Kernel, Modify, ReadOp, RmwOp, UpsertOp, When};
use crate::allocator::{HybridLog, LogConfig, LogGeometry};
use crate::cache::ReadCache;
use crate::device::MemoryDisk;
use crate::epoch::{Guard, LightEpoch, Participant};
use crate::index::{IndexConfig, MemIndex, Slot};
use crate::operation::{Operation, Retry, Step};
use crate::record::Value;
use crate::status::OperationStatus;
use crate::sync::{Arc, Visible, publish_all};
use crate::utility::KeyHash;
use loom::thread;
use std::time::Duration;

mod cut;
mod expiry;
mod large;
mod locks;
mod revive;

type Store = Kernel<u64, u64>;

/// Whole operations take more steps than loom allows for by itself.
fn model(run: impl Fn() + Sync + Send + 'static) {
    builder().check(run);
}

fn builder() -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder
}

fn store(epoch: &Arc<LightEpoch>) -> Arc<Store> {
    store_with(epoch, None)
}

fn store_with<V: Value>(epoch: &Arc<LightEpoch>, cache: Option<ReadCache>) -> Arc<Kernel<u64, V>> {
    store_of_pages(epoch, cache, 7)
}

fn store_of_pages<V: Value>(epoch: &Arc<LightEpoch>, cache: Option<ReadCache>, bits: u32) -> Arc<Kernel<u64, V>> {
    let geometry = LogGeometry::new(bits, 4, 1.0).unwrap();
    store_of(epoch, cache, geometry, 0)
}

fn store_of<V: Value>(
    epoch: &Arc<LightEpoch>,
    cache: Option<ReadCache>,
    geometry: LogGeometry,
    spares: usize,
) -> Arc<Kernel<u64, V>> {
    let log = LogConfig { geometry, generation: 1, record_size: 24, volatile: false, read_buffers: 1, spares };
    let log = HybridLog::new(log, Arc::clone(epoch), Arc::new(MemoryDisk::new())).unwrap();
    let index = MemIndex::new(IndexConfig { buckets: 1, overflow_buckets: 0 }).unwrap();
    Arc::new(Kernel::new(index, log, cache, 1, Duration::from_secs(1)))
}

/// Steps an operation that needs no other to unpin, and not the device, to its end under the pin that is there.
fn under_one_pin<O: Operation<Store>>(store: &Store, mut operation: O, guard: &Guard<'_>) -> O::Output {
    loop {
        match operation.step(store, guard) {
            Step::Done(output) => return output,
            Step::Retry(Retry::Conflict | Retry::Room) => thread::yield_now(),
            Step::Retry(Retry::Fuzzy | Retry::Cut | Retry::Locked(_)) => panic!("waiting for a pin to end under one"),
            Step::Wait(_) | Step::Failed(_) => panic!("the device is not needed"),
        }
    }
}

/// Steps an operation to its end as a session does: a pin per step, and draining in between.
fn run<V: Value, O: Operation<Kernel<u64, V>>>(
    store: &Kernel<u64, V>,
    mut operation: O,
    participant: &mut Participant,
) -> O::Output {
    loop {
        let step = operation.step(store, &participant.pin());
        match step {
            Step::Done(output) => return output,
            Step::Retry(_) => {
                participant.epoch().drain();
                thread::yield_now();
            }
            Step::Wait(_) | Step::Failed(_) => panic!("the device is not needed"),
        }
    }
}

fn add_one() -> Modify<impl FnMut(&mut u64) -> bool> {
    Modify(|value: &mut u64| {
        *value += 1;
        true
    })
}

/// Makes everything that is in the log read-only; that is safe once who is pinned has left.
fn close_tail<V: Value>(store: &Kernel<u64, V>) {
    store.log.close_tail().unwrap();
}

/// How a thread of the next model changes its key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// The first record of the key: a new entry in the index.
    First,
    /// A record in front of an immutable one: the entry is replaced.
    Append,
    InPlace,
    Blindly,
    /// As in a batch: a plain store, and one barrier at the end of the batch.
    Later,
    Delete,
}

impl Change {
    /// Brings the keys into the state that the change starts from, and says what is read of a key that was not changed.
    fn prepare(self, store: &Store, participant: &mut Participant) -> Option<u64> {
        if self == Self::First {
            return None;
        }
        for key in [1, 2] {
            run(store, UpsertOp::new(key, 0), participant);
        }
        if matches!(self, Self::Append | Self::Delete) {
            close_tail(store);
            participant.epoch().drain();
        }
        if self == Self::Delete {
            // In front of an older record, so that the deletion ends with the tombstone and leaves the entry alone.
            for key in [1, 2] {
                run(store, UpsertOp::new(key, 0), participant);
            }
        }
        Some(0)
    }

    fn make(self, store: &Store, key: u64, guard: &Guard<'_>) {
        if self == Self::Later {
            assert!(store.view(guard).set::<u64, u64>(&key, &1u64, entry_of(store, key, guard), Visible::Later));
            return publish_all();
        }
        match self {
            Self::First | Self::Append | Self::Blindly | Self::Later => {
                under_one_pin(store, UpsertOp::new(key, 1), guard)
            }
            Self::InPlace => under_one_pin(store, RmwOp::new(key, add_one()), guard),
            Self::Delete => under_one_pin(store, DeleteOp::new(key), guard),
        };
    }
}

/// Linearizability across keys: two threads each change a key of their own, then read the other's. At least one sees the
/// other's change. All under one pin: a pin has no fence of its own on Linux, whereas loom's has.
///
/// Broken by: a release store in place of `publish` at the end of `MemIndex::claim` or in `set_value`; no
/// `after_exchange` in the index's `replace`, in `try_modify`, in `set_tombstone`; no fence in `publish_all`.
#[test]
fn of_two_changes_one_is_seen_by_who_made_the_other() {
    for change in [Change::First, Change::Append, Change::InPlace, Change::Blindly, Change::Later, Change::Delete] {
        model(move || {
            let epoch = LightEpoch::new();
            let store = store(&epoch);
            let mut participant = epoch.join();
            let unchanged = change.prepare(&store, &mut participant);
            let change_and_read = move |store: &Store, participant: &mut Participant, own: u64, other: u64| {
                let guard = participant.pin();
                change.make(store, own, &guard);
                under_one_pin(store, ReadOp::new(other), &guard)
            };
            let other = {
                let (store, mut participant) = (Arc::clone(&store), epoch.join());
                thread::spawn(move || change_and_read(&store, &mut participant, 2, 1))
            };
            let seen = change_and_read(&store, &mut participant, 1, 2);
            let seen_there = other.join().unwrap();
            assert!(seen != unchanged || seen_there != unchanged, "{change:?}: both missed the other's");
        });
    }
}

/// K2, R4: a record is deleted in place while it is being closed to updates, and a read-modify-write copies it once it is.
/// Either the copy's old value is that from before the deletion, and then the deletion came last, or the copy starts anew.
///
/// Broken by: judging the copied record by the header that was read before it was found immutable.
#[test]
fn a_deletion_is_not_undone_by_a_copy() {
    model(|| {
        let epoch = LightEpoch::new();
        let store = store(&epoch);
        let mut participant = epoch.join();
        // An older record behind the one that is deleted, so that the deletion leaves the entry in the index.
        run(&store, UpsertOp::new(1, 5), &mut participant);
        close_tail(&store);
        epoch.drain();
        run(&store, UpsertOp::new(1, 6), &mut participant);
        let deleter = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                run(&store, DeleteOp::new(1u64), &mut participant);
                participant.epoch().drain();
            })
        };
        close_tail(&store);
        let status = run(&store, RmwOp::new(1, add_one()), &mut participant);
        deleter.join().unwrap();
        let last = run(&store, ReadOp::new(1u64), &mut participant);
        let expected = if status == OperationStatus::Created { Some(1) } else { None };
        assert_eq!(last, expected, "after a read-modify-write that {status:?}");
    });
}

/// K2: two increments of one record while it is being closed to updates. Whether each is made in place or in a copy, both
/// count.
///
/// Broken by: copying what is below read-only instead of safe read-only; advancing safe read-only when read-only moves.
#[test]
fn an_increment_in_place_is_not_lost_to_a_copy() {
    model(|| {
        let epoch = LightEpoch::new();
        let store = store(&epoch);
        let mut participant = epoch.join();
        run(&store, UpsertOp::new(1, 0), &mut participant);
        let other = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                run(&store, RmwOp::new(1, add_one()), &mut participant);
                participant.epoch().drain();
            })
        };
        close_tail(&store);
        run(&store, RmwOp::new(1, add_one()), &mut participant);
        other.join().unwrap();
        assert_eq!(run(&store, ReadOp::new(1u64), &mut participant), Some(2));
    });
}

/// What a thread of the next model does to a value of 8 bytes, which fills its record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Touch {
    /// Adds a byte, which takes a new record.
    Grow,
    /// Changes a byte in place.
    Mark,
    Delete,
}

impl Touch {
    /// Whether it changed the value that was there, or found none.
    fn make(self, store: &Kernel<u64, Vec<u8>>, participant: &mut Participant) {
        match self {
            Self::Grow => {
                let grow = Modify(|value: &mut Vec<u8>| {
                    value.push(1);
                    true
                });
                run(store, RmwOp::new(1, grow), participant);
            }
            Self::Mark => {
                let mark = Modify(|value: &mut Vec<u8>| {
                    match value.first_mut() {
                        Some(first) => *first += 16,
                        None => value.push(16),
                    }
                    true
                });
                run(store, RmwOp::new(1, mark), participant);
            }
            Self::Delete => assert_eq!(run(store, DeleteOp::new(1u64), participant), OperationStatus::Deleted),
        }
    }

    /// The same to a model.
    fn apply(self, value: &mut Option<Vec<u8>>) {
        match self {
            Self::Grow => value.get_or_insert_default().push(1),
            Self::Mark => match value {
                Some(value) => value[0] += 16,
                None => *value = Some(vec![16]),
            },
            Self::Delete => *value = None,
        }
    }
}

/// R7: a value outgrows its record while somebody else changes it in place, lets it outgrow it as well, or deletes it. What is
/// there at the end is what one order of both leaves.
///
/// Broken by: appending without sealing the record first; not looking for a tombstone behind the seal; a deletion in place that
/// does not take the latch; changing a sealed record in place.
#[test]
fn a_value_that_outgrows_its_record_loses_no_change() {
    for other in [Touch::Grow, Touch::Mark, Touch::Delete] {
        model(move || {
            let epoch = LightEpoch::new();
            let store = store_with::<Vec<u8>>(&epoch, None);
            let mut participant = epoch.join();
            run(&store, UpsertOp::new(1, vec![0; 8]), &mut participant);
            let thread = {
                let (store, mut participant) = (Arc::clone(&store), epoch.join());
                thread::spawn(move || other.make(&store, &mut participant))
            };
            Touch::Grow.make(&store, &mut participant);
            thread.join().unwrap();
            let last = run(&store, ReadOp::new(1u64), &mut participant);
            let orders = [[Touch::Grow, other], [other, Touch::Grow]].map(|order| {
                let mut value = Some(vec![0; 8]);
                order.into_iter().for_each(|touch| touch.apply(&mut value));
                value
            });
            assert!(orders.contains(&last), "{other:?} and a growth left {last:?}");
        });
    }
}

/// A value that counts, and is taken by deleting it.
trait Count: Value {
    fn of(count: u64) -> Self;
    fn count(&self) -> u64;
}

impl Count for u64 {
    fn of(count: u64) -> Self {
        count
    }

    fn count(&self) -> u64 {
        *self
    }
}

impl Count for [u64; 2] {
    fn of(count: u64) -> Self {
        [count; 2]
    }

    fn count(&self) -> u64 {
        self[1]
    }
}

/// R7, R8: one thread counts while another deletes the key because of its value, and takes what it has counted to. Whichever came
/// first, nothing is lost and nothing is taken twice.
///
/// Broken by: appending the tombstone without closing or sealing the record; not waiting until all have left who may not have
/// seen it closed; looking at the value before that.
fn what_is_taken_is_what_was_counted<V: Count>() {
    model(|| {
        let epoch = LightEpoch::new();
        let store = store_with::<V>(&epoch, None);
        let mut participant = epoch.join();
        run(&store, UpsertOp::new(1, V::of(1)), &mut participant);
        let counter = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                let count = Modify(|value: &mut V| {
                    *value = V::of(value.count() + 1);
                    true
                });
                run(&store, RmwOp::new(1, count), &mut participant);
                participant.epoch().drain();
            })
        };
        let mut taken = 0;
        let condition = |value: &V| {
            taken = value.count();
            true
        };
        let take = When { condition, change: Fate::Delete, creates: false, refused: None };
        assert_eq!(run(&store, RmwOp::new(1, take), &mut participant), OperationStatus::Deleted);
        counter.join().unwrap();
        let rest = run(&store, ReadOp::new(1u64), &mut participant).map_or(0, |value| value.count());
        assert_eq!(taken + rest, 2, "{taken} were taken");
    });
}

#[test]
fn what_is_taken_of_a_word_is_what_was_counted() {
    what_is_taken_is_what_was_counted::<u64>();
}

#[test]
fn what_is_taken_of_a_latched_value_is_what_was_counted() {
    what_is_taken_is_what_was_counted::<[u64; 2]>();
}

/// The index entry of a key.
fn entry_of<'g>(store: &'g Store, key: u64, guard: &'g Guard<'_>) -> Slot<'g> {
    store.index.find(KeyHash::of_bytes(key.as_bytes()), guard)
}

/// The index entry of key 1.
fn entry_of_one<'g>(store: &'g Store, guard: &'g Guard<'_>) -> Slot<'g> {
    entry_of(store, 1, guard)
}

/// A copy in the read cache is of the newest value: one thread puts in what it read, or renews a copy it found, while another
/// changes the key and then reads it.
///
/// Broken by: no look at the chain's newest record in `ReadCache::add`; a `renew` that finds the entry anew, with the value
/// it was given; a record of the log that is led to the copies in front of its chain (`slot.address()` in `append`).
#[test]
fn a_copy_never_shows_a_value_that_was_replaced() {
    for is_there in [false, true] {
        model(move || {
            let epoch = LightEpoch::new();
            let cache = ReadCache::new(LogGeometry::new(7, 4, 0.5).unwrap(), 24, &epoch).unwrap();
            let store = store_with(&epoch, Some(cache));
            let mut participant = epoch.join();
            run(&store, UpsertOp::new(1, 0), &mut participant);
            close_tail(&store);
            epoch.drain();
            let guard = participant.pin();
            let newest = store.newest(&entry_of_one(&store, &guard), &guard);
            if is_there {
                store.keep(&1u64, &0, newest, &guard);
                assert!(store.cached(&1u64, &entry_of_one(&store, &guard), &guard).is_some());
            }
            drop(guard);
            let copier = {
                let (store, mut participant) = (Arc::clone(&store), epoch.join());
                thread::spawn(move || {
                    let guard = participant.pin();
                    let slot = entry_of_one(&store, &guard);
                    match store.cached(&1u64, &slot, &guard) {
                        Some(copy) => store.renew(slot, &1u64, &copy.record.value::<u64, u64>().unwrap(), &guard),
                        None => store.keep(&1u64, &0, newest, &guard),
                    }
                })
            };
            run(&store, UpsertOp::new(1, 1), &mut participant);
            assert_eq!(run(&store, ReadOp::new(1u64), &mut participant), Some(1), "right after the change");
            copier.join().unwrap();
            assert_eq!(run(&store, ReadOp::new(1u64), &mut participant), Some(1), "at the end");
            let guard = participant.pin();
            let newest = entry_of_one(&store, &guard).address();
            assert!(!newest.is_cached(), "whoever adds to a chain leads past its copies");
            assert!(
                !store.log.view(&guard).header(newest).info().previous().is_cached(),
                "nothing in the log leads to one"
            );
        });
    }
}
