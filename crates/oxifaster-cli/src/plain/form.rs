//! How bytes are written as text.

use clap::ValueEnum;
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

/// What the user writes a key or a value as, and sees it as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// As a number if all have 1, 2, 4 or 8 bytes, as hexadecimal digits if all have another length, else as they are
    Auto,
    /// The bytes as they are
    Raw,
    /// Hexadecimal digits
    Hex,
    /// Base64
    Base64,
    /// A whole number, little-endian in the store
    Number,
}

impl Form {
    /// The form for bytes that all have this length, if they have one.
    fn settled(self, size: Option<usize>) -> Self {
        match (self, size) {
            (Self::Auto, Some(size)) if is_number(size) => Self::Number,
            (Self::Auto, Some(_)) => Self::Hex,
            (Self::Auto, None) => Self::Raw,
            (form, _) => form,
        }
    }

    /// The bytes that `text` stands for, where all have `size` bytes if that is told. If it stands for none: what is wrong, and
    /// what to give instead.
    pub(super) fn read(self, text: &[u8], size: Option<usize>) -> Result<Vec<u8>, (String, String)> {
        let bytes = match self.settled(size) {
            Self::Number => number(text.trim_ascii(), size)?,
            Self::Hex => {
                let digits = text.trim_ascii();
                HEXLOWER_PERMISSIVE.decode(digits.strip_prefix(b"0x").unwrap_or(digits)).map_err(|error| {
                    (format!("no hexadecimal digits: {error}"), "give two digits for each byte".to_owned())
                })?
            }
            Self::Base64 => BASE64.decode(text.trim_ascii()).map_err(|error| {
                (format!("no base64: {error}"), "give the standard alphabet, with = at the end".to_owned())
            })?,
            _ => text.to_vec(),
        };
        match size.filter(|size| *size != bytes.len()) {
            None => Ok(bytes),
            Some(size) => Err((
                format!("{} bytes, and in this store it has {size}", bytes.len()),
                "give as many, or another form (--key-as, --value-as)".to_owned(),
            )),
        }
    }

    /// The text for `bytes`, and whether a line feed belongs behind it.
    pub(super) fn show(self, bytes: Vec<u8>, size: Option<usize>) -> (Vec<u8>, bool) {
        match self.settled(size) {
            Self::Number if bytes.len() <= 8 => (number_of(&bytes).to_string().into_bytes(), true),
            Self::Number | Self::Hex => (HEXLOWER.encode(&bytes).into_bytes(), true),
            Self::Base64 => (BASE64.encode(&bytes).into_bytes(), true),
            _ => (bytes, false),
        }
    }
}

/// True if bytes of this length are shown as numbers.
pub(crate) const fn is_number(size: usize) -> bool {
    matches!(size, 1 | 2 | 4 | 8)
}

/// The number in at most 8 bytes.
pub(crate) fn number_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The `size` bytes of a number; `None` if it needs more.
pub(crate) fn bytes_of(number: u64, size: usize) -> Option<Vec<u8>> {
    let (bytes, rest) =
        number.to_le_bytes().split_at_checked(size).map(|(bytes, rest)| (bytes.to_vec(), rest.to_vec()))?;
    rest.iter().all(|byte| *byte == 0).then_some(bytes)
}

fn number(text: &[u8], size: Option<usize>) -> Result<Vec<u8>, (String, String)> {
    let Some(size) = size.filter(|size| *size <= 8) else {
        return Err((
            "a number, and this store does not say how many bytes that has".to_owned(),
            "give the bytes, as raw, hex or base64".to_owned(),
        ));
    };
    let text = String::from_utf8_lossy(text);
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().and_then(|number| bytes_of(number, size)).ok_or_else(|| {
        let largest = u64::MAX >> (64 - 8 * size.max(1));
        (format!("{text:?} is no number of {size} bytes"), format!("give a whole number up to {largest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn what_is_shown_is_read_back() {
        let all: [&[u8]; 6] = [b"", b"text", b"\xff\0\n", b"12345678", b"\x01\0\0\0", b" spaces and a line\n"];
        for bytes in all {
            for form in Form::value_variants() {
                for size in [None, Some(bytes.len())] {
                    if *form == Form::Number && !size.is_some_and(is_number) {
                        continue;
                    }
                    let (text, _) = form.show(bytes.to_vec(), size);
                    assert_eq!(form.read(&text, size).as_deref(), Ok(bytes), "{form:?}, {size:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_fit_or_are_refused() {
        assert_eq!(Form::Auto.read(b"513", Some(2)), Ok(vec![1, 2]));
        assert_eq!(Form::Auto.read(b"0x0201\n", Some(2)), Ok(vec![1, 2]));
        assert_eq!(Form::Auto.read(u64::MAX.to_string().as_bytes(), Some(8)), Ok(vec![0xff; 8]));
        for wrong in ["65536", "-1", "", "x", "1.5", "18446744073709551616"] {
            let (what, next) = Form::Number.read(wrong.as_bytes(), Some(2)).unwrap_err();
            assert!(what.contains("number") && next.contains("65535"), "{what}; {next}");
        }
        assert!(Form::Number.read(b"1", None).is_err(), "of any length");
    }

    #[test]
    fn lengths_and_digits_that_do_not_fit_are_refused() {
        assert!(Form::Hex.read(b"abc", None).unwrap_err().0.contains("hexadecimal"));
        assert!(Form::Base64.read(b"abc", None).unwrap_err().0.contains("base64"));
        assert!(Form::Raw.read(b"abc", Some(8)).unwrap_err().0.contains("3 bytes, and in this store it has 8"));
        assert_eq!(Form::Hex.read(b"0xABcd", None), Ok(vec![0xab, 0xcd]));
    }
}
