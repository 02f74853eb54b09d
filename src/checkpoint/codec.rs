//! The bytes of a manifest, format version 1.
//!
//! ```text
//! oxifaster manifest 1\n     the format's version
//! length 812\n               bytes of the body
//! { ... }\n                  the body: JSON
//! crc32c 1c0ffee5\n          over everything above
//! ```
//!
//! The frame is the same in all versions. A damaged manifest is thus told from an intact one that a later version wrote.

use super::check::{Fault, check};
use super::manifest::Manifest;
use super::wire::Body;
use crate::error::{Error, ErrorKind, Result};
use crate::utility::crc32c;

const MAGIC: &[u8] = b"oxifaster manifest ";
const LENGTH: &[u8] = b"length ";
const VERSION: u64 = 1;
/// Bytes of the last line: `crc32c `, eight digits, the end of the line.
const LAST_LINE: usize = 16;

impl Manifest {
    /// No manifest is longer: 64 MiB, enough for half a million sessions.
    pub const SIZE_MAX: u64 = 64 << 20;

    /// The manifest as the bytes of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it contradicts itself, so that nobody could read it; the error names the field.
    /// [`ErrorKind::Limit`] if it is longer than [`SIZE_MAX`](Self::SIZE_MAX).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let contradicts = |fault: Fault| {
            Error::new(ErrorKind::Config, "the manifest of a checkpoint contradicts itself").because(fault.into_error())
        };
        check(self).map_err(contradicts)?;
        let body = serde_json::to_vec_pretty(&Body::from(self)).map_err(|error| {
            Error::new(ErrorKind::Config, "the manifest of a checkpoint cannot be written down").because(error)
        })?;
        let mut bytes = [MAGIC, format!("{VERSION}\n").as_bytes(), LENGTH].concat();
        bytes.extend(format!("{}\n", body.len()).into_bytes());
        bytes.extend(body);
        bytes.push(b'\n');
        bytes.extend(last_line(&bytes));
        if bytes.len() as u64 > Self::SIZE_MAX {
            return Err(Error::new(ErrorKind::Limit, "the manifest of a checkpoint is too long")
                .with("bytes", bytes.len())
                .with("most", Self::SIZE_MAX)
                .with("sessions", self.sessions.len())
                .help("end sessions that nobody will continue"));
        }
        Ok(bytes)
    }

    /// Reads a manifest. Accepts any bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if these are not the bytes that were written, or contradict each other; the error names the
    /// `offset`. [`ErrorKind::Unsupported`] if they are intact but of a format that this version does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let frame = Frame::parse(bytes)?;
        if frame.version != VERSION {
            return Err(unsupported(frame.version));
        }
        let body: Body = serde_json::from_slice(frame.body).map_err(|error| {
            let offset = frame.offset + place(frame.body, error.line(), error.column());
            corrupt("the body of a manifest makes no sense", offset).because(error)
        })?;
        let manifest = body.into_manifest().map_err(|error| error.with("offset", frame.offset))?;
        check(&manifest).map_err(|fault| fault.into_error().with("offset", frame.offset))?;
        Ok(manifest)
    }
}

#[cold]
fn unsupported(version: u64) -> Error {
    Error::new(ErrorKind::Unsupported, "the manifest has a format that this version does not know")
        .with("format", version)
        .with("format known", VERSION)
        .with("offset", MAGIC.len())
        .help(
            "open the store with the version that wrote it or a later one; \"Upgrading\" in docs/format.md says which",
        )
}

#[cold]
fn corrupt(what: &'static str, offset: usize) -> Error {
    Error::new(ErrorKind::Corrupt, what).with("offset", offset)
}

fn last_line(covered: &[u8]) -> Vec<u8> {
    format!("crc32c {:08x}\n", crc32c(covered)).into_bytes()
}

/// Where in the body the parser was when it gave up; its columns count from 1.
fn place(body: &[u8], line: usize, column: usize) -> usize {
    let starts = body.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(starts).nth(line.saturating_sub(1)).unwrap_or(body.len());
    (start + column.saturating_sub(1)).min(body.len())
}

