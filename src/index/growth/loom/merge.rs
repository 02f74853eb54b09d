//! Models of two buckets that become one while others use them. As in a log, a record has a higher number than all that were there
//! when it was made; copies among them.

use super::super::records::{Copier, Place};
use super::super::{Hindrance, Means, ShrinkStage};
use super::*;
use crate::sync::{AtomicBool, Ordering, fence};

/// What a merge needs of a store.
struct Copies<'w> {
    shrinking: &'w Shrinking,
    /// Copies for which there is room the first time.
    room: AtomicU64,
}

/// A world whose index shrinks.
struct Shrinking {
    world: Arc<World>,
    /// The number of the next record.
    next: AtomicU64,
    /// Nobody begins to change a record where it is any more; and nobody is still at it.
    closed: AtomicBool,
    settled: Arc<AtomicBool>,
}

impl Copier for Copies<'_> {
    fn is_settled(&self, _: Address) -> bool {
        self.shrinking.settled.load(Ordering::Acquire)
    }

    fn copy(&self, at: Address, onto: Address, _: Place) -> Option<Address> {
        self.room.store(self.room.load(Relaxed).checked_sub(1)?, Relaxed);
        let log = &self.shrinking.world.log;
        let word = log.0[at.get() as usize / 8].load(Relaxed);
        let number = self.shrinking.next.fetch_add(1, Relaxed);
        assert!(number > onto.get() / 8 && onto > at, "a copy lies above both chains");
        log.0[number as usize].store(word & !0xff | onto.get() / 8, Relaxed);
        Some(Address::new(number * 8))
    }

    fn withdraw(&self, at: Address) {
        self.shrinking.world.log.0[at.get() as usize / 8].store(0, Relaxed);
    }
}

impl Shrinking {
    /// Two buckets that are about to become one; keys have the records 1, 2, ..., which may still be changed if they are `open`.
    fn of(keys: &[u64], open: bool) -> Arc<Self> {
        let world = World::of(2, keys);
        let settled = Arc::new(AtomicBool::new(!open));
        let next = AtomicU64::new(keys.len() as u64 + 1);
        Arc::new(Self { world, next, closed: AtomicBool::new(!open), settled })
    }

    /// Puts the smaller table in force, once everybody has left who may not know of it.
    fn begin(&self) {
        self.world.index.begin_to_shrink(None).unwrap();
        self.wait_for_pins();
        self.world.index.shrink_in_force().unwrap();
    }

