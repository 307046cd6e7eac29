//! Access elevations: a policy for a while, asked for by one and granted by another (contract, section 4.6).

use std::sync::Arc;

use coffer_api::{CreateElevationRequest, ReviewElevationRequest};

use super::policy_bindings::check_room;
use super::roles::{check_held, policy_rules, too_many};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::elevation::{Elevation, ElevationStatus};
use crate::model::limits;
use crate::model::policy::IamPolicy;
use crate::model::term::read_end;
use crate::store::{NewPolicyBinding, Tx};

fn on(action: Action, elevation: String) -> Ask {
    Ask { action, region: None, subject: Subject::Elevation(elevation) }
}

/// The project's requests, newest first, as far as the caller may list them.
pub async fn list(app: &Arc<App>, call: &Call) -> Result<Vec<Elevation>> {
    let ask = Ask { action: Action::ListElevations, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let may = |elevation: &Elevation| {
            allows(&scope.caller.grants, Action::ListElevations, Target::One(&elevation.id))
        };
        Ok(tx.list_elevations(&scope.project, None).await?.into_iter().filter(may).collect())
    })
    .await
}

/// One request.
pub async fn read(app: &Arc<App>, call: &Call, id: String) -> Result<Elevation> {
    let ask = on(Action::ReadElevation, id);
    gate::read(app, call, ask, async move |tx, scope| read_elevation(tx, scope).await).await
}

/// The caller's own requests in the project.
pub async fn list_own(app: &Arc<App>, call: &Call) -> Result<Vec<Elevation>> {
    let ask = Ask { action: Action::ListOwnElevations, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        tx.list_elevations(&scope.project, Some(scope.caller.principal.kind_and_id())).await
    })
    .await
}

/// One of the caller's own.
pub async fn read_own(app: &Arc<App>, call: &Call, id: String) -> Result<Elevation> {
    let ask = Ask { action: Action::ReadOwnElevation, region: None, subject: Subject::New(id) };
    gate::read(app, call, ask, async move |tx, scope| find_own(tx, scope).await).await
}

/// Asks for a policy of the project. It grants nothing until somebody approves it.
pub async fn request(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateElevationRequest>,
) -> Result<Elevation> {
    let id = app.clock.ordered_id("ae-")?;
    let ask = Ask { action: Action::RequestElevation, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let end =
            read_end(body.expires_at, body.duration.as_deref(), now, limits::ELEVATION_DAYS_MAX)?;
        let expires_at =
            end.ok_or(Error::invalid("", "`expiresAt` or `duration` says until when"))?;
        let reason = body.reason.trim();
        if reason.is_empty() || reason.chars().count() > limits::DESCRIPTION_CHARS_MAX {
            return Err(Error::invalid("reason", "must have 1 to 1024 characters"));
        }
        let (kind, principal) = scope.caller.principal.kind_and_id();
        let policy = find_own_policy(tx, &scope.project, &body.policy_identity).await?;
        let elevation = Elevation {
            id: scope.subject.clone(),
            project: scope.project.clone(),
            policy: policy.id,
            principal: (kind.to_owned(), principal.to_owned()),
            reason: reason.to_owned(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            status: ElevationStatus::Pending,
            expires_at,
            reviewed_by: String::new(),
            review_note: String::new(),
            created_at: now,
            updated_at: now,
        };
        limits::check_labels(&elevation.labels)?;
        limits::check_annotations(&elevation.annotations)?;
        let waiting = tx.count_pending_elevations(&scope.project, (kind, principal), now).await?;
        if waiting >= limits::PENDING_ELEVATIONS_MAX {
            return Err(too_many("pending requests", limits::PENDING_ELEVATIONS_MAX));
        }
        tx.insert_elevation(&elevation).await?;
        Ok(elevation)
    })
    .await
}

/// Takes back a request of the caller's own that nobody has decided on.
pub async fn cancel(app: &Arc<App>, call: &Call, id: String) -> Result<Elevation> {
    let ask = Ask { action: Action::CancelElevation, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let elevation = find_own(tx, scope).await?;
        elevation.check_is(ElevationStatus::Pending, shared.clock.now())?;
        let cancelled = Elevation {
            status: ElevationStatus::Cancelled,
            updated_at: shared.clock.now(),
            ..elevation
        };
        tx.set_elevation(&cancelled, ElevationStatus::Pending).await?;
        Ok(cancelled)
    })
    .await
}

