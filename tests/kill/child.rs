//! The process that is killed.

use super::life::{GUIDS, Store, WRITERS, apply, config, open};
use oxifaster::checkpoint::{Catalog, CheckpointKind};
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, Session};
use std::io::Write;
use std::path::Path;

/// Goes on from the newest checkpoint, and takes others until it is killed.
pub(crate) fn run(directory: &Path, kind: &str) {
    let kind = match kind {
        "fold-over" => CheckpointKind::FoldOver,
        "snapshot" => CheckpointKind::Snapshot,
        _ => CheckpointKind::Incremental,
    };
    let store = open(directory).unwrap().unwrap_or_else(|| {
        let log = FileSystemDisk::open(directory.join("log")).unwrap();
        FasterKv::open(config().with_overwrite(true), log).unwrap()
    });
    let sessions: Vec<Session<u64, u64>> = GUIDS.iter().map(|guid| session_of(&store, *guid)).collect();
    say("ready");
    std::thread::scope(|scope| {
        for (writer, mut session) in sessions.into_iter().enumerate() {
            scope.spawn(move || {
                loop {
                    let serial = session.serial() + 1;
                    apply(&mut session, writer as u64, serial).unwrap();
                }
            });
        }
        let checkpoints = FileDirectory::open(directory.join("checkpoints")).unwrap();
        // Of earlier lives, so that the directory does not grow without end.
        Catalog::new(&checkpoints).keep_last(4, None).unwrap();
        let options = CheckpointOptions::default().with_kind(kind);
        loop {
            let report = store.checkpoint_to(&checkpoints, &options).unwrap();
            let serials: Vec<String> =
                report.sessions.iter().map(|cut| format!("{}={}", cut.guid, cut.serial)).collect();
            say(&format!("checkpoint {} .", serials.join(" ")));
        }
    });
}

fn session_of(store: &Store, guid: u128) -> Session<u64, u64> {
    let known = store.get_recovered_sessions().into_iter().find(|session| session.guid == guid);
    match known {
        Some(session) => store.continue_session(session).unwrap(),
        None => store.start_named_session(guid).unwrap(),
    }
}

const _: () = assert!(WRITERS == GUIDS.len());

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not listen any more is about to kill this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
