//! Who reads for the sessions, and what happens where the kernel has no rings to give.

use super::*;
use oxifaster::device::{IoBackend, IoUringDevice, PoolReason};
use oxifaster::store::{FasterKv, FasterKvConfig};
use std::process::Command;

/// Set in a process in which a test runs alone.
const ALONE: &str = "OXIFASTER_TEST_ALONE";

/// Runs the test called `name` again, in a process of its own that it may spoil; true in that process.
fn alone(name: &str, settings: &[(&str, &str)]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let output = command.envs(settings.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// True if devices of this process have rings.
fn has_rings() -> bool {
    let paths = Paths::new();
    let disk = FileSystemDisk::open(paths.next()).unwrap();
    matches!(disk.backend(), IoBackend::IoUring)
}

/// Rings that this process has open.
fn open_rings() -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let is_ring =
        |path: io::Result<std::path::PathBuf>| path.is_ok_and(|path| path.to_string_lossy().contains("io_uring"));
    entries.filter(|entry| entry.as_ref().is_ok_and(|entry| is_ring(fs::read_link(entry.path())))).count()
}

/// Threads of this process that serve a ring for those who have none.
fn reactors() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let name = |thread: io::Result<fs::DirEntry>| fs::read_to_string(thread.ok()?.path().join("comm")).ok();
    threads.filter_map(name).filter(|name| name.starts_with("oxifaster-ring")).count()
}

/// A store on `disk` with everything on the device, and the number of its keys.
fn store_on<D: StorageDevice>(disk: D) -> (FasterKv<u64, u64, D>, u64) {
    const KEYS: u64 = 20_000;
    let config =
        FasterKvConfig::default().with_log_memory_size(64 << 10).with_page_size_bits(12).with_table_size(1 << 12);
    let store = FasterKv::open(config, disk).unwrap();
    let mut session = store.start_session();
    (0..KEYS).for_each(|key| session.upsert(key, key * 3).unwrap());
    drop(session);
    store.evict().unwrap();
    (store, KEYS)
}

fn check_all<D: StorageDevice>(disk: D) {
    let (store, count) = store_on(disk);
    let mut session = store.start_session();
    let keys: Vec<u64> = (0..count).collect();
    for (key, value) in keys.iter().zip(session.read_batch(&keys).unwrap()) {
        assert_eq!(value, Some(key * 3));
    }
    assert_eq!(session.read(&7).unwrap(), Some(21));
}

#[test]
fn the_device_by_the_name_of_its_backend_is_the_same_device() {
    let paths = Paths::new();
    let (file, directory) = (paths.next(), paths.next());
    for round in 0..2 {
        let disk = IoUringDevice::new(&file).unwrap();
        assert_eq!(disk.path(), file);
        assert_eq!(disk.info().extent, round * SECTOR as u64);
        assert_eq!(kind_of(FileSystemDisk::single_file(&file)), ErrorKind::Busy);
        write(&disk, 0, 1, 4);
    }
    let disk = FileSystemDisk::open(&directory).unwrap();
    write(&disk, 0, 2, 5);
    drop(disk);
    let disk = IoUringDevice::from(FileSystemDiskOptions::new().with_direct_io(false).open(&directory).unwrap());
    assert_eq!((read(&disk, 0, 2), disk.is_direct()), (vec![5; 2 * SECTOR], false));
    drop(disk);
    let disk = IoUringDevice::open(&directory).unwrap();
    assert_eq!(disk.channel().is_some(), matches!(disk.backend(), IoBackend::IoUring));
    check_device(|| IoUringDevice::open(paths.next()).unwrap());
}

#[test]
fn rings_are_turned_off_by_an_option() {
    let paths = Paths::new();
    let disk = FileSystemDiskOptions::new().with_io_uring(false).open(paths.next()).unwrap();
    assert!(matches!(disk.backend(), IoBackend::ThreadPool(PoolReason::TurnedOff)), "{}", disk.backend());
    assert_eq!(disk.backend().to_string(), "thread pool (io_uring is turned off)");
    assert!(disk.channel().is_none());
    check_all(disk);
}

