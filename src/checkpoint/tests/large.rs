//! Large values in checkpoints whose fragments are damaged, missing or others.

use super::sample;
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, Seal, seal};
use crate::checkpoint::block_map::BlockMap;
use crate::checkpoint::{CheckpointKind, CheckpointToken, VerifyReport, verify};
use crate::device::MemoryDisk;
use crate::directory::MemoryDirectory;
use crate::error::ErrorKind;
use crate::record::{Expiring, Fragment, RecordLayout, RecordSizes, Value};
use crate::store::{CheckpointOptions, FasterKv, FasterKvConfig};

const LENS: [usize; 3] = [5000, 50_000, 200_000];

/// A checkpoint whose log lies in one file.
struct Sample {
    directory: MemoryDirectory,
    token: CheckpointToken,
    layout: RecordLayout,
    map: BlockMap,
    from: Address,
    end: u64,
    bytes: Vec<u8>,
}

/// A fragment, where it lies, and bytes of its record.
type Found = (u64, Fragment, usize);

impl Sample {
    /// Of a store with large values, one of which was replaced and one never finished.
    fn new<V: Value + From<Vec<u8>>>() -> Self {
        let config =
            FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(2 << 20).with_table_size(16);
        let store: FasterKv<String, V, MemoryDisk> = FasterKv::open(config, MemoryDisk::new()).unwrap();
        let mut session = store.start_session();
        session.upsert("small".to_owned(), vec![1, 2, 3].into()).unwrap();
        for len in LENS.into_iter().chain([LENS[0]]) {
            session.upsert_from(format!("key {len}"), None, &vec![len as u8; len][..]).unwrap();
        }
        let mut unfinished = session.value_writer("never".to_owned(), None).unwrap();
        std::io::Write::write_all(&mut unfinished, &[7; 3000]).unwrap();
        drop(unfinished);
        let directory = MemoryDirectory::new();
        let options = CheckpointOptions::default().with_kind(CheckpointKind::Snapshot);
        let token = store.checkpoint_to(&directory, &options).unwrap().token;
        let manifest = crate::checkpoint::Catalog::new(&directory).load(token).unwrap();
        let log = manifest.log.unwrap();
        assert_eq!(log.pieces.len(), 1, "all of it in one file");
        let bytes = sample::bytes_of(&directory, &token.log_file());
        let (layout, map) = (manifest.schema.layout(), BlockMap::new(12).unwrap());
        Self { directory, token, layout, map, from: log.pieces[0].from, end: log.end.get(), bytes }
    }

    fn verify(&self) -> VerifyReport {
        verify(&self.directory, None, self.token, &mut |_| {}).unwrap()
    }

    /// Where in the file the byte at an address lies.
    fn offset(&self, at: u64) -> usize {
        let block = self.map.block_of(Address::new(at));
        let first = self.map.block_of(self.from);
        (block - first) as usize * BLOCK_SIZE + (at - self.map.start_of(block).get()) as usize
    }

    fn record(&self, at: u64, size: usize) -> Vec<u8> {
        (at..at + size as u64).map(|at| self.bytes[self.offset(at)]).collect()
    }

    fn sizes(&self, at: u64) -> RecordSizes {
        self.layout.sizes_told(u64::from_le_bytes(*self.record(at, 16).last_chunk().unwrap()))
    }

    /// All fragments of the log, in order.
    fn fragments(&self) -> Vec<Found> {
        let (mut at, mut found) = (64, Vec::new());
        while at < self.end {
            let head = self.record(at, 16);
            if head[..8] == [0; 8] {
                let block = self.map.block_of(Address::new(at));
                at = self.map.start_of(block).get() + self.map.len_of(block);
                continue;
            }
            let size = self.layout.size_in(&head).unwrap();
            if let Some((fragment, ..)) = Fragment::parse(self.layout, &self.record(at, size)) {
                found.push((at, fragment, size));
            }
            at += size as u64;
        }
        found
    }

    /// Changes the byte at an address, and seals its block as if that had been written. Verifies, and changes it back.
    fn changed(&self, at: u64) -> VerifyReport {
        let mut bytes = self.bytes.clone();
        let offset = self.offset(at);
        bytes[offset] ^= 1;
        let (start, number) = (offset / BLOCK_SIZE * BLOCK_SIZE, self.map.block_of(Address::new(at)));
        let block = &mut bytes[start..start + BLOCK_SIZE];
        let generation = Seal::of(block, number).generation;
        seal(block, number, generation);
        self.verify_with(&bytes)
    }

    fn verify_with(&self, bytes: &[u8]) -> VerifyReport {
        sample::replace(&self.directory, &self.token.log_file(), bytes);
        let report = self.verify();
        sample::replace(&self.directory, &self.token.log_file(), &self.bytes);
        report
    }

