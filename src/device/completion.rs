//! Where completions go, and how a thread waits for them.

use super::{IoDone, Token};
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

    /// The oldest completion; waits up to `timeout` for one.
    pub fn take_within(&self, timeout: Duration) -> Option<(Token, IoDone)> {
        let mut inbox = self.inbox.lock();
        if let Some(oldest) = inbox.pop_front() {
            return Some(oldest);
        }
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
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
