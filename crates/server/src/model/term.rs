//! How long something is to hold: until a time, or for a duration.

use coffer_api::Time;
use jiff::{Span, SpanRelativeTo};

use crate::error::{Error, Result};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400_000_000;

/// The end that a request names, in microseconds: later than `now`, and not by more than `days_max`. `None` when
/// it names none.
pub fn read_end(
    expires_at: Option<Time>,
    duration: Option<&str>,
    now: i64,
    days_max: i64,
) -> Result<Option<i64>> {
    let (field, end) = match (expires_at, duration.filter(|text| !text.is_empty())) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("", "give either `expiresAt` or `duration`"));
        }
        (Some(at), None) => ("expiresAt", at.as_micros()),
        (None, Some(text)) => {
            let refused = || Error::invalid("duration", "must be such as `30m`, `24h` or `7d`");
            ("duration", now.saturating_add(read_duration(text).ok_or_else(refused)?))
        }
    };
    if end <= now {
        return Err(Error::invalid(field, "has passed"));
    }
    match end - now > days_max * DAY {
        true => Err(Error::invalid(field, format!("is more than {days_max} days from now"))),
        false => Ok(Some(end)),
    }
}

/// The seconds that a token is to live, written as such or as a duration of Go; what is left over is dropped.
pub fn read_lifetime(text: &str) -> Result<i64> {
    let seconds = match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok(),
        false => read_duration(text).map(|micros| micros / SECOND),
    };
    let why = "is neither seconds nor a duration such as `1h30m`";
    seconds.ok_or_else(|| Error::invalid("access_token_lifetime", why))
}

/// Such as `24h`, `7d` or `1h30m`, in microseconds; a day has 24 hours.
pub fn read_duration(text: &str) -> Option<i64> {
    let span: Span = Some(text).filter(|text| text.len() <= 32)?.parse().ok()?;
    let long = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    i64::try_from(long.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, expected) in [
            ("24h", Some(DAY)),
            ("7d", Some(7 * DAY)),
            ("1h30m", Some(5_400_000_000)),
            ("90s", Some(90_000_000)),
            ("2w", Some(14 * DAY)),
            ("0s", None),
            ("-1h", None),
            ("1y", None),
            ("5", None),
            ("", None),
            ("soon", None),
            ("31d", None),
            ("99999999999999999999h", None),
        ] {
            let end = read_end(None, Some(text), 0, 30).ok().flatten();
            assert_eq!(end, expected, "{text}");
        }
        for (text, seconds) in [
            ("3600", Some(3600)),
            ("0", Some(0)),
            ("39600s", Some(39_600)),
            ("1h30m", Some(5400)),
            ("1.5h", Some(5400)),
            ("1h0m0.5s", Some(3600)),
            ("1500ms", Some(1)),
            ("60000000µs", Some(60)),
            ("24h0m1s", Some(86_401)),
            ("", None),
            ("h", None),
            ("1x", None),
            ("1.2.3h", None),
            ("99999999999999999999", None),
            ("9999999999999h", None),
            ("1h\u{0}", None),
        ] {
            assert_eq!(read_lifetime(text).ok(), seconds, "{text}");
        }
        assert!(read_end(Some(Time::from_micros(5)), Some("1h"), 0, 30).is_err());
        assert!(read_end(Some(Time::from_micros(5)), None, 5, 30).is_err());
        assert_eq!(read_end(Some(Time::from_micros(6)), None, 5, 30).unwrap(), Some(6));
    }
}
