//! A log that is left, and taken up again at a cut.

use super::*;
use crate::allocator::{
    Aborted, BlockReader, Generation, History, LogState, Piece, PieceFile, Pieces, ReadLimits, Scan, Visitor, bind,
};
use crate::directory::{Directory, MemoryDirectory};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

const LAYOUT: RecordLayout = RecordLayout::of::<u64, u64>();
/// The stamp of the records that the cut leaves out.
const ABORTED: u16 = 3;
/// What the blocks of files are bound to.
const BINDING: u32 = 0x1234_5678;
const NEW_GENERATION: u32 = 0x0807_0605;
const LIMITS: ReadLimits = ReadLimits { buffer_bytes: 1 << 16, wait: LIMIT };

/// A log at rest: what it holds, and where it ends.
struct Left {
    disk: MemoryDisk,
    page_bits: u32,
    /// Key and stamp by address.
    records: BTreeMap<Address, (u64, u16)>,
    end: Address,
}

/// A block of the device, as it lies in a file.
fn bound(mut block: IoBuf, number: u64) -> IoBuf {
    bind(&mut block, number, BINDING);
    block
}

impl Left {
    /// A log of `count` small records, whose keys count up. Here and there a block is closed early.
    fn with(page_bits: u32, count: u64) -> Self {
        let world = World::new(page_bits);
        let mut participant = world.epoch.join();
        let mut records = BTreeMap::new();
        for key in 0..count {
            let stamp = if key % 5 == 0 { ABORTED } else { 0 };
            records.insert(world.append_stamped(&mut participant, key, &(key * 7), stamp), (key, stamp));
            if key % 700 == 699 {
                world.flush();
            }
        }
        let end = world.flush();
        Self { disk: world.disk.clone(), page_bits, records, end }
    }

    /// The history with everything in the second half aborted that carries the stamp.
    fn history(&self) -> History {
        let generations = vec![Generation { from: Address::INVALID, generation: GENERATION }];
        History::new(generations, vec![Aborted { from: self.middle(), to: self.end, stamp: ABORTED }])
    }

    fn middle(&self) -> Address {
        Address::new(self.end.get() / 2)
    }

    fn pieces(&self, frames: u64, pieces: Vec<Piece>) -> Pieces {
        let geometry = config(self.page_bits, frames).geometry;
        Pieces::new(geometry, self.history(), pieces, Arc::new(self.disk.clone())).unwrap()
    }

    fn on_device(&self, frames: u64) -> Pieces {
        self.pieces(frames, vec![Piece { from: Address::INVALID, to: self.end, file: None }])
    }

    fn is_left_out(&self, address: Address, stamp: u16) -> bool {
        stamp == ABORTED && address >= self.middle()
    }

    /// The log taken up again, with everything below `flushed` on the device.
    fn recover(&self, frames: u64, pieces: &Pieces, flushed: Address) -> World {
        let (epoch, begin) = (LightEpoch::new(), Address::new(FIRST));
        let head = pieces.geometry.oldest_in_memory(self.end).max(begin);
        let history = pieces.history.with_generation(flushed, Address::MAX, NEW_GENERATION);
        let state = LogState { begin, head, flushed, end: self.end, history };
        let read = AtomicU64::new(0);
        let progress = |bytes| {
            read.fetch_add(bytes, Ordering::Relaxed);
        };
        let scan = Scan { pieces, layout: LAYOUT, range: head..self.end, limits: LIMITS, progress: &progress };
        let log =
            HybridLog::recovered(config(self.page_bits, frames), state, Arc::clone(&epoch), &scan, 2, true).unwrap();
        assert_eq!(read.load(Ordering::Relaxed), scan.bytes());
        World { epoch, log, disk: self.disk.clone() }
    }

    /// Every record is where it was, valid or not, in memory and on the device.
    fn assert_is_whole(&self, world: &World) {
        let mut participant = world.epoch.join();
        let mut in_memory = 0;
        for (address, (key, stamp)) in &self.records {
            let left_out = self.is_left_out(*address, *stamp);
            let guard = participant.pin();
            if *address >= world.log.addresses().head {
                in_memory += 1;
                let record = world.log.view(&guard).record(*address, LAYOUT);
                assert!(record.key_is::<u64, u64>(key));
                assert_eq!((record.value::<u64, u64>().unwrap(), record.info().version()), (key * 7, *stamp));
                assert_eq!(record.info().is_invalid(), left_out, "in memory, at {address}");
            }
            drop(guard);
            if *address < world.log.addresses().flushed {
                let record = world.fetch::<u64>(*address).unwrap();
                assert_eq!((record.key, record.value, record.info.version()), (*key, Some(key * 7), *stamp));
                assert_eq!(record.info.is_invalid(), left_out, "on the device, at {address}");
            }
        }
        assert!(in_memory > 0, "{:?}", world.log.addresses());
    }
}

