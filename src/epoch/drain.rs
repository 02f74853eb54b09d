//! Actions that wait until an epoch is safe, in the order of their registration (E3).

use crate::sync::{AtomicBool, Mutex, Ordering, fence};
use std::collections::VecDeque;

type Action = Box<dyn FnOnce() + Send>;

struct Waiting {
    epoch: u64,
    action: Action,
}

/// The waiting actions, in order, and how many are waiting or running.
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Actions that were registered and have not finished.
    unfinished: usize,
}

/// The waiting actions, and who is running them.
pub(super) struct DrainList {
    queue: Mutex<Queue>,
    /// True while a thread is draining. A flag and not a lock: an action that drains again must be turned away.
    busy: AtomicBool,
    /// Set by every thread that wants a drain. The draining thread clears it before it looks.
    wanted: AtomicBool,
}

impl DrainList {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::new(Queue { waiting: VecDeque::new(), unfinished: 0 }),
            busy: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
        }
    }

    /// Appends `action` with the epoch that `bump` returns. The epoch is drawn under the lock, so epochs never fall along
    /// the list, and the list is drained from its front.
    pub(super) fn register(&self, bump: impl FnOnce() -> u64, action: Action) {
        let mut queue = self.queue.lock();
        let epoch = bump();
        queue.waiting.push_back(Waiting { epoch, action });
        queue.unfinished += 1;
    }

    /// The epochs of the first and the last waiting action.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let queue = self.queue.lock();
        Some((queue.waiting.front()?.epoch, queue.waiting.back()?.epoch))
    }

    /// Runs the actions whose epoch is at most `safe`, from the front, without holding the lock (E4). When the last one
    /// there was has finished, calls `idle`, under the lock: nothing can be registered at that moment.
    pub(super) fn run_up_to(&self, safe: u64, idle: impl Fn()) {
        while let Some(action) = self.take_up_to(safe) {
            // Counted as finished also if it panics: the panic goes to the caller of `drain`, and the actions behind it
            // are left for the next one (E3).
            let _finished = Finished(self, &idle);
            action();
        }
    }

    fn take_up_to(&self, safe: u64) -> Option<Action> {
        let mut queue = self.queue.lock();
        if queue.waiting.front()?.epoch > safe {
            return None;
        }
        queue.waiting.pop_front().map(|waiting| waiting.action)
    }

    /// Says that a drain is wanted, and takes the role of the draining thread if nobody has it. A thread that is turned
    /// away may leave: who has the role will look again after it (E5).
    pub(super) fn try_enter(&self) -> Option<Draining<'_>> {
        // A read-modify-write, so that who clears the flag sees what every thread that set it did before: its row is 0.
        self.wanted.swap(true, Ordering::AcqRel);
        self.take_role()
    }

    fn take_role(&self) -> Option<Draining<'_>> {
        // `wanted` is set, then `busy` is read; in `Draining::leave`, `busy` is cleared, then `wanted` is read. With a
        // fence between on both sides one of the two sees the other: either this thread gets the role or the one that
        // has it sees the wish.
        fence(Ordering::SeqCst);
        self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(Draining(self))
    }
}

/// The role of the draining thread; given up when dropped, also by a panic.
pub(super) struct Draining<'l>(&'l DrainList);

impl<'l> Draining<'l> {
    /// To be called before looking at rows: wishes up to here are served by what follows.
    pub(super) fn begin_pass(&self) {
        self.0.wanted.swap(false, Ordering::AcqRel);
    }

    /// Gives the role up, and takes it again if a drain was wanted meanwhile.
    pub(super) fn leave(self) -> Option<Draining<'l>> {
        let list = self.0;
        drop(self);
        fence(Ordering::SeqCst);
        if list.wanted.load(Ordering::Relaxed) { list.take_role() } else { None }
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

struct Finished<'l, I: Fn()>(&'l DrainList, &'l I);

impl<I: Fn()> Drop for Finished<'_, I> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.unfinished -= 1;
        if queue.unfinished == 0 {
            (self.1)();
        }
    }
}
