//! Many operations in one call.
//!
//! The keys are taken in groups. Of a group, all index buckets are loaded into the cache together, then all records to
//! which they lead, and only then are the operations run, one after the other under one pin: the time that memory takes to
//! answer is paid once for a group and not twice for every key. Operations that need the device leave the row and finish
//! when their access does, while the others go on. Two operations on the same key keep their order.

use super::flight::InFlight;
use super::session::Session;
use crate::device::IoRequest;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::kernel::{DeleteOp, Kernel, KeyOperation, Modify, ReadOp, RmwOp, UpsertOp};
use crate::operation::{Progress, Retry, Step};
use crate::record::{Key, Value};
use crate::utility::KeyHash;

/// Keys of a group: twice the cache lines that a core can have on their way.
const GROUP: usize = 32;

/// Why a group stopped before its end.
enum Stop<O> {
    /// This operation has to be repeated, outside the pin.
    Retry(usize, O, Retry),
    /// The operation at this place must wait for one on the same key that is in flight.
    Order(usize),
    /// Buffers are short all over the store: go on from this place once what waits has been started.
    Short(usize),
}

impl<K: Key, V: Value> Session<K, V> {
    /// The values of `keys`, in their order. Reads of the device overlap.
    ///
    /// # Errors
    /// As for [`read`](Self::read), for the first key that fails.
    pub fn read_batch(&mut self, keys: &[K]) -> Result<Vec<Option<V>>> {
        let mut values = vec![None; keys.len()];
        self.read_batch_into(keys, &mut values)?;
        Ok(values)
    }

    /// Puts the values of `keys` into `values`, at the same places; what there is more of either is left alone. Allocates
    /// nothing as long as memory can answer.
    ///
    /// # Errors
    /// As for [`read`](Self::read), for the first key that fails.
    pub fn read_batch_into(&mut self, keys: &[K], values: &mut [Option<V>]) -> Result<()> {
        let keys = &keys[..keys.len().min(values.len())];
        self.counters.reads.add(keys.len() as u64);
        let waited =
            self.batch(keys.len(), |at| &keys[at], |at| ReadOp::new(&keys[at]), |at, value| values[at] = value)?;
        self.count_lookups(keys.len(), waited);
        Ok(())
    }

