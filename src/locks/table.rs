//! The stripes.

use crate::sync::{AtomicU64, Mutex, Ordering, fence};
use crate::utility::KeyHash;
use std::task::Waker;

/// How a key is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// Nobody changes it; others may hold it in the same way.
    Shared,
    /// Nobody else reads or changes it.
    Exclusive,
}

/// The number of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stripe(pub(crate) u32);

/// The version of a stripe that nobody had to himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(u64);

/// What an attempt to turn a shared lock into an exclusive one came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    Done,
    /// Others share the stripe; no more will.
    NotYet,
    /// Somebody else who shares the stripe waits for the same.
    Refused,
}

const HOLDERS: u64 = (1 << 16) - 1;
const EXCLUSIVE: u64 = 1 << 16;
/// One of the holders waits for the others to leave.
const UPGRADING: u64 = 1 << 17;
const SLEEPERS: u64 = 1 << 18;
const VERSION: u64 = 1 << 19;

/// A table of locks.
pub(crate) struct LockTable {
    stripes: Box<[AtomicU64]>,
    /// Who is to be told when a stripe is free.
    sleepers: Mutex<Vec<(Stripe, Waker)>>,
}

impl LockTable {
    /// With so many stripes, a power of two.
    pub(crate) fn new(stripes: usize) -> Self {
        debug_assert!(stripes.is_power_of_two());
        Self { stripes: (0..stripes).map(|_| AtomicU64::new(0)).collect(), sleepers: Mutex::new(Vec::new()) }
    }

    /// The stripe of a hash (S2).
    #[inline]
    pub(crate) fn stripe(&self, hash: KeyHash) -> Stripe {
        Stripe(hash.bucket(self.stripes.len() as u64 - 1) as u32)
    }

    fn word(&self, stripe: Stripe) -> &AtomicU64 {
        &self.stripes[stripe.0 as usize]
    }

