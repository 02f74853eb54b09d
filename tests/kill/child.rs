//! The process that is killed.

use super::life::{GUIDS, Life, WRITERS, config, go_on, open, say, session_of};
use oxifaster::checkpoint::{Catalog, CheckpointKind};
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, Session};
use std::path::Path;

/// Goes on from the newest checkpoint, and takes others until it is killed.
pub(crate) fn run<L: Life>(directory: &Path, kind: &str) {
    let kind = match kind {
        "fold-over" => CheckpointKind::FoldOver,
        "snapshot" => CheckpointKind::Snapshot,
        _ => CheckpointKind::Incremental,
    };
    let store = open::<L>(directory).unwrap().unwrap_or_else(|| {
        let log = FileSystemDisk::open(directory.join("log")).unwrap();
        FasterKv::open(config::<L>().with_overwrite(true), log).unwrap()
    });
    let sessions: Vec<Session<u64, L::Value>> = GUIDS.iter().map(|guid| session_of::<L>(&store, *guid)).collect();
    say("ready");
    std::thread::scope(|scope| {
        for (writer, mut session) in sessions.into_iter().enumerate() {
            scope.spawn(move || {
                loop {
                    go_on::<L>(&mut session, writer as u64).unwrap();
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

const _: () = assert!(WRITERS == GUIDS.len());
