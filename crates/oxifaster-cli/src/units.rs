//! Numbers for people.

/// Bytes with a binary unit.
pub(crate) fn size(bytes: u64) -> String {
    oxifaster::utility::format_size(bytes)
}

/// A whole number with commas between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three significant digits and a decimal unit: `1.23 M`.
pub(crate) fn rounded(number: f64) -> String {
    let (scaled, unit) = match number {
        _ if number >= 999.5e6 => (number / 1e9, " G"),
        _ if number >= 999.5e3 => (number / 1e6, " M"),
        _ if number >= 999.5 => (number / 1e3, " k"),
        _ => (number, ""),
    };
    format!("{}{unit}", three_digits(scaled))
}

/// A latency in the unit that suits it: `870 ns`, `12.3 us`, `4.56 ms`.
pub(crate) fn latency(nanoseconds: u64) -> String {
    let number = nanoseconds as f64;
    match number {
        _ if number < 999.5 => format!("{nanoseconds} ns"),
        _ if number < 999.5e3 => format!("{} us", three_digits(number / 1e3)),
        _ if number < 999.5e6 => format!("{} ms", three_digits(number / 1e6)),
        _ => format!("{} s", three_digits(number / 1e9)),
    }
}

fn three_digits(number: f64) -> String {
    match number {
        _ if number < 9.995 => format!("{number:.2}"),
        _ if number < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// Reads a count such as `10000000`, `10_000_000`, `500k` or `10M`.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a count: give a whole number, with k, M or G after it if you like (10M)");
    let text_without_unit = text.trim_end_matches(['k', 'K', 'M', 'G']);
    let factor = match &text[text_without_unit.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let digits = text_without_unit.replace('_', "");
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// Reads a size such as `256MiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    oxifaster::utility::parse_size(text)
        .map_err(|_| format!("{text:?} is not a size: give bytes with a unit (64MiB, 1GiB)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(10_000_000), "10,000,000");
        assert_eq!(grouped(123_456), "123,456");
        assert_eq!(rounded(1_234_567.0), "1.23 M");
        assert_eq!(rounded(999_700.0), "1.00 M");
        assert_eq!(rounded(81_240.0), "81.2 k");
        assert_eq!(rounded(12.0), "12.0");
        assert_eq!(latency(870), "870 ns");
        assert_eq!(latency(12_345), "12.3 us");
        assert_eq!(latency(999_999), "1.00 ms");
        assert_eq!(latency(2_500_000_000), "2.50 s");
    }

    #[test]
    fn counts_take_units_and_underscores_and_refuse_the_rest() {
        assert_eq!(parse_count("10M"), Ok(10_000_000));
        assert_eq!(parse_count("10_000"), Ok(10_000));
        assert_eq!(parse_count("20k"), Ok(20_000));
        for wrong in ["", "M", "-1", "1.5M", "10MiB", "99999999999G", "10kk"] {
            assert!(parse_count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_take_binary_units_and_refuse_the_rest() {
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("100"), Ok(100));
        assert!(parse_size("much").unwrap_err().contains("MiB"));
    }
}
