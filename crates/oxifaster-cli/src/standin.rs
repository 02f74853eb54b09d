//! A store in plain memory with the face of the real one, until that one is merged.

use oxifaster::{Error, Result};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) struct FileSystemDisk;
impl FileSystemDisk {
    pub(crate) fn open(_: impl AsRef<Path>) -> Result<Self> {
        Ok(Self)
    }
}
pub(crate) struct MemoryDisk;
impl MemoryDisk {
    pub(crate) fn new() -> Self {
        Self
    }
}
pub(crate) trait Device {}
impl Device for FileSystemDisk {}
impl Device for MemoryDisk {}

#[derive(Default, Clone)]
pub(crate) struct FasterKvConfig {
    budget: usize,
}
impl FasterKvConfig {
    pub(crate) fn with_memory_budget(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Ticket(u64);
pub(crate) enum Begun<T> {
    Done(T),
    Pending(Ticket),
}
pub(crate) enum Outcome<V> {
    Read(Option<V>),
    Rmw(bool),
}
pub(crate) struct Completed<V> {
    pub(crate) ticket: Ticket,
    pub(crate) outcome: Result<Outcome<V>>,
}

#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) reads: u64,
}
#[derive(Default)]
pub(crate) struct DeviceStats {
    pub(crate) reads: u64,
    pub(crate) read_bytes: u64,
    pub(crate) writes: u64,
    pub(crate) written_bytes: u64,
}
pub(crate) struct StatsSnapshot {
    pub(crate) operations: Operations,
    pub(crate) read_hits: u64,
    pub(crate) read_misses: u64,
    pub(crate) device: DeviceStats,
    pub(crate) memory: Vec<(&'static str, usize)>,
    pub(crate) memory_budget: usize,
}

type Shard<V> = Mutex<HashMap<u64, V>>;
struct Shared<V> {
    shards: Vec<Shard<V>>,
    reads: AtomicU64,
    budget: usize,
}
impl<V> Shared<V> {
    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, V>> {
        self.shards[(key % 64) as usize].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
pub(crate) struct FasterKv<K, V>(Arc<Shared<V>>, PhantomData<K>);
impl<const N: usize> FasterKv<u64, [u8; N]> {
    pub(crate) fn open(config: FasterKvConfig, _: impl Device) -> Result<Self> {
        let shards = (0..64).map(|_| Shard::default()).collect();
        Ok(Self(Arc::new(Shared { shards, reads: AtomicU64::new(0), budget: config.budget }), PhantomData))
    }
    pub(crate) fn start_session(&self) -> Session<u64, [u8; N]> {
        Session { shared: Arc::clone(&self.0), waiting: Vec::new(), next: 0, key: PhantomData }
    }
    pub(crate) fn stats(&self) -> StatsSnapshot {
        let reads = self.0.reads.load(Ordering::Relaxed);
        let device = DeviceStats { reads, read_bytes: reads * 4096, ..DeviceStats::default() };
        StatsSnapshot {
            operations: Operations::default(),
            read_hits: 0,
            read_misses: reads,
            device,
            memory: vec![("log", self.0.budget / 2), ("index", self.0.budget / 4)],
            memory_budget: self.0.budget,
        }
    }
}
type Waiting<V> = Box<dyn FnOnce(&Shared<V>) -> Outcome<V> + Send>;
pub(crate) struct Session<K, V> {
    shared: Arc<Shared<V>>,
    waiting: Vec<(Ticket, Waiting<V>)>,
    next: u64,
    key: PhantomData<K>,
}
impl<const N: usize> Session<u64, [u8; N]> {
    pub(crate) fn read(&mut self, key: &u64) -> Result<Option<[u8; N]>> {
        self.shared.reads.fetch_add(u64::from(key.is_multiple_of(4)), Ordering::Relaxed);
        Ok(self.shared.shard(*key).get(key).copied())
    }
    pub(crate) fn upsert(&mut self, key: u64, value: [u8; N]) -> Result<()> {
        self.shared.shard(key).insert(key, value);
        Ok(())
    }
    pub(crate) fn delete(&mut self, key: &u64) -> Result<()> {
        self.shared.shard(*key).remove(key);
        Ok(())
    }
    pub(crate) fn rmw(&mut self, key: u64, logic: impl FnMut(&mut [u8; N]) -> bool) -> Result<bool> {
        Ok(apply(&self.shared, key, logic))
    }
    fn defer(&mut self, waiting: Waiting<[u8; N]>) -> Ticket {
        self.next += 1;
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
        self.waiting.push((Ticket(self.next), waiting));
        Ticket(self.next)
    }
    pub(crate) fn begin_read(&mut self, key: &u64) -> Result<Begun<Option<[u8; N]>>> {
        if !key.is_multiple_of(4) {
            return Ok(Begun::Done(self.read(key)?));
        }
        let key = *key;
        Ok(Begun::Pending(self.defer(Box::new(move |shared| Outcome::Read(shared.shard(key).get(&key).copied())))))
    }
    pub(crate) fn begin_rmw(
        &mut self,
        key: u64,
        logic: impl FnMut(&mut [u8; N]) -> bool + Send + 'static,
    ) -> Result<Begun<bool>> {
        if !key.is_multiple_of(4) {
            return Ok(Begun::Done(self.rmw(key, logic)?));
        }
        Ok(Begun::Pending(self.defer(Box::new(move |shared| Outcome::Rmw(apply(shared, key, logic))))))
    }
    pub(crate) fn complete_pending(&mut self, _wait: bool) -> Result<Vec<Completed<[u8; N]>>> {
        let shared = Arc::clone(&self.shared);
        Ok(self.waiting.drain(..).map(|(ticket, run)| Completed { ticket, outcome: Ok(run(&shared)) }).collect())
    }
}
fn apply<const N: usize>(shared: &Shared<[u8; N]>, key: u64, mut logic: impl FnMut(&mut [u8; N]) -> bool) -> bool {
    let mut shard = shared.shard(key);
    let mut value = shard.get(&key).copied().unwrap_or([0; N]);
    let changed = logic(&mut value);
    if changed {
        shard.insert(key, value);
    }
    changed
}

pub(crate) fn parse_size(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(Error::new(oxifaster::ErrorKind::Config, "not a size").with("text", text)),
    };
    text[..digits]
        .parse::<u64>()
        .map(|number| number * unit)
        .map_err(|cause| Error::new(oxifaster::ErrorKind::Config, "not a size").with("text", text).because(cause))
}
pub(crate) fn format_size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
