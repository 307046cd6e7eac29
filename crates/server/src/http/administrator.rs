//! From a request's head to an administrator's call.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::caller::{enter, idempotency_key};
use super::reply::{self, Reply};
use crate::app::App;
use crate::auth;
use crate::error::{Error, Result};
use crate::model::administrator::AdministratorCall;
use crate::model::caller::Arrival;

/// A call of an administrator of the platform. Headers that name an organisation or a project mean nothing here.
pub struct Administrating(pub AdministratorCall);

impl FromRequestParts<Arc<App>> for Administrating {
    type Rejection = Reply;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Reply> {
        authenticate(app, parts).await.map(Self).map_err(|error| reply::refusal(&error))
    }
}

async fn authenticate(app: &App, parts: &mut Parts) -> Result<AdministratorCall> {
    let arrival = parts.extensions.get::<Arrival>().cloned();
    let arrival = arrival.ok_or_else(|| Error::bug("a request without an arrival"))?;
    let idempotency = idempotency_key(parts);
    let headers = parts.headers.get_all(AUTHORIZATION).iter();
    let authorization: Vec<_> = headers.map(|value| value.to_str().unwrap_or_default()).collect();
    let call = auth::authenticate_administrator(app, arrival, &authorization, idempotency).await?;
    enter(app, &parts.extensions, &call.administrator.id, "")?;
    Ok(call)
}
