//! What is drawn by lot, and what the wall clock says: all that differs between two runs of the same calls on one thread.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// 64 random bits that tell things apart: tokens, generations, names of sessions.
pub(crate) fn random_bits() -> u64 {
    #[cfg(feature = "test-util")]
    if let Some(bits) = again::next() {
        return bits;
    }
    // The standard library seeds this hasher from the operating system's source of randomness.
    RandomState::new().hash_one("oxifaster")
}

/// Milliseconds since the Unix epoch; 0 if the clock says that it is before. For dates that people read; nothing is decided
/// by it, because it jumps.
pub(crate) fn unix_milliseconds() -> u64 {
    #[cfg(feature = "test-util")]
    if let Some(bits) = again::next() {
        return again::EPOCH + bits % 1_000;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(feature = "test-util")]
pub use again::reproducibly;

/// The same draws in every run.
#[cfg(feature = "test-util")]
mod again {
    use std::cell::Cell;

    /// About the year 2033, so that no file has a date of its own.
    pub(super) const EPOCH: u64 = 2_000_000_000_000;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Ends what it began, also if the call panics.
    struct Ended(Option<u64>);

    impl Drop for Ended {
        fn drop(&mut self) {
            STATE.set(self.0);
        }
    }

    /// Runs `run` with everything that this thread draws by lot or asks the clock following from `seed`. For simulations:
    /// what is unique in the world otherwise is not any more.
    pub fn reproducibly<T>(seed: u64, run: impl FnOnce() -> T) -> T {
        let _ended = Ended(STATE.replace(Some(seed)));
        run()
    }

    pub(super) fn next() -> Option<u64> {
        let state = STATE.get()?.wrapping_add(0x9E37_79B9_7F4A_7C15);
        STATE.set(Some(state));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(mixed ^ (mixed >> 31))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_differs() {
        let drawn: std::collections::HashSet<u64> = (0..1_000).map(|_| random_bits()).collect();
        assert_eq!(drawn.len(), 1_000);
    }

    #[test]
    #[cfg(feature = "test-util")]
    fn what_is_drawn_follows_from_a_seed_if_one_is_given() {
        let draw = |seed| reproducibly(seed, || (random_bits(), random_bits(), unix_milliseconds()));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(random_bits(), random_bits());
        let inner = reproducibly(1, || (reproducibly(2, random_bits), random_bits()));
        assert_eq!(inner, (draw(2).0, draw(1).0), "it goes on where it was");
    }
}
