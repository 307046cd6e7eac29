//! What a caller may see of itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use coffer_api::{
    CreateTokenRequest, CreatedToken, Me, Membership, PersonalAccessToken, SecretText,
};

use super::caller::{Authenticated, Segment};
use super::kms::read_body;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::iam;
use crate::model::action::Action;

/// The caller's organisations
#[utoipa::path(get, path = "/v1/me/organisation-memberships", tag = "Me",
    responses((status = 200, body = Vec<Membership>)))]
pub async fn memberships(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let listed = iam::list_memberships(&app, &call).await;
    reply::of(Action::ListMemberships, listed, |(user, memberships)| {
        let membership = |membership: &crate::model::identity::Membership| Membership {
            identity: membership.id.clone(),
            created_at: wire::time(membership.created_at),
            organisation: wire::organisation(&membership.organisation),
            user: wire::user(&user),
            role: membership.role.word().to_owned(),
        };
        memberships.iter().map(membership).collect::<Vec<_>>()
    })
}

/// Who is calling, and what that caller may do
///
/// With `X-Organisation-Identity`: in that organisation.
#[utoipa::path(get, path = "/v1/me", tag = "Me", responses((status = 200, body = Me)))]
pub async fn read(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let read = iam::read_me(&app, &call).await;
    reply::of(Action::ReadMe, read, |(user, caller)| wire::me(user.as_ref(), &caller))
}

/// The caller's personal access tokens
#[utoipa::path(get, path = "/v1/me/personal-access-tokens", tag = "Me",
    responses((status = 200, body = Vec<PersonalAccessToken>)))]
pub async fn list_tokens(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let listed = iam::tokens::list(&app, &call).await;
    reply::of(Action::ListTokens, listed, |tokens| {
        tokens.into_iter().map(wire::token).collect::<Vec<_>>()
    })
}

/// Make a personal access token
///
/// Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/me/personal-access-tokens", tag = "Me",
    request_body = CreateTokenRequest, responses((status = 201, body = CreatedToken)))]
pub async fn create_token(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateTokenRequest>();
    let made = iam::tokens::create(&app, &call, body).await;
    reply::of(Action::CreateToken, made, |(token, text)| CreatedToken {
        about: wire::token(token),
        token: SecretText::of_text(&text),
    })
}

/// Revoke a personal access token
#[utoipa::path(delete, path = "/v1/me/personal-access-tokens/{token}", tag = "Me",
    params(("token" = String, Path, description = "Identity of the token")),
    responses((status = 204, description = "Revoked")))]
pub async fn delete_token(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(token): Segment<3>,
) -> Reply {
    reply::empty(Action::DeleteToken, iam::tokens::delete(&app, &call, token).await)
}
