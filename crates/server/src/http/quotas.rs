//! Quotas.

use std::sync::Arc;

use axum::extract::{Request, State};
use coffer_api::{CreateIncreaseRequest, Quota, QuotaIncrease};

use super::caller::{Authenticated, Segment};
use super::kms::read_body;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::iam::quotas::{self, View};
use crate::model::action::Action;
use crate::model::quota::{Decision, Increase, Usage};

/// List the organisation's quotas
#[utoipa::path(get, path = "/v1/quotas", tag = "Quotas",
    responses((status = 200, body = Vec<Quota>)))]
pub async fn list(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    reply::of(Action::ListQuotas, quotas::list(&app, &call).await, |views| {
        views.iter().map(show).collect::<Vec<_>>()
    })
}

/// Read a quota
#[utoipa::path(get, path = "/v1/quotas/{quota}", tag = "Quotas",
    responses((status = 200, body = Quota)))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(quota): Segment<2>,
) -> Reply {
    reply::of(Action::ReadQuota, quotas::read(&app, &call, quota).await, |view| show(&view))
}

/// Ask for a larger quota
///
/// An administrator of the platform decides.
#[utoipa::path(post, path = "/v1/quotas/increase-requests", tag = "Quotas",
    request_body = CreateIncreaseRequest, responses((status = 201, body = QuotaIncrease)))]
pub async fn request_increase(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateIncreaseRequest>();
    let made = quotas::request_increase(&app, &call, body).await;
    reply::of(Action::RequestIncrease, made, |increase| show_increase(&increase))
}

fn show(view: &View) -> Quota {
    Quota {
        increase_requests: view.increases.iter().map(show_increase).collect(),
        ..show_usage(&view.usage)
    }
}

pub(super) fn show_usage(usage: &Usage) -> Quota {
    Quota {
        name: usage.quota.name().to_owned(),
        description: usage.quota.description().to_owned(),
        service: usage.quota.service().to_owned(),
        created_at: wire::time(usage.created_at),
        max_usage: usage.most,
        current_usage: usage.used,
        quota_type: "count".to_owned(),
        increase_requests: Vec::new(),
        organisation: None,
    }
}

pub(super) fn show_increase(increase: &Increase) -> QuotaIncrease {
    QuotaIncrease {
        identity: increase.id.clone(),
        name: increase.quota.name().to_owned(),
        new_max_usage_requested: increase.new_most,
        requested_reason_message: increase.reason.clone(),
        created_at: wire::time(increase.created_at),
        updated_at: wire::time(increase.updated_at),
        decision: increase.decision.word().to_owned(),
        decision_reason: (increase.decision != Decision::Pending)
            .then(|| increase.decision_reason.clone()),
    }
}