    /// Gives each key its value, in order.
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert), for the first that fails; those before it are done, those after it may be.
    pub fn upsert_batch(&mut self, pairs: &[(K, V)]) -> Result<()> {
        self.counters.upserts.add(pairs.len() as u64);
        let make = |at: usize| UpsertOp::new(pairs[at].0.clone(), pairs[at].1.clone());
        self.batch(pairs.len(), |at| &pairs[at].0, make, |_, _| ()).map(drop)
    }

    /// Replaces the value of each key by what `modify` makes of it; `modify` is also given the key's place in `keys`.
    /// Several changes of one key are made in order, changes of different keys in any. Returns how many were made.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw), for the first that fails; any of the others may be done.
    pub fn rmw_batch(&mut self, keys: &[K], modify: impl Fn(usize, &mut V) -> bool) -> Result<usize> {
        self.counters.rmws.add(keys.len() as u64);
        let mut changed = 0;
        let modify = &modify;
        let make = |at: usize| RmwOp::new(keys[at].clone(), Modify(move |value: &mut V| modify(at, value)));
        let waited =
            self.batch(keys.len(), |at| &keys[at], make, |_, status| changed += usize::from(status.changed()))?;
        self.count_lookups(keys.len(), waited);
        Ok(changed)
    }

    /// Removes each key, in order.
    ///
    /// # Errors
    /// As for [`delete`](Self::delete), for the first that fails; those before it are done, those after it may be.
    pub fn delete_batch(&mut self, keys: &[K]) -> Result<()> {
        self.counters.deletes.add(keys.len() as u64);
        self.batch(keys.len(), |at| &keys[at], |at| DeleteOp::new(&keys[at]), |_, _| ()).map(drop)
    }

    /// Runs `count` operations, and returns how many of them waited for the device.
    #[inline]
    fn batch<'k, O: KeyOperation<K, V>>(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> &'k K,
        mut make: impl FnMut(usize) -> O,
        mut done: impl FnMut(usize, O::Output),
    ) -> Result<usize> {
        let (make, done, flight) = (&mut make, &mut done, &mut Vec::new());
        let (mut at, mut waited) = (0, 0);
        while at < count {
            let end = count.min(at + GROUP);
            let mut waiting = Vec::new();
            let stop = self.run_group(at..end, &key, make, done, flight, &mut waiting)?;
            waited += waiting.len();
            for (place, hash, operation, request) in waiting {
                self.take_off(place, hash, operation, request, done, flight)?;
            }
            // The accesses of a group start together, and are under way while memory answers the next group.
            self.driver.flush();
            at = match stop {
                None => end,
                Some(Stop::Short(place)) => place,
                Some(Stop::Order(place)) => {
                    while !flight.is_empty() {
                        self.land_one(done, flight)?;
                    }
                    place
                }
                Some(Stop::Retry(place, mut operation, retry)) => {
                    let progress = self.driver.try_again(&self.database.kernel, &mut operation, retry)?;
                    match progress {
                        Progress::Done(output) => done(place, output),
                        Progress::Wait(request) => {
                            waited += 1;
                            let hash = KeyHash::of_bytes(key(place).as_bytes());
                            self.take_off(place, hash, operation, request, done, flight)?;
                        }
                    }
                    place + 1
                }
            };
        }
        while !flight.is_empty() {
            self.land_one(done, flight)?;
        }
        Ok(waited)
    }

    /// Runs a group under one pin, up to its end or to an operation that has to be repeated. What needs the device is left
    /// in `waiting`.
    #[inline]
    fn run_group<'k, O: KeyOperation<K, V>>(
        &mut self,
        places: std::ops::Range<usize>,
        key: &impl Fn(usize) -> &'k K,
        make: &mut impl FnMut(usize) -> O,
        done: &mut impl FnMut(usize, O::Output),
        flight: &[InFlight<O>],
        waiting: &mut Vec<(usize, KeyHash, O, IoRequest)>,
    ) -> Result<Option<Stop<O>>> {
        self.driver.tidy_up();
        let (kernel, guard) = (&self.database.kernel, self.driver.pin());
        let hashes = hash_group(kernel, places.clone(), key);
        let slots = find_group(kernel, &hashes[..places.len()], &guard);
        for (place, (slot, hash)) in places.zip(slots.into_iter().zip(hashes)) {
            let Some(slot) = slot else { break };
            if O::ORDERED && (flight.iter().any(|o| o.hash == hash) || waiting.iter().any(|w| w.1 == hash)) {
                return Ok(Some(Stop::Order(place)));
            }
            let mut operation = make(place);
            match operation.step_at(kernel, slot, &guard) {
                Step::Done(output) => done(place, output),
                Step::Failed(error) => return Err(error),
                Step::Retry(retry) => return Ok(Some(Stop::Retry(place, operation, retry))),
                Step::Wait(request) => {
                    waiting.push((place, hash, operation, request));
                    if kernel.log.read_pool().is_strained() {
                        return Ok(Some(Stop::Short(place + 1)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The hashes of a group's keys, whose buckets are on their way to the cache.
#[inline]
fn hash_group<'k, K: Key, V: Value>(
    kernel: &Kernel<K, V>,
    places: std::ops::Range<usize>,
    key: &impl Fn(usize) -> &'k K,
) -> [KeyHash; GROUP] {
    let mut hashes = [KeyHash::from_raw(0); GROUP];
    for (hash, place) in hashes.iter_mut().zip(places) {
        *hash = KeyHash::of_bytes(key(place).as_bytes());
        kernel.index.prefetch(*hash);
    }
    hashes
}

/// The index entries of a group's hashes, whose records are on their way to the cache.
#[inline]
fn find_group<'g, K: Key, V: Value>(
    kernel: &'g Kernel<K, V>,
    hashes: &[KeyHash],
    guard: &'g Guard<'_>,
) -> [Option<Slot<'g>>; GROUP] {
    let mut slots = [None; GROUP];
    for (slot, hash) in slots.iter_mut().zip(hashes) {
        let found = kernel.index.find(*hash, guard);
        kernel.log.prefetch(found.address());
        *slot = Some(found);
    }
    slots
}
