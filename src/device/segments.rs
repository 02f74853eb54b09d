//! The arithmetic of a device that is cut into segments of equal size. Pure: no file is touched here.

use crate::error::{Error, ErrorKind};
use std::ops::Range;

/// How a linear space of bytes is cut into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segments {
    size: u64,
}

/// The part of an access that falls into one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Which segment.
    pub(super) segment: u64,
    /// Where in the segment, in bytes.
    pub(super) offset: u64,
    /// Which bytes of the access.
    pub(super) bytes: Range<usize>,
}

impl Segments {
    /// Segments of `size` bytes each, which must not be zero.
    pub(super) const fn new(size: u64) -> Self {
        assert!(size > 0, "a segment holds at least one byte");
        Self { size }
    }

    /// Bytes of a segment.
    pub(super) const fn size(self) -> u64 {
        self.size
    }

    /// The segment that holds the byte at `offset`.
    pub(super) fn segment_of(self, offset: u64) -> u64 {
        offset / self.size
    }

    /// The offset of the first byte of `segment`; saturates at the end of the number space.
    pub(super) fn start_of(self, segment: u64) -> u64 {
        segment.saturating_mul(self.size)
    }

    /// The parts, in order, of an access to `len` bytes at `offset`.
    pub(super) fn parts(self, offset: u64, len: usize) -> impl Iterator<Item = Part> {
        let mut begin = 0;
        std::iter::from_fn(move || {
            if begin == len {
                return None;
            }
            let at = offset + begin as u64;
            let offset = at % self.size;
            let room = usize::try_from(self.size - offset).unwrap_or(usize::MAX);
            let bytes = begin..begin + room.min(len - begin);
            begin = bytes.end;
            Some(Part { segment: at / self.size, offset, bytes })
        })
    }
}

/// An access at `offset`, which lies below `begin`, the first byte that was not truncated.
#[cold]
pub(super) fn truncated(offset: u64, begin: u64) -> Error {
    Error::new(ErrorKind::Io, "an access to a part of the device that was truncated")
        .with("offset", offset)
        .with("begin", begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_of_an_access_cover_it_once_and_in_order(
            size in 1u64..5_000, offset in 0u64..1 << 62, len in 0usize..20_000,
        ) {
            let segments = Segments::new(size);
            let mut next = 0;
            for part in segments.parts(offset, len) {
                prop_assert_eq!(part.bytes.start, next);
                prop_assert!(part.bytes.end > next);
                prop_assert!(part.offset + part.bytes.len() as u64 <= size, "a part stays in its segment");
                prop_assert_eq!(segments.start_of(part.segment) + part.offset, offset + next as u64);
                prop_assert_eq!(segments.segment_of(offset + next as u64), part.segment);
                next = part.bytes.end;
            }
            prop_assert_eq!(next, len);
        }
    }

    #[test]
    fn an_access_within_a_segment_has_one_part() {
        let parts: Vec<_> = Segments::new(100).parts(230, 70).collect();
        assert_eq!(parts, [Part { segment: 2, offset: 30, bytes: 0..70 }]);
    }

    #[test]
    fn one_segment_without_an_end_takes_everything() {
        let parts: Vec<_> = Segments::new(u64::MAX).parts(1 << 62, 4096).collect();
        assert_eq!(parts, [Part { segment: 0, offset: 1 << 62, bytes: 0..4096 }]);
    }
}
