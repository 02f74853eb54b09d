//! One blocking call after the other.

use super::{Issuer, Order};
use crate::bench::audit::Audit;
use crate::bench::workload::Operation;
use oxifaster::Result;
use oxifaster::store::Session;

pub(super) struct Blocking<const N: usize> {
    session: Session<u64, [u8; N]>,
}

impl<const N: usize> Blocking<N> {
    pub(super) fn new(session: Session<u64, [u8; N]>) -> Self {
        Self { session }
    }
}

impl<const N: usize> Issuer<N> for Blocking<N> {
    fn issue(&mut self, order: Order, audit: &mut Audit<'_, N>) -> Result<()> {
        let session = &mut self.session;
        let operation = match order {
            Order::Read(key) => {
                let asked = audit.ask(key);
                let value = session.read(&key)?;
                audit.answered(asked, value.as_ref());
                Operation::Read
            }
            Order::Change(key) => {
                let change = audit.change(key);
                let applied = session.rmw(key, |value| change.apply(value))?;
                audit.changed(change.asked, applied, |key| session.read(key))?;
                Operation::ReadModifyWrite
            }
            Order::Write(write) => {
                session.upsert(write.key, write.value())?;
                audit.written(write);
                write.operation
            }
        };
        audit.done(operation);
        Ok(())
    }

    fn drain(&mut self, _: &mut Audit<'_, N>) -> Result<()> {
        Ok(())
    }

    fn issued(&self) -> usize {
        0
    }
}
