//! Writing a value piece by piece, in a call or through [`std::io::Write`].

use super::assembly::Assembly;
use super::io_error;
use super::relocate::copied;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{AppendFragmentOp, PublishRootOp};
use crate::record::{Fragment, Key, KeyBytes, RecordLayout, Root, Value, made_of};
use crate::store::compact::Hold;
use crate::store::database::Database;
use crate::store::session::Session;
use std::io::{self, Read, Write};

/// Bytes that are taken from a reader at a time.
const CHUNK: usize = 64 << 10;

/// What is being written of a value, and may become one.
pub(super) struct Draft<K> {
    pub(super) key: K,
    pub(super) assembly: Assembly,
    /// Keeps the fragments on the device.
    pub(super) hold: Hold,
    /// The length that was told beforehand.
    told: Option<u64>,
    /// Bytes are being taken in: if that is where it was left, nobody knows how many of them are part of the value.
    is_within_write: bool,
}

impl<K: Key> Draft<K> {
    /// # Errors
    /// [`ErrorKind::Limit`] if there can be no such value.
    pub(super) fn new<V: Value>(database: &Database<K, V>, key: K, told: Option<u64>) -> Result<Self> {
        const { assert!(V::FIXED.is_none(), "values of one length are never written piece by piece") }
        let key_len = key.as_bytes().len();
        check_len(told.unwrap_or(0))?;
        let shortest =
            usize::try_from(told.unwrap_or(u64::MAX)).map_or(Root::SIZE_MAX, |told| told.min(Root::SIZE_MAX));
        database.kernel.check_size(key_len, shortest)?;
        let leaf = Fragment::leaf_size(const { RecordLayout::of::<K, V>() }, database.kernel.log.record_size_max());
        let assembly = Assembly::new(key.key_bytes(), leaf);
        Ok(Self { key, assembly, hold: database.hold_log(), told, is_within_write: false })
    }

    /// Begins to take bytes in, or to commit.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if that was begun before, and failed or was given up.
    pub(super) fn begin_write(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_within_write, true) {
            return Err(Error::new(ErrorKind::Cancelled, "a write of the large value failed or was given up before")
                .help("drop the writer and begin anew: nothing of the value can be seen"));
        }
        Ok(())
    }

    /// All bytes of a write were taken in.
    pub(super) fn end_write(&mut self) {
        self.is_within_write = false;
    }

    /// That `more` bytes may come.
    pub(super) fn check(&self, more: usize) -> Result<()> {
        let len = self.assembly.len().saturating_add(more as u64);
        match self.told {
            Some(told) if len > told => Err(Error::new(ErrorKind::Limit, "more bytes of a value come than were told")
                .with("bytes told", told)
                .with("bytes", len)
                .help("nothing of the value can be seen; tell no length if it is not known")),
            _ => check_len(len),
        }
    }

    /// That all bytes have come.
    pub(super) fn check_is_whole(&self) -> Result<()> {
        match self.told {
            Some(told) if self.assembly.len() < told => {
                Err(Error::new(ErrorKind::Limit, "fewer bytes of a value came than were told")
                    .with("bytes told", told)
                    .with("bytes", self.assembly.len())
                    .help("nothing of the value can be seen; tell no length if it is not known"))
            }
            _ => Ok(()),
        }
    }

    /// The bytes, if they are few enough to be a value like any other.
    pub(super) fn ordinary<V: Value>(&self, database: &Database<K, V>) -> Result<Option<V>> {
        let fits = |bytes: &&[u8]| database.kernel.check_size(self.key.as_bytes().len(), bytes.len()).is_ok();
        let Some(bytes) = self.assembly.only_leaf().filter(fits) else { return Ok(None) };
        made_of(bytes).map(Some)
    }

    /// Fragments were written.
    pub(super) fn note_written(&mut self) {
        if let Some(title) = self.assembly.title() {
            self.hold.advance_writer(title);
        }
    }
}

fn check_len(len: u64) -> Result<()> {
    if len <= LEN_MAX {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Limit, "a value is too large")
        .with("bytes", len)
        .with("largest value", LEN_MAX)
        .help("divide it, and keep the keys of its parts in a value of their own"))
}

/// Bytes of the largest value.
const LEN_MAX: u64 = 1 << 30;

/// Writes a value of any length piece by piece, through [`std::io::Write`]. It becomes the value of its key as a whole, by
/// [`commit`](Self::commit); a writer that is dropped before leaves nothing that could be seen, and space in the log that the next
/// compactions give back.
///
/// Needs memory for a piece of at most 256 KiB. Waits for room in the log as every other call that writes. Failures can be taken out
/// of the [`io::Error`] again, as [`Error`].
///
/// ```
/// # use oxifaster::device::MemoryDisk;
/// # use oxifaster::store::{FasterKv, FasterKvConfig};
/// # use std::io::Write;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = FasterKvConfig::default().with_memory_budget(1 << 20);
/// # let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new())?;
/// # let mut session = store.start_session();
/// let mut writer = session.value_writer("report".to_owned(), None)?;
/// for line in 0..100_000 {
///     writeln!(writer, "line {line}")?;
/// }
/// let bytes = writer.commit()?;
/// assert_eq!(session.read_into("report", std::io::sink())?, Some(bytes));
/// # Ok(())
/// # }
/// ```
#[must_use = "a value that is not committed is not there"]
pub struct ValueWriter<'s, K: Key, V: Value> {
    session: &'s mut Session<K, V>,
    draft: Draft<K>,
}

