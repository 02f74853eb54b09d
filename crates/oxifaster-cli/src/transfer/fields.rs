//! Entries as records of CSV (RFC 4180), under a line that names the columns.
//!
//! ```text
//! key,value,base64
//! text,"text, with a comma",
//! text,/w==,value                 the value is not UTF-8; of a key: key, of both: both
//! 7,9,                            where all have 1, 2, 4 or 8 bytes
//! ```

use super::entry::{Entry, Half, Problem, Written, Wrong};
use crate::plain::Shape;
use csv_core::{ReadRecordResult, Reader};
use std::io::{self, Write};

/// The names of the columns that are written.
const HEADER: &[u8] = b"key,value,base64\n";
/// Bytes that the parser wants to have left.
const SLACK: usize = 8;
const NEXT: &str = "write a first line that names the columns: key,value or key,value,base64";

/// Which column is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    key: usize,
    value: usize,
    base64: Option<usize>,
    count: usize,
}

/// Writes the names of the columns.
pub(super) fn write_header(output: &mut impl Write) -> io::Result<()> {
    output.write_all(HEADER)
}

/// Writes an entry as a record.
pub(super) fn write(output: &mut impl Write, key: &[u8], value: &[u8], shape: Shape) -> io::Result<()> {
    let (key, value) = (Written::new(key, shape.key), Written::new(value, shape.value));
    let base64 = match (&key, &value) {
        (Written::Base64(_), Written::Base64(_)) => "both",
        (Written::Base64(_), _) => "key",
        (_, Written::Base64(_)) => "value",
        _ => "",
    };
    write_field(output, &key)?;
    output.write_all(b",")?;
    write_field(output, &value)?;
    writeln!(output, ",{base64}")
}

fn write_field(output: &mut impl Write, field: &Written<'_>) -> io::Result<()> {
    match field {
        Written::Number(number) => write!(output, "{number}"),
        Written::Base64(text) => output.write_all(text.as_bytes()),
        Written::Text(text) if !needs_quotes(text) => output.write_all(text.as_bytes()),
        Written::Text(text) => {
            output.write_all(b"\"")?;
            for (place, part) in text.split('"').enumerate() {
                output.write_all(if place > 0 { b"\"\"" } else { b"" })?;
                output.write_all(part.as_bytes())?;
            }
            output.write_all(b"\"")
        }
    }
}

/// Also where it need not be: spaces at the ends, which other programs drop, and what other programs take for a formula or a mark.
fn needs_quotes(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r'))
        || text.starts_with([' ', '\u{feff}'])
        || text.ends_with(' ')
}

/// Takes records apart; its memory is used again for the next one.
pub(super) struct Parser {
    reader: Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
}

impl Parser {
    pub(super) fn new() -> Self {
        Self { reader: Reader::new(), output: Vec::new(), ends: vec![0; 16] }
    }

    /// The fields of a record; how many there are.
    fn take_apart(&mut self, record: &[u8]) -> Result<usize, Problem> {
        // Fields are never longer than what they are written as.
        self.output.resize(record.len() + SLACK, 0);
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            let (result, more_read, more_written, more_ended) =
                self.reader.read_record(&record[read..], &mut self.output[written..], &mut self.ends[ended..]);
            (read, written, ended) = (read + more_read, written + more_written, ended + more_ended);
            let wrong = match result {
                // Asked once more, it takes the end of the input for that of the record.
                ReadRecordResult::InputEmpty => continue,
                ReadRecordResult::Record if record[read..].trim_ascii().is_empty() => return Ok(ended),
                ReadRecordResult::End => Wrong::new("no fields", NEXT),
                ReadRecordResult::Record => {
                    Wrong::new("a quote within a field", "put quotes around the field, and write each one in it twice")
                }
                _ => Wrong::new("too many fields", NEXT),
            };
            // It stands somewhere within the record.
            self.reader = Reader::new();
            return Err(wrong.within(record, 0));
        }
    }

    fn field(&self, column: usize) -> &[u8] {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.output[start..self.ends[column]]
    }

    /// The columns that the first record names.
    pub(super) fn header(&mut self, record: &[u8]) -> Result<Columns, Problem> {
        let count = self.take_apart(record)?;
        let (mut key, mut value, mut base64) = (None, None, None);
        for column in 0..count {
            let name = self.field(column);
            let place = match name {
                b"key" => &mut key,
                b"value" => &mut value,
                b"base64" => &mut base64,
                _ => {
                    let what = format!("{:?} is the name of no column", String::from_utf8_lossy(name));
                    return Err(Wrong::new(what, NEXT).within(record, place_of(record, column)));
                }
            };
            if place.replace(column).is_some() {
                return Err(Wrong::new("a column comes twice", NEXT).within(record, place_of(record, column)));
            }
        }
        match (key, value) {
            (Some(key), Some(value)) => Ok(Columns { key, value, base64, count }),
            _ => Err(Problem::at(record, 0, "the columns key and value are not both there", NEXT)),
        }
    }

    /// The entry of a record.
    pub(super) fn read(&mut self, record: &[u8], columns: &Columns, shape: Shape) -> Result<Entry, Problem> {
        let count = self.take_apart(record)?;
        if count != columns.count {
            let what = format!("{count} fields, and the first line names {}", columns.count);
            return Err(Problem::at(record, 0, what, "put quotes around fields with commas in them"));
        }
        let (key_coded, value_coded) = match columns.base64.map_or(&b""[..], |column| self.field(column)) {
            b"" => (false, false),
            b"key" => (true, false),
            b"value" => (false, true),
            b"both" => (true, true),
            other => {
                let what = format!("{:?} does not say what is base64", String::from_utf8_lossy(other));
                let wrong = Wrong::new(what, "write key, value, both or nothing");
                return Err(wrong.within(record, place_of(record, columns.base64.unwrap_or_default())));
            }
        };
        Ok(Entry {
            key: self.half(Half::Key, columns.key, key_coded, record, shape)?,
            value: self.half(Half::Value, columns.value, value_coded, record, shape)?,
        })
    }

    fn half(&self, half: Half, column: usize, is_coded: bool, record: &[u8], shape: Shape) -> Result<Vec<u8>, Problem> {
        let field = self.field(column);
        let bytes = match (is_coded, half.is_number(shape)) {
            (true, _) => half.base64(field, shape),
            (false, false) => half.text(field.to_vec(), shape),
            (false, true) => match std::str::from_utf8(field).ok().and_then(|text| text.trim().parse().ok()) {
                Some(number) => half.number(number, shape),
                None => {
                    let what = format!("the {} {:?} is no number", half.name(), String::from_utf8_lossy(field));
                    Err(Wrong::new(what, "write a whole number from 0 on"))
                }
            },
        };
        bytes.map_err(|wrong| wrong.within(record, place_of(record, column)))
    }
}

