//! Points in time for people and machines.

/// Milliseconds since the Unix epoch as `2026-01-31 23:59:59`, in UTC. `None` beyond the year 9999.
pub(crate) fn utc(milliseconds: u64) -> Option<String> {
    let seconds = milliseconds / 1000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days)?;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

/// Year, month and day of the day with this number since 1970-01-01.
fn date(mut days: u64) -> Option<(u64, u64, u64)> {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    for year in 1970..10_000 {
        let february = if is_leap(year) { 29 } else { 28 };
        for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            if days < length {
                return Some((year, month, days + 1));
            }
            days -= length;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_767_225_600, "2026-01-01 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(utc(seconds * 1000 + 999).as_deref(), Some(expected));
        }
        assert_eq!(utc(253_402_300_800_000), None);
        assert_eq!(utc(u64::MAX), None);
    }
}
