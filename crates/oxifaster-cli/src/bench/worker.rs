//! One thread of a run: draws operations and keys until time is up.

use super::distribution::KeyChooser;
use super::growth::{Growth, LatestChooser};
use super::options::Plan;
use super::pipeline::Pipeline;
use super::stage::Control;
use super::tally::Tally;
use super::value::{Content, mix};
use super::workload::{Operation, Preference, Workload};
use oxifaster::Result;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

/// A thread tells its progress after this many operations.
pub(crate) const PUBLISH_EVERY: u64 = 64;
/// An update whose key another thread is just writing takes another key, so often at most.
const TRIES: usize = 16;

#[derive(Debug)]
enum Keys {
    Fixed(KeyChooser),
    Latest(LatestChooser),
}

/// Draws the operations of one thread.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    workload: Workload,
    growth: &'a Growth,
    thread: usize,
    keys: Keys,
    rng: Xoshiro256PlusPlus,
}

impl<'a> Worker<'a> {
    /// The worker of `thread`; the same seed draws the same operations, all threads agree on which keys are popular.
    pub(crate) fn new(
        plan: &Plan,
        workload: Workload,
        preference: Preference,
        growth: &'a Growth,
        thread: usize,
    ) -> Self {
        let keys = match preference {
            Preference::Zipfian => Keys::Fixed(KeyChooser::zipfian(plan.records, plan.theta, plan.seed)),
            Preference::Uniform => Keys::Fixed(KeyChooser::uniform(plan.records)),
            Preference::Latest => Keys::Latest(LatestChooser::new(growth, plan.theta)),
        };
        let run = (workload as u64) << 32 | (preference as u64) << 40;
        let rng = Xoshiro256PlusPlus::seed_from_u64(mix(plan.seed) ^ mix(run | thread as u64));
        Self { workload, growth, thread, keys, rng }
    }

    /// Works until the stage ends, then waits for what is in flight.
    pub(crate) fn work<V: Content>(mut self, control: &Control, mut pipeline: Pipeline<'_, V>) -> Result<Tally> {
        let mut round = 0_u64;
        while control.goes_on() {
            self.operate(&mut pipeline)?;
            round += 1;
            if round.is_multiple_of(PUBLISH_EVERY) {
                control.publish(self.thread, pipeline.issued());
            }
        }
        pipeline.drain()
    }

    fn operate<V: Content>(&mut self, pipeline: &mut Pipeline<'_, V>) -> Result<()> {
        match self.workload.draw(&mut self.rng) {
            Operation::Read => pipeline.read(self.key()),
            Operation::ReadModifyWrite => pipeline.read_modify_write(self.key()),
            Operation::Update => {
                for _ in 0..TRIES {
                    if pipeline.update(self.key())? {
                        break;
                    }
                }
                Ok(())
            }
            Operation::Insert => {
                pipeline.insert()?;
                if let Keys::Latest(keys) = &mut self.keys {
                    keys.follow(self.growth);
                }
                Ok(())
            }
        }
    }

    fn key(&mut self) -> u64 {
        match &mut self.keys {
            Keys::Fixed(keys) => keys.key(&mut self.rng),
            Keys::Latest(keys) => keys.key(self.growth, &mut self.rng),
        }
    }
}
