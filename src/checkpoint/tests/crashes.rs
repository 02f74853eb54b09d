//! Crashes and failures at every step of writing and removing.

use super::crash_directory::CrashDirectory;
use super::sample::{self, snapshot, token};
use crate::checkpoint::{Catalog, CheckpointToken, Manifest};
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Result};

/// Steps that fail, without effect and with it, until there is none left that the call takes. `check` gets each failure.
fn each_failure(
    prepare: impl Fn() -> CrashDirectory,
    call: impl Fn(&Catalog<'_>) -> Result<()>,
    check: impl Fn(&CrashDirectory),
) {
    for takes_effect in [false, true] {
        let mut step = 0;
        loop {
            let directory = prepare();
            directory.fail_at(step, takes_effect);
            let outcome = call(&Catalog::new(&directory));
            if step >= directory.steps().len() {
                outcome.unwrap();
                break;
            }
            // Reads that are told to fail after they took effect have failed all the same, or were of no account.
            if let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::Io, "step {step}: {error}");
                check(&directory);
            } else {
                assert!(directory.steps()[step].starts_with("read"), "{} was ignored", directory.steps()[step]);
            }
            step += 1;
        }
        assert!(step > 5, "the call was looked at step by step");
    }
}

/// The checkpoints that are listed, all of which must be whole; nothing may be broken.
fn whole(directory: &dyn Directory) -> Vec<CheckpointToken> {
    let catalog = Catalog::new(directory);
    let listing = catalog.list().unwrap();
    assert!(listing.broken.is_empty(), "{:?}", listing.broken);
    listing.checkpoints.iter().for_each(|manifest| catalog.check_files(manifest).unwrap());
    listing.checkpoints.iter().map(|manifest| manifest.token).collect()
}

fn with_files(manifest: &Manifest) -> CrashDirectory {
    let directory = CrashDirectory::default();
    sample::write_files(&directory, manifest);
    directory
}

/// The files are synced and their names are not when the manifest is written, as a checkpoint leaves it to the catalog.
fn about_to_write() -> CrashDirectory {
    let directory = CrashDirectory::default();
    sample::write_files(&directory, &snapshot(1));
    directory.begin();
    directory
}

#[test]
fn a_manifest_is_written_in_the_order_that_makes_it_durable() {
    let directory = with_files(&snapshot(1));
    directory.settle();
    Catalog::new(&directory).write(&snapshot(1)).unwrap();
    let (name, unfinished) = (token(1).manifest_file(), format!("{}.tmp", token(1).manifest_file()));
    let expected = [
        format!("create {unfinished}"),
        format!("write {unfinished}"),
        format!("sync {unfinished}"),
        format!("read {unfinished}"),
        "sync directory".to_owned(),
        format!("rename {unfinished} to {name}"),
        "sync directory".to_owned(),
    ];
    assert_eq!(directory.steps(), expected);
}

#[test]
fn a_crash_at_any_step_of_writing_leaves_a_whole_checkpoint_or_none() {
    let directory = about_to_write();
    Catalog::new(&directory).write(&snapshot(1)).unwrap();
    let crashes = directory.crashes();
    let mut seen = [false; 2];
    for state in crashes.iter().flatten() {
        let there = whole(state);
        assert!(there.is_empty() || there == [token(1)]);
        seen[there.len()] = true;
    }
    assert_eq!(seen, [true, true], "both before and after were seen");
    for state in &crashes[crashes.len() - 1] {
        assert_eq!(whole(state), [token(1)], "it was reported, so it is there");
    }
}

#[test]
fn a_failure_at_any_step_of_writing_is_reported_and_leaves_nothing_half_done() {
    let write = |catalog: &Catalog<'_>| catalog.write(&snapshot(1));
    each_failure(about_to_write, write, |directory| {
        assert!(whole(directory).is_empty(), "what was not reported is not there");
        directory.crashes().iter().flatten().for_each(|state| drop(whole(state)));
        // Later everything works again.
        let unsynced =
            directory.steps().iter().filter(|step| step.starts_with("sync ") && step.ends_with(".tmp")).count();
        Catalog::new(directory).write(&snapshot(1)).unwrap();
        assert_eq!(whole(directory), [token(1)]);
        let again =
            directory.steps().iter().filter(|step| step.starts_with("create ") && step.ends_with(".tmp")).count();
        assert!(again > unsynced.min(1), "a file whose sync failed is written anew");
    });
}

#[test]
fn a_manifest_that_is_not_kept_as_it_was_written_is_no_checkpoint() {
    let directory = about_to_write();
    directory.lie_at(Some(100));
    let error = Catalog::new(&directory).write(&snapshot(1)).unwrap_err();
    assert_eq!((error.kind(), error.field("offset")), (ErrorKind::Corrupt, Some("100")));
    directory.lie_at(None);
    assert!(whole(&directory).is_empty() && directory.names().unwrap().len() == 2, "{:?}", directory.names());
}

