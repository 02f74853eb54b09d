//! The index in memory: find an entry, change it, free it.

use super::bucket::WORDS;
use super::entry::{Entry, Overflow};
use super::stats::IndexStats;
use super::table::Table;
use crate::address::Address;
use crate::epoch::Guard;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Purpose, Words, prefetch};
use crate::sync::{AtomicU64, Ordering, after_exchange, fence, publish};
use crate::utility::KeyHash;

/// How large an index is, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexConfig {
    /// Buckets of the table, a power of two. One bucket holds seven entries and takes 64 bytes.
    pub(crate) buckets: u64,
    /// Further buckets of 64 bytes, shared by the chains of buckets that are full.
    pub(crate) overflow_buckets: u64,
}

/// The most buckets of either kind: 4 TiB of them. Far below 2^50, so that bucket and tag share no bit of a hash.
const BUCKETS_MAX: u64 = 1 << 36;

/// The hash index in memory. See [`crate::index`] for the picture and the invariants.
pub(crate) struct MemIndex {
    table: Table,
}

/// Somebody changed the entry in the meantime: find again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict;

/// What [`MemIndex::find`] found: an entry and the word seen in it, or that there is none.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'g> {
    hash: KeyHash,
    /// The entry's word, or a saturated chain's last overflow word; `None` if the tag has no entry yet.
    word: Option<&'g AtomicU64>,
    seen: u64,
}

impl Slot<'_> {
    /// The head of the chain of records, invalid if it is empty.
    #[inline]
    pub(crate) fn address(&self) -> Address {
        Address::from_word(self.seen)
    }

    /// True if the chain begins at or above `limit` in the log: not below it, and not with a copy in a read cache.
    #[inline(always)]
    pub(crate) fn leads_to(&self, limit: Address) -> bool {
        // With the address at the top of the word, one comparison of signed numbers sorts copies, whose highest bit is set,
        // below all others.
        const ABOVE: u32 = u64::BITS - Address::BITS;
        (self.seen << ABOVE).cast_signed() >= (limit.get() << ABOVE).cast_signed()
    }

    /// The hash that was looked for.
    #[inline]
    pub(crate) fn hash(&self) -> KeyHash {
        self.hash
    }

    /// True if there is an entry, or a catch-all that stands for one.
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        self.word.is_some()
    }

    /// The whole word, 0 if there is no entry.
    #[cfg(test)]
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// True if both finds saw the same entry in the same state: nothing happened to it in between.
    #[cfg(test)]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.seen == other.seen
            && self.word.map(std::ptr::from_ref) == other.word.map(std::ptr::from_ref)
    }
}

impl MemIndex {
    /// An empty index. It never takes more memory than [`bytes`](Self::bytes) says.
    ///
    /// # Errors
    /// `Config` if `buckets` is not a power of two or either number is out of range, `Limit` if the system does not give the memory.
    pub(crate) fn new(config: IndexConfig) -> Result<Self> {
        let IndexConfig { buckets, overflow_buckets } = config;
        if !buckets.is_power_of_two() || buckets > BUCKETS_MAX {
            return Err(Error::new(ErrorKind::Config, "making the hash index")
                .with("buckets", buckets)
                .help("choose a power of two from 1 to 2^36; a bucket takes 64 bytes and holds seven keys"));
        }
        if overflow_buckets > BUCKETS_MAX {
            return Err(Error::new(ErrorKind::Config, "making the hash index")
                .with("overflow_buckets", overflow_buckets)
                .help("choose a number from 0 to 2^36; a bucket takes 64 bytes"));
        }
        Ok(Self { table: Table::new(buckets, overflow_buckets)? })
    }

