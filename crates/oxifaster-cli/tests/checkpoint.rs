//! `oxifaster checkpoint` as a user runs it, on the golden checkpoints of the library's tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its expectation does")]
use oxifaster::checkpoint::{Catalog, CheckpointKind, CheckpointToken, IndexPart};
use oxifaster::directory::FileDirectory;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SNAPSHOT: &str = "0123456789abcdef0123456789abcdef";
const INCREMENT: &str = "fedcba9876543210fedcba9876543210";

/// Copies of the golden checkpoints and their log, to be damaged.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1");
        let place = Self(tempfile::tempdir().unwrap());
        for folder in ["checkpoints", "log"] {
            std::fs::create_dir(place.0.path().join(folder)).unwrap();
            for entry in std::fs::read_dir(golden.join(folder)).unwrap() {
                let name = entry.unwrap().file_name();
                std::fs::copy(golden.join(folder).join(&name), place.0.path().join(folder).join(&name)).unwrap();
            }
        }
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command in the place.
    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
        command.arg("checkpoint").args(arguments.split_whitespace()).current_dir(self.0.path()).output().unwrap()
    }

    fn flip(&self, name: &str, at: usize) {
        let mut bytes = std::fs::read(self.file(name)).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(self.file(name), bytes).unwrap();
    }

    /// Every file with its contents.
    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let folders = ["checkpoints", "log"].map(|folder| std::fs::read_dir(self.file(folder)).unwrap());
        let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut contents: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect();
        contents.sort();
        contents
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn document(output: &Output) -> Value {
    serde_json::from_str(&stdout(output))
        .unwrap_or_else(|error| panic!("{error} in {}{}", stdout(output), stderr(output)))
}

