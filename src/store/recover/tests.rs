//! Stores that are left at a quiet moment, and recovered.

use super::*;
use crate::address::Address;
use crate::allocator::{BLOCK_SIZE, bind};
use crate::checkpoint::{
    Aborted, CheckpointKind, CheckpointToken, ImageUse, LogPart, Piece, RecoveryPhase, Schema, SessionCut,
};
use crate::device::{CompletionQueue, CompletionSink, IoRequest, MemoryDisk, NullDisk};
use crate::directory::MemoryDirectory;
use crate::memory::AlignedBuf;
use crate::store::Session;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

type Store = FasterKv<u64, u64, MemoryDisk>;
type Oracle = BTreeMap<u64, u64>;

const TOKEN: CheckpointToken = CheckpointToken::new(0xabc);
const IMAGE: &str = "image";

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(1 << 20).with_page_size_bits(13)
}

fn open(config: FasterKvConfig, disk: &MemoryDisk) -> Store {
    FasterKv::open(config, disk.clone()).unwrap()
}

/// Writes an image that is complete with what lies at or above `replay_from`.
fn take_image(store: &Store, directory: &MemoryDirectory, replay_from: Address) -> IndexPart {
    directory.remove(IMAGE).unwrap();
    let file = directory.create(IMAGE).unwrap();
    let generation = 77;
    let size = {
        let (kernel, mut participant) = (&store.database.kernel, store.database.epoch.join());
        let mut buffer = vec![0; 1 << 16];
        kernel
            .index
            .write_image(&*file, generation, &mut buffer, &mut participant, &|at, guard| kernel.in_log(at, guard))
            .unwrap()
    };
    IndexPart {
        file: IMAGE.to_owned(),
        bytes: size.bytes,
        generation,
        buckets: size.buckets,
        overflow_buckets: size.overflow_buckets,
        generations: store.database.kernel.log.history().generations_below(Address::MAX),
        replay_from,
        complete_at: store.addresses().tail,
    }
}

/// What a fold-over at a moment without operations comes to.
fn fold_over(store: &Store) -> Manifest {
    store.flush().unwrap();
    let (at, log) = (store.addresses(), &store.database.kernel.log);
    let piece = Piece { from: Address::INVALID, to: at.tail, file: None };
    Manifest {
        token: TOKEN,
        kind: CheckpointKind::FoldOver,
        version: 5,
        created: 0,
        base: None,
        schema: Schema::of::<u64, u64>(log.geometry().page().page_bits()),
        log: Some(LogPart {
            begin: at.begin,
            start: at.tail,
            end: at.tail,
            buckets: store.index_stats().buckets,
            pieces: vec![piece],
            generations: log.history().generations_below(at.tail),
            aborted: log.history().aborted_from(at.begin),
            closed: None,
            durable: false,
        }),
        index: None,
        sessions: vec![SessionCut { guid: 9, serial: 1234 }],
    }
}

fn log_part(manifest: &mut Manifest) -> &mut LogPart {
    manifest.log.as_mut().unwrap()
}

/// Recovers, and says what `RecoveryProgress` told.
fn recover(
    directory: &MemoryDirectory,
    manifest: &Manifest,
    images: &[IndexPart],
    config: FasterKvConfig,
    disk: &MemoryDisk,
) -> Result<(Store, RecoveryReport)> {
    let told = crate::sync::Mutex::new(HashSet::new());
    let tell = |progress: RecoveryProgress| {
        assert!(progress.bytes_done <= progress.bytes_total, "{progress:?}");
        if progress.bytes_done == progress.bytes_total {
            told.lock().insert(progress.phase);
        }
    };
    let recovered = FasterKv::recover_manifest(directory, manifest, images, config, disk.clone(), &tell)?;
    assert!(told.lock().contains(&RecoveryPhase::Load) && told.lock().contains(&RecoveryPhase::Replay));
    Ok(recovered)
}

