//! One thread's operations in flight: issue, wait, check, count.

use super::faults::Faults;
use super::growth::Growth;
use super::oracle::{Claim, FIRST, Oracle, Stamps};
use super::tally::Tally;
use super::value::{Wrong, encode, judge, version_mask, version_of};
use super::workload::Operation;
use oxifaster::store::{Begun, Completed, Outcome, Session, Ticket};
use oxifaster::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::time::Instant;

/// While operations wait for the device, completed ones are fetched after this many new ones.
const FETCH_EVERY: u32 = 16;

/// What the values that a pipeline reads are checked against, and where the wrong ones go.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    pub(crate) oracle: &'a Oracle,
    pub(crate) faults: &'a Faults,
    /// The stage, for the report of a fault.
    pub(crate) during: &'a str,
}

/// An operation that waits for the device.
struct Flight {
    operation: Operation,
    key: u64,
    floor: u64,
    began: Instant,
}

/// A session with up to `depth` operations in flight.
///
/// Each operation takes one reading of the clock: it began when the one before it was done. That charges the drawing of
/// the key to the operation, which errs on the slow side, and halves the cost of measuring.
pub(crate) struct Pipeline<'a, const N: usize> {
    session: Session<u64, [u8; N]>,
    check: Check<'a>,
    depth: usize,
    in_flight: HashMap<Ticket, Flight>,
    since_fetch: u32,
    stamps: Stamps,
    clock: Instant,
    tally: Tally,
}

impl<'a, const N: usize> Pipeline<'a, N> {
    pub(crate) fn new(session: Session<u64, [u8; N]>, check: Check<'a>, depth: usize) -> Self {
        Self {
            session,
            check,
            depth,
            in_flight: HashMap::with_capacity(depth),
            since_fetch: 0,
            stamps: Stamps::default(),
            clock: Instant::now(),
            tally: Tally::default(),
        }
    }

    /// Reads `key` and checks the value, now or when it arrives.
    pub(crate) fn read(&mut self, key: u64) -> Result<()> {
        let floor = self.check.oracle.floor(key);
        if self.depth == 1 {
            let value = self.session.read(&key)?;
            self.check_value(key, floor, value.as_ref());
            self.finish(Operation::Read);
            return Ok(());
        }
        match self.session.begin_read(&key)? {
            Begun::Done(value) => {
                self.check_value(key, floor, value.as_ref());
                self.finish(Operation::Read);
                self.fetch_now_and_then()
            }
            Begun::Pending(ticket) => self.wait_for(ticket, Operation::Read, key, floor),
        }
    }

    /// Adds one to the version of `key`.
    pub(crate) fn read_modify_write(&mut self, key: u64) -> Result<()> {
        let floor = self.check.oracle.floor(key);
        let sampled = self.check.oracle.announce(key);
        let stamp = if sampled { None } else { Some(self.check.oracle.stamp(&mut self.stamps)) };
        // The oracle's ceiling cannot be asked from inside the store, so what comes in is held to the floor only.
        let highest = floor + version_mask::<N>() / 2;
        let logic = move |value: &mut [u8; N]| {
            if sampled && judge(Some(value), key, floor, highest).is_err()
                || judge(Some(value), key, 0, u64::MAX).is_err()
            {
                return false;
            }
            let version = stamp.or_else(|| version_of(value).map(|version| version + 1));
            *value = encode(key, version.unwrap_or(FIRST));
            true
        };
        if self.depth == 1 {
            let applied = self.session.rmw(key, logic)?;
            self.finish_read_modify_write(key, floor, applied)?;
            self.finish(Operation::ReadModifyWrite);
            return Ok(());
        }
        match self.session.begin_rmw(key, logic)? {
            Begun::Done(applied) => {
                self.finish_read_modify_write(key, floor, applied)?;
                self.finish(Operation::ReadModifyWrite);
                self.fetch_now_and_then()
            }
            Begun::Pending(ticket) => self.wait_for(ticket, Operation::ReadModifyWrite, key, floor),
        }
    }

    /// Overwrites `key` with a new version; false if another thread is just doing that and the key is a sampled one.
    pub(crate) fn update(&mut self, key: u64) -> Result<bool> {
        let version = match self.check.oracle.claim(key) {
            Claim::Exact(version) => version,
            Claim::Stamp => self.check.oracle.stamp(&mut self.stamps),
            Claim::Taken => return Ok(false),
        };
        self.session.upsert(key, encode(key, version))?;
        self.check.oracle.acknowledge(key);
        self.finish(Operation::Update);
        self.fetch_now_and_then().map(|()| true)
    }

