//! Stores that are set up once and measured by many.

use crate::ROUND;
use crate::slots::Slots;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use oxifaster::device::MemoryDisk;
use oxifaster::record::Value;
use oxifaster::store::{FasterKv, FasterKvConfig, Session};
use std::fmt;
use std::sync::LazyLock;

/// Draws keys that follow no order a processor could foresee.
pub(crate) struct Keys {
    state: u64,
    count: u64,
}

impl Keys {
    pub(crate) fn new(seed: usize, count: u64) -> Self {
        Self { state: seed as u64, count }
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.state >> 32) * self.count) >> 32
    }
}

/// A session, and the keys of a round.
struct Player<V: Value> {
    session: Session<u64, V>,
    keys: Keys,
    drawn: Vec<u64>,
}

/// A store that holds the keys `0..count`, and a session for each thread.
pub(crate) struct Stage<V: Value> {
    pub(crate) store: FasterKv<u64, V, MemoryDisk>,
    pub(crate) count: u64,
    players: Slots<Player<V>>,
}

impl<V: Value> Stage<V> {
    /// A store with `budget` bytes of memory; beyond that, its device is memory.
    pub(crate) fn new(count: u64, budget: u64, value: impl Fn(u64) -> V) -> Self {
        let config = FasterKvConfig::default().with_memory_budget(budget).with_table_size(count / 4);
        let store = FasterKv::open(config, MemoryDisk::new()).unwrap();
        let mut session = store.start_session();
        for key in 0..count {
            session.upsert(key, value(key)).unwrap();
        }
        let players = Slots::new(|seed| Player {
            session: store.start_session(),
            keys: Keys::new(seed, count),
            drawn: Vec::with_capacity(ROUND),
        });
        Self { store, count, players }
    }

    /// Draws the keys of a round and runs `round` with them.
    pub(crate) fn play<R>(&self, round: impl FnOnce(&mut Session<u64, V>, &[u64]) -> R) -> R {
        self.players.with(|Player { session, keys, drawn }| {
            drawn.clear();
            drawn.extend((0..ROUND).map(|_| keys.draw()));
            round(session, drawn)
        })
    }

    /// Measures a round of `operation`.
    pub(crate) fn measure<R>(
        &self,
        bencher: Bencher<'_, '_>,
        operation: impl Fn(&mut Session<u64, V>, u64) -> R + Sync,
    ) {
        bencher.counter(ItemsCount::new(ROUND)).bench(|| {
            self.play(|session, keys| {
                for key in keys {
                    black_box(operation(session, *key));
                }
            });
        });
    }
}

/// How many keys, all in memory.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    /// Index and records are in the caches of the processor.
    Cached,
    /// They are not.
    Large,
}

impl Size {
    pub(crate) const ALL: [Self; 2] = [Self::Cached, Self::Large];

    fn open(self) -> Stage<u64> {
        match self {
            Self::Cached => Stage::new(4_000, 16 << 20, |key| key),
            Self::Large => Stage::new(2_000_000, 256 << 20, |key| key),
        }
    }

    /// The store of this size, in which the value of a key is the key. All its records stay where they are.
    pub(crate) fn stage(self) -> &'static Stage<u64> {
        static CACHED: LazyLock<Stage<u64>> = LazyLock::new(|| Size::Cached.open());
        static LARGE: LazyLock<Stage<u64>> = LazyLock::new(|| Size::Large.open());
        match self {
            Self::Cached => &CACHED,
            Self::Large => &LARGE,
        }
    }

    /// Another store of this size, for what makes its log grow.
    pub(crate) fn growing_stage(self) -> &'static Stage<u64> {
        static CACHED: LazyLock<Stage<u64>> = LazyLock::new(|| Size::Cached.open());
        static LARGE: LazyLock<Stage<u64>> = LazyLock::new(|| Size::Large.open());
        match self {
            Self::Cached => &CACHED,
            Self::Large => &LARGE,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cached => "4 k keys",
            Self::Large => "2 M keys",
        })
    }
}
