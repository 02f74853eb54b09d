//! Records of which only the device can tell whether they are in use.
//!
//! ```text
//!   oldest part                                         memory
//!   ... a ... b ...            a' ...... b' ......... | ...
//!       +---------- above ----->         ^
//!             +------------- above ------+      the index leads to a' and b': most likely they are newer records of the same keys
//! ```
//!
//! To know that takes a look at a' and b', which lie anywhere. One by one that would be a random access for each. So they are kept until
//! there are many, and then looked at in the order of the log, those that are near each other in one access: the more are kept,
//! the more this is like reading the log from its one end to the other. What all threads have put off is looked at together: each of them
//! would read all of the log otherwise.
//!
//! If what lies above a record is of its key, the record is of no use, whatever happened since. If it is not, and neither is
//! anything between the two, the record is looked up like any other (C1, C2).

use crate::address::Address;
use crate::allocator::Gather;
use crate::error::Result;
use crate::kernel::{Fetch, Kernel};
use crate::record::{Key, RecordLayout, Value};
use std::cell::Cell;

/// Looks between two calls of who wants to know how far it is.
const BETWEEN: usize = 1 << 13;
/// Looks that are taken in one go, if a record may be longer than was expected and asked for once more.
const TOGETHER: usize = 1 << 15;
/// As many can be put off, however little memory there is.
const COUNT_MIN: usize = 64;
/// Addresses are counted in words.
const WORD_BITS: u32 = 3;
/// Bits of a distance, at most.
const PLACE_BITS: u32 = Address::BITS - WORD_BITS;
/// Bits of a number, at most: more would not fit into memory.
const NUMBER_BITS_MAX: u32 = 31;

/// What all threads of a compaction have put off, of a part of the log.
///
/// Each has a *head*, by which they are sorted: in the upper bits how far above the part's beginning the record lies that is to be looked
/// at, in the lower ones the doubt's number, by which the rest is found. See [`Numbering`].
pub(super) struct Doubts {
    /// As many for each thread.
    heads: Vec<u64>,
    numbering: Numbering,
    threads: Vec<Known>,
}

/// What heads say.
///
/// A distance is more than nothing, since what is to be looked at lies above the part's beginning. So a head without one says something
/// else: that the record may be in use, with its number and one; and zero, that there is nothing left to do.
#[derive(Debug, Clone, Copy)]
struct Numbering {
    /// Where the part begins.
    base: Address,
    /// Bits of a number.
    bits: u32,
    /// Numbers of one thread.
    of_thread: usize,
}

/// What is known of those of one thread, in the order in which they came.
struct Known {
    /// Where each is, in words from the base on.
    places: Vec<u32>,
    /// One key behind the other.
    keys: Vec<u8>,
    /// Where each key ends, if they have any length.
    ends: Vec<u32>,
    key_size: Option<usize>,
    bytes_max: usize,
}

/// What one thread may fill.
pub(super) struct Share<'d> {
    heads: &'d mut [u64],
    known: &'d mut Known,
    numbering: Numbering,
    thread: usize,
}

/// What one thread looks at, with what is known of all.
pub(super) struct Look<'d> {
    heads: &'d mut [u64],
    threads: &'d [Known],
    numbering: Numbering,
}

impl Numbering {
    /// Of records of a part of a log that begins at `base`, for so many threads. The log ends at `tail`; it may become twice as long
    /// meanwhile.
    fn new(base: Address, tail: Address, (threads, each): (usize, usize)) -> Self {
        let span = (tail.get().saturating_sub(base.get()) >> WORD_BITS).max(1) << 1;
        let bits = u64::BITS - (u64::BITS - span.leading_zeros()).min(PLACE_BITS);
        let all = (1_usize << bits.min(NUMBER_BITS_MAX)) - 1;
        Self { base, bits, of_thread: each.min(all / threads).max(1) }
    }

    /// The head of one above which `above` is to be looked at.
    fn head(self, above: Address, number: usize) -> u64 {
        let distance = above.get().saturating_sub(self.base.get()) >> WORD_BITS;
        if distance.leading_zeros() < self.bits {
            return Self::in_use(number); // as good as: it is looked up like any other
        }
        distance << self.bits | number as u64
    }

    const fn in_use(number: usize) -> u64 {
        number as u64 + 1
    }

