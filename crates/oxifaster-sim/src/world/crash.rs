//! Crashes: at any event of a run, what was durable and what may have been.

use super::durable::Durable;
use super::event::Event;
use super::image::Image;
use super::survivors::{CrashPolicy, Survivors};
use super::{SimConfig, SimWorld};
use crate::rng::{SimRng, derive};

/// A moment of a run at which the power may fail: everything before event number `event` has happened.
#[derive(Debug, Clone)]
pub struct CrashPoint {
    event: usize,
    seed: u64,
    config: SimConfig,
    durable: Durable,
}

/// A crash that happened.
#[derive(Debug, Clone)]
pub struct Crash {
    /// How many events there were before.
    pub event: usize,
    /// How it was chosen what survives.
    pub policy: CrashPolicy,
    /// What survived of the unsynced.
    pub survivors: Survivors,
    /// What is there afterwards.
    pub image: Image,
    seed: u64,
    config: SimConfig,
}

impl CrashPoint {
    /// How many events there were before.
    pub fn event(&self) -> usize {
        self.event
    }

    /// How many units may survive or not, each by itself.
    pub fn uncertain(&self) -> usize {
        self.durable.units().len()
    }

    /// The power fails here.
    pub fn crash(&self, policy: CrashPolicy) -> Crash {
        let mut rng = SimRng::new(derive(self.seed, &policy.to_string(), self.event as u64));
        let mut survivors = policy.choose(&self.durable.units(), &mut rng);
        if !matches!(policy, CrashPolicy::Subset(_)) {
            self.durable.close(&mut survivors);
        }
        self.with(policy, survivors)
    }

    /// Every crash that is possible here, if there are at most `units_max` (and 16) uncertain units.
    pub fn all_crashes(&self, units_max: usize) -> Option<impl Iterator<Item = Crash>> {
        let units = self.durable.units();
        if units.len() > units_max.min(16) {
            return None;
        }
        let possible = move |bits| {
            let policy = CrashPolicy::Subset(bits);
            let chosen = policy.choose(&units, &mut SimRng::new(0));
            let mut closed = chosen.clone();
            self.durable.close(&mut closed);
            (closed == chosen).then(|| self.with(policy, chosen))
        };
        Some((0..1u64 << self.uncertain()).filter_map(possible))
    }

    fn with(&self, policy: CrashPolicy, survivors: Survivors) -> Crash {
        let image = self.durable.survive(&survivors);
        let seed = derive(self.seed, "restart", self.event as u64);
        Crash { event: self.event, policy, survivors, image, seed, config: self.config }
    }
}

impl Crash {
    /// A world with what survived, without faults.
    pub fn restart(&self) -> SimWorld {
        SimWorld::restart(self.seed, self.config, &self.image)
    }
}

/// All crash points of a run, from before its first event to after its last one.
#[derive(Debug)]
pub struct CrashPoints {
    next: usize,
    seed: u64,
    config: SimConfig,
    durable: Durable,
    events: Vec<Event>,
}

impl CrashPoints {
    pub(super) fn new(seed: u64, config: SimConfig, base: Durable, events: Vec<Event>) -> Self {
        Self { next: 0, seed, config, durable: base, events }
    }
}

impl Iterator for CrashPoints {
    type Item = CrashPoint;

    fn next(&mut self) -> Option<CrashPoint> {
        if let Some(happened) = self.next.checked_sub(1) {
            self.durable.apply(happened, self.events.get(happened)?);
        }
        let point =
            CrashPoint { event: self.next, seed: self.seed, config: self.config, durable: self.durable.clone() };
        self.next += 1;
        Some(point)
    }

    fn nth(&mut self, skipped: usize) -> Option<CrashPoint> {
        // Without the copies in between.
        for _ in 0..skipped {
            if let Some(happened) = self.next.checked_sub(1) {
                self.durable.apply(happened, self.events.get(happened)?);
            }
            self.next += 1;
        }
        self.next()
    }
}
