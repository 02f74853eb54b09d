//! The simulated disk.

use crate::world::{ACCESS_SIZE, FileId, SimWorld};
use oxifaster::device::{
    CompletionQueue, CompletionSink, DeviceInfo, IoChannel, IoDone, IoRequest, StorageDevice, Token,
};
use std::sync::Arc;
use std::time::Duration;

/// A disk of a [`SimWorld`]. A clone is the same handle; what came through a handle is carried out when the last clone of
/// it is dropped.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    world: SimWorld,
    file: FileId,
    owner: u64,
}

impl SimDisk {
    pub(crate) fn new(world: SimWorld, file: FileId, owner: u64) -> Self {
        Self(Arc::new(Handle { world, file, owner }))
    }
}

impl StorageDevice for SimDisk {
    fn info(&self) -> DeviceInfo {
        DeviceInfo::new(ACCESS_SIZE as usize).with_extent(self.0.world.len(self.0.file))
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        match request.check(ACCESS_SIZE as usize) {
            Ok(()) => self.0.world.submit(self.0.owner, self.0.file, request, sink, token),
            Err(error) => sink.complete(token, request.failed(error)),
        }
    }

    fn poll(&self) -> usize {
        self.0.world.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        Some(Box::new(SimChannel { disk: self.clone(), queue: CompletionQueue::new(), under_way: 0 }))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.world.finish(self.owner);
    }
}

/// A session's way to the disk. Who waits here lets the world's time pass, so nothing else has to.
#[derive(Debug)]
struct SimChannel {
    disk: SimDisk,
    queue: Arc<CompletionQueue>,
    under_way: usize,
}

impl SimChannel {
    fn taken(&mut self, completion: Option<(Token, IoDone)>) -> Option<(Token, IoDone)> {
        self.under_way -= usize::from(completion.is_some());
        completion
    }
}

impl IoChannel for SimChannel {
    fn submit(&mut self, request: IoRequest, token: Token) {
        self.under_way += 1;
        self.disk.submit(request, Arc::clone(&self.queue) as Arc<dyn CompletionSink>, token);
    }

    fn flush(&mut self) {}

    fn try_take(&mut self) -> Option<(Token, IoDone)> {
        if self.under_way == 0 {
            return None;
        }
        self.disk.poll();
        let completion = self.queue.try_take();
        self.taken(completion)
    }

    fn take_within(&mut self, timeout: Duration) -> Option<(Token, IoDone)> {
        if self.under_way == 0 {
            return None;
        }
        loop {
            if let Some(completion) = self.queue.try_take() {
                return self.taken(Some(completion));
            }
            if self.disk.poll() == 0 {
                // Ours is being carried out by another thread at this moment.
                let completion = self.queue.take_within(timeout);
                return self.taken(completion);
            }
        }
    }
}
