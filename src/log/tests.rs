mod ordinal;
mod scan;

use super::entry::Kind;
use super::{FasterLog, FasterLogConfig};
use crate::address::Address;
use crate::device::{CompletionQueue, CompletionSink, IoDone, IoRequest, MemoryDisk, StorageDevice};
use crate::error::ErrorKind;
use crate::memory::AlignedBuf;
use crate::sync::Arc;
use std::time::Duration;

/// Pages of 4 KiB, a few of them; commits only when asked.
fn config() -> FasterLogConfig {
    FasterLogConfig::default().with_page_size_bits(12).with_memory(32 << 10).with_commit_interval(None)
}

fn open(disk: &MemoryDisk) -> FasterLog {
    FasterLog::open(config(), disk.clone()).unwrap()
}

/// Entry `number`: its bytes tell which one it is.
fn data(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
}

fn sizes() -> impl Iterator<Item = usize> {
    [0, 1, 7, 8, 9, 100, 2_000, 4_000, 4_024, 4_025, 5_000, 9_999, 70_000].into_iter().cycle()
}

fn access(disk: &MemoryDisk, request: IoRequest) -> IoDone {
    let queue = CompletionQueue::new();
    disk.submit(request, Arc::clone(&queue) as Arc<dyn CompletionSink>, 0);
    queue.take_within(Duration::from_secs(20)).unwrap().1
}

/// Turns every byte of a sector into another.
fn damage(disk: &MemoryDisk, offset: u64) {
    const SECTOR: usize = 512;
    let len = SECTOR.max(disk.info().sector_size);
    let mut buf = access(disk, IoRequest::read(offset / len as u64 * len as u64, len, AlignedBuf::zeroed(len))).buf;
    let from = (offset % len as u64) as usize;
    buf[from..from + SECTOR].iter_mut().for_each(|byte| *byte ^= 0xff);
    access(disk, IoRequest::write(offset / len as u64 * len as u64, len, buf)).result.unwrap();
}

fn entries(log: &FasterLog) -> Vec<(Address, Vec<u8>)> {
    log.scan(..).collect::<Result<_, _>>().unwrap()
}

