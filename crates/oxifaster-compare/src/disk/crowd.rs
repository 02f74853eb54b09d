//! Many futures in flight, polled by one thread when they are woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Futures in flight, in places that are used again and again. Belongs to the thread that made it.
pub(super) struct Crowd<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    calls: Arc<Calls>,
    /// Places that were called and have not been looked at.
    called: Vec<usize>,
}

struct Place<F> {
    future: Option<F>,
    waker: Waker,
}

/// What wakers have called since it was looked at.
struct Calls {
    places: Mutex<Vec<usize>>,
    owner: Thread,
}

struct Call {
    place: usize,
    calls: Arc<Calls>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut places = self.calls.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.push(self.place);
        // Whoever made the first call has woken the owner, who then takes all there are.
        let is_first = places.len() == 1;
        drop(places);
        if is_first {
            self.calls.owner.unpark();
        }
    }
}

impl<F: Future + Unpin> Crowd<F> {
    /// Room for `size` futures.
    pub(super) fn new(size: usize) -> Self {
        let calls = Arc::new(Calls { places: Mutex::default(), owner: thread::current() });
        let place = |place| {
            let waker = Waker::from(Arc::new(Call { place, calls: Arc::clone(&calls) }));
            Place { future: None, waker }
        };
        Self { places: (0..size).map(place).collect(), free: (0..size).collect(), called: Vec::new(), calls }
    }

    /// Polls `future` and, if it has to wait, lets it in. Outputs that had to come first to make room go to `done`.
    pub(super) fn admit(&mut self, future: F, done: &mut impl FnMut(F::Output)) {
        let place = loop {
            match self.free.pop() {
                Some(place) => break place,
                None => self.attend(done),
            }
        };
        self.places[place].future = Some(future);
        self.poll(place, done);
    }

    /// Waits until all are done.
    pub(super) fn finish(&mut self, done: &mut impl FnMut(F::Output)) {
        while self.free.len() < self.places.len() {
            self.attend(done);
        }
    }

    /// Waits for calls, and polls a future for each.
    fn attend(&mut self, done: &mut impl FnMut(F::Output)) {
        loop {
            std::mem::swap(&mut *self.calls.places.lock().unwrap_or_else(PoisonError::into_inner), &mut self.called);
            if !self.called.is_empty() {
                break;
            }
            thread::park();
        }
        while let Some(place) = self.called.pop() {
            self.poll(place, done);
        }
    }

    fn poll(&mut self, place: usize, done: &mut impl FnMut(F::Output)) {
        let Place { future, waker } = &mut self.places[place];
        // A call for a future that was here before finds another one, or none.
        let Some(waiting) = future else { return };
        if let Poll::Ready(output) = Pin::new(waiting).poll(&mut Context::from_waker(waker)) {
            *future = None;
            self.free.push(place);
            done(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, TryRecvError, channel};

    /// Ready when another thread has sent a number.
    struct Sent(Receiver<u32>, std::sync::mpsc::Sender<Waker>);

    impl Future for Sent {
        type Output = u32;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
            match self.0.try_recv() {
                Ok(number) => Poll::Ready(number),
                Err(TryRecvError::Disconnected) => Poll::Ready(0),
                Err(TryRecvError::Empty) => {
                    self.1.send(context.waker().clone()).unwrap();
                    Poll::Pending
                }
            }
        }
    }

    #[test]
    fn all_that_were_let_in_come_out_once() {
        let mut crowd = Crowd::new(4);
        let (mut sum, mut count) = (0, 0);
        let mut done = |number| {
            sum += number;
            count += 1;
        };
        thread::scope(|scope| {
            for number in 1..=100 {
                let ((number_in, number_out), (waker_in, waker_out)) = (channel(), channel::<Waker>());
                scope.spawn(move || {
                    let waker = waker_out.recv();
                    number_in.send(number).unwrap();
                    if let Ok(waker) = waker {
                        waker.wake();
                    }
                });
                crowd.admit(Sent(number_out, waker_in), &mut done);
            }
            crowd.finish(&mut done);
        });
        assert_eq!((sum, count), (5050, 100));
    }
}