    /// The memory that an index of this size takes.
    pub(crate) fn bytes(buckets: u64, overflow_buckets: u64) -> usize {
        let bytes = buckets.saturating_add(overflow_buckets).saturating_mul((WORDS * size_of::<u64>()) as u64);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// All its memory.
    pub(crate) fn memory(&self) -> [&Words; 2] {
        self.table.memory()
    }

    /// The table at hand, for callers that look several hashes up in a row.
    ///
    /// The guard keeps the records alive to which the addresses lead.
    #[inline(always)]
    pub(crate) fn view<'g>(&'g self, _guard: &'g Guard<'_>) -> IndexView<'g> {
        IndexView { table: &self.table }
    }

    /// The entry that keys of this hash share. Never allocates, never waits.
    #[inline]
    pub(crate) fn find<'g>(&'g self, hash: KeyHash, guard: &'g Guard<'_>) -> Slot<'g> {
        self.view(guard).find(hash)
    }

    /// Makes `new` the head of the chain that `slot` leads to, if nothing happened to it since it was found. An invalid
    /// address frees the entry, as [`try_free`](Self::try_free) does.
    ///
    /// The caller still holds the guard under which it found the slot.
    #[inline]
    pub(crate) fn try_update(&self, slot: Slot<'_>, new: Address) -> Result<(), Conflict> {
        if !new.is_valid() {
            return self.try_free(slot);
        }
        match slot.word {
            Some(word) if Overflow::is_catch_all(slot.seen) => self.add_to_catch_all(slot.hash, word, slot.seen, new),
            Some(word) => replace(word, slot.seen, Entry::new(slot.hash.tag(), new).0),
            None => self.insert(slot.hash, new),
        }
    }

    /// Frees the entry, or empties the catch-all chain, if nothing happened to it since it was found.
    pub(crate) fn try_free(&self, slot: Slot<'_>) -> Result<(), Conflict> {
        match slot.word {
            // The catch-all keeps its mark: a saturated chain stays saturated (I3).
            Some(word) if Overflow::is_catch_all(slot.seen) => {
                replace(word, slot.seen, Overflow::catch_all(Address::INVALID))
            }
            Some(word) => replace(word, slot.seen, Entry::FREE.0),
            None => Ok(()),
        }
    }

    /// Starts loading the bucket of a hash, for callers without a pin.
    pub(super) fn prefetch(&self, hash: KeyHash) {
        prefetch(self.table.first(hash).overflow(), Purpose::Read);
    }

    /// Buckets of the table and of the arena.
    pub(crate) fn config(&self) -> IndexConfig {
        IndexConfig { buckets: self.table.len(), overflow_buckets: self.table.arena.len() }
    }

    /// The same index with `overflow_buckets` overflow buckets, or with as many as are used already.
    ///
    /// # Errors
    /// `Limit` if the system does not give the memory.
    pub(crate) fn with_overflow_buckets(self, overflow_buckets: u64) -> Result<Self> {
        Ok(Self { table: self.table.with_arena_of(overflow_buckets)? })
    }

    /// Counts what is in the index by walking all of it.
    pub(crate) fn stats(&self) -> IndexStats {
        let mut stats =
            IndexStats { buckets: self.table.len(), overflow_buckets: self.table.arena.len(), ..IndexStats::default() };
        for number in 0..self.table.len() as usize {
            for (bucket, overflow) in self.table.chain(number) {
                let words = bucket.slots().map(|slot| Entry(slot.load(Ordering::Relaxed)));
                stats.entries += words.filter(|entry| *entry != Entry::FREE && !entry.is_tentative()).count() as u64;
                match overflow {
                    Overflow::End => {}
                    Overflow::Link(_) => stats.overflow_buckets_used += 1,
                    Overflow::Saturating | Overflow::Saturated => stats.saturated_buckets += 1,
                }
            }
        }
        stats
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The first entry of a tag in a chain, or the first record of a catch-all if there is no bucket left for the entry.
    #[cold]
    fn insert(&self, hash: KeyHash, new: Address) -> Result<(), Conflict> {
        let Some(last) = self.insert_own(hash, new)? else { return Ok(()) };
        saturate(last)?;
        self.add_to_catch_all(hash, last, Overflow::catch_all(Address::INVALID), new)
    }

    /// The first entry of a tag in a chain: a two-phase insert, which leaves at most one entry of the tag (I1). If there is
    /// no bucket left for it nothing happens, and the chain's last overflow word is returned.
    pub(super) fn insert_own(&self, hash: KeyHash, new: Address) -> Result<Option<&AtomicU64>, Conflict> {
        // Every round either returns or makes the chain longer by a bucket, so the arena bounds the rounds.
        loop {
            let survey = self.table.survey(hash, None);
            match survey.end {
                _ if survey.has_rival => return Err(Conflict),
                Overflow::Saturating | Overflow::Saturated => return Err(Conflict),
                Overflow::End | Overflow::Link(_) => {}
            }
            if let Some(free) = survey.free {
                return self.claim(hash, free, new).map(|()| None);
            }
            match self.table.arena.allocate() {
                Some(number) => {
                    if replace(survey.last, Overflow::END, Overflow::link_to(number)).is_err() {
                        self.table.arena.give_back(number);
                        return Err(Conflict);
                    }
                }
                None => return Ok(Some(survey.last)),
            }
        }
    }

    /// Takes a free slot for a tag, first tentatively.
    ///
    /// Two threads can take two slots for the same tag at the same time. Each puts its tentative entry in place, passes
    /// the fence, and looks at all other slots. The two fences are in one order; the thread whose fence is second sees
    /// the tentative entry of the first, or what became of it, and withdraws. That is why tentative entries count here:
    /// with only entries in force counting, both could look before either is. Both may withdraw, and both come back.
    ///
    /// The slots are not all seen at one moment, but chains only grow (I5) and the link to a rival's slot was visible to
    /// the rival, so it is visible to whose fence is second.
    fn claim(&self, hash: KeyHash, free: &AtomicU64, new: Address) -> Result<(), Conflict> {
        let entry = Entry::new(hash.tag(), new);
        replace(free, Entry::FREE.0, entry.tentative().0)?;
        fence(Ordering::SeqCst);
        let survey = self.table.survey(hash, Some(free));
        // Saturation looks at no slots, so it falls to the claim to see it (I3); see `saturate` for the other half.
        let is_open = matches!(survey.end, Overflow::End | Overflow::Link(_));
        // Nothing has to be compared: a tentative word has one owner (I2).
        if survey.has_rival || !is_open {
            free.store(Entry::FREE.0, Ordering::Release);
            return Err(Conflict);
        }
        // Hands the record to who follows the entry, and ends a write: its caller may read another key right away.
        publish(free, entry.0);
        Ok(())
    }

    /// Changes the head of the catch-all chain for a tag that has no entry.
    ///
    /// An entry of the tag and a record of it in the catch-all must not meet (I1). The caller has seen the chain
    /// saturated, so `saturate` passed its fence before this. A claim for the tag whose fence comes before that one is
    /// visible here, tentative or in force, and this thread withdraws. A claim whose fence comes after it sees the chain
    /// saturated, and that claim withdraws. No claim escapes both, and no later one succeeds (I3).
    #[cold]
    fn add_to_catch_all(&self, hash: KeyHash, last: &AtomicU64, seen: u64, new: Address) -> Result<(), Conflict> {
        if self.table.survey(hash, None).has_rival {
            return Err(Conflict);
        }
        replace(last, seen, Overflow::catch_all(new))
    }
}

