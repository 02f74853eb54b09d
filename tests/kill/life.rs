//! What the processes do, as far as parent and child have to agree on it.

use oxifaster::device::FileSystemDisk;
use oxifaster::record::Value;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use oxifaster::{ErrorKind, Result};
use std::collections::HashMap;
use std::io::Write;
use std::marker::PhantomData;
use std::path::Path;

pub(crate) type Store<L> = FasterKv<u64, <L as Life>::Value, FileSystemDisk>;

pub(crate) const WRITERS: usize = 4;
/// Who the writers are, in every life.
pub(crate) const GUIDS: [u128; WRITERS] = [11, 22, 33, 44];

/// What is written. An operation follows from its serial number alone.
pub(crate) trait Life {
    type Value: Value;
    /// What a process is told to live it.
    const NAME: &'static str;
    /// Keys of a writer: a prime number, so that each of them meets operations of every kind.
    const KEYS: u64;
    const PAGE_BITS: u32;

    /// The operation of a writer that has this serial number.
    fn apply(session: &mut Session<u64, Self::Value>, key: u64, serial: u64) -> Result<()>;

    /// The number that the value of a key stands for.
    fn read(session: &mut Session<u64, Self::Value>, key: u64) -> Result<Option<u64>>;

    /// What it stands for after an operation.
    fn after(before: Option<u64>, serial: u64) -> Option<u64>;
}

/// Words: written blindly, changed where they are, and deleted.
pub(crate) struct Words;

impl Life for Words {
    type Value = u64;
    const NAME: &'static str = "words";
    const KEYS: u64 = 4999;
    const PAGE_BITS: u32 = 13;

    fn apply(session: &mut Session<u64, u64>, key: u64, serial: u64) -> Result<()> {
        match serial % 5 {
            0 => session.delete(&key),
            1 => {
                let change = |value: &mut u64| {
                    *value = mixed(*value, serial);
                    true
                };
                session.rmw(key, change).map(drop)
            }
            2 => session.read(&key).map(drop),
            _ => session.upsert(key, serial),
        }
    }

    fn read(session: &mut Session<u64, u64>, key: u64) -> Result<Option<u64>> {
        session.read(&key)
    }

    fn after(before: Option<u64>, serial: u64) -> Option<u64> {
        match serial % 5 {
            0 => None,
            1 => Some(mixed(before.unwrap_or(0), serial)),
            2 => before,
            _ => Some(serial),
        }
    }
}

fn mixed(value: u64, serial: u64) -> u64 {
    value.wrapping_mul(31).wrapping_add(serial)
}

/// Values of any length, of which one in `EVERY` operations writes one that is larger than a page.
pub(crate) struct Large<const EVERY: u64>;

impl<const EVERY: u64> Large<EVERY> {
    /// Of some words, or of some pages: with lists if they are many.
    fn bytes(serial: u64) -> Vec<u8> {
        let words = if serial % EVERY == 4 { 700 + serial % 41 * 131 } else { 1 + serial % 23 };
        (0..words).flat_map(|word| (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ serial).to_le_bytes()).collect()
    }
}

impl<const EVERY: u64> Life for Large<EVERY> {
    type Value = Vec<u8>;
    const NAME: &'static str = "large";
    const KEYS: u64 = 97;
    const PAGE_BITS: u32 = 12;

    fn apply(session: &mut Session<u64, Vec<u8>>, key: u64, serial: u64) -> Result<()> {
        match serial % 5 {
            0 => session.delete(&key),
            2 => {
                if serial % EVERY == 2 {
                    // It becomes no value, and leaves its pieces.
                    let mut writer = session.value_writer(key, None)?;
                    let _ = writer.write_all(&[serial as u8; 9000]);
                }
                session.read_into(&key, std::io::sink()).map(drop)
            }
            _ => session.upsert_from(key, None, &Self::bytes(serial)[..]).map(drop),
        }
    }

    fn read(session: &mut Session<u64, Vec<u8>>, key: u64) -> Result<Option<u64>> {
        let mut bytes = Vec::new();
        if session.read_into(&key, &mut bytes)?.is_none() {
            return Ok(None);
        }
        let serial = bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        // The first word is the serial number; all others follow from it.
        Ok(Some(if bytes == Self::bytes(serial) { serial } else { u64::MAX }))
    }

    fn after(before: Option<u64>, serial: u64) -> Option<u64> {
        match serial % 5 {
            0 => None,
            2 => before,
            _ => Some(serial),
        }
    }
}

pub(crate) fn config<L: Life>() -> FasterKvConfig {
    // Less than the data takes, so that pages are written and read all the time.
    FasterKvConfig::default().with_memory_budget(512 << 10).with_page_size_bits(L::PAGE_BITS).with_table_size(2048)
}

/// The store as it was at the newest checkpoint, if there is one.
pub(crate) fn open<L: Life>(directory: &Path) -> Result<Option<Store<L>>> {
    let checkpoints = directory.join("checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    match FasterKv::recover_latest(&checkpoints, config::<L>(), FileSystemDisk::open(directory.join("log"))?) {
        Ok(store) => Ok(Some(store)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The session of a writer, which goes on with its serial numbers.
pub(crate) fn session_of<L: Life>(store: &Store<L>, guid: u128) -> Session<u64, L::Value> {
    let known = store.get_recovered_sessions().into_iter().find(|session| session.guid == guid);
    match known {
        Some(session) => store.continue_session(session).unwrap(),
        None => store.start_named_session(guid).unwrap(),
    }
}

/// The next operation of a writer.
pub(crate) fn go_on<L: Life>(session: &mut Session<u64, L::Value>, writer: u64) -> Result<u64> {
    let serial = session.serial() + 1;
    L::apply(session, key_of::<L>(writer, serial), serial).map(|()| serial)
}

fn key_of<L: Life>(writer: u64, serial: u64) -> u64 {
    writer * L::KEYS + serial.wrapping_mul(7919) % L::KEYS
}

/// What a writer's keys are after its operation `serial`.
pub(crate) struct Model<L> {
    pub(crate) serial: u64,
    state: HashMap<u64, u64>,
    life: PhantomData<L>,
}

impl<L: Life> Model<L> {
    /// Of all writers, who have done nothing so far.
    pub(crate) fn all() -> [Self; WRITERS] {
        [(); WRITERS].map(|()| Self { serial: 0, state: HashMap::new(), life: PhantomData })
    }

    pub(crate) fn advance(&mut self, writer: u64, to: u64) {
        while self.serial < to {
            self.serial += 1;
            let key = key_of::<L>(writer, self.serial);
            match L::after(self.state.get(&key).copied(), self.serial) {
                Some(value) => drop(self.state.insert(key, value)),
                None => drop(self.state.remove(&key)),
            }
        }
    }

    /// That every key of the writer is as it should be now.
    pub(crate) fn check(&self, session: &mut Session<u64, L::Value>, writer: u64, what: &str) {
        for key in writer * L::KEYS..(writer + 1) * L::KEYS {
            let (found, expected) = (L::read(session, key).unwrap(), self.state.get(&key).copied());
            assert_eq!(found, expected, "{what}: key {key} of writer {writer} at {}", self.serial);
        }
    }
}

pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not listen any more is about to kill this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
