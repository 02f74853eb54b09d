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
//! the more this is like reading the log from its one end to the other.
//!
//! If what lies above a record is of its key, the record is of no use, whatever happened since. If it is not, and neither is
//! anything between the two, the record is looked up like any other (C1, C2).

use crate::address::Address;
use crate::allocator::Gather;
use crate::error::Result;
use crate::kernel::{Fetch, Kernel};
use crate::record::{Key, RecordLayout, Value};

/// Looks that are taken in one go.
const TOGETHER: usize = 1 << 15;

/// A record in doubt. There are many.
struct Doubt<K> {
    /// The next record of its chain to look at, above it, and how many bytes to ask for.
    above: Address,
    len: u32,
    /// Where it is, in eights of bytes from the first one on.
    distance: u32,
    key: K,
}

/// What one thread has put off.
pub(super) struct Doubts<K> {
    doubts: Vec<Doubt<K>>,
    /// The lowest.
    first: Address,
    /// Bytes of keys that lie elsewhere.
    beside: usize,
    bytes_max: usize,
}

impl<K: Key> Doubts<K> {
    /// The range of a distance.
    const REACH: u64 = (u32::MAX as u64) << 3;

    /// None yet. They may take `bytes_max`.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { doubts: Vec::new(), first: Address::INVALID, beside: 0, bytes_max }
    }

    /// Records at `at` can be taken on.
    pub(super) fn reach(&self, at: Address) -> bool {
        self.doubts.is_empty() || at.get() - self.first.get() <= Self::REACH
    }

    /// Puts off what to do with the record at `at`, which they [`reach`](Self::reach), above which its chain leads to `above`. They
    /// come in the order of the log.
    pub(super) fn push(&mut self, above: Fetch, at: Address, key: K) {
        if self.doubts.is_empty() {
            self.first = at;
            self.doubts.reserve_exact(self.count_max()); // one that grows would be there twice
        }
        self.beside += if K::FIXED.is_some() { 0 } else { key.as_bytes().len() };
        let distance = ((at.get() - self.first.get()) >> 3) as u32;
        self.doubts.push(Doubt { above: above.at, len: above.len as u32, distance, key });
    }

    /// Each may turn out to be in use, and is then a place beside.
    const fn count_max(&self) -> usize {
        let count = self.bytes_max / (size_of::<Doubt<K>>() + size_of::<Address>());
        if count > 64 { count } else { 64 }
    }

    /// As many as may be kept.
    pub(super) const fn is_full(&self) -> bool {
        self.doubts.len() >= self.count_max()
            || self.beside + self.doubts.len() * size_of::<Doubt<K>>() >= self.bytes_max
    }

    /// Looks at what lies above all of them. Where the records are that may be in use, in the order of the log. `pause` is called
    /// now and then.
    ///
    /// # Errors
    /// The device's, and [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt); that of `pause`.
    pub(super) fn settle<V: Value>(
        &mut self,
        kernel: &Kernel<K, V>,
        gather: &mut Gather,
        mut pause: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Address>> {
        let (first, mut in_use) = (self.first, Vec::new());
        let mut doubts = std::mem::take(&mut self.doubts);
        self.beside = 0;
        while !doubts.is_empty() {
            doubts.sort_unstable_by_key(|doubt| doubt.above);
            for part in doubts.chunks_mut(TOGETHER) {
                look_above(kernel, gather, (first, part), &mut in_use)?;
                pause()?;
            }
            doubts.retain(|doubt| doubt.above.is_valid());
        }
        in_use.sort_unstable();
        Ok(in_use)
    }
}

/// One look for each. Those that need another one go on at the place of that, the others at none; those that may be in use are put
/// into `in_use`.
fn look_above<K: Key, V: Value>(
    kernel: &Kernel<K, V>,
    gather: &mut Gather,
    (first, doubts): (Address, &mut [Doubt<K>]),
    in_use: &mut Vec<Address>,
) -> Result<()> {
    let places: Vec<_> = doubts.iter().map(|doubt| (doubt.above, doubt.len as usize)).collect();
    gather.read(&kernel.log, &places, RecordLayout::of::<K, V>(), &mut |number, brought| {
        let doubt = &mut doubts[number];
        let at = Address::new(first.get() + (u64::from(doubt.distance) << 3));
        let next = match (Fetch { at: doubt.above, len: doubt.len as usize }).gathered_head(kernel, brought)? {
            Err(longer) => Some(longer),
            Ok(record) if !record.info.is_invalid() && record.key == doubt.key.as_bytes() => None,
            Ok(record) if record.info.previous() > at => Some(Fetch::of(kernel, record.info.previous())),
            Ok(_) => {
                in_use.push(at);
                None
            }
        };
        (doubt.above, doubt.len) = next.map_or((Address::INVALID, 0), |next| (next.at, next.len as u32));
        Ok(())
    })
}

/// The records at `places`, which are on the device, in any order.
///
/// # Errors
/// As for [`Doubts::settle`].
pub(super) fn records_at<K: Key, V: Value>(
    kernel: &Kernel<K, V>,
    gather: &mut Gather,
    places: &[Address],
    mut visit: impl FnMut(Address, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut wanted: Vec<_> = places.iter().map(|at| Fetch::of(kernel, *at)).collect();
    while !wanted.is_empty() {
        let places: Vec<_> = wanted.iter().map(|fetch| (fetch.at, fetch.len)).collect();
        let mut longer = Vec::new();
        gather.read(&kernel.log, &places, RecordLayout::of::<K, V>(), &mut |number, brought| {
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
