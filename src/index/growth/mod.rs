//! The index becomes larger, or smaller, while everybody goes on.
//!
//! A table of `n` buckets is split into one of `2n`: what is in bucket `b` goes to `b` and `b + n`, by the next bit of the
//! hash. Buckets are split one by one, by whoever is there: who inserts the first entry of a chain splits that chain's bucket,
//! and a few more; who asked for the growth splits what is left. Nobody waits for a split, and who only reads or updates does
//! not even take part.
//!
//! ```text
//!                 table n, in force before          table 2n, in force
//!   bucket b      [e e e e e e e|ov]   split ---->  b      [e e e . . . .|1]
//!                  frozen, then left          \-->  b + n  [e e e e . . .|1]
//!   bucket b + 1  [e e e e . . .|0 ]                b + 1  [. . . . . . .|0]   untouched: look left
//!
//!   made, its memory taken -> put in force -> all buckets split -> epoch safe: nobody looks left -> memory given back
//! ```
//!
//! Which side an entry belongs to is not in the entry: it depends on the key, which is in the record. As long as the records
//! of a chain are in memory, each side gets the first record that is its own; where a chain goes on on the device, both get
//! the rest. So chains are not rewritten, they share their ends, and hold keys of the other side too: whoever follows a chain
//! compares keys, as always.
//!
//! To become smaller it goes the other way: what is in `b` and `b + n` is merged into `b` (`merge.rs`). That is done by the one who has it
//! shrink (`shrink.rs`), since two chains of one tag become one by copies of records, which take room in the log. What cannot be merged at
//! this moment is given back as it was:
//!
//! ```text
//!                 table 2n, in force before         table n, in force
//!   bucket b      [e e e . . . .|0 ]   merge ---->  b      [e e e e e . .|1]
//!   bucket b + n  [e e e . . . .|0 ] --/            b + 1  [. . . . . . .|0]   untouched: look left, and insert there
//!                  frozen, then left, or thawed
//! ```
//!
//! * **W1** A table is put in force when the one before it is complete, settled, and alone. There are never more than two.
//! * **W2** A bucket is taken apart word by word, and every word, free slots included, is marked before it is looked at. Every
//!   change of a word compares all of it, and who finds the mark changes nothing: so a change either comes before the mark and
//!   is moved, or fails, and whoever made it looks the key up anew. Those who only look do not see the mark.
//! * **W3** The first overflow word of a chain tells how far it is. Only if it says that the chain is complete does an entry
//!   that is not found there not exist; otherwise the chain of the table before has it, which is complete, and also current
//!   up to its last change. What is found in a chain that is still being filled is in force.
//! * **W4** Nobody inserts an entry into a chain that is not complete. While the index shrinks it is put into the larger table.
//! * **W5** When all buckets have been moved and whoever was pinned then has left, nobody looks at the table before any more.
//!   Only then is its memory given back.
//! * **W6** An entry leads to its newest record, maybe by way of others. Each half has one entry for a tag, at most (I1).
//! * **W7** A merge changes nothing but marks before it is known to succeed. If it is hindered, the marks are taken off, and then the
//!   new chain is untouched again. What is copied is changed by nobody, and lies above all that was in both chains. Chains that are joined
//!   one record at a time (`frozen.rs`) lead to what they lead to until the last copy is there, and from then on both to the joined one.
//! * **W8** No bucket of a table that is left for a smaller one is saturated: it is refused if one is, and once a smaller table is
//!   announced none becomes so. Who may not know that yet is waited for.
//! * **W9** The smaller table has an overflow bucket for whatever is merged into it: what is in the larger one is counted, and once it is
//!   announced a first entry there takes one of as many more as are kept. If there are none left it waits for its buckets to be merged.
//!   So a shrinking that was begun can be ended.
//! * **W10** What was given up before chains are joined is found in none of them: who walks a chain ends where the log begins, and no split
//!   leads an entry to what lies below where it began when the index last shrank. What hid it was given up too, and may have been part of
//!   the other chain.
//! * **W11** Nobody has keys locked while the index shrinks (`lockers.rs`). Who has a key locked is told where its record will be before its
//!   chain is known, and goes on under one pin until it is published; and would wait for a bucket to be merged that waits for the lock.

mod ask;
mod frozen;
mod halves;
mod lockers;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod merge;
mod progress;
mod records;
mod run;
mod shrink;
mod split;
mod state;
#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests;

pub(crate) use ask::Haste;
pub(crate) use frozen::{Frozen, Pair};
pub(crate) use merge::{Hindrance, Means};
pub(super) use progress::Progress;
pub(crate) use records::{Copier, Look, Place, Records};
pub(crate) use run::{GROWTH_HOLDER, Grower, TableHold};
pub(crate) use shrink::ShrinkStage;
pub(super) use state::Growth;
pub use state::{GrowthRefusal, IndexGrowth};
