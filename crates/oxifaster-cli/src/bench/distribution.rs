//! Which key comes next.

use super::value::mix;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::Rng;

/// A whole number below `bound`, all equally likely (up to one part in 2^64 / `bound`).
pub(crate) fn below(rng: &mut Xoshiro256PlusPlus, bound: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// A number from 0 up to but not including 1.
fn unit(rng: &mut Xoshiro256PlusPlus) -> f64 {
    to_unit(rng.next_u64())
}

/// The number from 0 up to but not including 1 that these bits stand for.
pub(crate) fn to_unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Ranks from a zipfian distribution: rank 0 is the most popular, rank `r` is drawn in proportion to `(r + 1)^-theta`.
///
/// The sampler of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), which YCSB uses:
/// exact for the first two ranks, one power per draw for the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Zipfian {
    items: u64,
    theta: f64,
    alpha: f64,
    zeta: f64,
    eta: f64,
    first_two: f64,
}

impl Zipfian {
    /// A distribution over `items` ranks; `theta` lies strictly between 0 (uniform) and 1.
    pub(crate) fn new(items: u64, theta: f64) -> Self {
        let zeta_of_items = zeta(items, theta);
        let first_two = 1.0 + 0.5_f64.powf(theta);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - theta)) / (1.0 - first_two / zeta_of_items);
        Self { items, theta, alpha: 1.0 / (1.0 - theta), zeta: zeta_of_items, eta, first_two }
    }

    /// How many ranks there are.
    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    /// The skew.
    pub(crate) fn theta(&self) -> f64 {
        self.theta
    }

    pub(crate) fn rank(&self, rng: &mut Xoshiro256PlusPlus) -> u64 {
        self.rank_at(unit(rng))
    }

    /// The rank that a number from 0 to 1 stands for.
    pub(crate) fn rank_at(&self, uniform: f64) -> u64 {
        let scaled = uniform * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < self.first_two {
            1
        } else {
            (self.items as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha)) as u64
        };
        rank.min(self.items - 1)
    }
}

/// The sum of `i^-theta` for `i` from 1 to `items`.
///
/// The first terms are added up, the rest comes from the Euler-Maclaurin formula, whose error at 1,000 terms is far
/// below that of the floating point sum. So a key space that grows can afford a new sum whenever it likes.
fn zeta(items: u64, theta: f64) -> f64 {
    const EXACT: u64 = 1_000;
    let term = |i: u64| (i as f64).powf(-theta);
    let head: f64 = (1..=items.min(EXACT)).map(term).sum();
    if items <= EXACT {
        return head;
    }
    let (first, last) = (EXACT as f64, items as f64);
    let integral = (last.powf(1.0 - theta) - first.powf(1.0 - theta)) / (1.0 - theta);
    let ends = (term(items) - term(EXACT)) / 2.0;
    let slopes = theta * (first.powf(-theta - 1.0) - last.powf(-theta - 1.0)) / 12.0;
    head + integral + ends + slopes
}

/// A shuffle of the numbers below `items` that needs no memory, so that popular keys lie spread over the whole log.
#[derive(Debug, Clone)]
pub(crate) struct Permutation {
    items: u64,
    mask: u64,
    shift: u32,
    multipliers: [u64; 3],
}

impl Permutation {
    pub(crate) fn new(items: u64, seed: u64) -> Self {
        let bits = (64 - items.saturating_sub(1).leading_zeros()).max(2);
        let multipliers = [1, 2, 3].map(|round| mix(seed ^ round) | 1);
        Self { items, mask: u64::MAX >> (64 - bits), shift: bits.div_ceil(2), multipliers }
    }

    pub(crate) fn apply(&self, item: u64) -> u64 {
        let mut item = item;
        // Multiplications by odd numbers and shifts onto the own lower half are bijections of the power of two above
        // `items`; walking on until the result is below `items` makes them one of `items`.
        loop {
            for multiplier in self.multipliers {
                item = item.wrapping_mul(multiplier) & self.mask;
                item ^= item >> self.shift;
            }
            if item < self.items {
                return item;
            }
        }
    }
}

/// Draws keys below a fixed bound.
#[derive(Debug, Clone)]
pub(crate) enum KeyChooser {
    Uniform { items: u64 },
    Zipfian { ranks: Zipfian, spread: Permutation },
}

