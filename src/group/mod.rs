//! Group commit: many who wait for what they appended to be durable share the cost of one write and one sync.
//!
//! ```text
//!   wait  wait  wait      the first one leads: what it commits covers all who wait by then
//!     \    |    /
//!      one commit  -->  all are told; who came meanwhile is in the next one, led by the first of them
//! ```
//!
//! A thread leads for those who do not wait in a call: futures, and whoever has appended and gone on.
//!
//! * **G1** One leads at a time. A commit covers everything that was appended before it began.
//! * **G2** Whoever waits is told when what it waits for is durable, or cannot be any more. Whoever appends and goes on is covered by a
//!   commit within the interval: it tells the thread, or a commit under way sees at its end what it did not cover.
//! * **G3** A commit that failed is the last one. Everybody who waits, commits or appends from then on is told why.

mod group_commit;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod policy;
#[cfg(all(test, not(oxifaster_loom)))]
mod tests;

pub(crate) use group_commit::{GroupCommit, Tenant, spawn};
pub(crate) use policy::Policy;
