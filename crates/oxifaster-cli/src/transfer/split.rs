//! An input, record by record, and where in it.

use super::options::Format;
use crate::failure::Failure;
use std::io::{self, BufRead, Read};

/// Bytes of the longest record.
const LONGEST: u64 = 2 << 30;
/// Bytes that are read at a time to get to a place.
const STRIDE: usize = 1 << 20;
/// What some programs put in front of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A place between two records, and a checksum of everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// The line that begins there, from 1 on.
    pub(super) line: u64,
    pub(super) checksum: u32,
}

impl Place {
    pub(super) const BEGIN: Self = Self { offset: 0, line: 1, checksum: 0 };

    fn behind(self, bytes: &[u8], lines: u64) -> Self {
        Self {
            offset: self.offset + bytes.len() as u64,
            line: self.line + lines,
            checksum: crc32c::crc32c_append(self.checksum, bytes),
        }
    }
}

/// What is at a place of an input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, with its line end.
    Record,
    /// The end.
    End,
    /// A record without an end: quotes that are not closed.
    Unclosed,
    /// A record that is longer than any may be.
    TooLong,
}

/// Splits an input into records: lines, but for those of CSV that go on because quotes are open.
pub(super) struct Splitter<R> {
    reader: R,
    format: Format,
    began: Place,
    place: Place,
    record: Vec<u8>,
    longest: u64,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn new(reader: R, format: Format) -> Self {
        Self { reader, format, began: Place::BEGIN, place: Place::BEGIN, record: Vec::new(), longest: LONGEST }
    }

    /// Before the record that was found last.
    pub(super) fn began(&self) -> Place {
        self.began
    }

    /// Behind the record that was found last.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The record that was found last.
    pub(super) fn record(&self) -> &[u8] {
        let is_first = self.place.offset == self.record.len() as u64;
        self.record.strip_prefix(MARK).filter(|_| is_first).unwrap_or(&self.record)
    }

    /// Goes on to the next record that is not an empty line.
    pub(super) fn advance(&mut self) -> Result<Found, Failure> {
        loop {
            self.began = self.place;
            let found = self.take().map_err(unreadable)?;
            if found != Found::Record || !self.record.trim_ascii().is_empty() {
                return Ok(found);
            }
        }
    }

    fn take(&mut self) -> io::Result<Found> {
        self.record.clear();
        let (mut lines, mut is_quoted) = (0, false);
        loop {
            let (before, left) = (self.record.len(), self.longest - self.record.len() as u64);
            self.reader.by_ref().take(left).read_until(b'\n', &mut self.record)?;
            let line = &self.record[before..];
            if self.format == Format::Csv {
                is_quoted ^= !line.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2);
            }
            let ends = line.last() == Some(&b'\n');
            lines += u64::from(ends);
            if ends && is_quoted && (self.record.len() as u64) < self.longest {
                continue;
            }
            if (self.record.len() as u64) >= self.longest && (!ends || is_quoted) {
                return Ok(Found::TooLong);
            }
            let found = match (self.record.is_empty(), is_quoted) {
                (_, true) => Found::Unclosed,
                (true, false) => Found::End,
                (false, false) => Found::Record,
            };
            self.place = self.place.behind(&self.record, lines);
            return Ok(found);
        }
    }

    /// Goes to `place`, if the input is the one that it is a place of.
    pub(super) fn go_to(&mut self, place: Place) -> Result<bool, Failure> {
        let mut buffer = vec![0; STRIDE];
        while self.place.offset < place.offset {
            let wanted = (place.offset - self.place.offset).min(STRIDE as u64) as usize;
            let read = match self.reader.read(&mut buffer[..wanted]) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(unreadable(error)),
            };
            self.place = self.place.behind(&buffer[..read], 0);
        }
        let is_same = self.place.offset == place.offset && self.place.checksum == place.checksum;
        self.place.line = place.line;
        self.record.clear();
        Ok(is_same)
    }
}

fn unreadable(source: io::Error) -> Failure {
    Failure::System { what: "reading the input".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(format: Format, input: &[u8]) -> (Vec<String>, Found) {
        let mut splitter = Splitter::new(input, format);
        let mut records = Vec::new();
        loop {
            match splitter.advance().unwrap() {
                Found::Record => records.push(String::from_utf8_lossy(splitter.record()).into_owned()),
                other => return (records, other),
            }
        }
    }

    #[test]
    fn lines_are_records_and_quotes_join_them_in_csv_only() {
        let input = b"a,\"b\nc\"\n\n\r\nd,e";
        assert_eq!(all(Format::Csv, input), (vec!["a,\"b\nc\"\n".to_owned(), "d,e".to_owned()], Found::End));
        assert_eq!(all(Format::Ndjson, input).0.len(), 3);
        assert_eq!(all(Format::Csv, b"a,\"b\nc\n"), (Vec::new(), Found::Unclosed));
        assert_eq!(all(Format::Csv, b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n").0, ["a\n", "\u{feff}b\n"]);
    }

    #[test]
    fn a_record_without_an_end_is_not_read_for_ever() {
        let mut splitter = Splitter::new(io::BufReader::new(io::repeat(b'x')), Format::Ndjson);
        splitter.longest = 1000;
        assert_eq!(splitter.advance().unwrap(), Found::TooLong);
        let mut splitter = Splitter::new(io::BufReader::new(&b"\"\n\n\n\n\n\n\n"[..]), Format::Csv);
        splitter.longest = 4;
        assert_eq!(splitter.advance().unwrap(), Found::TooLong);
    }

    #[test]
    fn a_place_is_gone_to_in_the_same_input_only() {
        let input = b"one\n\"two\n2\"\nthree\n";
        let mut splitter = Splitter::new(&input[..], Format::Csv);
        splitter.advance().unwrap();
        splitter.advance().unwrap();
        let place = splitter.place();
        assert_eq!((place.offset, place.line, splitter.began().line), (12, 4, 2));
        let mut again = Splitter::new(&input[..], Format::Csv);
        assert!(again.go_to(place).unwrap());
        assert_eq!((again.advance().unwrap(), again.record()), (Found::Record, &b"three\n"[..]));
        assert_eq!(again.place().line, 5);
        for other in [&b"one\n\"two\n3\"\nthree\n"[..], b"one\n", b""] {
            assert!(!Splitter::new(other, Format::Csv).go_to(place).unwrap());
        }
    }
}
