//! One record format.
//!
//! ```text
//!  word 0        word 1                  words ..              next word               next word     words ..
//! +------------+-----------------------+---------------------+-----------------------+-------------+----------------+
//! | RecordInfo | key bytes u32,        | key, padded with 0s | length u32, stamp u32 | expiry      | value, padded  |
//! |            | value words u32       |                     |                       |             |                |
//! +------------+-----------------------+---------------------+-----------------------+-------------+----------------+
//!   previous 48  only if not all keys    to whole words        only if the value is    only of       to whole words
//!   version,     and values have the                           more than one word,     values that
//!   flags        same length                                   or may be, or may end   may end
//! ```
//!
//! `u64 -> u64` takes 24 bytes. All numbers are little-endian. A record begins at a multiple of 8 bytes and never crosses
//! a page. Whether keys and values have one length each is known of the types, and stands in the manifest of a checkpoint: what
//! a store of fixed lengths would never use is not there; likewise the expiry of values that never end.
//!
//! * **R1** A record's header always has its *present* bit set; a zero word where a header could be means that nothing
//!   follows before the next block boundary.
//! * **R2** Key, sizes and `previous` never change once the record is published in the index (but for copies in a
//!   read cache, whose `previous` skips others that leave).
//! * **R3** A value of a type of at most 8 bytes is one atomic word. Any other is written, and becomes longer or shorter within
//!   its words, only while its stamp is odd, by the thread that made it odd; who reads it takes only what it copied between two
//!   equal, even stamps (`latch.rs`).
//! * **R4** A tombstone is set once and never taken back, but for those of latched values in a store that uses space again: who gives the
//!   key a value there holds the latch meanwhile (`revive.rs`). An operation that found the record without it may still change
//!   the value afterwards: the change is ordered just before the deletion, which nobody can tell from having come first.
//! * **R5** An invalid record was never published, or has left its chain and nobody looks at it any more; it is skipped wherever the log is
//!   walked.
//! * **R6** The first words of a record say how long it is: its sizes, whether it has a word for its origin, or is a mark
//!   (`origin.rs`).
//! * **R7** A value that does not fit into its record any more goes on in a new record in front of it. If that is made from
//!   the value that is there, the record is sealed first, under its stamp: from then on it is neither changed nor deleted in
//!   place, and as good as immutable. If it is written blindly, the record is sealed after: who changes the old one in the
//!   meantime comes before it, and nobody comes after it with a look at the index from before. A latched value that is to be
//!   deleted because of what it is, is sealed likewise.
//! * **R8** A value without a latch that is to be deleted because of what it is, is *closed* by a bit of its header: who sees it
//!   leaves the value alone. When all have left who may have looked before, the record is as good as immutable.
//! * **R9** A large value is a root in the chain of its key, sealed from its first moment on, and fragments (`large.rs`), which are
//!   invalid as records: nobody finds them but through the root. All of them are whole before the root is published, and lie below it.
//! * **R10** Values that may end are always latched: their expiry is read and written as a part of the value. A value that has
//!   ended is not there, but its record stands where it stands, and hides what is older of its key.

mod bytes;
mod draft;
mod encoded;
mod expiring;
mod field;
mod info;
mod known;
mod large;
mod latch;
mod layout;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod origin;
mod path;
mod pod;
mod revive;
mod sizes;
mod tuple;
mod twin;
mod view;

pub(crate) use draft::{Content, Draft, RootDraft};
pub use encoded::{Codec, Encoded, Json};
pub use expiring::{Expiring, Expiry};
pub(crate) use field::{ByRef, made_of};
pub use field::{Key, KeyBytes, Value, ValueBytes};
pub use info::RecordInfo;
pub(crate) use known::KnownRecord;
pub(crate) use large::{Fragment, Held, Root};
pub(crate) use latch::{Latch, Seen};
pub(crate) use layout::RecordParts;
pub use layout::{Record, RecordLayout};
pub(crate) use origin::{Mark, Origin};
pub(crate) use path::{Path, Wanted};
pub use pod::Pod;
pub(crate) use revive::Revived;
pub(crate) use sizes::RecordSizes;
pub use tuple::{Pair, Triple};
pub(crate) use view::{Deleted, Modified, RecordRef, Verdict};
