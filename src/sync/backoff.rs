//! How to wait for another thread: spin, then give up the time slice, then sleep a little.

/// An escalating wait. A fresh one spins; after some steps it yields, later it sleeps for growing, bounded times, so that
/// a waiter on a machine with fewer cores than threads neither burns the core its peer needs nor adds latency when the
/// peer is about to finish.
pub(crate) struct Backoff {
    step: u32,
}

const SPIN_STEPS: u32 = 5;
#[cfg(not(oxifaster_loom))]
const YIELD_STEPS: u32 = 16;
#[cfg(not(oxifaster_loom))]
const SLEEP_MICROS_MAX: u64 = 200;

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { step: 0 }
    }

    /// Waits once, longer than the time before.
    pub(crate) fn wait(&mut self) {
        #[cfg(oxifaster_loom)]
        loom::thread::yield_now();
        #[cfg(not(oxifaster_loom))]
        if self.step < SPIN_STEPS {
            for _ in 0..1u32 << self.step {
                std::hint::spin_loop();
            }
        } else if self.step < YIELD_STEPS {
            std::thread::yield_now();
        } else {
            let micros = 10u64 << (self.step - YIELD_STEPS).min(5);
            std::thread::sleep(std::time::Duration::from_micros(micros.min(SLEEP_MICROS_MAX)));
        }
        self.step = self.step.saturating_add(1);
    }

    /// True once waiting has gone past pure spinning: time to look at a clock or to help.
    pub(crate) fn is_slow(&self) -> bool {
        self.step > SPIN_STEPS
    }
}
