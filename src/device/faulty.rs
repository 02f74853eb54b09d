//! A device that fails when told to.

mod channel;

use super::sync_failure::SyncFailure;
use super::{CompletionSink, DeviceInfo, IoChannel, IoDone, IoOp, IoRequest, StorageDevice, Token};
use crate::error::{Error, ErrorKind, Result};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Decorates a device with faults, delays and counters, all directed through its [`FaultPlan`].
///
/// It keeps the contract of a device itself: an injected sync failure is sticky (C7), and what is held when it is dropped
/// completes with an error (C1, C2).
#[derive(Debug)]
pub struct FaultyDisk<D: StorageDevice> {
    device: Arc<D>,
    plan: FaultPlan,
}

/// The handle that directs a [`FaultyDisk`]. Clones direct the same device, and do not keep it alive.
#[derive(Clone)]
pub struct FaultPlan {
    control: Arc<Control>,
}

/// How many accesses a [`FaultyDisk`] was asked for, whatever became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoCounts {
    /// Reads.
    pub reads: u64,
    /// Bytes that the reads asked for.
    pub read_bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Bytes that the writes brought.
    pub written_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Truncations.
    pub truncations: u64,
}

struct Control {
    device: Weak<dyn StorageDevice>,
    state: Mutex<State>,
    held_more: Condvar,
    sync_failure: SyncFailure,
}

#[derive(Default)]
struct State {
    counts: IoCounts,
    faults: Vec<Fault>,
    broken: Ops,
    paused: Ops,
    held: Vec<Access>,
    corruptions: Vec<Corruption>,
}

/// A set of operations.
#[derive(Debug, Clone, Copy, Default)]
struct Ops(u8);

/// Accesses of one kind that fail, by their numbers from 1 on.
struct Fault {
    op: IoOp,
    numbers: Range<u64>,
    kind: io::ErrorKind,
}

#[derive(Debug, Clone, Copy)]
struct Corruption {
    offset: u64,
    mask: u8,
}

struct Access {
    request: IoRequest,
    sink: Arc<dyn CompletionSink>,
    token: Token,
    fault: Option<io::ErrorKind>,
}

impl Ops {
    const ALL: Self = Self(u8::MAX);
    const READS: Self = Self::of(IoOp::Read);
    const WRITES: Self = Self(!Self::READS.0);

    const fn of(op: IoOp) -> Self {
        Self(1 << op as u8)
    }

    fn contains(self, op: IoOp) -> bool {
        self.0 & Self::of(op).0 != 0
    }
}

impl<D: StorageDevice> FaultyDisk<D> {
    /// Decorates `device`; it works as before until its plan says otherwise.
    pub fn new(device: D) -> Self {
        let device = Arc::new(device);
        let control = Control {
            device: Arc::downgrade(&device) as Weak<dyn StorageDevice>,
            state: Mutex::default(),
            held_more: Condvar::new(),
            sync_failure: SyncFailure::default(),
        };
        Self { device, plan: FaultPlan { control: Arc::new(control) } }
    }

    /// The handle that directs this device.
    pub fn plan(&self) -> FaultPlan {
        self.plan.clone()
    }

    /// The decorated device.
    pub fn get_ref(&self) -> &D {
        &self.device
    }
}

impl FaultPlan {
    /// Lets the `nth` access of kind `op` from now on fail (1 is the next one), and only that one.
    pub fn fail_nth(&self, op: IoOp, nth: u64, kind: io::ErrorKind) {
        self.fail(op, nth, 1, kind);
    }

    /// Lets the `nth` access of kind `op` from now on fail (1 is the next one), and all that follow it.
    pub fn fail_from(&self, op: IoOp, nth: u64, kind: io::ErrorKind) {
        self.fail(op, nth, u64::MAX, kind);
    }

    fn fail(&self, op: IoOp, nth: u64, count: u64, kind: io::ErrorKind) {
        let mut state = self.control.state();
        let first = state.counts.of(op).saturating_add(nth);
        state.faults.push(Fault { op, numbers: first..first.saturating_add(count), kind });
    }

    /// Lets every access fail until the device is repaired.
    pub fn break_now(&self) {
        self.break_ops(Ops::ALL);
    }

    /// Lets every read fail until the device is repaired.
    pub fn break_reads(&self) {
        self.break_ops(Ops::READS);
    }

    /// Lets everything but reads fail until the device is repaired.
    pub fn break_writes(&self) {
        self.break_ops(Ops::WRITES);
    }

    fn break_ops(&self, ops: Ops) {
        let mut state = self.control.state();
        state.broken = Ops(state.broken.0 | ops.0);
    }

    /// Ends every fault and corruption, planned or present. A sync that failed stays failed, as with any device.
    pub fn repair(&self) {
        let mut state = self.control.state();
        state.broken = Ops::default();
        state.faults.clear();
        state.corruptions.clear();
    }

    /// Flips the bits of `mask` in the byte at `offset` of the device in every read that covers it. What is stored stays
    /// as it is.
    pub fn corrupt_reads_at(&self, offset: u64, mask: u8) {
        self.control.state().corruptions.push(Corruption { offset, mask });
    }