fn assert_holds(store: &Store, oracle: &Oracle, keys: u64) {
    let mut session = store.start_session();
    let keys: Vec<u64> = (0..keys).collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
        assert_eq!(value, oracle.get(key).copied(), "key {key}");
    }
}

/// Puts, changes and deletes `count` times, keys below `keys`.
fn work(session: &mut Session<u64, u64>, oracle: &mut Oracle, seed: u64, count: u64, keys: u64) {
    let mut random = seed;
    for step in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = (random >> 33) % keys;
        match (random >> 29) % 8 {
            0 => {
                session.delete(&key).unwrap();
                oracle.remove(&key);
            }
            1 | 2 => {
                session
                    .rmw(key, |value| {
                        *value += 1;
                        true
                    })
                    .unwrap();
                *oracle.entry(key).or_default() += 1;
            }
            _ => {
                session.upsert(key, step).unwrap();
                oracle.insert(key, step);
            }
        }
    }
}

/// A store larger than its memory, and what is in it.
fn sample(config: FasterKvConfig, count: u64, keys: u64) -> (Store, MemoryDisk, Oracle) {
    let (disk, mut oracle) = (MemoryDisk::new(), Oracle::new());
    let store = open(config, &disk);
    work(&mut store.start_session(), &mut oracle, 1, count, keys);
    (store, disk, oracle)
}

#[test]
fn a_store_is_recovered_with_an_image_and_without_and_goes_on() {
    let directory = MemoryDirectory::new();
    let (store, disk, mut oracle) = sample(config(), 60_000, 20_000);
    let image = take_image(&store, &directory, store.addresses().tail);
    work(&mut store.start_session(), &mut oracle, 2, 3000, 30_000);
    let manifest = fold_over(&store);
    let (at, stats) = (store.addresses(), store.index_stats());
    assert!(at.head > Address::new(1 << 18), "most is on the device: {at:?}");
    drop(store);
    for images in [vec![], vec![image.clone()]] {
        let (store, report) = recover(&directory, &manifest, &images, config(), &disk).unwrap();
        assert_holds(&store, &oracle, 30_000);
        assert_eq!((report.token, report.version), (TOKEN, 5));
        assert_eq!(report.sessions, manifest.sessions);
        assert_eq!((report.index_buckets, report.bytes_copied), (stats.buckets, 0));
        match report.image {
            ImageUse::None => assert!(images.is_empty() && report.records > 20_000, "{report:?}"),
            ImageUse::Used { file } => assert!(file == IMAGE && (1000..3000).contains(&report.records)),
            ImageUse::Unusable { error, .. } => panic!("{error}"),
        }
        let now = store.addresses();
        assert_eq!([now.begin, now.flushed, now.read_only, now.tail], [at.begin, at.tail, at.tail, at.tail]);
        assert_eq!(store.index_stats().saturated_buckets, 0);
    }
    // It goes on, is left again, and so once more.
    let mut manifest = manifest;
    let mut images = vec![image];
    for round in 0..4 {
        let (store, _) = recover(&directory, &manifest, &images, config(), &disk).unwrap();
        assert_holds(&store, &oracle, 30_000);
        work(&mut store.start_session(), &mut oracle, 3 + round, 2000, 30_000);
        store.evict().unwrap();
        assert_holds(&store, &oracle, 30_000);
        let replay_from = store.addresses().tail;
        images = if round % 2 == 0 { vec![] } else { vec![take_image(&store, &directory, replay_from)] };
        work(&mut store.start_session(), &mut oracle, 30 + round, 100_000, 30_000);
        manifest = fold_over(&store);
        assert_eq!(manifest.log.as_ref().unwrap().generations.len(), 2 + round as usize);
    }
}

