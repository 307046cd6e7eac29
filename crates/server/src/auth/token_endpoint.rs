//! Access tokens for other credentials: those of a client, or another issuer's token (contract, section 5).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::token::{self, TokenHash};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::{access_token, exchange};
use crate::app::App;
use crate::error::{Error, Outcome, Result};
use crate::gate::{self, Ask, Subject};
use crate::model::access_token::AccessToken;
use crate::model::action::Action;
use crate::model::caller::{Arrival, Call, Claim, Shown};
use crate::model::limits::{LIFETIME_DEFAULT, LIFETIME_MAX, LIFETIME_MIN};
use crate::model::scopes::Scopes;
use crate::model::term;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const SECOND: i64 = 1_000_000;

/// The fields of the form, each once.
pub type Form = BTreeMap<String, Zeroizing<String>>;

/// What a client sends.
pub struct TokenRequest<'a> {
    /// Every `Authorization` header there is.
    pub authorization: Vec<&'a str>,
    pub form: Result<Form>,
}

/// A token as it is answered, this once.
pub struct Granted {
    pub text: Zeroizing<String>,
    pub lifetime_seconds: i64,
    pub scopes: Scopes,
    pub exchanged: bool,
}

/// Why there is no token, in the words of RFC 6749, section 5.2, and RFC 8693, section 2.2.2.
pub struct NoToken {
    pub code: &'static str,
    pub description: String,
    /// For the status and the record.
    pub error: Error,
    /// The gate has written a record of it.
    recorded: bool,
}

impl NoToken {
    fn new(code: &'static str, description: impl Into<String>, error: Error) -> Self {
        Self { code, description: description.into(), error, recorded: false }
    }

    /// The client's credentials are missing or not good: one answer for all reasons.
    pub(super) fn client(cause: &'static str) -> Self {
        let error = Error::Unauthenticated { cause };
        Self::new("invalid_client", "client authentication failed", error)
    }

    /// A subject token that stands for nobody: one answer for all reasons, which the operator's log tells apart.
    pub(super) fn subject(cause: &'static str) -> Self {
        let told = "the subject token is not accepted for this service account";
        Self::new("invalid_grant", told, Error::invalid("", cause))
    }

    pub(super) fn other(code: &'static str, why: &str) -> Self {
        Self::new(code, why, Error::invalid("", why))
    }
}

impl From<Error> for NoToken {
    fn from(error: Error) -> Self {
        let code = match error.outcome() {
            Outcome::Unauthenticated => return Self::client("revoked in between"),
            Outcome::TooMany | Outcome::Unavailable => "temporarily_unavailable",
            Outcome::Failed => "server_error",
            _ => "invalid_request",
        };
        Self::new(code, error.message(), error)
    }
}

/// Gives a token out, or records why not.
pub async fn grant(
    app: &Arc<App>,
    arrival: Arrival,
    request: TokenRequest<'_>,
) -> Result<Granted, NoToken> {
    let no = match try_grant(app, &arrival, request).await {
        Ok(granted) => return Ok(granted),
        Err(no) => no,
    };
    if no.recorded || no.error.outcome() == Outcome::TooMany {
        return Err(no);
    }
    if matches!(no.error.outcome(), Outcome::Invalid | Outcome::Unauthenticated) {
        // SECURITY: as with any credential, who fails too often is turned away without a record.
        app.load.count_auth_failure(arrival.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))?;
    }
    tracing::info!(code = no.code, cause = no.error.cause(), "no token given");
    match gate::refuse(app, &arrival, no.error.clone()).await {
        failure @ Error::Unavailable { .. } => Err(failure.into()),
        _ => Err(no),
    }
}

async fn try_grant(
    app: &Arc<App>,
    arrival: &Arrival,
    request: TokenRequest<'_>,
) -> Result<Granted, NoToken> {
    let form = request.form?;
    match field(&form, "grant_type") {
        None => Err(NoToken::other("invalid_request", "`grant_type` is missing")),
        Some("client_credentials") => issue(app, arrival, &request.authorization, &form).await,
        Some(EXCHANGE) => exchange::exchange(app, arrival, &form).await,
        Some(_) => {
            let why = "`grant_type` must be `client_credentials` or token exchange";
            Err(NoToken::other("unsupported_grant_type", why))
        }
    }
}

/// A field of the form; an empty one counts as absent (RFC 6749, section 3.2).
pub(super) fn field<'f>(form: &'f Form, name: &str) -> Option<&'f str> {
    form.get(name).map(|value| value.as_str()).filter(|value| !value.is_empty())
}

async fn issue(
    app: &Arc<App>,
    arrival: &Arrival,
    authorization: &[&str],
    form: &Form,
) -> Result<Granted, NoToken> {
    let hash = client(authorization, form)?;
    let lifetime_seconds = lifetime(form)?;
    let wanted = wanted_scopes(form)?;
    let found = gate::inspect(app, async move |tx| tx.find_credential(&hash).await).await?;
    let found = found.ok_or(NoToken::client("unknown or revoked access key"))?;
    let now = app.clock.now();
    if found.expires_at.is_some_and(|at| at <= now) {
        return Err(NoToken::client("expired access key"));
    }
    let says = AccessToken {
        id: app.clock.fresh_id("at-")?,
        organisation: found.organisation.clone(),
        account: found.account,
        credential: found.id,
        scopes: narrow(&found.scopes, wanted)?,
        generation: found.generation,
        issued_at: whole(now),
        expires_at: end(now, lifetime_seconds, found.expires_at),
    };
    let claim = Claim { token: Shown::Hash(hash), organisation: found.organisation };
    hand_out(app, arrival, Action::IssueToken, claim, says).await
}

