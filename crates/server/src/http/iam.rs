//! Roles, rules and bindings.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    CreateBindingRequest, CreateRoleRequest, CreateRuleRequest, Role, RoleBinding, RoleRule,
};

use super::caller::{Authenticated, Segment};
use super::kms::read_body;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::error::Result;
use crate::iam::{Filter, roles};
use crate::model::action::Action;

/// List roles
#[utoipa::path(get, path = "/v1/iam/roles", tag = "IAM",
    params(
        ("identity" = Option<String>, Query), ("name" = Option<String>, Query),
        ("slug" = Option<String>, Query),
    ),
    responses((status = 200, body = Vec<Role>)))]
pub async fn list_roles(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let listed = roles::list(&app, &call, read_filter(&Params::parse(uri.query()))).await;
    reply::of(Action::ListRoles, listed, |roles| {
        roles.into_iter().map(wire::role).collect::<Vec<_>>()
    })
}

pub fn read_filter(params: &Params) -> Result<Filter> {
    Ok(Filter {
        identity: params.text("identity")?,
        name: params.text("name")?,
        slug: params.text("slug")?,
        labels: params.labels()?,
    })
}

/// Make a role
#[utoipa::path(post, path = "/v1/iam/roles", tag = "IAM",
    request_body = CreateRoleRequest, responses((status = 201, body = Role)))]
pub async fn create_role(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateRoleRequest>();
    reply::of(Action::CreateRole, roles::create(&app, &call, body).await, wire::role)
}

/// Read a role with its rules and bindings
#[utoipa::path(get, path = "/v1/iam/roles/{role}", tag = "IAM",
    responses((status = 200, body = Role)))]
pub async fn read_role(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
) -> Reply {
    reply::of(Action::ReadRole, roles::read(&app, &call, role).await, wire::role)
}

/// Delete a role with its rules and bindings
#[utoipa::path(delete, path = "/v1/iam/roles/{role}", tag = "IAM",
    responses((status = 204, description = "Deleted")))]
pub async fn delete_role(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
) -> Reply {
    reply::empty(Action::DeleteRole, roles::delete(&app, &call, role).await)
}

/// Add a rule to a role
#[utoipa::path(post, path = "/v1/iam/roles/{role}/rules", tag = "IAM",
    request_body = CreateRuleRequest, responses((status = 201, body = RoleRule)))]
pub async fn create_rule(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateRuleRequest>();
    reply::of(Action::CreateRule, roles::create_rule(&app, &call, role, body).await, wire::rule)
}

/// Take a rule out of a role
#[utoipa::path(delete, path = "/v1/iam/roles/{role}/rules/{rule}", tag = "IAM",
    responses((status = 204, description = "Deleted")))]
pub async fn delete_rule(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
    Segment(rule): Segment<5>,
) -> Reply {
    reply::empty(Action::DeleteRule, roles::delete_rule(&app, &call, role, rule).await)
}

/// List who holds a role
#[utoipa::path(get, path = "/v1/iam/roles/{role}/bindings", tag = "IAM",
    responses((status = 200, body = Vec<RoleBinding>)))]
pub async fn list_bindings(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
) -> Reply {
    let listed = roles::list_bindings(&app, &call, role).await;
    reply::of(Action::ListBindings, listed, |bindings| {
        bindings.into_iter().map(wire::binding).collect::<Vec<_>>()
    })
}

/// Give a role to a user or a team
#[utoipa::path(post, path = "/v1/iam/roles/{role}/bindings", tag = "IAM",
    request_body = CreateBindingRequest, responses((status = 201, body = RoleBinding)))]
pub async fn create_binding(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateBindingRequest>();
    let made = roles::create_binding(&app, &call, role, body).await;
    reply::of(Action::CreateBinding, made, wire::binding)
}

/// Take a role away
#[utoipa::path(delete, path = "/v1/iam/roles/{role}/bindings/{binding}", tag = "IAM",
    responses((status = 204, description = "Deleted")))]
pub async fn delete_binding(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(role): Segment<3>,
    Segment(binding): Segment<5>,
) -> Reply {
    reply::empty(Action::DeleteBinding, roles::delete_binding(&app, &call, role, binding).await)
}
