//! One thread's operations: prepared, issued, checked.

use super::audit::{Audit, Check};
use super::issue::{Issuer, Order};
use super::tally::Tally;
use super::value::Content;
use oxifaster::Result;

/// What a worker gives its operations to.
pub(crate) struct Pipeline<'a, V: Content> {
    issuer: Box<dyn Issuer<V>>,
    audit: Audit<'a, V>,
}

impl<'a, V: Content> Pipeline<'a, V> {
    pub(crate) fn new(issuer: Box<dyn Issuer<V>>, check: Check<'a>, thread: usize, shape: V::Shape) -> Self {
        Self { issuer, audit: Audit::new(check, thread, shape) }
    }

    /// Reads `key` and checks the value, now or when it arrives.
    pub(crate) fn read(&mut self, key: u64) -> Result<()> {
        self.issue(Order::Read(key))
    }

    /// Adds one to the version of `key`.
    pub(crate) fn read_modify_write(&mut self, key: u64) -> Result<()> {
        self.issue(Order::Change(key))
    }

    /// Overwrites `key` with a new version; false if that is just being done and the key is a sampled one.
    pub(crate) fn update(&mut self, key: u64) -> Result<bool> {
        match self.audit.update(key) {
            Some(write) => self.issue(Order::Write(write)).map(|()| true),
            None => Ok(false),
        }
    }

    /// Writes the first version of `key`.
    pub(crate) fn load(&mut self, key: u64) -> Result<()> {
        let write = self.audit.load(key);
        self.issue(Order::Write(write))
    }

    /// Inserts the next key of the thread.
    pub(crate) fn insert(&mut self) -> Result<()> {
        let write = self.audit.insert();
        self.issue(Order::Write(write))
    }

    /// Waits for everything that was issued and gives what was counted.
    pub(crate) fn drain(mut self) -> Result<Tally> {
        self.issuer.drain(&mut self.audit)?;
        Ok(self.audit.into_tally())
    }

    /// Operations done or issued.
    pub(crate) fn issued(&self) -> u64 {
        self.audit.tally().operations() + self.issuer.issued() as u64
    }

    fn issue(&mut self, order: Order) -> Result<()> {
        self.issuer.issue(order, &mut self.audit)
    }
}
