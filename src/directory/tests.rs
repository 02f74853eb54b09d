//! Each directory under the suite that its implementors get, and the suite under directories that break it.

use super::conformance::{check_directory, check_kept};
use super::*;
use crate::error::{Error, ErrorKind};
use std::cell::Cell;

#[test]
fn the_directory_in_memory_conforms() {
    check_directory(MemoryDirectory::new);
    check_directory(|| Arc::new(MemoryDirectory::new()));
    let kept = MemoryDirectory::new();
    check_kept(|| kept.clone());
}

#[test]
fn the_directory_of_the_file_system_conforms() {
    let (root, count) = (tempfile::tempdir().unwrap(), Cell::new(0));
    check_directory(|| {
        count.set(count.get() + 1);
        FileDirectory::open(root.path().join(format!("{}/within/another", count.get()))).unwrap()
    });
    check_kept(|| FileDirectory::open(root.path().join("kept")).unwrap());
}

#[test]
fn what_else_lies_in_a_directory_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(".hidden"), b"x").unwrap();
    std::fs::create_dir(root.path().join("below")).unwrap();
    let directory = FileDirectory::open(root.path()).unwrap();
    directory.create("file").unwrap();
    assert_eq!(directory.names().unwrap(), ["file"]);
    assert!(directory.open("below").is_err() || directory.open("below").unwrap().read_at(0, &mut [0]).is_err());
    assert_eq!(directory.remove("below").unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(directory.place(), root.path().display().to_string());
}

#[test]
fn a_directory_where_a_file_is_cannot_be_opened() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    let error = FileDirectory::open(&path).unwrap_err();
    assert_eq!((error.kind(), error.field("path").is_some()), (ErrorKind::Io, true), "{error}");
}

#[test]
fn a_file_that_fails_names_itself_and_the_place() {
    let root = tempfile::tempdir().unwrap();
    let directory = FileDirectory::open(root.path()).unwrap();
    directory.create("file").unwrap();
    let error = directory.create("file").map(drop).unwrap_err();
    assert!(error.field("path").unwrap().ends_with("file"), "{error}");
    let error = directory.rename("none", "other").unwrap_err();
    assert!(error.field("to").unwrap().ends_with("other"), "{error}");
}

/// How a [`Wrong`] directory breaks the contract.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    KeepsTheTarget,
    FollowsPaths,
    MakesAgain,
    ForgetsToRemove,
    WritesWhatWasOpened,
    GrowsShort,
}

struct Wrong(MemoryDirectory, Flaw);

struct WrongFile(Box<dyn DirectoryFile>, Flaw);

impl Directory for Wrong {
    fn names(&self) -> Result<Vec<String>> {
        self.0.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        match self.1 {
            Flaw::MakesAgain => self.0.remove(name)?,
            Flaw::FollowsPaths if name == "../x" => return self.0.create("x"),
            _ => {}
        }
        Ok(Box::new(WrongFile(self.0.create(name)?, self.1)))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        Ok(Box::new(WrongFile(self.0.open(name)?, self.1)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        if self.1 == Flaw::KeepsTheTarget && self.0.open(to).is_ok() {
            return Err(Error::new(ErrorKind::Io, "the target is there"));
        }
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        if self.1 == Flaw::ForgetsToRemove { check_name(name) } else { self.0.remove(name) }
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

impl DirectoryFile for WrongFile {
    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match self.0.write_at(offset, bytes) {
            Err(_) if self.1 == Flaw::WritesWhatWasOpened => Ok(()),
            result => result,
        }
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let len = if self.1 == Flaw::GrowsShort { bytes.len().min(4096) } else { bytes.len() };
        self.0.read_at(offset, &mut bytes[..len])
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }
}

#[test]
fn the_suite_finds_every_planted_flaw_and_names_its_clause() {
    let flaws = [
        (Flaw::KeepsTheTarget, "D3"),
        (Flaw::FollowsPaths, "D5"),
        (Flaw::MakesAgain, "D2"),
        (Flaw::ForgetsToRemove, "D2"),
        (Flaw::WritesWhatWasOpened, "D6"),
        (Flaw::GrowsShort, "D1"),
    ];
    for (flaw, clause) in flaws {
        let check = move || check_directory(|| Wrong(MemoryDirectory::new(), flaw));
        let panic = std::thread::spawn(check).join().unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.starts_with(&format!("clause {clause} ")), "{message}");
    }
}
