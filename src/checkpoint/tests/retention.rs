//! What is kept and what goes.

use super::sample::{self, fold_over, increment, index, snapshot, token};
use crate::address::Address;
use crate::checkpoint::{Catalog, CheckpointToken, Manifest};
use crate::directory::{Directory, MemoryDirectory};
use crate::error::ErrorKind;

fn directory_of(manifests: &[Manifest]) -> MemoryDirectory {
    let directory = MemoryDirectory::new();
    for manifest in manifests {
        sample::write_files(&directory, manifest);
        Catalog::new(&directory).write(manifest).unwrap();
    }
    directory
}

fn tokens(directory: &dyn Directory) -> Vec<u128> {
    Catalog::new(directory).list().unwrap().checkpoints.iter().map(|manifest| manifest.token.get()).collect()
}

/// A snapshot of some version without an image, like one of a store that takes those apart.
fn plain(number: u128, version: u64) -> Manifest {
    let mut manifest = snapshot(number);
    (manifest.version, manifest.index) = (version, None);
    manifest
}

#[test]
fn the_newest_are_kept_with_every_file_that_they_need() {
    let mut next = increment(3, 2);
    next.version = 12;
    next.index = None;
    let directory = directory_of(&[plain(1, 10), plain(2, 11), next]);
    let catalog = Catalog::new(&directory);
    let removed = catalog.keep_last(1, None).unwrap();
    assert_eq!(removed.checkpoints, [token(1), token(2)]);
    assert_eq!(removed.still_needed, [token(2).log_file()]);
    assert_eq!(removed.log_begin, Some(Address::new(64)));
    assert_eq!(tokens(&directory), [3]);
    assert_eq!(directory.names().unwrap().len(), 3, "{:?}", directory.names());
    assert!(catalog.list().unwrap().unclaimed.is_empty());
    catalog.check_files(&catalog.load(token(3)).unwrap()).unwrap();
    let again = catalog.keep_last(1, None).unwrap();
    assert!(again.checkpoints.is_empty() && again.files.is_empty());
}

#[test]
fn images_that_others_are_recovered_with_stay_and_older_ones_go() {
    let image = |number: u128, version: u64, replay_from: u64| {
        let mut image = index(number);
        image.version = version;
        image.index.as_mut().unwrap().replay_from = Address::new(replay_from);
        image
    };
    let directory = directory_of(&[
        image(1, 1, 64),
        image(2, 2, 96),
        fold_over(3, 3, 4096),
        fold_over(4, 4, 8192),
        image(5, 5, 128),
    ]);
    let removed = Catalog::new(&directory).keep_last(1, None).unwrap();
    assert_eq!(removed.checkpoints, [token(1), token(3)]);
    assert_eq!(tokens(&directory), [2, 4, 5], "the image for the newest log, and the newest image");
}

#[test]
fn nothing_is_removed_unless_the_newest_verifies() {
    let newest = fold_over(2, 20, 8192);
    let directory = directory_of(&[fold_over(1, 10, 4096), newest.clone()]);
    let catalog = Catalog::new(&directory);
    let device = sample::device(&[&fold_over(1, 10, 4096)]);
    let error = catalog.keep_last(1, Some(&device)).unwrap_err();
    assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some("log device")));
    assert_eq!(tokens(&directory), [1, 2]);
    sample::write_device(&device, &newest);
    catalog.keep_last(1, Some(&device)).unwrap();
    assert_eq!(tokens(&directory), [2]);
}

#[test]
fn a_manifest_that_cannot_be_read_stops_every_removal_until_it_is_dealt_with() {
    let directory = directory_of(&[fold_over(1, 10, 4096), fold_over(2, 20, 8192), snapshot(3)]);
    let catalog = Catalog::new(&directory);
    sample::replace(&directory, &token(3).manifest_file(), b"no longer a manifest");
    for error in [
        catalog.keep_last(1, None).unwrap_err(),
        catalog.sweep(&[]).unwrap_err(),
        catalog.remove(token(1)).unwrap_err(),
        catalog.give_up_after(token(1), None).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some(token(3).manifest_file().as_str())));
    }
    assert_eq!(directory.names().unwrap().len(), 5);
    assert_eq!(catalog.remove(token(3)).unwrap().files, [token(3).manifest_file()]);
    assert_eq!(catalog.keep_last(1, None).unwrap().checkpoints, [token(1)]);
    assert_eq!(catalog.sweep(&[]).unwrap().files, [token(3).index_file(), token(3).log_file()]);
}

/// Whatever its kind: a snapshot of the given-up future has its part in a file, which nothing writes over.
#[test]
fn who_goes_back_for_good_leaves_nothing_newer_behind() {
    let mut image = index(5);
    image.version = 40;
    let directory = directory_of(&[plain(1, 3), increment(2, 1), fold_over(3, 20, 8192), plain(4, 30), image]);
    let catalog = Catalog::new(&directory);
    let removed = catalog.give_up_after(token(1), None).unwrap();
    assert_eq!(removed.checkpoints, [token(5), token(4), token(3), token(2)], "the newest goes first");
    assert_eq!(tokens(&directory), [1]);
    assert_eq!(catalog.latest().unwrap().exactly().unwrap().token, token(1));
    assert!(catalog.list().unwrap().unclaimed.is_empty());
    assert!(catalog.give_up_after(token(1), None).unwrap().checkpoints.is_empty());
}

#[test]
fn nothing_newer_is_given_up_for_a_state_that_cannot_be_gone_back_to() {
    let directory = directory_of(&[plain(1, 10), plain(2, 20), index(5)]);
    let catalog = Catalog::new(&directory);
    assert_eq!(catalog.give_up_after(token(9), None).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(catalog.give_up_after(token(5), None).unwrap_err().kind(), ErrorKind::Config);
    sample::replace(&directory, &token(1).log_file(), b"no longer a log");
    assert_eq!(catalog.give_up_after(token(1), None).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(tokens(&directory), [5, 1, 2]);
}

#[test]
fn wrong_requests_are_refused() {
    let directory = directory_of(&[fold_over(1, 10, 4096)]);
    let catalog = Catalog::new(&directory);
    assert_eq!(catalog.keep_last(0, None).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(catalog.remove(CheckpointToken::new(9)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(catalog.write(&fold_over(1, 10, 4096)).unwrap_err().kind(), ErrorKind::Config, "it is there already");
    assert_eq!(catalog.write(&snapshot(2)).unwrap_err().kind(), ErrorKind::NotFound, "its files are not there");
    assert_eq!(tokens(&directory), [1]);
    let empty = MemoryDirectory::new();
    assert_eq!(Catalog::new(&empty).keep_last(1, None).unwrap(), Default::default());
}
