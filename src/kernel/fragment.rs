//! Writing and reading fragments of large values. R9 of [`crate::record`].

use super::{Kernel, stamp};
use crate::address::Address;
use crate::allocator::Allocation;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::Result;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Fragment, Key, RecordLayout, Value, Wanted};
use crate::sync::Ordering;

/// A fragment that is to be written.
pub(crate) struct NewFragment {
    /// Which one. The title of a title is not known before it is written.
    pub(crate) fragment: Fragment,
    /// The key, in a title.
    pub(crate) key: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// Appends a fragment. It belongs to nothing until a root leads to it.
pub(crate) struct AppendFragmentOp {
    new: NewFragment,
    /// No bound on the log holds it up: it makes room for others.
    is_urgent: bool,
}

impl AppendFragmentOp {
    pub(crate) const fn new(new: NewFragment, is_urgent: bool) -> Self {
        Self { new, is_urgent }
    }
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for AppendFragmentOp {
    /// Where it lies, and the memory of its bytes.
    type Output = (Address, Vec<u8>);

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<Self::Output> {
        let layout = const { RecordLayout::of::<K, V>() };
        let NewFragment { fragment, key, bytes } = &mut self.new;
        let size = Fragment::sizes(layout, key.len(), bytes.len()).record_size();
        let log = &kernel.log;
        let allocation = if self.is_urgent { log.allocate_urgent(size, guard) } else { log.allocate(size, guard) };
        let at = match allocation {
            Ok(Allocation::At(at)) => at,
            Ok(Allocation::NoRoom) => return Step::Retry(Retry::Room),
            Err(error) => return Step::Failed(error),
        };
        if fragment.level == Fragment::TITLE {
            fragment.title = at;
        }
        let version = stamp(kernel.moment(guard).version);
        fragment.write(log.space(at, size, guard), layout, version, key, bytes);
        kernel.fragment_bytes.fetch_add(size as u64, Ordering::Relaxed);
        Step::Done((at, std::mem::take(bytes)))
    }

    fn resume(&mut self, _: &Kernel<K, V>, _: IoDone) -> Result<()> {
        Ok(()) // it asks the device for nothing
    }
}

/// Reads a fragment, which the device keeps.
pub(crate) struct ReadFragmentOp {
    at: Address,
    fragment: Fragment,
    len: usize,
    /// Its record, once it has come from the device.
    record: Option<Vec<u8>>,
}

/// The bytes of a fragment.
#[derive(Debug, Default)]
pub(crate) struct FragmentBytes {
    record: Vec<u8>,
    from: usize,
}

impl std::ops::Deref for FragmentBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.record.get(self.from..).unwrap_or_default()
    }
}

impl FragmentBytes {
    /// Of bytes that are all of it.
    pub(crate) const fn whole(bytes: Vec<u8>) -> Self {
        Self { record: bytes, from: 0 }
    }

    /// Lets go of the first `len` bytes.
    pub(crate) fn advance(&mut self, len: usize) {
        self.from = self.from.saturating_add(len).min(self.record.len());
    }

    /// Goes to `place` of bytes that are [whole](Self::whole), also backwards.
    pub(crate) fn go_to(&mut self, place: usize) {
        self.from = place.min(self.record.len());
    }

    /// The memory, for other bytes.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        self.record.drain(..self.from.min(self.record.len()));
        self.record
    }
}

impl ReadFragmentOp {
    pub(crate) const fn new(wanted: &Wanted) -> Self {
        let Wanted { at, fragment, len } = *wanted;
        Self { at, fragment, len, record: None }
    }

    fn size(&self, layout: RecordLayout) -> usize {
        Fragment::sizes(layout, 0, self.len).record_size()
    }

    fn made(&self, layout: RecordLayout, mut record: Vec<u8>) -> Result<FragmentBytes> {
        let from =
            self.fragment.bytes_in(layout, &record, self.len).map_err(|error| error.with("log address", self.at))?;
        record.truncate(from + self.len);
        Ok(FragmentBytes { record, from })
    }
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for ReadFragmentOp {
    type Output = FragmentBytes;

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<FragmentBytes> {
        let layout = const { RecordLayout::of::<K, V>() };
        let size = self.size(layout);
        let view = kernel.log.view(guard);
        let record = match self.record.take() {
            Some(record) => record,
            None if size as u64 > kernel.log.geometry().page().rest(self.at) => Vec::new(),
            None if self.at >= view.head() => {
                // Nobody has changed it since it was written, which was before the root could be seen (R9).
                let mut bytes = vec![0; size];
                crate::memory::load_bytes(kernel.log.words(self.at, size, guard), &mut bytes);
                bytes
            }
            None => return Step::Wait(kernel.log.fetch_request(self.at, size)),
        };
        match self.made(layout, record) {
            Ok(bytes) => Step::Done(bytes),
            Err(error) => Step::Failed(error),
        }
    }

    fn resume(&mut self, kernel: &Kernel<K, V>, done: IoDone) -> Result<()> {
        let size = self.size(const { RecordLayout::of::<K, V>() });
        self.record = Some(kernel.log.fetched(self.at, size, done, |bytes| Ok(bytes.to_vec()))?);
        Ok(())
    }
}
