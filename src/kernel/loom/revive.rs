//! Models of space that is used again. The header of each says which changes were seen to break it.

use super::cut::Around;
use super::{add_one, builder, close_tail, model, run, store_of};
use crate::address::Address;
use crate::allocator::{FIRST, LogGeometry};
use crate::epoch::{LightEpoch, Participant};
use crate::kernel::{Cut, DeleteOp, Kernel, Modify, ReadOp, RmwOp, UpsertOp, stamp};
use crate::operation::Account;
use crate::record::Value;
use crate::sync::Arc;
use loom::thread;

fn store<V: Value>(epoch: &Arc<LightEpoch>) -> Arc<Kernel<u64, V>> {
    store_of(epoch, None, LogGeometry::new(8, 4, 1.0).unwrap(), 8)
}

/// What a thread does to key 1 while it is deleted, and its space given to key 2.
#[derive(Debug, Clone, Copy)]
enum Touch {
    Read,
    Set,
    Add,
    Delete,
}

/// L14, V1: a key is deleted, and another one takes its place in the log, while somebody is at the first one. Nobody who came to it
/// before takes the second one for it, or changes it.
///
/// Broken by: keeping a spare at once, without waiting for anybody.
#[test]
fn nobody_is_still_at_a_record_whose_space_is_used_again() {
    for touch in [Touch::Read, Touch::Set, Touch::Add, Touch::Delete] {
        model(move || {
            let epoch = LightEpoch::new();
            let store = store::<u64>(&epoch);
            let mut participant = epoch.join();
            run(&store, UpsertOp::new(1, 10), &mut participant);
            let other = {
                let (store, mut participant) = (Arc::clone(&store), epoch.join());
                thread::spawn(move || {
                    match touch {
                        Touch::Read => {
                            let read = run(&store, ReadOp::new(1u64), &mut participant);
                            assert!(matches!(read, None | Some(10)), "read {read:?}");
                        }
                        Touch::Set => {
                            run(&store, UpsertOp::new(1, 11), &mut participant);
                        }
                        Touch::Add => {
                            run(&store, RmwOp::new(1, add_one()), &mut participant);
                        }
                        Touch::Delete => {
                            run(&store, DeleteOp::new(1u64), &mut participant);
                        }
                    }
                    participant.epoch().drain();
                })
            };
            run(&store, DeleteOp::new(1u64), &mut participant);
            epoch.drain();
            run(&store, UpsertOp::new(2, 20), &mut participant);
            other.join().unwrap();
            assert_eq!(run(&store, ReadOp::new(2u64), &mut participant), Some(20));
            let first = run(&store, ReadOp::new(1u64), &mut participant);
            let expected: &[Option<u64>] = match touch {
                Touch::Read | Touch::Delete => &[None],
                Touch::Set => &[None, Some(11)],
                Touch::Add => &[None, Some(1)],
            };
            assert!(expected.contains(&first), "{touch:?} left {first:?}");
        });
    }
}

/// V1, L14: a value outgrows its record, which leaves the chain, and another key takes its place, while somebody reads, marks or
/// deletes it.
///
/// Broken by: keeping a spare at once, without waiting for anybody.
#[test]
fn nobody_is_still_at_a_record_that_was_outgrown() {
    let grow = || {
        Modify(|value: &mut Vec<u8>| {
            value.resize(value.len() + 8, 1);
            true
        })
    };
    for touch in [Touch::Read, Touch::Add, Touch::Delete] {
        model(move || {
            let epoch = LightEpoch::new();
            let store = store::<Vec<u8>>(&epoch);
            let mut participant = epoch.join();
            run(&store, UpsertOp::new(1, vec![0; 8]), &mut participant);
            let other = {
                let (store, mut participant) = (Arc::clone(&store), epoch.join());
                thread::spawn(move || {
                    match touch {
                        Touch::Read | Touch::Set => {
                            let read = run(&store, ReadOp::new(1u64), &mut participant).unwrap();
                            assert!(read == [0; 8] || read.len() == 16 && read[8..] == [1; 8], "read {read:?}");
                        }
                        Touch::Add => {
                            let mark = Modify(|value: &mut Vec<u8>| {
                                value[0] += 16;
                                true
                            });
                            run(&store, RmwOp::new(1, mark), &mut participant);
                        }
                        Touch::Delete => {
                            run(&store, DeleteOp::new(1u64), &mut participant);
                        }
                    }
                    participant.epoch().drain();
                })
            };
            run(&store, RmwOp::new(1, grow()), &mut participant);
            epoch.drain();
            run(&store, UpsertOp::new(2, vec![7; 8]), &mut participant);
            other.join().unwrap();
            assert_eq!(run(&store, ReadOp::new(2u64), &mut participant), Some(vec![7; 8]));
            let first = run(&store, ReadOp::new(1u64), &mut participant).map(|value| (value.len(), value[0]));
            let expected: &[Option<(usize, u8)>] = match touch {
                Touch::Read | Touch::Set => &[Some((16, 0))],
                Touch::Add => &[Some((16, 16))],
                // Grown after it, it has begun anew.
                Touch::Delete => &[None, Some((8, 1))],
            };
            assert!(expected.contains(&first), "{touch:?} left {first:?}");
        });
    }
}

