//! Small checkpoints of every kind on real files, of which one is damaged at a time: what comes back is right, or an error that
//! says where the damage is. Never wrong data, never a panic, never an older state than was asked for.
//!
//! Of the blocks of records, in which one byte is like the other to a checksum, a sample of the bytes is flipped; with
//! `OXIFASTER_DAMAGE=every` every byte is: `OXIFASTER_DAMAGE=every cargo test --release --test it damage`.

use oxifaster::checkpoint::{Catalog, CheckpointKind, CheckpointToken, verify};
use oxifaster::device::{FileSystemDisk, FileSystemDiskOptions};
use oxifaster::directory::FileDirectory;
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig};
use oxifaster::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

type Store = FasterKv<u64, u64, FileSystemDisk>;
type State = BTreeMap<u64, u64>;

const KEYS: u64 = 420;
const LOG: &str = "log";
const CHECKPOINTS: &str = "checkpoints";
/// In a sample, every byte of what frames a block's payload and each so manieth of the rest.
const STRIDE: usize = 509;

fn config() -> FasterKvConfig {
    FasterKvConfig::default()
        .with_log_memory_size(64 << 10)
        .with_page_size_bits(13)
        .with_table_size(32)
        .with_pretouch(false)
}

fn disk(root: &Path) -> Result<FileSystemDisk> {
    FileSystemDiskOptions::new().with_segment_size(12 << 10).with_io_uring(false).open(root.join(LOG))
}

fn checkpoints(root: &Path) -> FileDirectory {
    FileDirectory::open(root.join(CHECKPOINTS)).unwrap()
}

