//! The hybrid log: one growing sequence of records, its young end in memory, its old part on a device.
//!
//! ```text
//!  begin        head        safe_read_only   read_only          tail
//!    |  on disk  |  immutable, in memory  | fuzzy | mutable       |
//!    +-----------+------------------------+-------+---------------+--->  addresses grow
//!                      flushed: somewhere between head and safe_read_only
//! ```
//!
//! Memory is a ring of page frames. A page is written to the device once it is immutable, and its frame is used again
//! once the page is on the device and nobody can still be looking at it.
//!
//! * **L1** `safe_head <= head <= flushed <= safe_read_only <= read_only <= tail` and `begin <= flushed` at all times; each only
//!   grows.
//! * **L2** A record below `safe_read_only` is changed by nobody: whoever might still take it for mutable has left its
//!   epoch. Between `safe_read_only` and `read_only` (the fuzzy region) somebody might.
//! * **L3** Who is pinned and then finds `address >= head` may use the record until it unpins: frames below a new head are
//!   touched only when the epoch in which head moved is safe.
//! * **L4** Head moves only over what is on the device. A failed write stops `flushed`, hence head, hence the reuse of
//!   frames; it never makes anything be dropped.
//! * **L5** The frame of a page is all zeros when the page opens, so what lies between the last record of a stretch and
//!   the next block boundary reads as "nothing here". Only a note may follow, behind a zero word (`note.rs`).
//! * **L6** Of those who add to the tail, exactly one crosses the end of a page. It alone turns the page, or gives the
//!   turn back by restoring the tail; the others try again.
//! * **L7** Whoever was given space at the tail fills it, or marks it invalid, before it unpins.
//! * **L8** On the device a page is a run of 4,096-byte blocks; each carries 4,088 bytes of the page, the generation that
//!   the log has at this address, and a checksum over both and the block's number. A block that does not verify is never
//!   served.
//! * **L9** A record that a cut left out counts as invalid wherever it is met: in memory its header says so, and whatever
//!   reads the device sees it so.
//! * **L10** What is durable ends at a block boundary, and no block below is ever written again. It grows by a sync that began when all
//!   of it was written. After a sync that failed the device refuses every later one.
//! * **L11** The device is asked to give up what lies below `begin` when nobody is pinned any more who may have seen an earlier one.
//!   Whoever had a read under way by then looks at `begin` again when it comes back.
//! * **L12** While a checkpoint copies the log, a record below `settled` is changed by nobody, and one below `frozen` by nobody
//!   who pinned since it was frozen. In between it is fuzzy, as between `safe_read_only` and `read_only`.
//! * **L13** A frame is given back to the system only while no page is in it and nobody can open one there. It is zeros then (L5).
//! * **L14** Where space is used again: a record that left its chain is invalid before it becomes immutable, and before a checkpoint
//!   copies it. It is invalid, or has become another one, only after everybody has left who was pinned when it left, and it keeps
//!   its length. Only what lies in the mutable part leaves or is used, and nothing that was there when the index got another
//!   table, an image of it was begun, or a checkpoint cut (`spare.rs`).
//! * **L15** A small write may be made durable by the thread that waits for it (`through.rs`). Everything below was durable when it was
//!   kept for that thread, and no other write began until it was given to the device or let go.

#[cfg(not(oxifaster_loom))]
mod at_rest;
mod block;
mod copy;
mod durable;
mod evict;
mod fetch;
mod flush;
mod frames;
mod freeze;
#[cfg(not(oxifaster_loom))]
mod gather;
mod geometry;
mod history;
mod hybrid_log;
#[cfg(not(oxifaster_loom))]
mod live;
#[cfg(not(oxifaster_loom))]
mod live_blocks;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod note;
mod pieces;
mod pointers;
mod reader;
mod recovered;
mod resize;
mod scan;
mod spare;
mod state;
mod syncing;
mod tail;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;
mod through;
mod truncate;
mod view;
mod walk;

#[cfg(not(oxifaster_loom))]
pub(crate) use at_rest::AtRestReader;
pub use block::{BLOCK_PAYLOAD, BLOCK_SIZE};
pub(crate) use block::{Seal, bind, seal, verify};
#[cfg(not(oxifaster_loom))]
pub(crate) use gather::{Gather, Place};
pub use geometry::LogGeometry;
pub(crate) use history::History;
pub use history::{Aborted, Generation};
pub(crate) use hybrid_log::{Allocation, HybridLog, LogConfig};
#[cfg(not(oxifaster_loom))]
pub(crate) use live::LiveReader;
#[cfg(not(oxifaster_loom))]
pub(crate) use live_blocks::LiveBlocks;
pub(crate) use note::note_in;
pub(crate) use pieces::{Piece, PieceFile, Pieces};
pub(crate) use pointers::FIRST;
pub use pointers::LogAddresses;
pub(crate) use reader::{BlockReader, ReadLimits, Verified};
pub(crate) use scan::{Scan, Visitor};
pub(crate) use spare::Spare;
pub(crate) use state::LogState;
pub(crate) use view::{LogHandle, LogView};
pub(crate) use walk::RecordWalker;