    /// Locks the stripe if it is free for that.
    pub(crate) fn try_lock(&self, stripe: Stripe, mode: LockMode) -> bool {
        let (in_the_way, taken) = match mode {
            LockMode::Shared => (EXCLUSIVE | UPGRADING, 1),
            LockMode::Exclusive => (EXCLUSIVE | HOLDERS, EXCLUSIVE),
        };
        let word = self.word(stripe);
        let mut seen = word.load(Ordering::Relaxed);
        while seen & in_the_way == 0 && !(taken == 1 && seen & HOLDERS == HOLDERS) {
            match word.compare_exchange_weak(seen, seen + taken, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Turns the caller's shared lock into an exclusive one, if he is alone. If he is not, nobody joins until he is, or has
    /// called [`end_upgrade`](Self::end_upgrade).
    pub(crate) fn try_upgrade(&self, stripe: Stripe, has_begun: bool) -> Upgrade {
        let word = self.word(stripe);
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            if seen & UPGRADING != 0 && !has_begun {
                return Upgrade::Refused;
            }
            let is_alone = seen & HOLDERS == 1;
            if !is_alone && has_begun {
                return Upgrade::NotYet;
            }
            let next = if is_alone { (seen & !UPGRADING) - 1 + EXCLUSIVE } else { seen | UPGRADING };
            match word.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return if is_alone { Upgrade::Done } else { Upgrade::NotYet },
                Err(now) => seen = now,
            }
        }
    }

    /// Others may share the stripe again: the caller, who began to upgrade his lock, goes on sharing it.
    pub(crate) fn end_upgrade(&self, stripe: Stripe) {
        self.release(stripe, |word| word & !UPGRADING);
    }

    /// Ends a lock.
    pub(crate) fn unlock(&self, stripe: Stripe, mode: LockMode) {
        self.release(stripe, |word| match mode {
            LockMode::Shared => word - 1,
            LockMode::Exclusive => (word - EXCLUSIVE).wrapping_add(VERSION), // S1
        });
    }

    fn release(&self, stripe: Stripe, change: impl Fn(u64) -> u64) {
        let word = self.word(stripe);
        let mut seen = word.load(Ordering::Relaxed);
        debug_assert!(seen & (EXCLUSIVE | HOLDERS) != 0, "a lock ends that nobody has");
        while let Err(now) =
            word.compare_exchange_weak(seen, change(seen) & !SLEEPERS, Ordering::AcqRel, Ordering::Relaxed)
        {
            seen = now;
        }
        if seen & SLEEPERS != 0 {
            self.wake(stripe);
        }
    }

    /// The stripe's version, if nobody has it to himself.
    #[inline]
    pub(crate) fn seen(&self, stripe: Stripe) -> Option<Seen> {
        let word = self.word(stripe).load(Ordering::Acquire);
        if word & EXCLUSIVE == 0 { Some(Seen(word / VERSION)) } else { None }
    }

    /// True if nobody has had the stripe to himself since it was seen. What was read in between with at least acquire is of
    /// that time then: who sees a store that was made under an exclusive lock sees the lock, too.
    #[inline]
    pub(crate) fn is_still(&self, stripe: Stripe, seen: Seen) -> bool {
        fence(Ordering::Acquire);
        self.seen(stripe) == Some(seen)
    }

    /// The same for a caller who has locked the stripe meanwhile, and has changed nothing yet.
    pub(crate) fn was_still(&self, stripe: Stripe, seen: Seen) -> bool {
        self.word(stripe).load(Ordering::Acquire) / VERSION == seen.0
    }

    /// Has `waker` woken when a lock of the stripe ends, from now on (S4).
    pub(crate) fn wake_on_release(&self, stripe: Stripe, waker: &Waker) {
        let mut sleepers = self.sleepers.lock();
        if !sleepers.iter().any(|(of, known)| *of == stripe && known.will_wake(waker)) {
            sleepers.push((stripe, waker.clone()));
        }
        self.word(stripe).fetch_or(SLEEPERS, Ordering::AcqRel);
    }

    #[cold]
    fn wake(&self, stripe: Stripe) {
        let woken: Vec<_> = self.sleepers.lock().extract_if(.., |(of, _)| *of == stripe).collect();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::LockMode::{Exclusive, Shared};
    use super::*;
    use crate::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    const ONE: Stripe = Stripe(1);

    #[test]
    fn many_share_a_stripe_or_one_has_it() {
        let locks = LockTable::new(4);
        assert!(locks.try_lock(ONE, Shared) && locks.try_lock(ONE, Shared) && !locks.try_lock(ONE, Exclusive));
        locks.unlock(ONE, Shared);
        assert!(!locks.try_lock(ONE, Exclusive));
        locks.unlock(ONE, Shared);
        assert!(locks.try_lock(ONE, Exclusive) && !locks.try_lock(ONE, Exclusive) && !locks.try_lock(ONE, Shared));
        assert!(locks.try_lock(Stripe(2), Exclusive), "another stripe is another lock");
        locks.unlock(ONE, Exclusive);
        assert!(locks.try_lock(ONE, Shared));
    }

    #[test]
    fn as_many_share_a_stripe_as_can_be_counted() {
        let locks = LockTable::new(1);
        for _ in 0..HOLDERS {
            assert!(locks.try_lock(Stripe(0), Shared));
        }
        assert!(!locks.try_lock(Stripe(0), Shared));
        locks.unlock(Stripe(0), Shared);
        assert!(locks.try_lock(Stripe(0), Shared) && !locks.try_lock(Stripe(0), Exclusive));
    }

    #[test]
    fn what_was_seen_holds_until_somebody_had_the_stripe_to_himself() {
        let locks = LockTable::new(4);
        let seen = locks.seen(ONE).unwrap();
        assert!(locks.try_lock(ONE, Shared));
        locks.unlock(ONE, Shared);
        assert!(locks.is_still(ONE, seen));
        assert!(locks.try_lock(ONE, Exclusive));
        assert!(locks.seen(ONE).is_none() && !locks.is_still(ONE, seen) && locks.was_still(ONE, seen));
        locks.unlock(ONE, Exclusive);
        assert!(!locks.is_still(ONE, seen) && !locks.was_still(ONE, seen) && locks.seen(ONE).is_some());
    }

    #[test]
    fn of_two_who_upgrade_the_second_is_refused() {
        let locks = LockTable::new(4);
        assert!(locks.try_lock(ONE, Shared) && locks.try_lock(ONE, Shared));
        assert_eq!(locks.try_upgrade(ONE, false), Upgrade::NotYet);
        assert_eq!(locks.try_upgrade(ONE, false), Upgrade::Refused);
        assert!(!locks.try_lock(ONE, Shared), "nobody joins any more");
        locks.unlock(ONE, Shared);
        assert_eq!(locks.try_upgrade(ONE, true), Upgrade::Done);
        assert!(locks.seen(ONE).is_none());
        locks.unlock(ONE, Exclusive);
        assert!(locks.try_lock(ONE, Shared) && locks.try_lock(ONE, Shared));
        assert_eq!(locks.try_upgrade(ONE, false), Upgrade::NotYet);
        locks.end_upgrade(ONE);
        assert!(locks.try_lock(ONE, Shared));
    }

    #[test]
    fn who_sleeps_is_woken_once_when_a_lock_ends() {
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (locks, count) = (LockTable::new(4), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        assert!(locks.try_lock(ONE, Exclusive) && locks.try_lock(Stripe(2), Exclusive));
        locks.wake_on_release(ONE, &waker);
        locks.wake_on_release(ONE, &waker);
        locks.unlock(Stripe(2), Exclusive);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        locks.unlock(ONE, Exclusive);
        assert!(locks.try_lock(ONE, Exclusive));
        locks.unlock(ONE, Exclusive);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
