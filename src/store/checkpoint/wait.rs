//! How a checkpoint waits for sessions: as shortly as they hold it up.
//!
//! What it waits for are pins of a microsecond. So it looks again at once for as long as that may take on another
//! processor. If it takes longer, the other one has been put off its processor, perhaps by this very thread: then giving it up
//! is what helps, and the one who ends the wait wakes this thread. A sleep of fixed length would be the longer part of the
//! wait, and a mere yield would be answered with whole time slices.

use super::control::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Surroundings;
use crate::operation::Environment;
use crate::record::{Key, Value};
use crate::store::database::Database;
use crate::sync::{Arc, AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long it looks again at once.
const SPIN: Duration = Duration::from_micros(20);
/// How long it sleeps at most before it looks again by itself: nobody may be there to wake it.
const NAP: Duration = Duration::from_micros(200);
/// The same where nobody ever wakes it.
const SHORT_NAP: Duration = Duration::from_micros(20);

/// The store around a cut.
pub(super) struct Around<'a, K: Key, V: Value> {
    pub(super) database: &'a Database<K, V>,
    pub(super) control: &'a Control,
}

impl<K: Key, V: Value> Around<'_, K, V> {
    fn wait(&self, nap: Duration, done: &mut dyn FnMut() -> bool) -> Result<()> {
        let mut since = None;
        while !done() {
            self.control.check()?;
            self.database.kernel.log.help();
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if waited < SPIN {
                std::hint::spin_loop();
            } else if waited < self.database.kernel.wait_limit() {
                std::thread::park_timeout(nap);
            } else {
                return Err(Error::new(ErrorKind::Busy, "a checkpoint waited too long for a session's call to end")
                    .with("milliseconds waited", waited.as_millis())
                    .help("look for a call that never returns, such as a read-modify-write closure that blocks"));
            }
        }
        Ok(())
    }
}

impl<K: Key, V: Value> Surroundings for Around<'_, K, V> {
    fn expect(&self, version: u64) {
        self.database.for_each_account(|account| account.expect(version));
    }

    fn is_any_in_batch(&self) -> bool {
        self.database.is_any_in_batch()
    }

    fn wait_until(&self, done: &mut dyn FnMut() -> bool) -> Result<()> {
        self.wait(SHORT_NAP, done)
    }

    fn wait_for_pins(&self) -> Result<()> {
        let have_left = Arc::new(AtomicBool::new(false));
        let (left, waiting) = (Arc::clone(&have_left), std::thread::current());
        self.database.epoch.bump(move || {
            left.store(true, Ordering::Release);
            waiting.unpark();
        });
        self.wait(NAP, &mut || have_left.load(Ordering::Acquire))
    }
}
