use super::{Chain, ImageSize, ImageSource};
use crate::address::Address;
use crate::allocator::{BLOCK_PAYLOAD, BLOCK_SIZE, seal};
use crate::directory::{Directory, DirectoryFile, MemoryDirectory};
use crate::epoch::{LightEpoch, Participant};
use crate::error::{Error, ErrorKind};
use crate::index::{IndexConfig, MemIndex, Replay};
use crate::sync::Arc;
use crate::utility::KeyHash;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const GENERATION: u32 = 0x0a0b_0c0d;
const CUT: Address = Address::new(1 << 40);

/// The address of record `number`.
fn address_of(number: u64) -> Address {
    Address::new(number * 8)
}

fn hash(bucket: u64, tag: u64) -> KeyHash {
    KeyHash::from_raw(tag << (64 - KeyHash::TAG_BITS) | bucket)
}

fn index(buckets: u64, overflow_buckets: u64) -> MemIndex {
    MemIndex::new(IndexConfig { buckets, overflow_buckets }).unwrap()
}

fn set(index: &MemIndex, participant: &mut Participant, hash: KeyHash, address: u64) {
    let guard = participant.pin();
    index.try_update(index.find(hash, &guard), address_of(address)).unwrap();
}

fn get(index: &MemIndex, participant: &mut Participant, hash: KeyHash) -> u64 {
    let guard = participant.pin();
    index.find(hash, &guard).address().get() / 8
}

/// A file with an image of `index`, written in accesses of `buffer` bytes.
fn image(index: &MemIndex, buffer: usize) -> (Box<dyn DirectoryFile>, ImageSize) {
    let file = MemoryDirectory::new().create("image").unwrap();
    let size = {
        let (mut buffer, mut participant) = (vec![0xee; buffer], LightEpoch::new().join());
        index.write_image(&*file, GENERATION, &mut buffer, &mut participant, &|address, _| address).unwrap()
    };
    assert_eq!(Some(size), ImageSize::of(size.buckets, size.overflow_buckets));
    assert_eq!(file.len().unwrap(), size.bytes);
    (file, size)
}

fn source(file: &dyn DirectoryFile, size: ImageSize) -> ImageSource<'_> {
    let ImageSize { buckets, overflow_buckets, bytes } = size;
    ImageSource { name: "image", file, generation: GENERATION, buckets, overflow_buckets, bytes, complete_at: CUT }
}

fn load(file: &dyn DirectoryFile, size: ImageSize, overflow_buckets: u64) -> Result<MemIndex, Error> {
    let config = IndexConfig { buckets: size.buckets, overflow_buckets };
    MemIndex::load_image(config, &source(file, size), 1 << 16).map(|(index, _)| index)
}

/// An index of four buckets: one empty, one that is partly filled, one with a chain, and a saturated one.
fn sample() -> (MemIndex, BTreeMap<(u64, u64), u64>) {
    let (index, mut participant) = (index(4, 2), LightEpoch::new().join());
    let mut expected = BTreeMap::new();
    let tags = [(1, 3), (2, 16), (3, 10)];
    for (bucket, tag) in tags.into_iter().flat_map(|(bucket, count)| (0..count).map(move |tag| (bucket, tag))) {
        let address = 64 + bucket * 1000 + tag * 24;
        set(&index, &mut participant, hash(bucket, tag), address);
        expected.insert((bucket, tag), address);
    }
    let stats = index.stats();
    assert_eq!((stats.overflow_buckets_used, stats.saturated_buckets), (2, 1));
    // Bucket 3 got none: its last three tags share the catch-all.
    for tag in 7..10 {
        expected.insert((3, tag), 64 + 3000 + 9 * 24);
    }
    (index, expected)
}

fn assert_holds(index: &MemIndex, expected: &BTreeMap<(u64, u64), u64>) {
    let mut participant = LightEpoch::new().join();
    for ((bucket, tag), address) in expected {
        assert_eq!(get(index, &mut participant, hash(*bucket, *tag)), *address, "bucket {bucket}, tag {tag}");
    }
}