/// What the threads of the next model do to a key, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Set(u64),
    Add,
    Delete,
}

impl Act {
    fn make(self, store: &Kernel<u64, [u64; 2]>, participant: &mut Participant) {
        match self {
            Self::Set(value) => drop(run(store, UpsertOp::new(1, [value; 2]), participant)),
            Self::Add => {
                let add = Modify(|value: &mut [u64; 2]| {
                    *value = [value[0] + 1; 2];
                    true
                });
                run(store, RmwOp::new(1, add), participant);
            }
            Self::Delete => {
                run(store, DeleteOp::new(1u64), participant);
            }
        }
    }

    fn apply(self, value: &mut Option<u64>) {
        match self {
            Self::Set(new) => *value = Some(new),
            Self::Add => *value = Some(value.unwrap_or(0) + 1),
            Self::Delete => *value = None,
        }
    }
}

/// What is there at the end, whatever the order in which the acts of the one thread fall between those of the other.
fn outcomes(value: Option<u64>, one: &[Act], other: &[Act], found: &mut Vec<Option<u64>>) {
    if one.is_empty() && other.is_empty() {
        found.push(value);
    }
    for (acting, one, other) in [(one, one.get(1..), Some(other)), (other, Some(one), other.get(1..))].iter().copied() {
        if let (Some(act), Some(one), Some(other)) = (acting.first(), one, other) {
            let mut value = value;
            act.apply(&mut value);
            outcomes(value, one, other, found);
        }
    }
}

/// V4: a tombstone becomes a record of its key again while others change, delete or revive it, and while it is closed to updates.
///
/// Broken by: a read-modify-write that appends in front of a tombstone without sealing it first.
#[test]
fn a_tombstone_that_is_revived_loses_no_change() {
    use Act::{Add, Delete, Set};
    let cases: [(&[Act], &[Act], bool); 5] = [
        (&[Delete, Set(20)], &[Add], false),
        (&[Delete, Add], &[Set(30)], false),
        (&[Delete, Add], &[Add], false),
        (&[Delete, Set(20)], &[Delete], false),
        (&[Delete, Add], &[Add], true),
    ];
    for (mine, theirs, closes) in cases {
        model(move || {
            let epoch = LightEpoch::new();
            let store = store::<[u64; 2]>(&epoch);
            let mut participant = epoch.join();
            // An older record behind it.
            run(&store, UpsertOp::new(1, [5; 2]), &mut participant);
            close_tail(&store);
            epoch.drain();
            run(&store, UpsertOp::new(1, [10; 2]), &mut participant);
            let other = {
                let (store, mut participant) = (Arc::clone(&store), epoch.join());
                thread::spawn(move || {
                    theirs.iter().for_each(|act| act.make(&store, &mut participant));
                    participant.epoch().drain();
                })
            };
            for (number, act) in mine.iter().enumerate() {
                if closes && number == 1 {
                    close_tail(&store);
                }
                act.make(&store, &mut participant);
            }
            other.join().unwrap();
            let last = run(&store, ReadOp::new(1u64), &mut participant);
            assert!(last.is_none_or(|value| value[0] == value[1]), "half of a value: {last:?}");
            let (last, mut expected) = (last.map(|value| value[0]), Vec::new());
            outcomes(Some(10), mine, theirs, &mut expected);
            assert!(expected.contains(&last), "{mine:?} and {theirs:?} left {last:?}, not one of {expected:?}");
        });
    }
}