/// A store's files, and what its checkpoints hold, the newest last.
struct Set {
    root: TempDir,
    states: Vec<(CheckpointToken, State)>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Set {
    fn of(kind: CheckpointKind) -> Self {
        let root = tempfile::tempdir().unwrap();
        let store: Store = FasterKv::open(config(), disk(root.path()).unwrap()).unwrap();
        let (mut session, mut state, mut states) = (store.start_session(), State::new(), Vec::new());
        for round in 1..=3 {
            for key in (0..KEYS).filter(|key| round == 1 || key % 7 == round) {
                session.upsert(key, key * 100 + round).unwrap();
                state.insert(key, key * 100 + round);
                if key == KEYS / 2 && round == 1 {
                    store.flush().unwrap(); // a part of it on the device, whatever the kind
                }
            }
            session.delete(&(round * 11)).unwrap();
            state.remove(&(round * 11));
            let options = CheckpointOptions::default().with_kind(kind).with_index(round < 3);
            let report = store.checkpoint_to(&checkpoints(root.path()), &options).unwrap();
            states.push((report.token, state.clone()));
        }
        drop((session, store));
        let mut files = BTreeMap::new();
        for folder in [LOG, CHECKPOINTS] {
            for entry in std::fs::read_dir(root.path().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                files.insert(path.strip_prefix(root.path()).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
        Self { root, states, files }
    }

    /// Puts the files back as they were, but for those in `changed`, which are as said there: gone, or of other bytes.
    fn restore(&self, changed: &BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for folder in [LOG, CHECKPOINTS] {
            for entry in std::fs::read_dir(self.root.path().join(folder)).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
        for (name, bytes) in &self.files {
            let bytes = changed.get(name).map_or(Some(bytes), Option::as_ref);
            bytes.iter().for_each(|bytes| std::fs::write(self.root.path().join(name), bytes).unwrap());
        }
    }

    fn newest(&self) -> CheckpointToken {
        self.states[self.states.len() - 1].0
    }

    /// The files of which every byte is part of a checkpoint.
    fn needed_by(&self, token: CheckpointToken) -> BTreeSet<PathBuf> {
        self.restore(&BTreeMap::new());
        let manifest = Catalog::new(&checkpoints(self.root.path())).load(token).unwrap();
        let mut files: BTreeSet<_> =
            manifest.files().into_iter().map(|name| Path::new(CHECKPOINTS).join(name)).collect();
        files.insert(Path::new(CHECKPOINTS).join(token.manifest_file()));
        files
    }

    /// Tries everything that reads these files after a change, and returns how often it was refused.
    fn try_all(&self, what: &str, changed: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> usize {
        let mut refused = 0;
        let names: Vec<_> =
            changed.keys().map(|name| name.file_name().unwrap().to_string_lossy().into_owned()).collect();
        let mut check = |outcome: Result<State>, expected: &State, asked: &str| match outcome {
            Ok(state) => assert!(state == *expected, "{what}: {asked} gave another state"),
            Err(error) => {
                assert_says_where(&error, &names, changed.keys().all(|name| name.starts_with(LOG)), what);
                refused += 1;
            }
        };
        let root = self.root.path();
        let (newest, state) = &self.states[self.states.len() - 1];
        // Without a manifest there is no checkpoint: that is how one looks whose end a crash came before.
        let is_gone = changed.get(&Path::new(CHECKPOINTS).join(newest.manifest_file())) == Some(&None);
        let latest = if is_gone { &self.states[self.states.len() - 2].1 } else { state };
        self.restore(changed);
        check(
            disk(root).and_then(|disk| Store::recover_latest(root.join(CHECKPOINTS), config(), disk)).map(read),
            latest,
            "the newest",
        );
        self.restore(changed);
        let (older, older_state) = &self.states[0];
        check(recover(root, *older), older_state, "an older one by its token");
        self.restore(changed);
        check(recover(root, *newest), state, "the newest by its token");
        refused
    }

    /// True if `verify` finds nothing wrong with the newest checkpoint.
    fn is_sound(&self, changed: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> bool {
        self.restore(changed);
        let Ok(device) = disk(self.root.path()) else { return false };
        let report = verify(&checkpoints(self.root.path()), Some(&device), self.newest(), &mut |_| {});
        report.is_ok_and(|report| report.is_sound() && report.is_complete())
    }
}

fn recover(root: &Path, token: CheckpointToken) -> Result<State> {
    Store::recover(root.join(CHECKPOINTS), token, config(), disk(root)?).map(read)
}

fn read(store: Store) -> State {
    let mut session = store.start_session();
    (0..KEYS).filter_map(|key| session.read(&key).unwrap().map(|value| (key, value))).collect()
}

/// The error, or one that it is because of, names a changed file, or a place on the device if it is that which was changed.
fn assert_says_where(error: &Error, names: &[String], on_device: bool, what: &str) {
    let kinds =
        [ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Unsupported, ErrorKind::Io, ErrorKind::DeviceFailed];
    assert!(kinds.contains(&error.kind()), "{what}: {error}");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(" / {error}");
        cause = error.source();
    }
    let is_named = names.iter().any(|name| text.contains(name.as_str()));
    assert!(is_named || on_device && (text.contains("device offset") || text.contains(LOG)), "{what}: {text}");
}

const KINDS: [CheckpointKind; 3] = [CheckpointKind::FoldOver, CheckpointKind::Snapshot, CheckpointKind::Incremental];

fn is_manifest(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension == "manifest")
}

fn one(name: &Path, bytes: Option<Vec<u8>>) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    BTreeMap::from([(name.to_owned(), bytes)])
}

#[test]
fn a_flipped_byte_gives_the_right_data_or_an_error_with_its_place() {
    let every = std::env::var("OXIFASTER_DAMAGE").is_ok_and(|value| value == "every");
    for kind in KINDS {
        let set = Set::of(kind);
        assert_eq!(set.try_all("undamaged", &BTreeMap::new()), 0);
        assert!(set.is_sound(&BTreeMap::new()));
        let needed = set.needed_by(set.newest());
        let (mut flips, mut refusals) = (0, 0);
        for (name, bytes) in &set.files {
            for at in 0..bytes.len() {
                let is_frame = at % 4096 >= 4088 && at % 4096 % 3 == 0;
                let is_chosen = if is_manifest(name) { at % 5 == 0 } else { at % STRIDE == 0 || is_frame };
                if !every && !is_chosen {
                    continue;
                }
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                let (what, changed) = (format!("{kind:?}: byte {at} of {}", name.display()), one(name, Some(bytes)));
                refusals += set.try_all(&what, &changed);
                assert!(!needed.contains(name) || !set.is_sound(&changed), "{what} was not seen by verify");
                flips += 1;
            }
        }
        assert!(flips > 100 && refusals > flips / 2, "{kind:?}: {refusals} refusals of {flips} flips");
    }
}

#[test]
fn a_file_that_is_gone_or_cut_short_gives_the_right_data_or_an_error_that_names_it() {
    for kind in KINDS {
        let set = Set::of(kind);
        let needed = set.needed_by(set.newest());
        for (name, bytes) in &set.files {
            let lengths =
                [0, 1, 8, 4095, 4096, bytes.len() / 2, bytes.len().saturating_sub(4096), bytes.len().saturating_sub(1)];
            let shorter = lengths.into_iter().filter(|length| *length < bytes.len());
            let cut = shorter.map(|length| (format!("cut to {length}"), Some(bytes[..length].to_vec())));
            let longer = Some([bytes.as_slice(), &[0; 512]].concat());
            for (how, left) in cut.chain([("gone".to_owned(), None), ("longer".to_owned(), longer)]) {
                let (what, changed) = (format!("{kind:?}: {} {how}", name.display()), one(name, left));
                set.try_all(&what, &changed);
                assert!(!needed.contains(name) || !set.is_sound(&changed), "{what} was not seen by verify");
            }
        }
    }
}

#[test]
fn files_that_were_swapped_give_the_right_data_or_an_error_that_names_one() {
    for kind in KINDS {
        let set = Set::of(kind);
        let needed = set.needed_by(set.newest());
        let names: Vec<&PathBuf> = set.files.keys().collect();
        for (at, one) in names.iter().enumerate() {
            for other in &names[at + 1..] {
                if one.parent() != other.parent() || set.files[*one] == set.files[*other] {
                    continue;
                }
                let changed = BTreeMap::from([
                    ((*one).clone(), Some(set.files[*other].clone())),
                    ((*other).clone(), Some(set.files[*one].clone())),
                ]);
                let what = format!("{kind:?}: {} and {} swapped", one.display(), other.display());
                set.try_all(&what, &changed);
                let is_needed = needed.contains(*one) || needed.contains(*other);
                assert!(!is_needed || !set.is_sound(&changed), "{what} was not seen by verify");
            }
        }
    }
}
