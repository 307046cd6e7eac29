//! Administrators of the platform: their token → a call, or the refusal that everybody gets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use coffer_crypto::token;

use super::TOKEN_BYTES_MAX;
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::model::administrator::AdministratorCall;
use crate::model::caller::Arrival;
use crate::model::idempotency::IdempotencyKey;

/// Finds the administrator of the one token that is shown, or records the failure. The token of an organisation
/// looks like any other text here.
pub async fn authenticate_administrator(
    app: &App,
    arrival: Arrival,
    authorization: &[&str],
    idempotency: Result<Option<Arc<IdempotencyKey>>>,
) -> Result<AdministratorCall> {
    let failure = match hash_of(authorization) {
        Ok(token) => {
            let now = app.clock.now();
            match gate::inspect(app, async move |tx| tx.find_administrator(&token, now).await)
                .await?
            {
                Some(administrator) => {
                    app.last_use.touch(&administrator.id, arrival.at);
                    return Ok(AdministratorCall { token, administrator, arrival, idempotency });
                }
                None => Error::Unauthenticated { cause: "unknown or expired administrator token" },
            }
        }
        Err(failure) => failure,
    };
    app.load.count_auth_failure(arrival.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))?;
    Err(gate::refuse(app, &arrival, failure).await)
}

fn hash_of(authorization: &[&str]) -> Result<token::TokenHash> {
    let refuse = Error::Unauthenticated { cause: "not one administrator token" };
    let [header] = authorization else { return Err(refuse) };
    let Some((scheme, text)) = header.split_once(' ') else { return Err(refuse) };
    let text = text.trim();
    let is_ours = ["bearer", "token"].contains(&scheme.to_ascii_lowercase().as_str())
        && text.len() <= TOKEN_BYTES_MAX
        && text.starts_with(token::ADMINISTRATOR_PREFIX);
    if is_ours { Ok(token::hash(text)) } else { Err(refuse) }
}
