//! The index in memory: find an entry, change it, free it.

use super::arena::Allocated;
use super::bucket::WORDS;
use super::entry::{Entry, Overflow};
use super::growth::Growth;
use super::table::Table;
use crate::address::Address;
use crate::epoch::Guard;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Purpose, prefetch};
use crate::sync::{AtomicU64, AtomicUsize, Ordering, after_exchange, fence};
use crate::utility::KeyHash;
use std::sync::OnceLock;

/// How large an index is, for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexConfig {
    /// Buckets of the table, a power of two. One bucket holds seven entries and takes 64 bytes.
    pub(crate) buckets: u64,
    /// Further buckets of 64 bytes, shared by the chains of buckets that are full.
    pub(crate) overflow_buckets: u64,
}

/// The most buckets of either kind: 4 TiB of them. Far below 2^50, so that bucket and tag share no bit of a hash.
pub(super) const BUCKETS_MAX: u64 = 1 << 36;

/// How many sizes there are that a table can have. A table goes by its *rank*: it has 2 to the power of that buckets.
const RANKS: usize = if cfg!(oxifaster_loom) { 2 } else { BUCKETS_MAX.ilog2() as usize + 1 };

/// The hash index in memory. See [`crate::index`] for the picture and the invariants.
pub(crate) struct MemIndex {
    /// The table it began with.
    first: Table,
    /// Those that it grew or shrank into, by rank. They stay; what takes memory is given back when one is left.
    others: [OnceLock<Table>; RANKS],
    /// The rank of the table in force, in which the bits of that of the first are turned over: 0 for the first (W1).
    current: AtomicUsize,
    pub(super) growth: Growth,
}

/// Somebody changed the entry in the meantime: find again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict;

/// What an open slot has seen: no word of a bucket looks like this to who looks for a tag.
const OPEN: u64 = u64::MAX << Address::BITS;

/// What [`MemIndex::find`] found: an entry and the word seen in it, or that there is none.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'g> {
    hash: KeyHash,
    /// The entry's word, or a saturated chain's last overflow word; `None` if the tag has no entry yet.
    word: Option<&'g AtomicU64>,
    seen: u64,
}

impl<'g> Slot<'g> {
    pub(super) fn new(hash: KeyHash, (word, seen): (Option<&'g AtomicU64>, u64)) -> Self {
        Self { hash, word, seen }
    }

    /// The head of the chain of records, invalid if it is empty.
    #[inline]
    pub(crate) fn address(&self) -> Address {
        Entry(self.seen).address()
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

    /// True if it is to be [resolved](MemIndex::resolve) first: the view could not say whether there is an entry.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.seen == OPEN
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
        Ok(Self::of(Table::new(buckets, overflow_buckets)?))
    }

    /// It never has fewer buckets than this.
    pub(crate) fn buckets_min(&self) -> u64 {
        let first = self.first.len();
        self.growth.grower.get().map_or(first, |grower| grower.buckets_min.min(first))
    }

    fn of(first: Table) -> Self {
        let others = [const { OnceLock::new() }; RANKS];
        Self { first, others, current: AtomicUsize::new(0), growth: Growth::new() }
    }

    /// The memory that an index of this size takes.
    pub(crate) fn bytes(buckets: u64, overflow_buckets: u64) -> usize {
        let bytes = buckets.saturating_add(overflow_buckets).saturating_mul((WORDS * size_of::<u64>()) as u64);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The table at hand, for callers that look several hashes up in a row.
    ///
    /// The guard keeps the records alive to which the addresses lead, and the table.
    #[inline(always)]
    pub(crate) fn view<'g>(&'g self, _guard: &'g Guard<'_>) -> IndexView<'g> {
        IndexView { table: self.table() }
    }

    /// The table in force. It stays so, or is moved to the next one, for as long as the caller is pinned.
    #[inline(always)]
    pub(super) fn table(&self) -> &Table {
        // Acquire: whoever sees the number finds the table as it was prepared.
        match self.current.load(Ordering::Acquire) {
            0 => &self.first,
            number => self.table_at(number ^ self.first.rank()),
        }
    }

    /// The table of this rank, which is there.
    #[inline]
    pub(super) fn table_at(&self, rank: usize) -> &Table {
        self.others.get(rank).and_then(OnceLock::get).unwrap_or(&self.first)
    }

