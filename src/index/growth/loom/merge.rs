//! Models of two buckets that become one while others use them.

use super::super::records::Copier;
use super::super::{Hindrance, Means, ShrinkStage};
use super::*;
use std::cell::Cell;

/// Makes copies, from record 6 on, for one thread.
struct Copies<'w> {
    log: &'w Log,
    next: Cell<u64>,
    /// Copies for which there is room the first time.
    room: Cell<u64>,
}

impl Copier for Copies<'_> {
    fn is_settled(&self, _: Address) -> bool {
        true
    }

    fn copy(&self, at: Address, onto: Address, _: bool) -> Option<Address> {
        self.room.set(self.room.get().checked_sub(1)?);
        let (key, _) = self.log.record(at.get() / 8);
        let number = self.next.replace(self.next.get() + 1);
        self.log.put(number, key, onto.get() / 8, self.log.0[at.get() as usize / 8].load(Relaxed) >> 16);
        Some(Address::new(number * 8))
    }

    fn withdraw(&self, _: Address) {}
}

impl World {
    /// Puts the smaller table in force, while nobody else is there.
    fn begin_to_shrink(&self) {
        self.index.begin_to_shrink(None).unwrap();
        self.index.shrink_in_force().unwrap();
    }

    /// Merges the two buckets, with so much room at the first try.
    fn merge(&self, room: u64) {
        let copies = Copies { log: &self.log, next: Cell::new(6), room: Cell::new(room) };
        let means = Means { records: &self.log, copier: Some(&copies), dry: &[] };
        let mut participant = self.epoch.join();
        while self.index.shrink_stage() == ShrinkStage::Merging {
            let merged = {
                let _guard = participant.pin();
                self.index.merge(0, means, false, &self.epoch)
            };
            match merged {
                Err(Hindrance::Room) => copies.room.set(9),
                Err(hindrance) => panic!("{hindrance:?}"),
                Ok(()) => thread::yield_now(),
            }
        }
    }

    /// The newest record of a key, or what that is a copy of; 0 if it has none.
    fn newest(&self, key: u64) -> u64 {
        match self.read(key) {
            0 => 0,
            number => self.log.0[number as usize].load(Relaxed) >> 16,
        }
    }

    /// Merges the two buckets while another thread does something.
    fn merge_beside<T: 'static>(self: &Arc<Self>, room: u64, work: impl FnOnce(&Self) -> T + 'static) -> T {
        self.begin_to_shrink();
        let world = Arc::clone(self);
        let other = thread::spawn(move || work(&world));
        self.merge(room);
        let done = other.join().unwrap();
        self.epoch.drain();
        done
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
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
            let world = World::of(2, &[2, 3]);
            let done = world.merge_beside(9, move |world| world.append(key, 3));
            let expected = |of: u64, number: u64| if done && of == key { 3 } else { number };
            assert_eq!([world.newest(2), world.newest(3)], [expected(2, 1), expected(3, 2)]);
            world.assert_holds(&[]);
        });
    }
}

/// W3, W4, W7: a reader finds both keys all the time.
///
/// Broken by: leading to a copy before it is there; taking a chain that is not complete for one without the entry.
#[test]
fn a_reader_finds_what_is_joined() {
    check(|| {
        let world = World::of(2, &[2, 3]);
        let found = world.merge_beside(9, |world| [world.newest(2), world.newest(3)]);
        assert_eq!(found, [1, 2]);
        assert_eq!([world.newest(2), world.newest(3)], [1, 2]);
        assert!(world.read(2) >= 6, "its chain was the lower one");
        world.assert_holds(&[]);
    });
}

/// W4, W8: a thread inserts the first record of a tag in one of the buckets, of which the other has one; and of one that is in neither.
///
/// Broken by: inserting into a chain that is not complete; leaving free slots unmarked.
#[test]
fn a_first_entry_is_in_the_one_bucket_or_fails() {
    for key in [3, 5] {
        check(move || {
            let world = World::of(2, &[2]);
            let done = world.merge_beside(9, move |world| world.append(key, 2));
            assert_eq!([world.newest(2), world.newest(key)], [1, if done { 2 } else { 0 }], "key {key}");
            world.assert_holds(&[]);
        });
    }
}

/// W2: a thread frees an entry.
///
/// Broken by: changing what is marked.
#[test]
fn an_entry_that_is_freed_is_gone_or_fails() {
    check(|| {
        let world = World::of(2, &[2, 3]);
        let (done, is_joined) = world.merge_beside(9, |world| {
            let done = world.free(3);
            (done, done && world.newest(2) == 0)
        });
        // What was freed before the merge leaves the other chain as it is. What was freed after it was the entry of both.
        assert_eq!(world.newest(3), if done { 0 } else { 2 });
        assert_eq!(world.newest(2), if is_joined { 0 } else { 1 });
        world.assert_holds(&[]);
    });
}

/// W7: a merge that has no room gives both buckets back as they were, and a thread changes one of them before or after.
///
/// Broken by: leaving words marked; leaving behind what was tentative when they were.
#[test]
fn what_was_given_back_can_be_changed() {
    for key in [2, 5] {
        check(move || {
            let world = World::of(2, &[2, 3]);
            let done = world.merge_beside(0, move |world| world.append(key, 3));
            let expected = |of: u64, number: u64| if done && of == key { 3 } else { number };
            let newest = [2, 3, 5].map(|of| world.newest(of));
            assert_eq!(newest, [expected(2, 1), expected(3, 2), expected(5, 0)]);
            world.assert_holds(&[]);
        });
    }
}
