//! The stripes that one caller has locked.

use super::{LockMode, LockTable, Stripe, Upgrade};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Backoff;

/// Stripes that are locked, in order. Whoever has them ends the locks: nothing does so by itself.
#[derive(Default)]
pub(crate) struct HeldStripes(Vec<(Stripe, LockMode)>);

/// How to come to what is under a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is held like this.
    Own(LockMode),
    /// It is to be locked, or given up soon: others are held, and who has this one may wait for them (S3).
    Lock,
    /// Nothing is held: a look while nobody has it to himself is enough, and may be waited for.
    Look,
}

impl HeldStripes {
    /// The way to what is under `stripe`, for one who wants to see it.
    pub(crate) fn way_to(&self, stripe: Stripe) -> Way {
        match self.mode_of(stripe) {
            Some(mode) => Way::Own(mode),
            None if self.0.is_empty() => Way::Look,
            None => Way::Lock,
        }
    }

    /// How the stripe is held, if it is.
    pub(crate) fn mode_of(&self, stripe: Stripe) -> Option<LockMode> {
        self.place_of(stripe).map(|at| self.0[at].1)
    }

    fn place_of(&self, stripe: Stripe) -> Option<usize> {
        self.0.binary_search_by_key(&stripe, |(held, _)| *held).ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The stripes.
    pub(crate) fn stripes(&self) -> impl Iterator<Item = Stripe> {
        self.0.iter().map(|(stripe, _)| *stripe)
    }

    /// Locks the stripe, which is not held, and waits for it until `patience` says no.
    ///
    /// # Errors
    /// What `patience` says.
    pub(crate) fn lock(
        &mut self,
        locks: &LockTable,
        stripe: Stripe,
        mode: LockMode,
        patience: &mut impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut backoff = Backoff::new();
        while !locks.try_lock(stripe, mode) {
            patience()?;
            backoff.wait();
        }
        let at = self.0.partition_point(|(held, _)| *held < stripe);
        self.0.insert(at, (stripe, mode));
        Ok(())
    }

    /// Turns a shared lock into an exclusive one.
    ///
    /// # Errors
    /// What `patience` says; [`ErrorKind::Busy`] if another holder is waiting for the same. The lock is what it was.
    pub(crate) fn upgrade(
        &mut self,
        locks: &LockTable,
        stripe: Stripe,
        patience: &mut impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let Some(at) = self.place_of(stripe).filter(|at| self.0[*at].1 == LockMode::Shared) else { return Ok(()) };
        let (mut backoff, mut has_begun) = (Backoff::new(), false);
        loop {
            match locks.try_upgrade(stripe, has_begun) {
                Upgrade::Done => break,
                Upgrade::NotYet => has_begun = true,
                Upgrade::Refused => {
                    return Err(Error::new(ErrorKind::Busy, "another holder of a shared lock is being upgraded")
                        .help("end this lock, so that the other can go on, and lock the key exclusively"));
                }
            }
            if let Err(error) = patience() {
                locks.end_upgrade(stripe);
                return Err(error);
            }
            backoff.wait();
        }
        self.0[at].1 = LockMode::Exclusive;
        Ok(())
    }

    /// Ends all locks, the last one first.
    pub(crate) fn release(&mut self, locks: &LockTable) {
        self.0.drain(..).rev().for_each(|(stripe, mode)| locks.unlock(stripe, mode));
    }
}
