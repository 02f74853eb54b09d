//! The simulated disk.

use crate::world::{ACCESS_SIZE, FileId, SimAccess, SimWorld};
use oxifaster::device::{
    CompletionQueue, CompletionSink, DeviceInfo, IoChannel, IoDone, IoOp, IoRequest, StorageDevice, Token,
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

    fn start(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token, awaits: bool) {
        let Handle { world, file, owner } = &*self.0;
        match request.check(ACCESS_SIZE as usize) {
            Ok(()) => world.submit(SimAccess { owner: *owner, file: *file, request, sink, token }, awaits),
            Err(error) => sink.complete(token, request.failed(error)),
        }
    }
}

impl StorageDevice for SimDisk {
    fn info(&self) -> DeviceInfo {
        let (begin, end) = self.0.world.extent(self.0.file);
        DeviceInfo::new(ACCESS_SIZE as usize).with_extent(end).with_begin(begin)
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        let awaits = matches!(request.op, IoOp::Read | IoOp::Sync);
        self.start(request, sink, token, awaits);
    }

    fn poll(&self) -> usize {
        self.0.world.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        Some(Box::new(SimChannel { disk: self.clone(), queue: CompletionQueue::new(), under_way: 0 }))
    }

    fn write_through(&self, request: IoRequest, _limit: Duration) -> Result<IoDone, IoRequest> {
        if request.op != IoOp::Write || request.check(ACCESS_SIZE as usize).is_err() {
            return Err(request);
        }
        self.0.world.write_through(self.0.file, request)
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
        self.disk.start(request, Arc::clone(&self.queue) as Arc<dyn CompletionSink>, token, false);
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
