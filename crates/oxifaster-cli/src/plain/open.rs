//! A store in a directory, of keys and values of which only the lengths are known.

use crate::failure::Failure;
use oxifaster::checkpoint::{Catalog, Manifest};
use oxifaster::directory::FileDirectory;
use oxifaster::record::{Key, Value};
use oxifaster::store::FasterKvConfig;
use oxifaster::{Error, ErrorKind, Result, Store};
use std::io;
use std::path::{Path, PathBuf};

/// Where `oxifaster::Store` keeps its log and its checkpoints.
const LOG: &str = "log";
const CHECKPOINTS: &str = "checkpoints";
/// What every device of segments has in its directory.
const LOCK: &str = "LOCK";

/// The lengths of keys and values, where all have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) key: Option<usize>,
    pub(crate) value: Option<usize>,
}

/// What to do where there is no store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Missing {
    /// Say so.
    Refuse,
    /// Make one, unless there is something else.
    Make(Shape),
}

/// What is called with a key and its value.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> std::result::Result<(), Failure> + 'v;

/// A store of some key and value type, called with bytes.
pub(crate) trait AnyStore {
    fn shape(&self) -> Shape;
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;
    /// Puts one after the other.
    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<()>;
    /// Whether the key was there.
    fn delete(&self, key: &[u8]) -> Result<bool>;
    /// Waits until all that was changed is durable.
    fn sync(&self) -> Result<()>;
    /// Gives back the space of what is of no use any more.
    fn compact(&self) -> Result<()>;
    /// Keys, roughly.
    fn approximate_count(&self) -> u64;
    /// Calls `visit` with every key and its value, those first that were written first, until it fails.
    fn each(&self, visit: &mut Visit<'_>) -> std::result::Result<(), Failure>;
}

impl<K: Key, V: Value> AnyStore for Store<K, V> {
    fn shape(&self) -> Shape {
        Shape { key: K::FIXED, value: V::FIXED }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get_with(&of::<K>(key)?, <[u8]>::to_vec)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(of(key)?, of(value)?)
    }

    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        let pairs = pairs.iter().map(|(key, value)| Ok((of(key)?, of(value)?)));
        let pairs = pairs.collect::<Result<Vec<(K, V)>>>()?;
        self.with_session(|session| session.upsert_batch(&pairs))
    }

    fn delete(&self, key: &[u8]) -> Result<bool> {
        let key = of::<K>(key)?;
        Ok(self.with_session(|session| session.delete_if(key, |_| true))?.is_done())
    }

    fn sync(&self) -> Result<()> {
        self.sync()
    }

    fn compact(&self) -> Result<()> {
        self.compact()
    }

    fn approximate_count(&self) -> u64 {
        self.kv().approximate_count()
    }

    fn each(&self, visit: &mut Visit<'_>) -> std::result::Result<(), Failure> {
        for pair in self.kv().iter()? {
            let (key, value) = pair?;
            visit(key.as_bytes(), value.as_bytes())?;
        }
        Ok(())
    }
}

/// The key or value of these bytes.
fn of<T: Value>(bytes: &[u8]) -> Result<T> {
    if let Some(size) = T::FIXED.filter(|size| *size != bytes.len()) {
        return Err(Error::new(ErrorKind::Config, "no key or value of the store has this length")
            .with("length", bytes.len())
            .with("length of all", size));
    }
    T::build(bytes.len(), |room| {
        room.copy_from_slice(bytes);
        bytes.len()
    })
}

/// Opens the store in `directory`, with so much memory if it is told.
pub(crate) fn open(
    directory: &Path,
    memory: Option<u64>,
    missing: Missing,
) -> std::result::Result<Box<dyn AnyStore>, Failure> {
    // Memory is taken as it is used: most commands use little of it.
    let config = FasterKvConfig::default().with_pretouch(false);
    let (shape, config) = match (newest(directory)?, missing) {
        // With an index for the memory that is given here, the program with less could not open its store any more.
        (Some(manifest), _) => (shape_of(directory, &manifest)?, with_index_of(config, &manifest)),
        (None, Missing::Make(shape)) if is_free(directory)? => (shape, config),
        (None, _) => return Err(no_store(directory)),
    };
    let config = memory.into_iter().fold(config, FasterKvConfig::with_memory_budget);
    of_shape(directory, shape, config)
}

