//! Seeds in, verdicts out.
//!
//! ```text
//!   seed --> explore: run the program, then crash it at its events, recover, crash the recoveries ...
//!              |
//!              v
//!            Verdict: counts, and the first violation with the path that leads to it
//! ```

mod campaign;
mod explore;
mod path;
mod subject;
#[cfg(test)]
mod tests;

pub use campaign::{Campaign, Observer, Summary};
pub use explore::{Counts, Failure, Look, Verdict, explore, replay};
pub use path::{CrashPath, CrashStep};
pub use subject::Subject;
