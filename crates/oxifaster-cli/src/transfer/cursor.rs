//! How far an import is, in a file beside the store.

use super::options::Format;
use super::split::Place;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file in the directory of the store.
const NAME: &str = "import.json";
const SCHEMA: u32 = 1;

/// Everything before this place of the input is durable in the store, or was skipped (invariant 2 of [`super`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    schema: u32,
    /// For people: what decides is the checksum.
    pub(super) input: String,
    format: String,
    offset: u64,
    line: u64,
    checksum: u32,
    pub(super) imported: u64,
    pub(super) skipped: u64,
}

impl Cursor {
    pub(super) fn new(input: &str, format: Format, place: Place, (imported, skipped): (u64, u64)) -> Self {
        let Place { offset, line, checksum } = place;
        let (input, format) = (input.to_owned(), format.name().to_owned());
        Self { schema: SCHEMA, input, format, offset, line, checksum, imported, skipped }
    }

    pub(super) fn place(&self) -> Place {
        Place { offset: self.offset, line: self.line, checksum: self.checksum }
    }

    pub(super) fn is_of(&self, format: Format) -> bool {
        self.format == format.name()
    }
}

/// The file that a cursor is kept in.
pub(super) struct CursorFile {
    directory: PathBuf,
    path: PathBuf,
}

impl CursorFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), path: directory.join(NAME) }
    }

    /// What an import that was interrupted left.
    pub(super) fn load(&self) -> Result<Option<Cursor>, Failure> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::path("reading", &self.path, error)),
        };
        let cursor: Option<Cursor> = serde_json::from_slice(&text).ok();
        let is_known = |cursor: &Cursor| cursor.schema == SCHEMA && cursor.line > 0;
        cursor.filter(is_known).map(Some).ok_or_else(|| {
            let what = format!("{} is not what an import wrote", self.path.display());
            Failure::usage(what, "give --restart to import everything again")
        })
    }

    /// Keeps a cursor, durably: after a crash there is this one or the one before.
    pub(super) fn save(&self, cursor: &Cursor) -> Result<(), Failure> {
        let beside = self.path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec(cursor)?)?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            sync(&self.directory)
        };
        write().map_err(|error| Failure::path("writing", &self.path, error))
    }

    /// The import is done, or begins anew.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::path("removing", &self.path, error)),
            _ => Ok(()),
        }
    }
}

/// Makes the names in a directory durable.
#[cfg(unix)]
pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Other systems do so by themselves, and do not open directories.
#[cfg(not(unix))]
pub(super) fn sync(_directory: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_kept_replaced_and_removed() {
        let place = tempfile::tempdir().unwrap();
        let file = CursorFile::new(place.path());
        assert_eq!(file.load().unwrap(), None);
        for line in [5, 9] {
            let at = Place { offset: 100, line, checksum: 7 };
            let cursor = Cursor::new("people.csv", Format::Csv, at, (4, 1));
            file.save(&cursor).unwrap();
            let loaded = file.load().unwrap().unwrap();
            assert_eq!((loaded.place(), &loaded), (at, &cursor));
            assert!(loaded.is_of(Format::Csv) && !loaded.is_of(Format::Ndjson));
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.load().unwrap(), None);
    }

    #[test]
    fn what_is_no_cursor_is_refused_with_the_next_step() {
        let place = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"schema\":2}"] {
            fs::write(place.path().join(NAME), text).unwrap();
            let failure = CursorFile::new(place.path()).load().unwrap_err();
            assert!(failure.to_string().contains("--restart") && failure.exit_code() == 2, "{failure}");
        }
    }
}
