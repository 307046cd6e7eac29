//! Identity providers and federated identities.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    CreateFederatedIdentityRequest, CreateIdentityProviderRequest, FederatedIdentity,
    IdentityProvider, UpdateFederatedIdentityRequest, UpdateIdentityProviderRequest,
};

use super::caller::{Authenticated, Segment};
use super::iam::read_filter;
use super::kms::read_body;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::error::Result;
use crate::iam::{Filter, federated_identities, identity_providers};
use crate::model::action::Action;
use crate::model::federation::Federation;

/// List identity providers
#[utoipa::path(get, path = "/v1/federated-identity-providers", tag = "IAM",
    params(("identity" = Option<String>, Query), ("name" = Option<String>, Query)),
    responses((status = 200, body = Vec<IdentityProvider>)))]
pub async fn list_providers(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let listed = identity_providers::list(&app, &call, filter(&uri)).await;
    reply::of(Action::ListProviders, listed, |providers| {
        providers.into_iter().map(wire::provider).collect::<Vec<_>>()
    })
}

/// Make an identity provider
#[utoipa::path(post, path = "/v1/federated-identity-providers", tag = "IAM",
    request_body = CreateIdentityProviderRequest, responses((status = 201, body = IdentityProvider)))]
pub async fn create_provider(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateIdentityProviderRequest>();
    let done = identity_providers::create(&app, &call, body).await;
    reply::of(Action::CreateProvider, done, wire::provider)
}

/// Read an identity provider
#[utoipa::path(get, path = "/v1/federated-identity-providers/{provider}", tag = "IAM",
    responses((status = 200, body = IdentityProvider)))]
pub async fn read_provider(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(provider): Segment<2>,
) -> Reply {
    let done = identity_providers::read(&app, &call, provider).await;
    reply::of(Action::ReadProvider, done, wire::provider)
}

/// Change an identity provider
#[utoipa::path(put, path = "/v1/federated-identity-providers/{provider}", tag = "IAM",
    request_body = UpdateIdentityProviderRequest, responses((status = 200, body = IdentityProvider)))]
pub async fn update_provider(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(provider): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateIdentityProviderRequest>();
    let done = identity_providers::update(&app, &call, provider, body).await;
    reply::of(Action::UpdateProvider, done, wire::provider)
}

/// Delete an identity provider
///
/// 409 while federated identities name it.
#[utoipa::path(delete, path = "/v1/federated-identity-providers/{provider}", tag = "IAM", responses(
    (status = 204, description = "Done"),
    (status = 409, description = "Federated identities name it", body = coffer_api::ErrorBody),
))]
pub async fn delete_provider(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(provider): Segment<2>,
) -> Reply {
    let done = identity_providers::delete(&app, &call, provider).await;
    reply::empty(Action::DeleteProvider, done)
}

/// List federated identities
#[utoipa::path(get, path = "/v1/federated-identities", tag = "IAM",
    params(("identity" = Option<String>, Query), ("name" = Option<String>, Query)),
    responses((status = 200, body = Vec<FederatedIdentity>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let listed = federated_identities::list(&app, &call, filter(&uri)).await;
    let now = app.clock.now();
    reply::of(Action::ListFederations, listed, |identities| {
        identities.into_iter().map(|one| wire::federation(one, now)).collect::<Vec<_>>()
    })
}

/// Let tokens of a provider stand for a service account
#[utoipa::path(post, path = "/v1/federated-identities", tag = "IAM",
    request_body = CreateFederatedIdentityRequest, responses((status = 201, body = FederatedIdentity)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateFederatedIdentityRequest>();
    let done = federated_identities::create(&app, &call, body).await;
    show(&app, Action::CreateFederation, done)
}

/// Read a federated identity
#[utoipa::path(get, path = "/v1/federated-identities/{federation}", tag = "IAM",
    responses((status = 200, body = FederatedIdentity)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(identity): Segment<2>,
) -> Reply {
    let done = federated_identities::read(&app, &call, identity).await;
    show(&app, Action::ReadFederation, done)
}

/// Change a federated identity
#[utoipa::path(put, path = "/v1/federated-identities/{federation}", tag = "IAM",
    request_body = UpdateFederatedIdentityRequest, responses((status = 200, body = FederatedIdentity)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(identity): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateFederatedIdentityRequest>();
    let done = federated_identities::update(&app, &call, identity, body).await;
    show(&app, Action::UpdateFederation, done)
}

/// Delete a federated identity
#[utoipa::path(delete, path = "/v1/federated-identities/{federation}", tag = "IAM",
    responses((status = 204, description = "Done")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(identity): Segment<2>,
) -> Reply {
    let done = federated_identities::delete(&app, &call, identity).await;
    reply::empty(Action::DeleteFederation, done)
}

/// Neither has a slug, so one that is asked for narrows nothing.
fn filter(uri: &Uri) -> Result<Filter> {
    let filter = read_filter(&Params::parse(uri.query()))?;
    Ok(Filter { slug: String::new(), ..filter })
}

fn show(app: &App, action: Action, done: Result<Federation>) -> Reply {
    reply::of(action, done, |found| wire::federation(found, app.clock.now()))
}
