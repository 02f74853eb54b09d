//! What a verification found.

use crate::checkpoint::{CheckpointToken, Manifest};
use crate::error::Error;

/// What the device is called where a file would be named.
const DEVICE: &str = "log device";

/// What was read of a checkpoint, and everything that is wrong with it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The checkpoint.
    pub token: CheckpointToken,
    /// Its manifest, if that can be read.
    pub manifest: Option<Manifest>,
    /// Blocks that were read and checked.
    pub blocks: u64,
    /// Bytes of these blocks.
    pub bytes: u64,
    /// Bytes that were not looked at, because they lie on a device that was not given.
    pub unchecked_bytes: u64,
    /// The records in the part of the log that was read. Exact if nothing is wrong and nothing unchecked.
    pub records: RecordCounts,
    /// The large values whose roots are among them. As exact.
    pub large_values: LargeValueCounts,
    /// What is wrong, in the order in which it was found. Blocks that follow one another with the same fault are one
    /// defect.
    pub defects: Vec<Defect>,
    /// How many defects there are beyond [`DEFECTS_MAX`](Self::DEFECTS_MAX).
    pub further_defects: u64,
}

impl VerifyReport {
    /// The most defects that are described.
    pub const DEFECTS_MAX: usize = 1000;

    pub(super) fn new(token: CheckpointToken) -> Self {
        Self {
            token,
            manifest: None,
            blocks: 0,
            bytes: 0,
            unchecked_bytes: 0,
            records: RecordCounts::default(),
            large_values: LargeValueCounts::default(),
            defects: Vec::new(),
            further_defects: 0,
        }
    }

    /// The report on a checkpoint whose manifest is of no use.
    pub(super) fn unreadable(token: CheckpointToken, error: &Error) -> Self {
        let mut report = Self::new(token);
        report.add(Defect::of_file(token.manifest_file(), error));
        report
    }

    /// True if nothing is wrong with what was read.
    pub fn is_sound(&self) -> bool {
        self.defects.is_empty()
    }

    /// True if everything was read.
    pub fn is_complete(&self) -> bool {
        self.unchecked_bytes == 0 && self.manifest.is_some()
    }

    pub(super) fn add(&mut self, defect: Defect) {
        if let Some(last) = self.defects.last_mut()
            && last.goes_on_with(&defect)
        {
            last.bytes += defect.bytes;
            return;
        }
        if self.defects.len() < Self::DEFECTS_MAX {
            self.defects.push(defect);
        } else {
            self.further_defects += 1;
        }
    }
}

/// The records of a log, by what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecordCounts {
    /// Values, also those that were replaced by younger ones.
    pub values: u64,
    /// Deletions.
    pub tombstones: u64,
    /// Records that never became part of the store.
    pub invalid: u64,
    /// Records that a cut left out.
    pub aborted: u64,
    /// Fragments of large values, also those that no root leads to.
    pub fragments: u64,
}

/// Values that are larger than a page, by what became of following their roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LargeValueCounts {
    /// Those that are whole, also if they were replaced by younger ones.
    pub values: u64,
    /// Bytes of these values.
    pub bytes: u64,
    /// Values that were replaced or moved before the log's beginning went beyond theirs: only their roots are left.
    pub replaced: u64,
    /// Those with a fragment on a device that was not given.
    pub unchecked: u64,
    /// Those with a fragment that is missing, of no use, or another one. The first of each is a defect.
    pub damaged: u64,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defect {
    /// The file in the directory; `None` for the log's device.
    pub file: Option<String>,
    /// The first byte that is concerned, from the beginning of the file or device.
    pub offset: u64,
    /// How many bytes are concerned.
    pub bytes: u64,
    /// What is wrong, and for several blocks what is wrong with the first.
    pub what: String,
    pub(super) kind: DefectKind,
}

/// What makes two defects the same, apart from numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefectKind {
    File,
    Unreadable,
    Missing,
    Zero,
    Damaged,
    Generation,
    Padding,
    Record,
}

impl Defect {
    /// Where it is, for people: the file or the device.
    pub fn place(&self) -> &str {
        self.file.as_deref().unwrap_or(DEVICE)
    }

    /// A file that cannot be used, and that says so itself.
    pub(super) fn of_file(file: String, error: &Error) -> Self {
        let offset = error.field("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        Self { file: Some(file), offset, bytes: 0, what: error.to_string(), kind: DefectKind::File }
    }

    fn goes_on_with(&self, next: &Self) -> bool {
        let merges = !matches!(self.kind, DefectKind::File | DefectKind::Record);
        merges && self.kind == next.kind && self.file == next.file && self.offset + self.bytes == next.offset
    }
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress<'a> {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes of all blocks of the checkpoint.
    pub total: u64,
    /// What is being read: a file, or the device.
    pub place: &'a str,
}

impl<'a> VerifyProgress<'a> {
    pub(super) fn new(done: u64, total: u64, file: Option<&'a str>) -> Self {
        Self { done, total, place: file.unwrap_or(DEVICE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defect(kind: DefectKind, offset: u64) -> Defect {
        Defect { file: None, offset, bytes: 4096, what: format!("at {offset}"), kind }
    }

    #[test]
    fn blocks_in_a_row_with_the_same_fault_are_one_defect() {
        let mut report = VerifyReport::new(CheckpointToken::new(1));
        for (kind, offset) in [
            (DefectKind::Zero, 0),
            (DefectKind::Zero, 4096),
            (DefectKind::Damaged, 8192),
            (DefectKind::Damaged, 16384),
            (DefectKind::Damaged, 20480),
        ] {
            report.add(defect(kind, offset));
        }
        let ranges: Vec<_> = report.defects.iter().map(|defect| (defect.offset, defect.bytes)).collect();
        assert_eq!(ranges, [(0, 8192), (8192, 4096), (16384, 8192)]);
    }

    #[test]
    fn defects_without_end_are_counted_and_take_no_memory() {
        let mut report = VerifyReport::new(CheckpointToken::new(1));
        for at in 0..5000 {
            report.add(defect(DefectKind::Damaged, at * 8192));
        }
        assert_eq!((report.defects.len(), report.further_defects), (1000, 4000));
        assert!(!report.is_sound());
    }
}
