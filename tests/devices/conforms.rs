//! Each device under the suite that its implementors get.

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
