//! The conformance suite: what every directory must pass, for those who write one.
//!
//! ```
//! use oxifaster::directory::{MemoryDirectory, conformance};
//!
//! conformance::check_directory(MemoryDirectory::new);
//! ```
//!
//! A violation panics with the name of the clause (see [`crate::directory`]). What survives a crash (D1, D2) cannot be
//! seen from outside without one; [`check_kept`] sees at least that a directory that is opened again holds what was
//! synced. D4 needs a directory whose sync can be made to fail ([`check_sync_failure`]).

use super::{Directory, DirectoryFile};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, Ordering};
use std::thread;

/// Longer than what a system moves at once, and no multiple of anything.
const LONG: usize = 3 * 4096 + 77;
const THREADS: usize = 4;
const ROUNDS: u8 = 50;
const NO_NAMES: [&str; 9] = ["", ".", "..", "../x", "a/b", "/x", "a\\b", "a b", ".hidden"];

/// Runs every clause that can be checked on any directory. `make` gives a new, empty one each time.
///
/// # Panics
/// If the directory violates a clause.
pub fn check_directory<D: Directory>(make: impl Fn() -> D) {
    d1_a_file_holds_what_was_written(&make());
    d2_names_come_and_go(&make());
    d2_one_of_many_makes_a_file(&make());
    d3_a_rename_replaces_the_target(&make());
    d3_an_open_file_stays_the_file_it_is(&make());
    d3_who_looks_sees_the_old_file_or_the_new_one(&make());
    d5_what_is_no_name_is_refused(&make());
    d6_reads_are_short_at_the_end_only(&make());
    d7_an_opened_file_is_for_reading(&make());
}

/// What was synced is there when the directory is opened again: `make` gives the same one each time, empty at first.
///
/// # Panics
/// If the directory violates a clause.
pub fn check_kept<D: Directory>(make: impl Fn() -> D) {
    let directory = make();
    put(&directory, "D1", "kept.tmp", 1, LONG);
    put(&directory, "D1", "removed", 2, 10);
    good("D2", directory.sync());
    good("D2", directory.rename("kept.tmp", "kept"));
    good("D2", directory.remove("removed"));
    good("D2", directory.sync());
    drop(directory);
    let directory = make();
    expect_names(&directory, "D2", &["kept"]);
    expect_file(&directory, "D1", "kept", 1, LONG);
}

/// D4 on a directory in which the syncs of files fail once `break_sync` was called.
///
/// # Panics
/// If the directory violates the clause.
pub fn check_sync_failure<D: Directory>(directory: &D, break_sync: impl FnOnce()) {
    let file = good("D4", directory.create("broken"));
    good("D4", file.write_at(0, &pattern(1, 100)));
    break_sync();
    demand(file.sync().is_err(), "D4", "a sync that cannot succeed reports an error");
    let refused = |result: Result<()>| {
        let is_refusal = matches!(&result, Err(error) if error.kind() == ErrorKind::DeviceFailed);
        demand(is_refusal, "D4", "after a failed sync, writes and syncs are refused with DeviceFailed");
    };
    refused(file.sync());
    refused(file.write_at(0, &[1]));
    refused(file.sync());
    drop(file);
    good("D4", directory.remove("broken"));
    let anew = good("D4", directory.create("broken"));
    good("D4", anew.write_at(0, &pattern(2, 50)));
    expect_content(&*anew, "D4", 2, 50);
}

/// Fails the suite unless `holds`.
fn demand(holds: bool, clause: &str, rule: &str) {
    assert!(holds, "clause {clause} is violated: {rule}");
}

/// What a call that has to succeed gives.
#[allow(clippy::panic, reason = "the result of a test suite")]
fn good<T>(clause: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("clause {clause} is violated: a call that has to succeed failed: {error}"),
    }
}

fn kind<T>(result: &Result<T>) -> Option<ErrorKind> {
    result.as_ref().err().map(Error::kind)
}

/// Bytes that tell which file they belong to, and where in it; none is zero.
fn pattern(file: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| file.wrapping_mul(37).wrapping_add((at % 251) as u8) | 1).collect()
}

/// Makes a file of `len` bytes and syncs it.
fn put<D: Directory>(directory: &D, clause: &str, name: &str, file: u8, len: usize) {
    let made = good(clause, directory.create(name));
    good(clause, made.write_at(0, &pattern(file, len)));
    good(clause, made.sync());
}

