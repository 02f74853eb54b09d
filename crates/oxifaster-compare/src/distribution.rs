//! Which key comes next.

use crate::random::{Random, mix};
use std::fmt;
use std::str::FromStr;

/// How often which key is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Distribution {
    /// All keys alike.
    Uniform,
    /// The key of rank `r` in proportion to `(r + 1)^-theta`; ranks are spread over the key space.
    Zipf(f64),
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(theta) => write!(f, "zipf {theta}"),
        }
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let theta = match text {
            "uniform" => return Ok(Self::Uniform),
            "zipf" => 0.99,
            other => other
                .strip_prefix("zipf:")
                .and_then(|theta| theta.parse().ok())
                .ok_or_else(|| format!("`{other}` is not a distribution: uniform, zipf or zipf:0.8"))?,
        };
        if theta > 0.0 && theta < 1.0 {
            Ok(Self::Zipf(theta))
        } else {
            Err(format!("theta {theta} does not lie between 0 and 1"))
        }
    }
}

/// Draws keys below a bound.
#[derive(Debug, Clone)]
pub(crate) enum KeyChooser {
    Uniform { keys: u64 },
    Zipf { ranks: Zipf, spread: Permutation },
}

impl KeyChooser {
    pub(crate) fn new(distribution: Distribution, keys: u64) -> Self {
        match distribution {
            Distribution::Uniform => Self::Uniform { keys },
            Distribution::Zipf(theta) => {
                Self::Zipf { ranks: Zipf::new(keys, theta), spread: Permutation::new(keys, 1) }
            }
        }
    }

    #[inline]
    pub(crate) fn key(&self, random: &mut Random) -> u64 {
        match self {
            Self::Uniform { keys } => random.below(*keys),
            Self::Zipf { ranks, spread } => spread.apply(ranks.rank(random)),
        }
    }
}

/// Ranks from a zipfian distribution, by the sampler of Gray et al., "Quickly generating billion-record synthetic
/// databases" (SIGMOD 1994), which YCSB uses: exact for the first two ranks, one power per draw for the rest.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    items: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
    first_two: f64,
}

impl Zipf {
    fn new(items: u64, theta: f64) -> Self {
        let zeta = zeta(items, theta);
        let first_two = 1.0 + 0.5_f64.powf(theta);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - theta)) / (1.0 - first_two / zeta);
        Self { items, alpha: 1.0 / (1.0 - theta), zeta, eta, first_two }
    }

    fn rank(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        let rank = if scaled < 1.0 {
            0
        } else if scaled < self.first_two {
            1
        } else {
            (self.items as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha)) as u64
        };
        rank.min(self.items - 1)
    }
}

/// The sum of `i^-theta` for `i` from 1 to `items`: the first terms one by one, the rest by the Euler-Maclaurin formula,
/// whose error at a thousand terms is far below that of the floating point sum.
fn zeta(items: u64, theta: f64) -> f64 {
    const EXACT: u64 = 1_000;
    let term = |i: u64| (i as f64).powf(-theta);
    let head: f64 = (1..=items.min(EXACT)).map(term).sum();
    if items <= EXACT {
        return head;
    }
    let (first, last) = (EXACT as f64, items as f64);
    let integral = (last.powf(1.0 - theta) - first.powf(1.0 - theta)) / (1.0 - theta);
    head + integral
        + (term(items) - term(EXACT)) / 2.0
        + theta * (first.powf(-theta - 1.0) - last.powf(-theta - 1.0)) / 12.0
}

/// A shuffle of the numbers below `items` that needs no memory, so that popular keys lie spread over the key space.
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
        // Odd multiplications and shifts onto the own lower half are bijections of the power of two above `items`;
        // walking on until the result is below `items` makes them one of `items`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeta_equals_the_sum_it_stands_for() {
        for (items, theta) in [(999, 0.5), (1_001, 0.99), (200_000, 0.99)] {
            let sum: f64 = (1..=items).map(|i| (i as f64).powf(-theta)).sum();
            assert!((zeta(items, theta) / sum - 1.0).abs() < 1e-10, "{items} items, theta {theta}");
        }
    }

    #[test]
    fn the_first_ranks_come_as_often_as_the_formula_says() {
        let (items, theta, draws) = (10_000, 0.99, 1_000_000);
        let (zipf, mut random) = (Zipf::new(items, theta), Random::new(1));
        let mut counts = vec![0_u32; items as usize];
        for _ in 0..draws {
            counts[zipf.rank(&mut random) as usize] += 1;
        }
        let share = |from: usize, to: usize| (from..to).map(|rank| ((rank + 1) as f64).powf(-theta)).sum::<f64>();
        for (from, to, tolerance) in [(0, 1, 0.03), (1, 2, 0.03), (2, 100, 0.2), (100, 10_000, 0.2)] {
            let drawn = f64::from(counts[from..to].iter().sum::<u32>());
            let wanted = share(from, to) / zeta(items, theta) * f64::from(draws);
            assert!((drawn / wanted - 1.0).abs() < tolerance, "ranks {from} to {to}: {drawn}, not {wanted}");
        }
    }

    #[test]
    fn a_permutation_meets_every_item_once() {
        for items in [1, 2, 3, 7, 1_000, 65_536, 100_003] {
            let permutation = Permutation::new(items, 9);
            let mut seen = vec![false; items as usize];
            for item in 0..items {
                assert!(!std::mem::replace(&mut seen[permutation.apply(item) as usize], true), "{items} items");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        assert_eq!("zipf".parse(), Ok(Distribution::Zipf(0.99)));
        assert_eq!("zipf:0.5".parse(), Ok(Distribution::Zipf(0.5)));
        assert!("zipf:1.5".parse::<Distribution>().is_err());
        assert!("normal".parse::<Distribution>().is_err());
    }
}
