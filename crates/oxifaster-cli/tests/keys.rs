//! `oxifaster get`, `put` and `del` as a user runs them.
#![expect(clippy::unwrap_used, reason = "a test ends where its expectation does")]
use oxifaster::Store;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn oxifaster(place: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    command.args(arguments.split_whitespace()).current_dir(place).stdin(Stdio::null());
    command
}

/// Exit code and standard output; if the exit code says that something is wrong, the one line of standard error.
fn run(place: &Path, arguments: &str) -> (i32, Vec<u8>) {
    told(&oxifaster(place, arguments).output().unwrap())
}

fn told(output: &Output) -> (i32, Vec<u8>) {
    let code = output.status.code().unwrap();
    if code > 1 {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty() && error.lines().count() == 1, "{error}");
        return (code, error.into_bytes());
    }
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (code, output.stdout.clone())
}

fn put(place: &Path, arguments: &str, value: &[u8]) {
    let mut child = oxifaster(place, arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_put_is_got_until_it_is_deleted() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    assert_eq!(run(place, "put store name Ada").0, 0);
    assert_eq!(run(place, "get store name"), (0, b"Ada".to_vec()));
    assert_eq!(run(place, "get store nobody"), (1, Vec::new()));
    assert_eq!(run(place, "get store name --value-as hex"), (0, b"416461\n".to_vec()));
    assert_eq!(run(place, "get store name --value-as base64"), (0, b"QWRh\n".to_vec()));
    assert_eq!(run(place, "get store 6e616d65 --key-as hex -o file"), (0, Vec::new()));
    assert_eq!(std::fs::read(place.join("file")).unwrap(), b"Ada");
    assert_eq!(
        (run(place, "del store name").0, run(place, "del store name").0, run(place, "get store name").0),
        (0, 1, 1)
    );
}

#[test]
fn bytes_of_every_kind_go_through_pipes_files_and_words() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let odd: Vec<u8> = (0..=255).chain(*b"\r\n\0\n").collect();
    put(place, "put store odd", &odd);
    assert_eq!(run(place, "get store odd"), (0, odd.clone()));
    put(place, "put store empty -", b"");
    assert_eq!(run(place, "get store empty"), (0, Vec::new()));
    std::fs::write(place.join("file"), &odd).unwrap();
    assert_eq!(run(place, "put store file --file file").0, 0);
    put(place, "put store coded --value-as base64", b"AP8=\n");
    assert_eq!(run(place, "get store coded"), (0, vec![0, 0xff]));
    // The empty key is a key.
    assert_eq!(oxifaster(place, "put store").args(["", "nothing"]).status().unwrap().code(), Some(0));
    assert_eq!(told(&oxifaster(place, "get store").arg("").output().unwrap()), (0, b"nothing".to_vec()));
    // Both ends of a pipe work on the same store.
    let mut source = oxifaster(place, "get store file").stdout(Stdio::piped()).spawn().unwrap();
    let copy = oxifaster(place, "put store copy").stdin(source.stdout.take().unwrap()).output().unwrap();
    assert_eq!((source.wait().unwrap().code(), told(&copy).0), (Some(0), 0));
    assert_eq!(run(place, "get store copy"), (0, odd));
}

#[cfg(unix)]
#[test]
fn words_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let place = tempfile::tempdir().unwrap();
    let word = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let put = oxifaster(place.path(), "put store").args([word, word]).status().unwrap();
    let got = oxifaster(place.path(), "get store").arg(word).output().unwrap();
    assert_eq!((put.code(), told(&got)), (Some(0), (0, b"\xff\xfe".to_vec())));
}

#[test]
fn a_store_of_a_program_is_used_and_used_by_it_again() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let visits: Store<String, u64> = Store::open(place.join("visits")).unwrap();
    visits.put("ada".to_owned(), 7).unwrap();
    drop(visits);
    assert_eq!(run(place, "get visits ada"), (0, b"7\n".to_vec()));
    assert_eq!(run(place, "put visits bob 12").0, 0);
    assert_eq!(run(place, "put visits eve 0x10 --value-as number").0, 0);
    let visits: Store<String, u64> = Store::open(place.join("visits")).unwrap();
    assert_eq!((visits.get("bob").unwrap(), visits.get("eve").unwrap()), (Some(12), Some(16)));
    // While the program has it open, nobody else has.
    let (code, error) = run(place, "get visits ada");
    let error = String::from_utf8_lossy(&error).into_owned();
    assert!(code == 3 && error.contains("in use"), "{code}: {error}");
    drop(visits);
    let squares: Store<u64, Vec<u8>> = Store::open(place.join("squares")).unwrap();
    squares.put(9, b"81".to_vec()).unwrap();
    drop(squares);
    assert_eq!(run(place, "get squares 9"), (0, b"81".to_vec()));
    assert_eq!(run(place, "del squares 9").0, 0);
    assert_eq!(run(place, "get squares 9").0, 1);
}

#[test]
fn what_cannot_be_is_said_in_one_line_with_the_next_step() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let numbers: Store<u64, u64> = Store::open(place.join("numbers")).unwrap();
    numbers.put(1, 1).unwrap();
    drop(numbers);
    let odd: Store<[u8; 3], [u8; 5]> = Store::open(place.join("odd")).unwrap();
    drop(odd);
    std::fs::create_dir(place.join("other")).unwrap();
    std::fs::write(place.join("other/file"), "text").unwrap();
    for (wrong, said) in [
        ("get nowhere key", "oxifaster put"),
        ("get other key", "oxifaster::Store::open"),
        ("put other key value", "oxifaster::Store::open"),
        ("get numbers/log 1", "the directory above"),
        ("get numbers/checkpoints 1", "--log"),
        ("get odd abc", "3 bytes"),
        ("get numbers one", "whole number"),
        ("put numbers 1 18446744073709551616", "18446744073709551615"),
        ("get numbers 1 --key-as raw", "1 bytes"),
        ("put numbers 1 abc --value-as hex", "two digits"),
        ("put store key --file nowhere", "nowhere"),
        ("get numbers", "--help"),
        ("put store key value --value-as rot13", "possible values"),
    ] {
        let (code, error) = run(place, wrong);
        let error = String::from_utf8_lossy(&error).into_owned();
        let expected = if wrong.contains("--file") { 3 } else { 2 };
        assert!(code == expected && error.contains(said), "{wrong}: {code}, {error}");
    }
    assert!(!place.join("nowhere").exists(), "nothing is made by who only looks");
}