    /// The rank of the table in force.
    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::Acquire) ^ self.first.rank()
    }

    /// Puts the table of this rank in force.
    pub(super) fn put_in_force(&self, rank: usize) {
        self.current.store(rank ^ self.first.rank(), Ordering::Release);
    }

    /// The table of this rank, to be filled, made by `make` if there never was one; `None` if there can be none.
    pub(super) fn table_or_new(&self, rank: usize, make: impl FnOnce() -> Result<Table>) -> Option<Result<&Table>> {
        if rank == self.first.rank() {
            return Some(Ok(&self.first));
        }
        let place = self.others.get(rank)?;
        if place.get().is_none() {
            match make() {
                Ok(table) => drop(place.set(table)), // by one at a time
                Err(error) => return Some(Err(error)),
            }
        }
        place.get().map(Ok)
    }

    /// The entry that keys of this hash share. Never allocates, never waits.
    #[inline]
    pub(crate) fn find<'g>(&'g self, hash: KeyHash, guard: &'g Guard<'_>) -> Slot<'g> {
        self.resolve(self.view(guard).find(hash))
    }

    /// The slot that [`IndexView::find`] left open, found at last; any other as it is. The caller still holds the guard.
    #[inline]
    pub(crate) fn resolve<'g>(&'g self, slot: Slot<'g>) -> Slot<'g> {
        if slot.is_open() { self.find_unfinished(slot.hash) } else { slot }
    }

    /// Whether the chain still begins where it did when `slot` was found. That is looked at after all that the caller did before, as whoever
    /// puts something in front of the chain and passes a fence after that will see (E1 of the kernel's `expiry`).
    #[cold]
    pub(crate) fn begins_at(&self, slot: &Slot<'_>, guard: &Guard<'_>) -> bool {
        fence(Ordering::SeqCst);
        // Not in the word that was found: it may be marked, and what came since is in another table (W2).
        self.find(slot.hash, guard).address() == slot.address()
    }

    /// Makes `new` the head of the chain that `slot` leads to, if nothing happened to it since it was found. An invalid
    /// address frees the entry, as [`try_free`](Self::try_free) does.
    ///
    /// The caller still holds the guard under which it found the slot.
    #[inline(always)]
    pub(crate) fn try_update(&self, slot: Slot<'_>, new: Address) -> Result<(), Conflict> {
        if !new.is_valid() {
            return self.try_free(slot);
        }
        match slot.word {
            Some(word) if Overflow::is_catch_all(slot.seen) => {
                self.add_to_catch_all(slot.hash, word, slot.seen, new)?;
                // When every bucket is saturated nobody inserts any more, and it is more urgent than ever.
                self.look_after_growth(self.table(), true);
                Ok(())
            }
            Some(_) if Entry(slot.seen).is_frozen() => Err(Conflict), // W2
            Some(word) => replace(word, slot.seen, Entry::new(slot.hash.tag(), new).0),
            None => self.insert(slot.hash, new),
        }
    }

    /// True if [`try_update`](Self::try_update) would come to nothing, as far as that can be told without trying: not to append for it.
    #[inline(always)]
    pub(crate) fn is_blocked(&self, slot: &Slot<'_>) -> bool {
        self.is_resized() && self.is_blocked_meanwhile(slot)
    }

    #[cold]
    #[inline(never)]
    fn is_blocked_meanwhile(&self, slot: &Slot<'_>) -> bool {
        match slot.word {
            Some(_) if Overflow::is_catch_all(slot.seen) => Overflow::is_frozen(slot.seen),
            Some(_) => Entry(slot.seen).is_frozen(),
            None => self.shrinks() && self.has_no_room_before(slot.hash),
        }
    }

    /// Frees the entry, or empties the catch-all chain, if nothing happened to it since it was found.
    pub(crate) fn try_free(&self, slot: Slot<'_>) -> Result<(), Conflict> {
        match slot.word {
            Some(_) if Overflow::is_catch_all(slot.seen) && Overflow::is_frozen(slot.seen) => Err(Conflict), // W2
            // The catch-all keeps its mark: a saturated chain stays saturated (I3).
            Some(word) if Overflow::is_catch_all(slot.seen) => {
                replace(word, slot.seen, Overflow::catch_all(Address::INVALID))
            }
            Some(_) if Entry(slot.seen).is_frozen() => Err(Conflict), // W2
            Some(word) => replace(word, slot.seen, Entry::FREE.0),
            None => Ok(()),
        }
    }

    /// Starts loading the bucket of a hash, for callers without a pin.
    pub(super) fn prefetch(&self, hash: KeyHash) {
        prefetch(self.table().first(hash).overflow(), Purpose::Read);
    }

    /// The number of the table in force, unless it is being filled.
    pub(crate) fn table_at_rest(&self) -> Option<usize> {
        let number = self.current();
        self.table_at(number).progress.is_over().then_some(number)
    }

    /// Buckets of the table and of the arena.
    pub(crate) fn config(&self) -> IndexConfig {
        let table = self.table();
        IndexConfig { buckets: table.len(), overflow_buckets: table.arena.len() }
    }

    /// The same index with `overflow_buckets` overflow buckets, or with as many as are used already. It has not grown yet.
    ///
    /// # Errors
    /// `Limit` if the system does not give the memory.
    pub(crate) fn with_overflow_buckets(self, overflow_buckets: u64) -> Result<Self> {
        Ok(Self::of(self.first.with_arena_of(overflow_buckets)?))
    }

    /// The first entry of a tag in a chain, or the first record of a catch-all if there is no bucket left for the entry.
    #[cold]
    fn insert(&self, hash: KeyHash, new: Address) -> Result<(), Conflict> {
        // Whatever table the slot was found in: if the tag has no chain in the one in force, it has none.
        let current = self.table();
        let table = self.table_for(current, hash)?;
        if std::ptr::eq(table, current) && self.is_left_for_smaller(table) && !self.take_room_before() {
            self.want_merged(hash);
            return Err(Conflict); // W9
        }
        let left_over = self.insert_own(table, hash, new)?;
        if let Some((last, seen)) = left_over {
            if self.is_left_for_smaller(table) {
                self.want_merged(hash);
                return Err(Conflict); // W8
            }
            saturate(last, seen)?;
            add_to_catch_all(table, hash, last, Overflow::catch_all(Address::INVALID), new).unwrap_or(Err(Conflict))?;
        }
        self.look_after_growth(table, left_over.is_some());
        Ok(())
    }

    /// The first entry of a tag in a chain: a two-phase insert, which leaves at most one entry of the tag (I1). If there is
    /// no bucket left for it nothing happens, and the chain's last overflow word is returned, and what it is.
    ///
    /// The chain is complete.
    pub(super) fn insert_own<'t>(
        &self,
        table: &'t Table,
        hash: KeyHash,
        new: Address,
    ) -> Result<Option<(&'t AtomicU64, u64)>, Conflict> {
        // Every round either returns or makes the chain longer by a bucket, so the arena bounds the rounds.
        loop {
            let survey = table.survey(hash, None);
            match survey.end {
                _ if survey.has_rival => return Err(Conflict),
                Overflow::Saturating | Overflow::Saturated => return Err(Conflict),
                Overflow::End | Overflow::Link(_) if Overflow::is_frozen(survey.seen) => return Err(Conflict), // W2
                Overflow::End | Overflow::Link(_) => {}
            }
            if let Some(free) = survey.free {
                return claim(table, hash, free, new).map(|()| None);
            }
            match table.arena.allocate() {
                Allocated::Bucket(number) => {
                    if replace(survey.last, survey.seen, Overflow::link_to(number)).is_err() {
                        table.arena.give_back(number);
                        return Err(Conflict);
                    }
                }
                Allocated::UsedUp => return Ok(Some((survey.last, survey.seen))),
                Allocated::Closed => return Err(Conflict),
            }
        }
    }

    /// Changes the head of the catch-all chain that ends at `last`, for a tag that has no entry, in whichever table it is.
    #[cold]
    fn add_to_catch_all(&self, hash: KeyHash, last: &AtomicU64, seen: u64, new: Address) -> Result<(), Conflict> {
        if Overflow::is_frozen(seen) {
            return Err(Conflict); // W2
        }
        let table = self.table();
        add_to_catch_all(table, hash, last, seen, new).unwrap_or_else(|| {
            if table.progress.is_over() {
                return Err(Conflict);
            }
            add_to_catch_all(self.before(table), hash, last, seen, new).unwrap_or(Err(Conflict))
        })
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
fn claim(table: &Table, hash: KeyHash, free: &AtomicU64, new: Address) -> Result<(), Conflict> {
    let entry = Entry::new(hash.tag(), new);
    let tentative = entry.tentative();
    replace(free, Entry::FREE.0, tentative.0)?;
    fence(Ordering::SeqCst);
    let survey = table.survey(hash, Some(free));
    // Saturation looks at no slots, so it falls to the claim to see it (I3); see `saturate` for the other half.
    let is_open = matches!(survey.end, Overflow::End | Overflow::Link(_));
    // A tentative word has one owner (I2): it is compared only because the bucket may have been frozen meanwhile. Then nobody
    // takes notice of it.
    if survey.has_rival || !is_open {
        let _ = free.compare_exchange(tentative.0, Entry::FREE.0, Ordering::Release, Ordering::Relaxed);
        return Err(Conflict);
    }
    // Hands the record to who follows the entry, and ends a write: its caller may read another key right away.
    replace(free, tentative.0, entry.0)
}

/// Changes the head of the catch-all chain for a tag that has no entry, if that chain is this table's: `None` if it is not.
///
/// An entry of the tag and a record of it in the catch-all must not meet (I1). The caller has seen the chain
/// saturated, so `saturate` passed its fence before this. A claim for the tag whose fence comes before that one is
/// visible here, tentative or in force, and this thread withdraws. A claim whose fence comes after it sees the chain
/// saturated, and that claim withdraws. No claim escapes both, and no later one succeeds (I3).
fn add_to_catch_all(
    table: &Table,
    hash: KeyHash,
    last: &AtomicU64,
    seen: u64,
    new: Address,
) -> Option<Result<(), Conflict>> {
    let survey = table.survey(hash, None);
    if !std::ptr::eq(survey.last, last) {
        return None;
    }
    Some(if survey.has_rival { Err(Conflict) } else { replace(last, seen, Overflow::catch_all(new)) })
}

/// A [`MemIndex`] under one pin.
#[derive(Clone, Copy)]
pub(crate) struct IndexView<'g> {
    table: &'g Table,
}

