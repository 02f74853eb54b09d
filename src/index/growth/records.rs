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

/// Which of the copies of one chain a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The only one.
    Alone,
    /// One of several, which counts only for who comes to it from the last one.
    Part,
    /// The last of several, which leads to the others.
    Last,
}

/// Copies records to the end of the log, for one who merges two chains. Its calls neither block nor panic; what they give lasts as
/// long as the caller is pinned.
pub(crate) trait Copier {
    /// Whether nobody changes the record at `at` any more where it lies.
    fn is_settled(&self, at: Address) -> bool;

    /// Appends a copy of the record at `at`, which is settled and in memory, in front of the chain that begins at `onto`. Nothing
    /// leads to it yet. `None` if there is no room in memory.
    fn copy(&self, at: Address, onto: Address, place: Place) -> Option<Address>;

    /// The copy at `at` comes to nothing.
    fn withdraw(&self, at: Address);
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

    /// Whether the records at both addresses, which are in memory, are of one key.
    fn are_of_one_key(&self, one: Address, other: Address) -> bool {
        let _ = (one, other);
        false
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
