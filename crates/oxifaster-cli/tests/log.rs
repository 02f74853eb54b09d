//! `oxifaster log` as a user runs it: in pipes, on a log that is written meanwhile, on a damaged one.
#![expect(clippy::unwrap_used, reason = "a test ends where its expectation does")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn oxifaster(verb: &str, directory: &Path, options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    command.args(["log", verb]).arg(directory).args(options.split_whitespace());
    command
}

fn run(verb: &str, directory: &Path, options: &str) -> Output {
    oxifaster(verb, directory, options).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Appends the numbers of a range, a line each.
fn append(directory: &Path, numbers: std::ops::Range<u32>) {
    let lines: String = numbers.map(|number| format!("{number}\n")).collect();
    let mut child = oxifaster("append", directory, "").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn lines_go_in_and_come_out_across_runs() {
    let parent = tempfile::tempdir().unwrap();
    let log = parent.path().join("log");
    append(&log, 0..50_000);
    append(&log, 50_000..50_010);
    let expected: String = (0..50_010).map(|number| format!("{number}\n")).collect();
    assert_eq!(text(&run("scan", &log, "").stdout), expected);
    assert_eq!(text(&run("tail", &log, "-n 3").stdout), "50007\n50008\n50009\n");
    let verified = run("verify", &log, "--json");
    assert!(verified.status.success());
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&report["is_whole"], &report["entries"]), (&true.into(), &50_010.into()));

    let addresses = text(&run("scan", &log, "--addresses").stdout);
    let address_of = |line: usize| addresses.lines().nth(line).unwrap().split('\t').next().unwrap().to_owned();
    assert!(run("truncate", &log, &format!("--before {}", address_of(100))).status.success());
    assert!(run("truncate", &log, &format!("--from {}", address_of(110))).status.success());
    let expected: String = (100..110).map(|number| format!("{number}\n")).collect();
    assert_eq!(text(&run("scan", &log, "").stdout), expected);
    assert_eq!(text(&run("scan", &log, &format!("--from {} --limit 1", address_of(105))).stdout), "105\n");
}

/// Ends a process that would go on for ever.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_is_followed_while_another_process_appends() {
    let parent = tempfile::tempdir().unwrap();
    let log = parent.path().join("log");
    append(&log, 0..3);
    let mut follower = Ended(oxifaster("tail", &log, "--follow -n 2").stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!((lines.next().unwrap(), lines.next().unwrap()), ("1".to_owned(), "2".to_owned()));
    for round in 1..4 {
        append(&log, round * 10..round * 10 + 5);
        let seen: Vec<String> = lines.by_ref().take(5).collect();
        assert_eq!(seen, (round * 10..round * 10 + 5).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_no_log_or_is_damaged_is_said_with_the_next_step() {
    let parent = tempfile::tempdir().unwrap();
    let log = parent.path().join("log");
    let missing = run("scan", &log, "");
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0));
    assert!(text(&missing.stderr).contains("name the directory"), "{}", text(&missing.stderr));
    assert!(!log.exists(), "looking makes nothing");
    std::fs::write(parent.path().join("precious"), "data").unwrap();
    let other = oxifaster("append", parent.path(), "").stdin(Stdio::null()).output().unwrap();
    assert_eq!(other.status.code(), Some(2), "{}", text(&other.stderr));
    assert!(!parent.path().join("LOCK").exists());
    assert_eq!(run("truncate", &log, "").status.code(), Some(2));

    append(&log, 0..20_000);
    append(&log, 20_000..20_001);
    let file = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).find(|path| !path.ends_with("LOCK"));
    let file = file.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let verified = run("verify", &log, "");
    assert_eq!(verified.status.code(), Some(1));
    assert!(text(&verified.stdout).contains("DAMAGED"), "{}", text(&verified.stdout));
    assert_eq!(run("scan", &log, "").status.code(), Some(1));
}