impl<'g> IndexView<'g> {
    /// True if no look-up is left open: the index does not grow just now.
    #[inline(always)]
    pub(crate) fn is_whole(self) -> bool {
        self.table.progress.is_over()
    }

    /// Starts loading the bucket of this hash into the cache, for callers that have other hashes to look up meanwhile.
    #[inline(always)]
    pub(crate) fn prefetch(self, hash: KeyHash) {
        prefetch(self.table.first(hash).overflow(), Purpose::Read);
    }

    /// The entry that keys of this hash share. While the index grows it may be left [open](Slot::is_open): then it leads to
    /// no record, and says nothing.
    #[inline(always)]
    pub(crate) fn find(self, hash: KeyHash) -> Slot<'g> {
        let bucket = self.table.first(hash);
        let found = bucket.find(hash.tag(), self.table.level).map(|(word, seen)| (Some(word), seen));
        let (word, seen) = found.unwrap_or_else(|| find_further(self.table, hash.tag(), bucket.overflow()));
        Slot { hash, word, seen }
    }
}

/// Looks for a tag in the chain of buckets that goes on at `last`. Its arguments and its result fit into registers: what
/// the usual way had to keep in memory for it would fill the processor's store queue while a load is waited for.
#[inline(never)]
fn find_further<'t>(table: &'t Table, tag: u16, last: &'t AtomicU64) -> (Option<&'t AtomicU64>, u64) {
    if table.progress.is_over() { table.find_behind(tag, last) } else { (None, OPEN) }
}

/// Ends a chain for good: turns its last overflow word into the head of an empty catch-all chain.
///
/// In two steps with a fence between, so that whoever sees the catch-all usable sees every claim that did not see the
/// chain saturated: the fence lies between the mark and the usable word, and reading the latter (Acquire) puts it behind
/// the reader. With one step, a third thread could see the mark and yet not the claim.
fn saturate(last: &AtomicU64, seen: u64) -> Result<(), Conflict> {
    replace(last, seen, Overflow::SATURATING)?;
    fence(Ordering::SeqCst);
    // It is compared only because the bucket may have been frozen meanwhile: then it has no catch-all.
    replace(last, Overflow::SATURATING, Overflow::catch_all(Address::INVALID))
}

/// One word for another, if it is still what it was. The end of a write, like
/// [`Visible::Now`](crate::sync::Visible::Now).
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
