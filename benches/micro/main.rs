//! What the parts cost: `cargo bench`, or `cargo bench -- <part of a name>`.
//!
//! ```text
//!   epoch  hash  checksum            the tools, alone
//!   hit  batch  future               operations that memory answers: 4 thousand keys (in the processor's caches)
//!                                    and 2 million (not in them)
//!   miss                             operations that read a device, which is memory: what the store adds to a disk
//!   lengths                          keys and values of one length against those of any
//!   session                          starting and ending one
//! ```
//!
//! Whatever is too short to be timed alone is done [`ROUND`] times: **the microseconds of such a line are the nanoseconds
//! of one operation**, the drawing of its key included (one to two). The number of items per second is over all threads.
//!
//! How fast a store is under a mix of operations, and larger than memory, is what `oxifaster bench` is for.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a benchmark ends where its expectation does")]

mod batch;
mod checksum;
mod epoch;
mod future;
mod hash;
mod hit;
mod lengths;
mod miss;
mod session;
mod slots;
mod stage;

use std::time::Duration;

/// Operations of a round.
const ROUND: usize = 1_000;

/// Long enough for a median that holds, short enough for all of them to take less than a minute.
const TIME: Duration = Duration::from_millis(300);

fn main() {
    divan::Divan::default().min_time(TIME).max_time(TIME * 2).config_with_args().main();
}
