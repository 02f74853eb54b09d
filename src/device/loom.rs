//! Model of the completion queue: two completers, one taker that waits. Nothing is lost, nothing comes twice, and the
//! taker always wakes up (the model has no clock: a wake-up that is missed is a deadlock).
//!
//! Verified to fail when `complete` notifies before it pushes, and when `take_within` looks for a completion under one
//! lock and begins to wait under another.

use super::{CompletionQueue, CompletionSink, IoRequest, Token};
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
