//! The durable log: full memory, failing devices, files, futures.

use crate::executor::block_on;
use oxifaster::device::{FaultyDisk, FileSystemDiskOptions, IoOp, MemoryDisk};
use oxifaster::log::{FasterLog, FasterLogConfig};
use oxifaster::{ErrorKind, Result};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn config() -> FasterLogConfig {
    FasterLogConfig::default().with_page_size_bits(12).with_memory(32 << 10).with_commit_interval(None)
}

#[test]
fn appending_faster_than_the_device_takes_waits_and_never_takes_more_memory() {
    let disk = FaultyDisk::new(MemoryDisk::new());
    let plan = disk.plan();
    let log = FasterLog::open(config(), disk).unwrap();
    plan.pause_only(IoOp::Write);
    let mut placed = Vec::new();
    while let Some(address) = log.try_append(&[7; 500]).unwrap() {
        placed.push(address);
        assert!(placed.len() < 100, "more than memory holds");
    }
    assert!(placed.len() > 20, "{}", placed.len());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| log.append(&[8; 500]).unwrap());
        assert!(plan.wait_until_held(1, Duration::from_secs(20)));
        plan.resume();
        placed.push(waiting.join().unwrap());
    });
    log.commit().unwrap();
    assert_eq!(log.scan_all().map(|entry| entry.0).collect::<Vec<_>>(), placed);
}

#[test]
fn a_failed_write_or_sync_is_final_and_what_was_durable_stays() {
    for op in [IoOp::Write, IoOp::Sync] {
        let memory = MemoryDisk::new();
        let disk = FaultyDisk::new(memory.clone());
        let plan = disk.plan();
        let log = FasterLog::open(config(), disk).unwrap();
        let before = log.append_and_wait(b"before").unwrap();
        plan.fail_nth(op, 1, io::ErrorKind::StorageFull);
        let after = log.append(b"after").unwrap();
        for attempt in 0..2 {
            let error = log.commit().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeviceFailed, "{op:?}, {attempt}: {error}");
        }
        for refused in [log.append(b"x").map(drop), log.wait_durable(after), block_on(log.durable(after)).map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::DeviceFailed, "{op:?}");
        }
        assert_eq!(log.read_entry(before).unwrap(), b"before");
        assert_eq!(log.scan_all().map(|entry| entry.1).collect::<Vec<_>>(), [b"before"]);
        drop(log);
        let log = FasterLog::open(config(), memory.duplicate()).unwrap();
        assert_eq!(log.read_entry(before).unwrap(), b"before", "{op:?}");
        log.append_and_wait(b"again").unwrap();
    }
}

#[test]
fn a_log_on_files_is_followed_while_it_grows_and_gives_its_space_back() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let device = || FileSystemDiskOptions::new().with_segment_size(64 << 10).open(directory.path());
    let config = || config().with_commit_interval(Some(Duration::from_millis(1)));
    let log = FasterLog::open(config(), device()?)?;
    const ENTRIES: u64 = 2_000;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut scan, mut next) = (log.scan(..), 0u64);
            while next < ENTRIES {
                match scan.try_next().unwrap() {
                    Some((_, data)) => {
                        assert_eq!(data[..8], next.to_le_bytes());
                        next += 1;
                    }
                    None => {
                        let committed = log.committed();
                        if scan.position() >= committed {
                            log.wait_beyond(committed, Duration::from_secs(20));
                        }
                    }
                }
            }
        });
        let mut appender = log.appender();
        let mut data = [0; 300];
        for number in 0..ENTRIES {
            data[..8].copy_from_slice(&number.to_le_bytes());
            appender.append(&data).unwrap();
        }
        reader.join().unwrap();
    });
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    let before = files();
    let half = log.scan_all().nth(ENTRIES as usize / 2).unwrap().0;
    log.truncate_before(half)?;
    assert!(files() <= before / 2 + 2, "{before} files before, {} after", files());
    drop(log);
    let log = FasterLog::open(config(), device()?)?;
    assert_eq!(log.scan_all().count() as u64, ENTRIES / 2);
    Ok(())
}

