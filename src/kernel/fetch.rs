//! A record that comes from the device: in one access, or in two if it is longer than was expected.

use super::Kernel;
use crate::address::Address;
#[cfg(not(oxifaster_loom))]
use crate::allocator::Place;
use crate::device::{IoDone, IoRequest};
use crate::error::Result;
use crate::record::{Key, Record, RecordLayout, RecordParts, Value};
use crate::sync::{AtomicU64, Ordering};

/// Which record is wanted, and how many bytes from its first on are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch {
    pub(crate) at: Address,
    pub(crate) len: usize,
}

/// What an access brought.
pub(crate) enum Fetched<K, V> {
    Record(Record<K, V>),
    /// The record is longer: it takes another one.
    Longer(Fetch),
}

impl Fetch {
    /// Of the record at `at`, which is on the device.
    #[inline]
    pub(crate) fn of<K: Key, V: Value>(kernel: &Kernel<K, V>, at: Address) -> Self {
        let len = match const { RecordLayout::of::<K, V>().record_size() } {
            Some(size) => size,
            None => kernel.log.fetchable(at, kernel.typical_size.guess()),
        };
        Self { at, len }
    }

    /// The access.
    pub(crate) fn request<K: Key, V: Value>(self, kernel: &Kernel<K, V>) -> IoRequest {
        kernel.log.fetch_request(self.at, self.len)
    }

    /// Takes in what it brought.
    ///
    /// # Errors
    /// The device's error, or [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    pub(crate) fn take<K: Key, V: Value>(self, kernel: &Kernel<K, V>, done: IoDone) -> Result<Fetched<K, V>> {
        let taken = self.take_as(kernel, done, RecordLayout::parse::<K, V>)?;
        Ok(taken.map_or_else(Fetched::Longer, Fetched::Record))
    }

    /// The same as whatever `parse` makes of its bytes.
    ///
    /// # Errors
    /// As for [`take`](Self::take), and those of `parse`.
    pub(crate) fn take_as<K: Key, V: Value, T>(
        self,
        kernel: &Kernel<K, V>,
        done: IoDone,
        parse: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<std::result::Result<T, Self>> {
        let layout = const { RecordLayout::of::<K, V>() };
        if layout.record_size().is_some() {
            return kernel.log.fetched(self.at, self.len, done, parse).map(Ok);
        }
        let noted = |bytes: &[u8]| {
            kernel.typical_size.note(bytes.len());
            parse(bytes)
        };
        let taken = kernel.log.fetched_record(self.at, self.len, layout, done, noted)?;
        Ok(taken.map_err(|len| Self { at: self.at, len }))
    }
}

#[cfg(not(oxifaster_loom))]
impl Fetch {
    /// Of an access for many.
    pub(crate) const fn place(self) -> Place {
        (self.at, self.len)
    }

    /// The same as [`gathered`](Self::gathered), for who does not want the value.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    pub(crate) fn gathered_head<'b, K: Key, V: Value>(
        self,
        kernel: &Kernel<K, V>,
        brought: std::result::Result<&'b [u8], usize>,
    ) -> Result<std::result::Result<RecordParts<'b>, Self>> {
        match self.bytes_of(kernel, brought) {
            Ok(bytes) => const { RecordLayout::of::<K, V>() }.split(bytes).map(Ok),
            Err(longer) => Ok(Err(longer)),
        }
    }

    /// Takes in what was brought with others': the bytes of the record, or how long it is if those are more.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    pub(crate) fn gathered<K: Key, V: Value>(
        self,
        kernel: &Kernel<K, V>,
        brought: std::result::Result<&[u8], usize>,
    ) -> Result<Fetched<K, V>> {
        match self.bytes_of(kernel, brought) {
            Ok(bytes) => RecordLayout::parse::<K, V>(bytes).map(Fetched::Record),
            Err(longer) => Ok(Fetched::Longer(longer)),
        }
    }

    /// The bytes of a record that was brought, or the access to all of it.
    pub(crate) fn bytes_of<'b, K: Key, V: Value>(
        self,
        kernel: &Kernel<K, V>,
        brought: std::result::Result<&'b [u8], usize>,
    ) -> std::result::Result<&'b [u8], Self> {
        let bytes = brought.map_err(|len| Self { at: self.at, len })?;
        if const { RecordLayout::of::<K, V>().record_size().is_none() } {
            kernel.typical_size.note(bytes.len());
        }
        Ok(bytes)
    }
}

/// A moving average of how long records are, where they are of any length.
pub(crate) struct TypicalSize(AtomicU64);

impl TypicalSize {
    /// Of so many records the last one counts for one part.
    const WEIGHT: i64 = 16;

    pub(crate) fn new(size: usize) -> Self {
        Self(AtomicU64::new(size as u64))
    }

    /// Bytes of a record.
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Bytes that most records are not longer than: what a read asks for costs more when it is asked for twice.
    fn guess(&self) -> usize {
        let size = self.get() as usize;
        (size + size / 4).max(16)
    }

    /// Takes a record's size in. One of two threads may be overheard.
    pub(crate) fn note(&self, size: usize) {
        let known = self.get() as i64;
        let moved = known + (size as i64 - known) / Self::WEIGHT;
        if moved != known {
            self.0.store(moved.max(1) as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn what_is_typical_follows_what_there_is() {
        let typical = TypicalSize::new(100);
        for _ in 0..200 {
            typical.note(5000);
        }
        assert!((4900..=5000).contains(&typical.get()), "{}", typical.get());
        assert!(typical.guess() >= 5000);
        for _ in 0..200 {
            typical.note(24);
        }
        assert!((24..=48).contains(&typical.get()), "{}", typical.get());
    }
}
