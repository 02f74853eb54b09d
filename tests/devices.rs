//! Every device under the conformance suite, and what each promises beyond it.

use oxifaster::device::conformance::{check_device, check_sync_failure};
use oxifaster::device::{
    BlockingDevice, CompletionQueue, CompletionSink, DeviceInfo, FaultyDisk, FileSystemDisk, FileSystemDiskOptions,
    IoDone, IoOp, IoRequest, MemoryDisk, NullDisk, StorageDevice, ThreadPoolDevice,
};
use oxifaster::memory::AlignedBuf;
use oxifaster::{Error, ErrorKind, Result};
use std::cell::Cell;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const SECTOR: usize = 4096;

fn submit(device: &dyn StorageDevice, request: IoRequest, queue: &Arc<CompletionQueue>, token: u64) {
    device.submit(request, Arc::clone(queue) as Arc<dyn CompletionSink>, token);
}

fn run(device: &dyn StorageDevice, request: IoRequest) -> IoDone {
    let queue = CompletionQueue::new();
    submit(device, request, &queue, 0);
    match queue.take_within(PATIENCE) {
        Some((_, done)) => done,
        None => panic!("the request did not complete"),
    }
}

fn write_request(sector: u64, sectors: usize, byte: u8) -> IoRequest {
    let mut buf = AlignedBuf::zeroed(sectors * SECTOR);
    buf.fill(byte);
    IoRequest::write(sector * SECTOR as u64, sectors * SECTOR, buf)
}

fn read_request(sector: u64, sectors: usize) -> IoRequest {
    IoRequest::read(sector * SECTOR as u64, sectors * SECTOR, AlignedBuf::zeroed(sectors * SECTOR))
}

fn write(device: &dyn StorageDevice, sector: u64, sectors: usize, byte: u8) {
    let result = run(device, write_request(sector, sectors, byte)).result;
    assert_eq!(result.expect("the write succeeds"), sectors * SECTOR);
}

fn read(device: &dyn StorageDevice, sector: u64, sectors: usize) -> Vec<u8> {
    let done = run(device, read_request(sector, sectors));
    let read = done.result.expect("the read succeeds");
    done.buf[..read].to_vec()
}

fn sync(device: &dyn StorageDevice) -> Result<usize> {
    run(device, IoRequest::sync()).result
}

fn truncate(device: &dyn StorageDevice, offset: u64) {
    run(device, IoRequest::truncate_before(offset)).result.expect("the truncation succeeds");
}

fn kind_of<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error is expected"),
        Err(error) => error.kind(),
    }
}

/// Gives every device that is made a path of its own.
struct Paths {
    directory: TempDir,
    next: Cell<usize>,
}

impl Paths {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), next: Cell::new(0) }
    }

    fn next(&self) -> std::path::PathBuf {
        self.next.set(self.next.get() + 1);
        self.directory.path().join(self.next.get().to_string())
    }
}

/// The files of segments in `directory`, in order.
fn segments_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("a plain name")).collect();
    names.retain(|name| name != "LOCK");
    names.sort();
    names
}

mod conforms {
    use super::*;

    fn check_files(options: FileSystemDiskOptions) {
        let paths = Paths::new();
        check_device(|| options.open(paths.next()).expect("the device opens"));
        check_device(|| FaultyDisk::new(options.open(paths.next()).expect("the device opens")));
    }

    fn check_single_file(options: FileSystemDiskOptions) {
        let paths = Paths::new();
        check_device(|| options.single_file(paths.next()).expect("the device opens"));
        check_device(|| FaultyDisk::new(options.single_file(paths.next()).expect("the device opens")));
    }

    #[test]
    fn the_null_disk() {
        check_device(NullDisk::new);
        check_device(|| FaultyDisk::new(NullDisk::new()));
    }

    #[test]
    fn the_memory_disk() {
        check_device(MemoryDisk::new);
        check_device(|| FaultyDisk::new(MemoryDisk::new()));
    }

    #[test]
    fn a_device_that_already_holds_something() {
        check_device(|| {
            let disk = MemoryDisk::new();
            write(&disk, 3, 2, 1);
            disk
        });
    }

    #[test]
    fn files_with_direct_access() {
        check_files(FileSystemDiskOptions::new());
    }

    #[test]
    fn files_through_the_page_cache() {
        check_files(FileSystemDiskOptions::new().with_direct_io(false));
    }

