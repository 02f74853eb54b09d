//! Standard output: reports and nothing else.

use crate::failure::Failure;
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// Prints a report for people.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::System { what: "writing the report".to_owned(), source }),
        Ok(()) => Ok(()),
    }
}

/// Prints a report for machines.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::System { what: "writing the report".to_owned(), source: error.into() })?;
    print_text(&(text + "\n"))
}
