//! Clause C4: completions arrive also if nobody polls.
//!
//! Time in a world passes when somebody submits or polls. Whoever waits without polling would wait forever, so one thread
//! looks after all worlds: where accesses are under way and nothing has moved for the world's patience, it carries them
//! out. That makes a run depend on the clock; the world counts it, and a program that polls while it waits never gets
//! there.

use super::Shared;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How often the thread looks.
const INTERVAL: Duration = Duration::from_millis(2);

struct Watched {
    world: Weak<Shared>,
    /// The world's time when it was looked at last, and how often it had been the same.
    tick: u64,
    quiet: u128,
}

#[derive(Default)]
struct Mover {
    watched: Mutex<Vec<Watched>>,
    arrived: Condvar,
}

static MOVER: OnceLock<Mover> = OnceLock::new();

/// Has the thread look after `world` as long as it exists. False if there is no thread and none can be had.
pub(super) fn watch(world: &Arc<Shared>) -> bool {
    let mover = MOVER.get_or_init(Mover::default);
    static STARTED: OnceLock<bool> = OnceLock::new();
    let start = || thread::Builder::new().name("simulated-time".to_owned()).spawn(|| mover.run()).is_ok();
    if !*STARTED.get_or_init(start) {
        return false;
    }
    let mut watched = mover.watched.lock().unwrap_or_else(PoisonError::into_inner);
    watched.push(Watched { world: Arc::downgrade(world), tick: 0, quiet: 0 });
    mover.arrived.notify_all();
    true
}

impl Mover {
    fn run(&self) {
        loop {
            let stuck = self.look();
            // Nothing is locked here: a completion may submit, or end a world.
            stuck.iter().for_each(|world| world.move_on());
            drop(stuck);
            thread::sleep(INTERVAL);
        }
    }

    /// The worlds that do not move by themselves. Waits while there is no world.
    fn look(&self) -> Vec<Arc<Shared>> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.arrived.wait_while(watched, |watched| watched.is_empty());
        let mut watched = waited.unwrap_or_else(PoisonError::into_inner);
        let mut stuck = Vec::new();
        watched.retain_mut(|entry| {
            let Some(world) = entry.world.upgrade() else { return false };
            let (tick, in_flight) = world.time();
            entry.quiet = if tick == entry.tick && in_flight > 0 { entry.quiet + 1 } else { 0 };
            entry.tick = tick;
            if entry.quiet * INTERVAL.as_millis() >= world.config.patience.as_millis() && entry.quiet > 0 {
                entry.quiet = 0;
                stuck.push(world);
            }
            true
        });
        stuck
    }
}
