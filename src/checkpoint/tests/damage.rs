//! Every kind of damage, and where verification says that it is.

use super::sample::{self, increment, index, snapshot, token};
use crate::allocator::{BLOCK_SIZE, seal};
use crate::checkpoint::{Catalog, Defect, Manifest, RecordCounts, VerifyReport, verify};
use crate::device::{FaultyDisk, MemoryDisk, NullDisk, StorageDevice};
use crate::directory::{Directory, MemoryDirectory};
use crate::error::ErrorKind;

fn stored(manifests: &[&Manifest]) -> (MemoryDirectory, MemoryDisk) {
    let directory = MemoryDirectory::new();
    for manifest in manifests {
        sample::write_files(&directory, manifest);
        Catalog::new(&directory).write(manifest).unwrap();
    }
    (directory, sample::device(manifests))
}

fn check(directory: &dyn Directory, device: Option<&dyn StorageDevice>, number: u128) -> VerifyReport {
    verify(directory, device, token(number), &mut |_| {}).unwrap()
}

fn places(report: &VerifyReport) -> Vec<(&str, u64, u64)> {
    report.defects.iter().map(|defect| (defect.place(), defect.offset, defect.bytes)).collect()
}

#[test]
fn a_whole_checkpoint_is_read_to_the_last_byte_and_its_records_are_counted() {
    let manifest = snapshot(1);
    let (directory, device) = stored(&[&manifest]);
    let mut last = (0, 0);
    let mut seen = Vec::new();
    let report = verify(&directory, Some(&device), token(1), &mut |progress| {
        assert!(progress.done >= last.0 && progress.done <= progress.total);
        last = (progress.done, progress.total);
        seen.push(progress.place.to_owned());
    });
    let report = report.unwrap();
    assert!(report.is_sound() && report.is_complete(), "{:?}", report.defects);
    assert_eq!((report.blocks, report.bytes), (7, 7 * 4096), "four on the device, one in the file, two of the image");
    assert_eq!(last, (7 * 4096, 7 * 4096));
    assert_eq!(seen, ["log device", &token(1).log_file(), &token(1).index_file()]);
    let RecordCounts { values, tombstones, invalid, aborted, fragments } = report.records;
    assert_eq!((values, tombstones, invalid, aborted, fragments), (504, 1, 1, 2, 0));
    assert_eq!(report.manifest, Some(manifest));
}

#[test]
fn increments_are_verified_with_the_files_of_their_bases() {
    let (base, next) = (snapshot(1), increment(2, 1));
    let (directory, device) = stored(&[&base, &next]);
    let report = check(&directory, Some(&device), 2);
    assert!(report.is_sound(), "{:?}", report.defects);
    assert_eq!(report.records.values, 504 + 170);
    directory.remove(&token(1).log_file()).unwrap();
    let report = check(&directory, Some(&device), 2);
    assert_eq!(report.defects[0].place(), token(1).log_file());
    assert_eq!(report.records.values + 2, 168 + 170 + 170, "the rest is walked from the next page on");
}

#[test]
fn without_the_device_what_lies_there_counts_as_unchecked() {
    let (directory, _) = stored(&[&snapshot(1)]);
    let report = check(&directory, None, 1);
    assert!(report.is_sound() && !report.is_complete());
    assert_eq!((report.blocks, report.unchecked_bytes, report.records.aborted), (3, 4 * 4096, 2));
}

#[test]
fn a_checkpoint_of_the_index_needs_no_device() {
    let (directory, _) = stored(&[&index(1)]);
    let report = check(&directory, None, 1);
    assert!(report.is_sound() && report.is_complete());
    assert_eq!((report.blocks, report.records), (2, RecordCounts::default()));
}

