//! Names of checkpoints.

use super::file_name::{FileName, Role};
use crate::error::{Error, ErrorKind};
use crate::utility::random_bits;
use std::fmt;
use std::str::FromStr;

/// Names a checkpoint: 32 hexadecimal digits when printed, and when read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointToken(u128);

impl CheckpointToken {
    /// Digits of a token.
    const DIGITS: usize = 32;

    /// The token with this number.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// A token that no other checkpoint has, anywhere.
    pub fn random() -> Self {
        Self(u128::from(random_bits()) << 64 | u128::from(random_bits()))
    }

    /// The number.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// The file that says what belongs to this checkpoint.
    pub fn manifest_file(self) -> String {
        self.file(Role::Manifest)
    }

    /// The file for the part of the log that this checkpoint keeps beside the device.
    pub fn log_file(self) -> String {
        self.file(Role::Log)
    }

    /// The file for the image of the index that was taken with this checkpoint.
    pub fn index_file(self) -> String {
        self.file(Role::Index)
    }

    pub(super) fn file(self, role: Role) -> String {
        FileName { token: self, role }.to_string()
    }

    /// The token in `text`, if it is 32 hexadecimal digits and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let all_digits = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if all_digits { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl FromStr for CheckpointToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(2 * Self::DIGITS).collect();
            Error::new(ErrorKind::Config, "reading the name of a checkpoint")
                .with("value", format_args!("{shown:?}"))
                .help("give the 32 hexadecimal digits before `.manifest`")
        })
    }
}

impl fmt::Display for CheckpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CheckpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointToken({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn a_printed_token_is_read_back(number: u128) {
            let token = CheckpointToken::new(number);
            prop_assert_eq!(token.to_string().parse::<CheckpointToken>().unwrap(), token);
        }
    }

    #[test]
    fn anything_but_32_digits_is_refused_with_what_to_give() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert!(digits.parse::<CheckpointToken>().is_ok() && digits.to_uppercase().parse::<CheckpointToken>().is_ok());
        let long = "0".repeat(1 << 20);
        for wrong in
            ["", "latest", &digits[1..], "+123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdeg", &long]
        {
            let error = wrong.parse::<CheckpointToken>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{wrong}");
            assert!(error.to_string().contains("32 hexadecimal digits") && error.to_string().len() < 300, "{error}");
        }
    }

    #[test]
    fn random_tokens_differ_in_both_halves() {
        let tokens: Vec<u128> = (0..1000).map(|_| CheckpointToken::random().get()).collect();
        assert_eq!(tokens.iter().map(|token| token >> 64).collect::<HashSet<_>>().len(), 1000);
        assert_eq!(tokens.iter().map(|token| *token as u64).collect::<HashSet<_>>().len(), 1000);
    }
}
