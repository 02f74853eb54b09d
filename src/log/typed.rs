//! A log of values.

use super::durable::Durable;
use super::faster_log::FasterLog;
use super::scan::LogScan;
use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::ops::RangeBounds;

/// Turns values into the bytes of entries, and back.
pub trait Codec<T> {
    /// Adds the bytes of `value` to `bytes`.
    ///
    /// # Errors
    /// If the value has no such form.
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()>;

    /// The value that `bytes` are the form of.
    ///
    /// # Errors
    /// If they are of none.
    fn decode(&self, bytes: &[u8]) -> Result<T>;
}

/// Values as JSON: larger and slower than others, and readable by everybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(bytes, value).map_err(has_no_form)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(is_no_form)
    }
}

/// Values in postcard's form: small and fast. The feature `postcard`.
#[cfg(feature = "postcard")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Postcard;

#[cfg(feature = "postcard")]
impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        *bytes = postcard::to_extend(value, std::mem::take(bytes)).map_err(has_no_form)?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T> {
        postcard::from_bytes(bytes).map_err(is_no_form)
    }
}

fn has_no_form(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Config, "a value cannot be written as an entry of the log").because(error)
}

fn is_no_form(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, "an entry of the log is no such value")
        .because(error)
        .help("read it with the type and the codec that it was written with")
}

/// A [`FasterLog`] whose entries are values.
///
/// ```
/// use oxifaster::device::MemoryDisk;
/// use oxifaster::log::{FasterLog, FasterLogConfig, TypedLog};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, PartialEq, Debug)]
/// enum Event {
///     Opened { account: u64 },
///     Paid { account: u64, cents: i64 },
/// }
///
/// # fn main() -> oxifaster::Result<()> {
/// let log: TypedLog<Event> = TypedLog::new(FasterLog::open(FasterLogConfig::default(), MemoryDisk::new())?);
/// let opened = log.append(&Event::Opened { account: 7 })?;
/// log.append_and_wait(&Event::Paid { account: 7, cents: 1250 })?;
/// assert_eq!(log.read_entry(opened)?, Event::Opened { account: 7 });
/// let all: Vec<Event> = log.scan(..).map(|entry| entry.map(|(_, event)| event)).collect::<Result<_, _>>()?;
/// assert_eq!(all[1], Event::Paid { account: 7, cents: 1250 });
/// # Ok(())
/// # }
/// ```
pub struct TypedLog<T, C = Json> {
    log: FasterLog,
    codec: C,
    values: PhantomData<fn(T) -> T>,
}

impl<T, C: Codec<T> + Default> TypedLog<T, C> {
    /// The values in `log`.
    pub fn new(log: FasterLog) -> Self {
        Self::with_codec(log, C::default())
    }
}

impl<T, C: Codec<T>> TypedLog<T, C> {
    /// The values in `log`, in the form of `codec`.
    pub const fn with_codec(log: FasterLog, codec: C) -> Self {
        Self { log, codec, values: PhantomData }
    }

    /// The log itself: for commits, cursors, numbers and truncation.
    pub const fn log(&self) -> &FasterLog {
        &self.log
    }

    /// The log itself.
    pub fn into_log(self) -> FasterLog {
        self.log
    }

    fn bytes(&self, value: &T) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.codec.encode(value, &mut bytes)?;
        Ok(bytes)
    }

    /// See [`FasterLog::append`].
    ///
    /// # Errors
    /// As for `append`, and those of the codec.
    pub fn append(&self, value: &T) -> Result<Address> {
        self.log.append(&self.bytes(value)?)
    }

    /// See [`FasterLog::try_append`].
    ///
    /// # Errors
    /// As for `try_append`, and those of the codec.
    pub fn try_append(&self, value: &T) -> Result<Option<Address>> {
        self.log.try_append(&self.bytes(value)?)
    }

    /// See [`FasterLog::append_and_wait`].
    ///
    /// # Errors
    /// As for `append_and_wait`, and those of the codec.
    pub fn append_and_wait(&self, value: &T) -> Result<Address> {
        self.log.append_and_wait(&self.bytes(value)?)
    }

    /// See [`FasterLog::append_async`].
    ///
    /// # Errors
    /// As for `append_async`, and those of the codec.
    pub fn append_async(&self, value: &T) -> Result<Durable> {
        self.log.append_async(&self.bytes(value)?)
    }

    /// The value at `address`, durable or not yet.
    ///
    /// # Errors
    /// As for [`FasterLog::read_entry`], and those of the codec.
    pub fn read_entry(&self, address: Address) -> Result<T> {
        self.codec.decode(&self.log.read_entry(address)?)
    }

    /// The durable values whose addresses lie in `range`, oldest first. See [`FasterLog::scan`].
    pub fn scan(&self, range: impl RangeBounds<Address>) -> TypedScan<'_, T, C> {
        TypedScan { scan: self.log.scan(range), codec: &self.codec, values: PhantomData }
    }
}

/// Goes through the values of a log. See [`TypedLog::scan`].
pub struct TypedScan<'l, T, C> {
    scan: LogScan,
    codec: &'l C,
    values: PhantomData<fn() -> T>,
}

impl<T, C: Codec<T>> TypedScan<'_, T, C> {
    /// Where the scan goes on. See [`LogScan::position`].
    pub fn position(&self) -> Address {
        self.scan.position()
    }

    /// See [`LogScan::next_async`].
    ///
    /// # Errors
    /// As for `next_async`, and those of the codec.
    pub async fn next_async(&mut self) -> Option<Result<(Address, T)>> {
        let entry = self.scan.next_async().await?;
        Some(entry.and_then(|(address, data)| Ok((address, self.codec.decode(&data)?))))
    }
}

impl<T, C: Codec<T>> Iterator for TypedScan<'_, T, C> {
    type Item = Result<(Address, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.scan.next_entry().transpose()?;
        Some(value.and_then(|(address, data)| Ok((address, self.codec.decode(data)?))))
    }
}