/// L14: a record leaves while the log is closed. When it is immutable to everyone it is invalid, or it never left.
///
/// Broken by: making the log immutable after the first wait, as where no space is used again.
#[test]
fn what_left_is_invalid_before_it_is_immutable() {
    model(|| {
        let epoch = LightEpoch::new();
        let store = store::<u64>(&epoch);
        let mut participant = epoch.join();
        run(&store, UpsertOp::new(1, 10), &mut participant);
        let other = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                run(&store, DeleteOp::new(1u64), &mut participant);
                participant.epoch().drain();
            })
        };
        close_tail(&store);
        let closed = store.log.addresses().read_only;
        while store.log.safe_read_only() < closed {
            epoch.drain();
            thread::yield_now();
        }
        let left = store.log.spare_stats().unwrap().freed > 0;
        let guard = participant.pin();
        let info = store.log.view(&guard).header(Address::new(FIRST)).info();
        assert!(!left || info.is_invalid(), "{info:?}");
        drop(guard);
        other.join().unwrap();
    });
}

/// The keys whose newest record below the end of a cut, as a recovery finds it by its place, is a live one of the old version.
fn replayed(store: &Kernel<u64, u64>, cut: &Cut<'_, u64, u64>, participant: &mut Participant) -> [bool; 2] {
    let guard = participant.pin();
    let (mut keys, mut at, page) = ([false; 2], Address::new(FIRST), store.log.geometry().page());
    while at < cut.end {
        let record = store.log.space(at, 24, &guard);
        let info = record.info();
        let is_of_next = at >= cut.start && info.version() == stamp(cut.version() + 1);
        if info.is_present() && !info.is_invalid() && !is_of_next {
            let key = if record.key_is::<u64, u64>(&1u64) { 0 } else { 1 };
            keys[key] = !info.is_tombstone();
        }
        let behind = Address::new(at.get() + 24);
        at = if info.is_present() && page.rest(behind) >= 24 { behind } else { page.start_of(page.page(at) + 1) };
    }
    keys
}

/// L14, V3: a key is deleted, and comes back at another place, while a cut is made. What a recovery would find in the log at the cut
/// was there at some moment, and it stays that for as long as the cut lives.
///
/// Broken by: a cut without a pause.
#[test]
fn a_cut_finds_nothing_that_left() {
    let mut builder = builder();
    builder.preemption_bound = Some(1);
    builder.check(|| {
        let epoch = LightEpoch::new();
        let store = store::<u64>(&epoch);
        let mut participant = epoch.join();
        // A place below that of key 1 is free.
        run(&store, UpsertOp::new(2, 20), &mut participant);
        run(&store, UpsertOp::new(1, 10), &mut participant);
        run(&store, DeleteOp::new(2u64), &mut participant);
        epoch.drain();
        let session = {
            let (store, mut participant) = (Arc::clone(&store), epoch.join());
            thread::spawn(move || {
                run(&store, DeleteOp::new(1u64), &mut participant);
                run(&store, UpsertOp::new(1, 11), &mut participant);
                participant.epoch().drain();
                thread::yield_now();
                run(&store, UpsertOp::new(2, 21), &mut participant);
            })
        };
        let around = Around { epoch: Arc::clone(&epoch), account: Arc::new(Account::new(7, 0)) };
        let cut = Cut::make(&*store, &epoch, &around, Address::INVALID, |_| ()).unwrap();
        let kept = replayed(&store, &cut, &mut participant);
        session.join().unwrap();
        assert_eq!(replayed(&store, &cut, &mut participant), kept, "it was changed while the cut lived");
        assert!(kept[0] || !kept[1], "key 2 came last: {kept:?}");
        drop(cut);
        epoch.drain();
        assert_eq!(run(&store, ReadOp::new(1u64), &mut participant), Some(11));
        assert_eq!(run(&store, ReadOp::new(2u64), &mut participant), Some(21));
    });
}