    #[test]
    fn segments_so_small_that_accesses_cross_them() {
        check_files(FileSystemDiskOptions::new().with_segment_size(2 * SECTOR as u64));
        check_files(FileSystemDiskOptions::new().with_segment_size(5 * SECTOR as u64).with_direct_io(false));
    }

    #[test]
    fn a_single_thread() {
        check_files(FileSystemDiskOptions::new().with_threads(1));
    }

    #[test]
    fn a_single_file() {
        check_single_file(FileSystemDiskOptions::new());
        check_single_file(FileSystemDiskOptions::new().with_direct_io(false));
    }

    #[test]
    fn a_shared_device() {
        let paths = Paths::new();
        check_device(|| Arc::new(FileSystemDisk::open(paths.next()).expect("the device opens")));
    }

    #[test]
    fn a_failed_sync_is_sticky() {
        let paths = Paths::new();
        let files = FaultyDisk::new(FileSystemDisk::open(paths.next()).expect("the device opens"));
        check_sync_failure(&files, || files.plan().fail_nth(IoOp::Sync, 1, io::ErrorKind::Other));
        let memory = FaultyDisk::new(MemoryDisk::new());
        check_sync_failure(&memory, || memory.plan().break_writes());
        let pool = ThreadPoolDevice::new(Scripted::default());
        check_sync_failure(&pool, || pool.get_ref().sync_fails.store(true, Ordering::Release));
    }
}

mod files {
    use super::*;

    #[test]
    fn what_was_written_is_there_when_the_device_is_opened_again() {
        let paths = Paths::new();
        let directory = paths.next().join("made").join("on the way");
        let disk = FileSystemDiskOptions::new().with_segment_size(8 * SECTOR as u64).open(&directory).unwrap();
        assert_eq!(disk.info().extent, 0);
        write(&disk, 3, 20, 7);
        sync(&disk).unwrap();
        drop(disk);
        let disk = FileSystemDisk::open(&directory).expect("it opens with the segment size it was created with");
        assert_eq!(disk.info().extent, 23 * SECTOR as u64);
        assert_eq!(segments_in(&directory), ["log.000000", "log.000001", "log.000002"]);
        assert_eq!(read(&disk, 0, 3), vec![0; 3 * SECTOR]);
        assert_eq!(read(&disk, 3, 30), vec![7; 20 * SECTOR]);
    }

    #[test]
    fn direct_and_buffered_access_find_the_same_bytes() {
        let paths = Paths::new();
        let directory = paths.next();
        for (direct, byte) in [(true, 1), (false, 2), (true, 3)] {
            let disk = FileSystemDiskOptions::new().with_direct_io(direct).open(&directory).unwrap();
            assert!(direct || !disk.is_direct());
            if byte > 1 {
                assert_eq!(read(&disk, 0, 4), vec![byte - 1; 4 * SECTOR]);
            }
            write(&disk, 0, 4, byte);
        }
    }

    #[test]
    fn a_device_is_open_once_at_a_time() {
        let paths = Paths::new();
        let (directory, file) = (paths.next(), paths.next());
        let disks = [FileSystemDisk::open(&directory).unwrap(), FileSystemDisk::single_file(&file).unwrap()];
        let second = FileSystemDisk::open(&directory).unwrap_err();
        assert_eq!((second.kind(), second.field("path")), (ErrorKind::Busy, directory.to_str()));
        let second = FileSystemDisk::single_file(&file).unwrap_err();
        assert_eq!((second.kind(), second.field("path")), (ErrorKind::Busy, file.to_str()));
        drop(disks);
        FileSystemDisk::open(&directory).expect("free again");
        FileSystemDisk::single_file(&file).expect("free again");
    }

    #[test]
    fn truncation_deletes_whole_segments_and_is_remembered() {
        let paths = Paths::new();
        let directory = paths.next();
        let segment = 4 * SECTOR as u64;
        let disk = FileSystemDiskOptions::new().with_segment_size(segment).open(&directory).unwrap();
        write(&disk, 0, 14, 5);
        truncate(&disk, 2 * segment + 9);
        assert_eq!(segments_in(&directory), ["log.000002", "log.000003"]);
        assert_eq!(kind_of(run(&disk, read_request(7, 1)).result), ErrorKind::Io);
        assert_eq!(kind_of(run(&disk, write_request(7, 1, 1)).result), ErrorKind::Io);
        sync(&disk).unwrap();
        drop(disk);
        let disk = FileSystemDisk::open(&directory).unwrap();
        assert_eq!(disk.info().extent, 14 * SECTOR as u64);
        assert_eq!(kind_of(run(&disk, read_request(7, 1)).result), ErrorKind::Io);
        assert_eq!(read(&disk, 8, 6), vec![5; 6 * SECTOR]);
    }

