//! One blocking call after the other.

use super::{Issuer, Order};
use crate::bench::audit::Audit;
use crate::bench::value::Content;
use crate::bench::workload::Operation;
use oxifaster::Result;
use oxifaster::store::Session;

pub(super) struct Blocking<V: Content> {
    session: Session<u64, V>,
}

impl<V: Content> Blocking<V> {
    pub(super) fn new(session: Session<u64, V>) -> Self {
        Self { session }
    }
}

impl<V: Content> Issuer<V> for Blocking<V> {
    fn issue(&mut self, order: Order, audit: &mut Audit<'_, V>) -> Result<()> {
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
                session.upsert(write.key, audit.value(write))?;
                audit.written(write);
                write.operation
            }
        };
        audit.done(operation);
        Ok(())
    }

    fn drain(&mut self, _: &mut Audit<'_, V>) -> Result<()> {
        Ok(())
    }

    fn issued(&self) -> usize {
        0
    }
}
