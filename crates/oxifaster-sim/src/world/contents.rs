//! The bytes of one file or disk, cheap to copy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What a disk writes at once, or not at all. A crash tears a write between these.
pub const SECTOR: u64 = 512;
/// Bytes that are shared or copied together.
const CHUNK: u64 = 4096;

type Chunk = Arc<[u8; CHUNK as usize]>;

/// Bytes with holes. A clone shares what neither side changes, so that an image of a world costs little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// By number; what is absent reads as zeros.
    chunks: BTreeMap<u64, Chunk>,
    begin: u64,
    len: u64,
}

impl Contents {
    /// Where the contents end.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everything below was given up.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Reads from `offset` on; returns how many bytes there were.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> usize {
        let there = self.len.saturating_sub(offset).min(bytes.len() as u64) as usize;
        for (number, within, range) in parts(offset, there) {
            let target = &mut bytes[range];
            match self.chunks.get(&number) {
                Some(chunk) => target.copy_from_slice(&chunk[within..within + target.len()]),
                None => target.fill(0),
            }
        }
        there
    }

    /// Writes at `offset`; the contents grow as needed.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (number, within, range) in parts(offset, bytes.len()) {
            let source = &bytes[range];
            self.chunk(number)[within..within + source.len()].copy_from_slice(source);
        }
        if !bytes.is_empty() {
            self.extend(offset + bytes.len() as u64);
        }
    }

    /// Lets the contents end at `len` at least.
    pub fn extend(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Cuts off what lies from `len` on.
    pub fn shorten(&mut self, len: u64) {
        if len >= self.len {
            return;
        }
        self.chunks.split_off(&len.div_ceil(CHUNK));
        if !len.is_multiple_of(CHUNK) && self.chunks.contains_key(&(len / CHUNK)) {
            self.chunk(len / CHUNK)[(len % CHUNK) as usize..].fill(0);
        }
        self.len = len;
    }

    /// Gives up what lies below `offset`, as far as there is anything. The end stays where it is.
    pub fn truncate_before(&mut self, offset: u64) {
        let begin = offset.min(self.len) / CHUNK * CHUNK;
        if begin > self.begin {
            self.begin = begin;
            self.chunks = self.chunks.split_off(&(begin / CHUNK));
        }
    }

    /// Flips the bits of `mask` in the byte at `offset`, if there is one.
    pub fn flip(&mut self, offset: u64, mask: u8) {
        if offset < self.len {
            self.chunk(offset / CHUNK)[(offset % CHUNK) as usize] ^= mask;
        }
    }

    /// All bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    fn chunk(&mut self, number: u64) -> &mut [u8; CHUNK as usize] {
        Arc::make_mut(self.chunks.entry(number).or_insert_with(|| Arc::new([0; CHUNK as usize])))
    }
}

/// The parts of an access in the chunks it touches: which chunk, where in it, and which bytes of the access.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    pieces(offset, len, CHUNK).map(move |range| {
        let at = offset + range.start as u64;
        (at / CHUNK, (at % CHUNK) as usize, range)
    })
}

/// The bytes of an access, cut wherever a multiple of `unit` lies between.
pub(super) fn pieces(offset: u64, len: usize, unit: u64) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        if begin == len {
            return None;
        }
        let room = unit - (offset + begin as u64) % unit;
        let range = begin..len.min(begin + room as usize);
        begin = range.end;
        Some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Change {
        Write(u64, Vec<u8>),
        Shorten(u64),
        Flip(u64, u8),
        Extend(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => (0u64..9_000, prop::collection::vec(any::<u8>(), 0..6_000)).prop_map(|(at, bytes)| Change::Write(at, bytes)),
            1 => (0u64..12_000).prop_map(Change::Shorten),
            1 => (0u64..12_000, any::<u8>()).prop_map(|(at, mask)| Change::Flip(at, mask)),
            1 => (0u64..12_000).prop_map(Change::Extend),
        ]
    }

    proptest! {
        #[test]
        fn contents_are_what_a_vector_would_hold(changes in prop::collection::vec(change(), 0..20)) {
            let (mut contents, mut model) = (Contents::default(), Vec::<u8>::new());
            let mut copies = Vec::new();
            for change in changes {
                copies.push((contents.clone(), model.clone()));
                match change {
                    Change::Write(at, bytes) => {
                        contents.write(at, &bytes);
                        let end = at as usize + bytes.len();
                        if !bytes.is_empty() && model.len() < end {
                            model.resize(end, 0);
                        }
                        if !bytes.is_empty() {
                            model[at as usize..end].copy_from_slice(&bytes);
                        }
                    }
                    Change::Shorten(len) => {
                        contents.shorten(len);
                        model.truncate(len as usize);
                    }
                    Change::Flip(at, mask) => {
                        contents.flip(at, mask);
                        if let Some(byte) = model.get_mut(at as usize) {
                            *byte ^= mask;
                        }
                    }
                    Change::Extend(len) => {
                        contents.extend(len);
                        model.resize(model.len().max(len as usize), 0);
                    }
                }
                prop_assert_eq!(&contents.to_vec(), &model);
            }
            for (copy, model) in copies {
                prop_assert_eq!(copy.to_vec(), model, "a copy stays what it was");
            }
        }
    }

    #[test]
    fn what_was_given_up_is_gone_and_the_end_stays() {
        let mut contents = Contents::default();
        contents.write(0, &[7; 10_000]);
        contents.truncate_before(9_000);
        assert_eq!((contents.begin(), contents.len(), contents.chunks.len()), (8_192, 10_000, 1));
        contents.truncate_before(100);
        contents.truncate_before(1 << 40);
        assert_eq!((contents.begin(), contents.len()), (8_192, 10_000));
    }

    #[test]
    fn an_access_is_cut_at_multiples_of_the_unit() {
        assert_eq!(pieces(500, 600, 512).collect::<Vec<_>>(), [0..12, 12..524, 524..600]);
        assert_eq!(pieces(512, 600, 512).collect::<Vec<_>>(), [0..512, 512..600]);
        assert_eq!(pieces(5, 0, 512).count(), 0);
    }
}
