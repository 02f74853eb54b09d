//! Which crashes lead to a moment.

use crate::CrashPolicy;
use std::fmt;
use std::str::FromStr;

/// One crash: before which event of its run, and by which policy. Written `137:torn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashStep {
    /// How many events there were before.
    pub event: usize,
    /// How it is chosen what survives.
    pub policy: CrashPolicy,
}

impl fmt::Display for CrashStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.event, self.policy)
    }
}

impl FromStr for CrashStep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no crash: give an event and a policy, such as 137:torn");
        let (event, policy) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self { event: event.parse().map_err(|_| wrong())?, policy: policy.parse()? })
    }
}

/// Crashes in a row: each in the run that recovers from the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrashPath(pub Vec<CrashStep>);

impl CrashPath {
    /// The path with one more crash.
    pub(super) fn then(&self, step: CrashStep) -> Self {
        Self(self.0.iter().copied().chain([step]).collect())
    }
}

/// As arguments on the command line, each after a space.
impl fmt::Display for CrashPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, " --crash {step}"))
    }
}
