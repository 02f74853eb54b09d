//! Faults on the way of a session that has a channel of its own.

use super::{Access, Control, Corruption};
use crate::device::{CompletionQueue, CompletionSink, IoChannel, IoDone, IoRequest, Token};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Decorates a channel of the decorated device as [`FaultyDisk`](super::FaultyDisk) does the device.
pub(super) struct FaultyChannel {
    control: Arc<Control>,
    sector_size: usize,
    channel: Box<dyn IoChannel>,
    /// What does not go through the channel: refusals, injected faults, and what was held, which the device then carries
    /// out for whoever resumes it.
    aside: Arc<CompletionQueue>,
    under_way_aside: usize,
    under_way: usize,
    corrupted: Vec<(Token, u64, Vec<Corruption>)>,
}

impl FaultyChannel {
    pub(super) fn new(control: Arc<Control>, sector_size: usize, channel: Box<dyn IoChannel>) -> Self {
        let aside = CompletionQueue::new();
        Self { control, sector_size, channel, aside, under_way_aside: 0, under_way: 0, corrupted: Vec::new() }
    }

    fn falsify(&mut self, token: Token, mut done: IoDone) -> (Token, IoDone) {
        self.under_way -= 1;
        if let Some(index) = self.corrupted.iter().position(|(corrupted, ..)| *corrupted == token) {
            let (_, first, corruptions) = self.corrupted.swap_remove(index);
            super::corrupt(&mut done, first, &corruptions);
        }
        (token, done)
    }
}

impl IoChannel for FaultyChannel {
    fn submit(&mut self, request: IoRequest, token: Token) {
        let sink = Arc::clone(&self.aside) as Arc<dyn CompletionSink>;
        self.under_way_aside += 1;
        if let Err(error) = request.check(self.sector_size) {
            return sink.complete(token, request.failed(error));
        }
        let Some(access) = self.control.admit(request, sink, token) else { return };
        if let Err(error) = self.control.judge(&access) {
            return access.fail(error);
        }
        let Access { request, token, .. } = access;
        let corruptions = self.control.corruptions_of(&request);
        if !corruptions.is_empty() {
            self.corrupted.push((token, request.offset, corruptions));
        }
        self.under_way_aside -= 1;
        self.under_way += 1;
        self.channel.submit(request, token);
    }

    fn flush(&mut self) {
        self.channel.flush();
    }

    fn keep_busy(&mut self) {
        self.channel.keep_busy();
    }

    fn try_take(&mut self) -> Option<(Token, IoDone)> {
        if let Some((token, done)) = self.channel.try_take() {
            return Some(self.falsify(token, done));
        }
        let taken = self.aside.try_take();
        self.under_way_aside -= usize::from(taken.is_some());
        taken
    }

    fn take_within(&mut self, timeout: Duration) -> Option<(Token, IoDone)> {
        let begin = Instant::now();
        if let Some(taken) = self.try_take() {
            return Some(taken);
        }
        if self.under_way > 0
            && let Some((token, done)) = self.channel.take_within(timeout)
        {
            return Some(self.falsify(token, done));
        }
        if self.under_way_aside == 0 {
            return None;
        }
        let taken = self.aside.take_within(timeout.saturating_sub(begin.elapsed()));
        self.under_way_aside -= usize::from(taken.is_some());
        taken
    }
}
