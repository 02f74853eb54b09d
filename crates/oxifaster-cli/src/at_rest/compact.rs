//! `oxifaster compact`.

use super::options::CompactOptions;
use super::source::find;
use crate::bench::occupied;
use crate::checkpoint::place;
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::plain::{Missing, open};
use crate::units::{grouped, size};
use oxifaster::checkpoint::CheckpointToken;
use oxifaster::compaction::{CompactionConfig, CompactionReport};
use oxifaster::directory::FileDirectory;
use oxifaster::record::{Key, Value};
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use serde_json::json;
use std::time::Instant;

/// What came of it.
struct Outcome {
    checkpoint: CheckpointToken,
    report: CompactionReport,
}

pub(super) fn execute(options: &CompactOptions) -> Result<u8, Failure> {
    let found = find(&options.source, None)?;
    if options.source.log.is_none() && found.manifest.log.as_ref().is_some_and(|log| log.durable) {
        return a_durable_store(options);
    }
    let schema = found.manifest.schema;
    let Outcome { checkpoint, report } = by_size(options, &found.directory, schema.key_size, schema.value_size)?;
    if options.json {
        print_json(&json!({
            "schema": 1,
            "checkpoint": checkpoint.to_string(),
            "scanned_bytes": report.scanned,
            "scanned_records": report.records,
            "live_bytes": report.live,
            "copied_bytes": report.copied,
            "reclaimed_bytes": report.reclaimed,
            "seconds": report.seconds,
        }))?;
    } else {
        print_text(&format!(
            "looked at {} records in {:.1} s, moved {}, gave back {}\nthe newest checkpoint is {checkpoint}\n",
            grouped(report.records),
            report.seconds,
            size(report.copied),
            size(report.reclaimed),
        ))?;
    }
    Ok(0)
}

/// A store whose log goes on behind its newest checkpoint: it is opened as its program opens it.
fn a_durable_store(options: &CompactOptions) -> Result<u8, Failure> {
    if options.target.is_some() || options.threads != 1 {
        let what = "a store of oxifaster::Store is compacted as a whole, by one thread";
        return Err(Failure::usage(what, "leave --target and --threads out"));
    }
    let directory = &options.source.directory;
    let bytes = || occupied(directory).map_err(|error| Failure::path("looking at", directory, error));
    let (began, before) = (Instant::now(), bytes()?);
    let store = open(directory, Some(options.memory), Missing::Refuse)?;
    store.compact()?;
    drop(store);
    let (seconds, after) = (began.elapsed().as_secs_f64(), bytes()?);
    if options.json {
        print_json(&json!({
            "schema": 1,
            "bytes_before": before,
            "bytes_after": after,
            "reclaimed_bytes": before.saturating_sub(after),
            "seconds": seconds,
        }))?;
    } else {
        print_text(&format!("the store had {} and has {}, after {seconds:.1} s\n", size(before), size(after)))?;
    }
    Ok(0)
}

/// A store is made for keys and values of the sizes that are told: there is one in here for each of these.
fn by_size(
    options: &CompactOptions,
    directory: &FileDirectory,
    key_size: Option<u32>,
    value_size: Option<u32>,
) -> Result<Outcome, Failure> {
    let bytes = |size: Option<u32>| size.map_or("any length".to_owned(), |size| format!("{size} bytes"));
    macro_rules! of_sizes {
        ($($key:literal: $($value:literal)*;)*) => {
            match (key_size, value_size) {
                (None, None) => run::<Vec<u8>, Vec<u8>>(options, directory),
                $($((Some($key), Some($value)) => run::<[u8; $key], [u8; $value]>(options, directory),)*)*
                _ => Err(Failure::usage(
                    format!(
                        "this command has no store for keys of {} and values of {}",
                        bytes(key_size),
                        bytes(value_size)
                    ),
                    "call FasterKv::compact in a program that has the types",
                )),
            }
        };
    }
    of_sizes! {
        4: 4 8;
        8: 0 4 8 16 24 32 64 100 128 256 512 1024;
        16: 8 16 100 256 1024;
    }
}

fn run<K: Key, V: Value>(options: &CompactOptions, directory: &FileDirectory) -> Result<Outcome, Failure> {
    let config = FasterKvConfig::default().with_memory_budget(options.memory);
    let device = place::writable_log(&options.source.places()?.1)?;
    let (store, _) = FasterKv::<K, V, _>::recover_from(directory, RecoveryTarget::Latest, config, device, &|_| ())?;
    let how = CompactionConfig::default()
        .with_num_threads(options.threads)
        .with_target_utilization(options.target.unwrap_or(1.0));
    let mut report = store.compact(&how)?;
    // The old checkpoint needs what was compacted: only with it goes the space.
    let taken = store.checkpoint_to(directory, &CheckpointOptions::default().with_keep_last(1))?;
    report.reclaimed += store.look_at_checkpoints(directory)?;
    Ok(Outcome { checkpoint: taken.token, report })
}
