//! Chance, reproducible.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A stream of numbers that depends on nothing but its seed.
///
/// Things that are decided independently draw from streams of their own ([`fork`](Self::fork)), so that one more decision
/// of one kind does not change all later ones of the others.
#[derive(Debug, Clone)]
pub struct SimRng(Xoshiro256PlusPlus);

impl SimRng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// The stream of `seed` for one purpose. Different purposes have unrelated streams.
    pub fn fork(seed: u64, purpose: &str) -> Self {
        Self::new(derive(seed, purpose, 0))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A whole number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// An index into something of `len` entries.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True one time out of `n`; never if that is zero.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// True every other time.
    pub fn coin(&mut self) -> bool {
        self.bits() >> 63 == 0
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

/// A seed for one purpose, and one number of it, out of another seed.
pub fn derive(seed: u64, purpose: &str, number: u64) -> u64 {
    let mixed = purpose.bytes().fold(seed ^ 0x9E37_79B9_7F4A_7C15, |state, byte| mix(state ^ u64::from(byte)));
    mix(mixed ^ number)
}

/// A bijection that spreads every bit over all of them.
pub(crate) fn mix(number: u64) -> u64 {
    let mut bits = number;
    for (shift, factor) in [(32, 0xD6E8_FEB8_6659_FD93_u64), (29, 0xD6E8_FEB8_6659_FD93), (32, 1)] {
        bits = (bits ^ (bits >> shift)).wrapping_mul(factor);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream_and_purposes_have_their_own() {
        let draw = |mut rng: SimRng| (0..8).map(|_| rng.bits()).collect::<Vec<_>>();
        assert_eq!(draw(SimRng::new(7)), draw(SimRng::new(7)));
        assert_ne!(draw(SimRng::new(7)), draw(SimRng::new(8)));
        assert_eq!(draw(SimRng::fork(7, "faults")), draw(SimRng::fork(7, "faults")));
        assert_ne!(draw(SimRng::fork(7, "faults")), draw(SimRng::fork(7, "delays")));
        assert_ne!(derive(7, "crash", 1), derive(7, "crash", 2));
    }

    #[test]
    fn bounds_hold_and_everything_below_them_comes_up() {
        let mut rng = SimRng::new(1);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[rng.index(5)] += 1;
        }
        assert!(seen.iter().all(|count| (120..280).contains(count)), "{seen:?}");
        assert!((0..100).all(|_| !rng.one_in(0) && rng.one_in(1)));
        assert_eq!(rng.below(0), 0);
        let mut items: Vec<_> = (0..50).collect();
        rng.shuffle(&mut items);
        assert!(items != (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
