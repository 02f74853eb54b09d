//! Random programs of operations against a model: one thread, several sessions, every kind of call in any order.
//!
//! The store under test is as small as it can be (pages of 4 KiB, a few of them, an index of one to four buckets), so that
//! a short program takes keys through every region of the log, through overflow buckets and through saturated ones.

mod harness;
mod oracle;
mod program;

use harness::run;
use program::{Setup, program};
use proptest::prelude::*;

macro_rules! follows_the_model {
    ($($name:ident: $key:ty => $value:ty;)*) => { $(
        proptest! {
            #[test]
            fn $name((setup, steps) in program()) {
                run::<$key, $value>(setup, &steps);
            }
        }
    )* };
}

follows_the_model! {
    one_word_values_follow_the_model: u64 => u64;
    latched_values_follow_the_model: u64 => [u8; 100];
    keys_and_values_of_less_than_a_word_follow_the_model: u32 => u8;
    odd_keys_and_large_values_follow_the_model: [u8; 13] => [u64; 40];
    values_of_no_bytes_follow_the_model: u64 => ();
}

/// The programs above are only worth something if they go everywhere.
#[test]
fn a_program_reaches_the_device_and_the_catch_all_chains() {
    use program::Step;
    let setup = Setup { pages: 4, table_size: 1, mutable_fraction: 0.3, max_pending: 4 };
    let mut steps: Vec<Step> = (0..4).map(|at| Step::Fill { from: at * 100, count: 100, seed: 7 }).collect();
    steps.extend((0..8).map(|key| Step::BeginRmw { session: 0, key, seed: 3, veto: false }));
    let seen = run::<u64, [u8; 100]>(setup, &steps);
    assert!(seen.was_pending > 0 && seen.saturated_buckets > 0 && seen.device_reads > 0, "{seen:?}");
}