/// What all versions have in common.
struct Frame<'a> {
    version: u64,
    body: &'a [u8],
    /// Where the body begins.
    offset: usize,
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        reader.expect(MAGIC, "this is not a manifest")?;
        let version = reader.number("the first line of a manifest does not end with its version")?;
        reader.expect(LENGTH, "the second line of a manifest does not say its length")?;
        let length = reader.number("the second line of a manifest does not say its length")?;
        let offset = reader.at;
        let actual = bytes.len() as u64;
        let expected = length.saturating_add((offset + 1 + LAST_LINE) as u64);
        if expected != actual {
            let what = if actual < expected { "a manifest is cut off" } else { "a manifest has bytes behind its end" };
            return Err(corrupt(what, expected.min(actual) as usize)
                .with("bytes", actual)
                .with("bytes expected", expected));
        }
        let end = bytes.len() - LAST_LINE;
        let (covered, stored) = bytes.split_at(end);
        let computed = last_line(covered);
        if stored != computed {
            return Err(corrupt("the checksum of a manifest does not match", end)
                .with("last line", stored.escape_ascii())
                .with("last line expected", computed.escape_ascii())
                .help("restore the file from a copy, or go back to an earlier checkpoint"));
        }
        match covered[offset..].split_last() {
            Some((b'\n', body)) => Ok(Self { version, body, offset }),
            _ => Err(corrupt("the body of a manifest does not end with its line", end)),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn expect(&mut self, text: &[u8], otherwise: &'static str) -> Result<()> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(text) {
            self.at += text.len();
            return Ok(());
        }
        let same = rest.iter().zip(text).take_while(|(found, expected)| found == expected).count();
        Err(corrupt(otherwise, self.at + same))
    }

    /// A number as this module writes it, without leading zeros, and the end of its line.
    fn number(&mut self, otherwise: &'static str) -> Result<u64> {
        let rest = &self.bytes[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).take(20).count();
        let number = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse::<u64>().ok());
        match number {
            Some(number) if rest.get(digits) == Some(&b'\n') && (digits == 1 || rest[0] != b'0') => {
                self.at += digits + 1;
                Ok(number)
            }
            _ => Err(corrupt(otherwise, self.at + digits)),
        }
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use proptest::prelude::*;

    /// The manifest with another body, framed as it should be.
    fn framed(version: u64, body: &str) -> Vec<u8> {
        let mut bytes = format!("oxifaster manifest {version}\nlength {}\n{body}\n", body.len()).into_bytes();
        bytes.extend(last_line(&bytes));
        bytes
    }

    fn body_of(bytes: &[u8]) -> String {
        String::from_utf8(Frame::parse(bytes).unwrap().body.to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(manifest in sample::any_manifest()) {
            let bytes = manifest.to_bytes().unwrap();
            prop_assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest);
        }

        #[test]
        fn any_bytes_give_a_manifest_or_an_error(bytes: Vec<u8>) {
            prop_assert!(Manifest::from_bytes(&bytes).is_err());
        }

        /// The frame is right, so that the parser of the body gets to see the rest.
        #[test]
        fn any_body_gives_a_manifest_or_an_error(body: String) {
            let error = Manifest::from_bytes(&framed(1, &body)).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        }

        /// A number anywhere in the body is replaced: the result is another manifest or an error, never a panic.
        #[test]
        fn any_number_in_a_field_gives_a_manifest_or_an_error(at: prop::sample::Index, number: u64) {
            let body = body_of(&sample::snapshot(1).to_bytes().unwrap());
            let starts: Vec<usize> = body.match_indices(": ").map(|(at, _)| at + 2).collect();
            let start = starts[at.index(starts.len())];
            let end = start + body[start..].find([',', '\n']).unwrap();
            let changed = format!("{}{number}{}", &body[..start], &body[end..]);
            if let Ok(manifest) = Manifest::from_bytes(&framed(1, &changed)) {
                prop_assert_eq!(body_of(&manifest.to_bytes().unwrap()), changed);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error_with_an_offset() {
        let bytes = sample::snapshot(1).to_bytes().unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let error = Manifest::from_bytes(&damaged).expect_err("a flipped bit");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}, bit {bit}: {error}");
                let offset: usize = error.field("offset").unwrap().parse().unwrap();
                assert!(offset <= bytes.len(), "{error}");
            }
        }
    }

    #[test]
    fn every_prefix_and_every_longer_file_is_an_error() {
        let bytes = sample::snapshot(1).to_bytes().unwrap();
        for len in 0..bytes.len() {
            let error = Manifest::from_bytes(&bytes[..len]).unwrap_err();
            assert!(error.field("offset").unwrap().parse::<usize>().unwrap() <= len, "{len} bytes: {error}");
        }
        let error = Manifest::from_bytes(&[bytes.as_slice(), b"\n"].concat()).unwrap_err();
        assert_eq!(error.field("offset"), Some(bytes.len().to_string().as_str()));
    }

    #[test]
    fn a_later_format_is_told_from_damage_and_says_what_to_do() {
        let error = Manifest::from_bytes(&framed(2, "a body of the future")).unwrap_err();
        assert_eq!((error.kind(), error.field("format")), (ErrorKind::Unsupported, Some("2")));
        assert!(error.to_string().contains("docs/format.md"), "{error}");
        let mut damaged = framed(2, "a body of the future");
        damaged[30] ^= 1;
        assert_eq!(Manifest::from_bytes(&damaged).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn fields_are_neither_missing_nor_unknown_nor_twice_there() {
        let body = body_of(&sample::snapshot(1).to_bytes().unwrap());
        for line in ["\"base\": null,", "\"version\": 3,", "\"aborted\": ["] {
            assert!(body.contains(line), "{line} in {body}");
        }
        for (from, to) in [
            ("  \"base\": null,\n", ""),
            ("\"base\": null,", "\"base\": null, \"more\": 1,"),
            ("\"base\": null,", "\"base\": null, \"base\": null,"),
            ("\"kind\": \"snapshot\"", "\"kind\": \"memory\""),
            ("\"version\": 3,", "\"version\": 3.0,"),
            ("\"version\": 3,", "\"version\": -3,"),
            ("\"version\": 3,", "\"version\": 18446744073709551616,"),
            ("\"begin\": 64,", "\"begin\": 281474976710656,"),
        ] {
            let changed = body.replacen(from, to, 1);
            assert_ne!(changed, body, "{from}");
            let error = Manifest::from_bytes(&framed(1, &changed)).expect_err(to);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }

    #[test]
    fn the_offset_of_a_wrong_field_is_where_it_stands() {
        let bytes = sample::snapshot(1).to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let body = body_of(text.as_bytes()).replacen("\"version\": 3,", "\"version\": x,", 1);
        let bytes = framed(1, &body);
        let error = Manifest::from_bytes(&bytes).unwrap_err();
        let offset: usize = error.field("offset").unwrap().parse().unwrap();
        assert_eq!(bytes[offset], b'x', "{error}");
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_not_written() {
        let mut manifest = sample::snapshot(1);
        manifest.sessions.push(manifest.sessions[0]);
        let error = manifest.to_bytes().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("sessions[2].guid"), "{error}");
    }
}
