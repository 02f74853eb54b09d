//! `oxifaster checkpoint list`.

use super::document::{BrokenFile, Entry, Head, ListDocument};
use super::options::ListOptions;
use super::{DEFECTIVE, place};
use crate::failure::Failure;
use crate::output::{print_json, print_text};
use crate::units::{grouped, size};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use oxifaster::checkpoint::Catalog;
use std::fmt::{self, Write};

pub(super) fn execute(options: &ListOptions) -> Result<u8, Failure> {
    let directory = place::directory(&options.directory)?;
    let catalog = Catalog::new(&directory);
    let listing = catalog.list()?;
    let entry = |manifest| {
        let problem = catalog.check_files(manifest).err().map(|error| error.to_string());
        Entry { given_up: listing.is_given_up(manifest), ..Entry::new(manifest, problem) }
    };
    let document = ListDocument {
        head: Head::new(options.directory.display().to_string()),
        checkpoints: listing.checkpoints.iter().map(entry).collect(),
        broken: listing.broken.iter().map(BrokenFile::from).collect(),
        unclaimed: listing.unclaimed,
    };
    if options.json {
        print_json(&document)?;
    } else {
        print_text(&render(&document, &options.directory.display().to_string()))?;
    }
    Ok(exit_code(&document))
}

fn exit_code(document: &ListDocument) -> u8 {
    let all_whole = document.checkpoints.iter().all(|entry| entry.problem.is_none());
    if all_whole && document.broken.is_empty() { 0 } else { DEFECTIVE }
}

fn render(document: &ListDocument, directory: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document, directory);
    text
}

fn write(text: &mut String, document: &ListDocument, directory: &str) -> fmt::Result {
    if document.checkpoints.is_empty() {
        writeln!(text, "no checkpoint in {directory}")?;
    } else {
        writeln!(text, "{}", table(&document.checkpoints))?;
    }
    let problems = document.checkpoints.iter().filter_map(|entry| Some((&entry.checkpoint, entry.problem.as_ref()?)));
    for (checkpoint, problem) in problems {
        writeln!(text, "\nNOT WHOLE {checkpoint}: {problem}")?;
    }
    if document.checkpoints.iter().any(|entry| entry.given_up) {
        writeln!(
            text,
            "\ngiven up  the store went back to an older state and wrote over these: they cannot be recovered"
        )?;
    }
    for broken in &document.broken {
        writeln!(text, "\nBROKEN    {}: {}", broken.file, broken.problem)?;
    }
    if let Some(first) = document.unclaimed.first() {
        let count = document.unclaimed.len();
        let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        writeln!(
            text,
            "\nunclaimed {first}{others}: of a checkpoint that is being taken, or was when the process ended"
        )?;
    }
    Ok(())
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["checkpoint", "kind", "version", "begun (UTC)", "log", "index", "sessions", "state"]);
    for entry in entries {
        let bytes = |bytes: Option<u64>| bytes.map_or("-".to_owned(), size);
        table.add_row([
            entry.checkpoint.clone(),
            entry.kind.to_owned(),
            grouped(entry.version),
            entry.created_utc.clone().unwrap_or_else(|| "-".to_owned()),
            bytes(entry.log.as_ref().map(|log| log.on_device_bytes + log.in_files_bytes)),
            bytes(entry.index.as_ref().map(|index| index.bytes)),
            grouped(entry.sessions as u64),
            match entry {
                Entry { problem: Some(_), .. } => "NOT WHOLE",
                Entry { given_up: true, .. } => "given up",
                _ => "whole",
            }
            .to_owned(),
        ]);
    }
    for column in [2, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
