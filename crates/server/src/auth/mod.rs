//! Who is calling: credentials → [`Call`], or a refusal that tells nobody why.

use std::sync::Arc;

use coffer_crypto::token;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::model::caller::{Arrival, Call};

/// The longest token text that is looked at.
const TOKEN_BYTES_MAX: usize = 512;

/// What a request says of its caller, as text.
pub struct Claims<'a> {
    /// Every `Authorization` header there is.
    pub authorization: Vec<&'a str>,
    /// Identity or slug, empty when none is named.
    pub organisation: &'a str,
    pub project: Option<String>,
}

/// Finds the caller, or records the failure: missing, malformed, unknown and expired look the same.
pub async fn authenticate(app: &App, arrival: Arrival, claims: Claims<'_>) -> Result<Call> {
    let failure = match find(app, &claims).await {
        Ok(caller) => {
            return Ok(Call { caller, arrival, project: claims.project });
        }
        Err(failure @ Error::Unauthenticated { .. }) => failure,
        Err(failure) => return Err(failure),
    };
    let unknown = std::net::IpAddr::from([0, 0, 0, 0]);
    // SECURITY: who fails too often is turned away without a record, or guessing would fill the log.
    app.auth_failures.count(arrival.client.unwrap_or(unknown))?;
    Err(gate::refuse(app, &arrival, failure).await)
}

async fn find(app: &App, claims: &Claims<'_>) -> Result<Arc<crate::model::caller::Caller>> {
    let refuse = |cause| Error::Unauthenticated { cause };
    let [header] = claims.authorization[..] else {
        return Err(refuse("not exactly one Authorization header"));
    };
    let (scheme, text) = header.split_once(' ').ok_or(refuse("malformed Authorization header"))?;
    if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("token") {
        return Err(refuse("unsupported authentication scheme"));
    }
    let text = text.trim();
    if text.len() > TOKEN_BYTES_MAX || !text.starts_with(token::PAT_PREFIX) {
        return Err(refuse("not a personal access token"));
    }
    let known = app
        .directory
        .find_caller(token::hash(text), claims.organisation)
        .await?
        .ok_or(refuse("unknown or revoked token"))?;
    match known.expires_at {
        Some(expires_at) if expires_at <= app.clock.now() => Err(refuse("expired token")),
        _ => Ok(known.caller.clone()),
    }
}
