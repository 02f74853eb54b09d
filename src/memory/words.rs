//! Shared memory as atomic words. Invariants M1, M3, M5 and M6 of [`crate::memory`].
//!
//! Log pages and index buckets are read while others write them. Making every access an atomic word access removes the
//! data race by construction, and with it the need for `unsafe` in everything built on top. A relaxed 8-byte load or store
//! is a plain `mov` on the machines we run on.
#![allow(unsafe_code)]

use crate::error::Result;
use crate::sync::AtomicU64;
#[cfg(not(oxifaster_loom))]
use crate::sync::Ordering;
use std::ops::Deref;
#[cfg(not(oxifaster_loom))]
use std::ops::Range;

/// Owned, zeroed memory that is seen as atomic words only.
pub(crate) struct Words(imp::Memory);

impl Words {
    /// `len` words of zero. Large areas start at a huge-page boundary and ask the system for huge pages.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the system refuses that much.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        imp::Memory::zeroed(len).map(Self)
    }

    /// Has the system give the memory of the words in `range` now, and not when each page is first used. What the words
    /// hold stays as it is, whoever uses them meanwhile. `range` begins at a multiple of the page size.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the system does not have the memory.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn populate(&self, range: Range<usize>) -> Result<()> {
        self.0.populate(range)
    }

    /// The same for a thread that may outlive the words: what it does to memory that is somebody else's by then changes nothing there.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn populator(&self, range: Range<usize>) -> Populator {
        let words = &self[range];
        Populator { start: words.as_ptr().addr(), bytes: size_of_val(words) }
    }

    /// Gives the memory of the words in `range` back to the system; they are zero from then on, and take memory again when
    /// they are written. `range` begins at a multiple of the page size, and so does what comes behind it, if anything does. False
    /// if the system takes nothing back: then the words are left as they are.
    #[cfg(not(oxifaster_loom))]
    pub(crate) fn discard(&self, range: Range<usize>) -> bool {
        self.0.discard(range)
    }
}

/// A range of memory that the system is to give.
#[cfg(not(oxifaster_loom))]
pub(crate) struct Populator {
    start: usize,
    bytes: usize,
}

#[cfg(not(oxifaster_loom))]
impl Populator {
    /// Has the system give the part of so many bytes from `offset` on, if it can be told to. False if it has no memory.
    pub(crate) fn run(&self, offset: usize, bytes: usize) -> bool {
        let offset = offset.min(self.bytes);
        imp::populate_at(self.start + offset, bytes.min(self.bytes - offset))
    }
}

/// Bytes of the system's pages.
#[cfg(not(oxifaster_loom))]
pub(crate) fn page_size() -> usize {
    #[cfg(target_os = "linux")]
    return rustix::param::page_size();
    #[cfg(not(target_os = "linux"))]
    return 1 << 16;
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

/// Words in blocks of `N`, a power of two of them, that are named by any number: its lower bits count.
pub(crate) struct Blocks<const N: usize> {
    words: Words,
    mask: usize,
}

impl<const N: usize> Blocks<N> {
    /// `count` blocks of zeros; one if that is not a power of two.
    ///
    /// # Errors
    /// As for [`Words::zeroed`].
    pub(crate) fn zeroed(count: usize) -> Result<Self> {
        let count = if count.is_power_of_two() { count } else { 1 };
        Ok(Self { words: Words::zeroed(count.saturating_mul(N))?, mask: count - 1 })
    }

    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.mask + 1
    }

    /// The memory of all.
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// Every block.
    #[cfg(test)]
    #[cfg(not(oxifaster_loom))]
    fn iter(&self) -> impl Iterator<Item = &[AtomicU64; N]> {
        self.words.as_chunks().0.iter()
    }

    /// The block that the lower bits of `number` name.
    #[inline(always)]
    pub(crate) fn at(&self, number: u64) -> &[AtomicU64; N] {
        let start = (number as usize & self.mask) * N;
        let block = self.words.as_ptr().wrapping_add(start).cast::<[AtomicU64; N]>();
        // SAFETY: M6; and M1 and M3 as for the words themselves, of which this is an array of `N` in a row.
        unsafe { &*block }
    }
}

