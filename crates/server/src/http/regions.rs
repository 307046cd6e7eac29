//! Regions.

use std::sync::Arc;

use axum::extract::State;
use coffer_api::Region;

use super::caller::{Authenticated, Segment};
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::iam;
use crate::model::action::Action;

/// All regions
#[utoipa::path(get, path = "/v1/regions", tag = "Regions", responses((status = 200, body = Vec<Region>)))]
pub async fn list(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let listed = iam::list_regions(&app, &call).await;
    reply::of(Action::ListRegions, listed, |regions| {
        regions.iter().map(wire::region).collect::<Vec<_>>()
    })
}

/// One region, by identity or slug
#[utoipa::path(get, path = "/v1/regions/{region}", tag = "Regions",
    params(("region" = String, Path, description = "Identity or slug", example = "nl-01")),
    responses((status = 200, body = Region)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
) -> Reply {
    let found = iam::read_region(&app, &call, region).await;
    reply::of(Action::ReadRegion, found, |region| wire::region(&region))
}