    /// Holds every access that is submitted from now on, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.control.state().paused = Ops::ALL;
    }

    /// Holds the accesses of kind `op`, besides those held already.
    pub fn pause_only(&self, op: IoOp) {
        let mut state = self.control.state();
        state.paused = Ops(state.paused.0 | Ops::of(op).0);
    }

    /// Carries out what is held, in the order in which it came, and holds nothing any more.
    pub fn resume(&self) {
        let held = {
            let mut state = self.control.state();
            state.paused = Ops::default();
            std::mem::take(&mut state.held)
        };
        let device = self.control.device.upgrade();
        for access in held {
            match &device {
                Some(device) => self.control.perform(&**device, access),
                None => access.fail(closed()),
            }
        }
    }

    /// How many accesses are held.
    pub fn held(&self) -> usize {
        self.control.state().held.len()
    }

    /// Waits until at least `count` accesses are held; false if that does not happen within `timeout`.
    pub fn wait_until_held(&self, count: usize, timeout: Duration) -> bool {
        let state = self.control.state();
        let waited = self.control.held_more.wait_timeout_while(state, timeout, |state| state.held.len() < count);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.held.len() >= count
    }

    /// What the device was asked for so far.
    pub fn counts(&self) -> IoCounts {
        self.control.state().counts
    }
}

impl std::fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.control.state();
        f.debug_struct("FaultPlan")
            .field("counts", &state.counts)
            .field("held", &state.held.len())
            .field("broken", &state.broken)
            .finish_non_exhaustive()
    }
}

impl<D: StorageDevice> StorageDevice for FaultyDisk<D> {
    fn info(&self) -> DeviceInfo {
        self.device.info()
    }

    fn submit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) {
        if let Err(error) = request.check(self.device.info().sector_size) {
            return sink.complete(token, request.failed(error));
        }
        let control = &self.plan.control;
        if let Some(access) = control.admit(request, sink, token) {
            control.perform(&*self.device, access);
        }
    }

    fn poll(&self) -> usize {
        self.device.poll()
    }

    fn channel(&self) -> Option<Box<dyn IoChannel>> {
        let (control, channel) = (Arc::clone(&self.plan.control), self.device.channel()?);
        Some(Box::new(channel::FaultyChannel::new(control, self.device.info().sector_size, channel)))
    }
}

impl<D: StorageDevice> Drop for FaultyDisk<D> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.plan.control.state().held);
        for access in held {
            access.fail(closed());
        }
    }
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the access and says what is planned for it; `None` if it is held.
    fn admit(&self, request: IoRequest, sink: Arc<dyn CompletionSink>, token: Token) -> Option<Access> {
        let mut state = self.state();
        let fault = state.count(&request);
        let access = Access { request, sink, token, fault };
        if state.paused.contains(access.request.op) {
            state.held.push(access);
            self.held_more.notify_all();
            return None;
        }
        Some(access)
    }

    fn perform(self: &Arc<Self>, device: &dyn StorageDevice, access: Access) {
        if let Err(error) = self.judge(&access) {
            return access.fail(error);
        }
        let Access { request, sink, token, .. } = access;
        let corruptions = self.corruptions_of(&request);
        if corruptions.is_empty() {
            device.submit(request, sink, token);
        } else {
            let first = request.offset;
            device.submit(request, Arc::new(CorruptingSink { sink, first, corruptions }), token);
        }
    }

    /// The error that `access` meets, if it meets one.
    fn judge(&self, access: &Access) -> Result<()> {
        let op = access.request.op;
        self.sync_failure.check(op)?;
        let broken = self.state().broken.contains(op).then_some(io::ErrorKind::Other);
        let Some(kind) = access.fault.or(broken) else { return Ok(()) };
        let error = Error::new(ErrorKind::Io, "a fault was injected")
            .with("operation", format_args!("{op:?}"))
            .with("offset", access.request.offset)
            .because(io::Error::from(kind));
        if op == IoOp::Sync {
            self.sync_failure.record(&error);
        }
        Err(error)
    }

    fn corruptions_of(&self, request: &IoRequest) -> Vec<Corruption> {
        if request.op != IoOp::Read {
            return Vec::new();
        }
        let covered = request.offset..request.offset + request.len as u64;
        self.state().corruptions.iter().copied().filter(|corruption| covered.contains(&corruption.offset)).collect()
    }
}

impl State {
    /// Counts `request` and says whether a fault was planned for its number.
    fn count(&mut self, request: &IoRequest) -> Option<io::ErrorKind> {
        let len = request.len as u64;
        match request.op {
            IoOp::Read => {
                self.counts.reads += 1;
                self.counts.read_bytes += len;
            }
            IoOp::Write => {
                self.counts.writes += 1;
                self.counts.written_bytes += len;
            }
            IoOp::Sync => self.counts.syncs += 1,
            IoOp::TruncateBefore => self.counts.truncations += 1,
        }
        let number = self.counts.of(request.op);
        self.faults
            .iter()
            .find(|fault| fault.op == request.op && fault.numbers.contains(&number))
            .map(|fault| fault.kind)
    }
}

impl IoCounts {
    fn of(&self, op: IoOp) -> u64 {
        match op {
            IoOp::Read => self.reads,
            IoOp::Write => self.writes,
            IoOp::Sync => self.syncs,
            IoOp::TruncateBefore => self.truncations,
        }
    }
}

impl Access {
    fn fail(self, error: Error) {
        self.sink.complete(self.token, self.request.failed(error));
    }
}

/// Flips bits in what was read on its way to the sink.
struct CorruptingSink {
    sink: Arc<dyn CompletionSink>,
    /// Where on the device the read began.
    first: u64,
    corruptions: Vec<Corruption>,
}

impl CompletionSink for CorruptingSink {
    fn complete(&self, token: Token, mut done: IoDone) {
        corrupt(&mut done, self.first, &self.corruptions);
        self.sink.complete(token, done);
    }
}

/// Flips bits in what was read from `first` on.
fn corrupt(done: &mut IoDone, first: u64, corruptions: &[Corruption]) {
    let read = *done.result.as_ref().unwrap_or(&0) as u64;
    for corruption in corruptions {
        let index = corruption.offset - first;
        if index < read {
            done.buf[index as usize] ^= corruption.mask;
        }
    }
}

#[cold]
fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the device was dropped while the access was held")
}
