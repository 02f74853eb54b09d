//! A session's own way to the device.

use super::{CompletionQueue, CompletionSink, IoDone, IoRequest, StorageDevice, Token};
use std::sync::Arc;
use std::time::Duration;

/// Submits accesses and takes their completions, for one owner.
///
/// What [`StorageDevice::submit`] does for everybody, a channel does for somebody who both starts accesses and waits for
/// them: it needs no lock, and may hand over many accesses at once. Accesses under way when a channel is dropped are
/// carried out or not; their buffers are kept until the device is done with them, and their completions are lost.
///
/// A channel may be moved between threads at any time. Clauses C1, C2, C6, C7 and C10 of [`StorageDevice`] hold here too.
pub trait IoChannel: Send {
    /// Queues an access. It may start at once, and does so at the latest with [`flush`](Self::flush), or when
    /// [`take_within`](Self::take_within) has to wait.
    fn submit(&mut self, request: IoRequest, token: Token);

    /// Starts everything that is queued. Never waits for an access.
    fn flush(&mut self);

    /// An occasion to start a part of what is queued, for an owner who has more to submit before he waits: a device that
    /// has little left to do need not wait for him.
    fn keep_busy(&mut self) {}

    /// A completion, if one is there.
    fn try_take(&mut self) -> Option<(Token, IoDone)>;

    /// A completion; waits up to `timeout` for one if any access is under way.
    fn take_within(&mut self, timeout: Duration) -> Option<(Token, IoDone)>;
}

/// The channel of a device that has none of its own: an inbox to which [`StorageDevice::submit`] completes.
pub struct SharedChannel<D: ?Sized = dyn StorageDevice> {
    queue: Arc<CompletionQueue>,
    under_way: usize,
    device: Arc<D>,
}

impl<D: StorageDevice + ?Sized> SharedChannel<D> {
    /// A channel to `device`.
    pub fn new(device: Arc<D>) -> Self {
        Self { queue: CompletionQueue::new(), under_way: 0, device }
    }

    /// Accesses submitted whose completions were not taken.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    fn taken(&mut self, completion: Option<(Token, IoDone)>) -> Option<(Token, IoDone)> {
        self.under_way -= usize::from(completion.is_some());
        completion
    }
}

impl<D: StorageDevice + ?Sized> IoChannel for SharedChannel<D> {
    fn submit(&mut self, request: IoRequest, token: Token) {
        self.under_way += 1;
        self.device.submit(request, Arc::clone(&self.queue) as Arc<dyn CompletionSink>, token);
    }

    fn flush(&mut self) {}

    fn try_take(&mut self) -> Option<(Token, IoDone)> {
        if self.under_way == 0 {
            return None;
        }
        self.device.poll();
        let completion = self.queue.try_take();
        self.taken(completion)
    }

    fn take_within(&mut self, timeout: Duration) -> Option<(Token, IoDone)> {
        if self.under_way == 0 {
            return None;
        }
        self.device.poll();
        let completion = self.queue.take_within(timeout);
        self.taken(completion)
    }
}

impl<D: StorageDevice + ?Sized> std::fmt::Debug for SharedChannel<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedChannel").field("under_way", &self.under_way).finish_non_exhaustive()
    }
}
