//! A blocking device that obeys a test.

use super::*;

/// A blocking device that keeps nothing, and misbehaves on demand.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) sync_fails: AtomicBool,
    pub(crate) panics: AtomicBool,
    pub(crate) syncs: AtomicUsize,
    pub(crate) gate: Gate,
}

/// Holds calls while it is closed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: Mutex<bool>,
    arrived: AtomicUsize,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn set_closed(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        self.arrived.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(closed, PATIENCE, |closed| *closed).unwrap());
    }

    pub(crate) fn wait_until_arrived(&self, count: usize) {
        let closed = self.closed.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(closed, PATIENCE, |_| self.arrived.load(Ordering::Acquire) < count)
            .unwrap();
        assert!(!waited.1.timed_out(), "{count} calls arrive");
    }
}

impl BlockingDevice for Scripted {
    fn info(&self) -> DeviceInfo {
        DeviceInfo::new(SECTOR).with_readable(false)
    }

    fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        self.gate.pass();
        Err(Error::new(ErrorKind::Limit, "nothing to read"))
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> Result<()> {
        self.gate.pass();
        assert!(!self.panics.load(Ordering::Acquire), "the device is out of its mind");
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::AcqRel);
        self.gate.pass();
        match self.sync_fails.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Io, "the platter is scratched")),
            false => Ok(()),
        }
    }

    fn truncate_before(&self, _offset: u64) -> Result<()> {
        Ok(())
    }
}
