//! Reading a value piece by piece, in a call or through [`std::io::Read`].

use super::io_error;
use super::stream::Stream;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{FragmentBytes, LookOp};
use crate::record::{ByRef, Held, Key, KeyBytes, Value};
use crate::store::session::Session;
use std::borrow::Borrow;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

/// The bytes of a value, read piece by piece: of one that is larger than a page, and of any other.
///
/// They are those that the key had when the reader was made, all of them, whatever becomes of the key meanwhile: somebody may
/// overwrite or delete it, and compactions may move it. For that the space of the log is not given back to the device as long as the
/// reader lives; drop one that is not used any more.
///
/// Needs memory for a few pieces of 256 KiB at most, whatever the length of the value. It can be read from any place
/// ([`Seek`]). Its failures can be taken out of the [`io::Error`] again, as [`Error`].
///
/// ```
/// # use oxifaster::device::MemoryDisk;
/// # use oxifaster::store::{FasterKv, FasterKvConfig};
/// # use std::io::Read;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = FasterKvConfig::default().with_memory_budget(1 << 20);
/// # let store: FasterKv<String, Vec<u8>, _> = FasterKv::open(config, MemoryDisk::new())?;
/// # let mut session = store.start_session();
/// session.upsert_from("film".to_owned(), None, std::io::repeat(7).take(3 << 20))?;
/// let mut reader = session.value_reader("film")?.expect("it was just written");
/// let mut first = [0; 100];
/// reader.read_exact(&mut first)?;
/// assert_eq!((reader.len(), first), (3 << 20, [7; 100]));
/// # Ok(())
/// # }
/// ```
pub struct ValueReader<'s, K: Key, V: Value> {
    session: &'s mut Session<K, V>,
    len: u64,
    /// Where reading goes on.
    position: u64,
    /// What is there of the bytes from `position` on: all of a value that is not large.
    bytes: FragmentBytes,
    /// Of a large value.
    stream: Option<Stream>,
}

impl<K: Key, V: Value> ValueReader<'_, K, V> {
    /// Bytes of the value.
    #[expect(clippy::len_without_is_empty, reason = "the length of what is read, not of what there is to read")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Sees to it that there are bytes, unless it is at the end.
    fn fill(&mut self) -> Result<()> {
        if !self.bytes.is_empty() || self.position >= self.len {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some(mut bytes) = stream.next(self.session)? else {
            return Err(Error::new(ErrorKind::Corrupt, "a large value ends before its length")
                .with("length", self.len)
                .with("bytes there", self.position));
        };
        let leaf = stream.root().leaf as u64;
        bytes.advance((self.position % leaf) as usize);
        self.bytes = bytes;
        Ok(())
    }
}

impl<K: Key, V: Value> BufRead for ValueReader<'_, K, V> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill().map_err(io_error)?;
        Ok(&self.bytes)
    }

    fn consume(&mut self, len: usize) {
        let len = len.min(self.bytes.len());
        self.bytes.advance(len);
        self.position += len as u64;
    }
}

impl<K: Key, V: Value> Read for ValueReader<'_, K, V> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let len = there.len().min(buf.len());
        buf[..len].copy_from_slice(&there[..len]);
        self.consume(len);
        Ok(len)
    }
}

/// A place behind the end may be gone to; nothing is read there.
impl<K: Key, V: Value> Seek for ValueReader<'_, K, V> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let to = to.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the value begins"))?;
        match &mut self.stream {
            None => self.bytes.go_to(usize::try_from(to).unwrap_or(usize::MAX)),
            Some(_) if to == self.position => {}
            Some(stream) => {
                self.bytes = FragmentBytes::default();
                stream.go_to(to.min(self.len) / stream.root().leaf as u64);
            }
        }
        self.position = to;
        Ok(to)
    }
}

impl<K: Key, V: Value> Session<K, V> {
    /// A reader of the value of `key`, large or not; `None` if it is not in the store. `key` is the key, or what it can be borrowed as.
    ///
    /// # Errors
    /// As for [`read`](Self::read). The type of the values must be one of any length, or the call does not compile.
    pub fn value_reader<Q: KeyBytes + ?Sized>(&mut self, key: &Q) -> Result<Option<ValueReader<'_, K, V>>>
    where
        K: Borrow<Q>,
    {
        const { assert!(V::FIXED.is_none(), "values of one length are never read piece by piece") }
        let hold = self.database.hold_log(); // V3
        let (held, waited) = self.run(&mut LookOp::new(ByRef(key)), |counters| &counters.reads)?;
        self.count_waits(usize::from(waited));
        let (len, bytes, stream) = match held {
            None => return Ok(None),
            Some(Held::Value(value)) => {
                let bytes = value.as_bytes().to_vec();
                (bytes.len() as u64, FragmentBytes::whole(bytes), None)
            }
            Some(Held::Large(root)) => (root.len, FragmentBytes::default(), Some(Stream::new(root, hold))),
        };
        Ok(Some(ValueReader { session: self, len, position: 0, bytes, stream }))
    }

    /// Writes the value of `key`, large or not, to `writer`, piece by piece. Returns how many bytes that were; `None`, and nothing
    /// written, if the key is not in the store. What is written is one value of the key, never a mixture of two; after an error it
    /// may be the beginning of one.
    ///
    /// # Errors
    /// As for [`value_reader`](Self::value_reader); [`ErrorKind::Io`] if `writer` fails.
    pub fn read_into<Q: KeyBytes + ?Sized>(&mut self, key: &Q, mut writer: impl Write) -> Result<Option<u64>>
    where
        K: Borrow<Q>,
    {
        let Some(mut reader) = self.value_reader(key)? else { return Ok(None) };
        loop {
            reader.fill()?;
            let len = reader.bytes.len();
            if len == 0 {
                return Ok(Some(reader.len));
            }
            writer.write_all(&reader.bytes).map_err(|error| {
                Error::new(ErrorKind::Io, "handing on the bytes of a value")
                    .with("bytes before", reader.position)
                    .because(error)
            })?;
            reader.consume(len);
        }
    }
}
