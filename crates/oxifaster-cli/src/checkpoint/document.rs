//! What is known of checkpoints, as documents: the schemas of `--json`.
//!
//! Fields may be added; a field that is removed or changes its meaning raises `schema`.

use super::moment::utc;
use oxifaster::checkpoint::{Broken, Defect, Manifest, RecordCounts, VerifyReport};
use serde::Serialize;

const SCHEMA: u32 = 1;

/// What every document begins with.
#[derive(Debug, Serialize)]
pub(super) struct Head {
    schema: u32,
    oxifaster_version: &'static str,
    directory: String,
}

impl Head {
    pub(super) fn new(directory: String) -> Self {
        Self { schema: SCHEMA, oxifaster_version: env!("CARGO_PKG_VERSION"), directory }
    }
}

/// `oxifaster checkpoint list`.
#[derive(Debug, Serialize)]
pub(super) struct ListDocument {
    #[serde(flatten)]
    pub(super) head: Head,
    /// From the oldest to the newest.
    pub(super) checkpoints: Vec<Entry>,
    /// Manifests that cannot be read.
    pub(super) broken: Vec<BrokenFile>,
    /// Files that no manifest names.
    pub(super) unclaimed: Vec<String>,
}

/// A checkpoint by its manifest.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) checkpoint: String,
    pub(super) kind: &'static str,
    pub(super) version: u64,
    pub(super) created_ms: u64,
    pub(super) created_utc: Option<String>,
    pub(super) base: Option<String>,
    pub(super) key_size: Option<u32>,
    pub(super) value_size: Option<u32>,
    pub(super) expires: bool,
    pub(super) page_bits: u32,
    pub(super) log: Option<LogEntry>,
    pub(super) index: Option<IndexEntry>,
    pub(super) sessions: usize,
    pub(super) files: Vec<String>,
    /// What is wrong with its files, if anything is.
    pub(super) problem: Option<String>,
    /// True if the store went back to an older state and wrote over it.
    pub(super) given_up: bool,
}

/// The log of a checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct LogEntry {
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Bytes of the log on its device, without what blocks add.
    pub(super) on_device_bytes: u64,
    /// Bytes of the log in files.
    pub(super) in_files_bytes: u64,
}

/// The image of the index in a checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct IndexEntry {
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) buckets: u64,
    pub(super) overflow_buckets: u64,
    pub(super) replay_from: u64,
    pub(super) complete_at: u64,
}

impl Entry {
    pub(super) fn new(manifest: &Manifest, problem: Option<String>) -> Self {
        let log = manifest.log.as_ref().map(|log| {
            let bytes = |in_file: bool| {
                let pieces = log.pieces.iter().filter(|piece| piece.file.is_some() == in_file);
                pieces.map(|piece| piece.to.get() - piece.from.max(log.begin).get()).sum()
            };
            LogEntry {
                begin: log.begin.get(),
                end: log.end.get(),
                on_device_bytes: bytes(false),
                in_files_bytes: bytes(true),
            }
        });
        let index = manifest.index.as_ref().map(|index| IndexEntry {
            file: index.file.clone(),
            bytes: index.bytes,
            buckets: index.buckets,
            overflow_buckets: index.overflow_buckets,
            replay_from: index.replay_from.get(),
            complete_at: index.complete_at.get(),
        });
        Self {
            checkpoint: manifest.token.to_string(),
            kind: manifest.kind.name(),
            version: manifest.version,
            created_ms: manifest.created,
            created_utc: utc(manifest.created),
            base: manifest.base.map(|token| token.to_string()),
            key_size: manifest.schema.key_size,
            value_size: manifest.schema.value_size,
            expires: manifest.schema.expires,
            page_bits: manifest.schema.page_bits,
            log,
            index,
            sessions: manifest.sessions.len(),
            files: manifest.files(),
            problem,
            given_up: false,
        }
    }
}

/// A manifest that cannot be read.
#[derive(Debug, Serialize)]
pub(super) struct BrokenFile {
    pub(super) file: String,
    pub(super) problem: String,
}

impl From<&Broken> for BrokenFile {
    fn from(broken: &Broken) -> Self {
        Self { file: broken.file.clone(), problem: broken.error.to_string() }
    }
}

