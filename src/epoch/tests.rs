use super::LightEpoch;
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

/// An action that notes its name, and the notes.
struct Notes(Arc<Mutex<Vec<u32>>>);

impl Notes {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    fn action(&self, name: u32) -> impl FnOnce() + Send + 'static {
        let notes = Arc::clone(&self.0);
        move || notes.lock().unwrap().push(name)
    }

    fn get(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn an_action_waits_for_those_pinned_before_it_and_for_nobody_else() {
    let (epoch, notes) = (LightEpoch::new(), Notes::new());
    assert_eq!(epoch.current(), 1);
    let (mut early, mut late) = (epoch.join(), epoch.join());
    let early_guard = early.pin();
    epoch.bump(notes.action(1));
    assert_eq!(epoch.current(), 2);
    let late_guard = late.pin();
    epoch.bump(notes.action(2));

    assert!(!epoch.drain() && notes.get().is_empty());
    drop(early_guard);
    assert!(epoch.has_pending());
    assert!(!epoch.drain(), "the second action still waits for the late one");
    assert_eq!(notes.get(), [1]);
    drop(late_guard);
    assert!(epoch.drain());
    assert_eq!(notes.get(), [1, 2]);
    assert!(!epoch.has_pending());
}

#[test]
fn dropping_a_guard_runs_nothing() {
    let (epoch, notes) = (LightEpoch::new(), Notes::new());
    let mut participant = epoch.join();
    let guard = participant.pin();
    guard.epoch().bump(notes.action(1));
    drop(guard);
    assert!(notes.get().is_empty() && epoch.has_pending());
    assert!(participant.epoch().drain());
    assert_eq!(notes.get(), [1]);
}

/// Once, an action that was held up drained on behalf of the next one by calling itself, and a long chain overflowed the
/// stack.
#[test]
fn a_long_chain_of_actions_that_bump_needs_no_stack() {
    fn link(epoch: &Arc<LightEpoch>, left: u64, ran: &Arc<AtomicU64>) {
        let (next, ran) = (Arc::downgrade(epoch), Arc::clone(ran));
        epoch.bump(move || {
            ran.fetch_add(1, Ordering::Relaxed);
            if let (Some(next), true) = (next.upgrade(), left > 1) {
                link(&next, left - 1, &ran);
                if left.is_multiple_of(2) {
                    next.drain();
                }
            }
        });
    }
    let (epoch, ran) = (LightEpoch::new(), Arc::new(AtomicU64::new(0)));
    link(&epoch, 50_000, &ran);
    assert!(epoch.drain());
    assert_eq!(ran.load(Ordering::Relaxed), 50_000);
}

#[test]
fn an_action_may_join_pin_and_bump_but_its_drain_is_turned_away() {
    let (epoch, notes) = (LightEpoch::new(), Notes::new());
    let (weak, second, first) = (Arc::downgrade(&epoch), notes.action(2), notes.action(1));
    epoch.bump(move || {
        let epoch = weak.upgrade().unwrap();
        let mut participant = epoch.join();
        let guard = participant.pin();
        epoch.bump(second);
        drop(guard);
        assert!(!epoch.drain());
        first();
    });
    assert!(epoch.drain());
    assert_eq!(notes.get(), [1, 2]);
}

#[test]
fn an_action_that_panics_counts_as_run_and_stops_none_behind_it() {
    let (epoch, notes) = (LightEpoch::new(), Notes::new());
    epoch.bump(notes.action(1));
    epoch.bump(|| panic!("this action fails on purpose"));
    epoch.bump(notes.action(3));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| epoch.drain()));
    assert!(result.is_err());
    assert_eq!(notes.get(), [1]);
    assert!(epoch.drain());
    assert_eq!(notes.get(), [1, 3]);
}

#[test]
fn a_forgotten_guard_holds_up_actions_only_as_long_as_its_participant_lives() {
    let (epoch, notes) = (LightEpoch::new(), Notes::new());
    let mut participant = epoch.join();
    std::mem::forget(participant.pin());
    epoch.bump(notes.action(1));
    assert!(!epoch.drain() && !epoch.drain());
    drop(participant);
    assert!(epoch.drain());
    assert_eq!(notes.get(), [1]);
}

#[test]
fn what_is_left_runs_when_the_epoch_is_dropped() {
    let (epoch, notes) = (LightEpoch::new(), Notes::new());
    epoch.bump(notes.action(1));
    epoch.bump(notes.action(2));
    drop(epoch);
    assert_eq!(notes.get(), [1, 2]);
}

#[test]
fn a_row_is_given_back_when_its_participant_is_dropped() {
    let epoch = LightEpoch::new();
    let participants: Vec<_> = (0..1000).map(|_| epoch.join()).collect();
    assert_eq!(epoch.rows(), 1000);
    let moved = thread::spawn(move || drop(participants));
    moved.join().unwrap();
    assert_eq!(epoch.rows(), 0);
}

/// Readers follow a number to a cell; a writer publishes the next cell and scraps the old one when it is safe.
#[test]
fn no_reader_meets_a_scrapped_cell_while_writers_and_readers_come_and_go() {
    const CELLS: usize = 2000;
    let epoch = LightEpoch::new();
    let scrapped: Arc<Vec<AtomicBool>> = Arc::new((0..CELLS).map(|_| AtomicBool::new(false)).collect());
    let published = Arc::new(AtomicUsize::new(0));
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for reader in 0..3 {
            let (epoch, scrapped, published, start) = (&epoch, &scrapped, &published, &start);
            scope.spawn(move || {
                let mut participant = epoch.join();
                start.wait();
                for round in 0.. {
                    let guard = participant.pin();
                    let cell = published.load(Ordering::Relaxed);
                    for _ in 0..16 {
                        assert!(!scrapped[cell].load(Ordering::Relaxed), "cell {cell} scrapped under a reader");
                    }
                    drop(guard);
                    if epoch.has_pending() {
                        epoch.drain();
                    }
                    if round % 64 == reader {
                        participant = epoch.join();
                    }
                    if cell == CELLS - 1 {
                        break;
                    }
                }
            });
        }
        start.wait();
        for next in 1..CELLS {
            published.store(next, Ordering::Relaxed);
            let scrapped = Arc::clone(&scrapped);
            epoch.bump(move || assert!(!scrapped[next - 1].swap(true, Ordering::Relaxed), "an action ran twice"));
            if next % 8 == 0 {
                thread::yield_now();
            }
        }
    });
    // Every thread asked after its last pin, so nothing is left over (E5).
    epoch.drain();
    assert!(!epoch.has_pending());
    assert_eq!(scrapped.iter().filter(|cell| cell.load(Ordering::Relaxed)).count(), CELLS - 1);
}
