//! Key after key: the loops of engines that know single calls only.

use super::engine::{counter_of, is_read};
use crate::value;

/// Reads all keys with `read`; returns how many were missing or wrong.
#[inline(always)]
pub(super) fn read(keys: &[u64], mut read: impl FnMut(u64) -> Option<u64>) -> u64 {
    keys.iter().map(|key| value::judge_short(*key, read(*key))).sum()
}

/// Upserts all keys with `upsert`.
#[inline(always)]
pub(super) fn upsert(keys: &[u64], counter: u64, mut upsert: impl FnMut(u64, u64)) {
    for key in keys {
        upsert(*key, value::short(*key, counter));
    }
}

/// Reads or upserts each key.
#[inline(always)]
pub(super) fn mixed(
    keys: &[u64],
    counter: u64,
    mut read: impl FnMut(u64) -> Option<u64>,
    mut upsert: impl FnMut(u64, u64),
) -> u64 {
    let mut wrong = 0;
    for (at, key) in keys.iter().enumerate() {
        if is_read(*key, at, counter) {
            wrong += value::judge_short(*key, read(*key));
        } else {
            upsert(*key, value::short(*key, counter));
        }
    }
    wrong
}

/// The counters of all keys.
pub(super) fn counters(keys: &[u64], mut read: impl FnMut(u64) -> Option<u64>) -> Vec<Option<u64>> {
    keys.iter().map(|key| counter_of(*key, read(*key))).collect()
}
