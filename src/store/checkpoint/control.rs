//! Watching a checkpoint that is under way, and stopping it.

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a checkpoint is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointStep {
    /// It copies the index.
    Index,
    /// It waits for batched calls to end, and cuts.
    Cut,
    /// It writes the log.
    Log,
    /// It waits for the device and the files to be durable.
    Sync,
    /// It writes the manifest.
    Manifest,
    /// It is durable, or given up.
    Over,
}

const STEPS: [CheckpointStep; 6] = [
    CheckpointStep::Index,
    CheckpointStep::Cut,
    CheckpointStep::Log,
    CheckpointStep::Sync,
    CheckpointStep::Manifest,
    CheckpointStep::Over,
];

/// How far a checkpoint has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointProgress {
    /// What it is doing.
    pub step: CheckpointStep,
    /// Bytes it has written to its files.
    pub file_bytes: u64,
}

/// What the one who takes a checkpoint and those who watch it share.
#[derive(Debug)]
pub(super) struct Control {
    step: AtomicU64,
    file_bytes: AtomicU64,
    cancelled: AtomicBool,
    deadline: Option<Instant>,
}

impl Control {
    pub(super) fn new(deadline: Option<Duration>) -> Self {
        Self {
            step: AtomicU64::new(0),
            file_bytes: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            deadline: deadline.and_then(|time| Instant::now().checked_add(time)),
        }
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(super) fn progress(&self) -> CheckpointProgress {
        let step = STEPS[(self.step.load(Ordering::Acquire) as usize).min(STEPS.len() - 1)];
        CheckpointProgress { step, file_bytes: self.file_bytes.load(Ordering::Acquire) }
    }

    pub(super) fn enter(&self, step: CheckpointStep) {
        self.step.store(step as u64, Ordering::Release);
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.file_bytes.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// Asked between steps, and within long ones.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if somebody does not want it any more, [`ErrorKind::Busy`] if its time is up.
    pub(super) fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, "the checkpoint was cancelled"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(ErrorKind::Busy, "the checkpoint was not done by its deadline")
                .with("step", format_args!("{:?}", self.progress().step))
                .help("give it more time with CheckpointOptions::with_deadline, or take smaller ones more often"));
        }
        Ok(())
    }
}
