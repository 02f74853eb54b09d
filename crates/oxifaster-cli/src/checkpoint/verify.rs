//! `oxifaster checkpoint verify`.

use super::document::{BrokenFile, Head, LargeValuesEntry, Verdict, VerifyDocument};
use super::options::VerifyOptions;
use super::progress::Bar;
use super::{DEFECTIVE, place};
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::units::{grouped, size};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use oxifaster::checkpoint::{Catalog, CheckpointToken, Listing, Manifest};
use oxifaster::device::{FileSystemDisk, StorageDevice};
use oxifaster::directory::FileDirectory;
use std::fmt::{self, Write};
use std::time::Instant;

/// Defects that are shown to people; machines get all of them.
const SHOWN_MAX: usize = 20;

pub(super) fn execute(options: &VerifyOptions) -> Result<u8, Failure> {
    let directory = place::directory(&options.directory)?;
    let listing = Catalog::new(&directory).list()?;
    let asked = asked_for(options, &directory, &listing)?;
    require_log(options, &listing, &asked.tokens)?;
    let device = options.log.as_deref().map(place::log).transpose()?;
    let verdicts = asked.tokens.iter().map(|token| verdict(&directory, device.as_ref(), *token, !options.json));
    let checkpoints: Vec<Verdict> = verdicts.collect::<Result<_, _>>()?;
    let document = VerifyDocument {
        head: Head::new(options.directory.display().to_string()),
        log: options.log.as_ref().map(|path| path.display().to_string()),
        sound: asked.passed_over.is_empty() && checkpoints.iter().all(|verdict| verdict.sound),
        complete: asked.passed_over.is_empty() && checkpoints.iter().all(|verdict| verdict.complete),
        not_asked_for: listing.checkpoints.len().saturating_sub(checkpoints.len()),
        checkpoints,
        passed_over: asked.passed_over,
    };
    if options.json {
        print_json(&document)?;
    } else {
        print_text(&render(&document))?;
    }
    Ok(if document.sound { 0 } else { DEFECTIVE })
}

/// The checkpoints to verify, and what cannot be.
struct Asked {
    tokens: Vec<CheckpointToken>,
    passed_over: Vec<BrokenFile>,
}

fn asked_for(options: &VerifyOptions, directory: &FileDirectory, listing: &Listing) -> Result<Asked, Failure> {
    let broken = || listing.broken.iter().map(BrokenFile::from).collect();
    if let Some(token) = options.checkpoint {
        return Ok(Asked { tokens: vec![token], passed_over: Vec::new() });
    }
    if options.all {
        let tokens = listing.checkpoints.iter().map(|manifest| manifest.token).collect();
        return Ok(Asked { tokens, passed_over: broken() });
    }
    if listing.checkpoints.iter().any(|manifest| manifest.log.is_some()) {
        let catalog = Catalog::new(directory);
        let (newest, passed_over) = catalog.latest()?.or_older();
        // The image that it would be recovered with may be a checkpoint of its own.
        let is_image = |token: &CheckpointToken| {
            listing.checkpoints.iter().any(|manifest| manifest.token == *token && manifest.log.is_none())
        };
        let image = catalog.index_for(&newest)?.images.first().map(|image| image.checkpoint).filter(is_image);
        let tokens = std::iter::once(newest.token).chain(image).collect();
        return Ok(Asked { tokens, passed_over: passed_over.iter().map(BrokenFile::from).collect() });
    }
    let image = listing.checkpoints.last().map(|manifest| manifest.token);
    if image.is_none() && listing.broken.is_empty() {
        let what = format!("there is no checkpoint in {}", options.directory.display());
        return Err(Failure::usage(what, "name the directory that the checkpoints were written to"));
    }
    Ok(Asked { tokens: image.into_iter().collect(), passed_over: broken() })
}

/// Whoever leaves a part of a checkpoint unchecked has to say so.
fn require_log(options: &VerifyOptions, listing: &Listing, asked: &[CheckpointToken]) -> Result<(), Failure> {
    let on_device =
        |manifest: &&Manifest| manifest.log.iter().flat_map(|log| &log.pieces).any(|piece| piece.file.is_none());
    let in_question = listing.checkpoints.iter().filter(|manifest| asked.contains(&manifest.token)).find(on_device);
    match in_question {
        Some(manifest) if options.log.is_none() && !options.files_only => Err(Failure::usage(
            format!("a part of checkpoint {} lies in the log", manifest.token),
            "name the log with --log PATH, or leave that part unchecked with --files-only",
        )),
        _ => Ok(()),
    }
}

