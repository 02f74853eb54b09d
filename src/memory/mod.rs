//! Raw memory, owned, aligned and accounted for.
//!
//! * **M1** A buffer's pointer is non-null, aligned to [`AlignedBuf::ALIGN`] (or the larger alignment asked for), valid for
//!   its length, initialised from birth (zeroed), and freed once, with the layout it was allocated with.
//! * **M2** A buffer is reached through its owner only: `&` gives shared bytes, `&mut` exclusive ones.
//! * **M3** The memory of `Words` is touched through atomic words only, from the moment it is made until it is freed.
//! * **M4** Everything large draws from one [`MemoryBudget`], which says who holds what.
//! * **M5** A mapping is made by one call, covers its whole area, overlaps nothing, and is unmapped once, by its owner. What
//!   its pages are made of may change meanwhile. What they hold changes by nothing but stores, and by giving them back, which
//!   is as good as storing zeros.
//! * **M6** A `Blocks` has `mask + 1` blocks, a power of two, so every number masked by it names one of them.

mod aligned;
mod budget;
mod pool;
mod prefetch;
mod pretouch;
mod residence;
mod word_copy;
mod words;

pub use aligned::AlignedBuf;
pub(crate) use aligned::no_memory;
pub use budget::{MemoryBudget, Reservation};
pub(crate) use pool::BufferPool;
pub use pool::IoBuf;
#[cfg(all(target_os = "linux", feature = "io_uring"))]
pub(crate) use prefetch::prefetch_bytes;
pub(crate) use prefetch::{Purpose, prefetch, prefetch_behind};
pub(crate) use pretouch::pretouch;
pub(crate) use residence::{HugePages, resident_bytes};
pub(crate) use word_copy::{bytes_of, equals_bytes, load_any, load_bytes, store_any, store_bytes, words_for};
#[cfg(not(oxifaster_loom))]
pub(crate) use words::page_size;
pub(crate) use words::{Blocks, Words};
