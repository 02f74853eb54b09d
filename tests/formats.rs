//! Golden files: bytes that a released format has, and will have. The writer below is written from `docs/format.md` and
//! shares nothing with the library but the checksum, so the document, the files and the library check one another.
//!
//! A file of a released format is never changed. For a new format, `OXIFASTER_WRITE_FIXTURES=1` writes the files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its expectation does")]

use oxifaster::address::Address;
use oxifaster::checkpoint::{
    Aborted, Catalog, CheckpointKind, CheckpointToken, Generation, IndexPart, LogPart, Manifest, Piece, Schema,
    SessionCut, verify,
};
use oxifaster::clock::VirtualClock;
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::{Directory, FileDirectory};
use oxifaster::record::{Expiring, Expiry};
use oxifaster::scan::DoubleBufferedLogIterator;
use oxifaster::store::{FasterKv, FasterKvConfig, RecoveryTarget};
use oxifaster::utility::crc32c;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name)
}

/// The file is there and has these bytes.
fn assert_golden(name: &str, bytes: &[u8]) {
    let path = fixture(name);
    if std::env::var_os("OXIFASTER_WRITE_FIXTURES").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(golden == bytes, "{name} has other bytes than the format says");
}

const SNAPSHOT: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
const INCREMENT: u128 = 0xfedc_ba98_7654_3210_fedc_ba98_7654_3210;
const GENERATION: u32 = 0x5eed_0001;
const LATER_GENERATION: u32 = 0x5eed_0002;
/// The cut of the snapshot left one record out, which has this stamp.
const STAMP: u64 = 2;

/// A manifest as `docs/format.md` has it, around a body.
fn framed(body: &str) -> Vec<u8> {
    let covered = format!("oxifaster manifest 1\nlength {}\n{body}\n", body.len());
    let sum = crc32c(covered.as_bytes());
    format!("{covered}crc32c {sum:08x}\n").into_bytes()
}

const SNAPSHOT_BODY: &str = r#"{
  "token": "0123456789abcdef0123456789abcdef",
  "kind": "snapshot",
  "version": 1,
  "created": 1767225600000,
  "base": null,
  "schema": {
    "key_size": 8,
    "value_size": 8,
    "page_bits": 12,
    "key_hash": 1
  },
  "log": {
    "begin": 64,
    "start": 8192,
    "end": 12280,
    "buckets": 64,
    "pieces": [
      {
        "from": 0,
        "to": 8192,
        "file": null
      },
      {
        "from": 8192,
        "to": 12280,
        "file": "0123456789abcdef0123456789abcdef.log"
      }
    ],
    "generations": [
      {
        "from": 0,
        "generation": 1592590337
      },
      {
        "from": 4096,
        "generation": 1592590338
      }
    ],
    "aborted": [
      {
        "from": 8192,
        "to": 12280,
        "stamp": 2
      }
    ]
  },
  "index": null,
  "sessions": [
    {
      "guid": "000000000000000000000000000000aa",
      "serial": 338
    },
    {
      "guid": "ffffffffffffffffffffffffffffffff",
      "serial": 18446744073709551615
    }
  ]
}"#;

const INDEX_BODY: &str = r#"{
  "token": "00000000000000000000000000000001",
  "kind": "index",
  "version": 0,
  "created": 0,
  "base": null,
  "schema": {
    "key_size": 16,
    "value_size": 100,
    "page_bits": 25,
    "key_hash": 1
  },
  "log": null,
  "index": {
    "file": "00000000000000000000000000000001.index",
    "bytes": 8192,
    "generation": 4294967295,
    "buckets": 64,
    "overflow_buckets": 3,
    "replay_from": 64,
    "complete_at": 281474976710655,
    "generations": [
      {
        "from": 0,
        "generation": 7
      }
    ]
  },
  "sessions": []
}"#;