/// Every byte of every file and of the device is flipped in turn, and the block it lies in is named.
#[test]
fn every_flipped_byte_is_found_in_its_place() {
    let manifest = snapshot(1);
    let (directory, device) = stored(&[&manifest]);
    for name in [token(1).log_file(), token(1).index_file()] {
        let bytes = sample::bytes_of(&directory, &name);
        for at in (0..bytes.len()).step_by(7).chain(4080..4096) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            sample::replace(&directory, &name, &damaged);
            let report = check(&directory, None, 1);
            assert_eq!(places(&report), [(name.as_str(), (at / 4096 * 4096) as u64, 4096)], "byte {at} of {name}");
        }
        sample::replace(&directory, &name, &bytes);
    }
    let piece = snapshot(1).log.unwrap().pieces[0].clone();
    assert!(piece.file.is_none());
    for block in 0..4 {
        let (faulty, plan) = {
            let faulty = FaultyDisk::new(device.clone());
            let plan = faulty.plan();
            (faulty, plan)
        };
        plan.corrupt_reads_at(block * 4096 + 100, 0b100);
        let report = check(&directory, Some(&faulty), 1);
        assert_eq!(places(&report), [("log device", block * 4096, 4096)]);
    }
    assert!(check(&directory, Some(&device), 1).is_sound());
}

#[test]
fn every_flipped_byte_of_a_manifest_is_found_with_file_and_offset() {
    let (directory, device) = stored(&[&snapshot(1)]);
    let name = token(1).manifest_file();
    let bytes = sample::bytes_of(&directory, &name);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        sample::replace(&directory, &name, &damaged);
        let error = Catalog::new(&directory).load(token(1)).unwrap_err();
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some(name.as_str())), "byte {at}");
        assert!(error.field("offset").is_some(), "{error}");
        let report = check(&directory, Some(&device), 1);
        assert!(!report.is_complete() && report.defects[0].place() == name);
    }
}

#[test]
fn every_file_that_is_cut_short_or_gone_or_too_long_is_named() {
    for name in [token(1).manifest_file(), token(1).log_file(), token(1).index_file()] {
        let (directory, device) = stored(&[&snapshot(1)]);
        let bytes = sample::bytes_of(&directory, &name);
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            sample::replace(&directory, &name, &bytes[..len]);
            let report = check(&directory, Some(&device), 1);
            assert_eq!(report.defects.len(), 1, "{len} bytes of {name}: {:?}", report.defects);
            assert_eq!(report.defects[0].place(), name);
            assert!(report.defects[0].offset <= len as u64);
        }
        sample::replace(&directory, &name, &[bytes.as_slice(), b"x"].concat());
        let report = check(&directory, Some(&device), 1);
        let Defect { offset, .. } = report.defects[0];
        assert_eq!((report.defects.len(), offset), (1, bytes.len() as u64), "{name}");
        directory.remove(&name).unwrap();
        if name == token(1).manifest_file() {
            let error = verify(&directory, None, token(1), &mut |_| {}).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        } else {
            let report = check(&directory, Some(&device), 1);
            assert_eq!((report.defects.len(), report.defects[0].place()), (1, name.as_str()));
        }
    }
}

#[test]
fn blocks_of_another_log_never_written_or_in_another_place_are_told_apart() {
    let manifest = snapshot(1);
    let (directory, device) = stored(&[&manifest]);
    let mut stale = manifest.clone();
    stale.log.as_mut().unwrap().generations[1].generation = 99;
    sample::write_device(&device, &stale);
    let report = check(&directory, Some(&device), 1);
    assert_eq!(places(&report), [("log device", 2 * 4096, 2 * 4096)], "the second page was of this generation");
    assert!(report.defects[0].what.contains("another log"), "{report:?}");

    let (directory, device) = stored(&[&manifest]);
    sample::write_bytes(&device, 4096, &[0; BLOCK_SIZE]);
    let report = check(&directory, Some(&device), 1);
    assert_eq!(places(&report), [("log device", 4096, 4096)]);
    assert!(report.defects[0].what.contains("never written"), "{report:?}");

    let mut swapped = vec![0; BLOCK_SIZE];
    seal(&mut swapped, 2, 7);
    sample::write_bytes(&device, 4096, &swapped);
    assert!(check(&directory, Some(&device), 1).defects[0].what.contains("damaged"));
}