#[test]
fn futures_are_ready_when_their_entries_are_durable() {
    let log = FasterLog::open(config(), MemoryDisk::new()).unwrap();
    let futures: Vec<_> = (0..100u8).map(|number| log.append_async(&[number]).unwrap()).collect();
    for future in futures {
        let address = block_on(future).unwrap();
        assert!(log.committed() > address);
    }
    drop(log.append_async(b"nobody waits for this one").unwrap());
    assert_eq!(log.commit().unwrap().until, log.committed());
    assert_eq!(log.scan_all().count(), 101);
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One scan of one follower goes on from look to look: through entries larger than a page of which the beginning came first, what was
/// given up and what was cut off meanwhile, a writer that ended and one that went on, to the end of a complete log.
#[test]
fn a_follower_takes_up_what_another_process_appends() {
    let directory = tempfile::tempdir().unwrap();
    let disk = || FileSystemDiskOptions::new().with_segment_size(64 << 10).open(directory.path()).unwrap();
    let write = || FasterLog::open(config(), disk()).unwrap();
    let entry =
        |number: u64| vec![number as u8; if number.is_multiple_of(5) { 30_000 } else { number as usize % 90 + 1 }];
    let mut log = write();
    let device = FileSystemDiskOptions::new().with_read_only(true).open(directory.path()).unwrap();
    let follower = FasterLog::open_read_only(config(), device).unwrap();
    let (mut scan, mut seen) = (follower.scan(..), 0);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    for number in 0..400 {
        let address = log.append(&entry(number)).unwrap();
        if number % 7 == 0 {
            log.commit_with(&number.to_le_bytes()).unwrap();
            let waker = Waker::from(Arc::clone(&woken));
            assert!(matches!(scan.poll_next(&mut Context::from_waker(&waker)), Poll::Pending));
        }
        if number % 3 == 0 {
            let until = follower.refresh().unwrap();
            // Pages are written when they are full, committed or not; what a commit covers is there in any case.
            assert!(until >= log.committed() && until <= log.tail(), "{until:?} of {:?}", log.tail());
            assert!(number % 21 != 0 || woken.0.swap(false, Ordering::SeqCst), "nobody was told of entry {number}");
            for found in scan.by_ref() {
                assert!(found.unwrap().1 == entry(seen), "entry {seen} is another one");
                seen += 1;
            }
            assert!(number % 21 != 0 || seen == number + 1, "{seen} of {number}");
            let last = follower.entry_at(seen - 1).unwrap().unwrap();
            assert!(follower.read_entry(last).unwrap() == entry(seen - 1), "entry {} is another one", seen - 1);
            assert!(number % 21 != 0 || follower.cookie() == number.to_le_bytes());
            assert!(follower.read_entry(until).is_err());
        }
        match number {
            120 => log.truncate_before(address).unwrap(),
            200 => {
                log.commit().unwrap();
                drop(log);
                log = write();
            }
            _ => {}
        }
    }
    assert!(follower.refresh().is_ok() && follower.begin() == log.begin());
    log.complete().unwrap();
    while seen < 400 {
        follower.refresh().unwrap();
        let (_, data) = block_on(scan.next_async()).unwrap().unwrap();
        assert!(data == entry(seen), "entry {seen} is another one");
        seen += 1;
    }
    follower.refresh().unwrap();
    assert!(block_on(scan.next_async()).is_none(), "the log is complete");
    assert_eq!(log.refresh().unwrap(), log.committed(), "who appends knows of all there is");
}

#[test]
fn another_process_reads_a_log_while_it_is_written_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let to_read = || {
        let device = FileSystemDiskOptions::new().with_read_only(true).open(directory.path())?;
        FasterLog::open_read_only(config(), device)
    };
    assert_eq!(to_read().map(drop).unwrap_err().kind(), ErrorKind::NotFound);
    let log = FasterLog::open(config(), FileSystemDiskOptions::new().open(directory.path()).unwrap()).unwrap();
    let (mut position, mut seen) = (log.begin(), Vec::new());
    for round in 0..5u8 {
        for number in 0..20 {
            log.append(&[round, number]).unwrap();
        }
        log.commit().unwrap();
        log.append(b"not durable yet").unwrap();
        let follower = to_read().unwrap();
        let mut scan = follower.scan(position..);
        seen.extend(scan.by_ref().map(|entry| entry.unwrap().1).filter(|data| data.len() == 2));
        position = scan.position();
        assert_eq!(seen.len(), (usize::from(round) + 1) * 20);
        assert_eq!(follower.append(b"x").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(follower.commit().unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert!(seen.is_sorted());
    log.append_and_wait(b"the writer goes on").unwrap();
}
