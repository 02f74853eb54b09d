//! Which checkpoint is taken, and what is said when it is not the one that was asked for.

use super::sample::{self, fold_over, increment, index, snapshot, token};
use crate::address::Address;
use crate::checkpoint::{Catalog, Manifest};
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

fn spoil(directory: &dyn Directory, name: &str) {
    let mut bytes = sample::bytes_of(directory, name);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    sample::replace(directory, name, &bytes);
}

/// Fold-overs 1, 2 and 3 of the versions 10, 20 and 30, and an index of version 40.
fn three() -> MemoryDirectory {
    let mut image = index(4);
    image.version = 40;
    directory_of(&[fold_over(2, 20, 8192), fold_over(3, 30, 12_280), fold_over(1, 10, 4096), image])
}

#[test]
fn checkpoints_are_listed_from_the_oldest_to_the_newest() {
    let directory = three();
    let listing = Catalog::new(&directory).list().unwrap();
    assert_eq!(listing.checkpoints.iter().map(|manifest| manifest.token.get()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(listing.broken.is_empty() && listing.unclaimed.is_empty());
    assert_eq!(listing.highest_version(), Some(40), "that of the index counts too");
}

#[test]
fn the_newest_log_that_was_asked_for_is_taken() {
    let directory = three();
    let catalog = Catalog::new(&directory);
    assert_eq!(catalog.latest().unwrap().exactly().unwrap().token, token(3), "that of the index has no log");
    assert_eq!(catalog.at_version(20).unwrap().exactly().unwrap().token, token(2));
    assert_eq!(catalog.at_version(29).unwrap().exactly().unwrap().token, token(2));
    let begun = fold_over(2, 20, 8192).created;
    assert_eq!(catalog.at_time(begun).unwrap().exactly().unwrap().token, token(2));
    assert_eq!(catalog.at_time(begun - 1).unwrap().exactly().unwrap().token, token(1));
    let error = catalog.at_version(9).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("checkpoint list"), "{error}");
}

#[test]
fn an_older_state_than_asked_is_never_taken_in_silence() {
    let directory = three();
    let catalog = Catalog::new(&directory);
    spoil(&directory, &token(3).manifest_file());
    let error = catalog.latest().unwrap().exactly().unwrap_err();
    assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some(token(3).manifest_file().as_str())));
    assert_eq!(error.field("newest usable"), Some(token(2).to_string().as_str()));
    assert!(catalog.at_version(25).unwrap().exactly().is_err(), "nobody knows that the broken one is younger");
    assert_eq!(
        catalog.at_version(20).unwrap().exactly().unwrap().token,
        token(2),
        "this is the one that was asked for"
    );
    let (manifest, passed_over) = catalog.latest().unwrap().or_older();
    assert_eq!((manifest.token, passed_over.len(), passed_over[0].token), (token(2), 1, Some(token(3))));
    let listing = catalog.list().unwrap();
    assert_eq!((listing.checkpoints.len(), listing.broken.len()), (3, 1));
    assert!(listing.broken[0].error.field("offset").is_some());
}

#[test]
fn a_checkpoint_without_its_log_file_is_passed_over_and_named() {
    let mut second = snapshot(2);
    second.version = 9;
    let directory = directory_of(&[snapshot(1), second]);
    let catalog = Catalog::new(&directory);
    let name = token(2).log_file();
    let bytes = sample::bytes_of(&directory, &name);
    sample::replace(&directory, &name, &bytes[..bytes.len() - 1]);
    for kind in [ErrorKind::Corrupt, ErrorKind::NotFound] {
        let error = catalog.latest().unwrap().exactly().unwrap_err();
        assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some(name.as_str())));
        let (manifest, passed_over) = catalog.latest().unwrap().or_older();
        assert_eq!((manifest.token, passed_over[0].error.kind()), (token(1), kind));
        directory.remove(&name).unwrap();
    }
    directory.remove(&token(1).log_file()).unwrap();
    let error = catalog.latest().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "there are some, and none is of use");
}