    #[test]
    fn a_truncation_of_everything_keeps_the_place_of_the_end() {
        let paths = Paths::new();
        let directory = paths.next();
        let disk = FileSystemDiskOptions::new().with_segment_size(4 * SECTOR as u64).open(&directory).unwrap();
        write(&disk, 0, 8, 5);
        truncate(&disk, 1 << 40);
        assert_eq!(segments_in(&directory), ["log.000002"], "an empty segment marks the end");
        drop(disk);
        assert_eq!(FileSystemDisk::open(&directory).unwrap().info().extent, 8 * SECTOR as u64);
    }

    #[test]
    fn a_device_that_begins_with_a_hole_still_begins_at_zero_when_opened_again() {
        let paths = Paths::new();
        let directory = paths.next();
        let disk = FileSystemDiskOptions::new().with_segment_size(4 * SECTOR as u64).open(&directory).unwrap();
        write(&disk, 33, 1, 5);
        drop(disk);
        let disk = FileSystemDisk::open(&directory).unwrap();
        assert_eq!(segments_in(&directory), ["log.000000", "log.000008"]);
        assert_eq!(read(&disk, 0, 33), vec![0; 33 * SECTOR]);
    }

    #[test]
    fn more_segments_than_files_may_be_open_are_synced_and_read_all_the_same() {
        const SEGMENTS: u64 = 300;
        let paths = Paths::new();
        let disk = FileSystemDiskOptions::new().with_segment_size(SECTOR as u64).open(paths.next()).unwrap();
        for segment in 0..SEGMENTS {
            write(&disk, segment, 1, segment as u8);
        }
        sync(&disk).unwrap();
        for segment in 0..SEGMENTS {
            assert_eq!(read(&disk, segment, 1), vec![segment as u8; SECTOR]);
        }
    }

    #[test]
    fn a_file_that_ends_within_a_sector_is_read_to_its_end() {
        let paths = Paths::new();
        for direct in [true, false] {
            let path = paths.next();
            fs::write(&path, vec![9; SECTOR + 5]).unwrap();
            let disk = FileSystemDiskOptions::new().with_direct_io(direct).single_file(&path).unwrap();
            assert_eq!(disk.info().extent, SECTOR as u64 + 5);
            assert_eq!(read(&disk, 0, 3), vec![9; SECTOR + 5]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn truncation_of_a_single_file_gives_space_back() {
        use std::os::unix::fs::MetadataExt;
        let paths = Paths::new();
        let path = paths.next();
        let disk = FileSystemDisk::single_file(&path).unwrap();
        write(&disk, 0, 64, 3);
        sync(&disk).unwrap();
        let before = fs::metadata(&path).unwrap();
        truncate(&disk, 48 * SECTOR as u64 + 1);
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.len(), before.len());
        assert!(after.blocks() < before.blocks(), "{} < {}", after.blocks(), before.blocks());
        assert_eq!(kind_of(run(&disk, read_request(47, 1)).result), ErrorKind::Io);
        assert_eq!(read(&disk, 48, 16), vec![3; 16 * SECTOR]);
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        let paths = Paths::new();
        for size in [0, 1, 4095, 4097, 1 << 63] {
            let error = FileSystemDiskOptions::new().with_segment_size(size).open(paths.next()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert_eq!(error.field("segment_size"), Some(size.to_string().as_str()));
        }
        let error = FileSystemDiskOptions::new().with_threads(0).single_file(paths.next()).unwrap_err();
        assert_eq!((error.kind(), error.field("threads")), (ErrorKind::Config, Some("0")));
    }

    #[test]
    fn a_path_of_the_wrong_kind_is_named() {
        let paths = Paths::new();
        let (directory, file) = (paths.next(), paths.next());
        fs::create_dir(&directory).unwrap();
        fs::write(&file, b"text").unwrap();
        let error = FileSystemDisk::open(&file).unwrap_err();
        assert_eq!((error.kind(), error.field("path")), (ErrorKind::Config, file.to_str()));
        let error = FileSystemDisk::single_file(&directory).unwrap_err();
        assert_eq!((error.kind(), error.field("path")), (ErrorKind::Config, directory.to_str()));
        assert_eq!(fs::read(&file).unwrap(), b"text");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_place_where_nothing_can_be_made_is_named() {
        let place = Path::new("/proc/self/oxifaster");
        let error = FileSystemDisk::open(place).unwrap_err();
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Io, place.to_str()));
        let error = FileSystemDisk::single_file(place).unwrap_err();
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Io, place.to_str()));
    }