    fn wait_for_pins(&self) {
        let left = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&left);
        self.world.epoch.bump(move || flag.store(true, Ordering::Release));
        while !left.load(Ordering::Acquire) {
            self.world.epoch.drain();
            thread::yield_now();
        }
    }

    /// Merges the two buckets, with so much room at the first try.
    fn merge(&self, room: u64) {
        let World { epoch, index, log } = &*self.world;
        let copies = Copies { shrinking: self, room: AtomicU64::new(room) };
        let means = Means { records: log, copier: Some(&copies), begin: Address::INVALID };
        let mut participant = epoch.join();
        while index.shrink_stage() == ShrinkStage::Merging {
            let merged = {
                let _guard = participant.pin();
                index.merge(0, means, epoch)
            };
            match merged {
                Ok(()) => thread::yield_now(),
                Err(Hindrance::Room) => copies.room.store(9, Relaxed),
                Err(Hindrance::Open(_)) => self.merge_slowly(u64::MAX),
                Err(hindrance) => panic!("{hindrance:?}"),
            }
        }
    }

    /// Merges the two buckets with one record under each pin, after they were closed to changes. It fails once at the copy with this number,
    /// and gives them back.
    fn merge_slowly(&self, mut fails_at: u64) {
        let World { epoch, index, log } = &*self.world;
        let copies = Copies { shrinking: self, room: AtomicU64::new(u64::MAX) };
        let means = Means { records: log, copier: None, begin: Address::INVALID };
        let mut participant = epoch.join();
        while index.shrink_stage() == ShrinkStage::Merging {
            let (frozen, pairs) = {
                let _guard = participant.pin();
                let Some(frozen) = index.freeze(0) else { continue };
                let pairs = frozen.pairs(means);
                (frozen, pairs)
            };
            if !self.closed.swap(true, Ordering::AcqRel) {
                let settled = Arc::clone(&self.settled);
                epoch.bump(move || settled.store(true, Ordering::Release));
            }
            while !self.settled.load(Ordering::Acquire) {
                epoch.drain();
                thread::yield_now();
            }
            let is_joined = pairs.iter().all(|pair| {
                let mut newest = log.newest_of_all(pair.lower, |hash| frozen.is_own(pair, hash)).into_iter();
                let Some(last) = newest.next_back() else { unreachable!("every chain has a key") };
                let mut head = pair.higher;
                for at in newest {
                    fails_at = fails_at.wrapping_sub(1);
                    if fails_at == 0 {
                        return false;
                    }
                    let _guard = participant.pin();
                    head = copies.copy(at, head, Place::Part).unwrap();
                }
                let _guard = participant.pin();
                fails_at = fails_at.wrapping_sub(1);
                if fails_at == 0 {
                    return false;
                }
                frozen.join(pair, copies.copy(last, head, Place::Last).unwrap());
                true
            });
            if is_joined {
                let _guard = participant.pin();
                assert_eq!(frozen.merge(means, epoch), Ok(()), "what is joined can be merged");
            }
        }
    }

    /// One try to make a new record the newest of a key. If it goes through, its writer finds it. Its number, 0 if it does not.
    fn append(&self, key: u64) -> u64 {
        let World { epoch, index, log } = &*self.world;
        let (number, done) = {
            let mut participant = epoch.join();
            let guard = participant.pin();
            let slot = index.find(hash_of(key), &guard);
            let number = self.next.fetch_add(1, Relaxed);
            log.put(number, key, slot.address().get() / 8, number);
            (number, index.try_update(slot, Address::new(number * 8)).is_ok())
        };
        assert!(!done || self.newest(key) == number, "what was written last is found");
        if done { number } else { 0 }
    }

    /// Deletes a key in place, as long as that may be, and frees its entry if there is nothing else in its chain. True if it did.
    fn delete(&self, key: u64) -> bool {
        let World { epoch, index, log } = &*self.world;
        let mut participant = epoch.join();
        let guard = participant.pin();
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        let slot = index.find(hash_of(key), &guard);
        let found = log.walk(key, slot.address().get() / 8);
        let word = log.0[found as usize].fetch_or(DELETED, Ordering::AcqRel);
        if word & 0xff == 0 && slot.address().get() / 8 == found {
            let _ = index.try_free(slot);
        }
        true
    }

    /// The newest record of a key, or what that is a copy of; 0 if it has none, or is deleted.
    fn newest(&self, key: u64) -> u64 {
        let number = self.world.read(key);
        let word = self.world.log.0[number as usize].load(Ordering::Acquire);
        if number == 0 || word & DELETED != 0 { 0 } else { word >> 16 & 0xff }
    }

    /// Merges the two buckets while another thread does something.
    fn merge_beside<T: 'static>(self: &Arc<Self>, room: u64, work: impl FnOnce(&Self) -> T + 'static) -> T {
        self.beside(|shrinking| shrinking.merge(room), work)
    }

    /// The same with one record under each pin, which fails once at this copy.
    fn merge_slowly_beside<T: 'static>(self: &Arc<Self>, fails_at: u64, work: impl FnOnce(&Self) -> T + 'static) -> T {
        self.beside(|shrinking| shrinking.merge_slowly(fails_at), work)
    }

    fn beside<T: 'static>(self: &Arc<Self>, merge: impl FnOnce(&Self), work: impl FnOnce(&Self) -> T + 'static) -> T {
        self.begin();
        let shrinking = Arc::clone(self);
        let other = thread::spawn(move || work(&shrinking));
        merge(self);
        let done = other.join().unwrap();
        self.world.epoch.drain();
        self.world.assert_holds(&[]);
        done
    }
}

pub(super) fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 4_000;
    builder.check(model);
}

/// W2, W7: the two buckets have a chain of one tag each, which become one, and a thread appends to one of them: to that which is
/// copied, or to the other one.
///
/// Broken by: looking at a word before it is marked; changing what is marked.
#[test]
fn an_update_of_a_chain_that_is_joined_is_moved_or_fails() {
    for key in [2, 3] {
        check(move || {
            let shrinking = Shrinking::of(&[2, 3], false);
            let done = shrinking.merge_beside(9, move |shrinking| shrinking.append(key));
            let expected = |of: u64, number: u64| if of == key { number.max(done) } else { number };
            assert_eq!([2, 3].map(|of| shrinking.newest(of)), [expected(2, 1), expected(3, 2)]);
        });
    }
}

/// W3, W4, W7: a reader finds both keys all the time.
///
/// Broken by: leading to a copy before it is there; taking a chain that is not complete for one without the entry; not looking at the
/// slots again once a chain is seen complete.
#[test]
fn a_reader_finds_what_is_joined() {
    check(|| {
        let shrinking = Shrinking::of(&[2, 3], false);
        let found = shrinking.merge_beside(9, |shrinking| [2, 3].map(|key| shrinking.newest(key)));
        assert_eq!((found, [2, 3].map(|key| shrinking.newest(key))), ([1, 2], [1, 2]));
        assert!(shrinking.world.read(2) > 2, "its chain was the lower one");
    });
}