impl KeyChooser {
    pub(crate) fn uniform(items: u64) -> Self {
        Self::Uniform { items }
    }

    pub(crate) fn zipfian(items: u64, theta: f64, seed: u64) -> Self {
        Self::Zipfian { ranks: Zipfian::new(items, theta), spread: Permutation::new(items, seed) }
    }

    pub(crate) fn key(&self, rng: &mut Xoshiro256PlusPlus) -> u64 {
        match self {
            Self::Uniform { items } => below(rng, *items),
            Self::Zipfian { ranks, spread } => spread.apply(ranks.rank(rng)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::SeedableRng;

    fn rng() -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(42)
    }

    #[test]
    fn zeta_equals_the_sum_it_stands_for() {
        for (items, theta) in [(1, 0.99), (999, 0.5), (1_001, 0.99), (200_000, 0.99), (200_000, 0.1)] {
            let sum: f64 = (1..=items).map(|i| (i as f64).powf(-theta)).sum();
            assert!((zeta(items, theta) / sum - 1.0).abs() < 1e-10, "{items} items, theta {theta}");
        }
    }

    #[test]
    fn popular_ranks_come_as_often_as_the_formula_says() {
        let (items, theta, draws) = (10_000, 0.99, 1_000_000);
        let zipfian = Zipfian::new(items, theta);
        let (mut rng, mut counts) = (rng(), vec![0_u32; items as usize]);
        for _ in 0..draws {
            counts[zipfian.rank(&mut rng) as usize] += 1;
        }
        let expected = |rank: usize| ((rank + 1) as f64).powf(-theta) / zeta(items, theta) * f64::from(draws);
        for rank in [0, 1] {
            assert!((f64::from(counts[rank]) / expected(rank) - 1.0).abs() < 0.03, "rank {rank}: {}", counts[rank]);
        }
        // The sampler is approximate beyond the second rank, so blocks of ranks are compared.
        for (from, to) in [(2, 10), (10, 100), (100, 1_000), (1_000, 10_000)] {
            let drawn: u32 = counts[from..to].iter().sum();
            let wanted: f64 = (from..to).map(expected).sum();
            assert!((f64::from(drawn) / wanted - 1.0).abs() < 0.2, "ranks {from} to {to}: {drawn}, not {wanted}");
        }
    }

    #[test]
    fn a_lower_theta_is_less_skewed() {
        let share_of_first = |theta| {
            let (zipfian, mut rng) = (Zipfian::new(1_000, theta), rng());
            (0..100_000).filter(|_| zipfian.rank(&mut rng) == 0).count()
        };
        assert!(share_of_first(0.99) > 2 * share_of_first(0.5));
        assert!(share_of_first(0.5) > 2 * share_of_first(0.1));
    }

    #[test]
    fn tiny_key_spaces_stay_within_bounds() {
        for items in 1..=5 {
            for chooser in [KeyChooser::zipfian(items, 0.99, 1), KeyChooser::uniform(items)] {
                let mut rng = rng();
                let mut seen = vec![false; items as usize];
                for _ in 0..1_000 {
                    seen[chooser.key(&mut rng) as usize] = true;
                }
                assert!(seen.iter().all(|seen| *seen), "{chooser:?}");
            }
        }
    }

    #[test]
    fn a_permutation_meets_every_item_once_and_spreads_neighbours() {
        for items in [1, 2, 3, 7, 1_000, 65_536, 100_003] {
            let permutation = Permutation::new(items, 9);
            let mut seen = vec![false; items as usize];
            for item in 0..items {
                assert!(!std::mem::replace(&mut seen[permutation.apply(item) as usize], true), "{items} items");
            }
        }
        let permutation = Permutation::new(100_003, 9);
        let lower_half = (0..1_000).filter(|item| permutation.apply(*item) < 50_001).count();
        assert!((400..600).contains(&lower_half), "{lower_half} of the first 1,000 land in the lower half");
    }

    #[test]
    fn uniform_draws_fill_all_tenths_alike() {
        let mut rng = rng();
        let mut tenths = [0_u32; 10];
        for _ in 0..100_000 {
            tenths[(below(&mut rng, 1_000) / 100) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (9_500..10_500).contains(count)), "{tenths:?}");
    }
}
