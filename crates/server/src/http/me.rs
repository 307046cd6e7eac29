//! What a caller may see of itself.

use std::sync::Arc;

use axum::extract::State;
use coffer_api::Membership;

use super::caller::Authenticated;
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
