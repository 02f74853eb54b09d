//! Copies by which two chains were brought together, several for one pair, as a recovery meets them in a log (P4 of
//! [`replay`](super::replay)).
//!
//! ```text
//!   chains:    last copy --> part --> part --> the other chain
//!   the log:   ... part | part | last copy ...     it may end anywhere, and be gone through in any order
//! ```

use crate::address::Address;
use crate::utility::KeyHash;
use std::collections::HashMap;

/// What was met of such copies.
#[derive(Default)]
pub(crate) struct Rows {
    /// The hash of each part's key, and what it leads to.
    parts: HashMap<Address, (KeyHash, Address)>,
    /// What the last ones lead to.
    behind_last: Vec<Address>,
}

impl Rows {
    /// A part at `at`, which leads to `previous`.
    pub(crate) fn add_part(&mut self, hash: KeyHash, at: Address, previous: Address) {
        self.parts.insert(at, (hash, previous));
    }

    /// A last one, which leads to `previous`.
    pub(crate) fn add_last(&mut self, previous: Address) {
        self.behind_last.push(previous);
    }

    /// Takes in what somebody else has met.
    pub(crate) fn append(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.behind_last.extend(other.behind_last);
    }

    /// The parts to which a last one leads: these count.
    pub(crate) fn whole(&self) -> impl Iterator<Item = (KeyHash, Address)> {
        self.behind_last.iter().flat_map(|behind| {
            let part = |at: Address| self.parts.get(&at).map(|(hash, previous)| (*hash, at, *previous));
            std::iter::successors(part(*behind), move |(_, _, previous)| part(*previous))
                .map(|(hash, at, _)| (hash, at))
        })
    }
}
