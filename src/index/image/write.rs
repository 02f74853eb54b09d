//! Writing an image while the index is in use.

use super::{GOES_ON, ImageSize, Tags};
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, seal};
use crate::directory::DirectoryFile;
use crate::epoch::{Guard, Participant};
use crate::error::Result;
use crate::index::MemIndex;
use crate::index::bucket::{ENTRIES, WORDS};
use crate::index::entry::{Entry, Overflow};
use crate::index::table::Table;
use crate::sync::{AtomicU64, Backoff, Ordering};

impl MemIndex {
    /// Bytes that an image has at most, if that is a number.
    pub(crate) fn image_bytes(&self) -> Option<usize> {
        let size = self.config();
        usize::try_from(ImageSize::of(size.buckets, size.overflow_buckets)?.bytes).ok()
    }

    /// Writes an image to `file`, which is empty, in accesses as large as `buffer` (at least a block). Its blocks carry
    /// `generation`. Others go on meanwhile; the caller has waited for all who could have published an entry to a record
    /// below the address from which the log will be replayed (G1). `in_log` says, under the pin that it is given, where a
    /// chain goes on in the log whose first record may be a copy.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn write_image(
        &self,
        file: &dyn DirectoryFile,
        generation: u32,
        buffer: &mut [u8],
        participant: &mut Participant,
        in_log: &dyn Fn(Address, &Guard<'_>) -> Address,
    ) -> Result<ImageSize> {
        let table = self.table();
        let mut sink = Sink::new(file, generation, buffer);
        let mut chain = Chain::new();
        let mut overflow_buckets = 0;
        for number in 0..table.len() as usize {
            let guard = participant.pin();
            chain.capture(table, number, &|address| in_log(address, &guard));
            drop(guard);
            overflow_buckets += chain.write(&mut sink)? - 1;
        }
        let bytes = sink.finish()?;
        Ok(ImageSize { buckets: table.len(), overflow_buckets, bytes })
    }
}

/// What was seen of one chain.
pub(in crate::index) struct Chain {
    pub(in crate::index) entries: Vec<u64>,
    /// The last overflow word: 0, or that of a catch-all.
    pub(in crate::index) end: u64,
    tags: Tags,
}

impl Chain {
    pub(in crate::index) fn new() -> Self {
        Self { entries: Vec::new(), end: Overflow::END, tags: Tags::new() }
    }

    /// Looks at chain `number` of the table, under a pin.
    ///
    /// First at how it ends, then at its entries. If it was saturated by then, no claim that comes into force later is
    /// overlooked (G2): a claim whose fence comes after the one in `saturate` sees the chain saturated and withdraws, and
    /// that of any other is visible to who has seen the catch-all, tentative or in force. So it is waited for what becomes
    /// of a tentative entry: its owner is between two instructions. In the other order a claim could come into force between
    /// the look at its slot and the look at the end.
    ///
    /// If the chain could still grow, or was just being saturated, whatever is overlooked was published after the image was
    /// begun and is replayed, and replay never saturates a chain.
    pub(in crate::index) fn capture(&mut self, table: &Table, number: usize, in_log: &dyn Fn(Address) -> Address) {
        self.tags.forget(&self.entries);
        self.entries.clear();
        let mut buckets = 0;
        self.end = Overflow::END;
        for (bucket, _) in table.chain(number) {
            buckets += 1;
            let word = bucket.overflow().load(Ordering::Acquire);
            if Overflow::is_catch_all(word) {
                self.end = Overflow::catch_all(in_log(Address::from_word(word)));
            }
        }
        // Not beyond the buckets that were counted: links that came since lead to claims that came since.
        for (bucket, _) in table.chain(number).take(buckets) {
            for slot in bucket.slots() {
                let entry = if self.end == Overflow::END { Entry(slot.load(Ordering::Acquire)) } else { settled(slot) };
                if entry != Entry::FREE && !entry.is_tentative() {
                    self.add(entry, in_log);
                }
            }
        }
    }

    /// G3.
    #[inline]
    fn add(&mut self, entry: Entry, in_log: &dyn Fn(Address) -> Address) {
        let address = in_log(Address::from_word(entry.0));
        if !address.is_valid() {
            return;
        }
        let entry = entry.with_address(address);
        if self.tags.add(entry) {
            self.entries.push(entry.0);
        } else if let Some(known) = self.entries.iter_mut().find(|known| Tags::of(Entry(**known)) == Tags::of(entry)) {
            // The tags are the same, so the larger word is that of the larger address.
            *known = (*known).max(entry.0);
        }
    }

    /// Returns how many buckets it took.
    fn write(&self, sink: &mut Sink<'_>) -> Result<u64> {
        let mut rest = self.entries.as_slice();
        let mut buckets = 0;
        loop {
            let (now, later) = rest.split_at(rest.len().min(ENTRIES));
            let mut bucket = [0; WORDS];
            bucket[..now.len()].copy_from_slice(now);
            bucket[ENTRIES] = if later.is_empty() { self.end } else { GOES_ON };
            sink.put(&bucket)?;
            buckets += 1;
            if later.is_empty() {
                return Ok(buckets);
            }
            rest = later;
        }
    }
}

/// The slot's word once it is not, or no longer, tentative.
fn settled(slot: &AtomicU64) -> Entry {
    let mut backoff = Backoff::new();
    loop {
        let entry = Entry(slot.load(Ordering::Acquire));
        if !entry.is_tentative() {
            return entry;
        }
        backoff.wait();
    }
}

/// Frames words into blocks, and writes many blocks at a time.
struct Sink<'f> {
    file: &'f dyn DirectoryFile,
    generation: u32,
    buffer: &'f mut [u8],
    /// The block being filled, and how many blocks the file holds already.
    block: usize,
    written: u64,
    /// Bytes of its payload that are filled.
    filled: usize,
}

impl<'f> Sink<'f> {
    fn new(file: &'f dyn DirectoryFile, generation: u32, buffer: &'f mut [u8]) -> Self {
        debug_assert!(buffer.len() >= BLOCK_SIZE);
        Self { file, generation, buffer, block: 0, written: 0, filled: 0 }
    }

    #[inline]
    fn put(&mut self, bucket: &[u64; WORDS]) -> Result<()> {
        for word in bucket {
            let at = self.block * BLOCK_SIZE + self.filled;
            self.buffer[at..at + 8].copy_from_slice(&word.to_le_bytes());
            self.filled += 8;
            if self.filled == BLOCK_PAYLOAD {
                self.close_block()?;
            }
        }
        Ok(())
    }

    fn close_block(&mut self) -> Result<()> {
        let block = &mut self.buffer[self.block * BLOCK_SIZE..(self.block + 1) * BLOCK_SIZE];
        block[self.filled..BLOCK_PAYLOAD].fill(0);
        seal(block, self.written + self.block as u64, self.generation);
        self.filled = 0;
        self.block += 1;
        if (self.block + 1) * BLOCK_SIZE > self.buffer.len() { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.file.write_at(self.written * BLOCK_SIZE as u64, &self.buffer[..self.block * BLOCK_SIZE])?;
        self.written += self.block as u64;
        self.block = 0;
        Ok(())
    }

    /// Writes what is left, and returns the length of the file.
    fn finish(mut self) -> Result<u64> {
        if self.filled > 0 {
            self.close_block()?;
        }
        if self.block > 0 {
            self.write()?;
        }
        Ok(self.written * BLOCK_SIZE as u64)
    }
}
