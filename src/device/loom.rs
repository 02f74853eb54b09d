//! Models of the completion queue and of zeros ahead of writes.
//!
//! The queue has two completers and one taker that waits. Nothing is lost, nothing comes twice, and the taker always wakes up (the
//! model has no clock: a wake-up that is missed is a deadlock). Verified to fail when `complete` notifies before it pushes, and when
//! `take_within` looks for a completion under one lock and begins to wait under another.

use super::ahead::Ahead;
use super::{CompletionQueue, CompletionSink, IoRequest, Token};
use crate::sync::{AtomicU64, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

fn complete(queue: &CompletionQueue, token: Token) {
    queue.complete(token, IoRequest::sync().done(Ok(0)));
}

fn take(queue: &CompletionQueue) -> Token {
    queue.take_within(Duration::MAX).map(|(token, _)| token).expect("a wait without end ends with a completion")
}

#[test]
fn every_completion_reaches_the_waiting_taker_once() {
    loom::model(|| {
        let queue = CompletionQueue::new();
        let completers = [1, 2].map(|token| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || complete(&queue, token))
        });
        let mut taken = [take(&queue), take(&queue)];
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        for completer in completers {
            completer.join().expect("a completer ends");
        }
        assert!(queue.try_take().is_none());
    });
}

#[test]
fn two_takers_share_what_arrives() {
    loom::model(|| {
        let queue = CompletionQueue::new();
        let taker = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || take(&queue))
        };
        let completer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || [1, 2].map(|token| complete(&queue, token)))
        };
        let here = take(&queue);
        let there = taker.join().expect("the taker ends");
        assert_eq!(here + there, 3);
        completer.join().expect("the completer ends");
    });
}

/// Blocks of a device, which hold zeros or what was written.
struct Blocks {
    ahead: Ahead,
    blocks: [AtomicU64; 4],
}

const BLOCK: u64 = 4096;

impl Blocks {
    fn write(&self, block: usize) {
        let (end, end_max) = ((block as u64 + 1) * BLOCK, self.blocks.len() as u64 * BLOCK);
        self.ahead.before_write(end, BLOCK, end_max, |from, zeros| {
            let covered = (from / BLOCK) as usize..((from + zeros.len() as u64) / BLOCK) as usize;
            self.blocks[covered].iter().for_each(|block| block.store(0, Relaxed));
            Ok(())
        });
        self.blocks[block].store(1, Relaxed);
    }
}

/// A1: two write the blocks of a device, after a sync that says that zeros are worth it. What was written stays.
///
/// Broken by: writing zeros without the lock; saying that they are there before they are; not noting how far a write reaches.
#[test]
fn zeros_cover_nothing_that_is_written() {
    loom::model(|| {
        let device = Arc::new(Blocks { ahead: Ahead::new(0), blocks: Default::default() });
        device.write(0);
        device.ahead.before_sync();
        let other = {
            let device = Arc::clone(&device);
            thread::spawn(move || [2, 3].map(|block| device.write(block)))
        };
        device.write(1);
        other.join().expect("the other ends");
        assert_eq!(device.blocks.each_ref().map(|block| block.load(Relaxed)), [1; 4]);
    });
}