#[test]
fn entries_of_every_size_come_back_in_order_before_and_after_opening_again() {
    let disk = MemoryDisk::new();
    let mut expected = Vec::new();
    for round in 0..3u64 {
        let log = open(&disk);
        for (number, len) in sizes().take(60).enumerate() {
            let data = data(round * 100 + number as u64, len);
            let address = log.append(&data).unwrap();
            assert_eq!(log.read_entry(address).unwrap(), data, "before it is durable");
            assert_eq!(log.entry_len(address).unwrap(), len as u64);
            expected.push((address, data));
        }
        assert!(entries(&log).len() < expected.len(), "not durable yet");
        assert_eq!(log.scan_uncommitted(..).map(Result::unwrap).collect::<Vec<_>>(), expected);
        let commit = log.commit().unwrap();
        assert!(commit.until > expected.last().unwrap().0 && log.committed() == commit.until);
        assert_eq!(entries(&log), expected);
        drop(log);
        let log = open(&disk);
        assert_eq!(entries(&log), expected);
        for (address, data) in expected.iter().rev().step_by(7) {
            assert_eq!(log.read_entry(*address).unwrap(), *data);
        }
    }
    let log = open(&disk);
    let middle = expected[70].0;
    assert_eq!(log.scan(middle..expected[80].0).map(Result::unwrap).collect::<Vec<_>>(), expected[70..80]);
    assert_eq!(log.read_entry(Address::new(middle.get() + 4)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.read_entry(log.tail()).unwrap_err().kind(), ErrorKind::NotFound);
    // Any address may be the start of a scan; only an entry can be that of the log.
    for at in (middle.get()..expected[71].0.get() + 8).step_by(8).map(Address::new) {
        let found = log.scan(at..).next().unwrap().unwrap();
        assert_eq!(found, *expected.iter().find(|(address, _)| *address >= at).unwrap());
    }
    for wrong in [middle.get() + 8, middle.get() + 4, log.tail().get() + 8].map(Address::new) {
        assert!(log.truncate_before(wrong).is_err(), "{wrong}");
    }
    assert!(log.truncate_suffix(Address::new(middle.get() + 8)).is_err());
    assert_eq!(entries(&log), expected);
}

/// Whoever logs the bytes of another log, or means ill, changes nothing but his own entry.
#[test]
fn data_that_looks_like_a_commit_is_data() {
    use super::commit::CommitRecord;
    use super::entry::Draft;
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let mut all = vec![log.append_and_wait(b"before").unwrap()];
    let forged =
        CommitRecord { number: 99, page_bits: 12, begin: 1 << 40, durable: 1 << 40, ..CommitRecord::default() };
    let body = forged.encode().unwrap();
    let generation = log.core.generation;
    for round in 0..80u64 {
        // A guess at the address would have to be right, and the generation known.
        let (address, generation) = if round % 2 == 0 { (log.tail(), generation) } else { (all[0], generation ^ 1) };
        let header = Draft::new(Kind::Commit, &body).at(address, generation).word();
        all.push(log.append(&[header.to_le_bytes().as_slice(), &body].concat()).unwrap());
    }
    let written = log.core.log.geometry().page().page_size() * 2;
    while log.core.log.addresses().flushed.get() < written {
        log.core.log.help();
    }
    let crashed = open(&disk.duplicate());
    let found: Vec<Address> = entries(&crashed).into_iter().map(|entry| entry.0).collect();
    assert_eq!(found, all[..found.len()]);
    assert!(found.len() > 20 && crashed.commit().unwrap().number < 99);
}

#[test]
fn entries_given_in_parts_and_in_batches_are_as_good() {
    let log = open(&MemoryDisk::new());
    let first = log.append_parts(&[b"one ", b"", b"entry"]).unwrap();
    let large = log.append_parts(&[&data(1, 5_000), &data(2, 5_000)]).unwrap();
    let rest = log.append_batch([b"a".as_slice(), b"bb", b"ccc"]).unwrap();
    log.wait_durable(rest[2]).unwrap();
    let found = entries(&log);
    assert_eq!(found.iter().map(|entry| entry.0).collect::<Vec<_>>(), [&[first, large], rest.as_slice()].concat());
    assert_eq!((found[0].1.as_slice(), found[4].1.as_slice()), (b"one entry".as_slice(), b"ccc".as_slice()));
    assert_eq!(found[1].1, [data(1, 5_000), data(2, 5_000)].concat());
}

#[test]
fn batches_of_any_sizes_keep_their_order_over_pages_and_crashes() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let sizes = [0, 1, 8, 40, 500, 513, 900, 5_000, 7, 64, 3];
    let all: Vec<Vec<u8>> = (0..1_500).map(|number| data(number, sizes[number as usize * 7 % sizes.len()])).collect();
    let (mut appender, mut addresses, mut counted) = (log.appender(), Vec::new(), 0);
    for (number, batch) in all.chunks(100).enumerate() {
        let batch = batch.iter().map(Vec::as_slice);
        if number % 2 == 0 {
            addresses.extend(log.append_batch(batch).unwrap());
        } else {
            counted += usize::from(appender.append_batch(batch).unwrap().is_some());
        }
    }
    assert_eq!((addresses.len(), counted, appender.append_batch([]).unwrap()), (800, 7, None));
    log.commit().unwrap();
    for log in [&log, &open(&disk.duplicate())] {
        let found = entries(log);
        assert!(found.iter().map(|entry| &entry.1).eq(&all));
        assert!(addresses.iter().all(|address| found.binary_search_by_key(address, |entry| entry.0).is_ok()));
    }
    assert!(addresses.windows(2).all(|two| two[0] < two[1]));
}