/// A store is made for keys and values of the lengths that are told: there is one in here for each of these.
fn of_shape(directory: &Path, shape: Shape, config: FasterKvConfig) -> std::result::Result<Box<dyn AnyStore>, Failure> {
    macro_rules! stores {
        ($($key:ty: $($value:ty),*;)*) => { $($(
            if shape == (Shape { key: <$key as Value>::FIXED, value: <$value as Value>::FIXED }) {
                return Ok(Box::new(Store::<$key, $value>::open_with(directory, config)?));
            }
        )*)* };
    }
    stores! {
        Vec<u8>: Vec<u8>, [u8; 8];
        [u8; 8]: Vec<u8>, [u8; 8];
        [u8; 16]: Vec<u8>, [u8; 8];
    }
    let bytes = |size: Option<usize>| size.map_or("any length".to_owned(), |size| format!("{size} bytes"));
    let (keys, values) = (bytes(shape.key), bytes(shape.value));
    Err(Failure::usage(
        format!("this command has no store for keys of {keys} and values of {values}"),
        "open it with oxifaster::Store in a program that has the types; `oxifaster scan` shows what a checkpoint holds",
    ))
}

/// The directory of the checkpoints of the store in `directory`, and that of its log.
pub(crate) fn parts(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join(CHECKPOINTS), directory.join(LOG))
}

