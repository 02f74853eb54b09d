//! `oxifaster compact`.

use super::options::CompactOptions;
use super::source::find;
use crate::checkpoint::place;
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::units::{grouped, size};
use oxifaster::checkpoint::{CheckpointToken, Schema};
use oxifaster::compaction::{CompactionConfig, CompactionReport};
use oxifaster::directory::FileDirectory;
use oxifaster::record::{Expiring, Key, Value};
use oxifaster::store::{CheckpointOptions, FasterKv, FasterKvConfig, RecoveryTarget};
use serde_json::json;

/// What came of it.
struct Outcome {
    checkpoint: CheckpointToken,
    report: CompactionReport,
}

pub(super) fn execute(options: &CompactOptions) -> Result<u8, Failure> {
    let found = find(&options.source, None)?;
    let schema = found.manifest.schema;
    let Outcome { checkpoint, report } = by_size(options, &found.directory, schema)?;
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

/// A store is made for keys and values of the sizes that are told: there is one in here for each of these.
fn by_size(options: &CompactOptions, directory: &FileDirectory, schema: Schema) -> Result<Outcome, Failure> {
    let bytes = |size: Option<u32>| size.map_or("any length".to_owned(), |size| format!("{size} bytes"));
    macro_rules! of_sizes {
        ($($key:literal: $($value:literal)*;)*) => {
            match (schema.key_size, schema.value_size, schema.expires) {
                (None, None, false) => run::<Vec<u8>, Vec<u8>>(options, directory),
                (None, None, true) => run::<Vec<u8>, Expiring<Vec<u8>>>(options, directory),
                $($((Some($key), Some($value), false) => run::<[u8; $key], [u8; $value]>(options, directory),)*)*
                _ => Err(Failure::usage(
                    format!(
                        "this command has no store for keys of {} and values of {}{}",
                        bytes(schema.key_size),
                        bytes(schema.value_size),
                        if schema.expires { " that may end" } else { "" }
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
    let device = place::writable_log(&options.source.log)?;
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
