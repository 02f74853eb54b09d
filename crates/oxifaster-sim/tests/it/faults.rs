//! Storage that fails and lies when told to.

use super::*;
use oxifaster::directory::Directory;
use oxifaster::{Error, ErrorKind};
use oxifaster_sim::{Access, Cause, CrashPolicy, Lie, Medium, When};
use std::collections::BTreeSet;
use std::error::Error as _;
use std::io;

fn cause(error: &Error) -> Option<io::ErrorKind> {
    Some(error.source()?.downcast_ref::<io::Error>()?.kind())
}

#[test]
fn an_access_fails_at_its_number_with_its_cause_and_may_be_repeated() {
    let causes = [io::ErrorKind::Other, io::ErrorKind::StorageFull, io::ErrorKind::Interrupted];
    for (planned, expected) in Cause::ALL.into_iter().zip(causes) {
        let world = SimWorld::new(1);
        let disk = world.disk("log");
        world.fail(Access::DiskWrite, When::Nth(2), planned);
        write(&disk, 0, 1);
        let error = run(&disk, write_request(1, 1)).result.unwrap_err();
        assert_eq!((error.kind(), cause(&error)), (ErrorKind::Io, Some(expected)), "{error}");
        assert_eq!(error.field("offset"), Some("4096"), "{error}");
        write(&disk, 1, 1);
        assert_eq!(world.faults_struck(), 1);
    }
}

#[test]
fn every_call_of_a_directory_can_fail() {
    let calls = [
        Access::FileCreate,
        Access::FileOpen,
        Access::FileRead,
        Access::FileWrite,
        Access::FileSync,
        Access::FileRename,
        Access::FileRemove,
        Access::DirectoryList,
        Access::DirectorySync,
    ];
    for access in calls {
        let world = SimWorld::new(1);
        let directory = world.directory("dir");
        let all = || {
            let file = directory.create("a")?;
            file.write_at(0, b"abc")?;
            file.sync()?;
            directory.open("a")?.read_at(0, &mut [0; 3])?;
            directory.rename("a", "b")?;
            directory.names()?;
            directory.sync()?;
            directory.remove("b")
        };
        all().unwrap();
        world.fail(access, When::From(1), Cause::Full);
        let error = all().unwrap_err();
        assert_eq!((error.kind(), cause(&error)), (ErrorKind::Io, Some(io::ErrorKind::StorageFull)), "{error}");
        assert!(error.field("access").unwrap() == format!("{access:?}"), "{error}");
        world.repair();
        directory.remove("a").and_then(|()| directory.remove("b")).unwrap();
        all().unwrap();
    }
}

#[test]
fn a_failed_write_may_have_written_nothing_everything_or_some_sectors() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        let world = SimWorld::new(seed);
        let disk = world.disk("log");
        write(&disk, 0, 1);
        sync(&disk);
        world.fail(Access::DiskWrite, When::Nth(1), Cause::Broken);
        run(&disk, write_request(0, 2)).result.unwrap_err();
        let written = read(&disk, 0).chunks(512).filter(|sector| sector[0] == 2).count();
        outcomes.insert(written.min(1) + usize::from(written == 8));
        // What it wrote is as durable as anything else, by the next sync.
        let before = read(&disk, 0);
        sync(&disk);
        assert_eq!(read_log(&world.crash(CrashPolicy::LoseAll).restart(), 0), before);
    }
    assert_eq!(outcomes.len(), 3);
}

#[test]
fn a_lost_write_leaves_what_was_there() {
    let world = SimWorld::new(1);
    let disk = world.disk("log");
    write(&disk, 0, 1);
    world.lie(Medium::Disk, When::Nth(1), Lie::LostWrite);
    write(&disk, 0, 2);
    sync(&disk);
    assert_eq!(read(&disk, 0), [1; BLOCK]);
    assert_eq!(read_log(&world.crash(CrashPolicy::KeepAll).restart(), 0), [1; BLOCK]);
}

