//! How long a token is to live, as clients write it: seconds, or a duration of Go such as `1h30m`.

use crate::error::{Error, Result};

/// Names of units and their microseconds. Longer names first, so that `ms` is not read as `m`.
const UNITS: [(&str, i64); 8] = [
    ("ns", 0),
    ("us", 1),
    ("µs", 1),
    ("μs", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
];
/// Longer texts are not looked at.
const TEXT_BYTES_MAX: usize = 32;

/// Whole seconds of a text; what is left over is dropped.
pub fn parse_seconds(text: &str) -> Result<i64> {
    let refuse = || {
        Error::invalid("access_token_lifetime", "is neither seconds nor a duration such as `1h30m`")
    };
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(refuse());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| refuse());
    }
    let (mut rest, mut micros) = (text, 0_i64);
    while !rest.is_empty() {
        let (number, unit, behind) = split(rest).ok_or_else(refuse)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return Err(refuse());
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| refuse())? };
        micros =
            whole.checked_mul(unit).and_then(|add| micros.checked_add(add)).ok_or_else(refuse)?;
        micros = micros.checked_add(fraction(part, unit)).ok_or_else(refuse)?;
        rest = behind;
    }
    Ok(micros / 1_000_000)
}

/// The first number, the microseconds of its unit, and what comes behind.
fn split(text: &str) -> Option<(&str, i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at_checked(end)?;
    UNITS.iter().find_map(|(name, unit)| Some((number, *unit, rest.strip_prefix(name)?)))
}

/// What the digits behind a point are of a unit.
fn fraction(digits: &str, unit: i64) -> i64 {
    let mut scale = unit;
    digits.bytes().map_while(|byte| char::from(byte).to_digit(10)).fold(0, |sum, digit| {
        let add = i64::from(digit) * scale / 10;
        scale /= 10;
        sum + add
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_durations_are_read() {
        for (text, seconds) in [
            ("3600", Some(3600)),
            ("0", Some(0)),
            ("39600s", Some(39_600)),
            ("2h", Some(7200)),
            ("1h30m", Some(5400)),
            ("1.5h", Some(5400)),
            ("1h0m0.5s", Some(3600)),
            (".5m", Some(30)),
            ("1500ms", Some(1)),
            ("60000000µs", Some(60)),
            ("24h0m1s", Some(86_401)),
            ("", None),
            ("h", None),
            ("1", Some(1)),
            ("1x", None),
            ("1h30", None),
            ("-1h", None),
            ("+1h", None),
            ("1 h", None),
            ("1.2.3h", None),
            (".h", None),
            ("99999999999999999999", None),
            ("9999999999999h", None),
            ("1d", None),
            ("1h\u{0}", None),
        ] {
            assert_eq!(parse_seconds(text).ok(), seconds, "{text}");
        }
    }
}