/// Writes to one word of each page, which makes the system give the page. An exchange of zero for zero: a word that
/// somebody else has set by then keeps what it holds, and unlike an addition of zero it is not made a mere load of.
#[cfg(not(oxifaster_loom))]
fn touch(words: &[AtomicU64]) {
    /// No system has smaller pages.
    const SMALLEST_PAGE: usize = 4096 / size_of::<AtomicU64>();
    for word in words.iter().step_by(SMALLEST_PAGE) {
        // A failure says that the word is not zero: then the page is there.
        let _ = word.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(oxifaster_loom)]
mod imp {
    use crate::error::Result;
    use crate::sync::AtomicU64;

    pub(super) struct Memory(Box<[AtomicU64]>);

    impl Memory {
        pub(super) fn zeroed(len: usize) -> Result<Self> {
            Ok(Self((0..len).map(|_| AtomicU64::new(0)).collect()))
        }

        pub(super) fn words(&self) -> &[AtomicU64] {
            &self.0
        }
    }
}

/// Anonymous mappings: they are zero without being written, so that memory is taken page by page as it is used, and the
/// wish for huge pages is known before the first page is. (An aligned allocation would be zeroed by hand, in small pages.)
#[cfg(all(target_os = "linux", not(oxifaster_loom)))]
mod imp {
    use super::touch;
    use crate::error::{Error, ErrorKind, Result};
    use crate::sync::AtomicU64;
    use rustix::io::Errno;
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    use std::ffi::c_void;
    use std::ops::Range;
    use std::ptr::NonNull;

    /// Size and alignment of the pages that keep address translation cheap.
    const HUGE_PAGE: usize = 2 << 20;

    pub(super) struct Memory {
        base: *mut c_void,
        mapped: usize,
        start: NonNull<AtomicU64>,
        len: usize,
    }

    // SAFETY: M5; the mapping at `base` is owned like a Box's memory, and belongs to no thread.
    unsafe impl Send for Memory {}
    // SAFETY: M3; a shared reference gives atomic words only.
    unsafe impl Sync for Memory {}

    fn refused(len: usize) -> Error {
        Error::new(ErrorKind::Limit, "the system does not give that much memory")
            .with("words asked", len)
            .help("lower the memory budget or the size that was asked for")
    }

    /// Has the system give the memory of a range of addresses, whoever's it is.
    pub(super) fn populate_at(start: usize, bytes: usize) -> bool {
        let start = std::ptr::without_provenance_mut(start);
        // SAFETY: M5; nothing is read or written by this process. A page that is not mapped is refused; one that is mapped, by whomever,
        // holds afterwards what it held before, and is only there for sure.
        let given = unsafe { madvise(start, bytes, Advice::LinuxPopulateWrite) };
        // A kernel that does not know how gives the pages when they are used.
        !matches!(given, Err(Errno::NOMEM | Errno::FAULT | Errno::HWPOISON))
    }

    impl Memory {
        pub(super) fn zeroed(len: usize) -> Result<Self> {
            let refused = || refused(len);
            if len == 0 {
                return Ok(Self { base: std::ptr::null_mut(), mapped: 0, start: NonNull::dangling(), len });
            }
            let bytes = len.checked_mul(8).filter(|bytes| *bytes < isize::MAX as usize / 2).ok_or_else(refused)?;
            // Room to begin at a huge-page boundary, for areas of at least one.
            let mapped = if bytes >= HUGE_PAGE { bytes + HUGE_PAGE } else { bytes };
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: M5; a new anonymous mapping overlaps nothing.
            let base = unsafe { mmap_anonymous(std::ptr::null_mut(), mapped, protection, MapFlags::PRIVATE) }
                .map_err(|errno| refused().because(std::io::Error::from(errno)))?;
            let skip = if bytes >= HUGE_PAGE { base.cast::<u8>().align_offset(HUGE_PAGE) } else { 0 };
            let Some(start) = NonNull::new(base.cast::<u8>().wrapping_add(skip).cast::<AtomicU64>()) else {
                return Err(refused());
            };
            let memory = Self { base, mapped, start, len };
            memory.advise_huge_pages(bytes / HUGE_PAGE * HUGE_PAGE);
            Ok(memory)
        }

        /// Asks for huge pages; a refusal costs speed, nothing else.
        fn advise_huge_pages(&self, whole: usize) {
            if whole > 0 {
                // SAFETY: M5; the range is within the mapping, and the advice changes how it is mapped, not what it holds.
                let _ = unsafe { madvise(self.start.as_ptr().cast(), whole, Advice::LinuxHugepage) };
            }
        }

        pub(super) fn populate(&self, range: Range<usize>) -> Result<()> {
            let words = &self.words()[range];
            let start = words.as_ptr().cast_mut().cast();
            // SAFETY: M5; the range is within the mapping, and a page of it that comes into being holds what it held: zeros.
            match unsafe { madvise(start, size_of_val(words), Advice::LinuxPopulateWrite) } {
                Ok(()) => Ok(()),
                // To touch the memory now would end the process.
                Err(errno @ (Errno::NOMEM | Errno::FAULT | Errno::HWPOISON)) => {
                    Err(refused(self.len).because(std::io::Error::from(errno)))
                }
                // A kernel before 5.14, or a filter of system calls: the slower way does as well.
                Err(_) => {
                    touch(words);
                    Ok(())
                }
            }
        }

        pub(super) fn discard(&self, range: Range<usize>) -> bool {
            let words = &self.words()[range];
            let start = words.as_ptr().cast_mut().cast();
            // SAFETY: M5; the range is within the mapping and stays mapped. That its words become zero is to everybody else as
            // if they had been stored to (M3).
            unsafe { madvise(start, size_of_val(words), Advice::LinuxDontNeed) }.is_ok()
        }

        #[inline]
        pub(super) fn words(&self) -> &[AtomicU64] {
            // SAFETY: M1 (mapped, aligned, zeroed by the kernel) and M3 (nobody sees these bytes but as atomic words).
            unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            if self.mapped > 0 {
                // SAFETY: M5; mapped in `zeroed` with this very size, and unmapped once. It cannot fail for such a range.
                let _ = unsafe { munmap(self.base, self.mapped) };
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", oxifaster_loom)))]
mod imp {
    use super::touch;
    use crate::error::Result;
    use crate::memory::AlignedBuf;
    use crate::sync::AtomicU64;
    use std::ops::Range;

    pub(super) struct Memory(AlignedBuf);

    /// The system gives the pages when they are used.
    pub(super) const fn populate_at(_: usize, _: usize) -> bool {
        true
    }

    impl Memory {
        pub(super) fn zeroed(len: usize) -> Result<Self> {
            Ok(Self(AlignedBuf::zeroed(len * size_of::<AtomicU64>())))
        }

        pub(super) fn populate(&self, range: Range<usize>) -> Result<()> {
            touch(&self.words()[range]);
            Ok(())
        }

        pub(super) fn discard(&self, _: Range<usize>) -> bool {
            false
        }

        #[inline]
        pub(super) fn words(&self) -> &[AtomicU64] {
            let len = self.0.len() / size_of::<AtomicU64>();
            // SAFETY: M1 (valid, initialised, aligned beyond 8), M3 (nobody sees these bytes but as atomic words).
            unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<AtomicU64>(), len) }
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sync::Ordering;

    #[test]
    fn words_start_at_zero_and_keep_what_is_stored() {
        for len in [0, 1, 512, (2 << 20) / 8, (2 << 20) / 8 + 1] {
            let words = Words::zeroed(len).unwrap();
            assert_eq!(words.len(), len);
            assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
            if let Some(last) = words.last() {
                last.store(9, Ordering::Relaxed);
                assert_eq!(last.load(Ordering::Relaxed), 9);
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_given_back_is_zero_and_can_be_used_again() {
        const PAGE: usize = 4096 / 8;
        let words = Words::zeroed(4 * PAGE).unwrap();
        words.iter().for_each(|word| word.store(7, Ordering::Relaxed));
        assert!(words.discard(PAGE..3 * PAGE));
        for (at, word) in words.iter().enumerate() {
            assert_eq!(word.load(Ordering::Relaxed), if (PAGE..3 * PAGE).contains(&at) { 0 } else { 7 });
            word.store(1, Ordering::Relaxed);
        }
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn any_number_names_a_block() {
        let blocks = Blocks::<8>::zeroed(16).unwrap();
        for (number, block) in blocks.iter().enumerate() {
            block[0].store(number as u64, Ordering::Relaxed);
        }
        assert_eq!((blocks.len(), blocks.iter().count()), (16, 16));
        for number in [0, 1, 15, 16, 31, u64::MAX, 1 << 63] {
            assert_eq!(blocks.at(number)[0].load(Ordering::Relaxed), number % 16);
        }
        assert_eq!(Blocks::<8>::zeroed(3).unwrap().len(), 1, "the mask names only blocks that are there");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_size_that_no_system_has_is_an_error() {
        for len in [usize::MAX, 1 << 58, 1 << 50] {
            assert_eq!(Words::zeroed(len).err().map(|error| error.kind()), Some(ErrorKind::Limit));
        }
    }
}
