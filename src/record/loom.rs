//! Models of records that are read while they are written. The header of each says which changes were seen to break it.

use super::{Deleted, Draft, Modified, RecordInfo, RecordRef, Verdict};
use crate::address::Address;
use crate::epoch::{Guard, LightEpoch};
use crate::index::{IndexConfig, MemIndex};
use crate::memory::Words;
use crate::sync::{Arc, AtomicU64, Ordering::Relaxed, Visible};
use crate::utility::KeyHash;
use loom::thread;

/// A latched value: two words.
type Wide = [u64; 2];

const KEY: u64 = 7;
const RECORD_WORDS: usize = 8;

/// Room for two records. The one at address 64 is there from the beginning.
struct World {
    words: Words,
}

impl World {
    const FIRST: Address = Address::new(64);
    const SECOND: Address = Address::new(128);

    fn new<V: super::Value>(value: &V) -> Arc<Self> {
        let world = Self { words: Words::zeroed(2 * RECORD_WORDS).unwrap() };
        world.at(Self::FIRST).write::<u64, V>(RecordInfo::new(Address::INVALID, 0), Draft::new(&KEY, value));
        Arc::new(world)
    }

    fn at(&self, address: Address) -> RecordRef<'_> {
        let start = (address.get() / 64 - 1) as usize * RECORD_WORDS;
        RecordRef::new(&self.words[start..start + RECORD_WORDS])
    }

    fn record(&self) -> RecordRef<'_> {
        self.at(Self::FIRST)
    }
}

/// R3: a writer goes through two values while a reader looks twice. No copy is mixed, and none is older than the last.
///
/// Broken by: no release fence in `Latch::try_write`; no acquire fence, or a relaxed first load, in `Latch::read`; a
/// relaxed store in place of `publish` at its end; taking a copy without comparing the stamps.
#[test]
fn a_latched_value_is_read_whole_while_it_is_written() {
    loom::model(|| {
        let world = World::new::<Wide>(&[0, 0]);
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.record().set_value::<u64, Wide>(&[1u64, 1], Visible::Now);
                world.record().set_value::<u64, Wide>(&[2u64, 2], Visible::Now);
            })
        };
        let mut last = 0;
        for _ in 0..2 {
            let [low, high] = world.record().value::<u64, Wide>().unwrap();
            assert_eq!(low, high, "a mixed value");
            assert!(low >= last, "a value that was overwritten before");
            last = low;
        }
        writer.join().unwrap();
        assert_eq!(world.record().value::<u64, Wide>().unwrap(), [2, 2]);
    });
}

/// R3: a value becomes shorter and longer in its place while a reader looks twice. No copy has the length of one value and bytes of
/// another.
///
/// Broken by: setting the new length in the word that takes the latch, or by a store of its own after the latch is left.
#[test]
fn a_value_that_changes_its_length_is_read_whole() {
    loom::model(|| {
        let of = |byte: u8| vec![byte; [16, 3, 12][usize::from(byte)]];
        let world = World::new::<Vec<u8>>(&of(0));
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                assert!(world.record().set_value::<u64, Vec<u8>>(&of(1), Visible::Now));
                assert!(world.record().set_value::<u64, Vec<u8>>(&of(2), Visible::Now));
            })
        };
        let mut last = 0;
        for _ in 0..2 {
            let value = world.record().value::<u64, Vec<u8>>().unwrap();
            let byte = value[0];
            assert_eq!(value, of(byte), "a mixed value");
            assert!(byte >= last, "a value that was overwritten before");
            last = byte;
        }
        writer.join().unwrap();
        assert_eq!(world.record().value::<u64, Vec<u8>>().unwrap(), of(2));
    });
}

/// R3: two increments, one of them after a look at the value. Both count, and each starts from what the other left, whole.
///
/// Broken by: writing without comparing the stamp that was read; no release fence in `Latch::try_write`; a relaxed first
/// load or no acquire fence in `Latch::read`; a relaxed store in place of `publish`.
#[test]
fn concurrent_changes_of_a_latched_value_all_count() {
    loom::model(|| {
        let world = World::new::<Wide>(&[0, 0]);
        let increment = |world: &World| {
            let status = world.record().modify_value::<u64, Wide>(
                &mut |value| {
                    assert_eq!(value[0], value[1], "a change that starts from a mixed value");
                    *value = [value[0] + 1, value[1] + 1];
                    Verdict::Set
                },
                &|_| true,
            );
            assert!(matches!(status, Ok(Modified::InPlace)));
        };
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || increment(&world))
        };
        let [low, high] = world.record().value::<u64, Wide>().unwrap();
        assert_eq!(low, high, "a mixed value");
        increment(&world);
        other.join().unwrap();
        assert_eq!(world.record().value::<u64, Wide>().unwrap(), [2, 2]);
    });
}

/// What a change in place does between its look at the header and its end: returns the value it started from, or `None`
/// if it saw the key deleted.
fn increment_unless_deleted(record: RecordRef<'_>) -> Option<u64> {
    let mut from = None;
    if !record.info().is_tombstone() {
        let modified = record.modify_value::<u64, u64>(
            &mut |value| {
                from = Some(*value);
                *value += 1;
                Verdict::Set
            },
            &|_| true,
        );
        assert!(matches!(modified, Ok(Modified::InPlace)));
    }
    from
}

