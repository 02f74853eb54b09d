//! `oxifaster inspect`, `scan` and `compact` as a user runs them.
#![expect(clippy::unwrap_used, reason = "a test ends where its expectation does")]
use oxifaster::checkpoint::{Catalog, CheckpointKind};
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig};
use serde_json::Value;
use std::process::{Command, Output};

/// A store that was overwritten three times, of which a tenth was deleted, with a checkpoint of each kind.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let directory = FileDirectory::open(place.path().join("checkpoints")).unwrap();
    let config = FasterKvConfig::default().with_memory_budget(1 << 20).with_mutable_fraction(0.0);
    let store = FasterKv::open(config, FileSystemDisk::open(place.path().join("log")).unwrap()).unwrap();
    let mut session = store.start_session();
    for round in 1..=3u64 {
        for key in 0..5000u64 {
            session.upsert(key, [round, key]).unwrap();
        }
        store.evict().unwrap();
        let kind = if round == 2 { CheckpointKind::FoldOver } else { CheckpointKind::Snapshot };
        store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(kind)).unwrap();
    }
    for key in (0..5000).step_by(10) {
        session.delete(&key).unwrap();
    }
    store.checkpoint_to(&directory, &CheckpointOptions::default().with_kind(CheckpointKind::Snapshot)).unwrap();
    place
}

fn run(place: &tempfile::TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    command.args(arguments.split_whitespace()).current_dir(place.path()).output().unwrap()
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn document(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[test]
fn a_store_is_inspected_scanned_compacted_and_is_the_same_afterwards() {
    let place = place();
    let before = document(&run(&place, "inspect checkpoints --log log --json"));
    let log = &before["log"];
    assert_eq!(
        (&log["keys"], &log["tombstones"], &log["superseded"]),
        (&4500.into(), &500.into(), &10_500.into()),
        "{log}"
    );
    let entries = before["index"]["buckets_by_entries"].as_object().unwrap();
    let buckets: u64 = entries.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(buckets, before["index"]["buckets"].as_u64().unwrap());
    let shown = text(&run(&place, "inspect checkpoints --log log --svg picture.svg"));
    assert!(shown.contains("superseded") && shown.contains("4,500") && shown.contains("overflow buckets"), "{shown}");
    let picture = std::fs::read_to_string(place.path().join("picture.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("record sizes") && picture.trim_end().ends_with("</svg>"));

    let scanned = text(&run(&place, "scan checkpoints --log log"));
    assert_eq!(scanned.lines().count(), 4500);
    let first = document(&run(&place, "scan checkpoints --log log --all --limit 1 --json"));
    assert_eq!((&first["key"], &first["value"]), (&"0".into(), &format!("0x01{}", "0".repeat(30)).into()));

    let compacted = document(&run(&place, "compact checkpoints --log log --threads 2 --memory 1MiB --json"));
    assert!(compacted["reclaimed_bytes"].as_u64().unwrap() > 300_000, "{compacted}");
    let directory = FileDirectory::open(place.path().join("checkpoints")).unwrap();
    assert_eq!(Catalog::new(&directory).list().unwrap().checkpoints.len(), 1, "the older ones are gone");
    let after = document(&run(&place, "inspect checkpoints --log log --json"));
    assert_eq!((&after["log"]["keys"], &after["log"]["superseded"]), (&4500.into(), &0.into()), "{after}");
    let by_key = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(by_key(&scanned), by_key(&text(&run(&place, "scan checkpoints --log log"))));
    assert!(text(&run(&place, "checkpoint verify checkpoints --log log")).contains("sound"));
}

#[test]
fn a_store_in_a_directory_is_found_by_its_name_alone() {
    let place = tempfile::tempdir().unwrap();
    let store: oxifaster::Store<u64, u64> = oxifaster::Store::open(place.path().join("store")).unwrap();
    for round in 0..20 {
        for key in 0..2000 {
            store.put(key, key + round).unwrap();
        }
    }
    drop(store);
    // Of what is behind the newest checkpoint, which is that of an empty store, only an opening knows.
    assert_eq!(document(&run(&place, "inspect store --json"))["log"]["keys"], 0);
    let compacted = document(&run(&place, "compact store --json"));
    assert!(compacted["reclaimed_bytes"].as_u64().unwrap() > 500_000, "{compacted}");
    let keys = &document(&run(&place, "inspect store --json"))["log"]["keys"];
    assert_eq!(keys, 2000);
    assert_eq!(text(&run(&place, "scan store")).lines().count(), 2000);
    let error = run(&place, "compact store --target 0.5");
    assert_eq!(error.status.code(), Some(2));
    let store: oxifaster::Store<u64, u64> = oxifaster::Store::open(place.path().join("store")).unwrap();
    assert_eq!(store.get(&7).unwrap(), Some(26));
}

#[test]
fn what_is_not_there_is_said_in_one_line() {
    let place = place();
    for wrong in [
        "inspect nowhere --log log",
        "inspect checkpoints --log nowhere",
        "scan checkpoints --log checkpoints",
        "compact checkpoints --log log --target 2",
        "compact checkpoints",
    ] {
        let output = run(&place, wrong);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{wrong}: {error}");
    }
}