#[test]
fn an_image_gives_the_same_index_again() {
    let (index, expected) = sample();
    for buffer in [BLOCK_SIZE, 3 * BLOCK_SIZE + 17, 1 << 20] {
        let (file, size) = image(&index, buffer);
        assert_eq!((size.buckets, size.overflow_buckets, size.bytes), (4, 2, BLOCK_SIZE as u64));
        for overflow_buckets in [2, 3, 100] {
            let loaded = load(&*file, size, overflow_buckets).unwrap();
            assert_holds(&loaded, &expected);
            assert_eq!(loaded.stats(), crate::index::IndexStats { overflow_buckets, ..index.stats() });
        }
    }
}

#[test]
fn an_image_of_many_blocks_comes_back_whole() {
    let (index, mut participant) = (index(1 << 12, 1 << 9), LightEpoch::new().join());
    let places = |key: u64| KeyHash::of_bytes(&key.to_le_bytes());
    for key in 0..20_000 {
        set(&index, &mut participant, places(key), 64 + key * 24);
    }
    let (file, size) = image(&index, 3 * BLOCK_SIZE);
    assert!(size.bytes > 60 * BLOCK_SIZE as u64 && size.overflow_buckets > 100, "{size:?}");
    let loaded = load(&*file, size, 1 << 9).unwrap();
    assert_eq!(loaded.stats().entries, index.stats().entries);
    for key in 0..20_000 {
        let expected = get(&index, &mut participant, places(key));
        assert_eq!(get(&loaded, &mut participant, places(key)), expected);
    }
}

#[test]
fn what_is_freed_or_tentative_leaves_no_trace_and_a_tag_that_is_met_twice_has_its_younger_entry() {
    let (index, mut participant) = (index(1, 2), LightEpoch::new().join());
    for tag in 0..20 {
        set(&index, &mut participant, hash(0, tag), 64 + tag);
    }
    for tag in 3..20 {
        let guard = participant.pin();
        index.try_free(index.find(hash(0, tag), &guard)).unwrap();
    }
    // As if tag 1 had been freed and made anew while the image was taken, and tag 5 were just being claimed.
    let (first, _) = index.table().chain(0).next().unwrap();
    let (last, _) = index.table().chain(0).last().unwrap();
    let word = first.slots().nth(1).unwrap().load(Ordering::Relaxed);
    last.slots().nth(3).unwrap().store(word + 800, Ordering::Relaxed);
    let tentative = crate::index::entry::Entry::new(5, address_of(77)).tentative();
    last.slots().nth(4).unwrap().store(tentative.0, Ordering::Relaxed);
    let mut chain = Chain::new();
    for _ in 0..2 {
        chain.capture(index.table(), 0, &|address| address);
        let addresses: Vec<u64> = chain.entries.iter().map(|word| Address::from_word(*word).get() / 8).collect();
        assert_eq!((addresses, chain.end), (vec![64, 165, 66], 0));
    }
    let (file, size) = image(&index, BLOCK_SIZE);
    assert_eq!(size.overflow_buckets, 0, "entries are moved together");
    let loaded = load(&*file, size, 0).unwrap();
    assert_eq!((loaded.stats().entries, loaded.stats().saturated_buckets), (3, 0));
}

/// Puts `word` in place of word `at` of the image's payload, under a seal that verifies.
fn forge(file: &dyn DirectoryFile, at: usize, word: u64) -> (Box<dyn DirectoryFile>, u64) {
    let mut block = vec![0; BLOCK_SIZE];
    file.read_at(0, &mut block).unwrap();
    block[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
    seal(&mut block, 0, GENERATION);
    let forged = MemoryDirectory::new().create("image").unwrap();
    forged.write_at(0, &block).unwrap();
    (forged, at as u64 * 8)
}

#[test]
fn nonsense_under_a_seal_that_verifies_is_refused_with_its_place() {
    let (index, _) = sample();
    let (file, size) = image(&index, BLOCK_SIZE);
    let high = 1u64 << 63;
    for (at, word, what) in [
        (8, 1 << 62 | CUT.get(), "no entry"),
        (8, 1 << 62 | 7 << 48, "no entry"),
        (8, high | 64, "no entry"),
        (8, 64, "no entry"),
        (8, 1 << 62 | 3 << 48 | 97, "no entry"), // no record lies there
        (9, 1 << 62 | 2 << 48 | 96, "two entries of one tag"),
        (7, 2, "does not end"),
        (7, high | CUT.get(), "does not end"),
        (7, high | 1 << 62, "does not end"),
        (7, high | 1 << 48 | 64, "does not end"),
        (7, 1, "more overflow buckets"),
        (47, 1, "more overflow buckets"),
        (23, 0, "fewer buckets"),
    ] {
        let (forged, offset) = forge(&*file, at, word);
        let error = load(&*forged, size, 2).err().unwrap_or_else(|| panic!("{what}: word {at} is {word:#x}"));
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some("image")), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        let place: u64 = error.field("offset").unwrap().parse().unwrap();
        assert!(what.contains("buckets") || place == offset / 64 * 64 + 56, "{error}");
    }
    let mut more = size;
    more.overflow_buckets = 1;
    let error = load(&*file, more, 2).err().unwrap();
    assert!(error.to_string().contains("more overflow buckets"), "{error}");
}

