//! The store's core: an index, a log, and the operations on both. It knows nothing of sessions, threads or waiting.
//!
//! * **K1** All that is in the store is reached from index entries: an entry holds the newest record of a chain, each
//!   record's `previous` the next older one. Every structural change is one compare-and-swap of the entry, whole.
//! * **K2** A record is copied only where nobody can still change it: below `safe_read_only` or what a checkpoint has
//!   settled, or on the device. (What is found fuzzy by an operation that needs the old value is waited for.)
//! * **K3** A record is changed in place only at or above `mutable_from`, as seen by a pinned thread: the log's `read_only` and
//!   what is frozen, or above all addresses in a store whose every change is to be in the log.
//!   Nor where the record is sealed or closed (R7, R8 of [`crate::record`]): that one may be copied, as in K2.
//! * **K4** What was found out about a chain at or below some record stays true: chains grow at the head only. So an
//!   operation that comes back from the device searches only what was added meanwhile.
//!   While a checkpoint is under way, versions say more about it: [`version`].
//!   What ended is there for nobody, but for the chain: [`expiry`].
//! * **K5** No step reads the device or waits. What a step allocated it publishes or marks invalid before it returns.

mod above;
mod append;
mod below;
mod conditional_insert;
#[cfg(not(oxifaster_loom))]
mod copies;
mod cut;
mod delete;
mod expiry;
mod fetch;
mod find;
mod fragment;
mod group;
mod is_newest;
mod learn;
mod locked;
mod logic;
mod look;
#[cfg(all(test, oxifaster_loom))]
mod loom;
mod read;
mod records;
mod revive;
mod rmw;
mod root;
mod show;
mod upsert;
mod version;
mod view;

use crate::address::Address;
use crate::allocator::HybridLog;
use crate::cache::{Copied, ReadCache};
use crate::clock::{StoreClock, Watch};
use crate::epoch::Guard;
use crate::index::{MemIndex, ShrinkStage, Slot};
use crate::locks::{LockTable, Stripe};
use crate::operation::{Environment, Operation, Step};
use crate::record::{Key, KeyBytes, RecordLayout, Value};
use crate::sync::{Arc, AtomicU64, MonotonicU64};
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::task::Waker;
use std::time::Duration;

pub(crate) use above::Extent;
pub(crate) use conditional_insert::ConditionalInsertOp;
#[cfg(not(oxifaster_loom))]
pub(crate) use copies::LogCopier;
pub(crate) use cut::{Cut, Surroundings, closed_tail};
pub(crate) use delete::DeleteOp;
use fetch::TypicalSize;
pub(crate) use fetch::{Fetch, Fetched};
pub(crate) use fragment::{AppendFragmentOp, FragmentBytes, NewFragment, ReadFragmentOp};
pub(crate) use group::{GroupOp, Write};
pub(crate) use is_newest::IsNewestOp;
pub(crate) use learn::LearnOp;
pub(crate) use logic::{Fate, IfThere, Insert, Merging, Modify, When};
pub(crate) use look::LookOp;
pub(crate) use read::ReadOp;
pub(crate) use records::LogRecords;
pub(crate) use rmw::RmwOp;
pub(crate) use root::PublishRootOp;
pub(crate) use show::{ShowOp, Shown};
pub(crate) use upsert::UpsertOp;
pub(crate) use version::{Versions, stamp};
pub(crate) use view::View;

/// Index and log for keys `K` and values `V`. The index looks at the log while it grows, and goes before it.
pub(crate) struct Kernel<K, V> {
    pub(crate) index: MemIndex,
    pub(crate) log: HybridLog,
    pub(crate) cache: Option<ReadCache>,
    pub(crate) versions: Versions,
    /// Below lies nothing any more that anybody may want, a scan or checkpoint of an older state included.
    pub(crate) kept_from: Arc<MonotonicU64>,
    /// Records below are looked up by a compaction, or were: no root is published of fragments that lie there.
    pub(crate) looked_up_below: MonotonicU64,
    /// How long records are.
    pub(crate) typical_size: TypicalSize,
    /// Bytes of the fragments of large values that were written so far.
    pub(crate) fragment_bytes: AtomicU64,
    /// There once a key was locked.
    locks: OnceLock<LockTable>,
    /// For values that end.
    watch: Watch,
    wait_limit: Duration,
    schema: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> Kernel<K, V> {
    const LAYOUT: RecordLayout = RecordLayout::of::<K, V>();

    pub(crate) fn new(
        index: MemIndex,
        log: HybridLog,
        cache: Option<ReadCache>,
        version: u64,
        wait_limit: Duration,
    ) -> Self {
        let kept_from = Arc::new(MonotonicU64::new(log.begin().get()));
        let (versions, typical_size) = (Versions::new(version), TypicalSize::new(Self::LAYOUT.planned_size()));
        let (locks, watch, schema) = (OnceLock::new(), Watch::new(StoreClock::default()), PhantomData);
        let (looked_up_below, fragment_bytes) = (MonotonicU64::new(0), AtomicU64::new(0));
        Self {
            index,
            log,
            cache,
            versions,
            kept_from,
            looked_up_below,
            typical_size,
            fragment_bytes,
            locks,
            watch,
            wait_limit,
            schema,
        }
    }

    /// The same with another clock.
    pub(crate) fn with_clock(self, clock: StoreClock) -> Self {
        Self { watch: Watch::new(clock), ..self }
    }
}

impl<K: Key, V: Value> Kernel<K, V> {
    /// Whether nobody wants the record at `address` any more.
    pub(crate) fn is_given_up(&self, address: Address) -> bool {
        address.get() < self.kept_from.get()
    }