#[test]
fn rings_are_turned_off_by_the_environment() {
    if !alone("rings::rings_are_turned_off_by_the_environment", &[("OXIFASTER_IO_URING", "0")]) {
        return;
    }
    let paths = Paths::new();
    let disk = IoUringDevice::open(paths.next()).unwrap();
    assert!(matches!(disk.backend(), IoBackend::ThreadPool(PoolReason::TurnedOff)), "{}", disk.backend());
    check_all(disk);
    assert_eq!(open_rings(), 0);
}

/// A filter of system calls, as container runtimes have one.
#[cfg(feature = "io_uring")]
mod filtered {
    use super::*;
    use std::collections::BTreeMap;

    /// Has the kernel answer the system calls `calls` of this thread, and of those it starts, with `EPERM`.
    fn forbid(calls: &[i64]) {
        use seccompiler::{SeccompAction, SeccompFilter, apply_filter};
        let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
        let refusal = SeccompAction::Errno(libc::EPERM as u32);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, arch).unwrap();
        let program: seccompiler::BpfProgram = filter.try_into().unwrap();
        apply_filter(&program).unwrap();
    }

    fn a_filter_is_told_and_the_pool_reads(calls: &[i64]) {
        let had_rings = has_rings();
        forbid(calls);
        let paths = Paths::new();
        let disk = FileSystemDisk::open(paths.next()).unwrap();
        let backend = disk.backend();
        assert!(matches!(backend, IoBackend::ThreadPool(PoolReason::Refused(_))), "{backend}");
        let text = backend.to_string();
        assert!(!had_rings || text.contains("not permitted") && text.contains("io_uring_disabled"), "{text}");
        check_all(disk);
    }

    #[test]
    fn where_a_filter_forbids_rings_the_pool_reads() {
        if alone("rings::filtered::where_a_filter_forbids_rings_the_pool_reads", &[]) {
            a_filter_is_told_and_the_pool_reads(&[libc::SYS_io_uring_setup]);
        }
    }

    #[test]
    fn where_a_filter_forbids_the_use_of_rings_the_pool_reads() {
        if alone("rings::filtered::where_a_filter_forbids_the_use_of_rings_the_pool_reads", &[]) {
            a_filter_is_told_and_the_pool_reads(&[libc::SYS_io_uring_enter]);
        }
    }
}

#[test]
fn a_thousand_sessions_read_with_few_descriptors_to_spare() {
    const FILES: u64 = 256;
    if !alone("rings::a_thousand_sessions_read_with_few_descriptors_to_spare", &[]) {
        return;
    }
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: Some(FILES) }).unwrap();
    let has_rings = has_rings();
    let paths = Paths::new();
    let (store, count) = store_on(FileSystemDisk::open(paths.next()).unwrap());
    let mut sessions: Vec<_> = (0..1_000).map(|_| store.start_session()).collect();
    assert!(open_rings() <= 1, "idle sessions have no rings");
    for round in 1..=2 {
        for (at, session) in sessions.iter_mut().enumerate() {
            let key = at as u64 * 17 * round % count;
            assert_eq!(session.read(&key).unwrap(), Some(key * 3));
        }
        let rings = open_rings();
        assert!(rings <= FILES as usize / 8 && (rings > 1 || !has_rings), "{rings} rings");
    }
    // All at once: each has several reads under way, ring or not.
    for (at, session) in sessions.iter_mut().enumerate() {
        for key in 0..4 {
            session.begin_read(&(at as u64 + key)).unwrap();
        }
    }
    for session in &mut sessions {
        while session.pending() > 0 {
            assert!(session.complete_pending(true).unwrap().iter().all(|completed| completed.outcome.is_ok()));
        }
    }
    // Nothing at all to spare: what there is has to do.
    let hoard: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    for (at, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.read(&(at as u64)).unwrap(), Some(at as u64 * 3));
    }
    drop(hoard);
}

