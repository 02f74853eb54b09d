//! What the device in the file system promises beyond the contract.

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
        let was_direct = disk.is_direct();
        assert_eq!(read(&disk, 0, 3), vec![9; SECTOR + 5]);
        assert_eq!(disk.is_direct(), was_direct, "the end of a file is no reason to fall back");
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

#[cfg(target_os = "linux")]
#[test]
fn truncation_within_a_segment_gives_space_back() {
    use std::os::unix::fs::MetadataExt;
    let paths = Paths::new();
    let directory = paths.next();
    let segment = 64 * SECTOR as u64;
    let disk = FileSystemDiskOptions::new().with_segment_size(segment).open(&directory).unwrap();
    write(&disk, 0, 128, 3);
    sync(&disk).unwrap();
    let file = directory.join("log.000001");
    let before = fs::metadata(&file).unwrap().blocks();
    truncate(&disk, segment + 48 * SECTOR as u64 + 1);
    assert_eq!(segments_in(&directory), ["log.000001"]);
    let after = fs::metadata(&file).unwrap();
    assert!(disk.keeps_truncated_space() || after.blocks() < before, "{} < {before}", after.blocks());
    assert_eq!(after.len(), segment);
    assert_eq!(read(&disk, 112, 16), vec![3; 16 * SECTOR]);
    drop(disk);
    let disk = FileSystemDisk::open(&directory).unwrap();
    assert_eq!((disk.info().extent, read(&disk, 112, 16)), (2 * segment, vec![3; 16 * SECTOR]));
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
