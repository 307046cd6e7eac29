//! Administration of the platform.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    CreateOrganisationRequest, CreatedOrganisation, DecideIncreaseRequest, Gates,
    PlatformAuditEntry, PlatformAuditPage, PlatformOrganisation, PlatformQuotaIncrease,
    PlatformRegion, SecretText, UpdateOrganisationRequest, UpdateRegionRequest,
};

use super::administrator::Administrating;
use super::audit::read_query;
use super::caller::Segment;
use super::kms::read_body;
use super::query::Params;
use super::quotas::{show_increase, show_usage};
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::caller::Principal;
use crate::model::event::Event;
use crate::model::quota::Decision;
use crate::platform::organisations::View;
use crate::platform::{audit, organisations, quotas, regions};

/// List all organisations
#[utoipa::path(get, path = "/v1/platform/organisations", tag = "Platform",
    responses((status = 200, body = Vec<PlatformOrganisation>)))]
pub async fn list_organisations(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
) -> Reply {
    let listed = organisations::list(&app, &call).await;
    reply::of(Action::ListOrganisations, listed, |views| {
        views.iter().map(show_organisation).collect::<Vec<_>>()
    })
}

/// Make an organisation with its owner
///
/// The owner's token is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/platform/organisations", tag = "Platform",
    request_body = CreateOrganisationRequest, responses((status = 201, body = CreatedOrganisation)))]
pub async fn create_organisation(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateOrganisationRequest>();
    let made = organisations::create(&app, &call, body).await;
    reply::of(Action::CreateOrganisation, made, |made| CreatedOrganisation {
        about: show_organisation(&made.view),
        owner: wire::user(&made.owner),
        token: SecretText::of_text(&made.token),
    })
}

/// Read an organisation with its gates and quotas
#[utoipa::path(get, path = "/v1/platform/organisations/{organisation}", tag = "Platform",
    responses((status = 200, body = PlatformOrganisation)))]
pub async fn read_organisation(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    Segment(organisation): Segment<3>,
) -> Reply {
    let read = organisations::read(&app, &call, organisation).await;
    reply::of(Action::ReadOrganisation, read, |view| show_organisation(&view))
}

/// Switch an organisation's gates, set its quotas
#[utoipa::path(patch, path = "/v1/platform/organisations/{organisation}", tag = "Platform",
    request_body = UpdateOrganisationRequest, responses((status = 200, body = PlatformOrganisation)))]
pub async fn update_organisation(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    Segment(organisation): Segment<3>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateOrganisationRequest>();
    let done = organisations::update(&app, &call, organisation, body).await;
    reply::of(Action::UpdateOrganisation, done, |view| show_organisation(&view))
}

/// List all regions, and who says what of their KMS
#[utoipa::path(get, path = "/v1/platform/regions", tag = "Platform",
    responses((status = 200, body = Vec<PlatformRegion>)))]
pub async fn list_regions(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
) -> Reply {
    let listed = regions::list(&app, &call).await;
    reply::of(Action::ListRegionSwitches, listed, |views| {
        views.iter().map(show_region).collect::<Vec<_>>()
    })
}

/// Switch a region's KMS on or off
#[utoipa::path(patch, path = "/v1/platform/regions/{region}", tag = "Platform",
    request_body = UpdateRegionRequest, responses((status = 200, body = PlatformRegion)))]
pub async fn update_region(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    Segment(region): Segment<3>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<UpdateRegionRequest>();
    let done = regions::update(&app, &call, region, body).await;
    reply::of(Action::SwitchRegion, done, |view| show_region(&view))
}

/// List requests for larger quotas, the newest first
#[utoipa::path(get, path = "/v1/platform/quota-increase-requests", tag = "Platform",
    params(("decision" = Option<String>, Query, description = "`pending`, `approved` or `denied`",
        pattern = "^(pending|approved|denied)?$")),
    responses((status = 200, body = Vec<PlatformQuotaIncrease>)))]
pub async fn list_increases(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    uri: Uri,
) -> Reply {
    let listed = quotas::list(&app, &call, read_decision(&Params::parse(uri.query()))).await;
    reply::of(Action::ListIncreases, listed, |views| {
        views.iter().map(show_platform_increase).collect::<Vec<_>>()
    })
}

fn read_decision(params: &Params) -> Result<Option<Decision>> {
    match params.find("decision")?.filter(|word| !word.is_empty()) {
        None => Ok(None),
        Some(word) => Decision::from_word(word)
            .map(Some)
            .ok_or_else(|| Error::invalid("decision", "must be pending, approved or denied")),
    }
}

/// Approve a request: the organisation may have more at once
#[utoipa::path(post, path = "/v1/platform/quota-increase-requests/{request}/approve", tag = "Platform",
    request_body = Option<DecideIncreaseRequest>, responses((status = 200, body = PlatformQuotaIncrease)))]
