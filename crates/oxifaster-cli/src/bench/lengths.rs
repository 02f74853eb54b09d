//! How long values are.

use super::distribution::{Zipfian, to_unit};
use super::value::{HEADER, SIZES, mix};
use crate::units::parse_size;
use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

/// The longest value: it has to lie on one page.
const LONGEST: usize = 1 << 20;
/// The longest value of a log-normal distribution unless said otherwise.
const TAIL: usize = 64 << 10;
/// Skew of the zipfian distribution unless said otherwise.
const THETA: f64 = 0.99;
/// Lengths that are drawn to know their mean.
const DRAWS: u64 = 10_000;

/// What `--value-size` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Values {
    /// All have this length, and the store knows it.
    Fixed(usize),
    /// They are of any length for the store.
    AnyLength(Lengths),
}

impl Values {
    /// Bytes of a value, on the average.
    pub(crate) fn mean(&self) -> usize {
        match self {
            Self::Fixed(size) => *size,
            Self::AnyLength(lengths) => lengths.mean(),
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::AnyLength(lengths) => lengths.fmt(f),
        }
    }
}

/// Reads `--value-size`.
pub(crate) fn parse_values(text: &str) -> Result<Values, String> {
    match parse_size(text) {
        Ok(size) if SIZES.contains(&(size as usize)) => Ok(Values::Fixed(size as usize)),
        Ok(size) => Lengths::uniform(size, size).map(Values::AnyLength),
        Err(_) => text.parse().map(Values::AnyLength),
    }
}

/// A distribution of lengths. Which one a value has follows from its key and version alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lengths {
    low: usize,
    high: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// All alike.
    Uniform,
    /// The shorter the likelier.
    Zipf(Zipfian),
    /// The logarithm is normal, with this mean and deviation.
    LogNormal(f64, f64),
}

impl Lengths {
    fn uniform(low: u64, high: u64) -> Result<Self, String> {
        let (low, high) = within(low, high)?;
        Ok(Self { low, high, kind: Kind::Uniform })
    }

    /// How long the value of `key` at `version` is.
    pub(crate) fn length(self, key: u64, version: u64) -> usize {
        let drawn = mix(mix(key ^ 0x6c62_272e_07bb_0142) ^ version);
        let uniform = to_unit(drawn);
        let span = (self.high - self.low + 1) as f64;
        match self.kind {
            Kind::Uniform => (self.low + (uniform * span) as usize).min(self.high),
            Kind::Zipf(ranks) => self.low + ranks.rank_at(uniform) as usize,
            Kind::LogNormal(mean, deviation) => {
                // Box and Muller: two uniform numbers make a normal one.
                let radius = (-2.0 * (1.0 - uniform).ln()).sqrt();
                let normal = radius * (TAU * to_unit(mix(drawn))).cos();
                ((mean + deviation * normal).exp().round() as usize).clamp(self.low, self.high)
            }
        }
    }

    /// The mean of many.
    pub(crate) fn mean(self) -> usize {
        let all: usize = (0..DRAWS).map(|key| self.length(key, 0)).sum();
        all / DRAWS as usize
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, high, kind } = self;
        match kind {
            Kind::Uniform if low == high => write!(f, "any:{low}"),
            Kind::Uniform => write!(f, "uniform:{low}..{high}"),
            Kind::Zipf(ranks) => write!(f, "zipf:{low}..{high},{}", ranks.theta()),
            Kind::LogNormal(mean, deviation) => {
                write!(f, "lognormal:{},{deviation},{low}..{high}", mean.exp().round())
            }
        }
    }
}