#[test]
fn a_device_that_ends_early_or_fails_is_reported_with_the_place() {
    let manifest = snapshot(1);
    let (directory, _) = stored(&[&manifest]);
    let report = check(&directory, Some(&MemoryDisk::new()), 1);
    assert_eq!(places(&report), [("log device", 0, 4 * 4096)]);
    let report = check(&directory, Some(&NullDisk::new()), 1);
    assert_eq!(places(&report)[0].0, "log device");
    let faulty = FaultyDisk::new(sample::device(&[&manifest]));
    faulty.plan().break_now();
    let report = check(&directory, Some(&faulty), 1);
    assert_eq!(places(&report), [("log device", 0, 4 * 4096)]);
    assert_eq!(report.blocks, 3, "the files are looked at all the same");
}

/// What a manifest says of a length is no reason to read for years.
#[test]
fn an_image_that_ends_long_before_its_length_is_not_read_on() {
    let mut manifest = index(1);
    let (directory, _) = stored(&[&manifest]);
    let part = manifest.index.as_mut().unwrap();
    part.bytes = 1 << 60;
    sample::replace(&directory, &token(1).manifest_file(), &manifest.to_bytes().unwrap());
    let mut calls = 0;
    let report = verify(&directory, None, token(1), &mut |_| calls += 1).unwrap();
    let name = token(1).index_file();
    assert_eq!((places(&report), calls), (vec![(name.as_str(), 8192, (1 << 60) - 8192)], 1));
}

#[test]
fn a_read_that_fails_once_costs_nothing_but_a_second_read() {
    let manifest = snapshot(1);
    let (directory, device) = stored(&[&manifest]);
    let faulty = FaultyDisk::new(device);
    faulty.plan().fail_nth(crate::device::IoOp::Read, 1, std::io::ErrorKind::Other);
    let report = check(&directory, Some(&faulty), 1);
    assert!(report.is_sound() && report.blocks == 7, "{:?}", report.defects);
}

/// Blocks whose seals are right and whose records are not: what a bug would write.
#[test]
fn headers_that_no_record_can_have_are_found() {
    let manifest = snapshot(1);
    let name = token(1).log_file();
    for (header, rule) in [
        (0x0000_0000_0000_0040u64, "no header"),
        (0x9c00_0000_0000_0040, "no header"),
        (0x8000_0000_0000_2018, "not older"),
    ] {
        let (directory, device) = stored(&[&manifest]);
        let mut bytes = sample::bytes_of(&directory, &name);
        bytes[24..32].copy_from_slice(&header.to_le_bytes());
        seal(&mut bytes, 4, 8 ^ token(1).binding());
        sample::replace(&directory, &name, &bytes);
        let report = check(&directory, Some(&device), 1);
        assert_eq!(places(&report), [(name.as_str(), 24, 8)], "{header:#x}");
        assert!(report.defects[0].what.contains(rule), "{}", report.defects[0].what);
    }
    let (directory, device) = stored(&[&manifest]);
    let mut block = vec![0; BLOCK_SIZE];
    block[8] = 1;
    seal(&mut block, 1, 7);
    sample::write_bytes(&device, 4096, &block);
    let report = check(&directory, Some(&device), 1);
    assert_eq!(places(&report), [("log device", 4096 + 8, 1)], "the page has only 8 bytes in this block");
}

/// More blocks than are read at once, with faults on both sides of the seams, and a read that fails as a whole.
#[test]
fn a_log_of_many_reads_is_verified_to_the_block() {
    let pages = 1500;
    let manifest = sample::fold_over(1, 10, pages * 4096);
    let (directory, device) = stored(&[&manifest]);
    let report = check(&directory, Some(&device), 1);
    assert!(report.is_sound(), "{:?}", report.defects);
    assert_eq!((report.blocks, report.records.values), (2 * pages, 168 - 2 + 170 * (pages - 1)));
    let faulty = FaultyDisk::new(device);
    let mib = 1 << 20;
    for offset in [mib - 4096, mib, 3 * mib, 9 * mib + 8192] {
        faulty.plan().corrupt_reads_at(offset + 5, 1);
    }
    faulty.plan().fail_nth(crate::device::IoOp::Read, 4, std::io::ErrorKind::Other);
    let report = check(&directory, Some(&faulty), 1);
    let expected = [(mib - 4096, 8192), (3 * mib, 4096), (9 * mib + 8192, 4096)];
    assert_eq!(places(&report), expected.map(|(offset, bytes)| ("log device", offset, bytes)));
    assert_eq!(report.blocks, 2 * pages);
}
