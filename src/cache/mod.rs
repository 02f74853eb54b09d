//! A read cache: copies of records that are on the device, in memory of their own.
//!
//! ```text
//!   index entry --> copy --> copy --> record --> record     of one chain
//!                   `------v------'   `--------v--------'
//!                    in the cache        in the log: newest first
//! ```
//!
//! The cache is a hybrid log that writes nothing. Its records stand in front of the chains that the index entries lead to;
//! nothing in the store's own log, and nothing on a device, ever leads to one. When room is needed, the oldest page is
//! taken out of the chains and used again. A copy that is read while it is among the older ones is copied anew.
//!
//! * **C1** A copy is of the newest version of its key. Whoever adds to a chain leads the entry past all copies, in the same
//!   exchange that makes the new record the newest. Whoever adds a copy has read the key's record on the device, where
//!   nobody changes it, and makes sure with its exchange that nothing was added to the chain since.
//! * **C2** A chain changes by exchanges of its index entry only; but copies that leave are skipped by the copies in front
//!   of them, whose `previous` is changed by the one thread that makes room.
//! * **C3** A frame is used again only when nobody is pinned any more who could have found a copy in it: first the copies
//!   are out of all chains, then the epoch is waited for.
//! * **C4** A copy is never waited for. If there is no room for one at this moment there will be none.
//!
//! The algorithm is that of FASTER's read cache, with more than one copy for a chain and a second chance for what is read.

mod config;
mod read_cache;

pub use config::ReadCacheConfig;
pub(crate) use read_cache::{CacheView, Copied, ReadCache};