#[test]
fn a_store_is_recovered_into_more_memory_and_into_less() {
    let directory = MemoryDirectory::new();
    let (store, disk, oracle) = sample(config(), 60_000, 20_000);
    let manifest = fold_over(&store);
    let image = take_image(&store, &directory, store.addresses().tail);
    let buckets = store.index_stats().buckets;
    drop(store);
    let budget = |bytes: u64| FasterKvConfig::default().with_memory_budget(bytes);
    for (config, made_from_log) in [
        (budget(1 << 20), buckets),
        (budget(6 << 17), buckets),
        (budget(64 << 20), 1 << 19),
        (budget(64 << 20).with_table_size(1), buckets),
        (budget(4 << 20).with_log_memory_size(4 << 13), 1 << 15),
        (FasterKvConfig::default(), 1 << 21),
    ] {
        for images in [vec![], vec![image.clone()]] {
            let (store, report) = recover(&directory, &manifest, &images, config.clone(), &disk).unwrap();
            assert_eq!(report.index_buckets, if images.is_empty() { made_from_log } else { buckets }, "{config:?}");
            assert_eq!(store.index_stats().buckets, report.index_buckets);
            let stats = store.stats();
            assert!(stats.memory.iter().map(|(_, bytes)| bytes).sum::<usize>() <= stats.memory_budget);
            assert_holds(&store, &oracle, 20_000);
            let mut session = store.start_session();
            for key in 20_000..60_000 {
                session.upsert(key, key).unwrap();
            }
            for key in 20_000..60_000 {
                assert_eq!(session.read(&key).unwrap(), Some(key));
            }
            drop((session, store));
            // What was added lies behind the cut, and is not part of the checkpoint.
            let (store, _) = recover(&directory, &manifest, &images, config.clone(), &disk).unwrap();
            assert_holds(&store, &oracle, 60_000);
        }
    }
    let too_small = recover(&directory, &manifest, &[image], budget(1 << 18), &disk).unwrap_err();
    assert_eq!(too_small.kind(), ErrorKind::Config);
    assert!(too_small.to_string().contains("memory_budget"), "{too_small}");
}

/// Stores whose index is much too small: chains of overflow buckets, and saturated buckets.
#[test]
fn chains_and_saturated_buckets_are_recovered() {
    for (table_size, keys, is_small) in
        [(64, 150, false), (1, 40, true), (8, 70, true), (8, 300, true), (64, 5000, true)]
    {
        let directory = MemoryDirectory::new();
        let config = || config().with_table_size(table_size).with_index_growth(false);
        let (store, disk, mut oracle) = sample(config(), keys * 5, keys);
        let image = take_image(&store, &directory, store.addresses().tail);
        let early = IndexPart { replay_from: store.addresses().begin, ..image.clone() };
        let saturated = store.index_stats().saturated_buckets;
        assert_eq!(saturated > 0, is_small, "{:?}", store.index_stats());
        work(&mut store.start_session(), &mut oracle, 5, keys, keys * 2);
        let manifest = fold_over(&store);
        drop(store);
        for (images, saturated) in [(vec![], 0), (vec![image], saturated), (vec![early], saturated)] {
            let (store, report) = recover(&directory, &manifest, &images, config(), &disk).unwrap();
            assert_holds(&store, &oracle, keys * 2);
            let stats = store.index_stats();
            assert_eq!((stats.buckets, stats.saturated_buckets), (table_size, saturated), "P2: {report:?}");
            assert_eq!(stats.overflow_buckets, report.overflow_buckets);
            work(&mut store.start_session(), &mut oracle.clone(), 6, keys, keys * 3);
        }
    }
}

/// The image leads to it, and its tombstone leads to nothing any more: the log begins behind it, in the same block.
#[test]
fn a_record_that_was_given_up_is_not_found_by_an_image_that_leads_to_it() {
    let (store, disk, mut oracle) = sample(config(), 0, 0);
    let directory = MemoryDirectory::default();
    let mut session = store.start_session();
    let mut places = Vec::new();
    for key in 0..4 {
        places.push(store.addresses().tail.max(Address::new(crate::allocator::FIRST)));
        session.upsert(key, key).unwrap();
        oracle.insert(key, key);
    }
    store.flush().unwrap();
    let image = take_image(&store, &directory, store.addresses().tail);
    session.delete(&0).unwrap();
    oracle.remove(&0);
    store.log_compact_until(places[1]).unwrap();
    assert_eq!(store.addresses().begin, places[1]);
    let manifest = fold_over(&store);
    drop((session, store));
    let (recovered, report) = recover(&directory, &manifest, &[image], config(), &disk).unwrap();
    assert!(matches!(report.image, ImageUse::Used { .. }));
    assert_holds(&recovered, &oracle, 4);
}

