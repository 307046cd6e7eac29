//! From a request's head to a [`Call`]: the headers of section 1.2.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method};

use super::query::Params;
use super::reply::{self, Reply};
use crate::app::App;
use crate::auth::{self, Claims};
use crate::error::{Error, Result};
use crate::load::Held;
use crate::model::caller::{Arrival, Call, Standing};
use crate::model::idempotency::IdempotencyKey;
use crate::model::precondition::{Precondition, Tags};

/// The organisation a call is about.
pub const ORGANISATION: &str = "x-organisation-identity";
/// The project, if any.
pub const PROJECT: &str = "x-project-identity";
/// Under which a change is made once.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// An authenticated call. A handler that takes none of these answers anybody.
pub struct Authenticated(pub Call);

impl FromRequestParts<Arc<App>> for Authenticated {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Reply> {
        authenticate(app, parts).await.map(Self).map_err(|error| reply::refusal(&error))
    }
}

/// The `N`th segment of the URL's path, from 0, decoded once. What is not text names nothing, as it must.
pub struct Segment<const N: usize>(pub String);

impl<const N: usize> FromRequestParts<Arc<App>> for Segment<N> {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Reply> {
        let segment =
            parts.uri.path().trim_start_matches('/').split('/').nth(N).unwrap_or_default();
        Ok(Self(percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()))
    }
}

async fn authenticate(app: &App, parts: &mut Parts) -> Result<Call> {
    let arrival = parts.extensions.get::<Arrival>().cloned();
    let arrival = arrival.ok_or_else(|| Error::bug("a request without an arrival"))?;
    let idempotency = idempotency_key(parts);
    let headers = &parts.headers;

    let claims = Claims {
        // A header that is not text counts as one that no token can equal.
        authorization: headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect(),
        organisation: only(headers, ORGANISATION).map(Option::unwrap_or_default),
        project: project(headers, parts.uri.query()),
        idempotency,
    };
    let call = auth::authenticate(app, arrival, claims).await?;
    let organisation = match &call.caller.standing {
        Standing::Member(organisation) => &organisation.id,
        Standing::Stranger | Standing::Unnamed => "",
    };
    enter(app, &parts.extensions, &call.caller.credential.id, organisation)?;
    Ok(call)
}

/// Takes a place among the calls under way, until the request is answered; names are "" for nobody's.
pub fn enter(app: &App, held: &Extensions, credential: &str, organisation: &str) -> Result<()> {
    let place = app.load.enter(credential, organisation)?;
    held.get::<Held>().ok_or_else(|| Error::bug("a request that holds no place"))?.keep(place);
    Ok(())
}

/// The key of a `POST`, which the body finds in the extensions; other methods have no use for one.
pub fn idempotency_key(parts: &mut Parts) -> Result<Option<Arc<IdempotencyKey>>> {
    if parts.method != Method::POST {
        return Ok(None);
    }
    let Some(text) = only(&parts.headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    let key = Arc::new(IdempotencyKey::new(text, parts.uri.query().unwrap_or_default())?);
    parts.extensions.insert(key.clone());
    Ok(Some(key))
}

/// The header first, then the query (section 1.2); an empty one names nothing.
fn project(headers: &HeaderMap, query: Option<&str>) -> Result<Option<String>> {
    let some = |text: &&str| !text.is_empty();
    match only(headers, PROJECT)?.filter(some) {
        Some(project) => Ok(Some(project.to_owned())),
        None => Ok(Params::parse(query).find("project")?.filter(some).map(str::to_owned)),
    }
}

/// The value of a header that may stand once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| Error::invalid(name, "header is not text"))?;
            Ok(Some(value.trim()))
        }
        (Some(_), Some(_)) => Err(Error::invalid(name, "header stands twice")),
    }
}

/// `If-Match` and `If-None-Match` (RFC 9110, section 13.1).
pub fn precondition(headers: &HeaderMap) -> Precondition {
    Precondition {
        if_match: tags(headers, IF_MATCH.as_str(), Weak::NeverMatches),
        if_none_match: tags(headers, IF_NONE_MATCH.as_str(), Weak::Matches),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Weak {
    Matches,
    NeverMatches,
}

/// Tags that are not of our making match nothing.
fn tags(headers: &HeaderMap, name: &str, weak: Weak) -> Option<Tags> {
    if !headers.contains_key(name) {
        return None;
    }
    let mut versions = Vec::new();
    for value in headers.get_all(name) {
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                return Some(Tags::Any);
            }
            let strong = match tag.strip_prefix("W/") {
                Some(tag) if weak == Weak::Matches => tag,
                _ => tag,
            };
            let version = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            versions.extend(version.and_then(|version| version.parse::<i64>().ok()));
        }
    }
    Some(Tags::Versions(versions))
}
