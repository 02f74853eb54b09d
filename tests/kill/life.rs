//! What the processes do, as far as parent and child have to agree on it.

use oxifaster::device::FileSystemDisk;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use oxifaster::{ErrorKind, Result};
use std::collections::HashMap;
use std::path::Path;

pub(crate) type Store = FasterKv<u64, u64, FileSystemDisk>;

pub(crate) const WRITERS: usize = 4;
pub(crate) const KEYS: u64 = 5000;
/// Who the writers are, in every life.
pub(crate) const GUIDS: [u128; WRITERS] = [11, 22, 33, 44];

pub(crate) fn config() -> FasterKvConfig {
    // Less than the data takes, so that pages are written and read all the time.
    FasterKvConfig::default().with_memory_budget(512 << 10).with_page_size_bits(13).with_table_size(2048)
}

/// The store as it was at the newest checkpoint, if there is one.
pub(crate) fn open(directory: &Path) -> Result<Option<Store>> {
    let checkpoints = directory.join("checkpoints");
    std::fs::create_dir_all(&checkpoints).unwrap();
    match FasterKv::recover_latest(&checkpoints, config(), FileSystemDisk::open(directory.join("log"))?) {
        Ok(store) => Ok(Some(store)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The operation of a writer that has this serial number.
pub(crate) fn apply(session: &mut Session<u64, u64>, writer: u64, serial: u64) -> Result<()> {
    let key = key_of(writer, serial);
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

fn key_of(writer: u64, serial: u64) -> u64 {
    writer * KEYS + serial.wrapping_mul(7919) % KEYS
}

fn mixed(value: u64, serial: u64) -> u64 {
    value.wrapping_mul(31).wrapping_add(serial)
}

/// What a writer's keys are after its operation `serial`.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) serial: u64,
    pub(crate) state: HashMap<u64, u64>,
}

impl Model {
    pub(crate) fn advance(&mut self, writer: u64, to: u64) {
        while self.serial < to {
            self.serial += 1;
            let (serial, key) = (self.serial, key_of(writer, self.serial));
            match serial % 5 {
                0 => drop(self.state.remove(&key)),
                1 => {
                    let value = self.state.entry(key).or_insert(0);
                    *value = mixed(*value, serial);
                }
                2 => {}
                _ => drop(self.state.insert(key, serial)),
            }
        }
    }
}
