//! What the environment says about the ways through the library is what happens.

use super::alone::alone;
use oxifaster::device::MemoryDisk;
use oxifaster::store::{FasterKv, FasterKvConfig};

/// How entries are compared in this process, once a store has been used.
fn tag_match() -> &'static str {
    let config = FasterKvConfig::default().with_memory_budget(1 << 20);
    let store = FasterKv::open(config, MemoryDisk::new()).unwrap();
    let mut session = store.start_session();
    (0..1_000u64).for_each(|key| session.upsert(key, key).unwrap());
    (0..1_000).for_each(|key| assert_eq!(session.read(&key).unwrap(), Some(key)));
    store.stats().tag_match
}

/// True if this processor can compare in this way.
fn has(way: &str) -> bool {
    match way {
        "portable" => true,
        #[cfg(target_arch = "x86_64")]
        "sse4.1" => is_x86_feature_detected!("sse4.1"),
        #[cfg(target_arch = "x86_64")]
        "avx512" => is_x86_feature_detected!("avx512f"),
        _ => false,
    }
}

macro_rules! compares_by {
    ($($name:ident: $setting:literal => $allowed:expr;)*) => { $(
        #[test]
        fn $name() {
            if alone(concat!("paths::", stringify!($name)), &[("OXIFASTER_TAG_MATCH", $setting)]) {
                // From the least to the best.
                let expected = $allowed.into_iter().rfind(|way| has(way));
                assert_eq!(Some(tag_match()), expected);
            }
        }
    )* };
}

compares_by! {
    entries_are_compared_one_by_one_if_the_environment_says_so: "portable" => ["portable"];
    entries_are_compared_by_short_vectors_if_the_environment_says_so: "sse4.1" => ["portable", "sse4.1"];
    more_than_the_processor_has_is_the_best_it_has: "avx512" => ["portable", "sse4.1", "avx512"];
    what_is_not_understood_changes_nothing: "avx1024" => ["portable", "sse4.1", "avx512"];
}
