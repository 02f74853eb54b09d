//! Two buckets that stay frozen while their chains are joined one record at a time, because that cannot be done under one pin: records
//! are on the device, or there is no room in memory for all copies at once, or they are written to all the time.
//!
//! ```text
//!   frozen, both chains apart -> a pair joined: both entries lead to its chain -> ... -> no pair left: merged as any other bucket
//! ```
//!
//! A pair is joined in the larger table, by one store to each entry after the last of its copies was made, under the same pin. So whatever
//! fails in between, what was joined is in order as it is, and the copies of the pair at which it failed are parts without a last one.

use super::halves::Halves;
use super::merge::{Hindrance, Means, Merge};
use crate::address::Address;
use crate::epoch::LightEpoch;
use crate::index::MemIndex;
use crate::index::entry::Entry;
use crate::utility::KeyHash;

/// Two chains of one tag that are to become one.
pub(crate) struct Pair {
    tag: u16,
    /// The side of the chain whose records are copied.
    side: u64,
    /// The newest record of that, and of the one in front of which they are put.
    pub(crate) lower: Address,
    pub(crate) higher: Address,
}

/// Two buckets to which nobody adds anything; those who look find what is there. When this is dropped they are as they were again, with what
/// was joined, unless they were merged.
pub(crate) struct Frozen<'i> {
    index: &'i MemIndex,
    halves: Halves<'i>,
    is_merged: bool,
}

impl MemIndex {
    /// Freezes the two buckets that become this one. `None` if somebody else has begun to merge them.
    pub(crate) fn freeze(&self, bucket: u64) -> Option<Frozen<'_>> {
        let halves = self.halves(bucket);
        // The memory of both tables stays as long as there is a bucket that was not merged.
        halves.begin().then_some(Frozen { index: self, halves, is_merged: false })
    }
}

impl Frozen<'_> {
    /// What is to be joined. The caller is pinned.
    pub(crate) fn pairs(&self, means: Means<'_>) -> Vec<Pair> {
        let merge = Merge { halves: self.halves, means };
        let [one, other] = [0, 1].map(|side| self.halves.freeze(side));
        let pair = |entry: &Entry| {
            let twin = other.iter().find(|twin| twin.tag() == entry.tag())?;
            let (side, [lower, higher]) = merge.tops([entry.address(), twin.address()])?;
            Some(Pair { tag: entry.tag() as u16, side, lower, higher })
        };
        one.iter().filter_map(pair).collect()
    }

    /// Whether the chain that is copied is that of this hash.
    pub(crate) fn is_own(&self, pair: &Pair, hash: KeyHash) -> bool {
        self.halves.is_own(hash, pair.tag, pair.side)
    }

    /// The chain of the pair begins at `head` from now on. It leads to copies of the newest record of each key of the lower one, in any
    /// order, and to the higher one.
    pub(crate) fn join(&self, pair: &Pair, head: Address) {
        self.halves.lead(pair.tag, head);
    }

    /// Merges the buckets, whose pairs were all joined. The caller is pinned.
    ///
    /// # Errors
    /// As for [`MemIndex::merge`].
    pub(crate) fn merge(mut self, means: Means<'_>, epoch: &LightEpoch) -> Result<(), Hindrance> {
        Merge { halves: self.halves, means }.run_begun()?;
        self.is_merged = true;
        self.index.note_merged(epoch);
        Ok(())
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.is_merged {
            self.halves.give_back();
        }
    }
}