fn snapshot() -> Manifest {
    let file = || CheckpointToken::new(SNAPSHOT).log_file();
    let (page_2, cut) = (Address::new(8192), Address::new(12_280));
    Manifest {
        token: CheckpointToken::new(SNAPSHOT),
        kind: CheckpointKind::Snapshot,
        version: 1,
        created: 1_767_225_600_000,
        base: None,
        schema: Schema { key_size: Some(8), value_size: Some(8), expires: false, page_bits: 12, key_hash: 1 },
        log: Some(LogPart {
            begin: Address::new(64),
            start: page_2,
            end: cut,
            buckets: 64,
            pieces: vec![
                Piece { from: Address::new(0), to: page_2, file: None },
                Piece { from: page_2, to: cut, file: Some(file()) },
            ],
            generations: vec![
                Generation { from: Address::new(0), generation: GENERATION },
                Generation { from: Address::new(4096), generation: LATER_GENERATION },
            ],
            aborted: vec![Aborted { from: page_2, to: cut, stamp: STAMP as u16 }],
            closed: None,
            durable: false,
        }),
        index: None,
        sessions: vec![SessionCut { guid: 0xaa, serial: 338 }, SessionCut { guid: u128::MAX, serial: u64::MAX }],
    }
}

fn increment() -> Manifest {
    let mut manifest = snapshot();
    manifest.token = CheckpointToken::new(INCREMENT);
    manifest.kind = CheckpointKind::Incremental;
    manifest.base = Some(CheckpointToken::new(SNAPSHOT));
    manifest.version = 2;
    manifest.created += 1000;
    let log = manifest.log.as_mut().unwrap();
    let (from, to) = (log.end, Address::new(16_384));
    log.pieces.push(Piece { from, to, file: Some(manifest.token.log_file()) });
    log.aborted.clear();
    (log.start, log.end) = (to, to);
    manifest
}

fn index() -> Manifest {
    let token = CheckpointToken::new(1);
    Manifest {
        token,
        kind: CheckpointKind::Index,
        version: 0,
        created: 0,
        base: None,
        schema: Schema { key_size: Some(16), value_size: Some(100), expires: false, page_bits: 25, key_hash: 1 },
        log: None,
        index: Some(IndexPart {
            file: token.index_file(),
            bytes: 8192,
            generation: u32::MAX,
            buckets: 64,
            overflow_buckets: 3,
            replay_from: Address::new(64),
            complete_at: Address::MAX,
            generations: vec![Generation { from: Address::new(0), generation: 7 }],
        }),
        sessions: Vec::new(),
    }
}

fn fold_over() -> Manifest {
    let mut manifest = index();
    let other = CheckpointToken::new(2);
    manifest.kind = CheckpointKind::FoldOver;
    manifest.base = Some(other);
    manifest.log = Some(LogPart {
        begin: Address::new(1 << 25),
        start: Address::new((1 << 25) + 4088),
        end: Address::new((1 << 26) + 4088),
        buckets: 64,
        pieces: vec![
            Piece { from: Address::new(4088), to: Address::new(1 << 26), file: Some(other.log_file()) },
            Piece { from: Address::new(1 << 26), to: Address::new((1 << 26) + 4088), file: None },
        ],
        generations: vec![Generation { from: Address::new(0), generation: 7 }],
        aborted: vec![
            Aborted { from: Address::new(1 << 25), to: Address::new((1 << 25) + 8), stamp: 0 },
            Aborted { from: Address::new(1 << 26), to: Address::new((1 << 26) + 8), stamp: 1023 },
        ],
        closed: None,
        durable: false,
    });
    manifest.index = None;
    manifest
}

#[test]
fn manifests_have_the_bytes_that_the_document_says() {
    for (name, body, manifest) in [("snapshot", SNAPSHOT_BODY, snapshot()), ("index", INDEX_BODY, index())] {
        let bytes = framed(body);
        assert_golden(&format!("manifests/{name}.manifest"), &bytes);
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest, "{name}");
        assert_eq!(manifest.to_bytes().unwrap(), bytes, "{name}");
    }
}