/// K4 of the kernel: a reader learns what its key has at or below the newest record of its chain, as from the device, and later looks at
/// what was added only. In between somebody else writes the key.
///
/// Broken by: leading to a copy before it is there; leaving a key out of the copies.
#[test]
fn what_was_found_out_about_a_chain_stays_true() {
    check(|| {
        let shrinking = Shrinking::of(&[2, 3], false);
        let (known, above, written) = shrinking.merge_beside(9, |shrinking| {
            let top = shrinking.world.top(2);
            let known = shrinking.world.log.walk(2, top);
            let written = shrinking.append(2);
            (known, shrinking.world.newest_above(2, top), written)
        });
        let seen = shrinking.world.log.0[if above == 0 { known } else { above } as usize].load(Relaxed) >> 16 & 0xff;
        assert_eq!((seen, shrinking.newest(2)), (written.max(1), written.max(1)));
    });
}

/// E1 of the kernel's `expiry`: one tells something, and looks whether the chain still begins where it did; another one, who has merged the
/// buckets, adds to the chain, and looks whether that was told. One of the two sees the other. (Chains of a tag on both sides, and of one
/// tag.)
///
/// Broken by: looking at the word that was found, in place of looking it up anew; no fence in `MemIndex::begins_at`.
#[test]
fn who_finds_no_change_of_a_chain_was_heard_by_who_changes_it() {
    for (keys, key) in [(&[2, 3][..], 2), (&[2, 3], 3), (&[2], 2)] {
        check(move || {
            let shrinking = Shrinking::of(keys, false);
            let told = Arc::new(AtomicBool::new(false));
            shrinking.begin();
            let reader = {
                let (shrinking, told) = (Arc::clone(&shrinking), Arc::clone(&told));
                thread::spawn(move || {
                    let World { epoch, index, .. } = &*shrinking.world;
                    let mut participant = epoch.join();
                    let guard = participant.pin();
                    let slot = index.find(hash_of(key), &guard);
                    told.store(true, Relaxed);
                    index.begins_at(&slot, &guard).then_some(slot.address().get() / 8)
                })
            };
            shrinking.merge(9);
            let added = shrinking.append(key);
            fence(Ordering::SeqCst);
            let heard = told.load(Relaxed);
            let unchanged = reader.join().unwrap();
            assert!(unchanged.is_none_or(|head| head == added) || heard, "{unchanged:?} is what it was");
            shrinking.world.epoch.drain();
            shrinking.world.assert_holds(&[]);
        });
    }
}

/// W7: a thread appends to one of two chains that are joined one record at a time: to that which is copied, or to the other one.
///
/// Broken by: freezing a side after its records were looked at; leaving a side as it was when the other leads to the joined chain.
#[test]
fn an_update_of_a_chain_that_is_joined_slowly_is_moved_or_fails() {
    for key in [2, 3] {
        check(move || {
            let shrinking = Shrinking::of(&[2, 18, 3], false);
            let done = shrinking.merge_slowly_beside(u64::MAX, move |shrinking| shrinking.append(key));
            let expected = |of: u64, number: u64| if of == key { number.max(done) } else { number };
            let newest = [2, 18, 3].map(|of| shrinking.newest(of));
            assert_eq!(newest, [expected(2, 1), 2, expected(3, 3)]);
        });
    }
}

/// W7: what is joined slowly fails between two copies, or at the last one, and is begun anew; a thread changes a key before, in between or
/// after. Of two pairs the first may have been joined by then.
///
/// Broken by: leading to a part; leaving words marked.
#[test]
fn what_was_joined_in_part_can_be_changed() {
    for (fails_at, key) in [(1, 2), (2, 2), (2, 3), (2, 4)] {
        check(move || {
            let keys = if key == 4 { [2, 4, 3, 5] } else { [2, 18, 3, 3] };
            let shrinking = Shrinking::of(&keys, false);
            let done = shrinking.merge_slowly_beside(fails_at, move |shrinking| shrinking.append(key));
            for (number, of) in (1..).zip(keys) {
                let number = if of == 3 && keys[3] == 3 { 4 } else { number };
                assert_eq!(shrinking.newest(of), if of == key { number.max(done) } else { number }, "key {of}");
            }
        });
    }
}

