//! Random programs.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// How the store is set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) pages: u64,
    pub(super) table_size: u64,
    pub(super) mutable_fraction: f64,
    pub(super) max_pending: usize,
}

/// One call. Sessions are numbered modulo those there are.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Read {
        session: u8,
        key: u16,
    },
    Upsert {
        session: u8,
        key: u16,
        seed: u8,
    },
    Rmw {
        session: u8,
        key: u16,
        seed: u8,
        veto: bool,
    },
    Insert {
        session: u8,
        key: u16,
        seed: u8,
    },
    Delete {
        session: u8,
        key: u16,
    },
    ReadBatch {
        session: u8,
        keys: Vec<u16>,
    },
    UpsertBatch {
        session: u8,
        keys: Vec<u16>,
        seed: u8,
    },
    RmwBatch {
        session: u8,
        keys: Vec<u16>,
        seed: u8,
    },
    DeleteBatch {
        session: u8,
        keys: Vec<u16>,
    },
    BeginRead {
        session: u8,
        key: u16,
    },
    BeginRmw {
        session: u8,
        key: u16,
        seed: u8,
        veto: bool,
    },
    BeginInsert {
        session: u8,
        key: u16,
        seed: u8,
    },
    Complete {
        session: u8,
        wait: bool,
    },
    /// Upserts of neighbouring keys, to push everything else towards the device.
    Fill {
        from: u16,
        count: u16,
        seed: u8,
    },
    Flush,
    Evict,
    /// Reads of the device are held back until a call has to wait for one.
    HoldReads,
    Start,
    Drop {
        session: u8,
    },
}

/// Keys that `Fill` does not touch.
pub(super) const FEW_KEYS: u16 = 40;
const ALL_KEYS: u16 = 300;

fn step(keys: u16) -> impl Strategy<Value = Step> {
    let key = move || 0..keys;
    let batch = move || vec(0..keys, 1..12);
    let one = (any::<u8>(), key(), any::<u8>(), proptest::bool::weighted(0.2));
    let many = (any::<u8>(), batch(), any::<u8>());
    prop_oneof![
        12 => one.clone().prop_map(|(session, key, ..)| Step::Read { session, key }),
        12 => one.clone().prop_map(|(session, key, seed, _)| Step::Upsert { session, key, seed }),
        12 => one.clone().prop_map(|(session, key, seed, veto)| Step::Rmw { session, key, seed, veto }),
        8 => one.clone().prop_map(|(session, key, seed, _)| Step::Insert { session, key, seed }),
        8 => one.clone().prop_map(|(session, key, ..)| Step::Delete { session, key }),
        2 => many.clone().prop_map(|(session, keys, _)| Step::ReadBatch { session, keys }),
        1 => many.clone().prop_map(|(session, keys, seed)| Step::UpsertBatch { session, keys, seed }),
        1 => many.clone().prop_map(|(session, keys, seed)| Step::RmwBatch { session, keys, seed }),
        1 => many.prop_map(|(session, keys, _)| Step::DeleteBatch { session, keys }),
        12 => one.clone().prop_map(|(session, key, ..)| Step::BeginRead { session, key }),
        12 => one.clone().prop_map(|(session, key, seed, veto)| Step::BeginRmw { session, key, seed, veto }),
        8 => one.prop_map(|(session, key, seed, _)| Step::BeginInsert { session, key, seed }),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(session, wait)| Step::Complete { session, wait }),
        4 => (FEW_KEYS..ALL_KEYS, 1..100u16, any::<u8>())
            .prop_map(|(from, count, seed)| Step::Fill { from, count, seed }),
        2 => Just(Step::Flush),
        4 => Just(Step::Evict),
        3 => Just(Step::HoldReads),
        2 => Just(Step::Start),
        2 => any::<u8>().prop_map(|session| Step::Drop { session }),
    ]
}

/// A set-up and a program for it, over few keys or over many.
pub(super) fn program() -> impl Strategy<Value = (Setup, Vec<Step>)> {
    let setup = (4..=8u64, select(vec![1u64, 2, 4, 32]), select(vec![0.0, 0.3, 0.9, 1.0]), select(vec![1usize, 2, 8]))
        .prop_map(|(pages, table_size, mutable_fraction, max_pending)| Setup {
            pages,
            table_size,
            mutable_fraction,
            max_pending,
        });
    let keys = select(vec![3, FEW_KEYS, ALL_KEYS]);
    (setup, keys.prop_flat_map(|keys| vec(step(keys), 1..120)))
}
