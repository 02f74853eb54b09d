//! What the device in memory promises beyond the contract.

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