/// `oxifaster checkpoint verify`.
#[derive(Debug, Serialize)]
pub(super) struct VerifyDocument {
    #[serde(flatten)]
    pub(super) head: Head,
    pub(super) log: Option<String>,
    pub(super) sound: bool,
    /// False if something was not looked at, on purpose or because it cannot be.
    pub(super) complete: bool,
    pub(super) checkpoints: Vec<Verdict>,
    /// What stands in the way of a newer checkpoint than those.
    pub(super) passed_over: Vec<BrokenFile>,
    /// Checkpoints that were not asked for.
    pub(super) not_asked_for: usize,
}

/// What the verification of one checkpoint found.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) checkpoint: String,
    pub(super) sound: bool,
    pub(super) complete: bool,
    pub(super) manifest: Option<Entry>,
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    pub(super) unchecked_bytes: u64,
    pub(super) records: RecordsEntry,
    pub(super) large_values: LargeValuesEntry,
    pub(super) seconds: f64,
    pub(super) defects: Vec<DefectEntry>,
    pub(super) further_defects: u64,
}

/// `oxifaster checkpoint recover-test`.
#[derive(Debug, Serialize)]
pub(super) struct RecoverTestDocument {
    #[serde(flatten)]
    pub(super) head: Head,
    pub(super) log: Option<String>,
    pub(super) checkpoint: String,
    pub(super) version: u64,
    /// Records that were replayed into the index.
    pub(super) records: u64,
    pub(super) sessions: Vec<SessionEntry>,
    /// The image of the index that was used; the whole log was replayed if there is none.
    pub(super) image: Option<String>,
    /// Why an image could not be used.
    pub(super) image_problem: Option<String>,
    pub(super) index_buckets: u64,
    pub(super) overflow_buckets: u64,
    pub(super) bytes_verified: u64,
    /// What came after the checkpoint, in a durable store.
    pub(super) suffix: Option<SuffixEntry>,
    pub(super) seconds: f64,
}

/// How far a session had come.
#[derive(Debug, Serialize)]
pub(super) struct SessionEntry {
    pub(super) guid: String,
    pub(super) serial: u64,
}

/// The part of a log behind its newest checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct SuffixEntry {
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Why it ends there: `nothing`, `torn` or `other-history`.
    pub(super) ended: &'static str,
}

/// The records of a log.
#[derive(Debug, Serialize)]
pub(super) struct RecordsEntry {
    pub(super) values: u64,
    pub(super) tombstones: u64,
    pub(super) invalid: u64,
    pub(super) aborted: u64,
    pub(super) fragments: u64,
}

/// What became of following the roots of large values.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct LargeValuesEntry {
    pub(super) values: u64,
    pub(super) bytes: u64,
    pub(super) replaced: u64,
    pub(super) unchecked: u64,
    pub(super) damaged: u64,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct DefectEntry {
    /// The file, or `log device`.
    pub(super) place: String,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) what: String,
}

impl Verdict {
    pub(super) fn new(report: &VerifyReport, seconds: f64) -> Self {
        let RecordCounts { values, tombstones, invalid, aborted, fragments, .. } = report.records;
        let large = report.large_values;
        Self {
            checkpoint: report.token.to_string(),
            sound: report.is_sound(),
            complete: report.is_complete(),
            manifest: report.manifest.as_ref().map(|manifest| Entry::new(manifest, None)),
            blocks: report.blocks,
            bytes: report.bytes,
            unchecked_bytes: report.unchecked_bytes,
            records: RecordsEntry { values, tombstones, invalid, aborted, fragments },
            large_values: LargeValuesEntry {
                values: large.values,
                bytes: large.bytes,
                replaced: large.replaced,
                unchecked: large.unchecked,
                damaged: large.damaged,
            },
            seconds,
            defects: report.defects.iter().map(DefectEntry::from).collect(),
            further_defects: report.further_defects,
        }
    }
}

impl From<&Defect> for DefectEntry {
    fn from(defect: &Defect) -> Self {
        let (offset, bytes) = (defect.offset, defect.bytes);
        Self { place: defect.place().to_owned(), offset, bytes, what: defect.what.clone() }
    }
}