    #[test]
    fn a_directory_is_not_opened_with_another_segment_size() {
        let paths = Paths::new();
        let directory = paths.next();
        drop(FileSystemDiskOptions::new().with_segment_size(8192).open(&directory).unwrap());
        let error = FileSystemDiskOptions::new().with_segment_size(4096).open(&directory).unwrap_err();
        assert_eq!((error.kind(), error.field("created_with")), (ErrorKind::Config, Some("8192")));
    }

    #[test]
    fn a_damaged_record_of_the_segment_size_is_corrupt_only_where_segments_depend_on_it() {
        let paths = Paths::new();
        let directory = paths.next();
        let options = FileSystemDiskOptions::new().with_segment_size(2 * SECTOR as u64);
        drop(options.open(&directory).unwrap());
        for damage in ["segment_si", "segment_size 12\n", "segment_size 99999999999999999999\n", "\u{fffd}"] {
            fs::write(directory.join("LOCK"), damage).unwrap();
            drop(options.open(&directory).expect("a crash during the first opening leaves this"));
        }
        let disk = options.open(&directory).unwrap();
        write(&disk, 0, 4, 1);
        drop(disk);
        fs::write(directory.join("LOCK"), "segment_si").unwrap();
        assert_eq!(kind_of(options.open(&directory)), ErrorKind::Corrupt);
        fs::remove_file(directory.join("LOCK")).unwrap();
        let smaller = FileSystemDiskOptions::new().with_segment_size(SECTOR as u64).open(&directory);
        assert_eq!(kind_of(smaller), ErrorKind::Config, "a segment file is larger than that");
        assert_eq!(read(&options.open(&directory).unwrap(), 0, 4), vec![1; 4 * SECTOR]);
    }
}

mod memory {
    use super::*;

    #[test]
    fn a_clone_sees_the_same_bytes_also_after_the_other_is_gone() {
        let disk = MemoryDisk::new();
        let other = disk.clone();
        write(&disk, 1, 1, 4);
        drop(disk);
        assert_eq!(other.info().extent, 2 * SECTOR as u64);
        assert_eq!(read(&other, 1, 1), vec![4; SECTOR]);
    }

    #[test]
    fn holes_cost_nothing_and_truncation_frees() {
        let disk = MemoryDisk::new();
        write(&disk, 1 << 30, 1, 1);
        let one = disk.used_bytes();
        assert!(one >= SECTOR as u64 && one < 1 << 20, "{one} bytes for one sector");
        write(&disk, 0, 256, 1);
        let all = disk.used_bytes();
        truncate(&disk, 1 << 40);
        assert!(disk.used_bytes() < all);
        assert_eq!(kind_of(run(&disk, read_request(0, 1)).result), ErrorKind::Io);
        assert_eq!(read(&disk, 1 << 30, 1), vec![1; SECTOR]);
    }
}

/// A blocking device that keeps nothing, and misbehaves on demand.
#[derive(Debug, Default)]
struct Scripted {
    sync_fails: AtomicBool,
    panics: AtomicBool,
    syncs: AtomicUsize,
    gate: Gate,
}

/// Holds calls while it is closed.
#[derive(Debug, Default)]
struct Gate {
    closed: Mutex<bool>,
    arrived: AtomicUsize,
    changed: Condvar,
}

impl Gate {
    fn set_closed(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        self.arrived.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(closed, PATIENCE, |closed| *closed).unwrap());
    }

    fn wait_until_arrived(&self, count: usize) {
        let closed = self.closed.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(closed, PATIENCE, |_| self.arrived.load(Ordering::Acquire) < count)
            .unwrap();
        assert!(!waited.1.timed_out(), "{count} calls arrive");
    }
}

impl BlockingDevice for Scripted {
    fn info(&self) -> DeviceInfo {
        DeviceInfo::new(SECTOR).with_readable(false)
    }

    fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<usize> {
        self.gate.pass();
        Err(Error::new(ErrorKind::Limit, "nothing to read"))
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> Result<()> {
        self.gate.pass();
        assert!(!self.panics.load(Ordering::Acquire), "the device is out of its mind");
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::AcqRel);
        self.gate.pass();
        match self.sync_fails.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Io, "the platter is scratched")),
            false => Ok(()),
        }
    }

    fn truncate_before(&self, _offset: u64) -> Result<()> {
        Ok(())
    }
}

