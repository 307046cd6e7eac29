//! Service accounts and their credentials.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    AccessCredential, CreateAccessCredentialRequest, CreateServiceAccountRequest,
    CreatedAccessCredential, SecretText, ServiceAccount, UpdateServiceAccountRequest,
};

use super::caller::{Authenticated, Segment};
use super::iam::read_filter;
use super::kms::read_body;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::iam::service_accounts;
use crate::model::action::Action;

/// List service accounts
#[utoipa::path(get, path = "/v1/service-accounts", tag = "IAM",
    params(
        ("identity" = Option<String>, Query), ("name" = Option<String>, Query),
        ("slug" = Option<String>, Query),
    ),
    responses((status = 200, body = Vec<ServiceAccount>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let filter = read_filter(&Params::parse(uri.query()));
    let listed = service_accounts::list(&app, &call, filter).await;
    reply::of(Action::ListAccounts, listed, |accounts| {
        accounts.into_iter().map(wire::service_account).collect::<Vec<_>>()
    })
}

/// Make a service account
#[utoipa::path(post, path = "/v1/service-accounts", tag = "IAM",
    request_body = CreateServiceAccountRequest, responses((status = 201, body = ServiceAccount)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateServiceAccountRequest>();
    let done = service_accounts::create(&app, &call, body).await;
    reply::of(Action::CreateAccount, done, wire::service_account)
}

/// Read a service account
#[utoipa::path(get, path = "/v1/service-accounts/{account}", tag = "IAM",
    responses((status = 200, body = ServiceAccount)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(account): Segment<2>,
) -> Reply {
    let done = service_accounts::read(&app, &call, account).await;
    reply::of(Action::ReadAccount, done, wire::service_account)
}

/// Change a service account
#[utoipa::path(put, path = "/v1/service-accounts/{account}", tag = "IAM",
    request_body = UpdateServiceAccountRequest, responses((status = 200, body = ServiceAccount)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(account): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateServiceAccountRequest>();
    let done = service_accounts::update(&app, &call, account, body).await;
    reply::of(Action::UpdateAccount, done, wire::service_account)
}

/// Delete a service account with its credentials
#[utoipa::path(delete, path = "/v1/service-accounts/{account}", tag = "IAM",
    responses((status = 204, description = "Done")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(account): Segment<2>,
) -> Reply {
    reply::empty(Action::DeleteAccount, service_accounts::delete(&app, &call, account).await)
}

/// List the credentials of a service account
#[utoipa::path(get, path = "/v1/service-accounts/{account}/access-credentials", tag = "IAM",
    responses((status = 200, body = Vec<AccessCredential>)))]
pub async fn list_credentials(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(account): Segment<2>,
) -> Reply {
    let done = service_accounts::list_credentials(&app, &call, account).await;
    reply::of(Action::ListCredentials, done, |credentials| {
        credentials.into_iter().map(wire::credential).collect::<Vec<_>>()
    })
}

/// Make a credential of a service account
///
/// Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/service-accounts/{account}/access-credentials", tag = "IAM",
    request_body = CreateAccessCredentialRequest, responses((status = 201, body = CreatedAccessCredential)))]
pub async fn create_credential(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(account): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateAccessCredentialRequest>();
    let done = service_accounts::create_credential(&app, &call, account, body).await;
    reply::of(Action::CreateCredential, done, |(credential, secret)| CreatedAccessCredential {
        identity: credential.id,
        access_key: credential.access_key,
        access_secret: SecretText::of_text(&secret),
        scopes: credential.scopes.words().to_vec(),
    })
}

/// Revoke a credential of a service account
#[utoipa::path(delete, path = "/v1/service-accounts/{account}/access-credentials/{credential}", tag = "IAM",
    responses((status = 204, description = "Done")))]
pub async fn delete_credential(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(account): Segment<2>,
    Segment(credential): Segment<4>,
) -> Reply {
    reply::empty(
        Action::DeleteCredential,
        service_accounts::delete_credential(&app, &call, account, credential).await,
    )
}