    const fn above(self, head: u64) -> Address {
        Address::new(self.base.get() + (head >> self.bits << WORD_BITS))
    }

    /// Whether there is something to look at.
    const fn is_open(self, head: u64) -> bool {
        head >> self.bits > 0
    }

    const fn number(self, head: u64) -> usize {
        (head & ((1 << self.bits) - 1)) as usize
    }
}

impl Known {
    fn new(key_size: Option<usize>, bytes_max: usize) -> Self {
        let count = Self::count_max(key_size, bytes_max);
        // What is never touched takes no memory; what grows would be there twice.
        Self {
            places: Vec::with_capacity(count),
            keys: Vec::with_capacity(key_size.map_or(bytes_max, |size| size * count)),
            ends: Vec::with_capacity(if key_size.is_some() { 0 } else { count }),
            key_size,
            bytes_max,
        }
    }

    /// Bytes that each takes beside its key.
    const fn bytes_beside(key_size: Option<usize>) -> usize {
        let end = if key_size.is_some() { 0 } else { size_of::<u32>() };
        size_of::<u64>() + size_of::<u32>() + end
    }

    /// As many fit into so many bytes at most.
    fn count_max(key_size: Option<usize>, bytes_max: usize) -> usize {
        (bytes_max / (Self::bytes_beside(key_size) + key_size.unwrap_or(0))).max(COUNT_MIN)
    }

    fn bytes(&self) -> usize {
        self.places.len() * Self::bytes_beside(self.key_size) + self.keys.len()
    }

    fn clear(&mut self) {
        self.places.clear();
        self.keys.clear();
        self.ends.clear();
    }

    fn key(&self, number: usize) -> &[u8] {
        match self.key_size {
            Some(size) => &self.keys[number * size..(number + 1) * size],
            None => {
                let end = |number: usize| self.ends[number] as usize;
                &self.keys[number.checked_sub(1).map_or(0, end)..end(number)]
            }
        }
    }
}

impl Doubts {
    /// None yet. So many threads may take `bytes_max` together.
    pub(super) fn new<K: Key>(bytes_max: usize, threads: usize) -> Self {
        let bytes_max = bytes_max / threads;
        Self {
            heads: vec![0; Known::count_max(K::FIXED, bytes_max) * threads],
            numbering: Numbering { base: Address::INVALID, bits: 0, of_thread: 1 },
            threads: (0..threads).map(|_| Known::new(K::FIXED, bytes_max)).collect(),
        }
    }

    /// How many so many threads can put off within `bytes_max`, about: keys of any length are taken for short ones.
    pub(super) fn count_max<K: Key>(bytes_max: usize, threads: usize) -> usize {
        Known::count_max(K::FIXED, bytes_max / threads) * threads
    }

    /// Begins anew, with records of the part that begins at `base` of a log that ends at `tail`.
    pub(super) fn begin(&mut self, base: Address, tail: Address) {
        let threads = self.threads.len();
        self.numbering = Numbering::new(base, tail, (threads, self.heads.len() / threads));
        self.threads.iter_mut().for_each(Known::clear);
    }

    /// What each thread may fill.
    pub(super) fn shares(&mut self) -> Vec<Share<'_>> {
        let Self { heads, numbering, threads } = self;
        let each = heads.len() / threads.len();
        let shares = heads.chunks_mut(each).zip(threads).enumerate();
        shares.map(|(thread, (heads, known))| Share { heads, known, numbering: *numbering, thread }).collect()
    }

    /// Takes what there is apart, so that each thread has a part of the log to look at.
    pub(super) fn looks(&mut self) -> Vec<Look<'_>> {
        let Self { heads, numbering, threads } = self;
        let (count, each, mut filled) = (threads.len(), heads.len() / threads.len(), 0);
        for (thread, known) in threads.iter().enumerate() {
            heads.copy_within(thread * each..thread * each + known.places.len(), filled);
            filled += known.places.len();
        }
        let (mut rest, mut looks) = (&mut heads[..filled], Vec::new());
        for left in (1..=count).rev() {
            let own = rest.len() / left;
            if 0 < own && own < rest.len() {
                rest.select_nth_unstable(own);
            }
            let (heads, behind) = rest.split_at_mut(own);
            looks.push(Look { heads, threads, numbering: *numbering });
            rest = behind;
        }
        looks
    }
}

