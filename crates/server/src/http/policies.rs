//! IAM policies of projects, their rules and bindings.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    AccessBindings, CreatePolicyBindingRequest, CreatePolicyRequest, CreateRuleRequest, IamPolicy,
    PolicyBinding, PolicyMember, RoleRule, UpdatePolicyBindingRequest, UpdatePolicyRequest,
};

use super::caller::{Authenticated, Segment};
use super::iam::read_filter;
use super::kms::read_body;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use super::wire_policies;
use crate::app::App;
use crate::error::Result;
use crate::iam::policy_bindings::AccessQuery;
use crate::iam::{policies, policy_bindings};
use crate::model::action::Action;

/// List the policies that hold in the project
#[utoipa::path(get, path = "/v1/projects/iam/policies", tag = "IAM policies",
    params(("identity" = Option<String>, Query), ("name" = Option<String>, Query), ("slug" = Option<String>, Query)),
    responses((status = 200, body = Vec<IamPolicy>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let asked = read_filter(&Params::parse(uri.query()));
    let done = policies::list(&app, &call, asked).await;
    reply::of(Action::ListPolicies, done, |done| {
        done.into_iter().map(wire_policies::policy).collect::<Vec<_>>()
    })
}

/// Make a policy
#[utoipa::path(post, path = "/v1/projects/iam/policies", tag = "IAM policies",
    request_body = CreatePolicyRequest, responses((status = 201, body = IamPolicy)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreatePolicyRequest>();
    let done = policies::create(&app, &call, body).await;
    reply::of(Action::CreatePolicy, done, wire_policies::policy)
}

/// List the types of resources that rules may name
#[utoipa::path(get, path = "/v1/projects/iam/policies/resources", tag = "IAM policies",
    responses((status = 200, body = Vec<String>)))]
pub async fn list_assignable(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
) -> Reply {
    let done = policies::list_assignable(&app, &call).await;
    reply::of(Action::ListAssignable, done, |done| done)
}

/// List who holds policies of the project
#[utoipa::path(get, path = "/v1/projects/iam/policies/members", tag = "IAM policies",
    responses((status = 200, body = Vec<PolicyMember>)))]
pub async fn list_members(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
) -> Reply {
    let done = policy_bindings::list_members(&app, &call).await;
    reply::of(Action::ListPolicyMembers, done, |done| {
        done.into_iter().map(wire_policies::policy_member).collect::<Vec<_>>()
    })
}

/// Read a policy with its rules and bindings
#[utoipa::path(get, path = "/v1/projects/iam/policies/{policy}", tag = "IAM policies",
    responses((status = 200, body = IamPolicy)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
) -> Reply {
    let done = policies::read(&app, &call, policy).await;
    reply::of(Action::ReadPolicy, done, wire_policies::policy)
}

/// Change a policy
#[utoipa::path(put, path = "/v1/projects/iam/policies/{policy}", tag = "IAM policies",
    request_body = UpdatePolicyRequest, responses((status = 200, body = IamPolicy)))]
pub async fn update(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdatePolicyRequest>();
    let done = policies::update(&app, &call, policy, body).await;
    reply::of(Action::UpdatePolicy, done, wire_policies::policy)
}

/// Delete a policy with its rules and bindings
#[utoipa::path(delete, path = "/v1/projects/iam/policies/{policy}", tag = "IAM policies",
    responses((status = 204, description = "Done")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
) -> Reply {
    let done = policies::delete(&app, &call, policy).await;
    reply::empty(Action::DeletePolicy, done)
}

/// Add a rule to a policy
#[utoipa::path(post, path = "/v1/projects/iam/policies/{policy}/rules", tag = "IAM policies",
    request_body = CreateRuleRequest, responses((status = 201, body = RoleRule)))]
pub async fn create_rule(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateRuleRequest>();
    let done = policies::create_rule(&app, &call, policy, body).await;
    reply::of(Action::CreatePolicyRule, done, wire::rule)
}