#[test]
fn manifests_of_format_1_are_read() {
    for (name, manifest) in [("incremental", increment()), ("fold-over", fold_over())] {
        let bytes = manifest.to_bytes().unwrap();
        assert_golden(&format!("manifests/{name}.manifest"), &bytes);
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest, "{name}");
    }
}

/// The log of the checkpoints, in pages of 4 KiB: keys that count up with values that count down.
struct Log {
    /// Without the seals of blocks.
    bytes: Vec<u8>,
}

impl Log {
    const PAGE: usize = 4096;
    const BLOCK_PAYLOAD: usize = 4088;

    fn new() -> Self {
        let mut log = Self { bytes: vec![0; 4 * Self::PAGE] };
        let mut address = 64;
        for key in 0u64.. {
            if address % Self::PAGE + 24 > Self::PAGE {
                address = address.next_multiple_of(Self::PAGE);
            }
            if address + 24 > log.bytes.len() {
                break;
            }
            let version = if address == 8192 { STAMP } else { 1 };
            let header = 1 << 63 | version << 48;
            for (word, place) in [header, key, u64::MAX - key].into_iter().zip((address..).step_by(8)) {
                log.bytes[place..place + 8].copy_from_slice(&word.to_le_bytes());
            }
            address += 24;
        }
        log
    }

    /// Block `number`: the last one of a page has 8 bytes of the log here, and zeros. In a file it is bound to the file's token.
    fn block(&self, number: u64, token: Option<u128>) -> Vec<u8> {
        let (page, last) = (number as usize / 2, number % 2 == 1);
        let start = page * Self::PAGE + if last { Self::BLOCK_PAYLOAD } else { 0 };
        let end = if last { (page + 1) * Self::PAGE } else { start + Self::BLOCK_PAYLOAD };
        let of_log = if page == 0 { GENERATION } else { LATER_GENERATION };
        let generation = of_log ^ token.map_or(0, |token| crc32c(&token.to_le_bytes()));
        Self::sealed(&self.bytes[start..end], number, generation)
    }

    /// A block with these bytes of a log.
    fn sealed(payload: &[u8], number: u64, generation: u32) -> Vec<u8> {
        let mut block = payload.to_vec();
        block.resize(Self::BLOCK_PAYLOAD, 0);
        block.extend(generation.to_le_bytes());
        let sum = crc32c(&[block.as_slice(), &number.to_le_bytes()].concat());
        block.extend(sum.to_le_bytes());
        block
    }

