//! Raw memory, owned, aligned and accounted for.
//!
//! * **M1** A buffer's pointer is non-null, aligned to [`AlignedBuf::ALIGN`] (or the larger alignment asked for), valid for
//!   its length, initialised from birth (zeroed), and freed once, with the layout it was allocated with.
//! * **M2** A buffer is reached through its owner only: `&` gives shared bytes, `&mut` exclusive ones.
//! * **M3** The memory of `Words` is touched through atomic words only, from the moment it is made until it is freed.
//! * **M5** A mapping is made by one call, covers its whole area, overlaps nothing, and is unmapped once, by its owner.
//! * **M4** Everything large draws from one [`MemoryBudget`], which says who holds what.

mod aligned;
mod budget;
mod pool;
mod prefetch;
mod word_copy;
mod words;

pub use aligned::AlignedBuf;
pub(crate) use aligned::no_memory;
pub use budget::{MemoryBudget, Reservation};
pub(crate) use pool::BufferPool;
pub use pool::IoBuf;
pub(crate) use prefetch::prefetch;
pub(crate) use word_copy::{equals_bytes, load_bytes, store_bytes, words_for};
pub(crate) use words::Words;