/// W3, W7: a reader finds two keys while chains are joined one record at a time, also what it found out before.
///
/// Broken by: leading to a part; leading to a copy before it is there.
#[test]
fn a_reader_finds_what_is_joined_slowly() {
    check(|| {
        let shrinking = Shrinking::of(&[2, 18, 3], false);
        let found = shrinking.merge_slowly_beside(u64::MAX, |shrinking| {
            let (top, found) = (shrinking.world.top(2), shrinking.newest(18));
            let known = shrinking.world.log.walk(2, top);
            let above = shrinking.world.newest_above(2, top);
            let seen = shrinking.world.log.0[if above == 0 { known } else { above } as usize].load(Relaxed);
            (found, seen >> 16 & 0xff)
        });
        assert_eq!((found, [2, 18, 3].map(|key| shrinking.newest(key))), ((2, 1), [1, 2, 3]));
    });
}

/// W4, W8: a thread inserts the first record of a tag in one of the buckets, of which the other has one; and of one that is in neither.
///
/// Broken by: inserting into a chain that is not complete; leaving free slots unmarked.
#[test]
fn a_first_entry_is_in_the_one_bucket_or_fails() {
    for key in [3, 5] {
        check(move || {
            let shrinking = Shrinking::of(&[2], false);
            let done = shrinking.merge_beside(9, move |shrinking| shrinking.append(key));
            assert_eq!([2, key].map(|of| shrinking.newest(of)), [1, done], "key {key}");
        });
    }
}

/// W2: a thread deletes a key whose record is not copied, and frees its entry if that is all there is in its chain.
///
/// Broken by: changing what is marked.
#[test]
fn an_entry_that_is_freed_takes_no_other_key_with_it() {
    check(|| {
        let shrinking = Shrinking::of(&[2, 3], true);
        let done = shrinking.merge_beside(9, |shrinking| shrinking.delete(3));
        assert_eq!([2, 3].map(|key| shrinking.newest(key)), [1, if done { 0 } else { 2 }]);
    });
}

/// W7, K2 of the kernel: a thread deletes a key in place whose record is to be copied. The copy knows of it, or it was not deleted.
///
/// Broken by: copying what is open; asking whether a record is settled after it was copied.
#[test]
fn a_deletion_in_place_is_in_the_copy() {
    check(|| {
        let shrinking = Shrinking::of(&[2, 3], true);
        let done = shrinking.merge_beside(9, |shrinking| {
            let done = shrinking.delete(2);
            assert!(!done || shrinking.newest(2) == 0, "who deleted it does not find it");
            done
        });
        assert_eq!([2, 3].map(|key| shrinking.newest(key)), [if done { 0 } else { 1 }, 2]);
    });
}

/// W7: a merge that has no room gives both buckets back as they were, and a thread changes one of them before or after. Of two keys that
/// are to be copied one has room.
///
/// Broken by: leaving words marked; leaving behind what was tentative when they were; leaving copies in force that were withdrawn.
#[test]
fn what_was_given_back_can_be_changed() {
    for key in [2, 5] {
        check(move || {
            let shrinking = Shrinking::of(&[2, 18, 3], false);
            let done = shrinking.merge_beside(1, move |shrinking| shrinking.append(key));
            let expected = |of: u64, number: u64| if of == key { number.max(done) } else { number };
            let newest = [2, 18, 3, 5].map(|of| shrinking.newest(of));
            assert_eq!(newest, [expected(2, 1), 2, 3, expected(5, 0)]);
        });
    }
}

impl Log {
    /// The newest record of each key with such a hash in a chain, the newest first.
    fn newest_of_all(&self, from: Address, is_own: impl Fn(KeyHash) -> bool) -> Vec<Address> {
        let (mut at, mut keys, mut newest) = (from.get() / 8, Vec::new(), Vec::new());
        while at != 0 {
            let (key, previous) = self.record(at);
            if is_own(hash_of(key)) && !keys.contains(&key) {
                keys.push(key);
                newest.push(Address::new(at * 8));
            }
            at = previous;
        }
        newest
    }
}

impl World {
    /// The newest record of the key's chain.
    fn top(&self, key: u64) -> u64 {
        let mut participant = self.epoch.join();
        let guard = participant.pin();
        self.index.find(hash_of(key), &guard).address().get() / 8
    }

    /// The newest record of the key that was added to its chain above `floor`, 0 if there is none.
    fn newest_above(&self, key: u64, floor: u64) -> u64 {
        let mut at = self.top(key);
        while at > floor {
            let (found, previous) = self.log.record(at);
            if found == key {
                return at;
            }
            at = previous;
        }
        0
    }
}
