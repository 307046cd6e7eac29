//! How long something is to hold: until a time, or for a duration.

use coffer_api::Time;
use jiff::{Span, SpanRelativeTo};

use crate::error::{Error, Result};

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
        (None, Some(text)) => ("duration", now.saturating_add(read_duration(text)?)),
    };
    if end <= now {
        return Err(Error::invalid(field, "has passed"));
    }
    match end - now > days_max * DAY {
        true => Err(Error::invalid(field, format!("is more than {days_max} days from now"))),
        false => Ok(Some(end)),
    }
}

/// Such as `24h`, `7d` or `1h30m`, in microseconds; a day has 24 hours.
fn read_duration(text: &str) -> Result<i64> {
    let invalid = || Error::invalid("duration", "must be such as `30m`, `24h` or `7d`");
    if text.len() > 32 {
        return Err(invalid());
    }
    let span: Span = text.parse().map_err(|_| invalid())?;
    let long = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| invalid())?;
    i64::try_from(long.as_micros()).map_err(|_| invalid())
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
        assert!(read_end(Some(Time::from_micros(5)), Some("1h"), 0, 30).is_err());
        assert!(read_end(Some(Time::from_micros(5)), None, 5, 30).is_err());
        assert_eq!(read_end(Some(Time::from_micros(6)), None, 5, 30).unwrap(), Some(6));
    }
}