fn contents(file: &dyn DirectoryFile, clause: &str) -> Vec<u8> {
    // One more than there is, so that a file that goes on is seen.
    let mut bytes = vec![0xEE; good(clause, file.len()) as usize + 1];
    let read = good(clause, file.read_at(0, &mut bytes));
    bytes.truncate(read);
    bytes
}

fn expect_content(file: &dyn DirectoryFile, clause: &str, number: u8, len: usize) {
    demand(contents(file, clause) == pattern(number, len), clause, "a file holds what was written to it, and no more");
}

fn expect_file<D: Directory>(directory: &D, clause: &str, name: &str, number: u8, len: usize) {
    expect_content(&*good(clause, directory.open(name)), clause, number, len);
}

fn expect_names<D: Directory>(directory: &D, clause: &str, expected: &[&str]) {
    let mut names = good(clause, directory.names());
    names.sort();
    demand(names == expected, clause, "the names of all files are listed, each once, and no others");
}

fn d1_a_file_holds_what_was_written<D: Directory>(directory: &D) {
    let file = good("D1", directory.create("file"));
    demand(good("D1", file.is_empty()), "D1", "a new file is empty");
    let whole = pattern(3, LONG);
    // In pieces, out of order, and once more over what is there.
    for range in [5000..LONG, 0..4000, 3000..5001, 1..2] {
        good("D1", file.write_at(range.start as u64, &whole[range]));
    }
    expect_content(&*file, "D1", 3, LONG);
    good("D1", file.sync());
    good("D1", file.write_at(0, &[]));
    good("D1", directory.sync());
    expect_content(&*file, "D1", 3, LONG);
    expect_file(directory, "D1", "file", 3, LONG);
    good("D1", good("D1", directory.open("file")).sync());
    demand(!directory.place().is_empty(), "D1", "a directory can be named to people");
}

fn d2_names_come_and_go<D: Directory>(directory: &D) {
    expect_names(directory, "D2", &[]);
    demand(kind(&directory.open("a")) == Some(ErrorKind::NotFound), "D2", "what is not there is not found");
    for (number, name) in ["b", "a.tmp", "c-0_1"].into_iter().enumerate() {
        put(directory, "D2", name, number as u8, 100);
    }
    expect_names(directory, "D2", &["a.tmp", "b", "c-0_1"]);
    let again = directory.create("b");
    demand(kind(&again) == Some(ErrorKind::Io), "D2", "a file that is there is not made again");
    expect_file(directory, "D2", "b", 0, 100);
    good("D2", directory.remove("b"));
    good("D2", directory.remove("b"));
    demand(kind(&directory.open("b")) == Some(ErrorKind::NotFound), "D2", "what was removed is not found");
    expect_names(directory, "D2", &["a.tmp", "c-0_1"]);
    let anew = good("D2", directory.create("b"));
    demand(good("D2", anew.is_empty()), "D2", "a file that is made anew is empty");
    good("D2", directory.sync());
}

fn d2_one_of_many_makes_a_file<D: Directory>(directory: &D) {
    for round in 0..ROUNDS {
        let name = format!("file-{round}");
        let make = || directory.create(&name).is_ok();
        let made = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(make)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|made| *made).count()
        });
        demand(made == 1, "D2", "of several threads that make a file exactly one succeeds");
    }
}

fn d3_a_rename_replaces_the_target<D: Directory>(directory: &D) {
    put(directory, "D3", "old", 1, LONG);
    put(directory, "D3", "new.tmp", 2, 10);
    good("D3", directory.rename("new.tmp", "old"));
    expect_names(directory, "D3", &["old"]);
    expect_file(directory, "D3", "old", 2, 10);
    good("D3", directory.rename("old", "elsewhere"));
    good("D3", directory.rename("elsewhere", "elsewhere"));
    expect_names(directory, "D3", &["elsewhere"]);
    expect_file(directory, "D3", "elsewhere", 2, 10);
    let missing = directory.rename("old", "elsewhere");
    demand(kind(&missing) == Some(ErrorKind::NotFound), "D3", "what is not there cannot be renamed");
    expect_file(directory, "D3", "elsewhere", 2, 10);
}

