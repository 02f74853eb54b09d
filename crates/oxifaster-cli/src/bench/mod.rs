//! `oxifaster bench`: is the store fast, right, and within its memory, on this machine?
//!
//! ```text
//! options -> plan -> directory, budget -> store
//!                                           |
//!              load ---> runs of workloads ---> final pass       each a stage: threads with a pipeline of operations,
//!                \            |              /                   watched by the main thread
//!                 oracle, growth, faults                         what the store should hold, and where it does not
//!                             |
//!                  report -> table or JSON, exit code
//! ```
//!
//! 1. Every value that is read is checked; a wrong one makes the exit code 1.
//! 2. The memory of the process stays within the budget, the benchmark's own included.
//! 3. What the benchmark created is gone when it ends, unless the user named the directory.
//! 4. Standard output carries the report and nothing else.

mod audit;
mod campaign;
mod checkpoints;
mod device;
mod directory;
mod distribution;
mod execute;
mod faults;
mod growth;
mod issue;
mod lengths;
mod memory;
mod options;
mod oracle;
mod pipeline;
mod progress;
mod raw;
mod recovery;
mod report;
mod signal;
mod stage;
mod table;
mod tally;
mod trace;
mod value;
mod worker;
mod workload;

pub(crate) use directory::{Directory, occupied};
pub(crate) use execute::execute;
pub(crate) use options::{AFTER_HELP, AFTER_LONG_HELP, Options};
pub(crate) use signal::{INTERRUPTED, Interrupt};
