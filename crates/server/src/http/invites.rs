//! Invites.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use coffer_api::{
    AcceptInviteRequest, AcceptedInvite, CreateInviteRequest, CreatedInvite, Holder, Invite,
    SecretText,
};

use super::caller::{Authenticated, Segment, enter};
use super::kms::read_body;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::error::Error;
use crate::iam::invites::{self, Guest, View};
use crate::model::action::Action;
use crate::model::caller::Arrival;
use crate::model::role::Role;
use crate::model::team::Team;

/// List the invites that wait
///
/// Codes are shown once, when an invite is made; here `inviteCode` is the identity.
#[utoipa::path(get, path = "/v1/invites", tag = "IAM",
    responses((status = 200, body = Vec<Invite>)))]
pub async fn list(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    reply::of(Action::ListInvites, invites::list(&app, &call).await, |views| {
        views.iter().map(show).collect::<Vec<_>>()
    })
}

/// Invite somebody
///
/// The code is in this answer and nowhere else; hand it over yourself, nothing is sent.
#[utoipa::path(post, path = "/v1/invites", tag = "IAM",
    request_body = CreateInviteRequest, responses((status = 201, body = CreatedInvite)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateInviteRequest>();
    let made = invites::create(&app, &call, body).await;
    reply::of(Action::CreateInvite, made, |(view, code)| {
        let shown = show(&view);
        CreatedInvite {
            identity: shown.identity,
            email: shown.email,
            role: shown.role,
            join_team_on_accept: shown.join_team_on_accept,
            rolebinding_on_accept: shown.rolebinding_on_accept,
            created_at: shown.created_at,
            expires_at: shown.expires_at,
            invite_code: SecretText::of_text(&code),
        }
    })
}

/// Take an invite back
#[utoipa::path(delete, path = "/v1/invites/{invite}", tag = "IAM",
    responses((status = 204, description = "Its code is good for nothing any more")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(invite): Segment<2>,
) -> Reply {
    reply::empty(Action::DeleteInvite, invites::delete(&app, &call, invite).await)
}

/// Accept an invite
///
/// With a user's token, that user joins. Without any, a new user does, whose first token is in this answer and
/// nowhere else.
#[utoipa::path(post, path = "/v1/invites/accept", tag = "IAM",
    request_body = AcceptInviteRequest, responses((status = 201, body = AcceptedInvite)))]
pub async fn accept(State(app): State<Arc<App>>, request: Request) -> Reply {
    let (mut parts, body) = request.into_parts();
    // SECURITY: a credential that is shown must be good; none is ignored.
    let guest = match parts.headers.contains_key(AUTHORIZATION) {
        true => match Authenticated::from_request_parts(&mut parts, &app).await {
            Ok(Authenticated(call)) => Guest::Known(call),
            Err(refusal) => return refusal,
        },
        false => match parts.extensions.get::<Arrival>() {
            Some(arrival) => match enter(&app, &parts.extensions, "", "") {
                Ok(()) => Guest::Anonymous(arrival.clone()),
                Err(busy) => return reply::refusal(&busy),
            },
            None => return reply::refusal(&Error::bug("a request without an arrival")),
        },
    };
    let request = Request::from_parts(parts, body);
    let body = read_body(&app, request).await.parse::<AcceptInviteRequest>();
    let accepted = invites::accept(&app, guest, body).await;
    reply::of(Action::AcceptInvite, accepted, |accepted| AcceptedInvite {
        identity: accepted.member,
        organisation: wire::organisation(&accepted.organisation),
        user: wire::user(&accepted.user),
        role: accepted.role.word().to_owned(),
        token: accepted.token.map(|token| SecretText::of_text(&token)),
    })
}

fn show(view: &View) -> Invite {
    let team = |team: &Team| Holder {
        identity: team.id.clone(),
        name: team.name.clone(),
        slug: team.slug.clone(),
        created_at: wire::time(team.created_at),
    };
    let role = |role: &Role| Holder {
        identity: role.id.clone(),
        name: role.name.clone(),
        slug: role.slug.clone(),
        created_at: wire::time(role.created_at),
    };
    let invite = &view.invite;
    Invite {
        identity: invite.id.clone(),
        email: invite.email.clone(),
        organisation: None,
        role: invite.role.word().to_owned(),
        invited_by_user: view.invited_by.as_ref().map(wire::user),
        join_team_on_accept: view.team.as_ref().map(team),
        rolebinding_on_accept: view.role.as_ref().map(role),
        created_at: wire::time(invite.created_at),
        expires_at: wire::time(invite.expires_at),
        invite_code: invite.id.clone(),
    }
}
