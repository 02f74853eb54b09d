//! `oxifaster inspect`.

use super::options::InspectOptions;
use super::picture;
use super::source::{find, records};
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::units::{grouped, size};
use oxifaster::address::Address;
use oxifaster::checkpoint::Manifest;
use oxifaster::scan::RawRecord;
use oxifaster::utility::KeyHash;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Write};

/// Entries of a bucket.
const ENTRIES: u64 = 7;
/// Characters of the longest bar.
const BAR: u64 = 40;

/// What is in a store.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema: u32,
    checkpoint: String,
    kind: &'static str,
    version: u64,
    key_size: Option<u32>,
    value_size: Option<u32>,
    /// Whether values may end.
    expires: bool,
    page_size: u64,
    pub(super) regions: Vec<Region>,
    pub(super) log: Contents,
    /// Number of records by their size in bytes.
    pub(super) record_sizes: BTreeMap<usize, u64>,
    pub(super) index: IndexLoad,
}

/// A part of the log.
#[derive(Debug, Serialize)]
pub(super) struct Region {
    pub(super) place: String,
    from: u64,
    to: u64,
    pub(super) bytes: u64,
}

/// What the log holds, in records and bytes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Contents {
    keys: u64,
    pub(super) live_bytes: u64,
    superseded: u64,
    pub(super) superseded_bytes: u64,
    tombstones: u64,
    pub(super) tombstone_bytes: u64,
    /// Values larger than a page, of the keys above; their parts count with their records, in use or superseded.
    large_values: u64,
    pub(super) large_bytes: u64,
    invalid: u64,
    pub(super) invalid_bytes: u64,
    /// Gaps at the ends of pages and blocks.
    pub(super) gap_bytes: u64,
}

/// How the keys lie in an index of the size that it had.
#[derive(Debug, Default, Serialize)]
pub(super) struct IndexLoad {
    buckets: u64,
    entries: u64,
    /// Entries for each that the table has room for.
    load: f64,
    overflow_buckets: u64,
    /// How many buckets have so many entries.
    pub(super) buckets_by_entries: BTreeMap<u64, u64>,
}

/// The newest record of a key.
struct Newest {
    size: u64,
    is_tombstone: bool,
    /// Of a large value.
    title: Option<Address>,
}

/// What was met of the log so far.
#[derive(Default)]
struct Met {
    newest: HashMap<Box<[u8]>, Newest>,
    /// Bytes of the parts of each large value, by where the first of them lies.
    parts: HashMap<Address, u64>,
}

pub(super) fn execute(options: &InspectOptions) -> Result<u8, Failure> {
    let found = find(&options.source, options.checkpoint)?;
    let mut document = Document::new(&found.manifest);
    let mut met = Met::default();
    for record in records(&options.source, &found)? {
        document.add(record?, &mut met);
    }
    document.finish(&found.manifest, met);
    if let Some(path) = &options.svg {
        std::fs::write(path, picture::of(&document)).map_err(|error| Failure::path("writing", path, error))?;
    }
    if options.json {
        print_json(&document)?;
    } else {
        print_text(&document.to_string())?;
    }
    Ok(0)
}

impl Document {
    fn new(manifest: &Manifest) -> Self {
        let log = manifest.log.as_ref();
        let region = |piece: &oxifaster::checkpoint::Piece| {
            let from = log.map_or(piece.from, |log| piece.from.max(log.begin));
            Region {
                place: piece.file.clone().unwrap_or_else(|| "log device".to_owned()),
                from: from.get(),
                to: piece.to.get(),
                bytes: piece.to.get() - from.get(),
            }
        };
        Self {
            schema: 1,
            checkpoint: manifest.token.to_string(),
            kind: manifest.kind.name(),
            version: manifest.version,
            key_size: manifest.schema.key_size,
            value_size: manifest.schema.value_size,
            expires: manifest.schema.expires,
            page_size: 1 << manifest.schema.page_bits,
            regions: log.iter().flat_map(|log| log.pieces.iter().map(region)).collect(),
            log: Contents::default(),
            record_sizes: BTreeMap::new(),
            index: IndexLoad { buckets: log.map_or(1, |log| log.buckets), ..IndexLoad::default() },
        }
    }

    fn add(&mut self, record: RawRecord, met: &mut Met) {
        let size = record.size as u64;
        *self.record_sizes.entry(record.size).or_default() += 1;
        if record.info.is_invalid()
            && let Some(title) = record.title
        {
            *met.parts.entry(title).or_default() += size;
            return;
        }
        if record.info.is_invalid() {
            self.log.invalid += 1;
            self.log.invalid_bytes += size;
            return;
        }
        let is_tombstone = record.info.is_tombstone();
        let latest = Newest { size, is_tombstone, title: record.title };
        if let Some(before) = met.newest.insert(record.key, latest) {
            self.log.superseded += 1;
            self.log.superseded_bytes += before.size;
        }
    }