#[test]
fn a_misdirected_write_lands_elsewhere() {
    for seed in 0..20 {
        let world = SimWorld::new(seed);
        let disk = world.disk("log");
        (0..20).for_each(|block| write(&disk, block, 1));
        world.lie(Medium::Disk, When::Nth(1), Lie::MisdirectedWrite);
        write(&disk, 10, 2);
        sync(&disk);
        let after = world.crash(CrashPolicy::LoseAll).restart();
        for world in [&world, &after] {
            let places: Vec<u64> = (0..20).filter(|block| read_log(world, *block) == [2; BLOCK]).collect();
            assert!(places.len() == 1 && places[0] != 10 && places[0].abs_diff(10) <= 8, "{places:?}");
        }
    }
}

#[test]
fn reads_lie_without_harm_to_what_is_stored() {
    for (lie, seed) in [(Lie::MisdirectedRead, 1), (Lie::FlippedRead, 2), (Lie::ShortRead, 3)] {
        let world = SimWorld::new(seed);
        let disk = world.disk("log");
        (0..20).for_each(|block| write(&disk, block, block as u8));
        world.lie(Medium::Disk, When::Nth(1), lie);
        let lied = read(&disk, 10);
        match lie {
            Lie::MisdirectedRead => assert!(lied.len() == BLOCK && lied[0] != 10 && lied.iter().all(|b| *b == lied[0])),
            Lie::ShortRead => assert!(lied.len() < BLOCK && lied.len().is_multiple_of(512)),
            _ => {
                let flipped: Vec<u8> = lied.iter().map(|byte| byte ^ 10).filter(|bits| *bits != 0).collect();
                assert!(flipped.len() == 1 && flipped[0].count_ones() == 1, "{flipped:?}");
            }
        }
        assert_eq!(read(&disk, 10), [10; BLOCK]);
    }
}

#[test]
fn files_lie_as_disks_do() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    let file = directory.create("a").unwrap();
    file.write_at(0, &[1; 1000]).unwrap();
    world.lie(Medium::Files, When::Nth(1), Lie::LostWrite);
    file.write_at(0, &[2; 1000]).unwrap();
    let read = || {
        let mut bytes = vec![0; 1000];
        let read = file.read_at(0, &mut bytes).unwrap();
        bytes[..read].to_vec()
    };
    assert_eq!(read(), [1; 1000]);
    world.lie(Medium::Files, When::Nth(1), Lie::FlippedRead);
    assert_eq!(read().iter().filter(|byte| **byte != 1).count(), 1);
    world.lie(Medium::Files, When::Nth(1), Lie::ShortRead);
    assert!(read().len() < 1000);
}

#[test]
fn bits_flip_at_rest_and_stay_flipped() {
    let world = SimWorld::new(1);
    let disk = world.disk("log");
    write(&disk, 0, 1);
    sync(&disk);
    world.flip_at_rest("log", 17, 0b1000_0000);
    for world in [world.clone(), world.crash(CrashPolicy::LoseAll).restart()] {
        let bytes = read_log(&world, 0);
        assert_eq!((bytes[16], bytes[17], bytes[18]), (1, 0b1000_0001, 1));
    }
}

#[test]
fn an_image_can_be_damaged_before_the_next_start() {
    let world = SimWorld::new(1);
    let directory = world.directory("dir");
    let file = directory.create("a").unwrap();
    file.write_at(0, &[7; 1000]).unwrap();
    let mut image = world.crash(CrashPolicy::KeepAll).image;
    let contents = image.file_mut("dir", "a").unwrap();
    contents.shorten(600);
    contents.flip(599, 1);
    assert!(image.file_mut("dir", "b").is_none() && image.disk_mut("log").is_none());
    let after = SimWorld::restart(2, world.config(), &image);
    let mut bytes = [0; 1000];
    let read = after.directory("dir").open("a").unwrap().read_at(0, &mut bytes).unwrap();
    assert_eq!((read, bytes[598], bytes[599]), (600, 7, 6));
}