#[test]
fn every_damaged_byte_of_an_image_is_found() {
    let (index, expected) = sample();
    let (file, size) = image(&index, BLOCK_SIZE);
    for at in 0..size.bytes {
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 1 << (at % 8)]).unwrap();
        let error = load(&*file, size, 2).err().unwrap();
        assert_eq!((error.kind(), error.field("offset")), (ErrorKind::Corrupt, Some("0")), "byte {at}: {error}");
        file.write_at(at, &byte).unwrap();
    }
    assert_holds(&load(&*file, size, 2).unwrap(), &expected);
}

#[test]
fn an_image_of_the_wrong_size_takes_no_memory() {
    let (index, _) = sample();
    let (file, size) = image(&index, BLOCK_SIZE);
    let wrong = [
        ImageSize { buckets: 1 << 36, ..size },
        ImageSize { overflow_buckets: u64::MAX, ..size },
        ImageSize { buckets: 3, ..size },
        ImageSize { bytes: size.bytes + 1, ..size },
        ImageSize::of(1 << 36, 0).unwrap(),
    ];
    for size in wrong {
        let error = load(&*file, size, 1 << 20).err().unwrap();
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some("image")), "{error}");
    }
    for len in 0..size.bytes {
        let cut_off = MemoryDirectory::new().create("image").unwrap();
        let mut bytes = vec![0; len as usize];
        file.read_at(0, &mut bytes).unwrap();
        cut_off.write_at(0, &bytes).unwrap();
        assert_eq!(load(&*cut_off, size, 2).err().unwrap().field("bytes there"), Some(len.to_string().as_str()));
    }
    let config = IndexConfig { buckets: 8, overflow_buckets: 2 };
    let error = MemIndex::load_image(config, &source(&*file, size), 1 << 16).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// What stands for a record: the next older one of its chain, and whether its key was deleted in place.
struct Record {
    key: u64,
    previous: u64,
    is_tombstone: bool,
}

/// An index that threads work on as operations do: an address is drawn, and then published or not.
struct World {
    index: MemIndex,
    epoch: Arc<LightEpoch>,
    next: AtomicU64,
    /// For every thread an address that is not larger than the one it is about to publish.
    begun: [AtomicU64; World::THREADS],
    log: Mutex<BTreeMap<u64, Record>>,
}

impl World {
    const THREADS: usize = 3;
    const FIRST: u64 = 64;

    fn new() -> Self {
        Self {
            index: index(2, 1),
            epoch: LightEpoch::new(),
            next: AtomicU64::new(Self::FIRST),
            begun: [(); Self::THREADS].map(|()| AtomicU64::new(u64::MAX)),
            log: Mutex::new(BTreeMap::new()),
        }
    }

    /// Makes a record of `key` the newest of its chain, unless somebody is faster.
    fn append(&self, thread: usize, key: KeyHash, participant: &mut Participant) {
        // Before the address is drawn, so that who waits for all smaller ones waits for this thread.
        self.begun[thread].store(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
        {
            let guard = participant.pin();
            // In this order, so that what is older in a chain has the smaller address.
            let slot = self.index.find(key, &guard);
            let address = self.next.fetch_add(1, Ordering::SeqCst);
            let record = Record { key: key.get(), previous: slot.address().get() / 8, is_tombstone: false };
            if self.index.try_update(slot, address_of(address)).is_ok() {
                self.log.lock().unwrap().insert(address, record);
            }
        }
        self.begun[thread].store(u64::MAX, Ordering::SeqCst);
    }

    /// Deletes the only record of a chain if it is of `key`, as the store does.
    fn delete(&self, key: KeyHash, participant: &mut Participant) {
        let guard = participant.pin();
        let slot = self.index.find(key, &guard);
        {
            let mut log = self.log.lock().unwrap();
            let Some(record) = log.get_mut(&(slot.address().get() / 8)) else { return };
            if record.key != key.get() || record.previous != 0 {
                return;
            }
            record.is_tombstone = true;
        }
        let _ = self.index.try_free(slot);
    }

    /// Keys of two buckets, each with more tags than fit. A key belongs to one thread.
    fn work(&self, thread: usize, seed: u64, stop: &AtomicBool) {
        let mut participant = self.epoch.join();
        let mut random = seed * World::THREADS as u64 + thread as u64;
        while !stop.load(Ordering::Relaxed) && self.next.load(Ordering::Relaxed) < 4000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = hash(random >> 40 & 1, (random >> 41) % 9 * World::THREADS as u64 + thread as u64);
            match random >> 60 {
                0..6 => self.delete(key, &mut participant),
                _ => self.append(thread, key, &mut participant),
            }
        }
    }

