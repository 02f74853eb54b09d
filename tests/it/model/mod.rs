//! Random programs of operations against a model: one thread, several sessions, every kind of call in any order. The same
//! programs run as they are, mixed, and by each face alone; in memory, and on files read through rings and by threads.
//!
//! The store under test is as small as it can be (pages of 4 KiB, a few of them, an index of one to four buckets), so that
//! a short program takes keys through every region of the log, through overflow buckets and through saturated ones.

mod disk;
mod faces;
mod harness;
mod oracle;
mod program;

use disk::Disk;
use harness::run;
use oxifaster::record::{Key, Value};
use program::{Call, Face, Kind, Setup, Step, program, program_amid_moves, short_program};
use proptest::prelude::*;

/// As many cases as `PROPTEST_CASES` says, or `usual`.
fn cases(usual: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases: usual, ..config } }
}

fn run_by_every_face<K: Key, V: Value>(setup: &Setup, steps: &[Step], disk: &Disk) {
    run::<K, V>(setup, steps, None, disk);
    for face in Face::ALL {
        run::<K, V>(setup, steps, Some(face), disk);
    }
}

macro_rules! follows_the_model {
    ($($name:ident: $key:ty => $value:ty, $cases:literal of $program:ident on $disk:expr;)*) => { $(
        proptest! {
            #![proptest_config(cases($cases))]
            #[test]
            fn $name((setup, steps) in $program()) {
                run_by_every_face::<$key, $value>(&setup, &steps, &$disk);
            }
        }
    )* };
}

follows_the_model! {
    one_word_values_follow_the_model: u64 => u64, 64 of program on Disk::Memory;
    latched_values_follow_the_model: u64 => [u8; 100], 64 of program on Disk::Memory;
    keys_and_values_of_less_than_a_word_follow_the_model: u32 => u8, 64 of program on Disk::Memory;
    odd_keys_and_large_values_follow_the_model: [u8; 13] => [u64; 40], 64 of program on Disk::Memory;
    values_of_no_bytes_follow_the_model: u64 => (), 64 of program on Disk::Memory;
    text_and_bytes_follow_the_model: String => Vec<u8>, 96 of program on Disk::Memory;
    bytes_of_any_length_follow_the_model: Vec<u8> => Vec<u8>, 64 of program on Disk::Memory;
    one_word_values_of_keys_of_any_length_follow_the_model: Box<[u8]> => u64, 64 of program on Disk::Memory;
    latched_values_of_keys_of_any_length_follow_the_model: String => [u8; 100], 32 of program on Disk::Memory;
    values_of_any_length_of_one_word_keys_follow_the_model: u64 => Vec<u8>, 64 of program on Disk::Memory;
    one_word_values_follow_the_model_while_the_index_shrinks: u64 => u64, 96 of program_amid_moves on Disk::Memory;
    latched_values_follow_the_model_while_the_index_shrinks: u64 => [u8; 100], 64 of program_amid_moves on Disk::Memory;
    bytes_follow_the_model_while_the_index_shrinks: u64 => Vec<u8>, 64 of program_amid_moves on Disk::Memory;
    text_and_bytes_follow_the_model_while_the_index_shrinks: String => Vec<u8>, 32 of program_amid_moves on Disk::Memory;
    text_and_bytes_on_files_read_through_rings_follow_the_model: String => Vec<u8>, 32 of short_program on Disk::rings();
    text_and_bytes_on_files_read_by_threads_follow_the_model: String => Vec<u8>, 32 of short_program on Disk::threads();
    one_word_values_on_files_read_through_rings_follow_the_model: u64 => u64, 32 of short_program on Disk::rings();
    latched_values_on_files_read_through_rings_follow_the_model: u64 => [u8; 100], 32 of short_program on Disk::rings();
    one_word_values_on_files_read_by_threads_follow_the_model: u64 => u64, 32 of short_program on Disk::threads();
    latched_values_on_files_read_by_threads_follow_the_model: u64 => [u8; 100], 32 of short_program on Disk::threads();
}

/// Copies come, are renewed, and leave: the programs above go through all of that.
#[test]
fn a_program_fills_and_empties_the_read_cache_by_every_face() {
    let setup = Setup {
        pages: 4,
        table_size: 4,
        mutable_fraction: 0.3,
        max_pending: 4,
        cache_pages: Some(4),
        revives: false,
        few_tags: false,
    };
    let read = |key| Step::Call(Call { session: 0, kind: Kind::Read, keys: vec![key], seed: 3, face: Face::Single });
    let mut steps: Vec<Step> = (0..4).map(|at| Step::fill(at * 100, 100, 7)).collect();
    steps.push(Step::Evict);
    steps.extend((0..400u16).flat_map(|key| [key, key, key / 2, key.saturating_sub(90)].map(read)));
    for face in Face::ALL {
        let seen = run::<u64, [u8; 100]>(&setup, &steps, Some(face), &Disk::Memory).cache.unwrap();
        assert!(seen.added > 400 && seen.renewed > 0 && seen.pages_left > 10, "{face:?}: {seen:?}");
    }
}

/// The programs above are only worth something if they go everywhere.
#[test]
fn a_program_reaches_the_device_and_the_catch_all_chains_by_every_face() {
    for (disk, table_size) in [(Disk::Memory, 1), (Disk::rings(), 16), (Disk::threads(), 16)] {
        let setup = Setup {
            pages: 4,
            table_size,
            mutable_fraction: 0.3,
            max_pending: 4,
            cache_pages: None,
            revives: false,
            few_tags: false,
        };
        let mut steps: Vec<Step> = (0..4).map(|at| Step::fill(at * 100, 100, 7)).collect();
        steps.push(Step::HoldReads);
        let change = |key| Call { session: 0, kind: Kind::Rmw, keys: vec![key], seed: 3, face: Face::Begin };
        steps.extend((0..8).map(|at| Step::Call(change(40 + at))));
        for face in [None].into_iter().chain(Face::ALL.map(Some)) {
            let seen = run::<u64, [u8; 100]>(&setup, &steps, face, &disk);
            assert!(seen.saturated_buckets > 0 && seen.device_reads > 0, "{face:?} on {disk:?}: {seen:?}");
            let waits = matches!(face, Some(Face::Single | Face::Batch | Face::Borrowed));
            assert!(waits != (seen.was_pending > 0), "{face:?} on {disk:?}: {seen:?}");
        }
    }
}

/// Every chain is one of two that become one, also while operations of it wait for the device.
#[test]
fn a_program_brings_chains_together_by_every_face() {
    let setup = Setup {
        pages: 4,
        table_size: 1,
        mutable_fraction: 0.3,
        max_pending: 8,
        cache_pages: None,
        revives: false,
        few_tags: true,
    };
    let change = |key| Call { session: 0, kind: Kind::Rmw, keys: vec![key], seed: 3, face: Face::Begin };
    let mut steps = vec![Step::Grow(8)];
    for round in 0..3 {
        steps.extend((0..4).map(|at| Step::fill(at * 60, 60, 7 + round)));
        steps.extend([Step::Evict, Step::HoldReads]);
        steps.extend((0..8).map(|at| Step::Call(change(40 + at * 31))));
        steps.extend([Step::Shrink, Step::Complete { session: 0, wait: true }]);
        steps.extend((0..8).map(|at| Step::Call(change(40 + at * 31))));
    }
    for face in [None].into_iter().chain(Face::ALL.map(Some)) {
        let seen = run::<u64, [u8; 100]>(&setup, &steps, face, &Disk::Memory);
        assert_eq!(seen.halvings, 3, "{face:?}: {seen:?}");
    }
}
