//! Where completions go, and how a thread waits for them.

use super::{IoDone, IoRequest, StorageDevice, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Takes completions. Called on any thread, also within `submit`; must not block.
pub trait CompletionSink: Send + Sync {
    /// The request submitted under `token` is finished.
    fn complete(&self, token: Token, done: IoDone);
}

/// An inbox of completions with one owner who drains it and may sleep on it.
#[derive(Debug)]
pub struct CompletionQueue {
    inbox: Mutex<VecDeque<(Token, IoDone)>>,
    arrived: Condvar,
}

impl CompletionQueue {
    /// An empty inbox.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inbox: Mutex::new(VecDeque::new()), arrived: Condvar::new() })
    }

    /// The oldest completion, if one is there.
    pub fn try_take(&self) -> Option<(Token, IoDone)> {
        self.inbox.lock().pop_front()
    }

    /// True if no completion is there at this moment.
    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.lock().is_empty()
    }

    /// The oldest completion; waits up to `timeout` for one.
    pub fn take_within(&self, timeout: Duration) -> Option<(Token, IoDone)> {
        let mut inbox = self.inbox.lock();
        if let Some(oldest) = inbox.pop_front() {
            return Some(oldest);
        }
        // None: further away than the clock can tell.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = match deadline {
                Some(deadline) => deadline.checked_duration_since(Instant::now())?,
                None => timeout,
            };
            inbox = self.arrived.wait_timeout(inbox, left);
            if let Some(oldest) = inbox.pop_front() {
                return Some(oldest);
            }
        }
    }
}

impl CompletionSink for CompletionQueue {
    fn complete(&self, token: Token, done: IoDone) {
        self.inbox.lock().push_back((token, done));
        self.arrived.notify_all();
    }
}

/// Hands `request` to `device` and waits for it, at most for `limit`.
///
/// # Errors
/// The device's, or [`ErrorKind::DeviceFailed`] if it does not answer in time.
pub(crate) fn access(device: &dyn StorageDevice, request: IoRequest, limit: Duration) -> Result<IoDone> {
    let (queue, offset) = (CompletionQueue::new(), request.offset);
    device.submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
    let (_, mut done) = answer(device, &queue, offset, limit)?;
    match std::mem::replace(&mut done.result, Ok(0)) {
        Ok(bytes) => Ok(IoDone { result: Ok(bytes), ..done }),
        Err(error) => Err(error),
    }
}

/// Waits until `device` has completed a request at `offset` whose completion goes to `queue`, at most for `limit`.
///
/// # Errors
/// [`ErrorKind::DeviceFailed`] if it does not answer in time.
pub(crate) fn answer(
    device: &dyn StorageDevice,
    queue: &CompletionQueue,
    offset: u64,
    limit: Duration,
) -> Result<(Token, IoDone)> {
    let started = Instant::now();
    // A device that needs it is given the opportunity to go on.
    while queue.is_empty() && started.elapsed() < limit && device.poll() > 0 {}
    queue.take_within(limit.saturating_sub(started.elapsed())).ok_or_else(|| {
        Error::new(ErrorKind::DeviceFailed, "the device did not answer in time")
            .with("device offset", offset)
            .with("milliseconds waited", limit.as_millis())
            .help("check the device, or raise the wait limit")
    })
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use crate::device::IoRequest;

    #[test]
    fn completions_come_out_in_the_order_in_which_they_arrived() {
        let queue = CompletionQueue::new();
        for token in [3, 1, 2] {
            queue.complete(token, IoRequest::sync().done(Ok(0)));
        }
        assert_eq!(queue.take_within(Duration::MAX).map(|(token, _)| token), Some(3));
        assert_eq!(queue.try_take().map(|(token, _)| token), Some(1));
        assert_eq!(queue.take_within(Duration::ZERO).map(|(token, _)| token), Some(2));
        assert!(queue.try_take().is_none());
    }

    #[test]
    fn a_wait_for_nothing_ends_after_its_timeout() {
        let queue = CompletionQueue::new();
        let (begin, timeout) = (Instant::now(), Duration::from_millis(20));
        assert!(queue.take_within(timeout).is_none());
        assert!(begin.elapsed() >= timeout);
    }
}
