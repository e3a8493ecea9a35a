//! Points in time: as documents write them, and as users and indexes give them.

use std::fmt;
use std::str::FromStr;

/// The last second of the year 9999, the last that RFC 3339 can write.
const MAX: i64 = 253_402_300_799;

/// Seconds since 1970 as RFC 3339 in UTC; `None` outside of the years 1970 to 9999.
pub fn rfc3339(seconds: i64) -> Option<String> {
    if !(0..=MAX).contains(&seconds) {
        return None;
    }
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March here, so that the leap day is a year's last; an era is 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// A point in time, in microseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is neither a date nor a point in time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is neither a date such as 2024-05-31 nor a time such as 2024-05-31T12:00:00Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// Reads an RFC 3339 time with its offset, such as `2024-05-31T12:00:00.5Z`.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let days = days_since_1970(date)?;
        let zone = time.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = time.split_at(zone);
        let offset_minutes = match zone {
            "Z" | "z" => 0,
            zone => {
                let (hours, minutes) = zone[1..].split_once(':')?;
                let minutes = number(hours, 2, 23)? * 60 + number(minutes, 2, 59)?;
                if zone.starts_with('-') { -minutes } else { minutes }
            }
        };
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut parts = clock.split(':');
        let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
        let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some() || !is_fraction {
            return None;
        }
        // A leap second counts as the last second of its minute.
        let second = number(second, 2, 60)?.min(59);
        let seconds = days * 86_400 + number(hour, 2, 23)? * 3_600 + number(minute, 2, 59)? * 60 + second;
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
        let micros = digits.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
        Some(Self((seconds - offset_minutes * 60) * 1_000_000 + micros))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads a time, or a date: the end of that day in UTC.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let text = text.trim();
        let end_of_day = || days_since_1970(text).map(|days| Self((days + 1) * 86_400 * 1_000_000));
        Self::from_rfc3339(text)
            .or_else(end_of_day)
            .ok_or_else(|| TimestampError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        let text = rfc3339(seconds).unwrap_or_else(|| format!("{seconds}"));
        match micros {
            0 => f.write_str(&text),
            micros => write!(f, "{}.{micros:06}Z", text.trim_end_matches('Z')),
        }
    }
}

/// The days from 1970 to a date `YYYY-MM-DD`, which may be before.
fn days_since_1970(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (number(year, 4, 9_999)?, number(month, 2, 12)?, number(day, 2, 31)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if parts.next().is_some() || month == 0 || day == 0 || day > length {
        return None;
    }
    // Years are counted from March, as in `rfc3339`.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// A number of exactly so many digits, no greater than `most`.
fn number(text: &str, digits: usize, most: i64) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?.filter(|number| *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds).as_deref(), Some(text));
        }
        assert_eq!(rfc3339(-1), None);
        assert_eq!(rfc3339(MAX + 1), None);
    }

    #[test]
    fn times_and_dates_are_read_and_nothing_else() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().to_string();
        for (text, expected) in [
            ("2024-02-29", "2024-03-01T00:00:00Z"),
            ("2023-12-31", "2024-01-01T00:00:00Z"),
            ("2024-05-31T12:00:00Z", "2024-05-31T12:00:00Z"),
            ("2024-05-31T12:00:00.25+02:00", "2024-05-31T10:00:00.250000Z"),
            ("2024-05-31t23:59:60z", "2024-05-31T23:59:59Z"),
            ("2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05.123456Z"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        for bad in
            ["", "2024", "2023-02-29", "2024-13-01", "2024-1-1", "2024-05-31T12:00:00", "yesterday", "1 week"]
        {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        let read = |text: &str| Timestamp::from_rfc3339(text);
        assert!(read("2024-05-31T12:00:00.5Z") > read("2024-05-31T12:00:00Z"));
        assert_eq!(read("2024-05-31"), None);
    }
}
