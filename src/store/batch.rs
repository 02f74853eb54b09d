//! Many operations in one call.
//!
//! The keys are taken in groups. Of a group, all index buckets are loaded into the cache together, then all records to
//! which they lead, and only then are the operations run, one after the other under one pin: the time that memory takes to
//! answer is paid once for a group and not twice for every key. Operations that need the device leave the row and finish
//! when their access does, while the others go on. Two operations on the same key keep their order.

use super::flight::InFlight;
use super::session::Session;
use super::upsert::check_lengths;
use crate::checkpoint::state::Phase;
use crate::device::IoRequest;
use crate::epoch::Guard;
use crate::error::Result;
use crate::index::Slot;
use crate::kernel::{DeleteOp, Kernel, KeyOperation, Modify, ReadOp, RmwOp, UpsertOp, View};
use crate::memory::Purpose;
use crate::operation::{Account, CountAs, Progress, Retry, Stall, Step};
use crate::record::{ByRef, Key, KeyBytes, Value, ValueBytes};
use crate::stats::OwnedCounter;
use crate::status::OperationStatus;
use crate::sync::{Arc, Visible, publish_all};
use crate::utility::KeyHash;
use std::borrow::Borrow;
use std::ops::Range;

/// Keys of a group: twice the cache lines that a core can have on their way.
pub(super) const GROUP: usize = 32;

/// Operations of a group that need the device: place, hash, operation, access.
pub(super) type Waiting<O> = Vec<(usize, KeyHash, O, IoRequest)>;

