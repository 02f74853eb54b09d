//! `oxifaster checkpoint recover-test`.

use super::document::{Head, RecoverTestDocument, SessionEntry, SuffixEntry};
use super::options::RecoverTestOptions;
use super::place;
use super::progress::Bar;
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::units::{grouped, size};
use oxifaster::checkpoint::{Catalog, ImageUse, Manifest, RecoveryReport, RehearsalLimits, SuffixEnd, rehearse};
use oxifaster::device::{MemoryDisk, StorageDevice};
use oxifaster::directory::FileDirectory;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Instant;

/// Sessions that are shown to people; machines get all of them.
const SHOWN_MAX: usize = 10;

pub(super) fn execute(options: &RecoverTestOptions) -> Result<u8, Failure> {
    let directory = place::directory(&options.directory)?;
    let manifest = asked_for(options, &directory)?;
    let device = device(options, &manifest)?;
    let bar = Bar::new("recovering", !options.json);
    let begun = Instant::now();
    let report =
        rehearse(&directory, &manifest, device, RehearsalLimits::default(), &|progress| bar.recover(progress))?;
    drop(bar);
    let document = document(options, report, begun.elapsed().as_secs_f64());
    if options.json {
        print_json(&document)?;
    } else {
        print_text(&render(&document))?;
    }
    Ok(0)
}

fn asked_for(options: &RecoverTestOptions, directory: &FileDirectory) -> Result<Manifest, Failure> {
    let catalog = Catalog::new(directory);
    Ok(match options.checkpoint {
        Some(token) => catalog.load(token)?,
        None => catalog.latest()?.exactly()?,
    })
}

/// The log, if any of the checkpoint lies in it.
fn device(options: &RecoverTestOptions, manifest: &Manifest) -> Result<Arc<dyn StorageDevice>, Failure> {
    if let Some(path) = &options.log {
        return Ok(Arc::new(place::log(path)?));
    }
    let needs_log =
        |log: &oxifaster::checkpoint::LogPart| log.durable || log.pieces.iter().any(|piece| piece.file.is_none());
    if manifest.log.as_ref().is_some_and(needs_log) {
        return Err(Failure::usage(
            format!("a part of checkpoint {} lies in the log", manifest.token),
            "name the log with --log PATH",
        ));
    }
    Ok(Arc::new(MemoryDisk::new()))
}

fn document(options: &RecoverTestOptions, report: RecoveryReport, seconds: f64) -> RecoverTestDocument {
    let (image, image_problem) = match report.image {
        ImageUse::Used { file } => (Some(file), None),
        ImageUse::Unusable { file, error } => (None, Some(format!("{file}: {error}"))),
        _ => (None, None),
    };
    let suffix = report.suffix.map(|suffix| SuffixEntry {
        from: suffix.from.get(),
        end: suffix.end.get(),
        records: suffix.records,
        bytes: suffix.bytes,
        ended: match suffix.ended {
            SuffixEnd::Torn => "torn",
            SuffixEnd::OtherHistory => "other-history",
            _ => "nothing",
        },
    });
    let mut sessions: Vec<_> = report.sessions;
    sessions.sort_by_key(|session| (std::cmp::Reverse(session.serial), session.guid));
    let session = |guid: u128, serial| SessionEntry { guid: format!("{guid:032x}"), serial };
    RecoverTestDocument {
        head: Head::new(options.directory.display().to_string()),
        log: options.log.as_ref().map(|path| path.display().to_string()),
        checkpoint: report.token.to_string(),
        version: report.version,
        records: report.records,
        sessions: sessions.iter().map(|cut| session(cut.guid, cut.serial)).collect(),
        image,
        image_problem,
        index_buckets: report.index_buckets,
        overflow_buckets: report.overflow_buckets,
        bytes_verified: report.bytes_verified,
        suffix,
        seconds,
    }
}

fn render(document: &RecoverTestDocument) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document);
    text
}

fn write(text: &mut String, document: &RecoverTestDocument) -> fmt::Result {
    writeln!(text, "checkpoint {}, version {}", document.checkpoint, grouped(document.version))?;
    let (bytes, seconds) = (size(document.bytes_verified), document.seconds);
    let rate = size((document.bytes_verified as f64 / seconds.max(f64::EPSILON)) as u64);
    writeln!(
        text,
        "  recovered {} records, {bytes} verified, in {seconds:.1} s ({rate}/s)",
        grouped(document.records)
    )?;
    match (&document.image, &document.image_problem) {
        (Some(file), _) => writeln!(text, "  index     from {file}, and the log behind it")?,
        (None, Some(problem)) => writeln!(text, "  index     from all of the log; NOT USED: {problem}")?,
        (None, None) => writeln!(text, "  index     from all of the log: no image was taken")?,
    }
    if let Some(suffix) = &document.suffix {
        let reason = match suffix.ended {
            "torn" => "where a block was not written whole, which nobody was promised",
            "other-history" => "where another history of the log is",
            _ => "where nothing was written",
        };
        let (records, bytes) = (grouped(suffix.records), size(suffix.bytes));
        writeln!(text, "  after it  {records} changes in {bytes} of the log; it ends {reason}")?;
    }
    writeln!(text, "  sessions  {}", grouped(document.sessions.len() as u64))?;
    for session in document.sessions.iter().take(SHOWN_MAX) {
        writeln!(text, "            {} up to operation {}", session.guid, grouped(session.serial))?;
    }
    if document.sessions.len() > SHOWN_MAX {
        writeln!(text, "            and {} more (--json shows all)", document.sessions.len() - SHOWN_MAX)?;
    }
    writeln!(text, "  can be recovered; nothing was changed")
}
