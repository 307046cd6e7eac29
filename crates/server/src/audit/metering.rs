//! Metering: how many versions of secrets are stored, and for how long (contract, sections 8 and 15, 6).
//!
//! Nothing is added up as time goes by. When a version began and when it ended is kept with it, and behind it once its
//! secret is deleted; so what is told is exact whatever has happened to the server meanwhile.

use std::sync::Arc;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::store::MeteredVersions;

/// What is to be told, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// `None`: when the month began, in UTC.
    pub from: Option<i64>,
    /// `None`: now.
    pub to: Option<i64>,
}

/// Versions and version-hours of a period.
pub struct Metered {
    pub from: i64,
    pub to: i64,
    pub versions: Vec<MeteredVersions>,
}

/// Meters the caller's organisation and, with a project named, that project alone.
pub async fn meter_versions(
    app: &Arc<App>,
    call: &Call,
    period: Result<Period>,
) -> Result<Metered> {
    let ask = Ask { action: Action::MeterVersions, region: None, subject: Subject::None };
    let now = app.clock.now();
    gate::read(app, call, ask, async move |tx, scope| {
        let period = period.clone()?;
        let to = period.to.unwrap_or(now).min(now);
        let from = period.from.unwrap_or_else(|| month_of(to));
        if from > to {
            return Err(Error::invalid("from", "must be before `to`, and not later than now"));
        }
        let versions = tx.meter_versions(&scope.project, (from, to)).await?;
        Ok(Metered { from, to, versions })
    })
    .await
}

/// When the month of a time began, in UTC.
fn month_of(at: i64) -> i64 {
    let date = jiff::Timestamp::from_microsecond(at).unwrap_or_default();
    let first = date.to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
    let first = first.to_zoned(jiff::tz::TimeZone::UTC);
    first.map_or(0, |first| first.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_of_its_first_day() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        for (time, month) in [
            ("2026-02-28T23:59:59.999999Z", "2026-02-01T00:00:00Z"),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2024-12-31T12:00:00Z", "2024-12-01T00:00:00Z"),
        ] {
            assert_eq!(month_of(at(time)), at(month));
        }
    }
}