/// The newest checkpoint of the store, if there is a store.
fn newest(directory: &Path) -> std::result::Result<Option<Manifest>, Failure> {
    let (checkpoints, log) = parts(directory);
    if !checkpoints.is_dir() || !log.join(LOCK).is_file() {
        return Ok(None);
    }
    match Catalog::new(&FileDirectory::open(&checkpoints)?).latest() {
        Ok(selection) => Ok(Some(selection.exactly()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn shape_of(directory: &Path, manifest: &Manifest) -> std::result::Result<Shape, Failure> {
    if !manifest.log.as_ref().is_some_and(|log| log.durable) {
        return Err(Failure::usage(
            format!("the store in {} has no durability: its checkpoints are all there is of it", directory.display()),
            "look at them with `oxifaster scan`, and change it in the program that it belongs to",
        ));
    }
    let size = |size: Option<u32>| size.map(|size| size as usize);
    Ok(Shape { key: size(manifest.schema.key_size), value: size(manifest.schema.value_size) })
}

fn with_index_of(config: FasterKvConfig, manifest: &Manifest) -> FasterKvConfig {
    manifest.log.iter().fold(config, |config, log| config.with_table_size(log.buckets))
}

/// Whether a store may be made in `directory`: it is not there, is empty, or somebody was about to make one.
fn is_free(directory: &Path) -> std::result::Result<bool, Failure> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(Failure::path("reading the directory", directory, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| Failure::path("reading the directory", directory, error))?.file_name();
        if name != LOG && name != CHECKPOINTS {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says what is in `directory` instead of a store.
fn no_store(directory: &Path) -> Failure {
    let place = directory.display();
    let Ok(mut entries) = std::fs::read_dir(directory) else {
        return Failure::usage(
            format!("there is no directory {place}"),
            "name the one that oxifaster::Store::open was given, or make a store with `oxifaster put`",
        );
    };
    let is_manifest = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".manifest");
    if directory.join(LOCK).is_file() {
        let next = "name the directory above it, or look at it with `oxifaster log` if it is a log of entries";
        return Failure::usage(format!("{place} is the directory of a log"), next);
    }
    if entries.any(|entry| entry.is_ok_and(|entry| is_manifest(entry.file_name()))) {
        let next = "name the directory above it, or look at it with `oxifaster scan` and --log";
        return Failure::usage(format!("{place} is a directory of checkpoints"), next);
    }
    let next = "name the directory that oxifaster::Store::open was given, or an empty one to `oxifaster put`";
    Failure::usage(format!("{place} holds no store"), next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxifaster::device::FileSystemDisk;
    use oxifaster::store::{CheckpointOptions, FasterKv};

    fn refused(directory: &Path, missing: Missing) -> String {
        match open(directory, None, missing) {
            Err(failure @ Failure::Usage { .. }) => failure.to_string(),
            Err(other) => other.to_string(),
            Ok(_) => "opened".to_owned(),
        }
    }

    fn every_call_does_what_it_says(shape: Shape, key: &[u8], value: &[u8]) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let missing = refused(&path, Missing::Refuse);
        assert!(missing.contains("no directory") && !path.exists(), "{missing}");
        let store = open(&path, Some(8 << 20), Missing::Make(shape)).unwrap();
        assert_eq!((store.shape(), store.get(key).unwrap()), (shape, None));
        store.put(key, value).unwrap();
        store.put_all(&[(key.to_vec(), value.to_vec())]).unwrap();
        store.sync().unwrap();
        drop(store);
        // With more memory, and then with less again.
        for memory in [None, Some(8 << 20)] {
            let store = open(&path, memory, Missing::Refuse).unwrap();
            assert_eq!(store.get(key).unwrap().as_deref(), Some(value));
        }
        let store = open(&path, Some(8 << 20), Missing::Refuse).unwrap();
        let mut met = Vec::new();
        let mut meet = |key: &[u8], value: &[u8]| {
            met.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        store.each(&mut meet).unwrap();
        assert_eq!(met, [(key.to_vec(), value.to_vec())]);
        assert!(store.delete(key).unwrap() && !store.delete(key).unwrap());
        store.compact().unwrap();
        assert_eq!(store.get(key).unwrap(), None);
        if shape.key.is_some() {
            assert_eq!(store.put(&[key, b"x"].concat(), value).unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn stores_of_every_shape_are_called_with_bytes() {
        for key in [(None, &b""[..]), (Some(8), b"8 bytes!"), (Some(16), b"sixteen bytes...")] {
            for value in [(None, &b"any\xff"[..]), (Some(8), b"\0\x01\x02\x03\x04\x05\x06\x07")] {
                every_call_does_what_it_says(Shape { key: key.0, value: value.0 }, key.1, value.1);
            }
        }
    }

    #[test]
    fn what_is_no_store_of_ours_is_left_alone_and_named() {
        let place = tempfile::tempdir().unwrap();
        let make = Missing::Make(Shape::default());
        std::fs::write(place.path().join("precious"), "text").unwrap();
        assert!(refused(place.path(), make).contains("holds no store"));
        let path = place.path().join("store");
        drop(open(&path, None, make).unwrap());
        assert!(refused(&path.join("log"), make).contains("oxifaster log"));
        assert!(refused(&path.join("checkpoints"), make).contains("--log"));
        let odd = Missing::Make(Shape { key: Some(3), value: None });
        let other = refused(&place.path().join("odd"), odd);
        assert!(other.contains("keys of 3 bytes") && other.contains("oxifaster scan"), "{other}");
    }

    #[test]
    fn a_store_without_durability_is_not_made_one_that_has() {
        let place = tempfile::tempdir().unwrap();
        let device = FileSystemDisk::open(place.path().join(LOG)).unwrap();
        let store =
            FasterKv::<u64, u64, _>::open(FasterKvConfig::default().with_memory_budget(1 << 20), device).unwrap();
        let checkpoints = FileDirectory::open(place.path().join(CHECKPOINTS)).unwrap();
        store.checkpoint_to(&checkpoints, &CheckpointOptions::default()).unwrap();
        drop(store);
        for missing in [Missing::Refuse, Missing::Make(Shape::default())] {
            assert!(refused(place.path(), missing).contains("no durability"));
        }
    }
}