    fn blocks(&self, numbers: std::ops::Range<u64>, token: Option<u128>) -> Vec<u8> {
        numbers.flat_map(|number| self.block(number, token)).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn checkpoints_of_format_1_verify() {
    let log = Log::new();
    assert_golden("log/LOCK", b"segment_size 1073741824\n");
    assert_golden("log/log.000000", &log.blocks(0..4, None));
    for (manifest, blocks) in [(snapshot(), 4..5), (increment(), 5..8)] {
        let name = |file: String| format!("checkpoints/{file}");
        assert_golden(&name(manifest.token.log_file()), &log.blocks(blocks, Some(manifest.token.get())));
        assert_golden(&name(manifest.token.manifest_file()), &manifest.to_bytes().unwrap());
    }
    let temporary = tempfile::tempdir().unwrap();
    copy(&fixture("log"), temporary.path());
    let device = FileSystemDisk::open(temporary.path()).unwrap();
    let directory = FileDirectory::open(fixture("checkpoints")).unwrap();
    let newest = Catalog::new(&directory).latest().unwrap().exactly().unwrap();
    assert_eq!(newest, increment());
    assert_eq!(directory.names().unwrap().len(), 4);
    for (number, values, aborted) in [(SNAPSHOT, 168 + 170 + 169, 1), (INCREMENT, 168 + 170 + 170 + 170, 0)] {
        let report = verify(&directory, Some(&device), CheckpointToken::new(number), &mut |_| {}).unwrap();
        assert!(report.is_sound() && report.is_complete(), "{:?}", report.defects);
        assert_eq!((report.records.values, report.records.aborted), (values, aborted));
    }
}

/// A log of text and bytes in one page of 16 KiB: keys and values of many lengths, values that became shorter, tombstones with and
/// without room for a value, an invalid record, and a record with its header at the end of a block.
struct TextLog {
    bytes: Vec<u8>,
    /// What is in it: `None` for a tombstone.
    records: Vec<(String, Option<Vec<u8>>)>,
}

impl TextLog {
    const PAGE: usize = 1 << 14;
    const BLOCKS: usize = 4;

    fn new() -> Self {
        let mut log = Self { bytes: vec![0; 64], records: Vec::new() };
        let end = Self::BLOCKS * Log::BLOCK_PAYLOAD;
        for number in 0u64.. {
            let key = format!("{number}{}", "k".repeat(number as usize % 19));
            let value: Vec<u8> = (0..number * 7 % 90).map(|at| (at * 3 + number) as u8).collect();
            let (is_deleted, is_invalid) = (number % 9 == 4, number % 31 == 17);
            // Deleted in its place, or by a record of its own.
            let is_bare = is_deleted && number % 2 == 0;
            let mut words = if is_bare { 0 } else { value.len().div_ceil(8) as u64 + number % 3 };
            // The header that comes next is to be the last word of the block.
            let next = |words: u64| log.bytes.len() + (3 + key.len().div_ceil(8) + words as usize) * 8;
            let (boundary, last) = (Log::BLOCK_PAYLOAD, Log::BLOCK_PAYLOAD - 8);
            if !is_bare && next(words) < boundary && boundary - next(words) < 200 {
                words += (last - next(words)) as u64 / 8;
            }
            if next(words) > end {
                break;
            }
            let header = 1 << 63 | 1 << 48 | u64::from(is_deleted) << 61 | u64::from(is_invalid) << 62;
            let len = if is_bare { 0 } else { value.len() as u64 };
            log.word(header);
            log.word(key.len() as u64 | words << 32);
            log.padded(key.as_bytes(), key.len().div_ceil(8));
            log.word(len | (number % 2) << 31 | (number * 2) << 32);
            log.padded(if is_bare { &[] } else { &value }, words as usize);
            if !is_invalid {
                log.records.push((key, (!is_deleted).then_some(value)));
            }
        }
        log.bytes.resize(Self::PAGE, 0);
        log
    }

    fn word(&mut self, word: u64) {
        self.bytes.extend(word.to_le_bytes());
    }

    fn padded(&mut self, bytes: &[u8], words: usize) {
        let end = self.bytes.len() + words * 8;
        self.bytes.extend(bytes);
        self.bytes.resize(end, 0);
    }

    fn manifest() -> Manifest {
        let end = Address::new((Self::BLOCKS * Log::BLOCK_PAYLOAD) as u64);
        let mut manifest = snapshot();
        manifest.kind = CheckpointKind::FoldOver;
        manifest.schema = Schema { key_size: None, value_size: None, expires: false, page_bits: 14, key_hash: 1 };
        let log = manifest.log.as_mut().unwrap();
        (log.start, log.end) = (end, end);
        log.pieces = vec![Piece { from: Address::new(0), to: end, file: None }];
        log.generations.truncate(1);
        log.aborted.clear();
        manifest
    }
}

#[test]
fn a_checkpoint_of_records_of_any_length_is_read() {
    let log = TextLog::new();
    let header = log.bytes[Log::BLOCK_PAYLOAD - 8..].first_chunk().map(|word| u64::from_le_bytes(*word)).unwrap();
    assert_eq!(header >> 48, 1 << 15 | 1, "the header of a record, at the end of a block");
    let blocks = (0..TextLog::BLOCKS).flat_map(|number| {
        let start = number * Log::BLOCK_PAYLOAD;
        Log::sealed(&log.bytes[start..start + Log::BLOCK_PAYLOAD], number as u64, GENERATION)
    });
    let manifest = TextLog::manifest();
    assert_golden("text/log/LOCK", b"segment_size 1073741824\n");
    assert_golden("text/log/log.000000", &blocks.collect::<Vec<u8>>());
    let bytes = manifest.to_bytes().unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\"key_size\": null,\n"));
    assert_golden(&format!("text/checkpoints/{}", manifest.token.manifest_file()), &bytes);
    let temporary = tempfile::tempdir().unwrap();
    copy(&fixture("text/log"), temporary.path());
    let device = FileSystemDisk::open(temporary.path()).unwrap();
    let directory = FileDirectory::open(fixture("text/checkpoints")).unwrap();
    let report = verify(&directory, Some(&device), manifest.token, &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.is_complete(), "{:?}", report.defects);
    let deleted = log.records.iter().filter(|(_, value)| value.is_none()).count() as u64;
    assert_eq!((report.records.values, report.records.tombstones), (log.records.len() as u64 - deleted, deleted));
    assert!(deleted > 5 && report.records.invalid > 1);
    let scanned = DoubleBufferedLogIterator::new(&directory, &manifest, Arc::new(device)).unwrap();
    let scanned: Vec<_> = scanned.map(Result::unwrap).filter(|record| !record.info.is_invalid()).collect();
    assert_eq!(scanned.len(), log.records.len());
    for (record, (key, value)) in scanned.iter().zip(&log.records) {
        assert_eq!(&*record.key, key.as_bytes());
        assert_eq!(&*record.value, value.as_deref().unwrap_or_default(), "{key}");
    }
}

