//! Processes whose changes are durable without a checkpoint: what a call has returned from is there after the kill.

use super::life::{GUIDS, Life, Model, Store, WRITERS, config, go_on, say, session_of};
use oxifaster::checkpoint::CheckpointKind;
use oxifaster::device::FileSystemDisk;
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, Durability, FasterKv, Session};
use std::path::Path;
use std::time::Duration;

/// How a process makes its changes durable.
pub(crate) const MODES: [&str; 3] = ["every-operation", "group", "every-operation-and-checkpoints"];

fn open<L: Life>(directory: &Path, mode: &str) -> Store<L> {
    let group = Durability::Group { interval: Duration::from_millis(2), bytes: 64 << 10 };
    let durability = if mode == "group" { group } else { Durability::EveryOperation };
    let log = FileSystemDisk::open(directory.join("log")).unwrap();
    FasterKv::open_durable(directory.join("checkpoints"), config::<L>().with_durability(durability), log).unwrap()
}

/// Writes, and says which operations of which writer are done and durable, until it is killed.
pub(crate) fn run<L: Life>(directory: &Path, mode: &str) {
    let store = open::<L>(directory, mode);
    let sessions: Vec<Session<u64, L::Value>> = GUIDS.iter().map(|guid| session_of::<L>(&store, *guid)).collect();
    say("ready");
    std::thread::scope(|scope| {
        for (writer, mut session) in sessions.into_iter().enumerate() {
            scope.spawn(move || {
                loop {
                    let serial = go_on::<L>(&mut session, writer as u64).unwrap();
                    if mode != "group" || serial.is_multiple_of(50) {
                        session.wait_durable().unwrap();
                        say(&format!("durable {writer} {serial} ."));
                    }
                }
            });
        }
        if mode == MODES[2] {
            let checkpoints = FileDirectory::open(directory.join("checkpoints")).unwrap();
            let options = CheckpointOptions::default().with_kind(CheckpointKind::FoldOver).with_keep_last(2);
            loop {
                store.checkpoint_to(&checkpoints, &options).unwrap();
            }
        }
    });
}

/// What the lines of a process say: the last operation of each writer that is durable.
pub(crate) fn acknowledged(lines: impl Iterator<Item = String>) -> [u64; WRITERS] {
    let mut serials = [0; WRITERS];
    for line in lines {
        // A line that the kill cut short was not said.
        let Some(words) = line.strip_prefix("durable ").and_then(|rest| rest.strip_suffix(" .")) else { continue };
        let (writer, serial) = words.split_once(' ').unwrap();
        let (writer, serial): (usize, u64) = (writer.parse().unwrap(), serial.parse().unwrap());
        serials[writer] = serials[writer].max(serial);
    }
    serials
}

/// Opens the store and looks at every key: it is in the state after some operation of each writer, and not before the last one
/// that was said to be durable.
pub(crate) fn verify<L: Life>(
    directory: &Path,
    mode: &str,
    acknowledged: &[u64; WRITERS],
    models: &mut [Model<L>; WRITERS],
    round: u64,
) {
    if round.is_multiple_of(3) {
        drop(open::<L>(directory, mode)); // to open it changes nothing
    }
    let store = open::<L>(directory, mode);
    let cuts = store.get_recovered_sessions();
    let mut session = store.start_session();
    for (writer, model) in models.iter_mut().enumerate() {
        let recovered = cuts.iter().find(|cut| cut.guid == GUIDS[writer]).map_or(0, |cut| cut.serial);
        // What changes nothing leaves no trace: then the state is the same all the same.
        model.advance(writer as u64, recovered.max(acknowledged[writer]));
        let durable = acknowledged[writer];
        model.check(
            &mut session,
            writer as u64,
            &format!("round {round}, {mode}, durable {durable}, back at {recovered}"),
        );
    }
}
