//! What is in the index, for reports.

use super::MemIndex;
use super::bucket::ENTRIES;
use super::entry::{Entry, Overflow};
use super::growth::IndexGrowth;
use super::table::Table;
use crate::sync::Ordering;

/// A count of the index, taken while others may be changing it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexStats {
    /// Buckets of the table, overflow buckets not included.
    pub buckets: u64,
    /// Entries in use, catch-all chains not included.
    pub entries: u64,
    /// Overflow buckets that are part of a chain.
    pub overflow_buckets_used: u64,
    /// Overflow buckets there are.
    pub overflow_buckets: u64,
    /// Buckets whose chain cannot grow: new tags share one catch-all chain. More than a few mean that the index is too
    /// small.
    pub saturated_buckets: u64,
    /// How the index has grown.
    pub growth: IndexGrowth,
}

impl IndexStats {
    /// Entries in relation to those that the buckets of the table have room for, without overflow buckets.
    pub fn load_factor(&self) -> f64 {
        if self.buckets == 0 { 0.0 } else { self.entries as f64 / (self.buckets * ENTRIES as u64) as f64 }
    }

    fn count(&mut self, table: &Table, chain: u64) {
        for (bucket, overflow) in table.chain(chain as usize) {
            let words = bucket.slots().map(|slot| Entry(slot.load(Ordering::Relaxed)));
            self.entries += words.filter(|entry| entry.is_plain()).count() as u64;
            match overflow {
                Overflow::End => {}
                Overflow::Link(_) => self.overflow_buckets_used += 1,
                Overflow::Saturating | Overflow::Saturated => self.saturated_buckets += 1,
            }
        }
    }
}

/// Chains that lie together, of which all or none are looked at for an estimate.
const RUN: u64 = 64;
/// Of so many runs one is looked at, in a table that is large enough for the error to be below one per cent.
const ONE_OF: u64 = 16;
const LARGE: u64 = 1 << 18;

impl MemIndex {
    /// Entries in use, about: keys lie anywhere, so a part of a large table speaks for all of it.
    pub(crate) fn entries_about(&self) -> u64 {
        let table = self.table();
        if table.len() < LARGE || !table.progress.is_over() {
            return self.stats().entries;
        }
        let mut sample = IndexStats::default();
        let runs = (0..table.len()).step_by((RUN * ONE_OF) as usize);
        runs.flat_map(|first| first..first + RUN).for_each(|chain| sample.count(table, chain));
        sample.entries * ONE_OF
    }

    /// Counts what is in the index by walking all of it. What has not been moved yet is counted where it is.
    pub(crate) fn stats(&self) -> IndexStats {
        let table = self.table();
        let growth = self.growth();
        let mut stats =
            IndexStats { buckets: table.len(), overflow_buckets: table.arena.len(), growth, ..IndexStats::default() };
        let before = if table.progress.is_over() { table } else { self.before(table) };
        let smaller = before.len().min(table.len());
        for chain in 0..smaller {
            let counted = if table.is_complete(chain) { table } else { before };
            (chain..counted.len()).step_by(smaller as usize).for_each(|chain| stats.count(counted, chain));
        }
        stats
    }
}
