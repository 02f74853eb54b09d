//! The records of a log that nobody uses: of a checkpoint, on any device, without knowing the types of keys and values.

use crate::address::Address;
use crate::allocator::{AtRestReader, ReadLimits};
use crate::checkpoint::{Manifest, Schema};
use crate::device::StorageDevice;
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Expiry, Fragment, RecordInfo, RecordLayout, Root};
use crate::sync::Arc;
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of the buffers: while one half is looked at, the other is being filled.
const BUFFER_BYTES: usize = 4 << 20;
/// How long it waits for one access.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// A record, with key and value as the bytes they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawRecord {
    /// Where it lies.
    pub address: Address,
    /// Its header. A record that a cut left out is invalid.
    pub info: RecordInfo,
    /// The bytes of its key. What is no record has neither key nor value: a mark, and an invalid one that makes no sense.
    pub key: Box<[u8]>,
    /// The bytes of its value; none in a tombstone, nor of a [large](crate::store::ValueReader) value.
    pub value: Box<[u8]>,
    /// When its value ends.
    pub expiry: Expiry,
    /// Bytes of its value, if that is a large one.
    pub large_len: Option<u64>,
    /// Which large value it belongs to, of its root and of every other part: where the first of them lies.
    pub title: Option<Address>,
    /// Bytes that it takes in the log.
    pub size: usize,
}

/// Every record of the log of a checkpoint, invalid ones included, in the order of the log. Blocks are read ahead, several
/// accesses at a time, and verified.
pub struct DoubleBufferedLogIterator {
    reader: AtRestReader,
    layout: RecordLayout,
    schema: Schema,
    found: VecDeque<RawRecord>,
    is_over: bool,
}

impl DoubleBufferedLogIterator {
    /// The records of the checkpoint `manifest` in `directory`, of a store on `device`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the checkpoint holds no log; [`ErrorKind::NotFound`] or [`ErrorKind::Corrupt`] if a file of it is not
    /// there or cannot be used.
    pub fn new(directory: &dyn Directory, manifest: &Manifest, device: Arc<dyn StorageDevice>) -> Result<Self> {
        let Some(log) = &manifest.log else {
            return Err(Error::new(ErrorKind::Config, "the checkpoint holds an image of the index and no log")
                .with("token", manifest.token)
                .help("name a checkpoint of the log"));
        };
        let layout = manifest.schema.layout();
        let pieces = crate::checkpoint::open_pieces(directory, manifest.schema, log, device)?;
        let limits = ReadLimits { buffer_bytes: BUFFER_BYTES, wait: WAIT_LIMIT };
        let reader = AtRestReader::new(pieces, layout, log.begin..log.end, limits);
        Ok(Self { reader, layout, schema: manifest.schema, found: VecDeque::new(), is_over: false })
    }

    /// What its records look like.
    pub fn schema(&self) -> Schema {
        self.schema
    }

    fn read_on(&mut self) -> Result<()> {
        while self.found.is_empty() && !self.is_over {
            let (found, layout) = (&mut self.found, self.layout);
            self.is_over = !self.reader.advance(&mut |at, info, bytes| {
                let parts = if info.is_mark() { None } else { layout.split(bytes).ok() };
                let (key, value) = parts.map_or((&[][..], None), |parts| (parts.key, parts.value));
                let expiry = parts.map_or(Expiry::NEVER, |parts| parts.expiry);
                let is_root = layout.value_size().is_none() && info.is_large();
                let root = value.filter(|_| is_root).map(Root::parse).transpose()?;
                let fragment = Fragment::parse(layout, bytes).map(|(fragment, ..)| fragment.title);
                found.push_back(RawRecord {
                    address: at,
                    info,
                    key: key.into(),
                    value: value.filter(|_| !is_root && fragment.is_none()).unwrap_or_default().into(),
                    expiry,
                    large_len: root.as_ref().map(|root| root.len),
                    title: root.map(|root| root.title).or(fragment),
                    size: bytes.len(),
                });
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Iterator for DoubleBufferedLogIterator {
    type Item = Result<RawRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.is_empty()
            && let Err(error) = self.read_on()
        {
            self.is_over = true;
            return Some(Err(error));
        }
        self.found.pop_front().map(Ok)
    }
}
