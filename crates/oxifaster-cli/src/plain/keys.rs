//! What is done with one key.

use super::NOT_FOUND;
use super::form::Form;
use super::open::{AnyStore, Missing, Shape, open};
use super::options::{DelOptions, GetOptions, Place, PutOptions};
use crate::failure::Failure;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::Path;

pub(super) fn get(options: &GetOptions) -> Result<u8, Failure> {
    let store = opened(&options.place, Missing::Refuse)?;
    let shape = store.shape();
    let value = store.get(&key(&options.key, options.key_as, shape)?)?;
    drop(store);
    let Some(value) = value else { return Ok(NOT_FOUND) };
    let (mut text, is_line) = options.value_as.show(value, shape.value);
    if let Some(path) = &options.output {
        std::fs::write(path, text).map_err(|error| Failure::path("writing", path, error))?;
        return Ok(0);
    }
    let mut output = std::io::stdout().lock();
    if is_line || output.is_terminal() {
        text.push(b'\n');
    }
    match output.write_all(&text).and_then(|()| output.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::System { what: "writing the value".to_owned(), source })
        }
        // Whoever closed the output early has seen enough.
        _ => Ok(0),
    }
}

pub(super) fn put(options: &PutOptions) -> Result<u8, Failure> {
    let given = match (&options.file, &options.value) {
        (Some(path), _) => std::fs::read(path).map_err(|error| Failure::path("reading", path, error))?,
        (None, Some(value)) if value != OsStr::new("-") => bytes_of(value)?,
        _ => standard_input()?,
    };
    let store = opened(&options.place, Missing::Make(Shape::default()))?;
    let shape = store.shape();
    let key = key(&options.key, options.key_as, shape)?;
    let value = options.value_as.read(&given, shape.value).map_err(|wrong| misread("the value", wrong))?;
    store.put(&key, &value)?;
    store.sync()?;
    Ok(0)
}

pub(super) fn del(options: &DelOptions) -> Result<u8, Failure> {
    let store = opened(&options.place, Missing::Refuse)?;
    let was_there = store.delete(&key(&options.key, options.key_as, store.shape())?)?;
    store.sync()?;
    Ok(if was_there { 0 } else { NOT_FOUND })
}

fn opened(place: &Place, missing: Missing) -> Result<Box<dyn AnyStore>, Failure> {
    open(&place.directory, place.memory, missing)
}

fn key(given: &OsString, form: Form, shape: Shape) -> Result<Vec<u8>, Failure> {
    form.read(&bytes_of(given)?, shape.key).map_err(|wrong| misread("the key", wrong))
}

fn misread(which: &str, (what, next): (String, String)) -> Failure {
    Failure::usage(format!("{which}: {what}"), next)
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::path("reading", Path::new("standard input"), error)),
    }
}

/// The bytes of a word of the command line.
#[cfg(unix)]
fn bytes_of(word: &OsStr) -> Result<Vec<u8>, Failure> {
    Ok(std::os::unix::ffi::OsStrExt::as_bytes(word).to_vec())
}

/// The bytes of a word of the command line.
#[cfg(not(unix))]
fn bytes_of(word: &OsStr) -> Result<Vec<u8>, Failure> {
    let text = word.to_str().map(|text| text.as_bytes().to_vec());
    text.ok_or_else(|| Failure::usage(format!("{word:?} is no Unicode"), "give it as hex or base64"))
}
