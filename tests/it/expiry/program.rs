//! Random programs of calls on values that end.

use proptest::prelude::*;
use std::fmt::Debug;
use std::time::Duration;

/// What a call does to a key, or to the store. What is done in which of several ways follows from the `how` of a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Read,
    /// With a time to live, or for good.
    Upsert(Option<u16>),
    Delete,
    /// A read-modify-write that leaves the expiry as it is, or sets it.
    Change(Option<u16>),
    /// Of a value that lives for so long, if there is none.
    Insert(Option<u16>),
    /// A change or a deletion on a condition that holds, or not.
    Conditional(bool, Option<u16>),
    Merge,
    /// A transaction over this key and the next one.
    Transact,
    Expire(u16),
    Persist,
    TimeToLive,
    Advance(u16),
    Evict,
    Flush,
    /// Up to so many sixteenths of the log.
    Compact(u8),
    Checkpoint,
    Recover,
    Scan,
}

/// A call on a key, made in one of several ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) call: Call,
    pub(super) key: u64,
    pub(super) seed: u8,
    pub(super) how: u8,
}

pub(super) fn in_ms(ms: u16) -> Duration {
    Duration::from_millis(u64::from(ms))
}

/// As long as the clock is moved on by in a few steps.
fn ttl() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 1u16..60, 1 => Just(0), 1 => 60u16..1000]
}

fn maybe_ttl() -> impl Strategy<Value = Option<u16>> {
    proptest::option::weighted(0.7, ttl())
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        12 => Just(Call::Read),
        10 => maybe_ttl().prop_map(Call::Upsert),
        3 => Just(Call::Delete),
        8 => maybe_ttl().prop_map(Call::Change),
        5 => maybe_ttl().prop_map(Call::Insert),
        6 => (any::<bool>(), maybe_ttl()).prop_map(|(holds, ttl)| Call::Conditional(holds, ttl)),
        2 => Just(Call::Merge),
        2 => Just(Call::Transact),
        4 => ttl().prop_map(Call::Expire),
        2 => Just(Call::Persist),
        3 => Just(Call::TimeToLive),
        9 => (0u16..40).prop_map(Call::Advance),
        3 => Just(Call::Evict),
        2 => Just(Call::Flush),
        3 => (1u8..=16).prop_map(Call::Compact),
        1 => Just(Call::Checkpoint),
        1 => Just(Call::Recover),
        2 => Just(Call::Scan),
    ]
}

/// Calls on a dozen keys, of which several share a chain.
pub(super) fn program() -> impl Strategy<Value = Vec<Step>> {
    let step = (call(), 0u64..12, any::<u8>(), any::<u8>());
    proptest::collection::vec(step.prop_map(|(call, key, seed, how)| Step { call, key, seed, how }), 1..160)
}
