//! One memory budget for everything large. Invariant M4 of [`crate::memory`].

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Arc, Mutex};

/// A bound in bytes from which every large consumer draws, and which says who holds what.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    total: usize,
    holders: Mutex<Vec<(&'static str, usize)>>,
}

/// Bytes drawn from a budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    ledger: Arc<Ledger>,
    holder: &'static str,
    bytes: usize,
}

impl MemoryBudget {
    /// A budget of `total` bytes, none of them drawn.
    pub fn new(total: usize) -> Self {
        Self(Arc::new(Ledger { total, holders: Mutex::new(Vec::new()) }))
    }

    /// The bound in bytes.
    pub fn total(&self) -> usize {
        self.0.total
    }

    /// Bytes drawn at this moment.
    pub fn used(&self) -> usize {
        self.0.holders.lock().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Every holder with its bytes, in the order of first drawing.
    pub fn holders(&self) -> Vec<(&'static str, usize)> {
        self.0.holders.lock().clone()
    }

    /// Draws `bytes` for `holder`.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the budget does not have them; nothing is drawn then.
    pub fn reserve(&self, holder: &'static str, bytes: usize) -> Result<Reservation> {
        let mut holders = self.0.holders.lock();
        let used: usize = holders.iter().map(|(_, bytes)| bytes).sum();
        if bytes > self.0.total.saturating_sub(used) {
            return Err(Error::new(ErrorKind::Limit, "drawing from the memory budget")
                .with("holder", holder)
                .with("bytes asked", bytes)
                .with("bytes used", used)
                .with("budget", self.0.total)
                .help("raise the memory budget, or lower the size that was asked for"));
        }
        match holders.iter_mut().find(|(name, _)| *name == holder) {
            Some((_, held)) => *held += bytes,
            None => holders.push((holder, bytes)),
        }
        Ok(Reservation { ledger: Arc::clone(&self.0), holder, bytes })
    }
}

impl Reservation {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds `bytes` from now on: draws what is missing, or gives back what is too much.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the budget does not have what is missing; what was held stays held.
    pub fn resize(&mut self, bytes: usize) -> Result<()> {
        let budget = MemoryBudget(Arc::clone(&self.ledger));
        match bytes.checked_sub(self.bytes) {
            // What was drawn is of the same holder, and is given back with the rest.
            Some(missing) => budget.reserve(self.holder, missing)?.bytes = 0,
            None => drop(Self { ledger: budget.0, holder: self.holder, bytes: self.bytes - bytes }),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut holders = self.ledger.holders.lock();
        if let Some((_, held)) = holders.iter_mut().find(|(name, _)| *name == self.holder) {
            *held -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_refuses_what_it_does_not_have_and_takes_back_what_is_dropped() {
        let budget = MemoryBudget::new(100);
        let log = budget.reserve("log", 60).unwrap();
        let refused = budget.reserve("index", 41).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Limit);
        assert_eq!(refused.field("bytes used"), Some("60"));
        let index = budget.reserve("index", 40).unwrap();
        assert_eq!(budget.holders(), [("log", 60), ("index", 40)]);
        let mut log = log;
        log.resize(30).unwrap();
        assert_eq!((budget.used(), log.bytes()), (70, 30));
        assert_eq!(log.resize(61).unwrap_err().kind(), ErrorKind::Limit);
        log.resize(60).unwrap();
        assert_eq!((budget.used(), log.bytes()), (100, 60));
        drop(log);
        assert_eq!((budget.used(), index.bytes()), (40, 40));
    }
}
