//! What of a directory survives a crash.

use super::*;
use oxifaster::directory::Directory;
use oxifaster_sim::{Access, Cause, CrashPolicy, SimDirectory, When};
use std::collections::BTreeSet;

fn put(directory: &SimDirectory, name: &str, text: &str) {
    let file = directory.create(name).unwrap();
    file.write_at(0, text.as_bytes()).unwrap();
    file.sync().unwrap();
}

/// All files of a world with their contents, `name=text`.
fn look(image: &oxifaster_sim::Image) -> String {
    let text = |name: &str| String::from_utf8(image.file("dir", name).unwrap().to_vec()).unwrap();
    let files: Vec<_> = image.names("dir").into_iter().map(|name| format!("{name}={}", text(name))).collect();
    files.join(" ")
}

/// Everything that a crash now may leave.
fn outcomes(world: &SimWorld) -> BTreeSet<String> {
    world.crash_point().all_crashes(16).unwrap().map(|crash| look(&crash.image)).collect()
}

fn set<const N: usize>(expected: [&str; N]) -> BTreeSet<String> {
    expected.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_file_that_was_synced_can_vanish_as_long_as_its_directory_was_not() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    put(&directory, "a", "1");
    assert_eq!(outcomes(&world), set(["", "a=1"]));
    directory.sync().unwrap();
    assert_eq!(outcomes(&world), set(["a=1"]));
}

#[test]
fn a_rename_without_a_sync_of_the_directory_can_be_undone() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    put(&directory, "a", "old");
    put(&directory, "a.tmp", "new");
    directory.sync().unwrap();
    directory.rename("a.tmp", "a").unwrap();
    assert_eq!(outcomes(&world), set(["a=old a.tmp=new", "a=new"]));
    directory.sync().unwrap();
    assert_eq!(outcomes(&world), set(["a=new"]));
}

#[test]
fn a_name_may_be_durable_before_what_it_names() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    let file = directory.create("a").unwrap();
    file.write_at(0, b"x").unwrap();
    directory.sync().unwrap();
    // The byte, nothing, or the length without the byte.
    assert_eq!(outcomes(&world), set(["a=", "a=x", "a=\0"]));
    file.sync().unwrap();
    assert_eq!(outcomes(&world), set(["a=x"]));
}

#[test]
fn changes_of_different_names_become_durable_in_any_order() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    put(&directory, "old", "1");
    directory.sync().unwrap();
    put(&directory, "new", "2");
    directory.remove("old").unwrap();
    assert_eq!(outcomes(&world), set(["", "new=2", "new=2 old=1", "old=1"]));
}

#[test]
fn changes_of_one_name_or_file_keep_their_order() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    put(&directory, "a", "1");
    directory.rename("a", "b").unwrap();
    directory.rename("b", "c").unwrap();
    assert_eq!(outcomes(&world), set(["", "a=1", "b=1", "c=1"]));
    put(&directory, "a", "2");
    assert!(!outcomes(&world).contains("a=2"), "the name was another file's before");
    for policy in CrashPolicy::ALL {
        let image = world.crash(policy).image;
        assert!(outcomes(&world).contains(&look(&image)), "{policy}: {}", look(&image));
    }
}

#[test]
fn a_failed_sync_of_the_directory_leaves_its_changes_uncertain_and_a_later_one_covers_later_changes() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    put(&directory, "a", "1");
    world.fail(Access::DirectorySync, When::Nth(1), Cause::Broken);
    directory.sync().unwrap_err();
    assert_eq!(outcomes(&world), set(["", "a=1"]));
    put(&directory, "b", "2");
    directory.sync().unwrap();
    assert_eq!(outcomes(&world), set(["b=2", "a=1 b=2"]));
    // Another process knows of no failure, and syncs what it finds.
    let next = world.crash(CrashPolicy::Killed).restart();
    next.directory("dir").sync().unwrap();
    assert_eq!(look(&next.crash(CrashPolicy::LoseAll).image), "a=1 b=2");
    // What builds on an uncertain change makes it certain.
    directory.rename("a", "c").unwrap();
    directory.sync().unwrap();
    assert_eq!(outcomes(&world), set(["b=2 c=1"]));
}

#[test]
fn a_file_that_was_overwritten_keeps_its_contents_until_the_rename_is_durable() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    put(&directory, "a", "old");
    directory.sync().unwrap();
    let next = directory.create("a.tmp").unwrap();
    next.write_at(0, b"n").unwrap();
    directory.rename("a.tmp", "a").unwrap();
    // Without a sync of the file the name may lead to nothing at all.
    let expected = ["a=", "a=\0", "a=n", "a=old", "a=old a.tmp=", "a=old a.tmp=\0", "a=old a.tmp=n"];
    assert_eq!(outcomes(&world), set(expected));
}

#[test]
fn the_names_come_in_no_order_one_could_rely_on() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    for name in ["a", "b", "c", "d"] {
        put(&directory, name, name);
    }
    let orders: BTreeSet<_> = (0..50).map(|_| directory.names().unwrap()).collect();
    assert!(orders.len() > 10);
}

#[test]
fn directories_and_disks_of_a_world_are_apart() {
    let world = SimWorld::new(1);
    put(&world.directory("dir"), "a", "1");
    put(&world.directory("other"), "a", "2");
    write(&world.disk("a"), 0, 3);
    world.directory("dir").sync().unwrap();
    let image = world.crash(CrashPolicy::LoseAll).image;
    assert_eq!((look(&image), image.names("other").len()), ("a=1".to_owned(), 0));
    assert!(image.disk("a").unwrap().is_empty());
}
