//! Commits of the log, as a tenant of [group commit](crate::group), and waiting for them as a future.

use super::faster_log::Commit;
use super::log_core::Core;
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::group::Tenant;
use crate::sync::Arc;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a commit says of itself.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) commit: Commit,
    /// What was durable before it: where an opening begins to verify.
    pub(super) before: Address,
}

impl Tenant for Core {
    type Report = Report;

    fn commit(&self) -> Result<(Address, Report)> {
        self.commit_record(None)
    }

    fn tail(&self) -> Result<Address> {
        Ok(self.log.addresses().tail)
    }
}

impl Core {
    /// Sees to it that the entry at `address` is durable.
    pub(super) fn wait_durable(&self, address: Address) -> Result<()> {
        self.check_appended(address)?;
        self.group.wait(self, address)
    }

    /// Commits everything that was done before this call.
    pub(super) fn commit_shared(&self) -> Result<Commit> {
        self.group.commit(self).map(|report| report.commit)
    }

    /// The same, of which the entries are the least: something else is to be durable as well.
    pub(super) fn commit_change(&self) -> Result<Commit> {
        self.group.note_change();
        self.commit_shared()
    }

    /// The same, always with a record of its own, which brings a cookie.
    pub(super) fn commit_with(&self, cookie: Vec<u8>) -> Result<Commit> {
        self.group.commit_by(self, || self.commit_record(Some(cookie))).map(|report| report.commit)
    }

    /// That something was appended at `address`: nobody could say when else it will be durable.
    fn check_appended(&self, address: Address) -> Result<()> {
        let tail = self.log.addresses().tail;
        if address < tail {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, "nothing was appended at this address of the log")
            .with("address", address)
            .with("end of the log", tail)
            .help("wait for an address that append gave"))
    }
}

/// Ready when an entry is durable, with its address; or with the reason why it will not be.
#[must_use = "futures do nothing unless polled"]
pub struct Durable {
    core: Arc<Core>,
    address: Address,
}

impl Durable {
    pub(super) const fn new(core: Arc<Core>, address: Address) -> Self {
        Self { core, address }
    }
}

impl Future for Durable {
    type Output = Result<Address>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.core.check_appended(self.address)?;
        self.core.group.poll(self.address, context.waker()).map_ok(|()| self.address)
    }
}