/// A log with one large value in one page of 4 KiB: leaves of 16 bytes, lists of two, and a root with ten of those.
struct LargeLog {
    log: TextLog,
    value: Vec<u8>,
}

impl LargeLog {
    fn new() -> Self {
        let value: Vec<u8> = (0..300u64).map(|at| (at * 7) as u8).collect();
        let mut log = TextLog { bytes: vec![0; 64], records: Vec::new() };
        let title = 64u64;
        let fragment = |log: &mut TextLog, key: &[u8], level: u64, number: u64, bytes: &[u8]| {
            let at = log.bytes.len() as u64;
            log.word(1 << 63 | 1 << 62 | 1 << 60 | 1 << 48);
            log.word(key.len() as u64 | (2 + bytes.len().div_ceil(8) as u64) << 32);
            log.padded(key, key.len().div_ceil(8));
            log.word((16 + bytes.len() as u64) | 1 << 31);
            log.word(level << 48 | title);
            log.word(number);
            log.padded(bytes, bytes.len().div_ceil(8));
            at
        };
        fragment(&mut log, b"film", 255, 0, &[]);
        let (mut leaves, mut lists) = (Vec::new(), Vec::new());
        for (number, leaf) in value.chunks(16).enumerate() {
            leaves.extend(fragment(&mut log, &[], 0, number as u64, leaf).to_le_bytes());
            if leaves.len() == 16 || number == 18 {
                lists.push(fragment(&mut log, &[], 1, lists.len() as u64, &leaves));
                leaves.clear();
            }
        }
        log.word(1 << 63 | 1 << 60 | 1 << 48);
        log.word(4 | 13 << 32);
        log.padded(b"film", 1);
        log.word(104 | 1 << 31);
        for word in [300, 1 << 48 | title, 16].into_iter().chain(lists) {
            log.word(word);
        }
        log.bytes.resize(4096, 0);
        Self { log, value }
    }

