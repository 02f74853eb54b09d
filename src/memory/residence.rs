//! What the system says about memory: how much of it is really there, and how much of that on huge pages.
//!
//! Linux tells the first page by page, and the second for each mapping as a whole. That is enough: the part of an area that
//! was advised to lie on huge pages differs from its neighbours by that advice, so the kernel keeps it apart from them, and
//! other parts have none. A page that was only read is not there yet: it is the one page of zeros that all share. (Pages that a
//! forked child shares look the same until it ends.)

use crate::sync::AtomicU64;

pub(crate) use imp::{HugePages, resident_bytes};

#[cfg(all(target_os = "linux", not(oxifaster_loom)))]
mod imp {
    use super::AtomicU64;
    use std::fs::File;
    use std::ops::Range;
    use std::os::unix::fs::FileExt;

    /// Bits of an entry of the page map: in memory, and of this process alone (which the page of zeros is not).
    const PRESENT: u64 = 1 << 63;
    const EXCLUSIVE: u64 = 1 << 56;
    const ENTRY: usize = size_of::<u64>();

    fn addresses(words: &[AtomicU64]) -> Range<usize> {
        let range = words.as_ptr_range();
        range.start.addr()..range.end.addr()
    }

    /// Bytes of `words`, which begin at the beginning of a page, that are in memory; `None` if the system does not say.
    pub(crate) fn resident_bytes(words: &[AtomicU64]) -> Option<u64> {
        if words.is_empty() {
            return Some(0);
        }
        let page_size = rustix::param::page_size();
        let map = File::open("/proc/self/pagemap").ok()?;
        let (first, count) = (addresses(words).start / page_size, size_of_val(words).div_ceil(page_size));
        let (mut buffer, mut pages) = (vec![0; (64 << 10).min(count * ENTRY)], 0);
        for at in (0..count).step_by(buffer.len() / ENTRY) {
            let part = &mut buffer[..(64 << 10).min((count - at) * ENTRY)];
            map.read_exact_at(part, ((first + at) * ENTRY) as u64).ok()?;
            let is_there =
                |entry: &&[u8; ENTRY]| u64::from_le_bytes(**entry) & (PRESENT | EXCLUSIVE) == PRESENT | EXCLUSIVE;
            pages += part.as_chunks().0.iter().filter(is_there).count();
        }
        Some((pages * page_size).min(size_of_val(words)) as u64)
    }

    /// The mappings of this process, with the bytes of each that lie on huge pages.
    pub(crate) struct HugePages(Vec<(Range<usize>, u64)>);

    impl HugePages {
        /// Asks the system; `None` if it does not say.
        pub(crate) fn of_process() -> Option<Self> {
            let smaps = std::fs::read("/proc/self/smaps").ok()?;
            Some(Self(mappings(&String::from_utf8_lossy(&smaps))))
        }

        /// Bytes of `words` that lie on huge pages.
        pub(crate) fn bytes_of(&self, words: &[AtomicU64]) -> u64 {
            let area = addresses(words);
            let within = |mapping: &Range<usize>| area.start <= mapping.start && mapping.end <= area.end;
            self.0.iter().filter(|(mapping, _)| within(mapping)).map(|(_, bytes)| bytes).sum()
        }
    }

    /// Mappings begin with a line like `7f0000000000-7f0000200000 rw-p ...`; lines like `AnonHugePages:  2048 kB` follow.
    fn mappings(smaps: &str) -> Vec<(Range<usize>, u64)> {
        let mut found = Vec::new();
        for line in smaps.lines() {
            let mut fields = line.split_ascii_whitespace();
            match (fields.next(), fields.next()) {
                (Some("AnonHugePages:"), Some(kilobytes)) => {
                    if let (Some((_, bytes)), Ok(kilobytes)) = (found.last_mut(), kilobytes.parse::<u64>()) {
                        *bytes = kilobytes << 10;
                    }
                }
                (Some(range), _) => {
                    let parsed = range.split_once('-').and_then(|(start, end)| {
                        let number = |text| usize::from_str_radix(text, 16).ok();
                        Some(number(start)?..number(end)?)
                    });
                    found.extend(parsed.map(|range| (range, 0)));
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(not(all(target_os = "linux", not(oxifaster_loom))))]
mod imp {
    use super::AtomicU64;

    pub(crate) fn resident_bytes(_: &[AtomicU64]) -> Option<u64> {
        None
    }

    /// Nobody says which memory lies on huge pages.
    pub(crate) enum HugePages {}

    impl HugePages {
        pub(crate) fn of_process() -> Option<Self> {
            None
        }

        pub(crate) fn bytes_of(&self, _: &[AtomicU64]) -> u64 {
            match *self {}
        }
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(oxifaster_loom)))]
mod tests {
    use super::*;
    use crate::memory::{Words, pretouch};
    use crate::sync::Ordering;

    const PAGE: usize = 4096 / 8;

    #[test]
    fn pages_are_there_once_they_were_written_to() {
        let page_size = rustix::param::page_size();
        // Less than a huge page, so that pages come one by one.
        let words = Words::zeroed(100 * page_size / 8 + 3).unwrap();
        assert_eq!(resident_bytes(&words), Some(0));
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert_eq!(resident_bytes(&words), Some(0), "reading takes no memory");
        for page in [0, 7, 8, 100] {
            words[page * page_size / 8].store(1, Ordering::Relaxed);
        }
        // Where everything gets huge pages, one may reach into the area from its neighbours.
        let at_least = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
            .is_ok_and(|enabled| enabled.contains("[always]"));
        let resident = resident_bytes(&words).unwrap() as usize;
        assert!(resident == 4 * page_size || at_least && resident > 4 * page_size, "{resident}");
    }

    #[test]
    fn areas_of_every_size_are_there_after_pretouch() {
        for len in [0, 1, PAGE, 600 * PAGE + 1, 20_000 * PAGE] {
            let words = Words::zeroed(len).unwrap();
            assert_eq!(resident_bytes(&words), Some(0));
            pretouch(&[&words]).unwrap();
            assert_eq!(resident_bytes(&words), Some(len as u64 * 8));
        }
    }

    #[test]
    fn huge_pages_are_counted_for_the_area_they_belong_to() {
        let areas = [Words::zeroed(3000 * PAGE).unwrap(), Words::zeroed(3000 * PAGE).unwrap()];
        pretouch(&[&areas[0]]).unwrap();
        let huge_pages = HugePages::of_process().unwrap();
        let [touched, other] = areas.map(|words| huge_pages.bytes_of(&words));
        assert!(touched <= 3000 * 4096 && touched.is_multiple_of(2 << 20), "{touched}");
        assert_eq!(other, 0);
    }
}