#[test]
fn a_manifest_of_a_later_version_is_no_reason_to_go_back() {
    let directory = three();
    let body = "oxifaster manifest 2\nlength 2\n{}\n";
    let text = format!("{body}crc32c {:08x}\n", crate::utility::crc32c(body.as_bytes()));
    sample::replace(&directory, &token(7).manifest_file(), text.as_bytes());
    let error = Catalog::new(&directory).latest().unwrap().exactly().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_manifest_under_a_wrong_name_is_broken() {
    let directory = three();
    directory.rename(&token(3).manifest_file(), &token(5).manifest_file()).unwrap();
    sample::replace(&directory, "copy-of-3.manifest", b"");
    let listing = Catalog::new(&directory).list().unwrap();
    let broken: Vec<_> = listing.broken.iter().map(|broken| (broken.file.as_str(), broken.token)).collect();
    assert_eq!(broken, [(token(5).manifest_file().as_str(), Some(token(5))), ("copy-of-3.manifest", None)]);
}

#[test]
fn files_that_are_not_of_checkpoints_are_left_alone() {
    let directory = three();
    for name in ["LOCK", "log.000000", "notes.txt"] {
        sample::replace(&directory, name, b"something else");
    }
    sample::replace(&directory, &token(8).log_file(), b"of nobody");
    let listing = Catalog::new(&directory).list().unwrap();
    assert!(listing.broken.is_empty());
    assert_eq!(listing.unclaimed, [token(8).log_file()]);
    assert_eq!(Catalog::new(&directory).sweep(&[token(8)]).unwrap().files, [""; 0], "it is under way");
    assert_eq!(Catalog::new(&directory).sweep(&[]).unwrap().files, [token(8).log_file()]);
    assert!(directory.names().unwrap().contains(&"notes.txt".to_owned()));
}

#[test]
fn the_image_that_leaves_the_least_to_replay_is_taken() {
    let log = fold_over(1, 10, 12_280);
    let image = |number: u128, replay_from: u64, complete_at: u64| {
        let mut image = index(number);
        let part = image.index.as_mut().unwrap();
        (part.replay_from, part.complete_at) = (Address::new(replay_from), Address::new(complete_at));
        image
    };
    let mut too_new = image(4, 128, 4096);
    too_new.version = 11;
    let mut other_log = image(5, 128, 4096);
    other_log.index.as_mut().unwrap().generations = vec![sample::generation(0, 1)];
    let mut other_schema = image(6, 128, 4096);
    other_schema.schema.value_size = Some(16);
    let beyond = image(7, 8192, 12_288);
    let directory =
        directory_of(&[log.clone(), image(2, 64, 4096), image(3, 96, 4096), too_new, other_log, other_schema, beyond]);
    let catalog = Catalog::new(&directory);
    let choice = catalog.index_for(&log).unwrap();
    assert_eq!(choice.images.iter().map(|image| image.checkpoint.get()).collect::<Vec<_>>(), [3, 2]);
    assert!(choice.passed_over.is_empty());
    directory.remove(&token(3).index_file()).unwrap();
    let choice = catalog.index_for(&log).unwrap();
    assert_eq!((choice.images.len(), choice.images[0].checkpoint), (1, token(2)));
    assert_eq!(choice.passed_over[0].file, token(3).index_file());
    assert_eq!(catalog.index_for(&index(2)).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn an_image_that_was_taken_after_the_cut_is_not_taken_for_it() {
    let mut log = fold_over(1, 10, 12_280);
    log.log.as_mut().unwrap().start = Address::new(8192);
    let mut image = index(2);
    image.index.as_mut().unwrap().complete_at = Address::new(12_280);
    let directory = directory_of(&[log.clone(), image]);
    let choice = Catalog::new(&directory).index_for(&log).unwrap();
    assert!(choice.images.is_empty(), "its entries may lead to records that the cut leaves out");
}

#[test]
fn an_increment_can_be_recovered_with_the_image_of_its_base() {
    let (base, next) = (snapshot(1), increment(2, 1));
    let directory = directory_of(&[base, next.clone()]);
    let choice = Catalog::new(&directory).index_for(&next).unwrap();
    assert_eq!(choice.images[0].checkpoint, token(1));
}