/// Lists records.
struct Lister<'l> {
    left: &'l Left,
    found: BTreeMap<Address, u64>,
}

impl Visitor for Lister<'_> {
    fn wants_records(&self) -> bool {
        true
    }

    fn record(&mut self, at: Address, info: RecordInfo, bytes: &[u8]) -> Result<()> {
        let record = RecordLayout::parse::<u64, u64>(bytes)?;
        assert_eq!(info.is_invalid(), self.left.is_left_out(at, info.version()));
        assert!(self.found.insert(at, record.key).is_none());
        Ok(())
    }
}

fn list(left: &Left, pieces: &Pieces, from: Address, threads: usize) -> Result<BTreeMap<Address, u64>> {
    let scan = Scan { pieces, layout: LAYOUT, range: from..left.end, limits: LIMITS, progress: &|_| () };
    let listers = (0..threads).map(|_| Lister { left, found: BTreeMap::new() }).collect();
    Ok(scan.run(listers)?.into_iter().flat_map(|lister| lister.found).collect())
}

#[test]
fn a_scan_meets_every_record_once_from_wherever_it_begins() {
    for (page_bits, count) in [(12, 5000), (14, 5000), (20, 20_000)] {
        let left = Left::with(page_bits, count);
        let pieces = left.on_device(4);
        let all: Vec<Address> = left.records.keys().copied().collect();
        for from in [0, 1, all.len() / 3, all.len() - 1] {
            for threads in [1, 3] {
                let found = list(&left, &pieces, all[from], threads).unwrap();
                assert!(found.keys().copied().eq(all[from..].iter().copied()), "{page_bits} from {from}");
                assert!(found.iter().all(|(address, key)| left.records[address].0 == *key));
            }
        }
        assert!(list(&left, &pieces, left.end, 2).unwrap().is_empty());
    }
}

#[test]
fn a_log_goes_on_where_it_was_cut_with_more_memory_or_less() {
    for (page_bits, count) in [(12, 10), (12, 3000), (13, 3000), (16, 3000)] {
        let left = Left::with(page_bits, count);
        for frames in [4, 5, 64] {
            let pieces = left.on_device(frames);
            let world = left.recover(frames, &pieces, left.end);
            left.assert_is_whole(&world);
            let at = world.log.addresses();
            assert_eq!([at.flushed, at.safe_read_only, at.read_only, at.tail], [left.end; 4]);
            let mut participant = world.epoch.join();
            let added: Vec<Address> =
                (0..3000).map(|key| world.append(&mut participant, 1_000_000 + key, &key)).collect();
            let gap = added[0].get() - left.end.get();
            assert!(gap < LAYOUT.planned_size() as u64, "the log goes on at the cut, or on the page behind it");
            world.evict_until(world.flush());
            for (key, address) in (0..).zip(&added) {
                let record = world.fetch::<u64>(*address).unwrap();
                assert_eq!((record.key, record.value), (1_000_000 + key, Some(key)));
                assert!(!record.info.is_invalid());
            }
            for (address, (key, _)) in left.records.iter().step_by(37) {
                assert_eq!(world.fetch::<u64>(*address).unwrap().key, *key);
            }
        }
    }
}

#[test]
fn what_another_future_left_behind_the_cut_is_not_served() {
    let left = Left::with(13, 3000);
    let world = left.recover(4, &left.on_device(4), left.end);
    let mut participant = world.epoch.join();
    let address = world.append(&mut participant, 1, &1u64);
    world.flush();
    assert_eq!(world.fetch::<u64>(address).unwrap().key, 1);
    drop(world);
    // Taken up again at the same cut, with another generation.
    let pieces = left.on_device(4);
    let history = pieces.history.with_generation(left.end, Address::MAX, 99);
    let state = LogState { begin: Address::new(FIRST), head: left.end, flushed: left.end, end: left.end, history };
    let scan = Scan { pieces: &pieces, layout: LAYOUT, range: left.end..left.end, limits: LIMITS, progress: &|_| () };
    let epoch = LightEpoch::new();
    let log = HybridLog::recovered(config(13, 4), state, Arc::clone(&epoch), &scan, 1, false).unwrap();
    let world = World { epoch, log, disk: left.disk.clone() };
    let error = world.fetch::<u64>(address).unwrap_err();
    assert_corrupt(&error, address);
    assert!(error.to_string().contains("another history"), "{error}");
}