#[test]
fn what_an_earlier_attempt_left_is_not_in_the_way() {
    let directory = about_to_write();
    sample::replace(&directory, &format!("{}.tmp", token(1).manifest_file()), &[b'x'; 5000]);
    Catalog::new(&directory).write(&snapshot(1)).unwrap();
    assert_eq!(whole(&directory), [token(1)]);
}

/// Snapshots 1 and 2, an increment 3 to 2, and a checkpoint 4 of the index.
fn many() -> CrashDirectory {
    let directory = CrashDirectory::default();
    let mut second = snapshot(2);
    second.version = 5;
    let mut third = sample::increment(3, 2);
    third.version = 6;
    let mut fourth = sample::index(4);
    fourth.version = 7;
    for manifest in [snapshot(1), second, third, fourth] {
        sample::write_files(&directory, &manifest);
        Catalog::new(&directory).write(&manifest).unwrap();
    }
    directory.settle();
    directory
}

#[test]
fn a_crash_at_any_step_of_removing_leaves_the_others_whole() {
    let directory = many();
    let removed = Catalog::new(&directory).keep_last(1, None).unwrap();
    assert_eq!(removed.checkpoints, [token(1)], "the increment is recovered with the image of the second");
    let crashes = directory.crashes();
    for state in crashes.iter().flatten() {
        let there = whole(state);
        assert!(there.ends_with(&[token(2), token(3), token(4)]) && there.len() <= 4, "{there:?}");
    }
    for state in &crashes[crashes.len() - 1] {
        assert_eq!(whole(state).len(), 3);
        assert!(!state.names().unwrap().contains(&token(1).log_file()), "it was reported, so it is gone");
    }
}

#[test]
fn a_failure_at_any_step_of_removing_leaves_the_others_whole_and_a_later_call_goes_on() {
    each_failure(
        many,
        |catalog| catalog.remove(token(2)).map(drop),
        |directory| {
            directory.crashes().iter().flatten().for_each(|state| drop(whole(state)));
            let catalog = Catalog::new(directory);
            if catalog.load(token(2)).is_ok() {
                catalog.remove(token(2)).unwrap();
            }
            catalog.sweep(&[]).unwrap();
            assert_eq!(whole(directory), [token(1), token(3), token(4)]);
            let names = directory.names().unwrap();
            assert!(names.contains(&token(2).log_file()), "the increment needs it");
            assert!(!names.contains(&token(2).index_file()), "nobody needs it");
        },
    );
}

#[test]
fn a_crash_at_any_step_of_going_back_leaves_every_state_whole_and_none_newer_once_it_is_done() {
    let directory = many();
    Catalog::new(&directory).give_up_after(token(1), None).unwrap();
    let crashes = directory.crashes();
    assert!(crashes.iter().flatten().all(|state| whole(state).contains(&token(1))));
    for state in &crashes[crashes.len() - 1] {
        let listing = Catalog::new(state).list().unwrap();
        assert_eq!((whole(state), listing.unclaimed.len()), (vec![token(1)], 0));
    }
}

#[test]
fn a_failure_at_any_step_of_going_back_is_made_up_for_by_another_call() {
    each_failure(
        many,
        |catalog| match catalog.give_up_after(token(1), None) {
            // What cannot be read does not verify.
            Err(error) if error.kind() == ErrorKind::Corrupt => Err(Error::new(ErrorKind::Io, "not read")),
            outcome => outcome.map(drop),
        },
        |directory| {
            directory.crashes().iter().flatten().for_each(|state| drop(whole(state)));
            Catalog::new(directory).give_up_after(token(1), None).unwrap();
            let crashes = directory.crashes();
            assert!(crashes[crashes.len() - 1].iter().all(|state| whole(state) == [token(1)]), "one came back");
        },
    );
}

#[test]
fn a_crash_at_any_step_of_sweeping_costs_no_checkpoint() {
    let directory = many();
    for name in [token(9).log_file(), token(9).index_file(), format!("{}.tmp", token(9).manifest_file())] {
        sample::replace(&directory, &name, b"left by a crash");
    }
    // This removal is not durable when the sweep begins.
    directory.remove(&token(1).manifest_file()).unwrap();
    let removed = Catalog::new(&directory).sweep(&[]).unwrap();
    assert_eq!(removed.files.len(), 5, "{removed:?}");
    directory.crashes().iter().flatten().for_each(|state| drop(whole(state)));
    assert_eq!(whole(&directory), [token(2), token(3), token(4)]);
}
