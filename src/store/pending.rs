//! The pending face: operations that do not wait for the device.

use super::database::Database;
use crate::device::IoDone;
use crate::error::Result;
use crate::kernel::{Insert, Kernel, Modify, ReadOp, RmwOp};
use crate::operation::{CountAs, Driver, Operation, Progress};
use crate::record::{Key, Value};
use crate::status::{OperationStatus, Status};

/// Names an operation that was begun and is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) u64);

/// How beginning an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun<T> {
    /// Memory could answer: here is the outcome.
    Done(T),
    /// The device has to be asked. The outcome comes from [`Session::complete_pending`](super::Session::complete_pending)
    /// under this ticket.
    Pending(Ticket),
}

impl<T> Begun<T> {
    /// [`Status::Ok`] or [`Status::Pending`].
    pub fn status(&self) -> Status {
        match self {
            Self::Done(_) => Status::Ok,
            Self::Pending(_) => Status::Pending,
        }
    }
}

/// The outcome of a pending operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<V> {
    /// A read: the value, if the key is there.
    Read(Option<V>),
    /// A read-modify-write: whether it changed the store.
    Rmw(bool),
    /// A conditional insert: whether it inserted.
    Insert(bool),
}

/// A pending operation that is finished.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completed<V> {
    /// The ticket it was begun under.
    pub ticket: Ticket,
    /// Its outcome.
    pub outcome: Result<Outcome<V>>,
}

impl<V> Completed<V> {
    /// The outcome in one word.
    pub fn status(&self) -> Status {
        match &self.outcome {
            Ok(Outcome::Read(None)) => Status::NotFound,
            Ok(_) => Status::Ok,
            Err(_) => Status::Failed,
        }
    }
}

/// Logic of a read-modify-write that may have to wait.
pub(super) type BoxedModify<V> = Modify<Box<dyn FnMut(&mut V) -> bool + Send>>;

pub(super) fn box_modify<V>(Modify(modify): Modify<impl FnMut(&mut V) -> bool + Send + 'static>) -> BoxedModify<V> {
    Modify(Box::new(modify))
}

/// An operation that waits for the device.
pub(super) enum Parked<K, V> {
    Read(ReadOp<K, V>),
    Rmw(RmwOp<K, V, BoxedModify<V>>),
    Insert(RmwOp<K, V, Insert<V>>),
}

impl<K: Key, V: Value> Parked<K, V> {
    /// Takes the operation on with the access it waited for, to its end or to the next access.
    pub(super) fn go_on(
        &mut self,
        database: &Database<K, V>,
        driver: &mut Driver,
        done: IoDone,
    ) -> Result<Progress<Outcome<V>>> {
        match self {
            Self::Read(read) => go_on(&database.kernel, driver, read, |counters| &counters.reads, done, Outcome::Read),
            Self::Rmw(rmw) => {
                let outcome = |status: OperationStatus| Outcome::Rmw(status.changed());
                go_on(&database.kernel, driver, rmw, |counters| &counters.rmws, done, outcome)
            }
            Self::Insert(insert) => {
                let outcome = |status: OperationStatus| Outcome::Insert(status.changed());
                go_on(&database.kernel, driver, insert, |counters| &counters.inserts, done, outcome)
            }
        }
    }
}

fn go_on<K: Key, V: Value, O: Operation<Kernel<K, V>>>(
    kernel: &Kernel<K, V>,
    driver: &mut Driver,
    operation: &mut O,
    count_as: CountAs,
    done: IoDone,
    outcome: impl FnOnce(O::Output) -> Outcome<V>,
) -> Result<Progress<Outcome<V>>> {
    operation.resume(kernel, done)?;
    Ok(match driver.advance(kernel, operation, Some(count_as))? {
        Progress::Done(output) => Progress::Done(outcome(output)),
        Progress::Wait(request) => Progress::Wait(request),
    })
}
