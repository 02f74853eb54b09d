//! The values of a store that is compacted.

use super::Words;
use crate::SimRng;
use crate::program::{AnyLength, Shape};
use oxifaster::clock::VirtualClock;
use oxifaster::record::{Expiring, Expiry, Value};
use std::fmt::Debug;
use std::time::Duration;

/// A kind of values, and what it is called as a program.
pub trait Sample: Value + PartialEq + Debug {
    /// The name of the program.
    const NAME: &'static str;
    /// What it does, in a line.
    const ABOUT: &'static str;

    /// A value that is written at the time `now`.
    fn of(words: [u64; 3], now: u64, rng: &mut SimRng) -> Self;

    /// One that stays.
    fn lasting(words: [u64; 3]) -> Self;

    /// What it was made of.
    fn words(&self) -> [u64; 3];

    /// Now and then, if that makes a difference.
    fn let_time_pass(clock: &VirtualClock, rng: &mut SimRng);
}

impl Sample for Words {
    const NAME: &'static str = "compaction";
    const ABOUT: &'static str =
        "a store that is compacted while it takes checkpoints: nothing is missing, nothing comes back";

    fn of(words: [u64; 3], _: u64, _: &mut SimRng) -> Self {
        words
    }

    fn lasting(words: [u64; 3]) -> Self {
        words
    }

    fn words(&self) -> [u64; 3] {
        *self
    }

    fn let_time_pass(_: &VirtualClock, _: &mut SimRng) {}
}

impl Sample for Expiring<Words> {
    const NAME: &'static str = "expiry";
    const ABOUT: &'static str = "the same while values end: what has ended is not there, nor anything older";

    fn of(words: [u64; 3], now: u64, rng: &mut SimRng) -> Self {
        let expiry = if rng.coin() { Expiry::at_ms(now + 1 + rng.below(100)) } else { Expiry::NEVER };
        Self::until(words, expiry)
    }

    fn lasting(words: [u64; 3]) -> Self {
        words.into()
    }

    fn words(&self) -> [u64; 3] {
        **self
    }

    fn let_time_pass(clock: &VirtualClock, rng: &mut SimRng) {
        if rng.one_in(4) {
            clock.advance(Duration::from_millis(rng.below(8)));
        }
    }
}

impl Sample for Vec<u8> {
    const NAME: &'static str = "compaction-of-any-length";
    const ABOUT: &'static str = "the same with values that become longer and shorter";

    fn of(words: [u64; 3], _: u64, _: &mut SimRng) -> Self {
        Self::lasting(words)
    }

    fn lasting(words: [u64; 3]) -> Self {
        AnyLength::value(words)
    }

    fn words(&self) -> [u64; 3] {
        AnyLength::words(self)
    }

    fn let_time_pass(_: &VirtualClock, _: &mut SimRng) {}
}