/// Grants a request: the policy is bound to whoever asked, until the time they asked for.
///
/// SECURITY: nobody approves their own request, nor one for more than they hold.
pub async fn approve(
    app: &Arc<App>,
    call: &Call,
    id: String,
    body: Result<ReviewElevationRequest>,
) -> Result<Elevation> {
    let shared = app.clone();
    gate::write(app, call, on(Action::ApproveElevation, id), async move |tx, scope| {
        let elevation = read_elevation(tx, scope).await?;
        let now = shared.clock.now();
        elevation.check_is(ElevationStatus::Pending, now)?;
        let (kind, principal) = scope.caller.principal.kind_and_id();
        if elevation.principal == (kind.to_owned(), principal.to_owned()) {
            return Err(Error::denied("nobody approves their own request"));
        }
        let policy = find_own_policy(tx, &elevation.project, &elevation.policy).await?;
        check_held(scope, &policy_rules(tx, &policy).await?, policy.reach())?;
        let holder = (elevation.principal.0.as_str(), elevation.principal.1.as_str());
        if !is_here(tx, holder).await? {
            return Err(Error::invalid("", "whoever asked is not of the organisation any more"));
        }
        let binding = NewPolicyBinding {
            id: &shared.clock.fresh_id("")?,
            policy: &policy.id,
            holder,
            name: &elevation.id,
            description: &elevation.reason,
            labels: &elevation.labels,
            annotations: &elevation.annotations,
            elevation: &elevation.id,
            expires_at: Some(elevation.expires_at),
        };
        check_room(tx, holder).await?;
        tx.insert_policy_binding(&binding, now).await?;
        tx.describe(format!("{} for {} {}", policy.slug, holder.0, holder.1));
        review(tx, scope, elevation.clone(), ElevationStatus::Approved, &body, now).await
    })
    .await
}

/// Turns a request down.
pub async fn reject(
    app: &Arc<App>,
    call: &Call,
    id: String,
    body: Result<ReviewElevationRequest>,
) -> Result<Elevation> {
    let shared = app.clone();
    gate::write(app, call, on(Action::RejectElevation, id), async move |tx, scope| {
        let elevation = read_elevation(tx, scope).await?;
        let now = shared.clock.now();
        elevation.check_is(ElevationStatus::Pending, now)?;
        review(tx, scope, elevation, ElevationStatus::Rejected, &body, now).await
    })
    .await
}

/// Takes back what was granted: the next call of whoever has it is refused.
pub async fn revoke(
    app: &Arc<App>,
    call: &Call,
    id: String,
    body: Result<ReviewElevationRequest>,
) -> Result<Elevation> {
    let shared = app.clone();
    gate::write(app, call, on(Action::RevokeElevation, id), async move |tx, scope| {
        let elevation = read_elevation(tx, scope).await?;
        let now = shared.clock.now();
        elevation.check_is(ElevationStatus::Approved, now)?;
        tx.delete_elevated_bindings(&elevation.policy, &elevation.id).await?;
        review(tx, scope, elevation, ElevationStatus::Revoked, &body, now).await
    })
    .await
}

async fn review(
    tx: &mut Tx,
    scope: &Scope,
    elevation: Elevation,
    status: ElevationStatus,
    body: &Result<ReviewElevationRequest>,
    now: i64,
) -> Result<Elevation> {
    let body = body.as_ref().map_err(Clone::clone)?;
    let note = body.review_note.clone().unwrap_or_default();
    if note.chars().count() > limits::DESCRIPTION_CHARS_MAX {
        return Err(Error::invalid("reviewNote", "longer than 1024 characters"));
    }
    let (kind, id) = scope.caller.principal.kind_and_id();
    let before = elevation.status;
    let reviewed = Elevation {
        status,
        reviewed_by: format!("{kind}:{id}"),
        review_note: note,
        updated_at: now,
        ..elevation
    };
    tx.set_elevation(&reviewed, before).await?;
    Ok(reviewed)
}

async fn is_here(tx: &mut Tx, (kind, id): (&str, &str)) -> Result<bool> {
    Ok(match kind {
        "user" => tx.find_member_role(id).await?.is_some(),
        _ => tx.find_service_account(id).await?.is_some(),
    })
}

/// A policy of the project itself.
///
/// SECURITY: one that holds here from above would be bound above, for all that lies below it.
async fn find_own_policy(tx: &mut Tx, project: &str, reference: &str) -> Result<IamPolicy> {
    let policy = tx.find_policy(project, reference).await?.ok_or(Error::not_found("IAM policy"))?;
    match policy.project == project {
        true => Ok(policy),
        false => Err(Error::invalid("", "the policy is of a project above; ask for it there")),
    }
}

/// The request that was authorised.
async fn read_elevation(tx: &mut Tx, scope: &Scope) -> Result<Elevation> {
    let found = tx.find_elevation(&scope.project, &scope.subject).await?;
    found.ok_or(Error::not_found("access elevation"))
}

/// The same, where it is the caller's own.
async fn find_own(tx: &mut Tx, scope: &Scope) -> Result<Elevation> {
    let elevation = read_elevation(tx, scope).await?;
    let (kind, id) = scope.caller.principal.kind_and_id();
    match elevation.principal == (kind.to_owned(), id.to_owned()) {
        true => Ok(elevation),
        false => Err(Error::not_found("access elevation")),
    }
}
