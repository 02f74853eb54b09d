//! `oxifaster export`.

use super::cursor::sync;
use super::options::{ExportOptions, Format};
use super::{fields, lines};
use crate::bar::Bar;
use crate::failure::Failure;
use crate::output::print_text;
use crate::plain::{AnyStore, Missing, open};
use crate::units::grouped;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;

pub(super) fn execute(options: &ExportOptions) -> Result<u8, Failure> {
    let store = open(&options.directory, options.memory, Missing::Refuse)?;
    let format = Format::chosen(options.format, options.output.as_deref());
    let bar = Bar::of_records("exporting", store.approximate_count(), true);
    let Some(path) = &options.output else {
        let mut output = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        return match write_all(&*store, format, &mut output, &bar) {
            // Whoever read the output has seen enough.
            Err(Failure::System { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            outcome => outcome.map(|_| 0),
        };
    };
    let records = to_file(&*store, format, path, &bar)?;
    drop(bar);
    print_text(&format!("exported {} records to {}\n", grouped(records), path.display()))?;
    Ok(0)
}

/// Writes a file beside the one that is meant, and gives it its name when it is whole and durable.
pub(super) fn to_file(store: &dyn AnyStore, format: Format, path: &Path, bar: &Bar) -> Result<u64, Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let failed = |error| Failure::path("writing", path, error);
    let mut file = tempfile::Builder::new().prefix(".oxifaster-export-").tempfile_in(&directory).map_err(failed)?;
    let mut output = BufWriter::with_capacity(BUFFER, file.as_file_mut());
    let records = write_all(store, format, &mut output, bar)?;
    drop(output);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync(&directory).map_err(failed)?;
    Ok(records)
}

/// Writes every key with its value; how many there were.
fn write_all(store: &dyn AnyStore, format: Format, output: &mut impl Write, bar: &Bar) -> Result<u64, Failure> {
    let failed = |source| Failure::System { what: "writing the export".to_owned(), source };
    if format == Format::Csv {
        fields::write_header(output).map_err(failed)?;
    }
    let (shape, mut records) = (store.shape(), 0_u64);
    store.each(&mut |key, value| {
        let written = match format {
            Format::Ndjson => lines::write(output, key, value, shape),
            Format::Csv => fields::write(output, key, value, shape),
        };
        records += 1;
        bar.update(records);
        written.map_err(failed)
    })?;
    output.flush().map_err(failed)?;
    Ok(records)
}
