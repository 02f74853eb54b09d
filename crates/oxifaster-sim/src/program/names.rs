//! Keys of which most collide: they share chains, and their chains come together when the index shrinks.

use oxifaster::utility::KeyHash;
use std::sync::OnceLock;

/// So many keys are like any others.
const OTHERS: u64 = 16;
/// Tags that the rest have: the highest bits of a hash.
const TAGS: u64 = 2;
const TAG_BITS: u32 = 14;
/// Keys there are.
const KEYS: usize = 64;

/// The key of this number, which is less than 64.
pub(super) fn name(number: u64) -> u64 {
    static NAMES: OnceLock<Vec<u64>> = OnceLock::new();
    let has_few_tags = |name: &u64| KeyHash::of_bytes(&name.to_le_bytes()).get() >> (64 - TAG_BITS) < TAGS;
    let make = || (0..OTHERS).chain((OTHERS..).filter(has_few_tags)).take(KEYS).collect();
    NAMES.get_or_init(make)[number as usize]
}
