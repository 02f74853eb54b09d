//! The device that fails on command, fails as told.

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