    fn manifest() -> Manifest {
        let mut manifest = TextLog::manifest();
        manifest.schema.page_bits = 12;
        let log = manifest.log.as_mut().unwrap();
        let end = Address::new(Log::BLOCK_PAYLOAD as u64);
        (log.start, log.end, log.pieces[0].to) = (end, end, end);
        manifest.sessions.clear();
        manifest
    }
}

#[test]
fn a_large_value_is_read() {
    let LargeLog { log, value } = LargeLog::new();
    let manifest = LargeLog::manifest();
    assert_golden("large/log/LOCK", b"segment_size 1073741824\n");
    assert_golden("large/log/log.000000", &Log::sealed(&log.bytes[..Log::BLOCK_PAYLOAD], 0, GENERATION));
    let bytes = manifest.to_bytes().unwrap();
    assert_golden(&format!("large/checkpoints/{}", manifest.token.manifest_file()), &bytes);
    let temporary = tempfile::tempdir().unwrap();
    copy(&fixture("large/log"), temporary.path());
    let device = FileSystemDisk::open(temporary.path()).unwrap();
    let directory = FileDirectory::open(fixture("large/checkpoints")).unwrap();
    let report = verify(&directory, Some(&device), manifest.token, &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.is_complete(), "{:?}", report.defects);
    assert_eq!((report.records.values, report.records.fragments, report.records.invalid), (1, 1 + 19 + 10, 0));
    assert_eq!((report.large_values.values, report.large_values.bytes), (1, 300));
    let config = FasterKvConfig::default().with_page_size_bits(12).with_log_memory_size(8 << 12);
    let manifests = (&directory, RecoveryTarget::Token(manifest.token));
    let (store, _) =
        FasterKv::<String, Vec<u8>, _>::recover_from(manifests.0, manifests.1, config, device, &|_| ()).unwrap();
    let mut read = Vec::new();
    assert_eq!(store.start_session().read_into("film", &mut read).unwrap(), Some(300));
    assert_eq!(read, value);
}

/// An image of four chains as `docs/format.md` has it: one entry, eight in two buckets, a saturated chain, and an empty one.
fn image() -> Vec<u8> {
    let entry = |tag: u64, address: u64| 1 << 62 | tag << 48 | address;
    let mut words = vec![0u64; 5 * 8];
    words[0] = entry(5, 64);
    for place in 0..7 {
        words[8 + place] = entry(10 + place as u64, 1000 + place as u64 * 8);
        words[24 + place] = entry(20 + place as u64, 2000 + place as u64 * 8);
    }
    (words[15], words[16]) = (1, entry(17, 1056));
    words[31] = 1 << 63 | 3000;
    let mut block: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    block.resize(Log::BLOCK_PAYLOAD, 0);
    block.extend(GENERATION.to_le_bytes());
    let sum = crc32c(&[block.as_slice(), &0u64.to_le_bytes()].concat());
    block.extend(sum.to_le_bytes());
    block
}

/// The test of the library's image code reads and writes the same file.
#[test]
fn an_image_of_the_index_has_the_bytes_that_the_document_says() {
    let bytes = image();
    assert_golden("image/four-chains.index", &bytes);
    let (temporary, token) = (tempfile::tempdir().unwrap(), CheckpointToken::new(1));
    let mut manifest = index();
    let part = manifest.index.as_mut().unwrap();
    (part.bytes, part.generation, part.buckets, part.overflow_buckets) = (4096, GENERATION, 4, 1);
    std::fs::write(temporary.path().join(token.index_file()), &bytes).unwrap();
    let directory = FileDirectory::open(temporary.path()).unwrap();
    Catalog::new(&directory).write(&manifest).unwrap();
    let report = verify(&directory, None, token, &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.is_complete(), "{:?}", report.defects);
}

/// A value, and when it ends.
type Ending = ([u8; 12], Expiry);

/// A log of values that may end, in one block: some stay, some end, some keys were deleted.
struct EndingLog {
    bytes: Vec<u8>,
    /// What is in it; `None` for a tombstone.
    records: Vec<(u64, Option<Ending>)>,
}