impl FromStr for Lengths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let parts: Vec<&str> = rest.split(',').collect();
        match (name, &parts[..]) {
            ("any", [size]) => {
                let size = parse_size(size)?;
                Self::uniform(size, size)
            }
            ("uniform", [bounds]) => {
                let (low, high) = range(bounds)?;
                Self::uniform(low, high)
            }
            ("zipf", [bounds, skew @ ..]) if skew.len() < 2 => {
                let (low, high) = range(bounds)?;
                let (low, high) = within(low, high)?;
                let theta = skew.first().map_or(Ok(THETA), |skew| number(skew))?;
                if !(theta > 0.0 && theta < 1.0) {
                    return Err(format!("a skew of {theta} is not between 0 and 1, both excluded: 0.99 is usual"));
                }
                Ok(Self { low, high, kind: Kind::Zipf(Zipfian::new((high - low + 1) as u64, theta)) })
            }
            ("lognormal", [median, deviation, bounds @ ..]) if bounds.len() < 2 => {
                let (low, high) = bounds.first().map_or(Ok((HEADER as u64, TAIL as u64)), |bounds| range(bounds))?;
                let (low, high) = within(low, high)?;
                let (median, deviation) = (parse_size(median)?, number(deviation)?);
                if median == 0 || !(0.0..=10.0).contains(&deviation) {
                    return Err("give a median of 1 byte or more, and a deviation from 0 to 10".to_owned());
                }
                Ok(Self { low, high, kind: Kind::LogNormal((median as f64).ln(), deviation) })
            }
            _ => Err(format!(
                "{text:?} is no size of values: give bytes (100, 1KiB), any:SIZE for a store that does not know it, \
                 uniform:LOW..HIGH, zipf:LOW..HIGH or zipf:LOW..HIGH,SKEW, or lognormal:MEDIAN,DEVIATION or \
                 lognormal:MEDIAN,DEVIATION,LOW..HIGH"
            )),
        }
    }
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (low, high) = text.split_once("..").ok_or_else(|| format!("{text:?} is no range: give LOW..HIGH"))?;
    Ok((parse_size(low)?, parse_size(high)?))
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Values carry a header, and lie on one page.
fn within(low: u64, high: u64) -> Result<(usize, usize), String> {
    if low >= HEADER as u64 && high <= LONGEST as u64 && low <= high {
        return Ok((low as usize, high as usize));
    }
    Err(format!(
        "values of {low} to {high} bytes are not possible: give {HEADER} to {LONGEST}, the smaller first, or 8"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str) -> Vec<usize> {
        let lengths: Lengths = text.parse().unwrap();
        (0..20_000).map(|key| lengths.length(key, key % 7)).collect()
    }

    fn share(lengths: &[usize], part: impl Fn(usize) -> bool) -> f64 {
        lengths.iter().filter(|length| part(**length)).count() as f64 / lengths.len() as f64
    }

    #[test]
    fn lengths_are_spread_as_they_should_be() {
        let uniform = lengths("uniform:16..1015");
        assert_eq!((uniform.iter().min(), uniform.iter().max()), (Some(&16), Some(&1015)));
        assert!((share(&uniform, |length| length < 116) - 0.1).abs() < 0.01);
        let zipf = lengths("zipf:16..1015,0.99");
        let first = 1.0 / (1..=1000).map(|rank| f64::from(rank).powf(-0.99)).sum::<f64>();
        assert!((share(&zipf, |length| length == 16) - first).abs() < 0.01);
        assert!(zipf.iter().all(|length| (16..=1015).contains(length)));
        let normal = lengths("lognormal:200,1,16..100000");
        assert!((share(&normal, |length| length < 200) - 0.5).abs() < 0.02);
        // One deviation above the median.
        assert!((share(&normal, |length| length < 544) - 0.841).abs() < 0.02);
        assert_eq!(share(&lengths("lognormal:200,0"), |length| length == 200), 1.0);
        assert_eq!(share(&lengths("any:100"), |length| length == 100), 1.0);
    }

    #[test]
    fn the_mean_is_that_of_the_distribution() {
        let mean = "uniform:16..1015".parse::<Lengths>().unwrap().mean();
        assert!((500..=530).contains(&mean), "{mean}");
        assert_eq!(parse_values("300").unwrap().mean(), 300);
    }

    #[test]
    fn what_is_shown_is_understood_again() {
        for text in ["uniform:16..4096", "zipf:16..65536,0.5", "lognormal:200,1.5,16..65536", "any:100"] {
            let lengths: Lengths = text.parse().unwrap();
            assert_eq!((lengths.to_string(), lengths.to_string().parse()), (text.to_owned(), Ok(lengths)));
        }
        assert_eq!(parse_values("1KiB"), Ok(Values::Fixed(1024)));
        assert_eq!(parse_values("8").unwrap().to_string(), "8");
        assert_eq!(parse_values("300").unwrap().to_string(), "any:300");
    }

    #[test]
    fn nonsense_is_refused_with_what_would_do() {
        for (text, said) in [
            ("7", "16 to"),
            ("uniform:15..100", "16 to"),
            ("uniform:200..100", "the smaller first"),
            ("uniform:16..2MiB", "1048576"),
            ("uniform:100", "LOW..HIGH"),
            ("zipf:16..100,1", "0.99"),
            ("zipf:16..100,x", "no number"),
            ("lognormal:200", "lognormal:MEDIAN,DEVIATION"),
            ("lognormal:200,-1", "deviation from 0"),
            ("normal:1", "uniform:LOW..HIGH"),
            ("", "uniform:LOW..HIGH"),
        ] {
            let error = parse_values(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