/// R4, values of one word: two increments and a deletion. The increments that did not see the deletion form one
/// sequence, wherever the deletion fell, so all of them can be ordered before it; none follows it on its own thread.
///
/// Broken by: a load and a store in place of the compare-and-swap in `try_modify`; setting the tombstone with a store.
#[test]
fn changes_that_race_with_a_deletion_are_ordered_before_it() {
    loom::model(|| {
        let world = World::new::<u64>(&0);
        let racer = |deletes: bool| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let from = increment_unless_deleted(world.record());
                let deleted = deletes && world.record().delete::<u64, u64>() == Deleted::Now;
                assert!(!deletes || increment_unless_deleted(world.record()).is_none(), "a change after a deletion");
                (from, deleted)
            })
        };
        let (one, two) = (racer(true), racer(false));
        let deleted = world.record().delete::<u64, u64>() == Deleted::Now;
        let ((one, deleted_too), (two, _)) = (one.join().unwrap(), two.join().unwrap());
        assert!(deleted != deleted_too, "a key is deleted once");
        let mut starts: Vec<u64> = [one, two].into_iter().flatten().collect();
        starts.sort_unstable();
        assert_eq!(starts, (0..starts.len() as u64).collect::<Vec<_>>(), "a change was lost");
        assert_eq!(world.record().value::<u64, u64>().unwrap(), starts.len() as u64);
    });
}

/// R4, values of one word: an increment, a blind write and a deletion. The outcome is that of one of the two orders, and
/// the header keeps its other fields.
///
/// Broken by: a load and a store in place of the compare-and-swap in `try_modify`.
#[test]
fn a_blind_write_and_a_change_take_effect_one_after_the_other() {
    loom::model(|| {
        let world = World::new::<u64>(&0);
        let increment = {
            let world = Arc::clone(&world);
            thread::spawn(move || increment_unless_deleted(world.record()))
        };
        let write = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let lives = !world.record().info().is_tombstone();
                if lives {
                    world.record().set_value::<u64, u64>(&10u64, Visible::Now);
                }
                lives
            })
        };
        assert_eq!(world.record().delete::<u64, u64>(), Deleted::Now);
        let (from, written) = (increment.join().unwrap(), write.join().unwrap());
        let expected = match (from, written) {
            (None, false) => 0,
            (Some(0), false) => 1,
            (None | Some(0), true) => 10,
            (Some(10), true) => 11,
            other => panic!("no order gives {other:?}"),
        };
        assert_eq!(world.record().value::<u64, u64>().unwrap(), expected);
        assert_eq!(world.record().info(), RecordInfo::new(Address::INVALID, 0).with_tombstone());
    });
}

/// Puts a second record in front of the first and publishes it in the index, as an append does.
fn append(world: &World, index: &MemIndex, value: Wide, guard: &Guard<'_>) {
    let slot = index.find(KeyHash::of_bytes(&KEY.to_le_bytes()), guard);
    world.at(World::SECOND).write::<u64, Wide>(RecordInfo::new(slot.address(), 0), Draft::new(&KEY, &value));
    index.try_update(slot, World::SECOND).unwrap();
}

/// Publication: a record is written with relaxed stores, and who finds its address in the index sees it whole, as well as
/// the older one it leads to. Once for a change of an entry, once for the first entry of a tag.
///
/// Broken by: a success ordering without release in the index's `replace`; a relaxed load in `Bucket::find`. (The first
/// entry of a tag is released by the fence in `claim` as well as by its last store.)
#[test]
fn who_finds_a_record_in_the_index_sees_all_of_it() {
    for entry_exists in [true, false] {
        loom::model(move || {
            let epoch = LightEpoch::new();
            let index = Arc::new(MemIndex::new(IndexConfig { buckets: 1, overflow_buckets: 0 }).unwrap());
            let world = World::new::<Wide>(&[1, 1]);
            let mut participant = epoch.join();
            let hash = KeyHash::of_bytes(&KEY.to_le_bytes());
            if entry_exists {
                let guard = participant.pin();
                index.try_update(index.find(hash, &guard), World::FIRST).unwrap();
            }
            let writer = {
                let (index, world) = (Arc::clone(&index), Arc::clone(&world));
                thread::spawn(move || append(&world, &index, [2, 2], &participant.pin()))
            };
            let mut participant = epoch.join();
            let guard = participant.pin();
            let mut address = index.find(hash, &guard).address();
            while address.is_valid() {
                let record = world.at(address);
                let expected = if address == World::FIRST { [1, 1] } else { [2, 2] };
                assert!(record.info().is_present() && record.key_is::<u64, Wide>(&KEY), "a record that is not there");
                assert_eq!(record.value::<u64, Wide>().unwrap(), expected);
                address = record.info().previous();
            }
            drop(guard);
            writer.join().unwrap();
        });
    }
}

/// `publish`: two threads write their own word and then read the other's. At least one sees the other's write.
///
/// Broken by: no fence in `publish` (loom takes an exchange for acquire and release, as it is off x86).
#[test]
fn of_two_published_writes_one_is_seen_by_the_other_thread() {
    loom::model(|| {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let write_and_read = |words: &[AtomicU64; 2], own: usize| {
            Visible::Now.publish(&words[own], 1);
            words[1 - own].load(Relaxed)
        };
        let other = {
            let words = Arc::clone(&words);
            thread::spawn(move || write_and_read(&words, 1))
        };
        let seen = write_and_read(&words, 0);
        assert!(seen + other.join().unwrap() > 0, "both missed the other's write");
    });
}
