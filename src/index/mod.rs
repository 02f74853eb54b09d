//! The hash index: from the hash of a key to the newest record of its chain.
//!
//! Keys are not in the index. A bucket and a 14-bit tag name a chain of records in the log; several keys can share it, and
//! whoever follows it compares whole keys. A bucket is one cache line: seven entries and a word that leads on.
//!
//! ```text
//!   63        62        61..48  47..0
//!   tentative 1         tag     address            an entry; 0 is a free slot
//!   0         0         0       bucket number + 1  overflow word: a further bucket of the arena; 0: none
//!   1         0         0       address            overflow word: saturated, the head of the catch-all chain
//!   1         1         0       0                  overflow word: being saturated
//!
//!   bucket 17 [e][e][e][e][e][e][e][ov]---> arena 3 [e][e][0][0][0][0][0][0]
//!   bucket 18 [e][e][e][e][e][e][e][S a]            a: catch-all for every tag that has no entry in bucket 18
//! ```
//!
//! When many buckets are full the table is split into one twice as large, and when few entries are left it is merged into one of half
//! the size (`growth`). If the memory for it is not to be had,
//! the index stays as it is: when a bucket is full and the arena is used up, the bucket is *saturated*: its last
//! overflow word becomes an entry without a tag, and keys that find no entry of their own share its chain. Longer chains
//! cost time, but an insert is never refused.
//!
//! * **I1** At most one entry of a bucket chain that is not tentative has a given tag, and while there is one, no key of
//!   that tag is in the catch-all. All writers of a key therefore meet at one word.
//! * **I2** A tentative entry belongs to the thread that made it; others leave it alone and do not follow it.
//! * **I3** A slot is claimed only while its chain is not saturated, and a saturated chain stays saturated until its bucket is
//!   split.
//! * **I4** An entry is changed by comparing the whole word, tag included: a slot can be freed and taken by another tag
//!   while somebody still means the old one.
//! * **I5** An overflow word that is not 0 stays what it is (a link to the same bucket, or saturated): chains only grow.

mod arena;
mod bucket;
#[cfg(not(oxifaster_loom))]
mod collect;
mod entry;
mod growth;
mod image;
#[cfg(test)]
#[cfg(oxifaster_loom)]
mod loom;
mod mem_index;
#[cfg(not(oxifaster_loom))]
mod memory_index;
#[cfg(not(oxifaster_loom))]
mod replay;
#[cfg(not(oxifaster_loom))]
mod rows;
mod stats;
mod table;
mod tag_match;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;

pub(crate) use growth::{
    Copier, Frozen, GROWTH_HOLDER, Grower, Haste, Hindrance, Look, Means, Pair, Place, Records, ShrinkStage, TableHold,
};
pub use growth::{GrowthRefusal, IndexGrowth};
#[cfg(not(oxifaster_loom))]
pub(crate) use image::ImageSource;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
use mem_index::Conflict;
pub(crate) use mem_index::{IndexConfig, IndexView, MemIndex, Slot};
#[cfg(not(oxifaster_loom))]
pub use memory_index::MemoryIndex;
#[cfg(not(oxifaster_loom))]
pub(crate) use replay::Replay;
#[cfg(not(oxifaster_loom))]
pub(crate) use rows::Rows;
pub use stats::IndexStats;
pub(crate) use tag_match::tag_match_name;