impl Share<'_> {
    /// How many more can be put off; of keys of any length a few at a time, since nobody knows how long the next ones are.
    pub(super) fn room(&self) -> usize {
        let (known, count) = (&self.known, self.known.places.len());
        match known.key_size {
            None if count > 0 && known.bytes() >= known.bytes_max => 0,
            None => COUNT_MIN.min(self.numbering.of_thread - count),
            Some(_) => self.numbering.of_thread - count,
        }
    }

    /// Puts off what to do with the record at `at`, above which its chain leads to `above`, if there [is room](Self::room).
    pub(super) fn push(&mut self, above: Address, at: Address, key: &[u8]) {
        let Self { heads, known, numbering, thread } = self;
        let count = known.places.len();
        heads[count] = numbering.head(above, *thread * numbering.of_thread + count);
        known.places.push(((at.get() - numbering.base.get()) >> WORD_BITS) as u32);
        known.keys.extend_from_slice(key);
        if known.key_size.is_none() {
            known.ends.push(known.keys.len() as u32);
        }
    }
}

impl<'d> Look<'d> {
    /// Looks at what lies above all of them. The addresses of the records that may be in use, in the order of the log. `pause` is called
    /// now and then, with how many looks were taken and how many there are.
    ///
    /// # Errors
    /// The device's, and [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt); that of `pause`.
    pub(super) fn settle<K: Key, V: Value>(
        self,
        kernel: &Kernel<K, V>,
        gather: &mut Gather,
        mut pause: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<&'d [u64]> {
        let Self { heads, threads, numbering } = self;
        let all = heads.len();
        let is_fixed = const { RecordLayout::of::<K, V>() }.record_size().is_some();
        let together = if is_fixed { all.max(1) } else { TOGETHER };
        let (chains, mut taken) = (Chains { threads, numbering, kernel }, 0);
        loop {
            heads.sort_unstable();
            let first = heads.partition_point(|head| !numbering.is_open(*head));
            if first == all {
                break;
            }
            for part in heads[first..].chunks_mut(together) {
                let count = part.len();
                let cells = Cell::from_mut(part).as_slice_of_cells();
                chains.look_above(gather, cells, |looks| pause((taken + looks).min(all), all))?;
                taken += count;
            }
        }
        // They take the place of what is not needed any more: all may be in use.
        for head in heads.iter_mut().filter(|head| **head > 0) {
            *head = chains.place(*head as usize - 1).get();
        }
        heads.sort_unstable();
        let first = heads.partition_point(|at| *at == 0);
        Ok(&heads[first..])
    }
}

/// Looks at records that lie above others in their chains.
struct Chains<'d, K, V> {
    threads: &'d [Known],
    numbering: Numbering,
    kernel: &'d Kernel<K, V>,
}

impl<K: Key, V: Value> Chains<'_, K, V> {
    const LAYOUT: RecordLayout = RecordLayout::of::<K, V>();

    fn place(&self, number: usize) -> Address {
        let (thread, number) = (number / self.numbering.of_thread, number % self.numbering.of_thread);
        Address::new(self.numbering.base.get() + (u64::from(self.threads[thread].places[number]) << WORD_BITS))
    }

    fn key(&self, number: usize) -> &[u8] {
        self.threads[number / self.numbering.of_thread].key(number % self.numbering.of_thread)
    }

    /// One look for each, in order.
    fn look_above(
        &self,
        gather: &mut Gather,
        heads: &[Cell<u64>],
        mut pause: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let Self { kernel, numbering, .. } = *self;
        let wanted = heads.iter().map(|head| Fetch::of(kernel, numbering.above(head.get())));
        let (mut looks, mut longer) = (0, Vec::new());
        gather.read(&kernel.log, wanted.map(Fetch::place), Self::LAYOUT, &mut |number, brought| {
            looks += 1;
            if looks % BETWEEN == 0 {
                pause(looks)?;
            }
            longer.extend(self.decide(&heads[number], brought)?.map(|fetch| (number, fetch)));
            Ok(())
        })?;
        while !longer.is_empty() {
            longer.sort_unstable_by_key(|(_, fetch): &(_, Fetch)| fetch.at);
            let asked = std::mem::take(&mut longer);
            let wanted = asked.iter().map(|(_, fetch)| fetch.place());
            gather.read(&kernel.log, wanted, Self::LAYOUT, &mut |place, brought| {
                let number = asked[place].0;
                longer.extend(self.decide(&heads[number], brought)?.map(|fetch| (number, fetch)));
                Ok(())
            })?;
        }
        pause(looks)
    }

    /// What a record says that lies above: what else is to be looked at, whether the one in doubt may be in use, or that it is of no use.
    /// The access to all of the record, if it is longer.
    fn decide(&self, head: &Cell<u64>, brought: std::result::Result<&[u8], usize>) -> Result<Option<Fetch>> {
        let (at, number) = (self.numbering.above(head.get()), self.numbering.number(head.get()));
        let record = match (Fetch { at, len: 0 }).gathered_head(self.kernel, brought)? {
            Err(longer) => return Ok(Some(longer)),
            Ok(record) => record,
        };
        head.set(if !record.info.is_invalid() && record.key == self.key(number) {
            0
        } else if record.info.previous() > self.place(number) {
            self.numbering.head(record.info.previous(), number)
        } else {
            Numbering::in_use(number)
        });
        Ok(None)
    }
}

