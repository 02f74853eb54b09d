//! Reading an image into a new index. Whatever the bytes are, they give an index or an error that names the place.

use super::{GOES_ON, ImageSize, Tags};
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, verify};
use crate::directory::DirectoryFile;
use crate::error::{Error, ErrorKind, Result};
use crate::index::bucket::{Bucket, ENTRIES, WORDS};
use crate::index::entry::{Entry, Overflow};
use crate::index::{IndexConfig, MemIndex};
use crate::memory::{AlignedBuf, pretouch};
use crate::sync::Ordering;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

/// Bytes that are read at a time, at most.
const ACCESS_MAX: usize = 1 << 20;
/// Threads that read and verify an image of several parts, each every second one.
const READERS: usize = 2;
/// Buffers of a reader: one that it fills, and one that is taken apart or waits for it.
const BUFFERS: usize = 2;

/// An image, and what its maker said of it.
#[derive(Clone, Copy)]
pub(crate) struct ImageSource<'f> {
    pub(crate) name: &'f str,
    pub(crate) file: &'f dyn DirectoryFile,
    pub(crate) generation: u32,
    pub(crate) buckets: u64,
    pub(crate) overflow_buckets: u64,
    pub(crate) bytes: u64,
    /// No entry leads to this address or beyond.
    pub(crate) complete_at: Address,
}

impl ImageSource<'_> {
    fn corrupt(&self, what: &'static str, offset: u64) -> Error {
        Error::new(ErrorKind::Corrupt, what).with("file", self.name).with("offset", offset)
    }

    /// Checks all that can be checked before memory is taken: the file is as long as an image of this size, so that the
    /// memory is in proportion to what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] names the file and what does not agree.
    fn check(&self) -> Result<()> {
        let size = ImageSize::of(self.buckets, self.overflow_buckets);
        let there = self.file.len()?;
        if size.is_none_or(|size| size.bytes != self.bytes) || there != self.bytes || !self.buckets.is_power_of_two() {
            return Err(Error::new(ErrorKind::Corrupt, "an image of the index has the wrong size")
                .with("file", self.name)
                .with("bytes there", there)
                .with("bytes recorded", self.bytes)
                .with("buckets", self.buckets)
                .with("overflow buckets", self.overflow_buckets));
        }
        Ok(())
    }
}

impl MemIndex {
    /// A new index of `config.buckets` buckets, which are those of the image, filled from the image. `config` has at least as many
    /// overflow buckets as the image. Buffers take about `buffer_bytes`, at least a few blocks. With it comes the lowest address that it
    /// leads to, [`Address::MAX`] if it leads nowhere.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] names the file and the offset of what is wrong; the errors of the file and of
    /// [`MemIndex::new`].
    pub(crate) fn load_image(
        config: IndexConfig,
        image: &ImageSource<'_>,
        buffer_bytes: usize,
    ) -> Result<(Self, Address)> {
        image.check()?;
        let index = Self::new(config)?;
        if config.buckets != image.buckets || config.overflow_buckets < image.overflow_buckets {
            return Err(Error::new(ErrorKind::Config, "an index of another size than its image")
                .with("buckets", config.buckets)
                .with("buckets of the image", image.buckets)
                .with("overflow buckets of the image", image.overflow_buckets));
        }
        let part = ((buffer_bytes / (READERS * BUFFERS)).min(ACCESS_MAX) / BLOCK_SIZE).max(1) * BLOCK_SIZE;
        let parts = image.bytes.div_ceil(part as u64);
        let count = READERS.min(parts as usize);
        let mut builder = Builder::new(&index, *image);
        std::thread::scope(|scope| {
            // Nearly every page of the table is written to. Who builds would else wait for each to be zeroed.
            let [buckets, _] = index.table().memory();
            let touched = (parts > 1).then(|| scope.spawn(move || pretouch(&[buckets])));
            let (mut lines, mut readers) = (Vec::new(), Vec::new());
            for first in 0..count {
                let (full, arriving) = sync_channel(BUFFERS);
                let (empty, returning) = sync_channel(BUFFERS);
                for _ in 0..BUFFERS {
                    let _ = empty.send(AlignedBuf::try_zeroed(part)?); // the receiver is in this scope
                }
                if parts == 1 {
                    // There is nothing to do meanwhile, and the line has room for the part.
                    read_parts(image, (first, count), &full, &returning)?;
                } else {
                    readers.push(scope.spawn(move || read_parts(image, (first, count), &full, &returning)));
                }
                lines.push(Line { arriving, empty });
            }
            let built = builder.take_all(&lines);
            // A reader ends when it can neither get an empty buffer nor hand on a full one.
            drop(lines);
            let join =
                |reader: ScopedJoinHandle<'_, Result<()>>| reader.join().unwrap_or_else(|panic| resume_unwind(panic));
            let joined = readers.into_iter().chain(touched).try_for_each(join);
            joined.and(built)
        })?;
        let lowest = builder.lowest;
        builder.finish()?;
        Ok((index, lowest))
    }
}

/// Some blocks of the image, from `offset` on.
struct Part {
    offset: u64,
    len: usize,
    buffer: AlignedBuf,
}

/// What comes from a reader, and where its buffers go when they are empty.
struct Line {
    arriving: Receiver<Part>,
    empty: SyncSender<AlignedBuf>,
}

