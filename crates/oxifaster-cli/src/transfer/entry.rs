//! A key with its value, how their bytes are written, and what can be wrong with them.

use crate::plain::{Shape, bytes_of, is_number, number_of};
use data_encoding::BASE64;
use std::fmt;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// How bytes are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written<'b> {
    /// As a number: where all have 1, 2, 4 or 8 bytes.
    Number(u64),
    /// As they are, since they are UTF-8.
    Text(&'b str),
    /// In base64, since they are not.
    Base64(String),
}

impl<'b> Written<'b> {
    /// Of bytes that all have `size`, if they have one.
    pub(super) fn new(bytes: &'b [u8], size: Option<usize>) -> Self {
        if size.is_some_and(is_number) {
            return Self::Number(number_of(bytes));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }
}

/// Which half of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Key,
    Value,
}

impl Half {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    fn size(self, shape: Shape) -> Option<usize> {
        match self {
            Self::Key => shape.key,
            Self::Value => shape.value,
        }
    }

    /// The bytes of a number.
    pub(super) fn number(self, number: u64, shape: Shape) -> Result<Vec<u8>, Wrong> {
        match self.size(shape) {
            Some(size) if size <= 8 => bytes_of(number, size).ok_or_else(|| {
                Wrong::new(
                    format!("the {} {number} has no place in {size} bytes", self.name()),
                    "give a smaller number",
                )
            }),
            size => Err(Wrong::new(
                format!("the {} is a number, and in this store it has {}", self.name(), length(size)),
                "write it as text in quotes",
            )),
        }
    }

    /// The bytes of base64.
    pub(super) fn base64(self, text: &[u8], shape: Shape) -> Result<Vec<u8>, Wrong> {
        let bytes = BASE64.decode(text).map_err(|error| {
            let next = "write it with the standard alphabet, and = at the end";
            Wrong {
                at: error.position,
                ..Wrong::new(format!("the {} is no base64: {}", self.name(), error.kind), next)
            }
        })?;
        self.fitting(bytes, shape)
    }

    /// The bytes of text.
    pub(super) fn text(self, bytes: Vec<u8>, shape: Shape) -> Result<Vec<u8>, Wrong> {
        self.fitting(bytes, shape)
    }

    /// True if it is written as a number.
    pub(super) fn is_number(self, shape: Shape) -> bool {
        self.size(shape).is_some_and(is_number)
    }

    fn fitting(self, bytes: Vec<u8>, shape: Shape) -> Result<Vec<u8>, Wrong> {
        match self.size(shape).filter(|size| *size != bytes.len()) {
            None => Ok(bytes),
            Some(size) => {
                let what = format!("the {} has {} bytes, and in this store {size}", self.name(), bytes.len());
                let next = if is_number(size) { "write it as a number" } else { "import it into another store" };
                Err(Wrong::new(what, next))
            }
        }
    }
}

fn length(size: Option<usize>) -> String {
    size.map_or("any length".to_owned(), |size| format!("{size} bytes"))
}

/// What is wrong with a field, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) next: &'static str,
    /// Bytes from the beginning of the field.
    pub(super) at: usize,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, next: &'static str) -> Self {
        Self { what: what.into(), next, at: 0 }
    }

    /// The same in a record.
    pub(super) fn within(self, record: &[u8], field_at: usize) -> Problem {
        Problem::at(record, field_at + self.at, self.what, self.next)
    }
}

/// What is wrong with a record, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Lines below the first of the record.
    pub(super) lines: u64,
    /// From 1 on, in bytes.
    pub(super) column: u64,
    pub(super) what: String,
    pub(super) next: &'static str,
}

impl Problem {
    /// At this byte of the record.
    pub(super) fn at(record: &[u8], byte: usize, what: impl Into<String>, next: &'static str) -> Self {
        let before = &record[..byte.min(record.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Self {
            lines: before.iter().filter(|byte| **byte == b'\n').count() as u64,
            column: (before.len() - line_start) as u64 + 1,
            what: what.into(),
            next,
        }
    }
}

/// A problem with the line that it is in.
pub(super) struct Told<'p> {
    /// The first line of the record.
    pub(super) line: u64,
    pub(super) problem: &'p Problem,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { lines, column, what, next } = self.problem;
        write!(f, "line {}, column {column}: {what}; {next}", self.line + lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_what_they_are() {
        assert_eq!(Written::new(b"\x01\x02", Some(2)), Written::Number(513));
        assert_eq!(Written::new("\u{e4}\n".as_bytes(), None), Written::Text("\u{e4}\n"));
        assert_eq!(Written::new(b"\xff", None), Written::Base64("/w==".to_owned()));
        assert_eq!(Written::new(b"abc", Some(3)), Written::Text("abc"));
    }

    #[test]
    fn lengths_that_do_not_fit_are_named() {
        let shape = Shape { key: Some(8), value: Some(3) };
        assert_eq!(Half::Key.number(513, shape).unwrap(), [1, 2, 0, 0, 0, 0, 0, 0]);
        for (wrong, expected) in [
            (Half::Key.text(b"7".to_vec(), shape), "1 bytes, and in this store 8"),
            (Half::Value.base64(b"/w==", shape), "1 bytes, and in this store 3"),
            (Half::Value.number(1 << 24, shape), "no place in 3 bytes"),
            (Half::Value.number(1, Shape::default()), "any length"),
        ] {
            let wrong = wrong.unwrap_err();
            assert!(wrong.what.contains(expected) && !wrong.next.is_empty(), "{wrong:?}");
        }
        assert_eq!(Half::Value.base64(b"abc*", shape).unwrap_err().at, 3);
    }

    #[test]
    fn places_are_lines_and_columns() {
        let told = |byte| {
            let problem = Problem::at(b"one\ntwo\n", byte, "wrong", "mend it");
            Told { line: 10, problem: &problem }.to_string()
        };
        assert_eq!(told(0), "line 10, column 1: wrong; mend it");
        assert_eq!(told(5), "line 11, column 2: wrong; mend it");
        assert_eq!(told(100), "line 12, column 1: wrong; mend it");
    }
}