/// Records that the manifest says the cut left out are gone, in memory and on the device, whichever index is used, and stay
/// so in the checkpoints that follow.
#[test]
fn records_that_a_cut_left_out_are_no_part_of_the_store() {
    let directory = MemoryDirectory::new();
    for (before, after) in [(60_000, 3000), (3000, 60_000), (2000, 2000)] {
        let (store, disk, oracle) = sample(config(), before, 20_000);
        let image = take_image(&store, &directory, store.addresses().tail);
        // Closed to changes in place: what follows is in records of its own, which all lie above.
        store.flush().unwrap();
        let from = store.addresses().tail;
        work(&mut store.start_session(), &mut Oracle::new(), 7, after, 30_000);
        let mut manifest = fold_over(&store);
        drop(store);
        let log = log_part(&mut manifest);
        log.aborted.push(Aborted { from, to: log.end, stamp: 1 });
        for images in [vec![], vec![image]] {
            let (store, _) = recover(&directory, &manifest, &images, config(), &disk).unwrap();
            assert_holds(&store, &oracle, 30_000);
            let mut oracle = oracle.clone();
            work(&mut store.start_session(), &mut oracle, 8, 5000, 30_000);
            assert_holds(&store, &oracle, 30_000);
            let next = fold_over(&store);
            assert_eq!(next.log.as_ref().unwrap().aborted, manifest.log.as_ref().unwrap().aborted);
            drop(store);
            let (store, _) = recover(&directory, &next, &[], config(), &disk).unwrap();
            assert_holds(&store, &oracle, 30_000);
        }
    }
}

/// A snapshot: the young part of the log is in a file, and the device has something else in its place, or nothing.
#[test]
fn pieces_in_files_are_recovered_into_memory_that_holds_them_and_into_memory_that_does_not() {
    let directory = MemoryDirectory::new();
    let (store, disk, oracle) = sample(config(), 60_000, 20_000);
    let mut manifest = fold_over(&store);
    let geometry = store.database.kernel.log.geometry();
    drop(store);
    let end = manifest.log.as_ref().unwrap().end;
    let cut_at = |address: u64| geometry.start_of_block(geometry.block_of(Address::new(address)));
    let bounds = [cut_at(end.get() / 4), cut_at(end.get() / 2), end];
    let mut bytes = read_all(&disk);
    for (index, range) in bounds.windows(2).enumerate() {
        let (first, last) = (geometry.block_of(range[0]) as usize, geometry.block_of(range[1]) as usize);
        let token = CheckpointToken::new(index as u128 + 1);
        let in_file = &mut bytes[first * BLOCK_SIZE..last * BLOCK_SIZE];
        let mut bound = in_file.to_vec();
        (first as u64..).zip(bound.chunks_exact_mut(BLOCK_SIZE)).for_each(|(number, block)| {
            bind(block, number, token.binding());
        });
        let name = token.log_file();
        directory.create(&name).unwrap().write_at(0, &bound).unwrap();
        in_file.fill(0xaa);
        let piece = Piece { from: range[0], to: range[1], file: Some(name) };
        let pieces = &mut log_part(&mut manifest).pieces;
        pieces[index].to = range[0];
        pieces.push(piece);
    }
    for (budget, fits) in [(1 << 20, false), (16 << 20, true)] {
        let disk = MemoryDisk::new();
        write_all(&disk, &bytes);
        let config = FasterKvConfig::default().with_memory_budget(budget);
        let (store, report) = recover(&directory, &manifest, &[], config.clone(), &disk).unwrap();
        let at = store.addresses();
        assert_eq!((report.bytes_copied == 0, at.flushed), (fits, if fits { bounds[0] } else { end }));
        assert_eq!(read_all(&disk)[..] == bytes[..], fits, "a recovery into memory writes nothing");
        assert_holds(&store, &oracle, 20_000);
        store.evict().unwrap();
        assert_holds(&store, &oracle, 20_000);
        let next = fold_over(&store);
        assert_eq!(
            next.log.as_ref().unwrap().generations[1].from,
            bounds[0],
            "what came from files has a new generation"
        );
        drop(store);
        for manifest in [&next, &manifest] {
            let (store, _) = recover(&directory, manifest, &[], config.clone(), &disk).unwrap();
            assert_holds(&store, &oracle, 20_000);
        }
    }
}