impl<K: Key, V: Value> ValueWriter<'_, K, V> {
    /// Bytes of the largest value: 1 GiB.
    pub const LEN_MAX: u64 = LEN_MAX;

    /// Bytes that were written so far.
    #[expect(clippy::len_without_is_empty, reason = "it counts what was written")]
    pub fn len(&self) -> u64 {
        self.draft.assembly.len()
    }

    /// Makes what was written the value of the key, and returns how many bytes it has. One operation of the session; durable when it
    /// returns if other changes of the session are.
    ///
    /// # Errors
    /// As for [`Session::upsert`]; [`ErrorKind::Limit`] if fewer bytes came than were told, [`ErrorKind::Corrupt`] if they are few
    /// enough to be a value like any other, and none of the type.
    pub fn commit(mut self) -> Result<u64> {
        self.draft.begin_write()?;
        self.draft.check_is_whole()?;
        let (len, database) = (self.draft.assembly.len(), std::sync::Arc::clone(&self.session.database));
        if let Some(value) = self.draft.ordinary(&database)? {
            self.session.upsert(self.draft.key, value)?;
            return Ok(len);
        }
        self.draft.assembly.close();
        self.write_due()?;
        let Draft { key, assembly, mut hold, .. } = self.draft;
        let mut root = assembly.into_root()?;
        loop {
            let mut publish = PublishRootOp::new(key.clone(), &root);
            match self.session.run_change(&mut publish, |counters| &counters.upserts) {
                Err(error) if PublishRootOp::<K>::is_overtaken(&error) => {
                    let mut next = database.hold_log();
                    root = copied(self.session, key.as_bytes(), root, hold, false, |title, _| {
                        next.advance_writer(title);
                        Ok(())
                    })?;
                    hold = next;
                }
                outcome => return outcome.map(|_| len),
            }
        }
    }

    fn take_in(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.draft.check(bytes.len())?;
        self.draft.begin_write()?;
        while !bytes.is_empty() {
            let taken = self.draft.assembly.take_in(bytes);
            bytes = &bytes[taken..];
            if taken == 0 {
                self.write_due()?;
            }
        }
        self.draft.end_write();
        Ok(())
    }

    /// Writes the fragments that are due.
    fn write_due(&mut self) -> Result<()> {
        self.session.check_durability()?;
        while let Some(new) = self.draft.assembly.next()? {
            let (at, memory) = self.session.run_uncounted(&mut AppendFragmentOp::new(new, false))?;
            self.draft.assembly.placed(at, memory);
        }
        self.draft.note_written();
        Ok(())
    }
}

impl<K: Key, V: Value> Write for ValueWriter<'_, K, V> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take_in(bytes).map_err(io_error)?;
        Ok(bytes.len())
    }

    /// Does nothing: what is written is part of the store from [`commit`](Self::commit) on.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<K: Key, V: Value> Session<K, V> {
    /// A writer of a value for `key`, of `len` bytes if that is known.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the value would be larger than [`ValueWriter::LEN_MAX`], or if the key leaves no room on a page of the log.
    /// The type of the values must be one of any length, or the call does not compile.
    pub fn value_writer(&mut self, key: K, len: Option<u64>) -> Result<ValueWriter<'_, K, V>> {
        self.check_durability()?;
        let draft = Draft::new(&self.database, key, len)?;
        Ok(ValueWriter { session: self, draft })
    }

    /// Gives `key` what `reader` yields: `len` bytes of it, or all if no length is told. Returns how many bytes those are. Whatever the
    /// length, memory is needed for a piece of at most 256 KiB; the value replaces what was there as a whole, at the end.
    ///
    /// A value that fits on a page of the log with its key is one like any other. A larger one is read by
    /// [`read_into`](Self::read_into) or [`value_reader`](Self::value_reader), its bytes are not looked at, and calls that would give it
    /// as a whole are refused with [`ErrorKind::LargeValue`].
    ///
    /// # Errors
    /// As for [`value_writer`](Self::value_writer) and [`ValueWriter::commit`]; [`ErrorKind::Io`] if `reader` fails. The store is
    /// unchanged then.
    pub fn upsert_from(&mut self, key: K, len: Option<u64>, reader: impl Read) -> Result<u64> {
        let mut writer = self.value_writer(key, len)?;
        let mut reader = reader.take(len.unwrap_or(u64::MAX));
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return writer.commit(),
                Ok(read) => writer.take_in(&chunk[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::new(ErrorKind::Io, "taking the bytes of a value from a reader")
                        .with("bytes before", writer.len())
                        .because(error));
                }
            }
        }
    }
}
