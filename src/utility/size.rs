//! Sizes as people write them: `64k`, `256MiB`, `1.5GiB`. Units are powers of 1024.

use crate::error::{Error, ErrorKind, Result};

/// Every unit from the largest down: its letter and its bytes.
const UNITS: [(char, u64); 4] = [('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

/// What [`parse_size`] accepts, for its error message.
const ACCEPTED: &str = "write a number of bytes, or a number and a unit of k, M, G, T (also KiB, MiB, GiB, TiB; powers \
                        of 1024), such as 4096, 64k, 256MiB or 1.5GiB";

/// The number of bytes that `text` names.
///
/// A number without a unit (or with `B`) is bytes. The units are `k`, `M`, `G` and `T`, in either case, optionally
/// followed by `iB`; all are powers of 1024. `kB` and `MB` are refused, because people disagree on what they mean. A
/// fraction is accepted with a unit, and a part of a byte is dropped.
///
/// ```
/// use oxifaster::utility::parse_size;
/// assert_eq!(parse_size("1.5GiB").unwrap(), 3 << 29);
/// assert_eq!(parse_size("64k").unwrap(), 65_536);
/// assert!(parse_size("10MB").unwrap_err().to_string().contains("256MiB"));
/// ```
///
/// # Errors
/// `Config` if the text is anything else or names more than `u64::MAX` bytes.
pub fn parse_size(text: &str) -> Result<u64> {
    parse(text.trim()).ok_or_else(|| {
        Error::new(ErrorKind::Config, "reading a size").with("value", format_args!("{text:?}")).help(ACCEPTED)
    })
}

fn parse(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit_bytes(unit.trim_start())?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if unit > 1 => (whole, Some(fraction)),
        Some(_) => return None,
        None => (number, None),
    };
    let whole = u64::try_from(u128::from(whole.parse::<u64>().ok()?) * u128::from(unit)).ok()?;
    let part = match fraction {
        Some(digits) => part_of(digits, unit)?,
        None => 0,
    };
    whole.checked_add(part)
}

/// `0.digits * unit`, rounded down. The digits are at most 19, so that they fit a `u64`.
fn part_of(digits: &str, unit: u64) -> Option<u64> {
    let value = u128::from(digits.parse::<u64>().ok()?);
    let scale = 10u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    u64::try_from(value * u128::from(unit) / scale).ok()
}

fn unit_bytes(unit: &str) -> Option<u64> {
    if unit.is_empty() || unit.eq_ignore_ascii_case("b") {
        return Some(1);
    }
    let mut chars = unit.chars();
    let letter = chars.next()?.to_ascii_uppercase();
    let rest = chars.as_str();
    if !rest.is_empty() && !rest.eq_ignore_ascii_case("ib") {
        return None;
    }
    UNITS.iter().find(|(known, _)| *known == letter).map(|(_, bytes)| *bytes)
}

/// `bytes` for people, with one decimal: `1.5 GiB`, `64 KiB`, `17 B`. Rounded down, so it may name less than there is.
pub fn format_size(bytes: u64) -> String {
    let Some((letter, unit)) = UNITS.iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    let tenths = (bytes % unit) * 10 / unit;
    let whole = bytes / unit;
    if tenths == 0 { format!("{whole} {letter}iB") } else { format!("{whole}.{tenths} {letter}iB") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_in_every_accepted_form() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            (" 17 B ", 17),
            ("64k", 64 << 10),
            ("64K", 64 << 10),
            ("64 KiB", 64 << 10),
            ("256MiB", 256 << 20),
            ("256mib", 256 << 20),
            ("1GiB", 1 << 30),
            ("1.5GiB", 3 << 29),
            ("0.1k", 102),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_accepted_forms() {
        for text in [
            "",
            " ",
            "k",
            "MiB",
            "-1",
            "+1",
            "1.5",
            "1.5B",
            ".5k",
            "1.k",
            "1..5k",
            "1.5.5k",
            "10MB",
            "10kb",
            "1KiBs",
            "1e3",
            "0x10",
            "1 2",
            "16777216T",
            "18446744073709551616",
            "1\u{b5}",
            "\u{661}k",
        ] {
            let error = parse_size(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.to_string().contains("256MiB"), "{error}");
        }
    }

    #[test]
    fn sizes_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (3 << 29, "1.5 GiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_within_a_tenth_of_its_unit(bytes: u64) {
            let back = parse_size(&format_size(bytes)).unwrap();
            prop_assert!(back <= bytes && bytes - back <= bytes / 10 + 1, "{} became {}", bytes, back);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = parse_size(&text);
        }
    }
}
