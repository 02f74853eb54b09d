//! Entries as lines of JSON.
//!
//! ```text
//! {"key":"text","value":"text"}
//! {"key_base64":"/w==","value":"text"}        bytes that are not UTF-8
//! {"key":7,"value":9}                         where all have 1, 2, 4 or 8 bytes
//! ```

use super::entry::{Entry, Half, Problem, Written, Wrong};
use crate::plain::Shape;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::{self, Write};

/// What is written.
#[derive(Default, Serialize)]
struct Line<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Scalar<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Scalar<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Scalar<'e> {
    Number(u64),
    Text(&'e str),
}

/// What is read, each field where it lies in the line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'l> {
    #[serde(borrow)]
    key: Option<&'l RawValue>,
    #[serde(borrow)]
    key_base64: Option<&'l RawValue>,
    #[serde(borrow)]
    value: Option<&'l RawValue>,
    #[serde(borrow)]
    value_base64: Option<&'l RawValue>,
}

/// Writes an entry as a line.
pub(super) fn write(output: &mut impl Write, key: &[u8], value: &[u8], shape: Shape) -> io::Result<()> {
    let mut line = Line::default();
    match Written::new(key, shape.key) {
        Written::Number(number) => line.key = Some(Scalar::Number(number)),
        Written::Text(text) => line.key = Some(Scalar::Text(text)),
        Written::Base64(text) => line.key_base64 = Some(text),
    }
    match Written::new(value, shape.value) {
        Written::Number(number) => line.value = Some(Scalar::Number(number)),
        Written::Text(text) => line.value = Some(Scalar::Text(text)),
        Written::Base64(text) => line.value_base64 = Some(text),
    }
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}

/// Reads the entry of a line.
pub(super) fn read(record: &[u8], shape: Shape) -> Result<Entry, Problem> {
    let fields: Fields<'_> = serde_json::from_slice(record).map_err(|error| {
        let text = error.to_string();
        // It says the place itself, at its end.
        let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
        let next = "write an object in each line: {\"key\":\"...\",\"value\":\"...\"}";
        Problem::at(record, error.column().saturating_sub(1), format!("no entry: {what}"), next)
    })?;
    Ok(Entry {
        key: half(Half::Key, (fields.key, fields.key_base64), record, shape)?,
        value: half(Half::Value, (fields.value, fields.value_base64), record, shape)?,
    })
}

type Given<'l> = (Option<&'l RawValue>, Option<&'l RawValue>);

fn half(half: Half, given: Given<'_>, record: &[u8], shape: Shape) -> Result<Vec<u8>, Problem> {
    let name = half.name();
    match given {
        (Some(field), None) => {
            let bytes = match serde_json::from_str::<serde_json::Value>(field.get()) {
                Ok(serde_json::Value::String(text)) => half.text(text.into_bytes(), shape),
                Ok(serde_json::Value::Number(number)) => match number.as_u64() {
                    Some(number) => half.number(number, shape),
                    None => Err(Wrong::new(format!("the {name} {number} is no whole number from 0 on"), "write one")),
                },
                Ok(_) => {
                    Err(Wrong::new(format!("the {name} is neither text nor a number"), "write it as text in quotes"))
                }
                Err(error) => Err(Wrong::new(format!("the {name} cannot be read: {error}"), "write it in base64")),
            };
            bytes.map_err(|wrong| wrong.within(record, place_of(field, record)))
        }
        (None, Some(field)) => {
            let bytes = match serde_json::from_str::<String>(field.get()) {
                // The text begins behind the quote.
                Ok(text) => half.base64(text.as_bytes(), shape).map_err(|wrong| Wrong { at: wrong.at + 1, ..wrong }),
                Err(_) => Err(Wrong::new(format!("{name}_base64 is no text"), "write it in quotes")),
            };
            bytes.map_err(|wrong| wrong.within(record, place_of(field, record)))
        }
        (Some(_), Some(field)) => {
            let wrong = Wrong::new(format!("{name} and {name}_base64 are both there"), "write one of them");
            Err(wrong.within(record, place_of(field, record)))
        }
        (None, None) => {
            Err(Wrong::new(format!("there is no {name}"), "write it as \"key\" and \"value\", or with _base64")
                .within(record, 0))
        }
    }
}

/// Where in the record this part of it lies.
fn place_of(field: &RawValue, record: &[u8]) -> usize {
    (field.get().as_ptr() as usize).saturating_sub(record.as_ptr() as usize)
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

    #[test]
    fn a_line_shows_what_can_be_shown() {
        let any = Shape::default();
        assert_eq!(line(b"a\"b", "\u{e4}\n".as_bytes(), any), "{\"key\":\"a\\\"b\",\"value\":\"\u{e4}\\n\"}\n");
        assert_eq!(line(b"", b"\xff\0", any), "{\"key\":\"\",\"value_base64\":\"/wA=\"}\n");
        assert_eq!(line(&7u64.to_le_bytes(), &[1, 2], FIXED), "{\"key\":7,\"value\":513}\n");
    }

    #[test]
    fn fields_may_stand_in_any_order_and_with_spaces() {
        let entry = read(b"  { \"value_base64\" : \"/wA=\", \"key\": \"\\u00e4\" }\r\n", Shape::default()).unwrap();
        assert_eq!(entry, Entry { key: "\u{e4}".into(), value: vec![0xff, 0] });
        assert_eq!(read(b"{\"key\":7,\"value\":513}", FIXED).unwrap().value, [1, 2]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_column() {
        for (record, shape, column, said) in [
            (&b"{\"key\":\"a\""[..], Shape::default(), 10, "EOF"),
            (b"{\"key\":\"a\",\"vlaue\":\"b\"}", Shape::default(), 18, "unknown field"),
            (b"{\"key\":\"a\"}", Shape::default(), 1, "no value"),
            (b"{\"key\":\"a\",\"value\":[1]}", Shape::default(), 20, "neither text"),
            (b"{\"key\":\"a\",\"value\":1.5}", FIXED, 8, "in this store 8"),
            (b"{\"key\":1,\"value\":1.5}", FIXED, 18, "no whole number"),
            (b"{\"key\":1,\"value\":99999}", FIXED, 18, "no place in 2 bytes"),
            (b"{\"key\":\"value_base64\",\"value_base64\":\"ab*d\"}", Shape::default(), 41, "no base64"),
            (b"{\"key\":\"\\ud800\",\"value\":\"\"}", Shape::default(), 8, "cannot be read"),
            (b"{\"key\":\"a\",\"key_base64\":\"YQ==\",\"value\":\"\"}", Shape::default(), 25, "both there"),
            (b"7", Shape::default(), 1, "no entry"),
        ] {
            let problem = read(record, shape).unwrap_err();
            let shown = String::from_utf8_lossy(record);
            assert!(problem.what.contains(said), "{shown}: {problem:?}");
            assert_eq!(problem.column, column, "{shown}: {problem:?}");
        }
    }
}