fn d3_an_open_file_stays_the_file_it_is<D: Directory>(directory: &D) {
    let made = good("D3", directory.create("a"));
    good("D3", made.write_at(0, &pattern(1, 100)));
    let opened = good("D3", directory.open("a"));
    put(directory, "D3", "b", 2, 200);
    good("D3", directory.rename("b", "a"));
    expect_content(&*opened, "D3", 1, 100);
    good("D3", made.write_at(0, &pattern(3, 150)));
    good("D3", made.sync());
    expect_content(&*opened, "D3", 3, 150);
    expect_file(directory, "D3", "a", 2, 200);
    let second = good("D3", directory.open("a"));
    good("D3", directory.remove("a"));
    expect_content(&*second, "D3", 2, 200);
}

fn d3_who_looks_sees_the_old_file_or_the_new_one<D: Directory>(directory: &D) {
    put(directory, "D3", "file", 0, LONG);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut newest = 0;
            loop {
                let is_last = done.load(Ordering::Acquire);
                let found = contents(&*good("D3", directory.open("file")), "D3");
                let which = (newest..=ROUNDS).find(|round| found == pattern(*round, LONG));
                let Some(round) = which else { break false };
                newest = round;
                if is_last {
                    break newest == ROUNDS;
                }
            }
        });
        for round in 1..=ROUNDS {
            put(directory, "D3", "file.tmp", round, LONG);
            good("D3", directory.rename("file.tmp", "file"));
        }
        done.store(true, Ordering::Release);
        let saw_whole_files = looker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        demand(saw_whole_files, "D3", "who looks sees the old file or the new one, whole, and never goes back");
    });
}

fn d5_what_is_no_name_is_refused<D: Directory>(directory: &D) {
    put(directory, "D5", "file", 1, 10);
    for name in NO_NAMES {
        let results = [
            kind(&directory.create(name)),
            kind(&directory.open(name)),
            kind(&directory.rename("file", name)),
            kind(&directory.rename(name, "file")),
            kind(&directory.remove(name)),
        ];
        demand(results == [Some(ErrorKind::Config); 5], "D5", "what is no name is refused with Config");
    }
    expect_names(directory, "D5", &["file"]);
    expect_file(directory, "D5", "file", 1, 10);
}

fn d6_reads_are_short_at_the_end_only<D: Directory>(directory: &D) {
    let file = good("D6", directory.create("file"));
    good("D6", file.write_at(0, &pattern(1, 10)));
    good("D6", file.write_at(LONG as u64, &pattern(1, 10)));
    demand(good("D6", file.len()) == LONG as u64 + 10, "D6", "a file ends where its last byte was written");
    let read = |offset, len| {
        let mut bytes = vec![0xEE; len];
        let read = good("D6", file.read_at(offset, &mut bytes));
        bytes.truncate(read);
        bytes
    };
    demand(read(10, LONG - 10) == vec![0; LONG - 10], "D6", "what was never written reads as zeros");
    demand(read(LONG as u64 + 4, 100) == pattern(1, 10)[4..], "D6", "a read across the end stops at the end");
    demand(read(LONG as u64 + 10, 5).is_empty(), "D6", "a read at the end gives nothing, and is no error");
    demand(read(1 << 40, 5).is_empty(), "D6", "a read beyond the end gives nothing, and is no error");
    demand(read(3, 0).is_empty(), "D6", "an access to no bytes is a success");
    for (offset, len) in [(u64::MAX, 1), (i64::MAX as u64, 2)] {
        let (written, read) = (file.write_at(offset, &vec![1; len]), file.read_at(offset, &mut vec![0; len]));
        let refused = kind(&written) == Some(ErrorKind::Config) && kind(&read) == Some(ErrorKind::Config);
        demand(refused, "D6", "an access beyond the largest offset is refused with Config");
    }
    demand(good("D6", file.len()) == LONG as u64 + 10, "D6", "what was refused left nothing");
}

fn d7_an_opened_file_is_for_reading<D: Directory>(directory: &D) {
    put(directory, "D7", "file", 1, 10);
    let opened = good("D7", directory.open("file"));
    let refused = kind(&opened.write_at(0, &[9])) == Some(ErrorKind::Config);
    demand(refused, "D7", "a write to a file that was opened is refused with Config");
    expect_file(directory, "D7", "file", 1, 10);
}
