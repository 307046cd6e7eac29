//! The token endpoint, and what clients read of the issuer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use coffer_api::{
    IssuerMetadata, PublicJwk, PublicJwks, SecretText, TokenRefusal, TokenRequest as Body,
    TokenResponse,
};
use zeroize::Zeroizing;

use super::body::read_form;
use super::caller::enter;
use super::query::Params;
use super::reply::{self, Reply};
use crate::app::App;
use crate::auth::access_token;
use crate::auth::token_endpoint::{self, Form, Granted, NoToken, TokenRequest};
use crate::error::{Error, Outcome, Result};
use crate::model::caller::Arrival;
use crate::model::scopes::SCOPES;

/// Get an access token
///
/// For the access key of a service account (`client_credentials`; as Basic or in the form), or for a token of an
/// issuer that the organisation trusts (token exchange, RFC 8693). Needs no `X-Organisation-Identity`.
#[utoipa::path(post, path = "/oidc/token", tag = "Tokens",
    request_body(content = Body, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = TokenResponse),
        (status = 400, description = "Not granted", body = TokenRefusal),
        (status = 401, description = "`invalid_client`", body = TokenRefusal),
        (status = 429, description = "Too many failures; see `Retry-After`", body = TokenRefusal),
        (status = 503, description = "Come back later", body = TokenRefusal),
    ))]
pub async fn token(State(app): State<Arc<App>>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    let Some(arrival) = parts.extensions.get::<Arrival>().cloned() else {
        return reply::refusal(&Error::bug("a request without an arrival"));
    };
    let time = Duration::from_secs(app.config.limits.body_seconds);
    let form = match enter(&app, &parts.extensions, "", "") {
        Ok(()) => read_form(&parts.headers, body, time).await.and_then(|bytes| fields(&bytes)),
        Err(busy) => return refuse(&busy.into()),
    };
    let authorization = parts.headers.get_all(AUTHORIZATION).iter();
    let request = TokenRequest {
        authorization: authorization.map(|value| value.to_str().unwrap_or_default()).collect(),
        form,
    };
    match token_endpoint::grant(&app, arrival, request).await {
        Ok(granted) => reply::json(Outcome::Ok, &response(&granted)),
        Err(no) => refuse(&no),
    }
}

/// Every field once (RFC 6749, section 3.2).
fn fields(bytes: &[u8]) -> Result<Form> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("", "the form is no text"))?;
    let mut form = Form::new();
    for (name, value) in Params::parse(Some(text)).into_pairs() {
        if form.insert(name, Zeroizing::new(value)).is_some() {
            return Err(Error::invalid("", "a field of the form stands twice"));
        }
    }
    Ok(form)
}

fn response(granted: &Granted) -> TokenResponse {
    let scope = granted.scopes.words().join(" ");
    TokenResponse {
        access_token: SecretText::of_text(&granted.text),
        token_type: "Bearer".to_owned(),
        expires_in: granted.lifetime_seconds,
        scope: (!scope.is_empty()).then_some(scope),
        issued_token_type: granted
            .exchanged
            .then(|| "urn:ietf:params:oauth:token-type:access_token".to_owned()),
    }
}

fn refuse(no: &NoToken) -> Reply {
    let body =
        TokenRefusal { error: no.code.to_owned(), error_description: no.description.clone() };
    reply::token_refusal(&no.error, &body)
}

/// List the public keys of access tokens
#[utoipa::path(get, path = "/oidc/jwks", tag = "Tokens", responses((status = 200, body = PublicJwks)))]
pub async fn jwks(State(app): State<Arc<App>>) -> Reply {
    match access_token::public_key(&app).await {
        Ok(key) => reply::json(
            Outcome::Ok,
            &PublicJwks {
                keys: key
                    .into_iter()
                    .map(|(kid, x)| PublicJwk {
                        kty: "OKP".to_owned(),
                        crv: "Ed25519".to_owned(),
                        x,
                        kid,
                        alg: "EdDSA".to_owned(),
                        public_key_use: "sig".to_owned(),
                    })
                    .collect(),
            },
        ),
        Err(error) => reply::refusal(&error),
    }
}

/// Describe the issuer of access tokens
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "Tokens",
    responses((status = 200, body = IssuerMetadata)))]
pub async fn metadata(State(app): State<Arc<App>>) -> Reply {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let issuer = app.issuer();
    let described = IssuerMetadata {
        token_endpoint: format!("{issuer}/oidc/token"),
        jwks_uri: format!("{issuer}/oidc/jwks"),
        issuer,
        grant_types_supported: words(&[
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ]),
        response_types_supported: Vec::new(),
        token_endpoint_auth_methods_supported: words(&[
            "client_secret_basic",
            "client_secret_post",
        ]),
        scopes_supported: words(&SCOPES),
        subject_types_supported: words(&["public"]),
        id_token_signing_alg_values_supported: words(&["EdDSA"]),
    };
    reply::json(Outcome::Ok, &described)
}
