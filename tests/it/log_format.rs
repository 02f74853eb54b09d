//! Golden bytes of a durable log. The writer below is written from `docs/log-format.md` and shares nothing with the library
//! but the checksum, so the document, the file and the library check one another.
//!
//! A file of a released format is never changed. For a new format, `OXIFASTER_WRITE_FIXTURES=1` writes the files.

use oxifaster::ErrorKind;
use oxifaster::address::Address;
use oxifaster::device::{FileSystemDisk, FileSystemDiskOptions};
use oxifaster::log::{CommitName, FasterLog, FasterLogConfig};
use oxifaster::utility::crc32c;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

const GENERATION: u32 = 0x5eed_0003;
const PAGE: usize = 4096;
const PAYLOAD: usize = 4088;

/// The first commit closes the first block; the second page has entries, and the second commit.
const RECORDS: [&str; 2] = [
    concat!(
        r#"{"number":0,"page_bits":12,"begin":64,"begin_number":0,"durable":64,"counted":64,"entries":0,"#,
        r#""time":1767225600000,"appended":64,"complete":false,"cookie":[],"named":true,"cursors":{},"holes":[],"links":[]}"#
    ),
    concat!(
        r#"{"number":1,"page_bits":12,"begin":64,"begin_number":0,"durable":4088,"counted":4096,"entries":0,"#,
        r#""time":1767225601000,"appended":4200,"complete":true,"cookie":[1,2,255],"named":true,"cursors":{"reader":4136},"#,
        r#""holes":[[4184,4200]],"links":[64]}"#
    ),
];

struct Log(Vec<u8>);

impl Log {
    /// Puts an entry at `at`; where the next may be.
    fn put(&mut self, at: usize, kind: u64, body: &[u8]) -> usize {
        let bare = 1 << 63 | kind << 60 | body.len() as u64;
        let place = [bare.to_le_bytes(), (at as u64).to_le_bytes()].concat();
        let sum = crc32c(&[body, &place, &GENERATION.to_le_bytes()].concat());
        let header = bare | u64::from(sum) << 28;
        self.0[at..at + 8].copy_from_slice(&header.to_le_bytes());
        self.0[at + 8..at + 8 + body.len()].copy_from_slice(body);
        at + 8 + body.len().next_multiple_of(8)
    }

    /// The blocks of the pages, the last of a page with 8 bytes of it.
    fn blocks(&self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            let start = number / 2 * PAGE + number % 2 * PAYLOAD;
            let mut block = self.0[start..(start + PAYLOAD).min((number / 2 + 1) * PAGE)].to_vec();
            block.resize(PAYLOAD, 0);
            block.extend(GENERATION.to_le_bytes());
            let sum = crc32c(&[block.as_slice(), &(number as u64).to_le_bytes()].concat());
            block.extend(sum.to_le_bytes());
            bytes.extend(block);
        }
        bytes
    }
}

fn bytes() -> Vec<u8> {
    let commit = |record: &str| [b"oxlog\0\0\x01", record.as_bytes()].concat();
    let mut log = Log(vec![0; 2 * PAGE]);
    log.put(64, 3, &commit(RECORDS[0]));
    let part = log.put(PAGE, 0, b"first");
    let between = log.put(part, 1, &[&0u64.to_le_bytes(), b"large ".as_slice()].concat());
    let last = log.put(between, 0, b"between");
    let head = [(part as u64).to_le_bytes(), 11u64.to_le_bytes()].concat();
    let cut_off = log.put(last, 2, &[head.as_slice(), b"entry"].concat());
    let record = log.put(cut_off, 0, b"cut off");
    assert_eq!((part, between, last, cut_off, record), (4112, 4136, 4152, 4184, 4200));
    log.put(record, 3, &commit(RECORDS[1]));
    log.blocks(3)
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/faster-log")
}

fn assert_golden(name: &str, bytes: &[u8]) {
    let path = fixture().join(name);
    if std::env::var_os("OXIFASTER_WRITE_FIXTURES").is_some() && !path.exists() {
        std::fs::create_dir_all(fixture()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(golden == bytes, "{name} has other bytes than the format says");
}

fn check(log: &FasterLog) {
    let entries = [(4096, b"first".as_slice()), (4136, b"between"), (4152, b"large entry")];
    let entries = entries.map(|(at, data)| (Address::new(at), data.to_vec()));
    assert_eq!(log.scan(..).map(Result::unwrap).collect::<Vec<_>>(), entries);
    assert_eq!((log.cookie(), log.cursor("reader")), (vec![1, 2, 255], Some(Address::new(4136))));
    assert_eq!((log.numbers().unwrap(), log.entry_at(2).unwrap()), (0..3, Some(Address::new(4152))));
    assert_eq!(log.read_entry(Address::new(4184)).unwrap_err().kind(), ErrorKind::NotFound, "it was cut off");
    let second = UNIX_EPOCH + Duration::from_millis(1_767_225_601_000);
    assert_eq!(log.first_after(second).unwrap(), Some(Address::new(4096)));
    assert_eq!(log.first_after(second + Duration::from_secs(1)).unwrap(), None);
    assert!(log.is_complete());
}

#[test]
fn a_log_of_format_1_is_read_and_has_the_bytes_that_the_document_says() {
    assert_golden("LOCK", b"segment_size 1073741824\n");
    assert_golden("log.000000", &bytes());
    let config = || FasterLogConfig::default().with_page_size_bits(12).with_memory(32 << 10);
    let temporary = tempfile::tempdir().unwrap();
    for name in ["LOCK", "log.000000"] {
        std::fs::copy(fixture().join(name), temporary.path().join(name)).unwrap();
    }
    let read_only = || FileSystemDiskOptions::new().with_read_only(true).open(temporary.path()).unwrap();
    check(&FasterLog::open_read_only(config(), read_only()).unwrap());
    let made = FasterLog::open_read_only_at(config(), read_only(), &CommitName::Number(0)).unwrap();
    assert_eq!((made.scan(..).count(), made.is_complete(), made.cookie()), (0, false, vec![]));
    let log = FasterLog::open(config(), FileSystemDisk::open(temporary.path()).unwrap()).unwrap();
    check(&log);
    assert_eq!(log.append(b"more").unwrap_err().kind(), ErrorKind::Unsupported);
    let commits: Vec<_> = log.commits().map(|commit| commit.unwrap().number).collect();
    assert_eq!(commits, [1, 0]);
}