fn assert_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn the_list_shows_every_checkpoint_and_changes_nothing() {
    let place = Place::new();
    let before = place.contents();
    let output = place.run("list checkpoints");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert_parts(&text, &[SNAPSHOT, INCREMENT, "snapshot", "incremental", "2026-01-01 00:00:01", "whole", "15.9 KiB"]);
    assert!(text.find(SNAPSHOT) < text.find(INCREMENT), "the newest comes last: {text}");
    assert!(!text.contains("BROKEN") && !text.contains("unclaimed"));
    let document = document(&place.run("list checkpoints --json"));
    assert_eq!((&document["schema"], &document["broken"]), (&Value::from(1), &Value::Array(Vec::new())));
    let newest = &document["checkpoints"][1];
    assert_eq!((newest["checkpoint"].as_str(), newest["base"].as_str()), (Some(INCREMENT), Some(SNAPSHOT)));
    assert_eq!((&newest["version"], &newest["sessions"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(
        (&newest["log"]["on_device_bytes"], &newest["log"]["in_files_bytes"]),
        (&Value::from(8128), &Value::from(8192))
    );
    assert!(newest["problem"].is_null() && newest["index"].is_null());
    assert_eq!(place.contents(), before);
}

#[test]
fn the_list_hides_nothing_that_is_broken() {
    let place = Place::new();
    place.flip(&format!("checkpoints/{INCREMENT}.manifest"), 200);
    std::fs::remove_file(place.file(&format!("checkpoints/{SNAPSHOT}.log"))).unwrap();
    let output = place.run("list checkpoints");
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let broken = format!("BROKEN    {INCREMENT}.manifest: corrupt data");
    let not_whole = format!("NOT WHOLE {SNAPSHOT}: not found");
    assert_parts(&text, &[&broken, &not_whole, &format!("unclaimed {INCREMENT}.log"), "offset", "copy"]);
    let document = document(&place.run("list checkpoints --json"));
    assert_eq!(document["broken"][0]["file"], format!("{INCREMENT}.manifest"));
    assert_eq!(document["unclaimed"][0], format!("{INCREMENT}.log"));
    assert!(document["checkpoints"][0]["problem"].is_string());
}

#[test]
fn an_empty_directory_is_said_to_be_empty() {
    let place = Place::new();
    std::fs::create_dir(place.file("empty")).unwrap();
    let output = place.run("list empty");
    assert_eq!((output.status.code(), stdout(&output).trim()), (Some(0), "no checkpoint in empty"));
    let output = place.run("verify empty --files-only");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there is no checkpoint in empty"), "{}", stderr(&output));
}

#[test]
fn a_whole_checkpoint_verifies_to_the_last_byte_and_nothing_is_changed() {
    let place = Place::new();
    let before = place.contents();
    let output = place.run("verify checkpoints --log log");
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let begun = format!("checkpoint {INCREMENT}: incremental, version 2, begun 2026-01-01 00:00:01 UTC");
    let parts = [&begun, SNAPSHOT, "8 blocks, 32 KiB", "678 values", "every byte", "other checkpoint", "--all"];
    assert_parts(&stdout(&output), &parts);
    assert!(output.stderr.is_empty(), "no bar without a terminal: {}", stderr(&output));
    let document = document(&place.run("verify checkpoints --log log --all --json"));
    assert_eq!((&document["sound"], &document["complete"]), (&Value::from(true), &Value::from(true)));
    let verdicts = document["checkpoints"].as_array().unwrap();
    let counted: Vec<_> = verdicts.iter().map(|verdict| verdict["records"]["values"].as_u64().unwrap()).collect();
    assert_eq!((counted, &document["not_asked_for"]), (vec![507, 678], &Value::from(0)));
    assert_eq!(verdicts[0]["records"]["aborted"], 1);
    assert_eq!(place.contents(), before);
}

#[test]
fn the_image_that_the_newest_checkpoint_needs_is_verified_with_it() {
    let place = Place::new();
    let directory = FileDirectory::open(place.file("checkpoints")).unwrap();
    let catalog = Catalog::new(&directory);
    let mut manifest = catalog.load(SNAPSHOT.parse().unwrap()).unwrap();
    let log = manifest.log.take().unwrap();
    manifest.token = CheckpointToken::new(7);
    manifest.kind = CheckpointKind::Index;
    manifest.index = Some(IndexPart {
        file: manifest.token.index_file(),
        bytes: 4096,
        generation: 9,
        buckets: 64,
        overflow_buckets: 0,
        replay_from: log.begin,
        complete_at: log.start,
        generations: log.generations,
    });
    let image = place.file(&format!("checkpoints/{}", manifest.token.index_file()));
    let mut block = vec![3; 4088];
    block.extend(9u32.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&block), &0u64.to_le_bytes());
    block.extend(sum.to_le_bytes());
    std::fs::write(&image, &block).unwrap();
    catalog.write(&manifest).unwrap();
    let output = place.run("verify checkpoints --log log --json");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let verified = document(&output)["checkpoints"].as_array().unwrap().len();
    assert_eq!(verified, 2, "{}", stdout(&output));
    place.flip(&format!("checkpoints/{}", manifest.token.index_file()), 100);
    let output = place.run("verify checkpoints --log log");
    assert_eq!(output.status.code(), Some(1));
    assert_parts(&stdout(&output), &[INCREMENT, &manifest.token.index_file(), "is damaged"]);
}

#[test]
fn a_damaged_byte_is_named_with_file_and_offset() {
    let place = Place::new();
    place.flip("log/log.000000", 4096 + 4000);
    place.flip(&format!("checkpoints/{SNAPSHOT}.log"), 17);
    let output = place.run("verify checkpoints --log log");
    assert_eq!(output.status.code(), Some(1));
    let file = format!("{SNAPSHOT}.log");
    assert_parts(&stdout(&output), &["DEFECTIVE in 2 places", "log device", "4096", &file, "is damaged", "copy"]);
    let document = document(&place.run("verify checkpoints --log log --json"));
    assert_eq!(document["sound"], false);
    let defects = document["checkpoints"][0]["defects"].as_array().unwrap();
    let places: Vec<_> =
        defects.iter().map(|defect| (defect["place"].as_str().unwrap(), defect["offset"].as_u64().unwrap())).collect();
    assert_eq!(places, [("log device", 4096), (file.as_str(), 0)]);
}

#[test]
fn an_older_checkpoint_does_not_stand_in_for_a_broken_newer_one() {
    let place = Place::new();
    place.flip(&format!("checkpoints/{INCREMENT}.manifest"), 200);
    let output = place.run("verify checkpoints --log log");
    assert_eq!(output.status.code(), Some(1));
    assert_parts(&stdout(&output), &[SNAPSHOT, "every byte", &format!("BROKEN    {INCREMENT}.manifest")]);
    let output = place.run(&format!("verify checkpoints --log log --checkpoint {SNAPSHOT}"));
    assert_eq!(output.status.code(), Some(0), "this one was asked for, and is sound");
    let output = place.run(&format!("verify checkpoints --log log --checkpoint {INCREMENT} --json"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(document(&output)["checkpoints"][0]["defects"][0]["place"], format!("{INCREMENT}.manifest"));
}

#[test]
fn a_part_is_left_unchecked_only_if_the_user_says_so() {
    let place = Place::new();
    let output = place.run("verify checkpoints");
    assert_eq!(output.status.code(), Some(2));
    assert_parts(&stderr(&output), &["--log PATH", "--files-only"]);
    let output = place.run("verify checkpoints --files-only");
    assert_eq!(output.status.code(), Some(0));
    assert_parts(&stdout(&output), &["UNCHECKED 16 KiB in the log", "what was read"]);
    let document = document(&place.run("verify checkpoints --files-only --json"));
    assert_eq!((&document["sound"], &document["complete"]), (&Value::from(true), &Value::from(false)));
}

#[test]
fn wrong_options_exit_with_2_and_one_line_that_says_what_to_do() {
    let place = Place::new();
    for (arguments, parts) in [
        ("list nowhere", ["no directory nowhere", "checkpoints were written to"]),
        ("verify nowhere --files-only", ["no directory nowhere", "checkpoints were written to"]),
        ("verify checkpoints --log nowhere", ["no log nowhere", "--log"]),
        ("verify checkpoints --log checkpoints", ["holds no log", "--log"]),
        ("verify checkpoints --checkpoint latest", ["--checkpoint", "32 hexadecimal digits"]),
        ("verify checkpoints --log log --files-only", ["cannot be used with", "checkpoint verify --help"]),
        ("list", ["<DIR>", "checkpoint list --help"]),
    ] {
        let output = place.run(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments}: {said}");
        assert_parts(&said, &parts);
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    let unknown = "0".repeat(32);
    let output = place.run(&format!("verify checkpoints --log log --checkpoint {unknown}"));
    assert_eq!(output.status.code(), Some(1));
    assert_parts(&stderr(&output), &["not found", &unknown]);
    assert!(!place.file("nowhere").exists(), "nothing is made");
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let place = Place::new();
    for (arguments, part) in [("list --help", "jq"), ("verify --help", "--files-only"), ("--help", "verify")] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_parts(&stdout(&output), &["Examples:", "oxifaster checkpoint", part]);
    }
    assert_parts(&stdout(&place.run("verify --help")), &["What is checked:", "Exit codes:"]);
}

#[test]
fn a_checkpoint_is_recovered_for_a_test_and_nothing_is_changed() {
    let place = Place::new();
    let before = place.contents();
    let output = place.run("recover-test checkpoints --log log");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_parts(&stdout(&output), &[INCREMENT, "records", "sessions  2", "up to operation", "can be recovered"]);
    let found = document(&place.run("recover-test checkpoints --log log --json"));
    assert_eq!((found["checkpoint"].as_str(), &found["version"]), (Some(INCREMENT), &Value::from(2)));
    assert!(found["records"].as_u64().unwrap() > 0 && found["bytes_verified"].as_u64().unwrap() > 0);
    assert_eq!(found["sessions"].as_array().map(Vec::len), Some(2));
    assert!(found["suffix"].is_null());
    let older = document(&place.run(&format!("recover-test checkpoints --log log --checkpoint {SNAPSHOT} --json")));
    assert!(older["records"].as_u64() < found["records"].as_u64());
    assert_eq!(place.contents(), before);
}

#[test]
fn a_checkpoint_that_cannot_be_recovered_is_an_error_with_the_next_step() {
    let place = Place::new();
    let output = place.run("recover-test checkpoints");
    assert_eq!(output.status.code(), Some(2));
    assert_parts(&stderr(&output), &["lies in the log", "--log PATH"]);
    place.flip(&format!("checkpoints/{INCREMENT}.log"), 100);
    let output = place.run("recover-test checkpoints --log log");
    assert_eq!(output.status.code(), Some(1));
    assert_parts(&stderr(&output), &["corrupt data", &format!("{INCREMENT}.log"), "offset: 0"]);
    std::fs::remove_file(place.file(&format!("checkpoints/{SNAPSHOT}.log"))).unwrap();
    let output = place.run("recover-test checkpoints --log log");
    assert_eq!(output.status.code(), Some(1));
    assert_parts(&stderr(&output), &["can be used", &format!("{SNAPSHOT}.log"), "restore"]);
}

/// While the store runs, with changes behind its checkpoint.
#[test]
fn a_running_durable_store_is_recovered_for_a_test_with_what_came_after_its_checkpoint() {
    use oxifaster::device::FileSystemDisk;
    use oxifaster::store::{Durability, FasterKv, FasterKvConfig};
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    let config = FasterKvConfig::default().with_memory_budget(4 << 20).with_durability(Durability::EveryOperation);
    let store =
        FasterKv::open_durable(path.join("checkpoints"), config, FileSystemDisk::open(path.join("log")).unwrap())
            .unwrap();
    let mut session = store.start_session();
    session.upsert_batch(&(0..1000).map(|key| (key, key)).collect::<Vec<(u64, u64)>>()).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
        command.arg("checkpoint").args(arguments).current_dir(path).output().unwrap()
    };
    let output = run(&["recover-test", "checkpoints", "--log", "log", "--json"]);
    let found = document(&output);
    assert_eq!((&found["suffix"]["records"], &found["suffix"]["ended"]), (&Value::from(1000), &Value::from("nothing")));
    assert_eq!((&found["records"], &found["sessions"][0]["serial"]), (&Value::from(1000), &Value::from(1000)));
    assert_eq!(run(&["verify", "checkpoints", "--log", "log"]).status.code(), Some(0));
    session.upsert(5, 6).unwrap();
    assert_eq!(session.read(&5).unwrap(), Some(6), "the store goes on");
}
