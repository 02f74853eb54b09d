//! What the index has to know of the records to which its entries lead.

use crate::address::Address;
use crate::utility::KeyHash;

/// What there is at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A record, the hash of its key, and where the chain goes on.
    Record(KeyHash, Address),
    /// Something that the chain does without, and where it goes on: a record that was never part of the store, or a copy in a
    /// read cache.
    Skip(Address),
    /// Something that cannot be looked at now: of any key, and with any others behind it.
    Away,
    /// The chain ended before it came here.
    Gone,
}

/// Gives the index a look at records. Its calls neither block nor panic, and are made by threads that are pinned.
pub(crate) trait Records: Send + Sync {
    /// What there is at `address`.
    fn look(&self, address: Address) -> Look;

    /// Whether [`look`](Self::look) tells where a chain goes on. Otherwise a record is taken for all that its entry leads to,
    /// and the catch-all of a saturated bucket is left as it is.
    fn sees_chains(&self) -> bool {
        true
    }

    /// Notes, before anybody uses it, that there is a table of so many buckets. False if that cannot be done at this moment: the
    /// table is not put in force, and it is tried again.
    fn announce(&self, buckets: u64) -> bool {
        let _ = buckets;
        true
    }

    /// Starts loading what [`look`](Self::look) will look at.
    fn prefetch(&self, address: Address) {
        let _ = address;
    }
}
