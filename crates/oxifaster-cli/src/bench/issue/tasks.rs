//! A small executor: many futures, one thread, which sleeps until one of them is woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A place for one future. Its waker outlives the futures in it, so that starting one allocates nothing; a wake that
/// comes late makes the next one in the place be polled once in vain.
struct Place<F> {
    future: Option<F>,
    waker: Waker,
}

/// Any number of futures at the same time.
pub(super) struct Tasks<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// Swapped with the list of those that were woken, so that neither is allocated again.
    to_poll: Vec<usize>,
}

/// The places of futures that may go on.
#[derive(Default)]
struct Woken {
    places: Mutex<Vec<usize>>,
    bell: Condvar,
}

struct PlaceWaker {
    place: usize,
    woken: Arc<Woken>,
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.places.lock().unwrap_or_else(PoisonError::into_inner).push(self.place);
        self.woken.bell.notify_one();
    }
}

impl<F: Future + Unpin> Tasks<F> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), woken: Arc::default(), to_poll: Vec::new() }
    }

    /// Futures that are not ready yet.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Polls `future`, and keeps it if it is not ready.
    pub(super) fn start(&mut self, future: F) -> Option<F::Output> {
        let index = self.free.pop().unwrap_or_else(|| self.add_place());
        self.places[index].future = Some(future);
        self.poll(index)
    }

    /// Polls those that were woken and gives `answer` what those that are ready give. With a limit, sleeps until at least
    /// one is woken; false if none was in that time.
    pub(super) fn poll_woken(&mut self, limit: Option<Duration>, mut answer: impl FnMut(F::Output)) -> bool {
        let mut woken = self.woken.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = limit {
            let slept = self.woken.bell.wait_timeout_while(woken, limit, |woken| woken.is_empty());
            woken = slept.unwrap_or_else(PoisonError::into_inner).0;
            if woken.is_empty() {
                return false;
            }
        }
        let mut to_poll = std::mem::replace(&mut *woken, std::mem::take(&mut self.to_poll));
        drop(woken);
        for index in to_poll.drain(..) {
            if let Some(output) = self.poll(index) {
                answer(output);
            }
        }
        self.to_poll = to_poll;
        true
    }

    fn add_place(&mut self) -> usize {
        let place = self.places.len();
        let waker = Waker::from(Arc::new(PlaceWaker { place, woken: Arc::clone(&self.woken) }));
        self.places.push(Place { future: None, waker });
        place
    }

    fn poll(&mut self, index: usize) -> Option<F::Output> {
        let Place { future, waker } = &mut self.places[index];
        let Poll::Ready(output) = Pin::new(future.as_mut()?).poll(&mut Context::from_waker(waker)) else {
            return None;
        };
        *future = None;
        self.free.push(index);
        Some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    /// Whether the future was released, and whom to wake then.
    type State = Arc<Mutex<(bool, Option<Waker>)>>;

    /// Ready with its number once it was released.
    struct Released {
        number: u32,
        state: State,
        polls: Arc<AtomicU32>,
    }

    impl Future for Released {
        type Output = u32;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            let mut state = self.state.lock().unwrap();
            state.1 = Some(context.waker().clone());
            if state.0 { Poll::Ready(self.number) } else { Poll::Pending }
        }
    }

    fn task(number: u32, polls: &Arc<AtomicU32>) -> (Released, State) {
        let state = State::default();
        (Released { number, state: Arc::clone(&state), polls: Arc::clone(polls) }, state)
    }

    fn release(state: &State) {
        let mut state = state.lock().unwrap();
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    #[test]
    fn a_future_that_is_ready_at_once_is_not_kept() {
        let (polls, mut tasks) = (Arc::default(), Tasks::new());
        for number in 0..3 {
            let (future, state) = task(number, &polls);
            release(&state);
            assert_eq!(tasks.start(future), Some(number));
        }
        assert_eq!((tasks.len(), tasks.places.len()), (0, 1));
    }

    #[test]
    fn only_those_that_were_woken_are_polled_and_their_places_are_used_again() {
        let (polls, mut tasks) = (Arc::default(), Tasks::new());
        let (first, first_state) = task(1, &polls);
        let (second, second_state) = task(2, &polls);
        assert_eq!((tasks.start(first), tasks.start(second)), (None, None));
        release(&second_state);
        let mut answers = Vec::new();
        assert!(tasks.poll_woken(LONG, |number| answers.push(number)));
        assert_eq!((answers.as_slice(), polls.load(Ordering::Relaxed), tasks.len()), (&[2][..], 3, 1));
        let (third, third_state) = task(3, &polls);
        assert_eq!((tasks.start(third), tasks.places.len()), (None, 2));
        release(&first_state);
        release(&third_state);
        while tasks.len() > 0 {
            assert!(tasks.poll_woken(LONG, |number| answers.push(number)));
        }
        answers.sort_unstable();
        assert_eq!(answers, [1, 2, 3]);
    }

    #[test]
    fn a_wake_from_another_thread_ends_the_sleep() {
        let (polls, mut tasks) = (Arc::default(), Tasks::new());
        let (sender, receiver) = std::sync::mpsc::channel::<State>();
        let other = std::thread::spawn(move || receiver.iter().for_each(|state| release(&state)));
        // The other thread has to be woken first, so in most rounds this one sleeps by then.
        let (limit, mut longest) = (Duration::from_secs(20), Duration::ZERO);
        for round in 0..100 {
            let (future, state) = task(round, &polls);
            assert_eq!(tasks.start(future), None);
            sender.send(state).unwrap();
            let (mut answers, began) = (Vec::new(), Instant::now());
            assert!(tasks.poll_woken(Some(limit), |number| answers.push(number)));
            longest = longest.max(began.elapsed());
            assert!(answers == [round] && longest < limit, "round {round}: {answers:?} after {longest:?}");
        }
        drop(sender);
        other.join().unwrap();
    }

    #[test]
    fn a_sleep_that_nothing_ends_is_over_after_its_limit() {
        let (polls, mut tasks) = (Arc::default(), Tasks::new());
        let (future, _state) = task(5, &polls);
        assert_eq!(tasks.start(future), None);
        assert!(tasks.poll_woken(None, |_| panic!("nothing is ready")));
        assert!(!tasks.poll_woken(Some(Duration::from_millis(5)), |_| panic!("nothing is ready")));
    }
}