    /// Writes the first version of `key`.
    pub(crate) fn load(&mut self, key: u64) -> Result<()> {
        self.session.upsert(key, encode(key, FIRST))?;
        self.finish(Operation::Insert);
        Ok(())
    }

    /// Inserts the next key of `thread`.
    pub(crate) fn insert(&mut self, growth: &Growth, thread: usize) -> Result<()> {
        self.load(growth.next_key(thread))?;
        growth.acknowledge(thread);
        self.fetch_now_and_then()
    }

    /// Waits for everything in flight and gives what was counted.
    pub(crate) fn drain(mut self) -> Result<Tally> {
        while !self.in_flight.is_empty() {
            self.fetch(true)?;
        }
        Ok(self.tally)
    }

    /// Operations done or in flight.
    pub(crate) fn issued(&self) -> u64 {
        self.tally.operations() + self.in_flight.len() as u64
    }

    fn finish(&mut self, operation: Operation) {
        let now = Instant::now();
        self.tally.record(operation, now - self.clock);
        self.clock = now;
    }

    fn check_value(&mut self, key: u64, floor: u64, value: Option<&[u8; N]>) {
        let Check { oracle, faults, during } = self.check;
        let ceiling = oracle.ceiling(key);
        self.tally.checked += 1;
        self.tally.exact += u64::from(oracle.is_exact(key));
        if let Err(wrong) = judge(value, key, floor, ceiling) {
            faults.add(during, key, (floor, ceiling), wrong);
        }
    }

    /// The logic refuses values that are wrong: a read tells what the store has for the key.
    fn finish_read_modify_write(&mut self, key: u64, floor: u64, applied: bool) -> Result<()> {
        let Check { oracle, faults, during } = self.check;
        self.tally.checked += 1;
        self.tally.exact += u64::from(oracle.is_exact(key));
        if applied {
            oracle.acknowledge(key);
            return Ok(());
        }
        let ceiling = oracle.ceiling(key);
        let found = judge(self.session.read(&key)?.as_ref(), key, floor, ceiling);
        // A value that looks sound by now must have been wrong when the logic saw it.
        faults.add(during, key, (floor, ceiling), found.err().unwrap_or(Wrong::Damaged));
        Ok(())
    }

    fn wait_for(&mut self, ticket: Ticket, operation: Operation, key: u64, floor: u64) -> Result<()> {
        let began = std::mem::replace(&mut self.clock, Instant::now());
        self.tally.waited += 1;
        self.in_flight.insert(ticket, Flight { operation, key, floor, began });
        if self.in_flight.len() >= self.depth { self.fetch(true) } else { self.fetch_now_and_then() }
    }

    fn fetch_now_and_then(&mut self) -> Result<()> {
        self.since_fetch += 1;
        if self.in_flight.is_empty() || self.since_fetch < FETCH_EVERY {
            return Ok(());
        }
        self.fetch(false)
    }

    fn fetch(&mut self, wait: bool) -> Result<()> {
        self.since_fetch = 0;
        let completed = self.session.complete_pending(wait)?;
        if completed.is_empty() && wait {
            return Err(Error::new(ErrorKind::Busy, "waiting for operations in flight: none completes")
                .with("in flight", self.in_flight.len()));
        }
        let now = Instant::now();
        for Completed { ticket, outcome, .. } in completed {
            let outcome = outcome?;
            let Some(flight) = self.in_flight.remove(&ticket) else {
                return Err(Error::new(ErrorKind::Corrupt, "an operation completed that was not in flight"));
            };
            match outcome {
                Outcome::Read(value) => self.check_value(flight.key, flight.floor, value.as_ref()),
                Outcome::Rmw(applied) => self.finish_read_modify_write(flight.key, flight.floor, applied)?,
                other => {
                    return Err(Error::new(ErrorKind::Corrupt, "an operation completed as one of another kind")
                        .with("outcome", format_args!("{other:?}")));
                }
            }
            self.tally.record(flight.operation, now - flight.began);
        }
        self.clock = Instant::now();
        Ok(())
    }
}