    /// An image is taken once some addresses have been drawn; returns the index it gives, and from where to replay.
    fn take_image(&self, after: u64) -> (MemIndex, u64) {
        while self.next.load(Ordering::SeqCst) < Self::FIRST + after {
            std::hint::spin_loop();
        }
        let replay_from = self.next.load(Ordering::SeqCst);
        while self.begun.iter().any(|begun| begun.load(Ordering::SeqCst) < replay_from) {
            std::hint::spin_loop();
        }
        let (file, size) = image(&self.index, BLOCK_SIZE);
        (load(&*file, size, 64).unwrap(), replay_from)
    }

    fn replay(&self, loaded: &MemIndex, from: u64) {
        let mut replay = Replay::new(loaded, self.epoch.join());
        for (address, record) in self.log.lock().unwrap().range(from..).rev() {
            if !(record.is_tombstone && record.previous == 0) {
                replay.add(KeyHash::from_raw(record.key), address_of(*address)).unwrap(); // P3
            }
        }
        replay.finish().unwrap();
    }

    /// From the entry of every key its newest record is reached, whatever else is in the chain.
    fn assert_is_whole(&self, loaded: &MemIndex, what: &str) {
        let log = self.log.lock().unwrap();
        let newest: BTreeMap<u64, u64> = log.iter().map(|(address, record)| (record.key, *address)).collect();
        let mut participant = self.epoch.join();
        for (key, newest) in newest {
            let mut at = get(loaded, &mut participant, KeyHash::from_raw(key));
            while at != 0 && log[&at].key != key {
                at = log[&at].previous;
            }
            // A key that is deleted may lead to nothing, or to an older record that was deleted where it lies: an image can
            // hold an entry that was freed meanwhile, and what came and went after that is left out of the replay (P3).
            let is_gone = at == 0 || log[&at].is_tombstone;
            let reached = at == newest || is_gone && log[&newest].is_tombstone;
            assert!(reached, "{what}: the newest record of {key:#x} is {newest}, and {at} was found");
        }
    }
}

/// G1 to G3 and P1 to P3: chains get overflow buckets and are saturated, entries are made and freed, and meanwhile an image is
/// taken. With the records behind it, it leads to the newest record of every key.
#[test]
fn an_image_and_the_records_behind_it_lead_to_every_key_whatever_others_did_meanwhile() {
    for round in 0..400 {
        let (world, stop) = (World::new(), AtomicBool::new(false));
        let (loaded, replay_from) = std::thread::scope(|scope| {
            for thread in 0..World::THREADS {
                let (world, stop) = (&world, &stop);
                scope.spawn(move || world.work(thread, round, stop));
            }
            let taken = world.take_image(round % 100);
            stop.store(round % 2 == 0, Ordering::Relaxed);
            taken
        });
        world.assert_is_whole(&world.index, "in memory");
        world.replay(&loaded, replay_from);
        world.assert_is_whole(&loaded, "from the image");
        let rebuilt = index(4, 64);
        world.replay(&rebuilt, 0);
        world.assert_is_whole(&rebuilt, "without an image");
    }
}