/// Why a group stopped before its end.
pub(super) enum Stop<O> {
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
        let now = self.database.kernel.now();
        let at_once = |view: View<'_>, at: usize, slot: Slot<'_>| view.read::<K, V>(&keys[at], slot, now);
        let make = |at: usize| ReadOp::new(ByRef(&keys[at]));
        let waited = self.batch(
            keys.len(),
            |at| &keys[at],
            |counters| &counters.reads,
            at_once,
            make,
            |at, value| values[at] = value,
        )?;
        self.count_waits(waited);
        Ok(())
    }

    /// Gives each key its value, in order.
    ///
    /// # Errors
    /// As for [`upsert`](Self::upsert), for the first that fails; those before it are done, those after it may be.
    pub fn upsert_batch(&mut self, pairs: &[(K, V)]) -> Result<()> {
        self.upsert_each(pairs.len(), |at| (&pairs[at].0, &pairs[at].1))
    }

    /// The same for keys and values that lie somewhere else: [`upsert_ref`](Self::upsert_ref) for many keys.
    ///
    /// ```
    /// # fn example(session: &mut oxifaster::store::Session<String, Vec<u8>>) -> oxifaster::Result<()> {
    /// session.upsert_batch_ref(&[("one", &b"1"[..]), ("two", b"22")])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`upsert_ref`](Self::upsert_ref), before anything is done if a length is wrong; otherwise for the first that fails:
    /// those before it are done, those after it may be.
    pub fn upsert_batch_ref<Q, W>(&mut self, pairs: &[(&Q, &W)]) -> Result<()>
    where
        K: Borrow<Q>,
        V: Borrow<W>,
        Q: KeyBytes + ?Sized,
        W: ValueBytes + ?Sized,
    {
        for (key, value) in pairs {
            check_lengths::<K, V>(key.key_bytes().len(), value.value_bytes().len())?;
        }
        self.upsert_each(pairs.len(), |at| pairs[at])
    }

    /// Gives each of `count` keys its value.
    #[inline]
    fn upsert_each<'p, Q: KeyBytes + ?Sized + 'p, W: ValueBytes + ?Sized + 'p>(
        &mut self,
        count: usize,
        pair: impl Fn(usize) -> (&'p Q, &'p W),
    ) -> Result<()> {
        let at_once = |view: View<'_>, at: usize, slot: Slot<'_>| {
            let (key, value) = pair(at);
            view.set::<K, V>(key, value, slot, Visible::Later).then_some(OperationStatus::InPlace)
        };
        let make = |at: usize| {
            let (key, value) = pair(at);
            UpsertOp::<K, V, _, _>::by_ref(key, value)
        };
        self.batch(count, |at| pair(at).0, |counters| &counters.upserts, at_once, make, |_, _| ()).map(drop)
    }

    /// Replaces the value of each key by what `modify` makes of it; `modify` is also given the key's place in `keys`.
    /// Several changes of one key are made in order, changes of different keys in any. Returns how many were made.
    ///
    /// # Errors
    /// As for [`rmw`](Self::rmw), for the first that fails; any of the others may be done.
    pub fn rmw_batch(&mut self, keys: &[K], modify: impl Fn(usize, &mut V) -> bool) -> Result<usize> {
        let (mut changed, now) = (0, self.database.kernel.now());
        let modify = &modify;
        let at_once = |view: View<'_>, at: usize, slot: Slot<'_>| {
            view.modify::<K, V>(&keys[at], slot, now, &mut |value: &mut V| modify(at, value))
        };
        let make = |at: usize| RmwOp::new(keys[at].clone(), Modify(move |value: &mut V| modify(at, value)));
        let done = |_, status: OperationStatus| changed += usize::from(status.changed());
        let waited = self.batch(keys.len(), |at| &keys[at], |counters| &counters.rmws, at_once, make, done)?;
        self.count_waits(waited);
        Ok(changed)
    }

    /// Removes each key, in order.
    ///
    /// # Errors
    /// As for [`delete`](Self::delete), for the first that fails; those before it are done, those after it may be.
    pub fn delete_batch(&mut self, keys: &[K]) -> Result<()> {
        let make = |at: usize| DeleteOp::new(ByRef(&keys[at]));
        self.batch(keys.len(), |at| &keys[at], |counters| &counters.deletes, |_, _, _| None, make, |_, _| ()).map(drop)
    }

    /// Runs `count` operations, all on the same side of every checkpoint's cut, and returns how many of them waited for the
    /// device.
    #[inline]
    pub(super) fn batch<'k, Q: KeyBytes + ?Sized + 'k, O: KeyOperation<K, V>>(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> &'k Q,
        count_as: CountAs,
        at_once: impl Fn(View<'_>, usize, Slot<'_>) -> Option<O::Output>,
        make: impl FnMut(usize) -> O,
        mut done: impl FnMut(usize, O::Output),
    ) -> Result<usize> {
        if O::WRITES {
            self.check_durability()?;
        }
        let turn = self.begin_batch()?;
        if O::WRITES {
            self.driver.sign_batch(&self.database.kernel);
        }
        let mut finished = Finished { counter: count_as(&turn.0.counters), count: 0 };
        let outcome = self.run_batch(count, key, at_once, make, |at, output| {
            finished.count += 1;
            done(at, output);
        });
        drop(finished);
        drop(turn);
        if O::WRITES {
            // Also if it failed: what was done was done.
            self.end_change()?;
        }
        outcome
    }

    /// Begins a batch, once no checkpoint is about to cut.
    #[inline]
    fn begin_batch(&mut self) -> Result<BatchTurn> {
        let account = Arc::clone(self.driver.account());
        account.begin_batch();
        let turn = BatchTurn(account);
        // Of the barrier in `pin` and the one with which a checkpoint waits for its notice to be known, one comes first:
        // either the notice is seen here, or the batch is seen there.
        if self.driver.pin_plain().is_none() {
            self.wait_for_cut(&turn.0)?;
        }
        Ok(turn)
    }

    /// While a checkpoint waits for batches to end, waits for it to cut.
    #[cold]
    fn wait_for_cut(&mut self, account: &Account) -> Result<()> {
        let mut stall = Stall::new();
        loop {
            self.driver.tidy_up();
            let kernel = &self.database.kernel;
            let (guard, _) = self.driver.pin(kernel);
            if kernel.moment(&guard).phase != Phase::Prepare {
                return Ok(());
            }
            drop(guard);
            account.end_batch();
            stall.wait(kernel, Retry::Cut)?;
            account.begin_batch();
        }
    }

    #[inline]
    fn run_batch<'k, Q: KeyBytes + ?Sized + 'k, O: KeyOperation<K, V>>(
        &mut self,
        count: usize,
        key: impl Fn(usize) -> &'k Q,
        at_once: impl Fn(View<'_>, usize, Slot<'_>) -> Option<O::Output>,
        mut make: impl FnMut(usize) -> O,
        mut done: impl FnMut(usize, O::Output),
    ) -> Result<usize> {
        let (make, done, flight) = (&mut make, &mut done, &mut Vec::new());
        let (mut at, mut waited) = (0, 0);
        while at < count {
            let end = count.min(at + GROUP);
            let mut waiting = Vec::new();
            let stop = self.run_group(at..end, &key, &at_once, make, done, flight, &mut waiting)?;
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
                    let progress = self.driver.try_again(&self.database.kernel, &mut operation, None, retry)?;
                    match progress {
                        Progress::Done(output) => done(place, output),
                        Progress::Wait(request) => {
                            waited += 1;
                            let hash = KeyHash::of_bytes(key(place).key_bytes());
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
    /// in `waiting`. `at_once` is the short way for those that memory can answer, `make` the whole operation.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "the parts of one batch, which its four callers give")]
    pub(super) fn run_group<'k, Q: KeyBytes + ?Sized + 'k, O: KeyOperation<K, V>>(
        &mut self,
        places: Range<usize>,
        key: &impl Fn(usize) -> &'k Q,
        at_once: &impl Fn(View<'_>, usize, Slot<'_>) -> Option<O::Output>,
        make: &mut impl FnMut(usize) -> O,
        done: &mut impl FnMut(usize, O::Output),
        flight: &[InFlight<O>],
        waiting: &mut Waiting<O>,
    ) -> Result<Option<Stop<O>>> {
        self.driver.tidy_up();
        let kernel = &self.database.kernel;
        let (guard, _) = self.driver.pin(kernel);
        let view = kernel.view(&guard);
        let purpose = if O::WRITES { Purpose::Write } else { Purpose::Read };
        let slots = if view.is_whole() {
            find_group::<K, V, _>(view, places.clone(), key, purpose)
        } else {
            find_group_twice(kernel, &guard, places.clone(), key, purpose)
        };
        let view = view.of_what_was_asked_for();
        let mut stop = None;
        for (place, slot) in places.zip(&slots) {
            let Some(slot) = *slot else { break };
            // Nothing is in flight as long as memory answers. The short way knows nothing of checkpoints and locks.
            let is_short = !guard.heeds_locks()
                && guard.notice().is_none()
                && (!O::WRITES || flight.is_empty() && waiting.is_empty());
            if is_short && let Some(output) = at_once(view, place, slot) {
                done(place, output);
                continue;
            }
            stop = step_whole(kernel, &guard, place, slot, make, done, flight, waiting)?;
            if stop.is_some() {
                break;
            }
        }
        if O::WRITES {
            publish_all();
        }
        Ok(stop)
    }
}

/// Counts what a batch has done, also if a closure of its caller panics.
struct Finished<'a> {
    counter: &'a OwnedCounter,
    count: u64,
}

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.counter.add(self.count);
    }
}

