//! Operations that are no work of a user's: look-ups of many records, by compactions and scans. What memory cannot answer is read
//! in the order of the log.

use super::batch::{GROUP, Stop};
use super::session::Session;
use crate::allocator::Gather;
use crate::error::Result;
use crate::index::Slot;
use crate::kernel::{Descent, Fetch, View};
use crate::operation::Progress;
use crate::record::{Key, RecordLayout, Value};

/// An operation that needs a record on the device.
pub(super) struct Parked<O> {
    pub(super) place: usize,
    operation: O,
    pub(super) wanted: Fetch,
}

impl<K: Key, V: Value> Session<K, V> {
    /// Runs `count` operations, in any order: a checkpoint may cut between any two of them.
    pub(super) fn run_unlisted<'k, O: Descent<K, V>>(
        &mut self,
        gather: &mut Gather,
        count: usize,
        key: impl Fn(usize) -> &'k K,
        make: impl FnMut(usize) -> O,
        mut done: impl FnMut(usize, O::Output),
    ) -> Result<()> {
        let mut parked = Vec::new();
        self.run_in_memory(count, key, |_, _, _| None, make, &mut done, &mut |one| parked.push(one))?;
        while !parked.is_empty() {
            parked = self.go_down(gather, parked, &mut done)?;
        }
        Ok(())
    }

    /// Runs what memory can answer, in any order, and gives the rest to `put_off`. `at_once` is the short way, as for batches.
    pub(super) fn run_in_memory<'k, O: Descent<K, V>>(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> &'k K,
        at_once: impl Fn(View<'_>, usize, Slot<'_>) -> Option<O::Output>,
        mut make: impl FnMut(usize) -> O,
        done: &mut impl FnMut(usize, O::Output),
        put_off: &mut impl FnMut(Parked<O>),
    ) -> Result<()> {
        let (mut at, mut waiting) = (0, Vec::new());
        while at < count {
            let end = count.min(at + GROUP);
            let stop = self.run_group(at..end, &key, &at_once, &mut make, done, &[], &mut waiting)?;
            waiting.drain(..).filter_map(|(place, _, operation, _)| park(place, operation)).for_each(&mut *put_off);
            at = match stop {
                None => end,
                Some(Stop::Short(place) | Stop::Order(place)) => place,
                Some(Stop::Retry(place, mut operation, retry)) => {
                    match self.driver.try_again(&self.database.kernel, &mut operation, None, retry)? {
                        Progress::Done(output) => done(place, output),
                        Progress::Wait(_) => park(place, operation).into_iter().for_each(&mut *put_off),
                    }
                    place + 1
                }
            };
        }
        Ok(())
    }

    /// Reads a record for each operation, and steps it. Gives back those that need another one.
    fn go_down<O: Descent<K, V>>(
        &mut self,
        gather: &mut Gather,
        mut parked: Vec<Parked<O>>,
        done: &mut impl FnMut(usize, O::Output),
    ) -> Result<Vec<Parked<O>>> {
        let kernel = &self.database.kernel;
        parked.sort_unstable_by_key(|parked| parked.wanted.at);
        let places: Vec<_> = parked.iter().map(|parked| parked.wanted.place()).collect();
        let mut settled = vec![false; parked.len()];
        gather.read(&kernel.log, places.into_iter(), RecordLayout::of::<K, V>(), &mut |number, brought| {
            let Parked { place, operation, wanted } = &mut parked[number];
            let fetched = wanted.gathered(kernel, brought)?;
            if let Some(output) = operation.take_in(kernel, fetched) {
                settled[number] = true;
                done(*place, output);
            }
            Ok(())
        })?;
        let mut further = Vec::new();
        for (Parked { place, mut operation, .. }, _) in
            parked.into_iter().zip(settled).filter(|(_, is_settled)| !is_settled)
        {
            match self.driver.advance(&self.database.kernel, &mut operation, None)? {
                Progress::Done(output) => done(place, output),
                Progress::Wait(_) => further.extend(park(place, operation)),
            }
        }
        Ok(further)
    }
}

/// The operation without the access that it asked for: it goes with those of others.
fn park<K: Key, V: Value, O: Descent<K, V>>(place: usize, operation: O) -> Option<Parked<O>> {
    operation.wanted().map(|wanted| Parked { place, operation, wanted })
}
