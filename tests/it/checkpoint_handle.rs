//! A checkpoint that is under way: watched step by step, awaited, cancelled, late; and whom it does not wait for.

use super::executor::block_on;
use oxifaster::checkpoint::{Catalog, CheckpointKind, ImageUse, RecoveryPhase, RecoveryProgress};
use oxifaster::device::{FaultyDisk, MemoryDisk};
use oxifaster::directory::{Directory, DirectoryFile, MemoryDirectory};
use oxifaster::store::{
    CheckpointHandle, CheckpointOptions, CheckpointStep, FasterKv, FasterKvConfig, RecoveryTarget, Session,
};
use oxifaster::{ErrorKind, Result};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Store = FasterKv<u64, u64, MemoryDisk>;

const KINDS: [CheckpointKind; 3] = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];
/// Longer than any step takes.
const LIMIT: Duration = Duration::from_secs(20);

fn config() -> FasterKvConfig {
    FasterKvConfig::default().with_memory_budget(512 << 10).with_page_size_bits(13).with_table_size(512)
}

fn options(kind: CheckpointKind) -> CheckpointOptions {
    CheckpointOptions::default().with_kind(kind)
}

/// A directory that stops at every file that is made, and goes on when it is told to.
struct Gate {
    directory: MemoryDirectory,
    reached: SyncSender<String>,
    go_on: Mutex<Receiver<()>>,
}

/// The other side of it.
struct Watch {
    reached: Receiver<String>,
    go_on: SyncSender<()>,
}

fn gate() -> (Arc<Gate>, Watch) {
    let ((reached, there), (go_on, told)) = (sync_channel(0), sync_channel(0));
    let gate = Gate { directory: MemoryDirectory::new(), reached, go_on: Mutex::new(told) };
    (Arc::new(gate), Watch { reached: there, go_on })
}

impl Watch {
    /// Waits until a file of this kind is about to be made.
    fn until(&self, ending: &str) {
        let name = self.reached.recv_timeout(LIMIT).unwrap();
        assert!(name.ends_with(ending), "{name} is made, and not one that ends with {ending}");
    }

    fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

impl Directory for Gate {
    fn names(&self) -> Result<Vec<String>> {
        self.directory.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        // Once nobody watches any more, nobody is waited for.
        if self.reached.send(name.to_owned()).is_ok() {
            let _ = self.go_on.lock().unwrap().recv();
        }
        self.directory.create(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.directory.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory.remove(name)
    }

    fn sync(&self) -> Result<()> {
        self.directory.sync()
    }

    fn place(&self) -> String {
        self.directory.place()
    }
}

fn filled(disk: &MemoryDisk) -> (Store, Session<u64, u64>) {
    let store: Store = FasterKv::open(config(), disk.clone()).unwrap();
    let mut session = store.start_session();
    (0..3000).for_each(|key| session.upsert(key, key).unwrap());
    (store, session)
}

fn step(handle: &CheckpointHandle) -> CheckpointStep {
    assert_eq!(handle.is_over(), handle.progress().step == CheckpointStep::Over);
    handle.progress().step
}

#[test]
fn a_handle_tells_step_by_step_how_far_it_is_and_can_be_awaited() {
    let (disk, (directory, watch)) = (MemoryDisk::new(), gate());
    let (store, mut session) = filled(&disk);
    let handle = store.begin_checkpoint(directory.clone(), options(CheckpointKind::Snapshot)).unwrap();
    watch.until(".index");
    assert_eq!((step(&handle), handle.progress().file_bytes), (CheckpointStep::Index, 0));
    assert_eq!(
        store
            .begin_checkpoint(directory.clone(), options(CheckpointKind::Snapshot))
            .unwrap()
            .wait()
            .unwrap_err()
            .kind(),
        ErrorKind::Busy
    );
    watch.go_on();
    watch.until(".log");
    let of_index = handle.progress().file_bytes;
    assert_eq!((step(&handle), of_index.is_multiple_of(4096), of_index > 0), (CheckpointStep::Log, true, true));
    // The cut is made. What comes now is not part of it, and waits for nothing.
    (0..3000).for_each(|key| session.upsert(key, 1).unwrap());
    watch.go_on();
    watch.until(".manifest.tmp");
    let all = handle.progress().file_bytes;
    assert_eq!((step(&handle), all > of_index), (CheckpointStep::Manifest, true));
    watch.go_on();
    let report = block_on(handle).unwrap();
    assert_eq!((report.kind, report.file_bytes, report.version + 1), (CheckpointKind::Snapshot, all, store.version()));
    assert!(report.took >= report.cut_took && report.cut_took > Duration::ZERO, "{report:?}");
    let serials: Vec<u64> = report.sessions.iter().map(|session| session.serial).collect();
    assert_eq!((serials, session.serial()), (vec![3000], 6000));
    drop((session, store));

    let told = Mutex::new(HashMap::new());
    let tell = |progress: RecoveryProgress| {
        assert!(progress.bytes_done <= progress.bytes_total, "{progress:?}");
        told.lock().unwrap().insert(progress.phase, (progress.bytes_done, progress.bytes_total));
    };
    let (store, back) =
        Store::recover_from(&directory.directory, RecoveryTarget::Latest, config(), disk, &tell).unwrap();
    let told = told.into_inner().unwrap();
    for phase in [RecoveryPhase::IndexImage, RecoveryPhase::Replay, RecoveryPhase::Load] {
        assert!(told.contains_key(&phase), "nothing was told of {phase:?}: {told:?}");
    }
    assert!(
        told[&RecoveryPhase::IndexImage].0 > 0
            && told[&RecoveryPhase::IndexImage].0 == told[&RecoveryPhase::IndexImage].1
    );
    assert_eq!((back.token, back.version, back.sessions), (report.token, report.version, report.sessions));
    assert!(matches!(back.image, ImageUse::Used { .. }) && back.bytes_verified > of_index, "{:?}", back.image);
    let mut session = store.start_session();
    assert!((0..3000).all(|key| session.read(&key).unwrap() == Some(key)));
}

/// At each step it is given up, and so it is when its time is up there: nothing of it is left, and the store goes on as before.
#[test]
fn a_checkpoint_that_is_cancelled_or_late_at_any_step_leaves_nothing() {
    for (is_late, ending) in [false, true].into_iter().flat_map(|is_late| [(is_late, ".index"), (is_late, ".log")]) {
        let (disk, (directory, watch)) = (MemoryDisk::new(), gate());
        let (store, mut session) = filled(&disk);
        let begun = Instant::now();
        let time = if is_late { Duration::from_millis(200) } else { LIMIT };
        let handle =
            store.begin_checkpoint(directory.clone(), options(CheckpointKind::Snapshot).with_deadline(time)).unwrap();
        watch.until(".index");
        if ending == ".log" {
            watch.go_on();
            watch.until(".log");
        }
        match is_late {
            true => {
                while begun.elapsed() <= time {
                    std::thread::yield_now();
                }
            }
            false => handle.cancel(),
        }
        watch.go_on();
        let error = handle.wait().unwrap_err();
        let (kind, step) = if is_late { (ErrorKind::Busy, error.field("step")) } else { (ErrorKind::Cancelled, None) };
        assert_eq!((error.kind(), step.is_some()), (kind, is_late), "{error}");
        assert_eq!(directory.names().unwrap(), Vec::<String>::new(), "late {is_late} at {ending}");
        (0..3000).for_each(|key| session.upsert(key, 2).unwrap());
        drop(watch);
        let report = store.checkpoint_to(&*directory, &options(CheckpointKind::Snapshot)).unwrap();
        assert_eq!(report.sessions[0].serial, 6000);
    }
}

/// Sessions of the thread that takes the checkpoint: whatever they have begun, they do nothing until it is there.
#[test]
fn sessions_that_do_nothing_delay_no_checkpoint() {
    for kind in KINDS {
        let (disk, directory) = (MemoryDisk::new(), MemoryDirectory::new());
        let (store, mut session) = filled(&disk);
        let idle: Vec<_> = (0..8).map(|_| store.start_session()).collect();
        store.evict().unwrap();
        for key in 0..20 {
            let begun = session.begin_rmw(key, |value| {
                *value += 1;
                true
            });
            begun.unwrap();
        }
        let before = session.serial();
        assert!(before < 3020, "{kind:?}: nothing waits for the device");
        let report = store.checkpoint_to(&directory, &options(kind).with_deadline(LIMIT)).unwrap();
        let cuts: HashMap<u128, u64> = report.sessions.iter().map(|cut| (cut.guid, cut.serial)).collect();
        assert_eq!(cuts[&session.guid()], before, "{kind:?}: what is pending has no number yet");
        while session.pending() > 0 {
            session.complete_pending(true).unwrap();
        }
        assert_eq!(session.serial(), 3020);
        drop((idle, session, store));
        let (store, _) = Store::recover_from(&directory, RecoveryTarget::Latest, config(), disk, &|_| ()).unwrap();
        let mut session = store.start_session();
        let sum: u64 = (0..20).map(|key| session.read(&key).unwrap().unwrap()).sum();
        assert_eq!(sum, (0..20).sum::<u64>() + before - 3000, "{kind:?}: what was pending is not part of it");
    }
}

/// What removes the older ones is the checkpoint itself, once it is durable and was verified with its part on the device.
#[test]
fn a_checkpoint_that_does_not_verify_removes_no_older_one() {
    let (disk, directory) = (FaultyDisk::new(MemoryDisk::new()), MemoryDirectory::new());
    let plan = disk.plan();
    let store: FasterKv<u64, u64, _> = FasterKv::open(config(), disk).unwrap();
    let mut session = store.start_session();
    (0..3000).for_each(|key| session.upsert(key, key).unwrap());
    let keep = options(CheckpointKind::FoldOver).with_keep_last(1);
    let tokens = || -> Vec<_> {
        Catalog::new(&directory).list().unwrap().checkpoints.iter().map(|manifest| manifest.token).collect()
    };
    let _first = store.checkpoint_to(&directory, &keep).unwrap();
    let second = store.checkpoint_to(&directory, &keep).unwrap();
    assert_eq!(tokens(), [second.token]);
    plan.corrupt_reads_at(4096 + 17, 1);
    let error = store.checkpoint_to(&directory, &keep).unwrap_err();
    assert_eq!((error.kind(), error.field("file")), (ErrorKind::Corrupt, Some("log device")), "{error}");
    assert_eq!((tokens().len(), tokens()[0]), (2, second.token));
    plan.repair();
    let last = store.checkpoint_to(&directory, &keep).unwrap();
    assert_eq!(tokens(), [last.token]);
}

/// A directory of somebody else's, with a mistake in it.
struct Panicking(MemoryDirectory);

impl Directory for Panicking {
    fn names(&self) -> Result<Vec<String>> {
        self.0.names()
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        panic!("{name} is not made")
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        self.0.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.0.remove(name)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

#[test]
fn who_waits_for_a_checkpoint_whose_thread_is_gone_is_told_so() {
    let (store, mut session) = filled(&MemoryDisk::new());
    let directory = Arc::new(Panicking(MemoryDirectory::new()));
    let error = store.begin_checkpoint(directory, options(CheckpointKind::Snapshot)).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    (0..3000).for_each(|key| session.upsert(key, 2).unwrap());
    store.checkpoint_to(&MemoryDirectory::new(), &options(CheckpointKind::Snapshot)).unwrap();
}
