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
    /// Pages of a read cache, if there is one.
    pub(super) cache_pages: Option<u64>,
    /// Whether space is used again.
    pub(super) revives: bool,
    /// Keys of eight bytes are such that they have two tags between them: chains are long, and those of two buckets often of one tag.
    pub(super) few_tags: bool,
}

/// What a call does with each of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Upsert,
    Rmw,
    Insert,
    Delete,
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// Key after key, each waiting for its end.
    Single,
    /// All keys in one call.
    Batch,
    /// With what stays with the caller, and bytes in place of values.
    Borrowed,
    /// Begun and left; the outcome comes with a ticket.
    Begin,
    /// As futures, polled once and left.
    Future,
}

impl Face {
    pub(super) const ALL: [Self; 5] = [Self::Single, Self::Batch, Self::Borrowed, Self::Begin, Self::Future];
}

/// The same for several keys. Sessions are numbered modulo those there are.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) session: u8,
    pub(super) kind: Kind,
    pub(super) keys: Vec<u16>,
    pub(super) seed: u8,
    pub(super) face: Face,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Call(Call),
    Complete {
        session: u8,
        wait: bool,
    },
    Flush,
    Evict,
    /// The index becomes so many times as large.
    Grow(u64),
    /// It becomes half as large, if it can.
    Shrink,
    /// So many tenths of the log are compacted.
    Compact(u64),
    /// Reads of the device are held back until a call has to wait for one.
    HoldReads,
    Start,
    /// A session ends. What it has begun is given up, its futures only if they do not go on without it.
    Drop {
        session: u8,
        keep_futures: bool,
    },
}

impl Step {
    /// Upserts of neighbouring keys that few other calls touch, to push everything else towards the device.
    pub(super) fn fill(from: u16, count: u16, seed: u8) -> Self {
        let keys = (from..from + count).map(|key| FEW_KEYS + key).collect();
        Self::Call(Call { session: 0, kind: Kind::Upsert, keys, seed, face: Face::Single })
    }
}

const FEW_KEYS: u16 = 40;
const ALL_KEYS: u16 = 300;
/// Batches take their keys in groups of 32: some programs need more than one.
const KEYS_OF_A_BATCH: std::ops::Range<usize> = 1..40;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Read),
        2 => Just(Kind::Upsert),
        3 => Just(Kind::Rmw),
        2 => Just(Kind::Insert),
        2 => Just(Kind::Delete),
    ]
}

fn step(keys: u16) -> impl Strategy<Value = Step> {
    let call = move |count| {
        (any::<u8>(), kind(), vec(0..keys, count), any::<u8>(), select(Face::ALL.to_vec()))
            .prop_map(|(session, kind, keys, seed, face)| Step::Call(Call { session, kind, keys, seed, face }))
    };
    prop_oneof![
        80 => call(1..2),
        6 => call(KEYS_OF_A_BATCH),
        6 => (any::<u8>(), any::<bool>()).prop_map(|(session, wait)| Step::Complete { session, wait }),
        4 => (0..ALL_KEYS, 1..100u16, any::<u8>()).prop_map(|(from, count, seed)| Step::fill(from, count, seed)),
        2 => Just(Step::Flush),
        4 => Just(Step::Evict),
        3 => Just(Step::HoldReads),
        2 => Just(Step::Start),
        2 => any::<(u8, bool)>().prop_map(|(session, keep_futures)| Step::Drop { session, keep_futures }),
    ]
}

/// The same, and now and then the index gets another size, or records are moved.
fn step_amid_moves(keys: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => step(keys),
        3 => select(vec![2u64, 4, 8]).prop_map(Step::Grow),
        8 => Just(Step::Shrink),
        2 => (1..=10u64).prop_map(Step::Compact),
    ]
}

/// A set-up with one of these index sizes.
fn setup_on(table_sizes: &[u64]) -> impl Strategy<Value = Setup> + use<> {
    let table_size = select(table_sizes.to_vec());
    let (fraction, max_pending) = (select(vec![0.0, 0.3, 0.9, 1.0]), select(vec![1usize, 2, 8]));
    let cache_pages = select(vec![None, Some(4), Some(8)]);
    (4..=8u64, table_size, fraction, max_pending, cache_pages, any::<bool>()).prop_map(
        |(pages, table_size, mutable_fraction, max_pending, cache_pages, revives)| Setup {
            pages,
            table_size,
            mutable_fraction,
            max_pending,
            cache_pages,
            revives,
            few_tags: false,
        },
    )
}

/// A set-up with one of these index sizes, and a program of at most so many steps for it, over few keys or over many.
fn program_on(table_sizes: &[u64], steps_max: usize) -> impl Strategy<Value = (Setup, Vec<Step>)> + use<> {
    let (setup, keys) = (setup_on(table_sizes), select(vec![3, FEW_KEYS, ALL_KEYS]));
    (setup, keys.prop_flat_map(move |keys| vec(step(keys), 1..steps_max)))
}

/// For an index that grows and shrinks: most keys share a chain with others.
pub(super) fn program_amid_moves() -> impl Strategy<Value = (Setup, Vec<Step>)> {
    let setup = (setup_on(&[1, 2, 4]), any::<bool>());
    let setup = setup.prop_map(|(setup, few_tags)| Setup { revives: false, few_tags, ..setup });
    let keys = select(vec![3, FEW_KEYS, ALL_KEYS]);
    (setup, keys.prop_flat_map(|keys| vec(step_amid_moves(keys), 1..160)))
}

pub(super) fn program() -> impl Strategy<Value = (Setup, Vec<Step>)> {
    program_on(&[1, 2, 4, 32], 120)
}

/// For devices whose reads take time: chains are short, which leaves a read or two for a key.
pub(super) fn short_program() -> impl Strategy<Value = (Setup, Vec<Step>)> {
    program_on(&[16, 64], 60)
}