/// The records at `places`, which are on the device, in any order.
///
/// # Errors
/// As for [`Look::settle`].
pub(super) fn records_at<K: Key, V: Value>(
    kernel: &Kernel<K, V>,
    gather: &mut Gather,
    places: &[u64],
    mut visit: impl FnMut(Address, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut wanted: Vec<_> = places.iter().map(|at| Fetch::of(kernel, Address::new(*at))).collect();
    while !wanted.is_empty() {
        let mut longer = Vec::new();
        let places = wanted.iter().map(|fetch| fetch.place());
        gather.read(&kernel.log, places, RecordLayout::of::<K, V>(), &mut |number, brought| {
            match wanted[number].bytes_of(kernel, brought) {
                Ok(bytes) => visit(wanted[number].at, bytes)?,
                Err(fetch) => longer.push(fetch),
            }
            Ok(())
        })?;
        longer.sort_unstable_by_key(|fetch: &Fetch| fetch.at);
        wanted = longer;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_sorted_by_what_lies_above_and_lead_back_to_all_that_is_known() {
        let (base, tail) = (Address::new(1 << 20), Address::new(1 << 30));
        let mut doubts = Doubts::new::<u64>(3 * 100 * 20, 3);
        doubts.begin(base, tail);
        let at = |number: u64| Address::new(base.get() + number * 8);
        for (thread, mut share) in doubts.shares().into_iter().enumerate() {
            for number in 0..100 - 40 * thread as u64 {
                let number = number * 3 + thread as u64;
                assert!(share.room() > 0);
                share.push(Address::new(tail.get() - 8 * (number * 7919 % 1000)), at(number), &number.to_le_bytes());
            }
            assert_eq!(share.room(), 40 * thread);
        }
        let (mut seen, mut before) = (Vec::new(), 0);
        for look in doubts.looks() {
            assert_eq!(look.heads.len(), 60, "each thread has as many");
            look.heads.sort_unstable();
            let (numbering, first) = (look.numbering, look.heads[0]);
            assert!(before < first, "and a part of the log of its own");
            before = look.heads[59];
            for head in look.heads {
                let number = numbering.number(*head);
                let known = &look.threads[number / numbering.of_thread];
                let place = known.places[number % numbering.of_thread];
                assert_eq!(known.key(number % numbering.of_thread), u64::from(place).to_le_bytes());
                assert_eq!(numbering.above(*head).get(), tail.get() - 8 * (u64::from(place) * 7919 % 1000));
                seen.push(place);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 180);
    }

    #[test]
    fn one_whose_chain_leads_too_far_is_taken_for_one_that_may_be_in_use() {
        for (tail, each) in [(1 << 10, 1000), (1 << 47, 1 << 22)] {
            let numbering = Numbering::new(Address::new(64), Address::new(tail), (2, each));
            let last = 2 * numbering.of_thread - 1;
            let head = numbering.head(Address::new(tail), last);
            assert!(numbering.is_open(head) && numbering.above(head) == Address::new(tail), "{tail}");
            assert_eq!(numbering.number(head), last);
            assert!(!numbering.is_open(Numbering::in_use(last)));
        }
        let numbering = Numbering::new(Address::new(64), Address::new(1 << 10), (1, 1000));
        assert_eq!(numbering.head(Address::new(1 << 40), 7), Numbering::in_use(7));
    }
}
