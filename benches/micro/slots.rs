//! What each thread of a benchmark has for itself.

use std::sync::Mutex;

/// One value for each thread. Which thread takes which does not matter, as long as it has it alone.
pub(crate) struct Slots<T>(Vec<Mutex<T>>);

/// Threads of a benchmark at most, whatever `--threads` says.
const THREADS: usize = 64;

impl<T> Slots<T> {
    pub(crate) fn new(make: impl FnMut(usize) -> T) -> Self {
        Self((0..THREADS).map(make).map(Mutex::new).collect())
    }

    /// Runs `body` with a value that nobody else has. Taking it costs some ten nanoseconds, once for a round.
    pub(crate) fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        let mut free = self.0.iter().find_map(|slot| slot.try_lock().ok()).unwrap();
        body(&mut free)
    }
}