    fn finish(&mut self, manifest: &Manifest, met: Met) {
        let Met { newest, mut parts } = met;
        let mut tags: HashMap<u64, HashSet<u16>> = HashMap::new();
        for (key, Newest { size, is_tombstone, title }) in newest {
            if is_tombstone {
                self.log.tombstones += 1;
                self.log.tombstone_bytes += size;
                continue;
            }
            self.log.keys += 1;
            self.log.live_bytes += size;
            if let Some(bytes) = title.and_then(|title| parts.remove(&title)) {
                self.log.large_values += 1;
                self.log.large_bytes += bytes;
                self.log.live_bytes += bytes;
            }
            let hash = KeyHash::of_bytes(&key);
            tags.entry(hash.bucket(self.index.buckets - 1)).or_default().insert(hash.tag());
        }
        // Of values that were replaced or deleted, or never came to their end.
        self.log.superseded_bytes += parts.values().sum::<u64>();
        let span = manifest.log.as_ref().map_or(0, |log| log.end.get() - log.begin.get());
        let log = &self.log;
        let held = log.live_bytes + log.superseded_bytes + log.tombstone_bytes + log.invalid_bytes;
        self.log.gap_bytes = span.saturating_sub(held);
        let index = &mut self.index;
        index.buckets_by_entries.insert(0, index.buckets - tags.len() as u64);
        for tags in tags.values() {
            let entries = tags.len() as u64;
            *index.buckets_by_entries.entry(entries).or_default() += 1;
            index.entries += entries;
            index.overflow_buckets += entries.div_ceil(ENTRIES) - 1;
        }
        index.load = index.entries as f64 / (index.buckets * ENTRIES) as f64;
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checkpoint {} ({}, version {})", self.checkpoint, self.kind, grouped(self.version))?;
        let Self { key_size, value_size, page_size, .. } = self;
        let bytes = |size: &Option<u32>| size.map_or("any length".to_owned(), |size| format!("{size} bytes"));
        let (keys, values) = (bytes(key_size), bytes(value_size));
        let end = if self.expires { " that may end" } else { "" };
        writeln!(f, "keys of {keys}, values of {values}{end}, pages of {}\n", size(*page_size))?;
        writeln!(f, "regions of the log")?;
        for region in &self.regions {
            writeln!(f, "  {:>10}  {:#x} to {:#x}  {}", size(region.bytes), region.from, region.to, region.place)?;
        }
        let log = &self.log;
        let all = self.log.parts().iter().map(|(_, bytes)| bytes).sum::<u64>();
        writeln!(f, "\nrecords")?;
        let counts = [Some(log.keys), Some(log.superseded), Some(log.tombstones), Some(log.invalid), None];
        for ((name, bytes), count) in log.parts().into_iter().zip(counts) {
            let count = count.map(grouped).unwrap_or_default();
            writeln!(f, "  {name:12} {count:>14}  {:>10}  {}", size(bytes), bar(bytes, all))?;
        }
        if log.large_values > 0 {
            let (count, bytes) = (grouped(log.large_values), size(log.large_bytes));
            writeln!(f, "  large values {count:>14}  {bytes:>10}  of those that are live")?;
        }
        writeln!(f, "\nrecord sizes in bytes")?;
        let most = self.record_sizes.values().copied().max().unwrap_or(0);
        for (size, count) in &self.record_sizes {
            writeln!(f, "  {size:12} {:>14}  {}", grouped(*count), bar(*count, most))?;
        }
        let index = &self.index;
        writeln!(
            f,
            "\nindex of {} buckets: {} entries, {:.0} % full, {} overflow buckets",
            grouped(index.buckets),
            grouped(index.entries),
            index.load * 100.0,
            grouped(index.overflow_buckets)
        )?;
        writeln!(f, "entries of a bucket, and how many buckets have so many")?;
        let most = index.buckets_by_entries.values().copied().max().unwrap_or(0);
        for (entries, buckets) in &index.buckets_by_entries {
            writeln!(f, "  {entries:12} {:>14}  {}", grouped(*buckets), bar(*buckets, most))?;
        }
        Ok(())
    }
}

impl Contents {
    /// The parts of the log, and how many bytes they take.
    pub(super) fn parts(&self) -> [(&'static str, u64); 5] {
        [
            ("live", self.live_bytes),
            ("superseded", self.superseded_bytes),
            ("deletions", self.tombstone_bytes),
            ("left out", self.invalid_bytes),
            ("gaps", self.gap_bytes),
        ]
    }
}

fn bar(part: u64, whole: u64) -> String {
    let mut bar = String::new();
    let length = if whole == 0 { 0 } else { (part as u128 * BAR as u128).div_ceil(whole as u128) as u64 };
    for _ in 0..length {
        // Writing to a string cannot fail.
        let _ = bar.write_char('#');
    }
    bar
}
