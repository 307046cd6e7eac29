//! Access elevations.

use std::sync::Arc;

use axum::extract::{Request, State};
use coffer_api::{CreateElevationRequest, Elevation, ReviewElevationRequest};

use super::caller::{Authenticated, Segment};
use super::kms::read_body;
use super::reply::{self, Reply};
use super::wire_policies;
use crate::app::App;
use crate::iam::elevations;
use crate::model::action::Action;

/// List one's own requests
#[utoipa::path(get, path = "/v1/projects/iam/my-access-elevations", tag = "Access elevations",
    responses((status = 200, body = Vec<Elevation>)))]
pub async fn list_own(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let done = elevations::list_own(&app, &call).await;
    reply::of(Action::ListOwnElevations, done, |done| {
        done.into_iter()
            .map(|made| wire_policies::elevation(made, app.clock.now()))
            .collect::<Vec<_>>()
    })
}

/// Ask for a policy for a while
#[utoipa::path(post, path = "/v1/projects/iam/my-access-elevations", tag = "Access elevations",
    request_body = CreateElevationRequest, responses((status = 201, body = Elevation)))]
pub async fn request(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateElevationRequest>();
    let done = elevations::request(&app, &call, body).await;
    reply::of(Action::RequestElevation, done, |made| {
        wire_policies::elevation(made, app.clock.now())
    })
}

/// Read one of one's own requests
#[utoipa::path(get, path = "/v1/projects/iam/my-access-elevations/{elevation}", tag = "Access elevations",
    responses((status = 200, body = Elevation)))]
pub async fn read_own(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<4>,
) -> Reply {
    let done = elevations::read_own(&app, &call, id).await;
    reply::of(Action::ReadOwnElevation, done, |made| {
        wire_policies::elevation(made, app.clock.now())
    })
}

/// Take one of one's own requests back
#[utoipa::path(post, path = "/v1/projects/iam/my-access-elevations/{elevation}/cancel", tag = "Access elevations",
    responses((status = 200, body = Elevation)))]
pub async fn cancel(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<4>,
) -> Reply {
    let done = elevations::cancel(&app, &call, id).await;
    reply::of(Action::CancelElevation, done, |made| wire_policies::elevation(made, app.clock.now()))
}

/// List the requests in the project
#[utoipa::path(get, path = "/v1/projects/iam/access-elevations", tag = "Access elevations",
    responses((status = 200, body = Vec<Elevation>)))]
pub async fn list(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let done = elevations::list(&app, &call).await;
    reply::of(Action::ListElevations, done, |done| {
        done.into_iter()
            .map(|made| wire_policies::elevation(made, app.clock.now()))
            .collect::<Vec<_>>()
    })
}

/// Read a request
#[utoipa::path(get, path = "/v1/projects/iam/access-elevations/{elevation}", tag = "Access elevations",
    responses((status = 200, body = Elevation)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<4>,
) -> Reply {
    let done = elevations::read(&app, &call, id).await;
    reply::of(Action::ReadElevation, done, |made| wire_policies::elevation(made, app.clock.now()))
}

/// Grant a request
#[utoipa::path(post, path = "/v1/projects/iam/access-elevations/{elevation}/approve", tag = "Access elevations",
    request_body = ReviewElevationRequest, responses((status = 200, body = Elevation)))]
pub async fn approve(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse_or_default::<ReviewElevationRequest>();
    let done = elevations::approve(&app, &call, id, body).await;
    reply::of(Action::ApproveElevation, done, |made| {
        wire_policies::elevation(made, app.clock.now())
    })
}

/// Turn a request down
#[utoipa::path(post, path = "/v1/projects/iam/access-elevations/{elevation}/reject", tag = "Access elevations",
    request_body = ReviewElevationRequest, responses((status = 200, body = Elevation)))]
pub async fn reject(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse_or_default::<ReviewElevationRequest>();
    let done = elevations::reject(&app, &call, id, body).await;
    reply::of(Action::RejectElevation, done, |made| wire_policies::elevation(made, app.clock.now()))
}

/// Take back what was granted
#[utoipa::path(post, path = "/v1/projects/iam/access-elevations/{elevation}/revoke", tag = "Access elevations",
    request_body = ReviewElevationRequest, responses((status = 200, body = Elevation)))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(id): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse_or_default::<ReviewElevationRequest>();
    let done = elevations::revoke(&app, &call, id, body).await;
    reply::of(Action::RevokeElevation, done, |made| wire_policies::elevation(made, app.clock.now()))
}
