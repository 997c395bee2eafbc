//! How numbers, names and moments look in a table, the same in every one.

use std::borrow::Cow;

use crate::{clean, library};

/// Characters of a function's name; those of generic code run to thousands.
const NAME_CHARS_MAX: usize = 120;
/// Characters of a path.
const PATH_CHARS_MAX: usize = 100;

/// The relative standard error of what is estimated from `samples`: about one over their root. `-` when it is
/// not known from how many.
pub(crate) fn error_text(samples: u64, exact: bool) -> String {
    match samples {
        _ if exact => "exact".to_owned(),
        0 => "-".to_owned(),
        samples => format!("{:.1} %", 100.0 / (samples as f64).sqrt()),
    }
}

/// `part` of `all`.
pub(crate) fn percent(part: u64, all: u64) -> String {
    if all == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / all as f64) }
}

/// A function's name, fit for a line.
pub(crate) fn short_name(function: &str) -> String {
    clean::shortened(&clean::line(function), NAME_CHARS_MAX).into_owned()
}

/// `  file:line`, as far as they are known.
pub(crate) fn place(file: Option<&str>, line: Option<u32>) -> String {
    let Some(file) = file else { return String::new() };
    let file: Cow<'_, str> = clean::line(library::short_file(file));
    let file = clean::shortened(&file, PATH_CHARS_MAX);
    match line {
        Some(line) => format!("  {file}:{line}"),
        None => format!("  {file}"),
    }
}

/// A span of time in its largest fitting unit: `40 s`, `12 min`, `3 h`, `5 d`.
pub(crate) fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    // From two of a unit on: `90 s` says more than `1 min`.
    match UNITS.iter().find(|&&(unit, _)| ms / unit >= 2) {
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}

/// Milliseconds as seconds.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A moment in UTC: `2026-11-21T13:05:38Z`.
pub(crate) fn moment(unix_ms: u64) -> String {
    let (days, of_day) = (unix_ms / 86_400_000, unix_ms / 1000 % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day since 1970. Counted in years that begin in March, so that the leap day is the
/// last of its year, and in 400 of them, which always have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_795_266_338_999, "2026-11-21T13:05:38Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(unix_ms), text);
        }
        assert!(moment(u64::MAX).ends_with('Z'), "the end of time is no panic");
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        for (ms, text) in
            [(0, "0 ms"), (1999, "1999 ms"), (90_000, "90 s"), (7_200_000, "2 h"), (1 << 30, "12 d")]
        {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn errors_come_from_the_number_of_samples() {
        assert_eq!(error_text(400, false), "5.0 %");
        assert_eq!(error_text(0, false), "-");
        assert_eq!(error_text(0, true), "exact");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(0, 0), "-");
    }
}