impl EndingLog {
    /// Between the ends of two values.
    const NOW: u64 = 1_767_225_640_500;

    fn new() -> Self {
        let mut log = Self { bytes: vec![0; 64], records: Vec::new() };
        for key in 0u64..80 {
            let value: [u8; 12] = std::array::from_fn(|at| (key * 3) as u8 + at as u8);
            let (is_deleted, stays) = (key % 7 == 5, key.is_multiple_of(3));
            let end = if stays { u64::MAX } else { 1_767_225_600_000 + key * 1000 };
            let words = [1 << 63 | 1 << 48 | u64::from(is_deleted) << 61, key, 12 | (key * 2) << 32];
            log.bytes.extend(words.into_iter().flat_map(u64::to_le_bytes));
            log.bytes.extend(if is_deleted { 0 } else { end }.to_le_bytes());
            log.bytes.extend(if is_deleted { [0; 12] } else { value });
            log.bytes.extend([0; 4]);
            log.records.push((key, (!is_deleted).then_some((value, Expiry::at_ms(end)))));
        }
        log.bytes.resize(Log::BLOCK_PAYLOAD, 0);
        log
    }

    fn manifest() -> Manifest {
        let end = Address::new(Log::BLOCK_PAYLOAD as u64);
        let mut manifest = snapshot();
        manifest.kind = CheckpointKind::FoldOver;
        manifest.schema = Schema { key_size: Some(8), value_size: Some(12), expires: true, page_bits: 12, key_hash: 1 };
        let log = manifest.log.as_mut().unwrap();
        (log.start, log.end) = (end, end);
        log.pieces = vec![Piece { from: Address::new(0), to: end, file: None }];
        log.generations.truncate(1);
        log.aborted.clear();
        manifest.sessions.clear();
        manifest
    }
}

#[test]
fn a_checkpoint_of_values_that_end_is_read() {
    let (log, manifest) = (EndingLog::new(), EndingLog::manifest());
    assert_golden("ending/log/LOCK", b"segment_size 1073741824\n");
    assert_golden("ending/log/log.000000", &Log::sealed(&log.bytes, 0, GENERATION));
    let bytes = manifest.to_bytes().unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\"expires\": true,\n"));
    assert_golden(&format!("ending/checkpoints/{}", manifest.token.manifest_file()), &bytes);
    let temporary = tempfile::tempdir().unwrap();
    copy(&fixture("ending/log"), temporary.path());
    let directory = FileDirectory::open(fixture("ending/checkpoints")).unwrap();
    let device = Arc::new(FileSystemDisk::open(temporary.path()).unwrap());
    let report = verify(&directory, Some(&*device), manifest.token, &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.is_complete(), "{:?}", report.defects);
    let scanned = DoubleBufferedLogIterator::new(&directory, &manifest, device.clone()).unwrap();
    for (record, (key, value)) in scanned.map(Result::unwrap).zip(&log.records) {
        assert_eq!((&*record.key, record.info.is_tombstone()), (&key.to_le_bytes()[..], value.is_none()));
        if let Some((value, expiry)) = value {
            assert_eq!((&*record.value, record.expiry), (&value[..], *expiry), "{key}");
        }
    }
    let clock = Arc::new(VirtualClock::new(EndingLog::NOW));
    let config = FasterKvConfig::default().with_log_memory_size(6 << 12).with_table_size(64).with_clock(clock);
    let target = RecoveryTarget::Token(manifest.token);
    let (store, _) =
        FasterKv::<u64, Expiring<[u8; 12]>, _>::recover_from(&directory, target, config, device, &|_| ()).unwrap();
    let mut session = store.start_session();
    for (key, value) in &log.records {
        let expected = value.filter(|(_, expiry)| !expiry.is_over(EndingLog::NOW));
        let found = session.read(key).unwrap().map(|value| (*value, value.expiry()));
        assert_eq!(found, expected, "{key}");
    }
}