pub async fn approve(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    Segment(id): Segment<3>,
    request: Request,
) -> Reply {
    decide(&app, &call, id, Decision::Approved, request).await
}

/// Deny a request
#[utoipa::path(post, path = "/v1/platform/quota-increase-requests/{request}/deny", tag = "Platform",
    request_body = Option<DecideIncreaseRequest>, responses((status = 200, body = PlatformQuotaIncrease)))]
pub async fn deny(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    Segment(id): Segment<3>,
    request: Request,
) -> Reply {
    decide(&app, &call, id, Decision::Denied, request).await
}

async fn decide(
    app: &Arc<App>,
    call: &AdministratorCall,
    id: String,
    decision: Decision,
    request: Request,
) -> Reply {
    let body = read_body(app, request).await.parse_or_default::<DecideIncreaseRequest>();
    let done = quotas::decide(app, call, id, decision, body).await;
    reply::of(Action::ApproveIncrease, done, |view| show_platform_increase(&view))
}

/// Search the records of no organisation
///
/// What administrators and the operator did, and failed authentications; newest first.
#[utoipa::path(get, path = "/v1/platform/audit", tag = "Platform",
    params(
        ("page" = Option<i64>, Query, description = "From 1", minimum = 1, maximum = 1_000_000),
        ("limit" = Option<i64>, Query, description = "Entries a page; 100 when absent", minimum = 1, maximum = 500),
        ("searchText" = Option<String>, Query, description = "In action, resource, principal, reason and URL"),
        ("action" = Option<String>, Query, description = "For example `platform.organisation.update`"),
        ("resourceType" = Option<String>, Query, description = "For example `organisation,region`"),
        ("resourceIdentity" = Option<String>, Query, description = "As the call named it"),
        ("responseStatus" = Option<i64>, Query, description = "HTTP status of the answer", minimum = 100, maximum = 599),
    ),
    responses((status = 200, body = PlatformAuditPage)))]
pub async fn search_audit(
    State(app): State<Arc<App>>,
    Administrating(call): Administrating,
    uri: Uri,
) -> Reply {
    let query = read_query(&Params::parse(uri.query())).map(|mut query| {
        // What the operator does on the command line is the system's here.
        query.filter.include_system = true;
        ((!query.nothing).then_some(query.filter), query.page, query.limit)
    });
    let (page, limit) = query.as_ref().map(|query| (query.1, query.2)).unwrap_or((1, 1));
    let found = audit::search(&app, &call, query).await;
    reply::of(Action::ListPlatformAudit, found, |(total, events)| PlatformAuditPage {
        items: events.into_iter().map(show_event).collect(),
        total_items: total,
        page,
        items_per_page: limit,
        total_pages: (total + limit - 1) / limit,
    })
}

pub(super) fn show_organisation(view: &View) -> PlatformOrganisation {
    let organisation = &view.organisation;
    PlatformOrganisation {
        about: wire::organisation(organisation),
        gates: Gates {
            secrets: organisation.secrets_gate,
            kms: organisation.kms_gate,
            projects: organisation.projects_gate,
        },
        quotas: view.quotas.iter().map(show_usage).collect(),
    }
}

pub(super) fn show_region((region, switch): &regions::View) -> PlatformRegion {
    PlatformRegion {
        about: wire::region(region),
        kms: region.kms,
        configured: switch.configured,
        kms_configured: switch.kms_configured,
        kms_switch: switch.kms_switch,
    }
}

pub(super) fn show_platform_increase(
    (increase, organisation): &quotas::View,
) -> PlatformQuotaIncrease {
    PlatformQuotaIncrease {
        about: show_increase(increase),
        organisation: wire::organisation(organisation),
    }
}

fn show_event(event: Event) -> PlatformAuditEntry {
    let (kind, principal) = match &event.principal {
        Some(Principal::User { subject }) => ("user", subject.clone()),
        Some(Principal::ServiceAccount { id, .. }) => ("service_account", id.clone()),
        Some(Principal::Administrator { id }) => ("administrator", id.clone()),
        Some(Principal::System { reason }) => ("system", (*reason).to_owned()),
        None => ("", String::new()),
    };
    PlatformAuditEntry {
        created_at: wire::time(event.at),
        event_id: event.id.clone(),
        principal_kind: kind.to_owned(),
        principal_identity: principal,
        action: event.action.rule().name.to_owned(),
        description: event.reason.clone(),
        resource_type: event.action.rule().resource.name().to_owned(),
        resource_identity: event.resource_id.clone(),
        context: {
            let status = reply::status(event.outcome).as_u16();
            wire::audit_context(event, status)
        },
    }
}