#[test]
fn a_piece_in_a_file_is_loaded_and_written_to_the_device_later() {
    let left = Left::with(13, 600);
    let geometry = config(13, 64).geometry;
    let from = geometry.start_of_block(geometry.block_of(left.middle()));
    // The blocks from there on go to a file, and other bytes take their place on the device.
    let (directory, blocks) = (MemoryDirectory::new(), geometry.block_of(from)..geometry.block_of(left.end));
    let file = directory.create("piece").unwrap();
    let world = left.recover(64, &left.on_device(64), left.end);
    for (index, number) in (0..).zip(blocks.clone()) {
        file.write_at(index * BLOCK_SIZE as u64, &bound(world.block(number), number)).unwrap();
        world.flip_bit(number, 100);
    }
    drop(world);
    let file =
        || Some(PieceFile { name: "piece".to_owned(), binding: BINDING, file: directory.open("piece").unwrap() });
    let pieces = || {
        let on_device = Piece { from: Address::INVALID, to: from, file: None };
        left.pieces(64, vec![on_device, Piece { from, to: left.end, file: file() }])
    };
    let all = list(&left, &pieces(), Address::new(FIRST), 2).unwrap();
    assert!(all.keys().eq(left.records.keys()));
    let world = left.recover(64, &pieces(), from);
    assert_eq!(world.log.addresses().flushed, from);
    left.assert_is_whole(&world);
    assert!(world.fetch::<u64>(left.end).is_err(), "not yet written");
    world.flush();
    assert!(world.log.addresses().flushed >= left.end);
    left.assert_is_whole(&world);
    for number in blocks {
        assert_eq!(world.block(number)[BLOCK_PAYLOAD..BLOCK_PAYLOAD + 4], NEW_GENERATION.to_le_bytes());
    }
}

#[test]
fn every_damaged_block_and_every_missing_one_is_found_with_its_place() {
    let left = Left::with(12, 400);
    let pieces = left.on_device(4);
    let world = left.recover(4, &pieces, left.end);
    for number in 0..pieces.geometry.block_of(left.end) {
        for byte in [0, 64, BLOCK_PAYLOAD, BLOCK_SIZE - 1] {
            world.flip_bit(number, byte);
            let error = list(&left, &pieces, Address::new(FIRST), 1).unwrap_err();
            assert_corrupt(&error, pieces.geometry.start_of_block(number));
            let offset = (number * BLOCK_SIZE as u64).to_string();
            assert_eq!(error.field("device offset"), Some(offset.as_str()), "{error}");
            world.flip_bit(number, byte);
        }
    }
    let directory = MemoryDirectory::new();
    let file = directory.create("piece").unwrap();
    for number in 0..pieces.geometry.block_of(left.end) {
        file.write_at(number * BLOCK_SIZE as u64, &bound(world.block(number), number)).unwrap();
        let in_file =
            Some(PieceFile { name: "piece".to_owned(), binding: BINDING, file: directory.open("piece").unwrap() });
        let pieces = left.pieces(4, vec![Piece { from: Address::INVALID, to: left.end, file: in_file }]);
        let result = list(&left, &pieces, Address::new(FIRST), 2);
        if number + 1 == pieces.geometry.block_of(left.end) {
            assert_eq!(result.unwrap().len(), left.records.len());
            continue;
        }
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some("piece")), "{error}");
        assert!(error.to_string().contains("missing"), "{error}");
    }
    let elsewhere = Piece { from: Address::new(4096), to: left.end, file: None };
    let error = list(&left, &left.pieces(4, vec![elsewhere]), Address::new(FIRST), 2).unwrap_err();
    assert!(error.to_string().contains("no piece"), "{error}");
}

#[test]
fn pieces_that_do_not_follow_one_another_are_refused() {
    let left = Left::with(12, 400);
    let piece = |from, to| Piece { from: Address::new(from), to: Address::new(to), file: None };
    for wrong in [
        vec![piece(0, 4088), piece(4096, 8184)],
        vec![piece(0, 4096), piece(4088, 8184)],
        vec![piece(0, 4000)],
        vec![piece(8, 4088)],
        vec![piece(4088, 4088)],
    ] {
        let geometry = config(12, 4).geometry;
        let made = Pieces::new(geometry, left.history(), wrong, Arc::new(MemoryDisk::new()));
        assert_eq!(made.err().unwrap().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_reader_gives_the_blocks_of_a_range_in_order_however_small_its_buffers_are() {
    let left = Left::with(12, 3000);
    let pieces = left.on_device(4);
    for buffer_bytes in [0, 1 << 14, 1 << 17, 1 << 30] {
        let mut reader = BlockReader::new(&pieces, ReadLimits { buffer_bytes, wait: LIMIT });
        let mut ranges = [3..7, 20..20, 8..30].into_iter();
        let mut numbers = Vec::new();
        while let Some(verified) = reader.next(|| ranges.next()).unwrap() {
            numbers.extend(verified.iter().map(|(number, _)| number));
            reader.give_back(verified);
        }
        assert!(numbers.into_iter().eq((3..7).chain(8..30)), "with {buffer_bytes}");
    }
}
