//! Batched calls.

use super::{Issuer, Order};
use crate::bench::audit::{Asked, Audit, Change, Write};
use crate::bench::value::Content;
use crate::bench::workload::Operation;
use oxifaster::Result;
use oxifaster::store::Session;
use std::cell::Cell;
use std::time::Instant;

/// Collects orders, each kind for itself, and issues a kind in one call when there are `size` of it.
///
/// The latency of an operation is that of the call it went with: so long its caller waits, whoever it is among them.
pub(super) struct Batches<V: Content> {
    session: Session<u64, V>,
    size: usize,
    reads: Vec<u64>,
    asked: Vec<Asked>,
    values: Vec<Option<V>>,
    changes: Vec<u64>,
    announced: Vec<Change<V>>,
    applied: Vec<Cell<bool>>,
    writes: Vec<Write>,
    pairs: Vec<(u64, V)>,
}

impl<V: Content> Batches<V> {
    pub(super) fn new(session: Session<u64, V>, size: usize) -> Self {
        Self {
            session,
            size,
            reads: Vec::with_capacity(size),
            asked: Vec::with_capacity(size),
            values: Vec::new(),
            changes: Vec::new(),
            announced: Vec::new(),
            applied: Vec::new(),
            writes: Vec::new(),
            pairs: Vec::new(),
        }
    }

    fn read(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        let count = self.reads.len();
        self.values.resize(count.max(self.values.len()), None);
        self.asked.clear();
        self.asked.extend(self.reads.iter().map(|key| audit.ask(*key)));
        let began = Instant::now();
        self.session.read_batch_into(&self.reads, &mut self.values)?;
        audit.took(Operation::Read, began.elapsed(), count as u64);
        for (asked, value) in self.asked.iter().zip(&self.values) {
            audit.answered(*asked, value.as_ref());
        }
        self.reads.clear();
        Ok(())
    }

    fn change(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        let count = self.changes.len();
        self.announced.clear();
        self.announced.extend(self.changes.iter().map(|key| audit.change(*key)));
        self.applied.clear();
        self.applied.resize(count, Cell::new(false));
        let (announced, applied) = (&self.announced, &self.applied);
        let began = Instant::now();
        self.session.rmw_batch(&self.changes, |at, value| {
            let done = announced[at].apply(value);
            applied[at].set(done);
            done
        })?;
        audit.took(Operation::ReadModifyWrite, began.elapsed(), count as u64);
        for (change, applied) in announced.iter().zip(applied) {
            audit.changed(change.asked, applied.get(), |key| self.session.read(key))?;
        }
        self.changes.clear();
        Ok(())
    }

    fn write(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        let began = Instant::now();
        self.session.upsert_batch(&self.pairs)?;
        let latency = began.elapsed();
        for write in &self.writes {
            audit.written(*write);
        }
        for operation in [Operation::Insert, Operation::Update] {
            let count = self.writes.iter().filter(|write| write.operation == operation).count();
            audit.took(operation, latency, count as u64);
        }
        self.writes.clear();
        self.pairs.clear();
        Ok(())
    }
}

impl<V: Content> Issuer<V> for Batches<V> {
    fn issue(&mut self, order: Order, audit: &mut Audit<'_, V>) -> Result<()> {
        match order {
            Order::Read(key) => {
                self.reads.push(key);
                if self.reads.len() >= self.size { self.read(audit) } else { Ok(()) }
            }
            Order::Change(key) => {
                self.changes.push(key);
                if self.changes.len() >= self.size { self.change(audit) } else { Ok(()) }
            }
            Order::Write(write) => {
                self.pairs.push((write.key, audit.value(write)));
                self.writes.push(write);
                if self.writes.len() >= self.size { self.write(audit) } else { Ok(()) }
            }
        }
    }

    fn drain(&mut self, audit: &mut Audit<'_, V>) -> Result<()> {
        self.write(audit)?;
        self.change(audit)?;
        self.read(audit)
    }

    fn issued(&self) -> usize {
        self.reads.len() + self.changes.len() + self.writes.len()
    }
}
