//! The rules of the house that a program can check. Each rule is a function from sources to findings, so that each is
//! tested on a few lines of text.

mod alphabet;
mod documents;
mod layers;
mod ledger;
mod lexer;
mod paths;
mod reach;
mod report;
mod rules;
#[cfg(test)]
mod sample;
mod sizes;
mod source;
mod words;

use crate::metadata::Workspace;
use crate::step::Outcome;
use report::Report;
use rules::Rules;
use source::Source;
use std::fs;
use std::path::Path;

/// Folders with Rust sources of ours.
const SOURCE_FOLDERS: [&str; 6] = ["src", "tests", "examples", "benches", "crates", "xtask"];
const DOCUMENT_FOLDER: &str = "docs";

/// Checks the tree at `root` and prints what it finds.
pub(crate) fn run(root: &Path, workspace: &Workspace) -> Outcome {
    let mut files = Vec::new();
    for folder in SOURCE_FOLDERS {
        collect(root, &root.join(folder), "rs", &mut files)?;
    }
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    let mut documents = Vec::new();
    collect(root, &root.join(DOCUMENT_FOLDER), "md", &mut documents)?;
    let roots: Vec<String> = workspace.targets.iter().map(|target| target.source.clone()).collect();
    let mut report = Report::default();
    let rules = Rules::parse(&read(&root.join(rules::FILE))?, &mut report)?;

    layers::check(&sources, &rules, &mut report);
    ledger::check(&sources, &documents, &rules, &mut report);
    alphabet::check(&sources, &mut report);
    sizes::check(&sources, &rules, &mut report);
    reach::check(&sources, &roots, &mut report);
    words::check(&sources, &rules, &mut report);
    documents::check(&documents, &mut report);

    eprint!("{report}");
    eprintln!("    {} sources, {} documents, {} warnings", sources.len(), documents.len(), report.warnings());
    match report.failures() {
        0 => Ok(()),
        errors => Err(format!("{errors} findings")),
    }
}

/// Adds the files below `folder` with this extension, by path and contents, in the order of their names.
fn collect(root: &Path, folder: &Path, extension: &str, found: &mut Vec<(String, String)>) -> Outcome {
    // A folder that does not exist holds no files.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") && !is_other_workspace(&path) {
                collect(root, &path, extension, found)?;
            }
        } else if path.extension().is_some_and(|own| own == extension) {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push((name, read(&path)?));
        }
    }
    Ok(())
}

/// True for the root of a workspace of its own. Cargo does not know of its targets here, and what it measures may need
/// `unsafe` that the product may not have.
fn is_other_workspace(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