#[test]
fn what_several_threads_wait_for_is_there_after_a_crash_and_they_share_commits() {
    const THREADS: u64 = 8;
    const EACH: u64 = 200;
    let disk = MemoryDisk::new();
    let log = open(&disk);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for number in 0..EACH {
                    log.append_and_wait(&[thread.to_le_bytes(), number.to_le_bytes()].concat()).unwrap();
                }
            });
        }
    });
    let commits = log.commit().unwrap().number;
    assert!(commits < THREADS * EACH, "{commits} commits");
    let crashed = open(&disk.duplicate());
    let mut next = [0; THREADS as usize];
    for (_, data) in entries(&crashed) {
        let word = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
        assert_eq!(word(8), next[word(0) as usize], "a thread's entries are in its order");
        next[word(0) as usize] += 1;
    }
    assert_eq!(next, [EACH; THREADS as usize]);
}

#[test]
fn cookies_cursors_and_the_end_are_durable_with_the_next_commit() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let address = log.append(b"x").unwrap();
    log.set_cursor("reader", address).unwrap();
    let commit = log.commit_with(b"cookie").unwrap();
    assert_eq!(commit.cookie, b"cookie");
    log.set_cursor("late", address).unwrap();
    let crashed = open(&disk.duplicate());
    assert_eq!((crashed.cursor("reader"), crashed.cursor("late")), (Some(address), None));
    assert_eq!((crashed.cookie(), crashed.commit().unwrap().cookie), (b"cookie".to_vec(), b"cookie".to_vec()));
    assert!(log.commit().unwrap().number > commit.number);
    assert_eq!(open(&disk.duplicate()).cursor("late"), Some(address));
    assert_eq!(log.commit_with(&[0; 5_000]).unwrap_err().kind(), ErrorKind::Limit);
    log.complete().unwrap();
    assert_eq!(log.append(b"y").unwrap_err().kind(), ErrorKind::Unsupported);
    drop(log);
    let log = open(&disk);
    assert!(log.is_complete());
    assert_eq!(log.append(b"y").unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(entries(&log), [(address, b"x".to_vec())]);
}

#[test]
fn what_is_cut_off_at_either_end_never_comes_back() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let addresses: Vec<Address> = (0..300).map(|number| log.append(&data(number, 200)).unwrap()).collect();
    let large = log.append(&data(7, 20_000)).unwrap();
    log.commit().unwrap();
    log.truncate_suffix(addresses[200]).unwrap();
    let after = log.append_and_wait(b"after").unwrap();
    assert!(after > large, "addresses are never used twice");
    log.truncate_before(addresses[100]).unwrap();
    let expected: Vec<Address> = addresses[100..200].iter().copied().chain([after]).collect();
    let found = |log: &FasterLog| entries(log).into_iter().map(|entry| entry.0).collect::<Vec<_>>();
    assert_eq!(found(&log), expected);
    for gone in [addresses[99], addresses[200], addresses[299], large] {
        assert_eq!(log.read_entry(gone).unwrap_err().kind(), ErrorKind::NotFound, "{gone}");
    }
    drop(log);
    for _ in 0..2 {
        let log = open(&disk);
        assert_eq!((found(&log), log.begin()), (expected.clone(), addresses[100]));
    }
    let log = open(&disk);
    log.truncate_before(log.tail()).unwrap();
    assert_eq!(found(&log), []);
    let last = log.append_and_wait(&data(1, 9_000)).unwrap();
    drop(log);
    let log = open(&disk);
    assert_eq!(found(&log), [last]);
    log.truncate_before(last).unwrap();
    assert_eq!(log.read_entry(last).unwrap(), data(1, 9_000), "its parts lie before it");
}

