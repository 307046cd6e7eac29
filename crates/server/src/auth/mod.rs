//! Who is calling: credentials → [`Call`], or a refusal that tells nobody why.

pub mod access_token;
mod administrator;
mod exchange;
pub mod token_endpoint;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::token::{self, TokenHash};
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::model::caller::{Arrival, Call, Claim, Shown};
use crate::model::idempotency::IdempotencyKey;

pub use administrator::authenticate_administrator;

/// The longest token text that is looked at.
const TOKEN_BYTES_MAX: usize = 2048;
/// The longest name of an organisation that is looked up; none is longer.
const NAME_BYTES_MAX: usize = 255;

/// What a request says of its caller, as text.
pub struct Claims<'a> {
    /// Every `Authorization` header there is.
    pub authorization: Vec<&'a str>,
    /// Identity or slug, empty when none is named.
    pub organisation: Result<&'a str>,
    pub project: Result<Option<String>>,
    pub idempotency: Result<Option<Arc<IdempotencyKey>>>,
}

/// Finds the caller, or records the failure: missing, malformed, unknown and expired look the same.
pub async fn authenticate(app: &App, arrival: Arrival, claims: Claims<'_>) -> Result<Call> {
    let (organisation, organisation_flaw) = match claims.organisation {
        // No organisation is called `?`, so a name that cannot be one finds nobody's.
        Ok(name) if name.len() > NAME_BYTES_MAX => ("?", None),
        Ok(name) => (name, None),
        Err(flaw) => ("", Some(flaw)),
    };
    let (project, project_flaw) = match claims.project {
        Ok(project) => (project, None),
        Err(flaw) => (None, Some(flaw)),
    };
    let (idempotency, idempotency_flaw) = match claims.idempotency {
        Ok(key) => (key, None),
        Err(flaw) => (None, Some(flaw)),
    };
    let failure = match shown(app, &claims.authorization).await {
        Ok(token) => {
            let claim = Claim { token, organisation: organisation.to_owned() };
            match app.directory.read_caller(&claim, app.clock.now()).await {
                Ok(caller) => {
                    app.last_use.touch(&caller.credential.id, arrival.at);
                    let flaw = organisation_flaw.or(project_flaw).or(idempotency_flaw);
                    return Ok(Call { claim, caller, arrival, flaw, project, idempotency });
                }
                Err(failure @ Error::Unauthenticated { .. }) => failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(failure) => failure,
    };
    // SECURITY: who fails too often is turned away without a record, or guessing would fill the log.
    app.load.count_auth_failure(arrival.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))?;
    Err(gate::refuse(app, &arrival, failure).await)
}

/// The one credential that is shown: a personal access token as `Bearer` or `Token`, an access token as `Bearer`, or
/// an access key with its secret as `Basic` (contract, section 14, 38).
async fn shown(app: &App, authorization: &[&str]) -> Result<Shown> {
    let refuse = |cause| Error::Unauthenticated { cause };
    let [header] = authorization else {
        return Err(refuse("not exactly one Authorization header"));
    };
    let (scheme, text) = header.split_once(' ').ok_or(refuse("malformed Authorization header"))?;
    let text = text.trim();
    if text.len() > TOKEN_BYTES_MAX {
        return Err(refuse("credential too long"));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" if text.starts_with(token::PAT_PREFIX) => {
            Ok(Shown::Hash(token::hash(text)))
        }
        "bearer" => access_token::verify(app, text).await.map(Shown::AccessToken),
        "token" => Err(refuse("not a personal access token")),
        "basic" => {
            let hash = hash_of_basic(text);
            hash.map(Shown::Hash).ok_or(refuse("not an access key with its secret"))
        }
        _ => Err(refuse("unsupported authentication scheme")),
    }
}

fn hash_of_basic(text: &str) -> Option<TokenHash> {
    let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
    let (key, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let is_ours = key.starts_with(token::ACCESS_KEY_PREFIX)
        && secret.starts_with(token::ACCESS_SECRET_PREFIX);
    is_ours.then(|| token::hash_access_key(key, secret))
}
