//! When an access of a disk is carried out. Time passes only when somebody submits or polls, so it is the same in every
//! run of a program that uses one thread.

use super::event::FileId;
use super::fault::Effect;
use crate::rng::SimRng;
use oxifaster::device::{CompletionSink, IoDone, IoRequest, Token};
use std::sync::Arc;

/// How long accesses are under way, in submissions and polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// They are carried out within `submit`, in order.
    None,
    /// Up to four later submissions overtake them.
    Short,
    /// Most are short; one in sixteen is overtaken by up to a hundred.
    Uneven,
}

/// An access that was accepted and is not carried out yet.
pub(super) struct Accepted {
    /// The handle through which it came.
    pub(super) owner: u64,
    pub(super) file: FileId,
    pub(super) request: IoRequest,
    pub(super) sink: Arc<dyn CompletionSink>,
    pub(super) token: Token,
    /// How many events there were before. That of a write's submission is the next one.
    pub(super) at: usize,
    pub(super) effect: Option<Effect>,
}

struct Waiting {
    accepted: Accepted,
    due: u64,
    order: u64,
}

pub(super) struct Schedule {
    latency: Latency,
    tick: u64,
    in_flight: Vec<Waiting>,
    rng: SimRng,
}

impl Schedule {
    pub(super) fn new(latency: Latency, rng: SimRng) -> Self {
        Self { latency, tick: 0, in_flight: Vec::new(), rng }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// The time; who finds it unchanged knows that nobody submitted or polled.
    pub(super) fn now(&self) -> u64 {
        self.tick
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes an access in; a `prompt` one is carried out now, whatever the latency.
    pub(super) fn accept(&mut self, accepted: Accepted, prompt: bool) {
        self.tick();
        let delay = match self.latency {
            _ if prompt => 0,
            Latency::None => 0,
            Latency::Uneven if self.rng.one_in(16) => self.rng.below(100),
            Latency::Short | Latency::Uneven => self.rng.below(5),
        };
        let order = if self.latency == Latency::None { self.tick } else { self.rng.bits() };
        self.in_flight.push(Waiting { accepted, due: self.tick + delay, order });
    }

    /// An access whose time has come.
    pub(super) fn take_due(&mut self) -> Option<Accepted> {
        let at = self.earliest(|waiting| waiting.due <= self.tick)?;
        Some(self.in_flight.swap_remove(at).accepted)
    }

    /// The next access, whether or not its time has come: time passes until then.
    pub(super) fn take_next(&mut self) -> Option<Accepted> {
        self.take_next_where(|_| true)
    }

    /// The next access that came through this handle.
    pub(super) fn take_next_of(&mut self, owner: u64) -> Option<Accepted> {
        self.take_next_where(|accepted| accepted.owner == owner)
    }

    fn take_next_where(&mut self, choose: impl Fn(&Accepted) -> bool) -> Option<Accepted> {
        let next = self.earliest(|waiting| choose(&waiting.accepted))?;
        let Waiting { accepted, due, .. } = self.in_flight.swap_remove(next);
        self.tick = self.tick.max(due);
        Some(accepted)
    }

    fn earliest(&self, choose: impl Fn(&Waiting) -> bool) -> Option<usize> {
        let chosen = self.in_flight.iter().enumerate().filter(|(_, waiting)| choose(waiting));
        chosen.min_by_key(|(_, waiting)| (waiting.due, waiting.order)).map(|(at, _)| at)
    }
}

/// A completion that is still to be passed on. No lock of the world is held then.
pub(super) struct Delivery {
    pub(super) sink: Arc<dyn CompletionSink>,
    pub(super) token: Token,
    pub(super) done: IoDone,
}

impl Delivery {
    pub(super) fn pass_on(self) {
        self.sink.complete(self.token, self.done);
    }
}
