//! The YCSB workloads that a store without order can run.

use super::engine::{Op, OpKind};
use crate::distribution::KeyChooser;
use crate::random::Random;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What share of the operations does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mix {
    /// Half reads, half updates of the whole value.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads.
    C,
    /// Half reads, half read-modify-writes.
    F,
}

impl Mix {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::F => "F",
        }
    }

    /// The next operation.
    #[inline]
    pub(crate) fn draw(self, chooser: &KeyChooser, random: &mut Random, counter: u64) -> Op {
        let (share, other) = match self {
            Self::A => (0.5, OpKind::Update(counter)),
            Self::B => (0.95, OpKind::Update(counter)),
            Self::C => (1.0, OpKind::Read),
            Self::F => (0.5, OpKind::Rmw),
        };
        let kind = if random.unit() < share { OpKind::Read } else { other };
        Op { key: chooser.key(random), kind }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::A, Self::B, Self::C, Self::F].into_iter().find(|mix| mix.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("`{text}` is not a workload: a, b, c or f"))
    }
}
