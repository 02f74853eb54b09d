//! Locks on keys, by stripes: who has keys to himself for longer than one step.
//!
//! ```text
//!   key --hash--> stripe: one word
//!   +----------------------+----------+-----------+-----------+-----------+
//!   | version              | sleepers | upgrading | exclusive | holders   |
//!   +----------------------+----------+-----------+-----------+-----------+
//!     grows with every exclusive lock that ends     somebody     who share it
//! ```
//!
//! Plain operations know nothing of locks until the first transaction or the first caller who locks keys; from then on each
//! step heeds the stripe of its key: one that appends or changes something has it to itself for as long as it takes, one that
//! looks makes sure that nobody had it to himself meanwhile.
//!
//! * **S1** A stripe is held by any number of holders who share it, or by one who has it to himself. The version grows before
//!   an exclusive lock ends, so who has seen the same version before and after, and no exclusive lock, has seen nothing of
//!   what one did.
//! * **S2** Keys that may meet in one chain of records have one stripe: it is chosen by the low bits of the hash, and no table
//!   has fewer buckets than there are stripes. So who holds a stripe exclusively is the only one who appends to its chains.
//! * **S3** Who locks several stripes locks them in ascending order, or gives up soon and ends those that he has; and every wait
//!   has an end. Of two who share a stripe and both want it to themselves, the second is refused at once.
//! * **S4** Who goes to sleep until a stripe is free has said so in its word before he looked a last time; who frees it looks
//!   there.

mod held;
mod table;

#[cfg(all(test, oxifaster_loom))]
mod loom;

pub(crate) use held::{HeldStripes, Way};
pub use table::LockMode;
pub(crate) use table::{LockTable, Seen, Stripe, Upgrade};