/// To go back to an older checkpoint gives up the younger ones of the same device, and they are not taken for what they no
/// longer are.
#[test]
fn a_checkpoint_whose_blocks_were_written_over_is_refused_and_not_half_recovered() {
    let directory = MemoryDirectory::new();
    let (store, disk, mut oracle) = sample(config(), 20_000, 20_000);
    let older = fold_over(&store);
    let kept = oracle.clone();
    work(&mut store.start_session(), &mut oracle, 2, 20_000, 20_000);
    let younger = fold_over(&store);
    drop(store);
    let (store, _) = recover(&directory, &older, &[], config(), &disk).unwrap();
    assert_holds(&store, &kept, 20_000);
    work(&mut store.start_session(), &mut kept.clone(), 3, 40_000, 20_000);
    store.flush().unwrap();
    drop(store);
    let error = recover(&directory, &younger, &[], config(), &disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("another history"), "{error}");
    let (store, _) = recover(&directory, &older, &[], config(), &disk).unwrap();
    assert_holds(&store, &kept, 20_000);
}

#[test]
fn what_does_not_fit_the_checkpoint_is_refused_by_name() {
    let directory = MemoryDirectory::new();
    let (store, disk, _) = sample(config(), 1000, 500);
    let manifest = fold_over(&store);
    drop(store);
    let refused = |manifest: &Manifest, config: FasterKvConfig, disk: &MemoryDisk| {
        recover(&directory, manifest, &[], config, disk).err().unwrap()
    };
    let pages = refused(&manifest, config().with_page_size_bits(14), &disk);
    assert_eq!((pages.kind(), pages.field("its page_size_bits")), (ErrorKind::Config, Some("13")), "{pages}");
    let wrong = refused(&manifest, config().with_max_pending(0), &disk);
    assert_eq!(wrong.field("field"), Some("max_pending"), "{wrong}");
    let other =
        FasterKv::<u64, [u8; 9], _>::recover_manifest(&directory, &manifest, &[], config(), disk.clone(), &|_| ());
    let other = other.err().unwrap();
    assert_eq!((other.kind(), other.field("bytes of its values")), (ErrorKind::Config, Some("8")), "{other}");
    let index_only = Manifest { log: None, kind: CheckpointKind::Index, ..manifest.clone() };
    let index_only = refused(&index_only, config(), &disk);
    assert!(index_only.kind() == ErrorKind::Config && index_only.to_string().contains("no log"), "{index_only}");
    let empty = refused(&manifest, config(), &MemoryDisk::new());
    assert_eq!((empty.kind(), empty.field("bytes there")), (ErrorKind::Corrupt, Some("0")), "{empty}");
    assert!(empty.to_string().contains("missing"), "{empty}");
    let nothing =
        FasterKv::<u64, u64, _>::recover_manifest(&directory, &manifest, &[], config(), NullDisk::new(), &|_| ());
    assert_eq!(nothing.err().unwrap().kind(), ErrorKind::Config);
    let mut no_file = manifest.clone();
    log_part(&mut no_file).pieces[0].file = Some("gone".to_owned());
    let no_file = refused(&no_file, config(), &disk);
    assert_eq!((no_file.kind(), no_file.field("file")), (ErrorKind::NotFound, Some("gone")), "{no_file}");
    let mut nothing_there = manifest;
    log_part(&mut nothing_there).pieces.clear();
    assert_eq!(refused(&nothing_there, config(), &disk).kind(), ErrorKind::Corrupt);
}

