//! A directory that records what is done to it, fails when told to, and knows what a crash might leave (D1 to D3).

use crate::directory::{Directory, DirectoryFile, MemoryDirectory};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A clone is another handle to the same directory.
#[derive(Clone, Default)]
pub(super) struct CrashDirectory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    /// The names that survive any crash, and what was done to names since.
    durable_names: BTreeMap<String, usize>,
    pending: Vec<Change>,
    steps: Vec<String>,
    /// The step that fails, counted from zero, and whether it takes effect all the same.
    failing: Option<(usize, bool)>,
    snapshots: Vec<Vec<MemoryDirectory>>,
    /// This byte of everything that is read comes back changed.
    lying: Option<usize>,
}

#[derive(Default)]
struct Contents {
    bytes: Vec<u8>,
    /// What the last sync made durable.
    durable: Option<Vec<u8>>,
}

#[derive(Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl State {
    /// Everything that a crash at this moment might leave: any part of the changes to names, in their order, and of files
    /// that were not synced nothing, a half, or all.
    fn crashed(&self) -> Vec<MemoryDirectory> {
        let mut states = Vec::new();
        for chosen in 0..1u32 << self.pending.len() {
            let mut names = self.durable_names.clone();
            let changes = self.pending.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
            changes.for_each(|(_, change)| change.apply(&mut names));
            for halves in 0..3 {
                let directory = MemoryDirectory::new();
                for (name, file) in &names {
                    let Contents { bytes, durable } = &self.files[*file];
                    let unsynced = &bytes[..bytes.len() * halves / 2];
                    let file = directory.create(name).unwrap();
                    file.write_at(0, durable.as_deref().unwrap_or(unsynced)).unwrap();
                }
                states.push(directory);
            }
        }
        states
    }

    /// One thing that is about to be done; an error if it is to fail. The moment before it is one of a possible crash.
    fn step(&mut self, what: String) -> Result<bool> {
        let crashed = self.crashed();
        self.snapshots.push(crashed);
        self.steps.push(what);
        match self.failing {
            Some((at, false)) if at + 1 == self.steps.len() => Err(broken()),
            Some((at, true)) if at + 1 == self.steps.len() => Ok(true),
            _ => Ok(false),
        }
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Io, "this step was told to fail")
}

impl CrashDirectory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What is there now is durable, and steps count from here on.
    pub(super) fn settle(&self) {
        let mut state = self.state();
        state.durable_names = state.names.clone();
        state.pending.clear();
        state.files.iter_mut().for_each(|file| file.durable = Some(file.bytes.clone()));
        drop(state);
        self.begin();
    }

    /// Steps count from here on.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.steps.clear();
        state.snapshots.clear();
    }

    /// Lets the step with this number fail, either without effect or after it took effect.
    pub(super) fn fail_at(&self, step: usize, takes_effect: bool) {
        self.state().failing = Some((step, takes_effect));
    }

    /// Lets every read give another byte than was written at `offset`.
    pub(super) fn lie_at(&self, offset: Option<usize>) {
        self.state().lying = offset;
    }

    pub(super) fn steps(&self) -> Vec<String> {
        self.state().steps.clone()
    }

    /// What a crash might leave before each step so far, and now.
    pub(super) fn crashes(&self) -> Vec<Vec<MemoryDirectory>> {
        let mut state = self.state();
        let now = state.crashed();
        let mut all = std::mem::take(&mut state.snapshots);
        all.push(now);
        all
    }

    fn change(&self, what: String, change: Change) -> Result<()> {
        let mut state = self.state();
        let fails_afterwards = state.step(what)?;
        change.apply(&mut state.names);
        state.pending.push(change);
        if fails_afterwards { Err(broken()) } else { Ok(()) }
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such file").with("file", name)
}

impl Directory for CrashDirectory {
    fn names(&self) -> Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let number = {
            let mut state = self.state();
            assert!(!state.names.contains_key(name), "{name} is there already");
            state.files.push(Contents::default());
            state.files.len() - 1
        };
        self.change(format!("create {name}"), Change::Create(name.to_owned(), number))?;
        Ok(Box::new(CrashFile { directory: self.clone(), name: name.to_owned(), number }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn DirectoryFile>> {
        let number = *self.state().names.get(name).ok_or_else(|| missing(name))?;
        Ok(Box::new(CrashFile { directory: self.clone(), name: name.to_owned(), number }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.change(format!("rename {from} to {to}"), Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        if !self.state().names.contains_key(name) {
            return Ok(());
        }
        self.change(format!("remove {name}"), Change::Remove(name.to_owned()))
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.state();
        let fails_afterwards = state.step("sync directory".to_owned())?;
        state.durable_names = state.names.clone();
        state.pending.clear();
        if fails_afterwards { Err(broken()) } else { Ok(()) }
    }

    fn place(&self) -> String {
        "crashing".to_owned()
    }
}

struct CrashFile {
    directory: CrashDirectory,
    name: String,
    number: usize,
}

impl DirectoryFile for CrashFile {
    fn len(&self) -> Result<u64> {
        Ok(self.directory.state().files[self.number].bytes.len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.directory.state();
        let fails_afterwards = state.step(format!("write {}", self.name))?;
        let contents = &mut state.files[self.number].bytes;
        let end = offset as usize + bytes.len();
        contents.resize(contents.len().max(end), 0);
        contents[offset as usize..end].copy_from_slice(bytes);
        if fails_afterwards { Err(broken()) } else { Ok(()) }
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let mut state = self.directory.state();
        state.step(format!("read {}", self.name))?;
        let rest = state.files[self.number].bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        if let Some(at) = state.lying.and_then(|at| at.checked_sub(offset as usize)).filter(|at| *at < count) {
            bytes[at] ^= 1;
        }
        Ok(count)
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.directory.state();
        let fails_afterwards = state.step(format!("sync {}", self.name))?;
        let contents = &mut state.files[self.number];
        contents.durable = Some(contents.bytes.clone());
        if fails_afterwards { Err(broken()) } else { Ok(()) }
    }
}
