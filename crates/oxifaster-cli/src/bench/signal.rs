//! Ctrl-C: the first asks the benchmark to stop and say what it has, the second ends the process.

use crate::failure::Failure;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a process exits with that was ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

#[derive(Debug, Default)]
struct State {
    raised: AtomicBool,
    /// Removed before the process ends the hard way.
    temporary: Mutex<Option<PathBuf>>,
}

/// Whether the user wants to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<State>);

impl Interrupt {
    /// Listens to Ctrl-C and, where they exist, to the hangup and termination signals.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        ctrlc::set_handler(move || seen.raise()).map_err(|error| Failure::System {
            what: "listening to Ctrl-C".to_owned(),
            source: std::io::Error::other(error),
        })?;
        Ok(interrupt)
    }

    pub(crate) fn raise(&self) {
        if !self.0.raised.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(directory) = self.temporary().take() {
            // The process ends whether or not this works.
            let _ = std::fs::remove_dir_all(directory);
        }
        std::process::exit(i32::from(INTERRUPTED));
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Names a directory that must not be left behind.
    pub(crate) fn guard(&self, directory: &Path) {
        *self.temporary() = Some(directory.to_owned());
    }

    fn temporary(&self) -> std::sync::MutexGuard<'_, Option<PathBuf>> {
        self.0.temporary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_only_asks_to_stop() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.is_raised());
        interrupt.raise();
        assert!(interrupt.is_raised());
    }
}