    /// The fragments that a root leads to: the last value was begun and never finished.
    fn in_use(&self) -> Vec<Found> {
        let mut found = self.fragments();
        let last = found.iter().rposition(|(_, fragment, _)| fragment.level == Fragment::TITLE).unwrap();
        found.truncate(last);
        found
    }
}

fn every_fragment_is_missed<V: Value + From<Vec<u8>>>() {
    let sample = Sample::new::<V>();
    let report = sample.verify();
    assert!(report.is_sound(), "{:?}", report.defects);
    let large = report.large_values;
    let bytes = LENS.iter().sum::<usize>() + LENS[0];
    assert_eq!((large.values, large.bytes, large.damaged), (4, bytes as u64, 0));
    assert_eq!((large.unchecked, large.replaced), (0, 0));
    let fragments = sample.fragments();
    assert_eq!((report.records.fragments, report.records.invalid), (fragments.len() as u64, 0));
    let levels: Vec<_> = fragments.iter().map(|(_, fragment, _)| fragment.level).collect();
    assert!([0, 1, Fragment::TITLE].iter().all(|level| levels.contains(level)), "titles, leaves and lists");
    for (at, fragment, size) in sample.in_use() {
        // Its title, its number, and the length of its value.
        let sizes = sample.sizes(at);
        for word in [sizes.value_word(), sizes.value_word() + 1, sizes.latch_word()] {
            let byte = 8 * word as u64;
            let report = sample.changed(at + byte);
            let [defect] = &report.defects[..] else { panic!("{fragment:?}, byte {byte}: {:?}", report.defects) };
            let place = (defect.place().to_owned(), defect.offset, defect.bytes);
            assert_eq!(place, (sample.token.log_file(), sample.offset(at) as u64, size as u64), "{fragment:?}");
            assert!(defect.what.contains("large value"), "{}", defect.what);
            assert_eq!((report.large_values.values, report.large_values.damaged), (3, 1));
        }
    }
}

#[test]
fn a_fragment_that_is_another_one_is_found_in_its_place() {
    every_fragment_is_missed::<Vec<u8>>();
}

#[test]
fn so_it_is_where_values_may_end() {
    every_fragment_is_missed::<Expiring<Vec<u8>>>();
}

/// What is damaged within a leaf is the block's defect, and the value's.
#[test]
fn a_block_that_does_not_verify_is_missed_by_its_value() {
    let sample = Sample::new::<Vec<u8>>();
    for (at, fragment, size) in sample.in_use() {
        let mut bytes = sample.bytes.clone();
        let last = at + size as u64 - 1;
        bytes[sample.offset(last)] ^= 1;
        let report = sample.verify_with(&bytes);
        // If its root lies there as well, nobody knows of it.
        assert!(report.large_values.values < 4, "{fragment:?} {:?}", report.defects);
        let block = sample.offset(last) / BLOCK_SIZE * BLOCK_SIZE;
        assert_eq!((report.defects[0].offset, report.defects[0].bytes), (block as u64, BLOCK_SIZE as u64));
        assert!(report.defects.iter().all(|defect| defect.offset < (block + BLOCK_SIZE) as u64));
    }
}

/// A file that ends early takes the values with it whose roots are not in what is left.
#[test]
fn what_is_missing_at_the_end_concerns_nobody_below() {
    let sample = Sample::new::<Vec<u8>>();
    let mut last = 4;
    for left in (0..sample.bytes.len() / BLOCK_SIZE).rev() {
        let report = sample.verify_with(&sample.bytes[..left * BLOCK_SIZE]);
        assert!(report.large_values.values <= last && !report.is_sound());
        assert!(report.large_values.damaged <= 1, "a root that is cut off");
        last = report.large_values.values;
    }
    assert_eq!(last, 0);
}

/// The root says more than is there, or leads upwards.
#[test]
fn a_root_that_makes_no_sense_is_found() {
    let sample = Sample::new::<Vec<u8>>();
    let (last, _, size) = *sample.in_use().iter().rfind(|(_, fragment, _)| fragment.level != Fragment::TITLE).unwrap();
    let root = last + size as u64;
    let value = root + 8 * sample.sizes(root).value_word() as u64;
    // Its length, the title, the level of what is below, bytes of a leaf.
    for (byte, what) in
        [(0, "leaf 5"), (1, "makes no sense"), (8, "title"), (14, "makes no sense"), (16, "makes no sense")]
    {
        let report = sample.changed(value + byte);
        assert_eq!((report.defects.len(), report.large_values.damaged), (1, 1), "byte {byte}: {:?}", report.defects);
        assert!(report.defects[0].what.contains(what), "byte {byte}: {}", report.defects[0].what);
    }
    assert_eq!(sample.verify().large_values.values, 4);
    let missing = verify(&sample.directory, None, CheckpointToken::new(1), &mut |_| {}).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}
