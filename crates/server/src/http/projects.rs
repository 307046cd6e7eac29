//! Projects.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{CreateProjectRequest, Project, UpdateProjectRequest};

use super::caller::{Authenticated, Segment};
use super::iam::read_filter;
use super::kms::read_body;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::iam::projects;
use crate::model::action::Action;

/// List projects
#[utoipa::path(get, path = "/v1/projects", tag = "Projects",
    params(
        ("identity" = Option<String>, Query), ("name" = Option<String>, Query),
        ("slug" = Option<String>, Query),
    ),
    responses((status = 200, body = Vec<Project>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let listed = projects::list(&app, &call, read_filter(&Params::parse(uri.query()))).await;
    reply::of(Action::ListProjects, listed, |projects| {
        projects.into_iter().map(wire::project).collect::<Vec<_>>()
    })
}

/// Make a project
#[utoipa::path(post, path = "/v1/projects", tag = "Projects",
    request_body = CreateProjectRequest, responses((status = 201, body = Project)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateProjectRequest>();
    reply::of(Action::CreateProject, projects::create(&app, &call, body).await, wire::project)
}

/// Read a project
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "Projects",
    responses((status = 200, body = Project)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(project): Segment<2>,
) -> Reply {
    reply::of(Action::ReadProject, projects::read(&app, &call, project).await, wire::project)
}

/// Change a project
#[utoipa::path(put, path = "/v1/projects/{project}", tag = "Projects",
    request_body = UpdateProjectRequest, responses((status = 200, body = Project)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(project): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateProjectRequest>();
    let done = projects::update(&app, &call, project, body).await;
    reply::of(Action::UpdateProject, done, wire::project)
}

/// Delete a project in which nothing is left
#[utoipa::path(delete, path = "/v1/projects/{project}", tag = "Projects",
    responses((status = 204, description = "Deleted")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(project): Segment<2>,
) -> Reply {
    reply::empty(Action::DeleteProject, projects::delete(&app, &call, project).await)
}