#[test]
fn replay_takes_the_largest_address_in_any_order_and_from_several_threads() {
    let (index, epoch) = (index(1 << 8, 1 << 8), LightEpoch::new());
    let places = |key: u64| KeyHash::of_bytes(&key.to_le_bytes());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (index, epoch) = (&index, &epoch);
            scope.spawn(move || {
                let mut replay = Replay::new(index, epoch.join());
                for step in 0..20_000 {
                    let at = (step * 7919 + thread * 31) % 20_000;
                    if at % 4 == thread {
                        replay.add(places(at % 1000), address_of(64 + at)).unwrap();
                    }
                }
                replay.finish().unwrap();
                assert_eq!(replay.records(), 5000);
            });
        }
    });
    let mut participant = epoch.join();
    for key in 0..1000 {
        assert_eq!(get(&index, &mut participant, places(key)), 64 + 19_000 + key);
    }
    assert_eq!(index.stats().saturated_buckets, 0);
}

#[test]
fn replay_saturates_no_chain_but_uses_the_catch_all_of_one_that_was() {
    let (index, expected) = sample();
    let (file, size) = image(&index, BLOCK_SIZE);
    let loaded = load(&*file, size, 3).unwrap();
    let mut replay = Replay::new(&loaded, LightEpoch::new().join());
    replay.add(hash(3, 100), address_of(90_000)).unwrap();
    replay.add(hash(3, 0), address_of(10)).unwrap();
    replay.add(hash(2, 16), address_of(91_000)).unwrap();
    for tag in 0..14 {
        replay.add(hash(1, tag), address_of(92_000 + tag)).unwrap();
    }
    replay.finish().unwrap();
    let mut expected = expected;
    for tag in 7..10 {
        expected.insert((3, tag), 90_000);
    }
    for tag in 0..14 {
        expected.insert((1, tag), 92_000 + tag);
    }
    assert_holds(&loaded, &expected);
    // There were two buckets for the second chain, and one for the first; then there is none.
    let mut replay = Replay::new(&loaded, LightEpoch::new().join());
    replay.add(hash(1, 14), address_of(93_000)).unwrap();
    let error = replay.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert_eq!(loaded.stats().saturated_buckets, 1, "{:?}", loaded.stats());
    assert_holds(&loaded, &expected);
    // With more room the same goes on, and what is not needed is given back.
    let loaded = loaded.with_overflow_buckets(100).unwrap();
    assert_holds(&loaded, &expected);
    let mut replay = Replay::new(&loaded, LightEpoch::new().join());
    replay.add(hash(1, 14), address_of(93_000)).unwrap();
    replay.finish().unwrap();
    let loaded = loaded.with_overflow_buckets(2).unwrap();
    expected.insert((1, 14), 93_000);
    assert_holds(&loaded, &expected);
    assert_eq!(loaded.config(), IndexConfig { buckets: 4, overflow_buckets: 4 }, "no fewer than are used");
}

#[test]
fn the_payload_of_a_block_is_no_multiple_of_a_bucket() {
    // Otherwise the tests above would not see a bucket in two blocks.
    assert_ne!(BLOCK_PAYLOAD % super::BUCKET_BYTES, 0);
}

/// The file that `docs/format.md` describes and `tests/formats.rs` writes from the description.
#[test]
fn the_golden_image_is_read_and_written_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1/image/four-chains.index");
    let golden = std::fs::read(path).unwrap();
    let (index, mut participant) = (index(4, 1), LightEpoch::new().join());
    let mut expected = BTreeMap::from([((0, 5), 8), ((1, 17), 132), ((2, 27), 375)]);
    for place in 0..7 {
        expected.extend([((1, 10 + place), 125 + place), ((2, 20 + place), 250 + place)]);
    }
    for ((bucket, tag), address) in &expected {
        set(&index, &mut participant, hash(*bucket, *tag), *address);
    }
    let file = MemoryDirectory::new().create("image").unwrap();
    let mut buffer = vec![0; BLOCK_SIZE];
    let generation = u32::from_le_bytes(*golden[BLOCK_PAYLOAD..].first_chunk().unwrap());
    let size = index.write_image(&*file, generation, &mut buffer, &mut participant, &|address, _| address).unwrap();
    assert_eq!((size.buckets, size.overflow_buckets, size.bytes), (4, 1, 4096));
    let mut written = vec![0; 4096];
    file.read_at(0, &mut written).unwrap();
    assert!(written == golden, "other bytes than those of the format");
    let image = ImageSource { generation, ..source(&*file, size) };
    let config = IndexConfig { buckets: 4, overflow_buckets: 1 };
    assert_holds(&MemIndex::load_image(config, &image, 1 << 16).unwrap().0, &expected);
}
