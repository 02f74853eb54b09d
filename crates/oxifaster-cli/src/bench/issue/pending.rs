//! Calls that leave a ticket if they have to wait for the device.

use super::{FETCH_EVERY, Issuer, Order, nothing_completes};
use crate::bench::audit::{Asked, Audit};
use crate::bench::value::Content;
use crate::bench::workload::Operation;
use oxifaster::store::{Begun, Completed, Outcome, Session, Ticket};
use oxifaster::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::time::Instant;

/// An operation that waits for the device.
struct Flight {
    operation: Operation,
    asked: Asked,
    began: Instant,
}

/// A session with up to `depth` operations in flight.
pub(super) struct Pending<V: Content> {
    session: Session<u64, V>,
    depth: usize,
    in_flight: HashMap<Ticket, Flight>,
    since_fetch: u32,
}

impl<V: Content> Pending<V> {
    pub(super) fn new(session: Session<u64, V>, depth: usize) -> Self {
        Self { session, depth, in_flight: HashMap::with_capacity(depth), since_fetch: 0 }
    }

    fn wait_for(&mut self, ticket: Ticket, operation: Operation, asked: Asked, audit: &mut Audit<'_, V>) -> Result<()> {
        self.in_flight.insert(ticket, Flight { operation, asked, began: audit.goes_on() });
        if self.in_flight.len() >= self.depth { self.fetch(true, audit) } else { self.fetch_now_and_then(audit) }
    }

    fn fetch_now_and_then(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        self.since_fetch += 1;
        if self.in_flight.is_empty() || self.since_fetch < FETCH_EVERY {
            return Ok(());
        }
        self.fetch(false, audit)
    }

    fn fetch(&mut self, wait: bool, audit: &mut Audit<'_, V>) -> Result<()> {
        self.since_fetch = 0;
        let completed = self.session.complete_pending(wait)?;
        if completed.is_empty() && wait {
            return Err(nothing_completes(self.in_flight.len()));
        }
        let now = Instant::now();
        for Completed { ticket, outcome, .. } in completed {
            let outcome = outcome?;
            let Some(flight) = self.in_flight.remove(&ticket) else {
                return Err(Error::new(ErrorKind::Corrupt, "an operation completed that was not in flight"));
            };
            match outcome {
                Outcome::Read(value) => audit.answered(flight.asked, value.as_ref()),
                Outcome::Rmw(applied) => audit.changed(flight.asked, applied, |key| self.session.read(key))?,
                other => {
                    return Err(Error::new(ErrorKind::Corrupt, "an operation completed as one of another kind")
                        .with("outcome", format_args!("{other:?}")));
                }
            }
            audit.took(flight.operation, now - flight.began, 1);
        }
        audit.restart_clock();
        Ok(())
    }
}

impl<V: Content> Issuer<V> for Pending<V> {
    fn issue(&mut self, order: Order, audit: &mut Audit<'_, V>) -> Result<()> {
        let operation = match order {
            Order::Read(key) => {
                let asked = audit.ask(key);
                match self.session.begin_read(&key)? {
                    Begun::Done(value) => audit.answered(asked, value.as_ref()),
                    Begun::Pending(ticket) => return self.wait_for(ticket, Operation::Read, asked, audit),
                }
                Operation::Read
            }
            Order::Change(key) => {
                let change = audit.change(key);
                match self.session.begin_rmw(key, move |value| change.apply(value))? {
                    Begun::Done(applied) => audit.changed(change.asked, applied, |key| self.session.read(key))?,
                    Begun::Pending(ticket) => {
                        return self.wait_for(ticket, Operation::ReadModifyWrite, change.asked, audit);
                    }
                }
                Operation::ReadModifyWrite
            }
            Order::Write(write) => {
                self.session.upsert(write.key, audit.value(write))?;
                audit.written(write);
                write.operation
            }
        };
        audit.done(operation);
        self.fetch_now_and_then(audit)
    }

    fn drain(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.fetch(true, audit)?;
        }
        Ok(())
    }

    fn issued(&self) -> usize {
        self.in_flight.len()
    }
}