#[test]
fn an_image_that_is_of_no_use_costs_time_and_no_key() {
    let directory = MemoryDirectory::new();
    let (store, disk, oracle) = sample(config(), 3000, 1000);
    let image = take_image(&store, &directory, store.addresses().tail);
    let manifest = fold_over(&store);
    drop(store);
    let whole = directory.open(IMAGE).unwrap();
    for (name, change) in [("cut-off", -1), ("too-long", 1)] {
        let mut bytes = vec![0; (image.bytes as i64 + change) as usize];
        whole.read_at(0, &mut bytes).unwrap();
        directory.create(name).unwrap().write_at(0, &bytes).unwrap();
    }
    let unfit = [
        IndexPart { file: "gone".to_owned(), ..image.clone() },
        IndexPart { file: "cut-off".to_owned(), ..image.clone() },
        IndexPart { file: "too-long".to_owned(), ..image.clone() },
        IndexPart { generation: 78, ..image.clone() },
        IndexPart { buckets: image.buckets / 2, ..image.clone() },
        IndexPart { overflow_buckets: image.overflow_buckets + 1, ..image.clone() },
        IndexPart { complete_at: Address::new(70), ..image.clone() },
        IndexPart { complete_at: Address::MAX, ..image.clone() },
        IndexPart { replay_from: Address::MAX, ..image.clone() },
    ];
    for unfit in unfit {
        let (store, report) = recover(&directory, &manifest, std::slice::from_ref(&unfit), config(), &disk).unwrap();
        let ImageUse::Unusable { file, error } = report.image else { panic!("{unfit:?} was used") };
        assert!(
            file == unfit.file && !error.to_string().is_empty() && report.records >= oracle.len() as u64,
            "{error}"
        );
        assert_holds(&store, &oracle, 1000);
        drop(store);
        // The next one is tried before all is replayed.
        let (_, report) = recover(&directory, &manifest, &[unfit, image.clone()], config(), &disk).unwrap();
        assert!(matches!(report.image, ImageUse::Used { .. }) && report.records == 0);
    }
}

/// A log and an image of a few blocks. Whatever byte of the log is damaged, the recovery fails with the block's place; a damaged
/// image is passed over.
#[test]
fn every_damaged_byte_is_found() {
    let directory = MemoryDirectory::new();
    let config = || config().with_table_size(4).with_memory_budget(1 << 18);
    let (store, disk, oracle) = sample(config(), 600, 80);
    let image = take_image(&store, &directory, store.addresses().begin);
    let manifest = fold_over(&store);
    drop(store);
    let mut bytes = vec![0; image.bytes as usize];
    directory.open(IMAGE).unwrap().read_at(0, &mut bytes).unwrap();
    let write_image = |bytes: &[u8]| {
        directory.remove(IMAGE).unwrap();
        directory.create(IMAGE).unwrap().write_at(0, bytes).unwrap();
    };
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        write_image(&bytes);
        let (store, report) = recover(&directory, &manifest, std::slice::from_ref(&image), config(), &disk).unwrap();
        let ImageUse::Unusable { error, .. } = report.image else { panic!("byte {at} is not noticed") };
        let block = at / BLOCK_SIZE * BLOCK_SIZE;
        assert_eq!(error.field("offset"), Some(block.to_string().as_str()), "{error}");
        if at % 97 == 0 {
            assert_holds(&store, &oracle, 80);
        }
        bytes[at] ^= 1 << (at % 8);
    }
    write_image(&bytes);
    let mut bytes = read_all(&disk).to_vec();
    assert!(bytes.len() <= 8 * BLOCK_SIZE, "{}", bytes.len());
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        write_all(&disk, &bytes);
        let error = recover(&directory, &manifest, &[], config(), &disk).err().unwrap();
        let block = at / BLOCK_SIZE * BLOCK_SIZE;
        let place = (error.kind(), error.field("device offset"));
        assert_eq!(place, (ErrorKind::Corrupt, Some(block.to_string().as_str())), "byte {at}: {error}");
        bytes[at] ^= 1 << (at % 8);
    }
    for blocks in 0..bytes.len() / BLOCK_SIZE {
        let disk = MemoryDisk::new();
        if blocks > 0 {
            write_all(&disk, &bytes[..blocks * BLOCK_SIZE]);
        }
        let error = recover(&directory, &manifest, std::slice::from_ref(&image), config(), &disk).err().unwrap();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("missing"), "{error}");
    }
    write_all(&disk, &bytes);
    let (store, _) = recover(&directory, &manifest, &[image], config(), &disk).unwrap();
    assert_holds(&store, &oracle, 80);
}