/// Take a rule out of a policy
#[utoipa::path(delete, path = "/v1/projects/iam/policies/{policy}/rules/{rule}", tag = "IAM policies",
    responses((status = 204, description = "Done")))]
pub async fn delete_rule(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    Segment(rule): Segment<6>,
) -> Reply {
    let done = policies::delete_rule(&app, &call, policy, rule).await;
    reply::empty(Action::DeletePolicyRule, done)
}

/// List who holds a policy
#[utoipa::path(get, path = "/v1/projects/iam/policies/{policy}/bindings", tag = "IAM policies",
    responses((status = 200, body = Vec<PolicyBinding>)))]
pub async fn list_bindings(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
) -> Reply {
    let done = policy_bindings::list(&app, &call, policy).await;
    reply::of(Action::ListPolicyBindings, done, |done| {
        done.into_iter().map(wire_policies::policy_binding).collect::<Vec<_>>()
    })
}

/// Give a policy to a user, a team or a service account
#[utoipa::path(post, path = "/v1/projects/iam/policies/{policy}/bindings", tag = "IAM policies",
    request_body = CreatePolicyBindingRequest, responses((status = 201, body = PolicyBinding)))]
pub async fn create_binding(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreatePolicyBindingRequest>();
    let done = policy_bindings::create(&app, &call, policy, body).await;
    reply::of(Action::CreatePolicyBinding, done, wire_policies::policy_binding)
}

/// Read a binding
#[utoipa::path(get, path = "/v1/projects/iam/policies/{policy}/bindings/{binding}", tag = "IAM policies",
    responses((status = 200, body = PolicyBinding)))]
pub async fn read_binding(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    Segment(binding): Segment<6>,
) -> Reply {
    let done = policy_bindings::read(&app, &call, policy, binding).await;
    reply::of(Action::ReadPolicyBinding, done, wire_policies::policy_binding)
}

/// Change a binding
#[utoipa::path(put, path = "/v1/projects/iam/policies/{policy}/bindings/{binding}", tag = "IAM policies",
    request_body = UpdatePolicyBindingRequest, responses((status = 200, body = PolicyBinding)))]
pub async fn update_binding(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    Segment(binding): Segment<6>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdatePolicyBindingRequest>();
    let done = policy_bindings::update(&app, &call, policy, binding, body).await;
    reply::of(Action::UpdatePolicyBinding, done, wire_policies::policy_binding)
}

/// Take a policy away
#[utoipa::path(delete, path = "/v1/projects/iam/policies/{policy}/bindings/{binding}", tag = "IAM policies",
    responses((status = 204, description = "Done")))]
pub async fn delete_binding(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(policy): Segment<4>,
    Segment(binding): Segment<6>,
) -> Reply {
    let done = policy_bindings::delete(&app, &call, policy, binding).await;
    reply::empty(Action::DeletePolicyBinding, done)
}

/// List who has access to a resource of the project
#[utoipa::path(get, path = "/v1/projects/iam/access-bindings", tag = "IAM policies",
    params(
        ("resourceType" = String, Query, description = "For example `secret`", min_length = 1),
        ("resourceIdentity" = String, Query, description = "Path of a secret, identity of anything else", min_length = 1),
        ("permissions" = Option<String>, Query, description = "Words, separated by commas; any when absent"),
        ("bindingTypes" = Option<String>, Query, description = "`iam_policy`, `organisation_role`; both when absent"),
    ),
    responses((status = 200, body = AccessBindings)))]
pub async fn list_access(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let asked = read_access_query(&Params::parse(uri.query()));
    let shown = asked.clone().unwrap_or_default();
    let done = policy_bindings::list_access(&app, &call, asked).await;
    reply::of(Action::ListAccessBindings, done, |found| wire_policies::access(&shown, found))
}

fn read_access_query(params: &Params) -> Result<AccessQuery> {
    let query = AccessQuery {
        resource: params.text("resourceType")?,
        identity: params.text("resourceIdentity")?,
        permissions: params.words("permissions")?,
        kinds: params.words("bindingTypes")?,
    };
    query.check()?;
    Ok(query)
}