    /// The newest record in the log of the chain of `slot`, behind the copies in the read cache.
    #[inline]
    pub(crate) fn newest(&self, slot: &Slot<'_>, guard: &Guard<'_>) -> Address {
        self.in_log(slot.address(), guard)
    }

    /// The same for a chain that begins at `address`.
    #[inline]
    pub(crate) fn in_log(&self, address: Address, guard: &Guard<'_>) -> Address {
        match &self.cache {
            Some(cache) if address.is_cached() => cache.behind(address, guard),
            _ => address,
        }
    }

    /// A copy of the key's newest record in the read cache, if there is one.
    #[inline]
    pub(crate) fn cached<'g>(
        &'g self,
        key: &(impl KeyBytes + ?Sized),
        slot: &Slot<'g>,
        guard: &'g Guard<'_>,
    ) -> Option<Copied<'g>> {
        self.cache.as_ref().and_then(|cache| cache.find::<K, V>(key, slot.address(), guard).ok())
    }

    /// Keeps a copy of what was read from the device, if nothing was added to the chain whose newest record was `newest`.
    #[inline]
    pub(crate) fn keep(&self, key: &(impl KeyBytes + ?Sized), value: &V, newest: Address, guard: &Guard<'_>) {
        if let Some(cache) = &self.cache {
            cache.add::<K, V>(&self.index, key, value, newest, guard);
        }
    }

    /// Keeps an old copy that was read, and was found in the chain of `slot`.
    #[inline]
    pub(crate) fn renew(&self, slot: Slot<'_>, key: &(impl KeyBytes + ?Sized), value: &V, guard: &Guard<'_>) {
        if let Some(cache) = &self.cache {
            cache.renew::<K, V>(&self.index, slot, key, value, guard);
        }
    }
}

/// An operation on one key, which can be begun from an index entry that was looked up by somebody else.
pub(crate) trait KeyOperation<K: Key, V: Value>: Operation<Kernel<K, V>> {
    /// True if it may write. Then two of these on the same key keep their order.
    const WRITES: bool;
    /// True if it may change something in the chain of its key.
    const APPENDS: bool = Self::WRITES;

    /// Goes as far as it can from `slot`, which was found for the operation's key under this pin.
    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<Self::Output>;
}

/// An operation that goes down a chain, and on the device from record to record.
pub(crate) trait Descent<K: Key, V: Value>: KeyOperation<K, V> {
    /// The record that the last step waited for.
    fn wanted(&self) -> Option<Fetch>;

    /// Takes in what was brought of that record, in place of [`resume`](Operation::resume). The output, if there is nothing more
    /// to be done.
    fn take_in(&mut self, kernel: &Kernel<K, V>, fetched: Fetched<K, V>) -> Option<Self::Output>;
}

impl<K: Key, V: Value> Environment for Kernel<K, V> {
    fn log(&self) -> &HybridLog {
        &self.log
    }

    fn version(&self, guard: &Guard<'_>) -> u64 {
        self.moment(guard).version
    }

    fn wait_limit(&self) -> Duration {
        self.wait_limit
    }

    fn wake_on_release(&self, stripe: Stripe, waker: &Waker) {
        if let Some(locks) = self.locks() {
            locks.wake_on_release(stripe, waker);
        }
    }

    fn help_with_entries(&self) -> Option<&'static str> {
        (self.index.shrink_stage() != ShrinkStage::Over).then_some(
            "the index shrinks, and whoever had it do so did not end that, maybe because the device failed: FasterKv::shrink_index does, \
             and so do a checkpoint and a compaction",
        )
    }
}
