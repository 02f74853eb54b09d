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
    /// If only the process died: what is durable, and what is not although it is there.
    outlived: Option<Durable>,
}

impl CrashPoint {
    /// How many events there were before.
    pub fn event(&self) -> usize {
        self.event
    }

    /// A number that is of this moment alone.
    pub(crate) fn seed(&self) -> u64 {
        derive(self.seed, "point", self.event as u64)
    }

    /// How many units may survive or not, each by itself.
    pub fn uncertain(&self) -> usize {
        self.durable.units().len()
    }

    /// The power fails here.
    pub fn crash(&self, policy: CrashPolicy) -> Crash {
        let mut rng = SimRng::new(derive(self.seed, &policy.to_string(), self.event as u64));
        let mut survivors = policy.choose(&self.durable.units(), &mut rng);
        match policy {
            CrashPolicy::Killed => return self.kill(survivors, &mut rng),
            CrashPolicy::Subset(_) => {}
            _ => self.durable.close(&mut survivors),
        }
        self.with(policy, survivors)
    }

    fn kill(&self, survivors: Survivors, rng: &mut SimRng) -> Crash {
        let mut durable = self.durable.clone();
        durable.outlive_process(self.event, rng);
        let image = durable.survive(&survivors);
        Crash { image, outlived: Some(durable), ..self.with(CrashPolicy::Killed, survivors) }
    }

    /// Every crash that is possible here, the death of the process included, if there are at most `units_max` (and 16) uncertain units.
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
        let killed = std::iter::once_with(|| self.crash(CrashPolicy::Killed));
        Some((0..1u64 << self.uncertain()).filter_map(possible).chain(killed))
    }

    fn with(&self, policy: CrashPolicy, survivors: Survivors) -> Crash {
        let image = self.durable.survive(&survivors);
        let seed = derive(self.seed, "restart", self.event as u64);
        Crash { event: self.event, policy, survivors, image, seed, config: self.config, outlived: None }
    }
}

impl Crash {
    /// A world with what survived, without faults. Its events are counted from zero; if only the process died, on from
    /// where they were.
    pub fn restart(&self) -> SimWorld {
        match &self.outlived {
            Some(durable) => SimWorld::outliving(self.seed, self.config, durable.clone(), self.event + 1),
            None => SimWorld::restart(self.seed, self.config, &self.image),
        }
    }
}

/// All crash points of a run, from before its first event to after its last one.
#[derive(Debug)]
pub struct CrashPoints {
    first: usize,
    next: usize,
    seed: u64,
    config: SimConfig,
    durable: Durable,
    events: Vec<Event>,
}

impl CrashPoints {
    pub(super) fn new(seed: u64, config: SimConfig, base: Durable, first: usize, events: Vec<Event>) -> Self {
        Self { first, next: first, seed, config, durable: base, events }
    }

    /// Goes on to the next point; false if there is none.
    fn advance(&mut self) -> bool {
        if let Some(happened) = self.next.checked_sub(self.first + 1) {
            let Some(event) = self.events.get(happened) else { return false };
            self.durable.apply(self.next - 1, event);
        }
        self.next += 1;
        true
    }
}

impl Iterator for CrashPoints {
    type Item = CrashPoint;

    fn next(&mut self) -> Option<CrashPoint> {
        self.nth(0)
    }

    fn nth(&mut self, skipped: usize) -> Option<CrashPoint> {
        // Without the copies in between.
        for _ in 0..=skipped {
            if !self.advance() {
                return None;
            }
        }
        let (event, durable) = (self.next - 1, self.durable.clone());
        Some(CrashPoint { event, seed: self.seed, config: self.config, durable })
    }
}
