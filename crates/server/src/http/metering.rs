//! Metering.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Uri};
use coffer_api::{MeteredVersions, VersionMetering};

use super::caller::Authenticated;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::audit::{self, Metered, Period};
use crate::error::{Error, Result};
use crate::model::action::Action;

const MICROS_OF_HOUR: i128 = 3_600_000_000;

/// Meter stored versions
///
/// By region and project: versions stored now, and hours that versions were stored in the period. JSON, or CSV with
/// `Accept: text/csv`.
#[utoipa::path(get, path = "/v1/metering/secret-versions", tag = "Metering",
    params(
        ("from" = Option<String>, Query, description = "RFC 3339; the beginning of the month when absent"),
        ("to" = Option<String>, Query, description = "RFC 3339; now when absent or later"),
    ),
    responses((status = 200, content((VersionMetering = "application/json"), (String = "text/csv")))))]
pub async fn secret_versions(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    headers: HeaderMap,
    uri: Uri,
) -> Reply {
    let period = read_period(&Params::parse(uri.query()));
    let metered = audit::meter_versions(&app, &call, period).await;
    match metered {
        Ok(metered) if wants_csv(&headers) => {
            reply::csv(Action::MeterVersions, csv(&show(&metered)))
        }
        other => reply::of(Action::MeterVersions, other, |metered| show(&metered)),
    }
}

fn read_period(params: &Params) -> Result<Period> {
    let time = |name: &str| {
        let Some(text) = params.find(name)? else { return Ok(None) };
        let told = |_| Error::invalid(name, "must be a time such as 2027-01-01T00:00:00Z");
        text.parse::<jiff::Timestamp>().map(|time| Some(time.as_microsecond())).map_err(told)
    };
    Ok(Period { from: time("from")?, to: time("to")? })
}

/// Whether CSV is accepted and JSON is not preferred: the first of the two that is named counts.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|text| text.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    kinds.find(|kind| ["text/csv", "application/json", "*/*"].contains(&&**kind)).as_deref()
        == Some("text/csv")
}

fn show(metered: &Metered) -> VersionMetering {
    let items = metered.versions.iter().map(|one| MeteredVersions {
        region: one.region.clone(),
        project_identity: (!one.project.is_empty()).then(|| one.project.clone()),
        versions: one.versions,
        version_hours: hours(one.micros),
    });
    VersionMetering {
        from: wire::time(metered.from),
        to: wire::time(metered.to),
        items: items.collect(),
    }
}

/// To a millionth, as it is told.
#[expect(clippy::cast_precision_loss, reason = "the nearest number that JSON has")]
fn hours(micros: i128) -> f64 {
    (micros * 1_000_000 / MICROS_OF_HOUR) as f64 / 1e6
}

/// RFC 4180. No field holds a comma, a quote or a line end: slugs, identities, numbers and times.
fn csv(metering: &VersionMetering) -> String {
    let mut text = "from,to,region,project,versions,versionHours\r\n".to_owned();
    for one in &metering.items {
        let project = one.project_identity.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            "{},{},{},{project},{},{}\r\n",
            metering.from, metering.to, one.region, one.versions, one.version_hours
        );
    }
    text
}
