//! What of the unsynced survives a crash.

use crate::rng::SimRng;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a crash keeps or loses as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The event that brought it.
    pub event: usize,
    /// Which part of it.
    pub part: Part,
}

/// The part of an event that a crash keeps or loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All of it: a change of a name, a truncation.
    Whole,
    /// One sector of a write.
    Sector(u32),
    /// The length that a file has after a write, without the bytes: they read as zeros if they are lost.
    Length,
}

/// How it is chosen what survives.
///
/// All but `Subset` keep to what a file system could have done: a change of a name survives only together with the
/// earlier changes of the same names and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashPolicy {
    /// Nothing that was not synced survives.
    LoseAll,
    /// Everything survives, durably.
    KeepAll,
    /// The process died, the machine did not: everything is there, and what was not synced still is not. Writes under way
    /// were carried out or not.
    Killed,
    /// Of the writes and changes of names some survive, each whole.
    Random,
    /// The newest survive, the older ones are lost.
    Newest,
    /// Each sector of each write, and each change of a name, survives or not.
    Torn,
    /// Unit number `n` survives if bit `n` is set.
    Subset(u64),
}

impl CrashPolicy {
    /// The policies that choose by themselves.
    pub const ALL: [Self; 6] = [Self::LoseAll, Self::KeepAll, Self::Killed, Self::Random, Self::Newest, Self::Torn];

    /// Chooses among `units`, which are in the order of their events.
    pub(super) fn choose(self, units: &[Unit], rng: &mut SimRng) -> Survivors {
        let mut events: Vec<usize> = units.iter().map(|unit| unit.event).collect();
        events.dedup();
        let of_events = |kept: &[usize]| units.iter().filter(|unit| kept.binary_search(&unit.event).is_ok()).collect();
        let kept: Vec<&Unit> = match self {
            Self::LoseAll => Vec::new(),
            Self::KeepAll | Self::Killed => units.iter().collect(),
            Self::Random => {
                events.retain(|_| rng.coin());
                of_events(&events)
            }
            Self::Newest => {
                let lost = rng.index(events.len() + 1);
                of_events(&events[lost..])
            }
            Self::Torn => units.iter().filter(|_| rng.coin()).collect(),
            Self::Subset(bits) => {
                (0..64).zip(units).filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, unit)| unit).collect()
            }
        };
        Survivors(kept.into_iter().copied().collect())
    }
}

impl fmt::Display for CrashPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoseAll => f.write_str("none"),
            Self::KeepAll => f.write_str("all"),
            Self::Killed => f.write_str("killed"),
            Self::Random => f.write_str("random"),
            Self::Newest => f.write_str("newest"),
            Self::Torn => f.write_str("torn"),
            Self::Subset(bits) => write!(f, "subset:{bits:#x}"),
        }
    }
}

impl FromStr for CrashPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(policy) = Self::ALL.into_iter().find(|policy| policy.to_string() == text) {
            return Ok(policy);
        }
        let bits = text.strip_prefix("subset:0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let wrong = || format!("{text:?} is no policy: none, all, killed, random, newest, torn, or subset:0x and bits");
        bits.map(Self::Subset).ok_or_else(wrong)
    }
}

/// The units that survive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survivors(pub(super) BTreeSet<Unit>);

impl Survivors {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, event: usize, part: Part) -> bool {
        self.0.contains(&Unit { event, part })
    }
}

/// `3[0,1,len] 5`: of the write of event 3 two sectors and the length, and the change of event 5.
impl fmt::Display for Survivors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = None;
        for unit in &self.0 {
            if event != Some(unit.event) {
                let (close, space) = if event.is_some() { ("]", " ") } else { ("", "") };
                write!(f, "{close}{space}{}[", unit.event)?;
            } else {
                f.write_str(",")?;
            }
            event = Some(unit.event);
            match unit.part {
                Part::Whole => f.write_str("*")?,
                Part::Sector(sector) => write!(f, "{sector}")?,
                Part::Length => f.write_str("len")?,
            }
        }
        f.write_str(if event.is_some() { "]" } else { "nothing" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units() -> Vec<Unit> {
        let unit = |event, part| Unit { event, part };
        vec![
            unit(3, Part::Sector(0)),
            unit(3, Part::Sector(1)),
            unit(3, Part::Length),
            unit(5, Part::Whole),
            unit(8, Part::Sector(0)),
        ]
    }

    fn choose(policy: CrashPolicy, seed: u64) -> Survivors {
        policy.choose(&units(), &mut SimRng::new(seed))
    }

    #[test]
    fn each_policy_keeps_what_its_name_says() {
        assert!(choose(CrashPolicy::LoseAll, 1).is_empty());
        assert_eq!(choose(CrashPolicy::KeepAll, 1).to_string(), "3[0,1,len] 5[*] 8[0]");
        assert_eq!(choose(CrashPolicy::Subset(0b10010), 1).to_string(), "3[1] 8[0]");
        let (mut newest, mut torn) = (BTreeSet::new(), 0);
        for seed in 0..200 {
            newest.insert(choose(CrashPolicy::Newest, seed).to_string());
            let whole = choose(CrashPolicy::Random, seed);
            assert!([0, 3].contains(&whole.0.iter().filter(|unit| unit.event == 3).count()), "{whole}");
            let of_three = choose(CrashPolicy::Torn, seed).0.iter().filter(|unit| unit.event == 3).count();
            torn += usize::from(of_three == 1 || of_three == 2);
        }
        let expected = ["3[0,1,len] 5[*] 8[0]", "5[*] 8[0]", "8[0]", "nothing"];
        assert_eq!(newest.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(torn > 100);
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        for policy in CrashPolicy::ALL.into_iter().chain([CrashPolicy::Subset(0), CrashPolicy::Subset(u64::MAX)]) {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for wrong in ["", "some", "subset:", "subset:5", "subset:0x", "subset:0x1ffffffffffffffff"] {
            assert!(wrong.parse::<CrashPolicy>().unwrap_err().contains("newest"), "{wrong}");
        }
    }
}