/// A batch that is under way (A3 of the account).
struct BatchTurn(Arc<Account>);

impl Drop for BatchTurn {
    fn drop(&mut self) {
        self.0.end_batch();
    }
}

/// Steps the whole operation at `place`, whose entry is `slot`.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "the parts of one batch")]
fn step_whole<'g, K: Key, V: Value, O: KeyOperation<K, V>>(
    kernel: &'g Kernel<K, V>,
    guard: &'g Guard<'_>,
    place: usize,
    slot: Slot<'g>,
    make: &mut impl FnMut(usize) -> O,
    done: &mut impl FnMut(usize, O::Output),
    flight: &[InFlight<O>],
    waiting: &mut Waiting<O>,
) -> Result<Option<Stop<O>>> {
    let hash = slot.hash();
    if O::WRITES && (flight.iter().any(|o| o.hash == hash) || waiting.iter().any(|w| w.1 == hash)) {
        return Ok(Some(Stop::Order(place)));
    }
    let mut operation = make(place);
    // Whoever has the key locked may have changed its entry since that was looked up.
    let step = if guard.heeds_locks() { operation.step(kernel, guard) } else { operation.step_at(kernel, slot, guard) };
    match step {
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
    Ok(None)
}

/// The index entries of a group's keys, whose records are on their way to the cache.
#[inline(always)]
fn find_group<'g, 'k, K: Key, V: Value, Q: KeyBytes + ?Sized + 'k>(
    view: View<'g>,
    places: Range<usize>,
    key: &impl Fn(usize) -> &'k Q,
    purpose: Purpose,
) -> [Option<Slot<'g>>; GROUP] {
    let mut hashes = [KeyHash::from_raw(0); GROUP];
    let count = places.len().min(GROUP);
    for (hash, place) in hashes.iter_mut().zip(places) {
        *hash = KeyHash::of_bytes(key(place).key_bytes());
        view.prefetch_bucket(*hash);
    }
    let mut slots = [None; GROUP];
    for (slot, hash) in slots.iter_mut().zip(&hashes[..count]) {
        let found = view.find(*hash);
        view.prefetch_record::<K, V>(&found, purpose);
        *slot = Some(found);
    }
    slots
}

/// The same while the index grows: a bucket may have to be looked for in two tables.
#[cold]
#[inline(never)]
fn find_group_twice<'g, 'k, K: Key, V: Value, Q: KeyBytes + ?Sized + 'k>(
    kernel: &'g Kernel<K, V>,
    guard: &'g Guard<'_>,
    places: Range<usize>,
    key: &impl Fn(usize) -> &'k Q,
    purpose: Purpose,
) -> [Option<Slot<'g>>; GROUP] {
    let view = kernel.view(guard);
    let hashes = places.take(GROUP).map(|place| KeyHash::of_bytes(key(place).key_bytes()));
    for hash in hashes.clone() {
        view.prefetch_bucket(hash);
        kernel.index.prefetch_before(hash);
    }
    let mut slots = [None; GROUP];
    for (slot, hash) in slots.iter_mut().zip(hashes) {
        let found = kernel.index.resolve(view.find(hash));
        view.prefetch_record::<K, V>(&found, purpose);
        *slot = Some(found);
    }
    slots
}
