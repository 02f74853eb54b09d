//! Reading a key for somebody who may have seen its value before there was one.

use super::{Kernel, KeyOperation, ReadOp};
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::operation::{Operation, Step};
use crate::record::{Key, KeyBytes, Value};
use std::marker::PhantomData;

/// What a key has.
pub(crate) enum Shown<'b, V> {
    /// These bytes, which were copied from memory.
    Bytes(&'b mut Vec<u8>),
    /// A value that had to be made, or none.
    Value(Option<V>),
}

/// [`ReadOp`], whose output can also be told in bytes.
pub(crate) struct ShowOp<'b, Q, V>(ReadOp<Q, V>, PhantomData<&'b mut Vec<u8>>);

impl<Q: KeyBytes, V: Value> ShowOp<'_, Q, V> {
    #[inline]
    pub(crate) const fn new(key: Q) -> Self {
        Self(ReadOp::new(key), PhantomData)
    }
}

impl<'b, K: Key, V: Value, Q: KeyBytes> Operation<Kernel<K, V>> for ShowOp<'b, Q, V> {
    type Output = Shown<'b, V>;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<Shown<'b, V>> {
        self.0.step(kernel, guard).map(Shown::Value)
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        self.0.resume(kernel, done)
    }
}

impl<'b, K: Key, V: Value, Q: KeyBytes> KeyOperation<K, V> for ShowOp<'b, Q, V> {
    const WRITES: bool = false;

    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<Shown<'b, V>> {
        self.0.step_at(kernel, slot, guard).map(Shown::Value)
    }
}