mod pool {
    use super::*;

    #[test]
    fn a_blocking_device_conforms() {
        check_device(|| ThreadPoolDevice::new(Scripted::default()));
        check_device(|| ThreadPoolDevice::with_threads(Scripted::default(), 1));
    }

    #[test]
    fn a_device_that_panics_completes_with_an_error_and_goes_on() {
        let pool = ThreadPoolDevice::with_threads(Scripted::default(), 1);
        pool.get_ref().panics.store(true, Ordering::Release);
        for _ in 0..3 {
            let done = run(&pool, write_request(0, 1, 1));
            let error = done.result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeviceFailed);
            assert_eq!(error.field("message"), Some("the device is out of its mind"));
            assert_eq!(done.buf.len(), SECTOR);
        }
        pool.get_ref().panics.store(false, Ordering::Release);
        write(&pool, 0, 1, 1);
    }

    struct PanickingSink;

    impl CompletionSink for PanickingSink {
        fn complete(&self, _token: u64, _done: IoDone) {
            panic!("the sink is out of its mind");
        }
    }

    #[test]
    fn a_sink_that_panics_does_not_end_the_worker() {
        let pool = ThreadPoolDevice::with_threads(Scripted::default(), 1);
        for request in [write_request(0, 1, 1), IoRequest::sync()] {
            pool.submit(request, Arc::new(PanickingSink), 0);
        }
        write(&pool, 0, 1, 1);
        sync(&pool).unwrap();
    }

    #[test]
    fn syncs_that_wait_for_one_are_answered_together() {
        let pool = ThreadPoolDevice::with_threads(Scripted::default(), 4);
        let device = pool.get_ref();
        let queue = CompletionQueue::new();
        device.gate.set_closed(true);
        submit(&pool, IoRequest::sync(), &queue, 0);
        device.gate.wait_until_arrived(1);
        for token in 1..20 {
            submit(&pool, IoRequest::sync(), &queue, token);
        }
        assert_eq!(device.syncs.load(Ordering::Acquire), 1, "at most one is under way");
        device.gate.set_closed(false);
        for _ in 0..20 {
            queue.take_within(PATIENCE).expect("a completion").1.result.unwrap();
        }
        assert_eq!(device.syncs.load(Ordering::Acquire), 2);
    }

    #[test]
    fn the_first_cause_of_a_failed_sync_is_reported_and_reads_go_on() {
        let pool = ThreadPoolDevice::with_threads(Scripted::default(), 2);
        pool.get_ref().sync_fails.store(true, Ordering::Release);
        assert_eq!(kind_of(sync(&pool)), ErrorKind::Io);
        pool.get_ref().sync_fails.store(false, Ordering::Release);
        for result in [sync(&pool), run(&pool, write_request(0, 1, 1)).result] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeviceFailed);
            assert!(error.to_string().contains("the platter is scratched"), "{error}");
        }
        assert_eq!(pool.get_ref().syncs.load(Ordering::Acquire), 1, "a failed sync is not tried again");
        assert_eq!(kind_of(run(&pool, read_request(0, 1)).result), ErrorKind::Limit, "the read reached the device");
    }

    #[test]
    fn as_many_accesses_are_under_way_as_there_are_threads() {
        let pool = ThreadPoolDevice::with_threads(Scripted::default(), 3);
        let device = pool.get_ref();
        let queue = CompletionQueue::new();
        device.gate.set_closed(true);
        for token in 0..10 {
            submit(&pool, write_request(token, 1, 1), &queue, token);
        }
        device.gate.wait_until_arrived(3);
        assert!(queue.try_take().is_none());
        device.gate.set_closed(false);
        for _ in 0..10 {
            queue.take_within(PATIENCE).expect("a completion").1.result.unwrap();
        }
    }
}

mod faulty {
    use super::*;

    #[test]
    fn the_nth_access_fails_with_the_chosen_cause_and_may_be_tried_again() {
        let disk = FaultyDisk::new(MemoryDisk::new());
        disk.plan().fail_nth(IoOp::Write, 2, io::ErrorKind::StorageFull);
        write(&disk, 0, 1, 1);
        let error = run(&disk, write_request(1, 1, 2)).result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
        assert_eq!(read(&disk, 0, 2), vec![1; SECTOR], "the failed write left nothing");
        write(&disk, 1, 1, 2);
        disk.plan().fail_from(IoOp::Read, 2, io::ErrorKind::Other);
        read(&disk, 0, 1);
        for _ in 0..3 {
            assert_eq!(kind_of(run(&disk, read_request(0, 1)).result), ErrorKind::Io);
        }
        disk.plan().repair();
        assert_eq!(read(&disk, 1, 1), vec![2; SECTOR]);
    }

