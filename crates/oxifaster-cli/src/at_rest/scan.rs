//! `oxifaster scan`.

use super::options::ScanOptions;
use super::source::{find, records, shown};
use crate::failure::Failure;
use oxifaster::scan::RawRecord;
use serde_json::json;
use std::collections::HashMap;
use std::io::{BufWriter, ErrorKind, Write};

pub(super) fn execute(options: &ScanOptions) -> Result<u8, Failure> {
    let found = find(&options.source, options.checkpoint)?;
    // The address of the newest record of each key.
    let mut newest = HashMap::new();
    if !options.all {
        for record in records(&options.source, &found)? {
            let record = record?;
            if !record.info.is_invalid() {
                newest.insert(record.key, record.address);
            }
        }
    }
    let is_wanted = |record: &RawRecord| {
        options.all || !record.info.is_tombstone() && newest.get(&record.key) == Some(&record.address)
    };
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut left = options.limit.unwrap_or(u64::MAX);
    for record in records(&options.source, &found)? {
        let record = record?;
        if left == 0 {
            break;
        }
        if record.info.is_invalid() || !is_wanted(&record) {
            continue;
        }
        left -= 1;
        let line = if options.json { document(&record) } else { text(&record) };
        match writeln!(output, "{line}") {
            Ok(()) => {}
            // Whoever read the output has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(0),
            Err(source) => return Err(Failure::System { what: "writing the records".to_owned(), source }),
        }
    }
    match output.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::System { what: "writing the records".to_owned(), source: error })
        }
        _ => Ok(0),
    }
}

fn text(record: &RawRecord) -> String {
    let value = match record.large_len {
        _ if record.info.is_tombstone() => "deleted".to_owned(),
        Some(len) => format!("(large value of {len} bytes)"),
        None => shown(&record.value),
    };
    format!("{} {} {value}", record.address, shown(&record.key))
}

fn document(record: &RawRecord) -> String {
    let has_value = !record.info.is_tombstone() && record.large_len.is_none();
    let value = has_value.then(|| shown(&record.value));
    json!({
        "address": record.address.get(),
        "key": shown(&record.key),
        "value": value,
        "expiry_ms": record.expiry.ms(),
        "large_len": record.large_len,
        "version": record.info.version(),
    })
    .to_string()
}