/// The index cannot be made from the log within the budget. With more memory, or with the image, it can.
#[test]
fn an_index_that_does_not_fit_is_an_error_and_not_a_smaller_store() {
    let directory = MemoryDirectory::new();
    let config = || FasterKvConfig::default().with_memory_budget(1 << 18).with_table_size(64);
    let (store, disk, oracle) = sample(config(), 60_000, 30_000);
    let image = take_image(&store, &directory, store.addresses().tail);
    let manifest = fold_over(&store);
    drop(store);
    let error = recover(&directory, &manifest, &[], config(), &disk).err().unwrap();
    assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("memory_budget"), "{error}");
    for (config, images) in [(config(), vec![image]), (config().with_memory_budget(1 << 20), vec![])] {
        let (store, _) = recover(&directory, &manifest, &images, config, &disk).unwrap();
        assert_holds(&store, &oracle, 30_000);
        let stats = store.stats();
        assert!(stats.memory.iter().map(|(_, bytes)| bytes).sum::<usize>() <= stats.memory_budget);
    }
}

#[test]
fn two_million_records_are_recovered_in_seconds() {
    const RECORDS: u64 = 2_000_000;
    let (directory, disk) = (MemoryDirectory::new(), MemoryDisk::new());
    let config = || FasterKvConfig::default().with_memory_budget(128 << 20);
    let store = open(config(), &disk);
    let mut session = store.start_session();
    for key in 0..RECORDS {
        session.upsert(key, key * 3).unwrap();
    }
    let image = take_image(&store, &directory, store.addresses().tail);
    let manifest = fold_over(&store);
    drop((session, store));
    for images in [vec![], vec![image]] {
        let started = Instant::now();
        let (store, report) = recover(&directory, &manifest, &images, config(), &disk).unwrap();
        // Far from what it takes, on a machine that is busy with other things too.
        assert!(started.elapsed() < Duration::from_secs(60), "{report:?}");
        assert_eq!(report.records, if images.is_empty() { RECORDS } else { 0 });
        let mut session = store.start_session();
        for key in (0..RECORDS).step_by(997) {
            assert_eq!(session.read(&key).unwrap(), Some(key * 3));
        }
    }
}

fn access(disk: &MemoryDisk, request: IoRequest) -> AlignedBuf {
    let queue = CompletionQueue::new();
    let len = request.len;
    disk.submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
    let done = queue.take_within(Duration::from_secs(60)).unwrap().1;
    assert_eq!(done.result.unwrap(), len);
    let mut buf = AlignedBuf::zeroed(len);
    buf.copy_from_slice(&done.buf[..len]);
    buf
}

fn read_all(disk: &MemoryDisk) -> AlignedBuf {
    let len = disk.info().extent as usize;
    access(disk, IoRequest::read(0, len, AlignedBuf::zeroed(len)))
}

fn write_all(disk: &MemoryDisk, bytes: &[u8]) {
    let mut buf = AlignedBuf::zeroed(bytes.len());
    buf.copy_from_slice(bytes);
    access(disk, IoRequest::write(0, bytes.len(), buf));
}
