//! When a commit is made that nobody asked for.

use std::time::Duration;

/// When there is to be a commit, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// So long after something was appended.
    pub(crate) interval: Duration,
    /// When so many bytes were appended since the last commit.
    pub(crate) bytes: u64,
    /// When so many wait; with one, nobody waits for company.
    pub(crate) waiters: usize,
}