/// Records that a token is given out, under the credential it is given for, and hands it out.
pub(super) async fn hand_out(
    app: &Arc<App>,
    arrival: &Arrival,
    action: Action,
    claim: Claim,
    says: AccessToken,
) -> Result<Granted, NoToken> {
    let text = access_token::mint(app, &says).await?;
    let told = |error| match (action, error) {
        (Action::ExchangeToken, Error::Unauthenticated { .. }) => {
            NoToken::subject("taken away in between")
        }
        (_, error) => error.into(),
    };
    let caller = app.directory.read_caller(&claim, app.clock.now()).await.map_err(told)?;
    let call = Call {
        claim,
        caller,
        arrival: arrival.clone(),
        flaw: None,
        project: None,
        idempotency: None,
    };
    let ask = Ask { action, region: None, subject: Subject::New(says.id.clone()) };
    let recorded = gate::read(app, &call, ask, async |_, _| Ok(())).await;
    recorded.map_err(|error| NoToken { recorded: true, ..told(error) })?;
    app.last_use.touch(&says.credential, arrival.at);
    Ok(Granted {
        text,
        lifetime_seconds: (says.expires_at - says.issued_at) / SECOND,
        scopes: says.scopes,
        exchanged: action == Action::ExchangeToken,
    })
}

/// The access key that is shown: as Basic with escaped parts, or in the form (RFC 6749, section 2.3.1).
fn client(authorization: &[&str], form: &Form) -> Result<TokenHash, NoToken> {
    let refuse = || NoToken::client("not an access key with its secret");
    let (id, secret) = (field(form, "client_id"), field(form, "client_secret"));
    let [header] = authorization else {
        return match (authorization, id, secret) {
            ([], Some(id), Some(secret)) => hash(id, secret).ok_or_else(refuse),
            _ => Err(refuse()),
        };
    };
    if secret.is_some() {
        let why = "credentials stand in the form and in the header";
        return Err(NoToken::other("invalid_request", why));
    }
    let (scheme, text) = header.split_once(' ').ok_or_else(refuse)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(NoToken::client("not Basic"));
    }
    let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| refuse())?);
    let decoded = std::str::from_utf8(&decoded).map_err(|_| refuse())?;
    let (key, secret) = decoded.split_once(':').ok_or_else(refuse)?;
    let (key, secret) = (unescape(key).ok_or_else(refuse)?, unescape(secret).ok_or_else(refuse)?);
    if id.is_some_and(|id| id != key.as_str()) {
        return Err(NoToken::other("invalid_request", "`client_id` is not that of the header"));
    }
    hash(&key, &secret).ok_or_else(refuse)
}

fn hash(key: &str, secret: &str) -> Option<TokenHash> {
    let is_ours = key.starts_with(token::ACCESS_KEY_PREFIX)
        && secret.starts_with(token::ACCESS_SECRET_PREFIX);
    is_ours.then(|| token::hash_access_key(key, secret))
}

/// A part of Basic, which was encoded like the value of a form.
fn unescape(text: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(text.replace('+', " "));
    percent_decode_str(&text).decode_utf8().ok().map(|text| Zeroizing::new(text.into_owned()))
}

/// The seconds that a token is to live.
pub(super) fn lifetime(form: &Form) -> Result<i64, NoToken> {
    let Some(text) = field(form, "access_token_lifetime") else { return Ok(LIFETIME_DEFAULT) };
    match term::read_lifetime(text)? {
        seconds if (LIFETIME_MIN..=LIFETIME_MAX).contains(&seconds) => Ok(seconds),
        _ => {
            let why = "`access_token_lifetime` must be 1 minute to 24 hours";
            Err(NoToken::other("invalid_request", why))
        }
    }
}

/// The scopes that are asked for; none means all that there are to have.
pub(super) fn wanted_scopes(form: &Form) -> Result<Scopes, NoToken> {
    let words = field(form, "scope").unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_owned).collect();
    Scopes::parse(&words).map_err(|error| NoToken::other("invalid_scope", &error.message()))
}

/// What a token is good for: what is wanted of what the credential has.
pub(super) fn narrow(own: &Scopes, wanted: Scopes) -> Result<Scopes, NoToken> {
    match (wanted.are_unrestricted(), own.cover(&wanted)) {
        (true, _) => Ok(own.clone()),
        (false, true) => Ok(wanted),
        (false, false) => {
            Err(NoToken::other("invalid_scope", "`scope` goes beyond that of the credential"))
        }
    }
}

/// Whole seconds, as tokens have them.
pub(super) fn whole(micros: i64) -> i64 {
    micros / SECOND * SECOND
}

/// When a token ends: never after what it is given for.
pub(super) fn end(now: i64, lifetime_seconds: i64, bound: Option<i64>) -> i64 {
    let end = whole(now) + lifetime_seconds * SECOND;
    bound.map_or(end, |bound| end.min(whole(bound)))
}
