//! Teams and members.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    CreateTeamMemberRequest, CreateTeamRequest, Member, Team, TeamMember, UpdateMemberRequest,
    UpdateTeamRequest,
};

use super::caller::{Authenticated, Segment};
use super::iam::read_filter;
use super::kms::read_body;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::iam::{members, teams};
use crate::model::action::Action;

/// List teams
#[utoipa::path(get, path = "/v1/teams", tag = "IAM",
    params(
        ("identity" = Option<String>, Query), ("name" = Option<String>, Query),
        ("slug" = Option<String>, Query),
    ),
    responses((status = 200, body = Vec<Team>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let listed = teams::list(&app, &call, read_filter(&Params::parse(uri.query()))).await;
    reply::of(Action::ListTeams, listed, |teams| {
        teams.into_iter().map(wire::team).collect::<Vec<_>>()
    })
}

/// Make a team
#[utoipa::path(post, path = "/v1/teams", tag = "IAM",
    request_body = CreateTeamRequest, responses((status = 201, body = Team)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateTeamRequest>();
    reply::of(Action::CreateTeam, teams::create(&app, &call, body).await, wire::team)
}

/// Read a team
#[utoipa::path(get, path = "/v1/teams/{team}", tag = "IAM",
    responses((status = 200, body = Team)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(team): Segment<2>,
) -> Reply {
    reply::of(Action::ReadTeam, teams::read(&app, &call, team).await, wire::team)
}

/// Change a team
#[utoipa::path(put, path = "/v1/teams/{team}", tag = "IAM",
    request_body = UpdateTeamRequest, responses((status = 200, body = Team)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(team): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateTeamRequest>();
    reply::of(Action::UpdateTeam, teams::update(&app, &call, team, body).await, wire::team)
}

/// Delete a team
#[utoipa::path(delete, path = "/v1/teams/{team}", tag = "IAM",
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(team): Segment<2>,
) -> Reply {
    reply::empty(Action::DeleteTeam, teams::delete(&app, &call, team).await)
}

/// Put somebody into a team
#[utoipa::path(post, path = "/v1/teams/{team}/members", tag = "IAM",
    request_body = CreateTeamMemberRequest, responses((status = 201, body = TeamMember)))]
pub async fn add_member(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(team): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateTeamMemberRequest>();
    let added = teams::add_member(&app, &call, team, body).await;
    reply::of(Action::AddTeamMember, added, |member| wire::team_member(&member))
}

/// Take somebody out of a team
#[utoipa::path(delete, path = "/v1/teams/{team}/members/{member}", tag = "IAM",
    responses((status = 204, description = "Deleted")))]
pub async fn drop_member(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(team): Segment<2>,
    Segment(member): Segment<4>,
) -> Reply {
    reply::empty(Action::DropTeamMember, teams::drop_member(&app, &call, team, member).await)
}

/// List the organisation's members
#[utoipa::path(get, path = "/v1/memberships", tag = "IAM",
    responses((status = 200, body = Vec<Member>)))]
pub async fn list_members(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
) -> Reply {
    reply::of(Action::ListMembers, members::list(&app, &call).await, |members| {
        members.into_iter().map(wire::member).collect::<Vec<_>>()
    })
}

/// Make a member an owner, or an owner a member
#[utoipa::path(put, path = "/v1/memberships/{membership}", tag = "IAM",
    request_body = UpdateMemberRequest, responses((status = 200, body = Member)))]
pub async fn update_member(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateMemberRequest>();
    reply::of(Action::UpdateMember, members::update(&app, &call, id, body).await, wire::member)
}

/// End a membership
#[utoipa::path(delete, path = "/v1/memberships/{membership}", tag = "IAM",
    responses((status = 204, description = "Ended")))]
pub async fn delete_member(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<2>,
) -> Reply {
    reply::empty(Action::DeleteMember, members::delete(&app, &call, id).await)
}