/// A [`MemIndex`] under one pin.
#[derive(Clone, Copy)]
pub(crate) struct IndexView<'g> {
    table: &'g Table,
}

impl<'g> IndexView<'g> {
    /// Starts loading the bucket of this hash into the cache, for callers that have other hashes to look up meanwhile.
    #[inline(always)]
    pub(crate) fn prefetch(self, hash: KeyHash) {
        prefetch(self.table.first(hash).overflow(), Purpose::Read);
    }

    /// See [`MemIndex::find`].
    #[inline(always)]
    pub(crate) fn find(self, hash: KeyHash) -> Slot<'g> {
        let bucket = self.table.first(hash);
        let found = bucket.find(hash.tag(), self.table.level).map(|(word, seen)| (Some(word), seen));
        let (word, seen) = found.unwrap_or_else(|| find_further(self.table, hash.tag(), bucket.overflow()));
        Slot { hash, word, seen }
    }
}

/// Looks for a tag in the chain of buckets that goes on at `last`. Its arguments and its result fit into registers: what the
/// usual way had to keep in memory for it would fill the processor's store queue while a load is waited for.
#[inline(never)]
fn find_further<'t>(table: &'t Table, tag: u16, mut last: &'t AtomicU64) -> (Option<&'t AtomicU64>, u64) {
    loop {
        let seen = last.load(Ordering::Acquire);
        let overflow = Overflow::of_word(seen);
        let bucket = match table.next(overflow) {
            Some(next) => next,
            // The slots were read before this word, and an entry of the tag may have come into force in between.
            // For a reader that is as if it had come a little earlier; a writer looks again in `add_to_catch_all`.
            None if overflow == Overflow::Saturated => return (Some(last), seen),
            None => return (None, 0),
        };
        if let Some((word, seen)) = bucket.find(tag, table.level) {
            return (Some(word), seen);
        }
        last = bucket.overflow();
    }
}

/// Ends a chain for good: turns its last overflow word into the head of an empty catch-all chain.
///
/// In two steps with a fence between, so that whoever sees the catch-all usable sees every claim that did not see the
/// chain saturated: the fence lies between the mark and the usable word, and reading the latter (Acquire) puts it behind
/// the reader. With one step, a third thread could see the mark and yet not the claim.
fn saturate(last: &AtomicU64) -> Result<(), Conflict> {
    replace(last, Overflow::END, Overflow::SATURATING)?;
    fence(Ordering::SeqCst);
    last.store(Overflow::catch_all(Address::INVALID), Ordering::Release);
    Ok(())
}

/// One word for another, if it is still what it was. The end of a write, like [`publish`].
#[inline]
fn replace(word: &AtomicU64, seen: u64, new: u64) -> Result<(), Conflict> {
    match word.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => {
            after_exchange();
            Ok(())
        }
        Err(_) => Err(Conflict),
    }
}
