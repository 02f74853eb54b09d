//! Any bytes as a durable log: it opens, and gives what it holds, or an error says why not. No panic, no endless search.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxifaster::device::{CompletionQueue, IoRequest, MemoryDisk, StorageDevice};
use oxifaster::log::{CommitName, FasterLog, FasterLogConfig};
use oxifaster::memory::AlignedBuf;
use oxifaster::utility::crc32c;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const GENERATION: u32 = 7;
const PAGE: usize = 4096;
const PAYLOAD: usize = 4088;
const FIRST: usize = 64;

// The first byte says how much is put right, since otherwise nothing would ever get past the checksums: nothing, the blocks, or
// the blocks and a commit record whose text is given.
fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(8 * PAGE)];
    match mode % 3 {
        0 => look(bytes),
        1 => look(&sealed(bytes)),
        _ => {
            let (text, data) = bytes.split_at(bytes.len().min(1500));
            let mut log = vec![0; FIRST];
            put(&mut log, 0, data.get(..200).unwrap_or(data));
            put(&mut log, 3, &[b"oxlog\0\0\x01".as_slice(), text].concat());
            log.extend(data);
            look(&sealed(&log));
        }
    }
});

fn put(log: &mut Vec<u8>, kind: u64, body: &[u8]) {
    let bare = 1 << 63 | kind << 60 | body.len() as u64;
    let place = [bare.to_le_bytes(), (log.len() as u64).to_le_bytes()].concat();
    let sum = crc32c(&[body, &place, &GENERATION.to_le_bytes()].concat());
    log.extend((bare | u64::from(sum) << 28).to_le_bytes());
    log.extend(body);
    log.resize(log.len().next_multiple_of(8), 0);
}

fn sealed(log: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..log.len().div_ceil(PAGE) * 2 {
        let start = number / 2 * PAGE + number % 2 * PAYLOAD;
        let end = (start + PAYLOAD).min((number / 2 + 1) * PAGE).min(log.len()).max(start.min(log.len()));
        let mut block = log[start.min(log.len())..end].to_vec();
        block.resize(PAYLOAD, 0);
        block.extend(GENERATION.to_le_bytes());
        let sum = crc32c(&[block.as_slice(), &(number as u64).to_le_bytes()].concat());
        block.extend(sum.to_le_bytes());
        bytes.extend(block);
    }
    bytes
}

fn look(bytes: &[u8]) {
    let disk = MemoryDisk::new();
    if !bytes.is_empty() {
        let len = bytes.len().next_multiple_of(PAGE);
        let mut buf = AlignedBuf::zeroed(len);
        buf[..bytes.len()].copy_from_slice(bytes);
        let queue = CompletionQueue::new();
        disk.submit(IoRequest::write(0, len, buf), Arc::clone(&queue) as Arc<_>, 0);
        queue.take_within(Duration::from_secs(60)).expect("memory answers").1.result.expect("memory takes it");
    }
    let config = || {
        FasterLogConfig::default()
            .with_page_size_bits(12)
            .with_memory(32 << 10)
            .with_commit_interval(None)
            .with_wait_limit(Duration::from_secs(5))
    };
    let use_it = |log: FasterLog| {
        let found = log.scan(..).take_while(Result::is_ok).count();
        let _ = log.numbers();
        let _ = (log.entry_at(found as u64 / 2), log.first_after(UNIX_EPOCH), log.commits().take(100).count());
        for (address, data) in log.scan_all() {
            assert_eq!(log.read_entry(address).expect("it was scanned"), data);
        }
        found
    };
    let seen = FasterLog::open_read_only(config(), disk.duplicate()).map(use_it);
    let _ = FasterLog::open_read_only_at(config(), disk.duplicate(), &CommitName::Number(0)).map(use_it);
    if let Ok(log) = FasterLog::open(config().with_damage_accepted(true), disk) {
        let appended = log.append_and_wait(b"goes on");
        let found = use_it(log);
        assert!(seen.is_err() || appended.is_err() || found > 0);
    }
}