fn verdict(
    directory: &FileDirectory,
    device: Option<&FileSystemDisk>,
    token: CheckpointToken,
    with_bar: bool,
) -> Result<Verdict, Failure> {
    let bar = Bar::new("verifying", with_bar);
    let begun = Instant::now();
    let device = device.map(|device| device as &dyn StorageDevice);
    let report = oxifaster::checkpoint::verify(directory, device, token, &mut |progress| bar.update(progress))?;
    Ok(Verdict::new(&report, begun.elapsed().as_secs_f64()))
}

fn render(document: &VerifyDocument) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document);
    text
}

fn write(text: &mut String, document: &VerifyDocument) -> fmt::Result {
    for (at, verdict) in document.checkpoints.iter().enumerate() {
        if at > 0 {
            writeln!(text)?;
        }
        write_verdict(text, verdict)?;
    }
    for broken in &document.passed_over {
        writeln!(text, "\nBROKEN    {}: {}", broken.file, broken.problem)?;
    }
    match document.not_asked_for {
        0 => Ok(()),
        1 => writeln!(text, "\nThe other checkpoint was not looked at; --all verifies both."),
        others => writeln!(text, "\nThe other {others} checkpoints were not looked at; --all verifies every one."),
    }
}

fn write_verdict(text: &mut String, verdict: &Verdict) -> fmt::Result {
    write!(text, "checkpoint {}", verdict.checkpoint)?;
    if let Some(entry) = &verdict.manifest {
        write!(text, ": {}, version {}", entry.kind, grouped(entry.version))?;
        if let Some(moment) = &entry.created_utc {
            write!(text, ", begun {moment} UTC")?;
        }
        if let Some(base) = &entry.base {
            write!(text, "\n  on top of {base}")?;
        }
    }
    writeln!(text)?;
    let (blocks, bytes, seconds) = (grouped(verdict.blocks), size(verdict.bytes), verdict.seconds);
    let rate = size((verdict.bytes as f64 / seconds.max(f64::EPSILON)) as u64);
    writeln!(text, "  checked   {blocks} blocks, {bytes}, in {seconds:.1} s ({rate}/s)")?;
    if verdict.manifest.as_ref().is_some_and(|entry| entry.log.is_some()) {
        let records = &verdict.records;
        let counts = [
            (records.values, "values"),
            (records.tombstones, "deletions"),
            (records.invalid, "never part of the store"),
            (records.aborted, "left out by a cut"),
            (records.fragments, "parts of large values"),
        ];
        let named = counts.iter().filter(|(count, what)| *count > 0 || *what == "values");
        let named: Vec<String> = named.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        writeln!(text, "  records   {}", named.join(", "))?;
        write_large_values(text, &verdict.large_values)?;
    }
    if verdict.unchecked_bytes > 0 {
        writeln!(text, "  UNCHECKED {} in the log: name it with --log PATH", size(verdict.unchecked_bytes))?;
    }
    if verdict.sound {
        let extent = if verdict.complete { "every byte" } else { "what was read" };
        return writeln!(text, "  sound     {extent} is as it was written");
    }
    defects(text, verdict)
}

fn write_large_values(text: &mut String, large: &LargeValuesEntry) -> fmt::Result {
    if *large == LargeValuesEntry::default() {
        return Ok(());
    }
    write!(text, "  large     {} values, {}", grouped(large.values), size(large.bytes))?;
    for (count, what) in [
        (large.replaced, "replaced before the log's beginning"),
        (large.unchecked, "unchecked"),
        (large.damaged, "DAMAGED"),
    ] {
        if count > 0 {
            write!(text, ", {} {what}", grouped(count))?;
        }
    }
    writeln!(text)
}

fn defects(text: &mut String, verdict: &Verdict) -> fmt::Result {
    let all = verdict.defects.len() as u64 + verdict.further_defects;
    let shown = if all > SHOWN_MAX as u64 { format!(", the first {SHOWN_MAX}") } else { String::new() };
    writeln!(
        text,
        "  DEFECTIVE in {}{shown}:\n",
        if all == 1 { "one place".to_owned() } else { format!("{} places", grouped(all)) }
    )?;
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["place", "offset", "bytes", "what is wrong"]);
    for defect in verdict.defects.iter().take(SHOWN_MAX) {
        table.add_row([defect.place.clone(), defect.offset.to_string(), grouped(defect.bytes), defect.what.clone()]);
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(text, "{table}\n")?;
    writeln!(text, "Restore what is named from a copy and verify again, or go back to an earlier checkpoint.")
}