#[test]
fn a_session_without_a_descriptor_to_spare_reads_all_the_same() {
    if !alone("rings::a_session_without_a_descriptor_to_spare_reads_all_the_same", &[]) {
        return;
    }
    let paths = Paths::new();
    let (store, _) = store_on(FileSystemDisk::open(paths.next()).unwrap());
    let mut sessions: Vec<_> = (0..50).map(|_| store.start_session()).collect();
    assert_eq!(sessions[0].read(&1).unwrap(), Some(3));
    let rings = open_rings();
    use rustix::process::{Resource, Rlimit, setrlimit};
    let used = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(used), maximum: Some(used) }).unwrap();
    let hoard: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    for session in &mut sessions {
        for key in 0..30 {
            session.begin_read(&(key * 100)).unwrap();
        }
    }
    for session in &mut sessions {
        while session.pending() > 0 {
            assert!(session.complete_pending(true).unwrap().iter().all(|completed| completed.outcome.is_ok()));
        }
    }
    drop(hoard);
    assert_eq!(open_rings(), rings, "none could be made");
}

#[test]
fn the_thread_for_shared_reads_begins_with_the_first_and_ends_with_its_device() {
    if !alone("rings::the_thread_for_shared_reads_begins_with_the_first_and_ends_with_its_device", &[]) {
        return;
    }
    let paths = Paths::new();
    let disk = FileSystemDisk::open(paths.next()).unwrap();
    let expected = usize::from(matches!(disk.backend(), IoBackend::IoUring));
    write(&disk, 0, 9, 3);
    sync(&disk).unwrap();
    assert_eq!(reactors(), 0, "it is for reads");
    for sector in (0..9).cycle().take(50) {
        assert_eq!(read(&disk, sector, 1), vec![3; SECTOR]);
        assert_eq!(reactors(), expected);
    }
    disk.submit(read_request(0, 1), Arc::new(super::pool::PanickingSink), 0);
    assert_eq!(read(&disk, 8, 1), vec![3; SECTOR], "a sink that panics does not end it");
    assert_eq!(reactors(), expected);
    drop(disk);
    assert_eq!((reactors(), open_rings()), (0, 0));
}

#[test]
fn a_shared_read_without_a_descriptor_to_spare_is_done_all_the_same() {
    if !alone("rings::a_shared_read_without_a_descriptor_to_spare_is_done_all_the_same", &[]) {
        return;
    }
    let paths = Paths::new();
    let disk = FileSystemDisk::open(paths.next()).unwrap();
    write(&disk, 0, 9, 3);
    let hoard: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    for sector in 0..9 {
        assert_eq!(read(&disk, sector, 1), vec![3; SECTOR]);
    }
    drop(hoard);
    assert_eq!(reactors(), 0, "there was nothing to make it of");
}

#[test]
fn a_shared_read_that_the_kernel_never_answers_fails_when_the_device_goes_away() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    if !has_rings() {
        return;
    }
    let paths = Paths::new();
    let (directory, segment) = (paths.next(), SECTOR as u64);
    let options = FileSystemDiskOptions::new().with_segment_size(segment).with_direct_io(false);
    write(&options.open(&directory).unwrap(), 0, 2, 7);
    // A pipe that nobody writes to stands for a disk that does not answer.
    let silent = directory.join(&segments_in(&directory)[0]);
    fs::remove_file(&silent).unwrap();
    mknodat(CWD, &silent, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let disk = options.open(&directory).unwrap();
    let queue = CompletionQueue::new();
    submit(&disk, read_request(0, 1), &queue, 1);
    submit(&disk, read_request(1, 1), &queue, 2);
    assert_eq!(queue.take_within(PATIENCE).unwrap().0, 2, "others are not held up");
    drop(disk);
    let (token, done) = queue.try_take().expect("it has ended when the device is gone");
    assert_eq!((token, kind_of(done.result)), (1, ErrorKind::DeviceFailed));
}