/// The byte at which a field begins, behind its quote if it has one.
fn place_of(record: &[u8], column: usize) -> usize {
    let mut is_quoted = false;
    let mut commas = record.iter().enumerate().filter(|(_, byte)| {
        is_quoted ^= **byte == b'"';
        **byte == b',' && !is_quoted
    });
    let start = if column == 0 { 0 } else { commas.nth(column - 1).map_or(0, |(at, _)| at + 1) };
    start + usize::from(record.get(start) == Some(&b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: Shape = Shape { key: Some(8), value: Some(2) };

    fn line(key: &[u8], value: &[u8], shape: Shape) -> String {
        let mut output = Vec::new();
        write(&mut output, key, value, shape).unwrap();
        String::from_utf8(output).unwrap()
    }

    fn read(header: &str, record: &[u8], shape: Shape) -> Result<Entry, Problem> {
        let mut parser = Parser::new();
        let columns = parser.header(header.as_bytes())?;
        parser.read(record, &columns, shape)
    }

    #[test]
    fn a_record_shows_what_can_be_shown() {
        let any = Shape::default();
        assert_eq!(line(b"a", b"b", any), "a,b,\n");
        assert_eq!(line(b"a,", b"say \"b\"\n", any), "\"a,\",\"say \"\"b\"\"\n\",\n");
        assert_eq!(line(b"", b"\xff\0", any), ",/wA=,value\n");
        assert_eq!(line(b"\xff", b"\xff", any), "/w==,/w==,both\n");
        assert_eq!(line(&7u64.to_le_bytes(), &[1, 2], FIXED), "7,513,\n");
    }

    #[test]
    fn columns_may_stand_in_any_order_and_base64_may_be_missing() {
        let entry = read("value,key\r\n", b"b,\"a\"\"\n,\"\r\n", Shape::default()).unwrap();
        assert_eq!(entry, Entry { key: b"a\"\n,".to_vec(), value: b"b".to_vec() });
        let entry = read("base64,value,key\n", b"key,,/w==", Shape::default()).unwrap();
        assert_eq!(entry, Entry { key: vec![0xff], value: Vec::new() });
        assert_eq!(read("key,value\n", b"\"7\", 513 \n", FIXED).unwrap().value, [1, 2]);
        assert_eq!(read("key,value\n", b",\n", Shape::default()).unwrap().key, b"", "all of it may be empty");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_column() {
        let (short, long) = ("key,value\n", "key,value,base64\n");
        for (header, record, shape, column, said) in [
            ("key,vlaue\n", &b""[..], Shape::default(), 5, "vlaue"),
            ("key,key\n", b"", Shape::default(), 5, "twice"),
            ("key\n", b"", Shape::default(), 1, "not both"),
            (short, b"a,b,c\n", Shape::default(), 1, "3 fields"),
            (short, b"a\n", Shape::default(), 1, "1 fields"),
            (short, b"a\"b,c\nd,e\"f\n", Shape::default(), 1, "a quote within"),
            (long, b"a,b,maybe\n", Shape::default(), 5, "maybe"),
            (long, b"\"a,\",\"/w*=\",value\n", Shape::default(), 9, "no base64"),
            (short, b"7,x\n", FIXED, 3, "no number"),
            (short, b"7,65536\n", FIXED, 3, "no place in 2 bytes"),
        ] {
            let problem = read(header, record, shape).unwrap_err();
            let shown = String::from_utf8_lossy(record);
            assert!(problem.what.contains(said), "{shown}: {problem:?}");
            assert_eq!(problem.column, column, "{shown}: {problem:?}");
        }
    }
}
