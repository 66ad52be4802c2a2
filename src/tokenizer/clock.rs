//! The date, for templates that print it.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Python's `strftime` in UTC, in the C locale.
///
/// # Errors
/// A directive that is not known here.
pub(super) fn strftime(format: &str, time: SystemTime) -> Result<String, String> {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (year, month, day, day_of_year) = civil(days);
    let weekday = (days + 3) % 7; // 1970 began on a Thursday
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[weekday as usize]);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        _ = match chars.next() {
            Some('Y') => write!(out, "{year}"),
            Some('y') => write!(out, "{:02}", year % 100),
            Some('m') => write!(out, "{month:02}"),
            Some('B') => write!(out, "{month_name}"),
            Some('b') => write!(out, "{}", &month_name[..3]),
            Some('d') => write!(out, "{day:02}"),
            Some('j') => write!(out, "{day_of_year:03}"),
            Some('A') => write!(out, "{day_name}"),
            Some('a') => write!(out, "{}", &day_name[..3]),
            Some('H') => write!(out, "{hour:02}"),
            Some('I') => write!(out, "{:02}", (hour + 11) % 12 + 1),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{second:02}"),
            Some('p') => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('%') => write!(out, "%"),
            other => {
                let directive = other.map(String::from).unwrap_or_default();
                return Err(format!("strftime_now: unknown directive '%{directive}'"));
            }
        };
    }
    Ok(out)
}

/// Year, month, day and day of the year (all from 1) of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(400) || (year.is_multiple_of(4) && !year.is_multiple_of(100));
    // 400 years have the same days again.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let day_of_year = left + 1;
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < len {
            break;
        }
        left -= len;
        month += 1;
    }
    (year, month, left + 1, day_of_year)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_python() {
        let format = "%Y %y %m %B %b %d %j %A %a %H %I %M %S %p %F %T %%";
        for (seconds, expected) in [
            (0, "1970 70 01 January Jan 01 001 Thursday Thu 00 12 00 00 AM 1970-01-01 00:00:00 %"),
            (951_782_399, "2000 00 02 February Feb 28 059 Monday Mon 23 11 59 59 PM 2000-02-28 23:59:59 %"),
            (951_825_600, "2000 00 02 February Feb 29 060 Tuesday Tue 12 12 00 00 PM 2000-02-29 12:00:00 %"),
            (
                1_798_761_599,
                "2026 26 12 December Dec 31 365 Thursday Thu 23 11 59 59 PM 2026-12-31 23:59:59 %",
            ),
            (4_107_542_400, "2100 00 03 March Mar 01 060 Monday Mon 00 12 00 00 AM 2100-03-01 00:00:00 %"),
        ] {
            assert_eq!(strftime(format, UNIX_EPOCH + Duration::from_secs(seconds)).unwrap(), expected);
        }
        assert_eq!(strftime("%Q", UNIX_EPOCH).unwrap_err(), "strftime_now: unknown directive '%Q'");
        assert!(strftime("%", UNIX_EPOCH).is_err());
    }
}
