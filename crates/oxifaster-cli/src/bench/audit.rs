//! One thread's book: which answers are right, which came, and how long they took.

use super::checkpoints::{Divider, Signal};
use super::faults::Faults;
use super::growth::{Growth, Inserts};
use super::oracle::{Claim, FIRST, Oracle, Stamps};
use super::tally::Tally;
use super::value::{Content, Wrong, judge, version_of};
use super::workload::Operation;
use oxifaster::Result;
use std::time::{Duration, Instant};

/// What the answers are checked against, and where the wrong ones go.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    pub(crate) oracle: &'a Oracle,
    pub(crate) growth: &'a Growth,
    pub(crate) faults: &'a Faults,
    /// The stage, for the report of a fault.
    pub(crate) during: &'a str,
    /// Says when a checkpoint is under way, if any are to be taken.
    pub(crate) signal: Option<&'a Signal>,
}

/// A key that the store is being asked for, and the lowest version that it may answer with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    key: u64,
    floor: u64,
}

/// A version that is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) operation: Operation,
    pub(crate) key: u64,
    version: u64,
}

/// A read-modify-write that was announced to the oracle: adds one to the version, or sets the stamp if the key is not
/// sampled.
pub(crate) struct Change<V: Content> {
    pub(crate) asked: Asked,
    stamp: Option<u64>,
    shape: V::Shape,
}

impl<V: Content> Clone for Change<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Content> Copy for Change<V> {}

impl<V: Content> Change<V> {
    /// What the store is to do with the value; false, and the value unchanged, if the value is not the right one.
    pub(crate) fn apply(self, value: &mut V) -> bool {
        let Asked { key, floor } = self.asked;
        // The oracle's ceiling cannot be asked from inside the store, so what comes in is held to the floor only.
        let (low, high) = match self.stamp {
            None => (floor, floor + V::VERSION_MASK / 2),
            Some(_) => (0, u64::MAX),
        };
        if judge(Some(value), self.shape, key, (low, high)).is_err() {
            return false;
        }
        let version = self.stamp.or_else(|| version_of(value).map(|version| version + 1));
        *value = V::encode(key, version.unwrap_or(FIRST), self.shape);
        true
    }
}

/// Prepares the operations of one thread, checks what comes back, counts and times.
///
/// An operation that is done at once takes one reading of the clock: it began when the one before it was done. That
/// charges the drawing of the key to the operation, which errs on the slow side, and halves the cost of measuring.
pub(crate) struct Audit<'a, V: Content> {
    check: Check<'a>,
    shape: V::Shape,
    inserts: Inserts<'a>,
    stamps: Stamps,
    clock: Instant,
    tally: Tally,
    divider: Option<Divider<'a>>,
}

impl<'a, V: Content> Audit<'a, V> {
    pub(crate) fn new(check: Check<'a>, thread: usize, shape: V::Shape) -> Self {
        Self {
            check,
            shape,
            inserts: Inserts::new(check.growth, thread),
            stamps: Stamps::default(),
            clock: Instant::now(),
            tally: Tally::default(),
            divider: check.signal.map(Divider::new),
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn into_tally(mut self) -> Tally {
        self.tally.sides = self.divider.map(Divider::finish).unwrap_or_default();
        self.tally
    }

    /// The first version of a loaded key.
    pub(crate) fn load(&mut self, key: u64) -> Write {
        self.tally.loaded_bytes += V::length(key, FIRST, self.shape) as u64;
        Write { operation: Operation::Insert, key, version: FIRST }
    }

    /// The first version of the key that this thread inserts next.
    pub(crate) fn insert(&mut self) -> Write {
        Write { operation: Operation::Insert, key: self.inserts.next_key(), version: FIRST }
    }

    /// The value that is to be written.
    pub(crate) fn value(&self, write: Write) -> V {
        V::encode(write.key, write.version, self.shape)
    }

    /// A new version of `key`; `None` if another write of it is under way and the key is a sampled one.
    pub(crate) fn update(&mut self, key: u64) -> Option<Write> {
        let version = match self.check.oracle.claim(key) {
            Claim::Exact(version) => version,
            Claim::Stamp => self.check.oracle.stamp(&mut self.stamps),
            Claim::Taken => return None,
        };
        Some(Write { operation: Operation::Update, key, version })
    }

    /// A read that begins now.
    pub(crate) fn ask(&self, key: u64) -> Asked {
        Asked { key, floor: self.check.oracle.floor(key) }
    }

    /// A read-modify-write that begins now.
    pub(crate) fn change(&mut self, key: u64) -> Change<V> {
        let asked = self.ask(key);
        let sampled = self.check.oracle.announce(key);
        Change { asked, stamp: (!sampled).then(|| self.check.oracle.stamp(&mut self.stamps)), shape: self.shape }
    }

    /// A read gave `value`.
    pub(crate) fn answered(&mut self, asked: Asked, value: Option<&V>) {
        let Asked { key, floor } = asked;
        let ceiling = self.check.oracle.ceiling(key);
        self.count_check(key);
        if let Err(wrong) = judge(value, self.shape, key, (floor, ceiling)) {
            self.check.faults.add(self.check.during, key, (floor, ceiling), wrong);
        }
    }

    /// A write has returned.
    pub(crate) fn written(&mut self, write: Write) {
        match write.operation {
            Operation::Insert => self.inserts.acknowledge(write.key),
            _ => self.check.oracle.acknowledge(write.key),
        }
    }

    /// A read-modify-write has returned. One that refused the value was given a wrong one: `read` tells what the store has
    /// for the key.
    pub(crate) fn changed(
        &mut self,
        asked: Asked,
        applied: bool,
        read: impl FnOnce(&u64) -> Result<Option<V>>,
    ) -> Result<()> {
        let Asked { key, floor } = asked;
        self.count_check(key);
        if applied {
            self.check.oracle.acknowledge(key);
            return Ok(());
        }
        let ceiling = self.check.oracle.ceiling(key);
        let found = judge(read(&key)?.as_ref(), self.shape, key, (floor, ceiling));
        // A value that looks sound by now must have been wrong when the logic saw it.
        self.check.faults.add(self.check.during, key, (floor, ceiling), found.err().unwrap_or(Wrong::Damaged));
        Ok(())
    }

    /// An operation is done that began when the one before it was done.
    pub(crate) fn done(&mut self, operation: Operation) {
        let now = Instant::now();
        self.took(operation, now - self.clock, 1);
        self.clock = now;
    }

    /// An operation goes on beside the next one; gives the time at which it began.
    pub(crate) fn goes_on(&mut self) -> Instant {
        std::mem::replace(&mut self.clock, Instant::now())
    }

    /// When the operation that is being issued began.
    pub(crate) fn clock(&self) -> Instant {
        self.clock
    }

    /// The next operation begins now.
    pub(crate) fn restart_clock(&mut self) {
        self.clock = Instant::now();
    }

    /// `count` operations took `latency` each.
    pub(crate) fn took(&mut self, operation: Operation, latency: Duration, count: u64) {
        self.tally.record(operation, latency, count);
        if let Some(divider) = &mut self.divider {
            divider.record(latency, count);
        }
    }

    fn count_check(&mut self, key: u64) {
        self.tally.checked += 1;
        self.tally.exact += u64::from(self.check.oracle.is_exact(key));
    }
}