/// Whatever becomes of the blocks behind the last commit: what was committed is there, and of the rest a prefix.
#[test]
fn a_torn_tail_is_cut_off_where_it_is_torn() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let mut all = Vec::new();
    for number in 0..20 {
        all.push(log.append(&data(number, 300)).unwrap());
    }
    let durable = log.commit().unwrap().until;
    let committed = all.len();
    // Pages that are full are written without a commit.
    for number in 20..80 {
        all.push(log.append(&data(number, 300)).unwrap());
    }
    while log.core.log.addresses().flushed.get() < durable.get() + 9_000 {
        log.core.log.help();
    }
    let geometry = log.core.log.geometry();
    let first = geometry.device_offset(geometry.block_of(durable));
    let extent = disk.duplicate().info().extent;
    assert!(extent > first + 8_192);
    for offset in (first..extent).step_by(512) {
        let crashed = disk.duplicate();
        damage(&crashed, offset);
        let log = FasterLog::open(config(), crashed.clone()).unwrap();
        let found: Vec<Address> = entries(&log).into_iter().map(|entry| entry.0).collect();
        assert!(found.len() >= committed && found == all[..found.len()], "torn at {offset}: {}", found.len());
        let next = log.append_and_wait(b"goes on").unwrap();
        drop(log);
        let log = FasterLog::open(config(), crashed).unwrap();
        let again: Vec<Address> = entries(&log).into_iter().map(|entry| entry.0).collect();
        assert_eq!(again, [found.as_slice(), &[next]].concat(), "torn at {offset}");
    }
}

/// Damage is found when it is read; if it makes the end of the log uncertain, when the log is opened.
#[test]
fn nothing_that_was_durable_is_given_up_silently() {
    let disk = MemoryDisk::new();
    let log = open(&disk);
    let mut stretches = vec![log.committed()];
    for stretch in 0..4 {
        for number in 0..40 {
            log.append(&data(stretch * 100 + number, 300)).unwrap();
        }
        stretches.push(log.commit().unwrap().until);
    }
    let all = entries(&log);
    let geometry = log.core.log.geometry();
    drop(log);
    let offset_of = |address: Address| geometry.device_offset(geometry.block_of(address));
    for offset in (0..offset_of(stretches[3])).step_by(512) {
        let damaged = disk.duplicate();
        damage(&damaged, offset);
        let log = FasterLog::open(config(), damaged).unwrap();
        let found: Vec<_> = log.scan(..).collect();
        let is_whole = found.iter().all(Result::is_ok);
        assert!(!is_whole, "damage at {offset} went unnoticed");
        assert!(found.into_iter().flatten().all(|entry| all.contains(&entry)), "wrong data, {offset}");
    }
    // The last two stretches look torn, but the last one says that the one before it was durable.
    let damaged = disk.duplicate();
    damage(&damaged, offset_of(stretches[2]));
    damage(&damaged, offset_of(stretches[3]));
    let error = FasterLog::open(config(), damaged.clone()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let accepted = FasterLog::open(config().with_damage_accepted(true), damaged).unwrap();
    assert_eq!(entries(&accepted), all[..80]);
}

#[test]
fn a_log_that_commits_by_itself_leaves_nobody_waiting() {
    let log =
        FasterLog::open(config().with_commit_interval(Some(Duration::from_millis(1))), MemoryDisk::new()).unwrap();
    for round in 0..50u8 {
        let address = log.append(&[round]).unwrap();
        let durable = log.wait_beyond(address, Duration::from_secs(20));
        assert!(durable > address, "{durable} {address}");
    }
    let mut reader = log.scan(..);
    assert_eq!(reader.by_ref().count(), 50);
    let address = log.append(b"new").unwrap();
    assert!(log.wait_beyond(address, Duration::from_secs(20)) > address);
    assert_eq!(reader.try_next().unwrap(), Some((address, b"new".to_vec())), "a scan goes on when the log has grown");
}

#[test]
fn a_large_entry_has_its_place_where_its_last_part_is() {
    let log = open(&MemoryDisk::new());
    let address = log.append(&data(1, 9_000)).unwrap();
    log.commit().unwrap();
    let mut reader = super::read::Reader::new(log.core.clone());
    assert!(reader.first_byte_of(address).unwrap() < address);
    assert_eq!(super::log_core::Core::data_of(Kind::Last, 100), 16..100);
}
