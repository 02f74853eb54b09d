//! Random programs on stores whose keys share chains, against a map.

use super::*;
use crate::cache::ReadCacheConfig;
use crate::checkpoint::CheckpointKind;
use crate::directory::MemoryDirectory;
use crate::store::{CheckpointOptions, RecoveryTarget};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Call {
    Upsert(usize, u64),
    Delete(usize),
    Add(usize),
    Insert(usize, u64),
    Read(usize),
    Flush,
    Evict,
    /// Up to this share of the log, in tenths.
    Compact(u64),
    Checkpoint(CheckpointKind),
    /// Doubles the index, if it may become so large.
    Grow,
    /// Halves it, if it has room for all then.
    Shrink,
    /// Pages in memory, and tenths of them that are updated in place.
    Resize(u64, u64),
    /// Gives up what came after the newest checkpoint.
    Recover,
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0usize..24;
    let kind = prop_oneof![
        Just(CheckpointKind::FoldOver),
        Just(CheckpointKind::Snapshot),
        Just(CheckpointKind::Incremental),
        Just(CheckpointKind::Index)
    ];
    prop_oneof![
        12 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Call::Upsert(key, value)),
        6 => key.clone().prop_map(Call::Delete),
        6 => key.clone().prop_map(Call::Add),
        4 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Call::Insert(key, value)),
        6 => key.prop_map(Call::Read),
        1 => Just(Call::Flush),
        3 => Just(Call::Evict),
        5 => (0u64..=10).prop_map(Call::Compact),
        2 => kind.prop_map(Call::Checkpoint),
        1 => Just(Call::Recover),
        2 => Just(Call::Grow),
        2 => Just(Call::Shrink),
        2 => (4u64..=6, 0u64..=10).prop_map(|(pages, tenths)| Call::Resize(pages, tenths)),
    ]
}

/// The largest index.
const TABLE_MAX: u64 = 64;

struct Run {
    disk: Shredder,
    directory: MemoryDirectory,
    config: FasterKvConfig,
    keys: Vec<u64>,
    store: Option<Store>,
    oracle: Oracle,
    /// What the newest checkpoint holds, if there is one.
    saved: Option<Oracle>,
}

impl Run {
    fn new(config: FasterKvConfig) -> Self {
        let disk = Shredder::new();
        let store = Some(FasterKv::open(config.clone(), disk.clone()).unwrap());
        Self {
            disk,
            directory: MemoryDirectory::new(),
            config,
            keys: keys(24),
            store,
            oracle: Oracle::new(),
            saved: None,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn make(&mut self, call: &Call) {
        let mut session = self.store().start_session();
        match *call {
            Call::Upsert(key, value) => {
                session.upsert(self.keys[key], value).unwrap();
                self.oracle.insert(self.keys[key], value);
            }
            Call::Delete(key) => {
                session.delete(&self.keys[key]).unwrap();
                self.oracle.remove(&self.keys[key]);
            }
            Call::Add(key) => {
                session
                    .rmw(self.keys[key], |value| {
                        *value = value.wrapping_add(1);
                        true
                    })
                    .unwrap();
                let value = self.oracle.entry(self.keys[key]).or_default();
                *value = value.wrapping_add(1);
            }
            Call::Insert(key, value) => {
                let is_new = !self.oracle.contains_key(&self.keys[key]);
                assert_eq!(session.insert(self.keys[key], value).unwrap(), is_new);
                self.oracle.entry(self.keys[key]).or_insert(value);
            }
            Call::Read(key) => {
                assert_eq!(session.read(&self.keys[key]).unwrap(), self.oracle.get(&self.keys[key]).copied());
            }
            Call::Flush => self.store().flush().unwrap(),
            Call::Evict => self.store().evict().unwrap(),
            Call::Compact(tenths) => {
                let at = self.store().addresses();
                let until = at.begin.get() + (at.tail.get() - at.begin.get()) * tenths / 10;
                self.store().log_compact_until(Address::new(until)).unwrap();
            }
            Call::Checkpoint(kind) => {
                let options = CheckpointOptions::default().with_kind(kind).with_keep_last(2);
                self.store().checkpoint_to(&self.directory, &options).unwrap();
                if kind != CheckpointKind::Index {
                    self.saved = Some(self.oracle.clone());
                }
            }
            Call::Grow => {
                let buckets = self.store().index_stats().buckets;
                if buckets < TABLE_MAX {
                    self.store().grow_index(buckets * 2).unwrap();
                }
            }
            Call::Shrink => self.shrink(),
            Call::Resize(pages, tenths) => {
                self.store().set_log_memory(pages << 12).unwrap();
                self.store().set_mutable_fraction(tenths as f64 / 10.0).unwrap();
            }
            Call::Recover => {
                let Some(saved) = self.saved.clone() else { return };
                drop(session);
                self.store = None;
                let (config, disk) = (self.config.clone(), self.disk.clone());
                let recovered =
                    FasterKv::recover_from(&self.directory, RecoveryTarget::Latest, config, disk, &|_| ()).unwrap();
                self.store = Some(recovered.0);
                self.oracle = saved;
                self.check();
            }
        }
    }

    fn shrink(&self) {
        let buckets = self.store().index_stats().buckets;
        if let Err(error) = self.store().shrink_index(buckets / 2) {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        }
    }

    fn check(&self) {
        assert_holds(&mut self.store().start_session(), &self.keys, &self.oracle);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_call_sees_a_compaction(calls in prop::collection::vec(call(), 1..120)) {
        let mut run = Run::new(config().with_table_size_max(TABLE_MAX).with_index_shrinking(true));
        for call in &calls {
            run.make(call);
        }
        run.check();
        run.make(&Call::Compact(10));
        run.check();
    }

    #[test]
    fn no_call_sees_a_compaction_with_a_read_cache(calls in prop::collection::vec(call(), 1..120)) {
        let cache = ReadCacheConfig::default().with_mem_size(4 << 12);
        let mut run = Run::new(config().with_table_size_max(TABLE_MAX).with_index_shrinking(true).with_read_cache(cache));
        for call in &calls {
            run.make(call);
        }
        run.check();
        run.make(&Call::Compact(10));
        run.check();
    }
}
