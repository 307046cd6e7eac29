//! From a request's head to a [`Call`]: the headers of section 1.2.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;

use super::query::Params;
use super::reply::{self, Reply};
use crate::app::App;
use crate::auth::{self, Claims};
use crate::error::{Error, Result};
use crate::model::caller::{Arrival, Call};
use crate::model::precondition::{Precondition, Tags};

/// The organisation a call is about.
pub const ORGANISATION: &str = "x-organisation-identity";
/// The project, if any.
pub const PROJECT: &str = "x-project-identity";

/// An authenticated call. A handler that takes none of these answers anybody.
pub struct Authenticated(pub Call);

impl FromRequestParts<Arc<App>> for Authenticated {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Reply> {
        authenticate(app, parts).await.map(Self).map_err(|error| reply::refusal(&error))
    }
}

async fn authenticate(app: &App, parts: &Parts) -> Result<Call> {
    let arrival = parts.extensions.get::<Arrival>().cloned();
    let arrival = arrival.ok_or_else(|| Error::bug("a request without an arrival"))?;
    let headers = &parts.headers;
    let project = match only(headers, PROJECT)? {
        Some(project) => Some(project.to_owned()),
        None => Params::parse(parts.uri.query()).find("project")?.map(str::to_owned),
    };
    let claims = Claims {
        // A header that is not text counts as one that no token can equal.
        authorization: headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect(),
        organisation: only(headers, ORGANISATION)?.unwrap_or_default(),
        project: project.filter(|project| !project.is_empty()),
    };
    auth::authenticate(app, arrival, claims).await
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
