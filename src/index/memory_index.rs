//! The index in memory by itself, for those who keep their records elsewhere.

use super::growth::{Haste, Look, Records};
use super::{IndexConfig, IndexStats, MemIndex};
use crate::address::Address;
use crate::epoch::LightEpoch;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Backoff};
use crate::utility::KeyHash;
use std::fmt;
use std::time::Duration;

/// How long a call waits for others that use the index.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// A hash index in memory, from hashes to addresses, without a store around it. Any number of threads may use it, also while it
/// grows.
///
/// ```
/// use oxifaster::address::Address;
/// use oxifaster::index::MemoryIndex;
/// use oxifaster::utility::KeyHash;
/// # fn main() -> oxifaster::Result<()> {
/// let records = ["apple", "pear", "plum"];
/// let hash_of = |record: &str| KeyHash::of_bytes(record.as_bytes());
/// let address_of = |at: usize| Address::new((at as u64 + 1) * 8);
///
/// let index = MemoryIndex::new(1)?;
/// for (at, record) in records.iter().enumerate() {
///     index.update_entry(hash_of(record), address_of(at))?;
/// }
/// // The index does not hold hashes: whoever has the records says which they are.
/// index.grow_with_rehash(|address| Some(hash_of(records[address.get() as usize / 8 - 1]).get()))?;
/// assert_eq!(index.stats().buckets, 2);
/// assert_eq!(index.find_entry(hash_of("pear")), Some(address_of(1)));
/// # Ok(())
/// # }
/// ```
pub struct MemoryIndex {
    index: MemIndex,
    epoch: Arc<LightEpoch>,
}

impl MemoryIndex {
    /// An empty index of `buckets` buckets, rounded up to a power of two, of 64 bytes and seven entries each; and an eighth of
    /// that for buckets that are full.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if that is more than 2^36, [`ErrorKind::Limit`] if the system does not give the memory.
    pub fn new(buckets: u64) -> Result<Self> {
        let buckets = buckets.checked_next_power_of_two().unwrap_or(u64::MAX);
        let index = MemIndex::new(IndexConfig { buckets, overflow_buckets: buckets / 8 })?;
        Ok(Self { index, epoch: LightEpoch::new() })
    }

    /// The address that was given to this hash last. Hashes that agree in their bucket and in their highest 14 bits share an
    /// entry, and so may others in an index that is too small: whoever follows the address compares keys.
    pub fn find_entry(&self, hash: KeyHash) -> Option<Address> {
        let mut participant = self.epoch.join();
        let guard = participant.pin();
        let address = self.index.find(hash, &guard).address();
        address.is_valid().then_some(address)
    }

    /// Has the entry of this hash lead to `address`, a multiple of 8; an invalid one frees it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the address is no multiple of 8.
    pub fn update_entry(&self, hash: KeyHash, address: Address) -> Result<()> {
        if !address.get().is_multiple_of(8) {
            return Err(Error::new(ErrorKind::Config, "an index entry leads to a multiple of 8")
                .with("address", address)
                .help("give records addresses that are multiples of 8, as those of a log are"));
        }
        let (mut participant, mut backoff) = (self.epoch.join(), Backoff::new());
        loop {
            let guard = participant.pin();
            if self.index.try_update(self.index.find(hash, &guard), address).is_ok() {
                return Ok(());
            }
            drop(guard);
            // Somebody else changed it, or the bucket is just being split by the one who has the index grow.
            backoff.wait();
        }
    }

    /// Doubles the number of buckets, and returns when that is done; others go on meanwhile. `rehash` says what the hash is to
    /// which the address at hand was given, or `None` if it does not know, or the address leads to records of several hashes: then
    /// the entry is in both of the buckets that its bucket becomes. It may be called by several threads and more than once for an address, and must not panic.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the system does not give the memory, or the index is as large as it may be.
    pub fn grow_with_rehash(&self, rehash: impl Fn(Address) -> Option<u64> + Send + Sync) -> Result<()> {
        let buckets = self.index.config().buckets * 2;
        let way = (Haste::Urgent, WAIT_LIMIT);
        self.index.grow_to(buckets, &Rehash(rehash), None, &mut self.epoch.join(), way)
    }

    /// Counts what is in the index by walking all of it.
    pub fn stats(&self) -> IndexStats {
        self.index.stats()
    }
}

impl fmt::Debug for MemoryIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryIndex").field("config", &self.index.config()).finish_non_exhaustive()
    }
}

/// Records of which nothing is known but their hash, if that.
struct Rehash<F>(F);

impl<F: Fn(Address) -> Option<u64> + Send + Sync> Records for Rehash<F> {
    fn look(&self, address: Address) -> Look {
        (self.0)(address).map_or(Look::Away, |hash| Look::Record(KeyHash::from_raw(hash), Address::INVALID))
    }

    fn sees_chains(&self) -> bool {
        false
    }
}
