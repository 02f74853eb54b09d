//! Operations of a batch that wait for the device.

use super::session::Session;
use crate::device::{IoRequest, Token};
use crate::error::Result;
use crate::kernel::KeyOperation;
use crate::operation::Progress;
use crate::record::{Key, Value};
use crate::utility::KeyHash;

/// An operation of the batch that waits for the device.
pub(super) struct InFlight<O> {
    at: usize,
    pub(super) hash: KeyHash,
    token: Token,
    operation: O,
}

impl<K: Key, V: Value> Session<K, V> {
    /// Queues the access of an operation, once there is room for one more in flight.
    pub(super) fn take_off<O: KeyOperation<K, V>>(
        &mut self,
        at: usize,
        hash: KeyHash,
        operation: O,
        request: IoRequest,
        done: &mut impl FnMut(usize, O::Output),
        flight: &mut Vec<InFlight<O>>,
    ) -> Result<()> {
        while flight.len() >= self.database.max_pending
            || (!flight.is_empty() && self.database.kernel.log.read_pool().is_strained())
        {
            self.land_one(done, flight)?;
        }
        let token = self.parked.spend_token();
        self.driver.submit(&self.database.kernel, request, token);
        self.driver.keep_busy();
        flight.push(InFlight { at, hash, token, operation });
        Ok(())
    }

    /// Waits for one access, and takes the operation on that it belongs to.
    pub(super) fn land_one<O: KeyOperation<K, V>>(
        &mut self,
        done: &mut impl FnMut(usize, O::Output),
        flight: &mut Vec<InFlight<O>>,
    ) -> Result<()> {
        let kernel = &self.database.kernel;
        let (token, arrived) = self.driver.take(kernel)?;
        let Some(index) = flight.iter().position(|operation| operation.token == token) else {
            self.arrive(token, arrived);
            return Ok(());
        };
        let mut landed = flight.swap_remove(index);
        landed.operation.resume(kernel, arrived)?;
        match self.driver.advance(kernel, &mut landed.operation, None)? {
            Progress::Done(output) => done(landed.at, output),
            Progress::Wait(request) => {
                self.driver.submit(kernel, request, token);
                self.driver.keep_busy();
                flight.push(landed);
            }
        }
        Ok(())
    }
}
