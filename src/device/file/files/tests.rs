use super::*;

fn waiting_for_sync(files: &Files) -> Vec<u64> {
    files.written.lock().unwrap().keys().copied().collect()
}

#[test]
fn a_sync_covers_every_file_that_was_written_also_those_closed_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let lock = File::create(directory.path().join("LOCK")).unwrap();
    let files = Files::in_directory(directory.path(), 4096, false, lock).unwrap();
    let written = OPEN_MAX as u64 + 10;
    files.write_at(0, &vec![1; written as usize * 4096]).unwrap();
    assert_eq!(waiting_for_sync(&files), (0..written).collect::<Vec<_>>());
    assert_eq!(files.open.read().unwrap().len(), OPEN_MAX);
    assert!(files.names_changed.load(Ordering::Acquire));
    files.sync().unwrap();
    assert_eq!(waiting_for_sync(&files), [0; 0]);
    assert!(!files.names_changed.load(Ordering::Acquire));
    files.write_at(8192, &[2; 4096]).unwrap();
    assert_eq!(waiting_for_sync(&files), [2]);
    assert!(!files.names_changed.load(Ordering::Acquire), "no name is new");
}

#[test]
fn the_first_sync_covers_what_an_earlier_owner_left_unsynced() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let lock = File::create(directory.path().join("LOCK")).unwrap();
        Files::in_directory(directory.path(), 4096, false, lock).unwrap()
    };
    open().write_at(0, &[1; 3 * 4096]).unwrap();
    let files = open();
    assert!(files.names_changed.load(Ordering::Acquire), "nor may the names be durable");
    files.sync().unwrap();
    let reached: Vec<u64> = files.open.read().unwrap().keys().copied().collect();
    assert_eq!(reached, [0, 1, 2]);
    assert!(!files.names_changed.load(Ordering::Acquire));
}

#[test]
fn zeros_are_written_ahead_of_small_writes_that_are_each_synced_and_are_no_contents() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let lock = File::create(directory.path().join("LOCK")).unwrap();
        Files::in_directory(directory.path(), 64 << 20, false, lock).unwrap()
    };
    let len = || fs::metadata(directory.path().join(NAME.file_name(0))).unwrap().len();
    let files = open();
    for at in 0..3u64 {
        files.write_at(at * 4096, &[1; 4096]).unwrap();
        files.sync().unwrap();
    }
    assert!(len() >= 512 << 10, "there are zeros");
    let mut read = [2; 8192];
    assert_eq!(files.read_at(8192, &mut read).unwrap(), 4096, "the device ends where it was written to");
    std::mem::forget(files); // as if it was killed
    let files = open();
    assert_eq!(files.read_at(8192, &mut read).unwrap(), 8192);
    assert!(read[..4096].iter().all(|byte| *byte == 1) && read[4096..].iter().all(|byte| *byte == 0));
    drop(files);
    let files = open();
    files.write_at(12288, &[1; 64 << 10]).unwrap();
    files.sync().unwrap();
    let before = len();
    files.write_at(76 << 10, &[1; 4096]).unwrap();
    assert_eq!(len(), before, "none behind a large one");
}

#[test]
#[cfg(target_os = "linux")]
fn no_space_is_taken_for_what_lies_before_the_first_write() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let lock = File::create(directory.path().join("LOCK")).unwrap();
    let files = Files::in_directory(directory.path(), 64 << 20, false, lock).unwrap();
    files.write_at(32 << 20, &[1; 4096]).unwrap();
    let taken = fs::metadata(directory.path().join(NAME.file_name(0))).unwrap().blocks() * 512;
    assert!(taken < 4 << 20, "{taken}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_reaches_beyond_what_was_written_while_it_is_open_and_not_beyond_its_segment() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let lock = File::create(directory.path().join("LOCK")).unwrap();
        Files::in_directory(directory.path(), 100 << 10, false, lock).unwrap()
    };
    let len = |segment| fs::metadata(directory.path().join(NAME.file_name(segment))).unwrap().len();
    let files = open();
    files.write_at(0, &[1; 8192]).unwrap();
    assert!(len(0) > 8192);
    files.write_at(8192, &[1; 100 << 10]).unwrap();
    assert_eq!((len(0), len(1) > 8192), (100 << 10, true));
    drop(files);
    assert_eq!(len(1), 8192);
    let files = open();
    files.write_at(108 << 10, &[1; 4096]).unwrap();
    std::mem::forget(files); // as if it was killed
    let files = open();
    assert!(files.info().extent > 112 << 10);
    let mut read = vec![2; 20 << 10];
    files.read_at(100 << 10, &mut read).unwrap();
    assert!(read[..12 << 10].iter().all(|byte| *byte == 1) && read[12 << 10..].iter().all(|byte| *byte == 0));
    drop(files);
    assert!(len(1) >= 12 << 10);
}
