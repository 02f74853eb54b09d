//! A read-modify-write whose logic has something to say in the end, besides what became of the record.

use super::Kernel;
use super::logic::{IfThere, Logic, Merging, When};
use super::rmw::RmwOp;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::operation::{Operation, Step};
use crate::record::{Key, Value};
use crate::status::OperationStatus;

/// Logic that learns something on its way.
pub(crate) trait Learns<V>: Logic<V> {
    type Learned;

    /// What it has learned when it was last asked.
    ///
    /// # Errors
    /// Why it could not do what it was to. The store is then as it was.
    fn learned(&mut self) -> Result<Self::Learned>;
}

impl<V: Value, F: FnMut(&V) -> bool> Learns<V> for When<V, F> {
    /// The value of which the condition said no.
    type Learned = Option<V>;

    fn learned(&mut self) -> Result<Option<V>> {
        Ok(self.refused.take())
    }
}

impl<V: Value, F: FnMut(&mut V) -> bool> Learns<V> for IfThere<F> {
    /// Whether there was a value.
    type Learned = bool;

    fn learned(&mut self) -> Result<bool> {
        Ok(self.was_there)
    }
}

impl<V: Value, F: FnMut(&mut V, &V) -> Result<()>> Learns<V> for Merging<V, F> {
    type Learned = ();

    fn learned(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// A read-modify-write that ends with what its logic has learned, too.
pub(crate) struct LearnOp<K, V, L>(RmwOp<K, V, L>);

impl<K: Key, V: Value, L: Learns<V>> LearnOp<K, V, L> {
    pub(crate) const fn new(key: K, logic: L) -> Self {
        Self(RmwOp::new(key, logic))
    }
}

impl<K: Key, V: Value, L: Learns<V>> Operation<Kernel<K, V>> for LearnOp<K, V, L> {
    type Output = (OperationStatus, L::Learned);

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<Self::Output> {
        match self.0.step(kernel, guard) {
            Step::Done(status) => match self.0.logic_mut().learned() {
                Ok(learned) => Step::Done((status, learned)),
                Err(error) => Step::Failed(error),
            },
            Step::Wait(request) => Step::Wait(request),
            Step::Retry(retry) => Step::Retry(retry),
            Step::Failed(error) => Step::Failed(error),
        }
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.0.resume(kernel, done)
    }
}
