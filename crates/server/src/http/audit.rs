//! The audit log.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use coffer_api::{AuditEntry, AuditPage};

use super::caller::Authenticated;
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::audit::{self, Found, Query};
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::caller::Principal;
use crate::model::event::{Event, EventFilter};
use crate::model::limits::AUDIT_ITEMS_MAX;

/// Search the audit log
///
/// Newest first. Every filter narrows; lists are separated by commas.
#[utoipa::path(get, path = "/v1/audit", tag = "Audit",
    params(
        ("page" = Option<i64>, Query, description = "From 1", minimum = 1, maximum = 1_000_000),
        ("limit" = Option<i64>, Query, description = "Entries a page; 100 when absent", minimum = 1, maximum = 500),
        ("searchText" = Option<String>, Query, description = "In action, resource, principal, reason and URL"),
        ("serviceAccount" = Option<String>, Query, description = "Of the caller"),
        ("userIdentity" = Option<String>, Query, description = "Of the caller"),
        ("impersonatorIdentity" = Option<String>, Query, description = "Nobody impersonates here: no entry matches"),
        ("action" = Option<String>, Query, description = "For example `secrets.create,secrets.delete`"),
        ("resourceType" = Option<String>, Query, description = "For example `secret,kms_key`"),
        ("resourceIdentity" = Option<String>, Query, description = "Path of a secret, identity of anything else"),
        ("organizationIdentity" = Option<String>, Query, description = "The caller's own, or no entry matches"),
        ("includeSystemServices" = Option<bool>, Query, description = "Also work by the clock"),
        ("responseStatus" = Option<i64>, Query, description = "HTTP status of the answer", minimum = 100, maximum = 599),
    ),
    responses((status = 200, body = AuditPage)))]
pub async fn search(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    uri: Uri,
) -> Reply {
    let query = read_query(&Params::parse(uri.query()));
    let (page, limit) = query.as_ref().map(|query| (query.page, query.limit)).unwrap_or((1, 1));
    let found = audit::search(&app, &call, query).await;
    reply::of(Action::ListAudit, found, |found| show(found, page, limit))
}

pub(super) fn read_query(params: &Params) -> Result<Query> {
    let page = params.number("page")?.unwrap_or(1);
    let limit = params.number("limit")?.unwrap_or(100);
    if !(1..=1_000_000).contains(&page) {
        return Err(Error::invalid("page", "must be 1 or more"));
    }
    if !(1..=AUDIT_ITEMS_MAX).contains(&limit) {
        return Err(Error::invalid("limit", "must be 1 to 500"));
    }
    let (outcomes, unknown_status) = match params.number("responseStatus")? {
        None => (Vec::new(), false),
        Some(code @ 100..=599) => {
            let outcomes = u16::try_from(code).map(reply::outcomes_of).unwrap_or_default();
            let unknown = outcomes.is_empty();
            (outcomes, unknown)
        }
        Some(_) => return Err(Error::invalid("responseStatus", "must be 100 to 599")),
    };
    Ok(Query {
        filter: EventFilter {
            project: String::new(),
            actions: params.words("action")?,
            resource_types: params.words("resourceType")?,
            resource_id: params.text("resourceIdentity")?,
            user: params.text("userIdentity")?,
            service_account: params.text("serviceAccount")?,
            outcomes,
            include_system: params.flag("includeSystemServices")?,
            search_text: params.text("searchText")?,
        },
        page,
        limit,
        nothing: unknown_status || !params.text("impersonatorIdentity")?.is_empty(),
        organisation: params.text("organizationIdentity")?,
    })
}

fn show(found: Found, page: i64, limit: i64) -> AuditPage {
    let entry = |event: Event| {
        let (subject, account) = match &event.principal {
            Some(Principal::User { subject }) => (Some(subject.clone()), None),
            Some(Principal::ServiceAccount { id, .. }) => (None, Some(id.clone())),
            Some(Principal::Administrator { .. } | Principal::System { .. }) | None => (None, None),
        };
        AuditEntry {
            created_at: wire::time(event.at),
            event_id: event.id.clone(),
            user: subject.as_ref().and_then(|subject| found.users.get(subject)).map(wire::user),
            user_identity: subject,
            service_account_identity: account,
            organization_identity: event.organisation.clone(),
            organization: Some(wire::organisation(&found.organisation)),
            action: event.action.rule().name.to_owned(),
            description: event.reason.clone(),
            resource_type: event.action.rule().resource.name().to_owned(),
            resource_identity: event.resource_id.clone(),
            project_id: event.project.clone(),
            context: {
                let status = reply::status(event.outcome).as_u16();
                wire::audit_context(event, status)
            },
        }
    };
    AuditPage {
        total_items: found.total,
        total_count: found.total,
        page,
        items_per_page: limit,
        total_pages: (found.total + limit - 1) / limit,
        items: found.events.into_iter().map(entry).collect(),
    }
}