    #[test]
    fn a_broken_disk_fails_until_it_is_repaired() {
        let disk = FaultyDisk::new(MemoryDisk::new());
        let plan = disk.plan();
        write(&disk, 0, 1, 1);
        plan.break_reads();
        write(&disk, 0, 1, 2);
        assert_eq!(kind_of(run(&disk, read_request(0, 1)).result), ErrorKind::Io);
        plan.break_now();
        assert_eq!(kind_of(run(&disk, write_request(0, 1, 3)).result), ErrorKind::Io);
        plan.repair();
        assert_eq!(read(&disk, 0, 1), vec![2; SECTOR]);
        plan.break_writes();
        assert_eq!(kind_of(run(&disk, write_request(0, 1, 4)).result), ErrorKind::Io);
        assert_eq!(read(&disk, 0, 1), vec![2; SECTOR]);
    }

    #[test]
    fn held_accesses_complete_when_resumed_and_not_before() {
        let disk = FaultyDisk::new(MemoryDisk::new());
        let plan = disk.plan();
        let queue = CompletionQueue::new();
        plan.pause_only(IoOp::Write);
        for token in 0..3 {
            submit(&disk, write_request(0, 1, token as u8), &queue, token);
        }
        assert!(plan.wait_until_held(3, PATIENCE));
        assert!(queue.try_take().is_none());
        assert!(read(&disk, 0, 1).is_empty(), "reads are not held, and the writes have not happened");
        plan.pause();
        submit(&disk, read_request(0, 1), &queue, 3);
        assert_eq!(plan.held(), 4);
        plan.resume();
        let tokens: Vec<_> = std::iter::from_fn(|| queue.try_take()).map(|(token, _)| token).collect();
        assert_eq!(tokens, [0, 1, 2, 3]);
        assert_eq!(read(&disk, 0, 1), vec![2; SECTOR]);
    }

    #[test]
    fn what_is_held_completes_with_an_error_when_the_device_is_dropped() {
        let paths = Paths::new();
        let path = paths.next();
        let disk = FaultyDisk::new(FileSystemDisk::open(&path).unwrap());
        let plan = disk.plan();
        let queue = CompletionQueue::new();
        plan.pause();
        submit(&disk, write_request(0, 2, 1), &queue, 7);
        drop(disk);
        let (token, done) = queue.try_take().expect("a completion");
        assert_eq!((token, done.buf.len()), (7, 2 * SECTOR));
        assert_eq!(kind_of(done.result), ErrorKind::Closed);
        plan.resume();
        assert!(queue.try_take().is_none());
        FileSystemDisk::open(&path).expect("the plan does not keep the device open");
    }

    #[test]
    fn a_flipped_bit_is_seen_by_reads_that_cover_it_and_not_stored() {
        let disk = FaultyDisk::new(MemoryDisk::new());
        write(&disk, 0, 4, 8);
        disk.plan().corrupt_reads_at(SECTOR as u64 + 5, 0b100);
        let mut expected = vec![8; 2 * SECTOR];
        expected[5] = 8 ^ 0b100;
        assert_eq!(read(&disk, 1, 2), expected);
        assert_eq!(read(&disk, 2, 2), vec![8; 2 * SECTOR]);
        assert_eq!(read(disk.get_ref(), 1, 1), vec![8; SECTOR]);
        disk.plan().repair();
        assert_eq!(read(&disk, 1, 1), vec![8; SECTOR]);
    }

    #[test]
    fn accesses_are_counted() {
        let disk = FaultyDisk::new(MemoryDisk::new());
        write(&disk, 0, 3, 1);
        write(&disk, 0, 1, 1);
        read(&disk, 0, 2);
        sync(&disk).unwrap();
        truncate(&disk, 0);
        let counts = disk.plan().counts();
        assert_eq!((counts.writes, counts.written_bytes), (2, 4 * SECTOR as u64));
        assert_eq!((counts.reads, counts.read_bytes), (1, 2 * SECTOR as u64));
        assert_eq!((counts.syncs, counts.truncations), (1, 1));
    }
}