/// Reads and verifies one part of the file in so many, from the part `first` on.
fn read_parts(
    image: &ImageSource<'_>,
    (first, one_in): (usize, usize),
    full: &SyncSender<Part>,
    empty: &Receiver<AlignedBuf>,
) -> Result<()> {
    let mut number = first as u64;
    while let Ok(mut buffer) = empty.recv() {
        let offset = number * buffer.len() as u64;
        if offset >= image.bytes {
            return Ok(());
        }
        number += one_in as u64;
        let len = (image.bytes - offset).min(buffer.len() as u64) as usize;
        let got = image.file.read_at(offset, &mut buffer[..len])?;
        if got < len {
            return Err(image.corrupt("an image of the index is cut off", offset + got as u64));
        }
        for (number, block) in (offset / BLOCK_SIZE as u64..).zip(buffer[..len].chunks_exact(BLOCK_SIZE)) {
            verify(block, number, image.generation, "a block of an image of the index does not verify")
                .map_err(|error| error.with("file", image.name).with("offset", number * BLOCK_SIZE as u64))?;
        }
        if full.send(Part { offset, len, buffer }).is_err() {
            break;
        }
    }
    Ok(()) // what came before was refused
}

/// Puts buckets in place, one after the other as they come.
struct Builder<'i> {
    index: &'i MemIndex,
    image: ImageSource<'i>,
    /// The bucket that is coming in, and how many of its words are there.
    words: [u64; WORDS],
    filled: usize,
    /// The bucket before, if the chain goes on in this one.
    previous: Option<Bucket<'i>>,
    /// Chains that have begun.
    chains: u64,
    tags: Tags,
    /// The entries of the chain so far.
    entries: Vec<u64>,
    lowest: Address,
}

impl<'i> Builder<'i> {
    fn new(index: &'i MemIndex, image: ImageSource<'i>) -> Self {
        let (words, tags, entries) = ([0; WORDS], Tags::new(), Vec::new());
        Self { index, image, words, filled: 0, previous: None, chains: 0, tags, entries, lowest: Address::MAX }
    }

    /// Takes in the parts, from each reader in turn, until one has no more.
    fn take_all(&mut self, lines: &[Line]) -> Result<()> {
        for Line { arriving, empty } in lines.iter().cycle() {
            let Ok(Part { offset, len, buffer }) = arriving.recv() else { break };
            for (index, block) in buffer[..len].chunks_exact(BLOCK_SIZE).enumerate() {
                self.take_block(offset + (index * BLOCK_SIZE) as u64, &block[..BLOCK_PAYLOAD])?;
            }
            let _ = empty.send(buffer); // a reader that is done needs it no more
        }
        Ok(())
    }

    fn take_block(&mut self, offset: u64, payload: &[u8]) -> Result<()> {
        for (at, word) in payload.as_chunks::<8>().0.iter().enumerate() {
            self.words[self.filled] = u64::from_le_bytes(*word);
            self.filled += 1;
            if self.filled == WORDS {
                self.filled = 0;
                if self.previous.is_none() && self.chains == self.image.buckets {
                    return Ok(()); // the rest of the last block
                }
                self.take_bucket().map_err(|what| self.image.corrupt(what, offset + at as u64 * 8))?;
            }
        }
        Ok(())
    }

    /// The offset in an error is that of the bucket's last word.
    fn take_bucket(&mut self) -> Result<(), &'static str> {
        let bucket = self.place()?;
        for (slot, word) in bucket.slots().zip(self.words) {
            let entry = Entry(word);
            if entry == Entry::FREE {
                continue;
            }
            if !entry.is_plain() || entry.is_frozen() || !self.is_below_cut(entry.address()) {
                return Err("an image of the index holds something that is no entry");
            }
            if !self.tags.add(entry) {
                return Err("an image of the index holds two entries of one tag");
            }
            self.entries.push(word);
            self.lowest = self.lowest.min(entry.address());
            slot.store(word, Ordering::Relaxed);
        }
        let last = self.words[ENTRIES];
        self.previous = (last == GOES_ON).then_some(bucket);
        if last == GOES_ON {
            return Ok(());
        }
        self.tags.forget(&self.entries);
        self.entries.clear();
        let head = Address::from_word(last);
        let is_end =
            last == Overflow::END || last == Overflow::catch_all(head) && (!head.is_valid() || self.is_below_cut(head));
        if !is_end {
            return Err("an image of the index holds a chain that does not end");
        }
        if last != Overflow::END && head.is_valid() {
            self.lowest = self.lowest.min(head);
        }
        bucket.overflow().store(last, Ordering::Relaxed);
        Ok(())
    }

    fn is_below_cut(&self, address: Address) -> bool {
        address.is_valid() && address < self.image.complete_at
    }

    /// Where the next bucket goes: the next one of the table, or a new one behind the one before.
    fn place(&mut self) -> Result<Bucket<'i>, &'static str> {
        let table = self.index.table();
        let Some(previous) = self.previous else {
            let number = self.chains as usize;
            self.chains += 1;
            return table.bucket(number).ok_or("an image of the index holds more chains than it should");
        };
        let more = "an image of the index holds more overflow buckets than it should";
        let number = table.arena.allocate_kept().filter(|number| *number < self.image.overflow_buckets).ok_or(more)?;
        previous.overflow().store(Overflow::link_to(number), Ordering::Relaxed);
        table.arena.bucket(number).ok_or(more)
    }

    /// Whether everything came.
    fn finish(self) -> Result<()> {
        let used = self.index.table().arena.used();
        if self.previous.is_some() || self.chains != self.image.buckets || used != self.image.overflow_buckets {
            return Err(self
                .image
                .corrupt("an image of the index holds fewer buckets than it should", self.image.bytes)
                .with("chains", self.chains)
                .with("chains recorded", self.image.buckets)
                .with("overflow buckets", used)
                .with("overflow buckets recorded", self.image.overflow_buckets));
        }
        Ok(())
    }
}
