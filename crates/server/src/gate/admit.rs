//! Admission: the order of checks of section 2.10, up to and including IAM, and once more when it has been a
//! while.

use std::sync::Arc;

use super::record::Record;
use super::{Ask, Scope, Subject, inspect_within};
use crate::app::App;
use crate::directory;
use crate::error::{Error, Result};
use crate::model::action::{Action, Audience, Feature, Refusal, Resource};
use crate::model::caller::{Call, Caller, Claim, Standing};
use crate::model::decide::{Target, allows};
use crate::model::identity::{Organisation, Region};
use crate::model::key::Key;
use crate::model::policy::PolicyGrant;
use crate::store::Tx;

/// The order of checks of section 2.10, up to and including IAM. The record learns on the way what the
/// call is about, so that a refusal names it.
pub(super) async fn admit(app: &App, call: &Call, ask: Ask, record: &mut Record) -> Result<Scope> {
    let (rule, now) = (ask.action.rule(), app.clock.now());
    let epoch = app.store.identity_epoch();
    // INVARIANT: decided on what holds now; a body may have taken its time since the caller was found.
    let caller = app.directory.read_caller(&call.claim, now).await?;
    let mut scope = Scope::of(call, caller, epoch);
    record.is_by(&scope.caller);
    if let Some(flaw) = &call.flaw {
        return Err(flaw.clone());
    }
    if !scope.caller.credential.scopes.allow(ask.action) {
        return Err(Error::denied("the scopes of the credential do not allow this"));
    }
    if rule.audience == Audience::Authenticated {
        return Ok(scope);
    }
    let organisation = member_of(&scope.caller)?.clone();
    scope.organisation.clone_from(&organisation.id);
    check_features(&organisation, ask.action)?;
    if let Some(region) = &ask.region {
        scope.region = Some(app.directory.read_region(region).await?);
    }
    if let Some(project) = &call.project {
        if !organisation.has(Feature::Projects) {
            return Err(feature_off(Feature::Projects, rule.resource));
        }
        let held = enter_project(app, &scope, project, now).await?;
        scope.project.clone_from(&held.project);
        if rule.resource.is_in_projects() {
            record.project.clone_from(&held.project);
        }
        if rule.counts_policies() {
            scope.hold(held);
        }
    } else if rule.resource.needs_project() {
        return Err(Error::invalid("", "header `X-Project-Identity` is missing"));
    }
    check_kms(ask.action, scope.region.as_ref())?;
    let subject = match ask.subject {
        Subject::None | Subject::Within(_) => None,
        Subject::New(id) => Some(id),
        Subject::Secret(path) => Some(path?.as_str().to_owned()),
        Subject::Key(reference) => {
            let key = find_key(app, &scope, reference).await?;
            let id = key.id.clone();
            scope.key = Some(Arc::new(key));
            Some(id)
        }
        Subject::Project(reference) => {
            let held = enter_project(app, &scope, &reference, now).await?;
            record.project.clone_from(&held.project);
            scope.hold(held);
            Some(scope.granting.clone())
        }
        named => Some(find_named(app, &scope, ask.action, named).await?),
    };
    if let Some(subject) = &subject {
        record.subject.clone_from(subject);
    }
    decide(&scope.caller, ask.action, subject.as_deref())?;
    Ok(Scope { subject: subject.unwrap_or_default(), ..scope })
}

/// What somebody holds within a project.
struct Held {
    project: String,
    /// With what its policies grant besides.
    caller: Arc<Caller>,
    is_timed: bool,
}

impl Scope {
    /// Of whoever calls, before it is known what for.
    fn of(call: &Call, caller: Arc<Caller>, epoch: u64) -> Self {
        Self {
            epoch,
            member: caller.clone(),
            caller,
            arrival: call.arrival.clone(),
            organisation: String::new(),
            region: None,
            project: String::new(),
            subject: String::new(),
            key: None,
            granting: String::new(),
            is_timed: false,
        }
    }

    /// Lets the policies of a project count.
    fn hold(&mut self, held: Held) {
        self.granting = held.project;
        self.caller = held.caller;
        self.is_timed = held.is_timed;
    }
}

/// A project by identity or slug, and what the caller holds there. Who holds nothing learns of none.
async fn enter_project(app: &App, scope: &Scope, reference: &str, now: i64) -> Result<Held> {
    let project = app.directory.read_project(&scope.organisation, reference).await?;
    let held =
        app.directory.read_policy_grants(&scope.member, &scope.organisation, &project.id).await?;
    let caller = match held.is_empty() {
        true => scope.member.clone(),
        false => Arc::new(scope.member.within(&held, now, scope.arrival.client)),
    };
    match caller.grants.is_empty() {
        true => Err(Error::NotFound { noun: "project", cause: "no grant at all".to_owned() }),
        false => {
            let is_timed = held.iter().any(PolicyGrant::is_timed);
            Ok(Held { project: project.id.clone(), caller, is_timed })
        }
    }
}

fn member_of(caller: &Caller) -> Result<&Organisation> {
    match &caller.standing {
        Standing::Member(organisation) => Ok(organisation),
        Standing::Stranger => Err(Error::denied("not a member of this organisation")),
        Standing::Unnamed => Err(Error::invalid("", "header `X-Organisation-Identity` is missing")),
    }
}

fn check_features(organisation: &Organisation, action: Action) -> Result<()> {
    let rule = action.rule();
    match rule.features.iter().find(|feature| !organisation.has(**feature)) {
        Some(feature) => Err(feature_off(*feature, rule.resource)),
        None => Ok(()),
    }
}

/// Calls on keys need KMS in their region, whatever they are (contract, section 3.15).
fn check_kms(action: Action, region: Option<&Region>) -> Result<()> {
    match action.rule().resource == Resource::KmsKey && region.is_some_and(|region| !region.kms) {
        true => Err(Error::kms_unavailable()),
        false => Ok(()),
    }
}

fn decide(caller: &Caller, action: Action, subject: Option<&str>) -> Result<()> {
    match allows(&caller.grants, action, subject.map_or(Target::Some, Target::One)) {
        true => Ok(()),
        false => Err(not_granted(action, action.rule().refusal)),
    }
}

/// The key by its identity or slug: grants name keys by identity alone.
async fn find_key(app: &App, scope: &Scope, reference: String) -> Result<Key> {
    let (region, project) = (scope.region_id().to_owned(), scope.project.clone());
    let read = async move |tx: &mut Tx| tx.find_key(&region, &project, &reference).await;
    let key = inspect_within(app, &scope.organisation, read).await?;
    key.ok_or(Error::not_found("key"))
}

/// The identity of what a call names.
///
/// SECURITY: whoever may do this to none of a kind learns of none, and whoever may do it only to some is refused
/// alike for one that is not theirs and one that is not there.
async fn find_named(app: &App, scope: &Scope, action: Action, named: Subject) -> Result<String> {
    decide(&scope.caller, action, None)?;
    let (noun, reference) = match &named {
        Subject::Role(reference) => ("role", reference),
        Subject::Team(reference) => ("team", reference),
        Subject::ServiceAccount(reference) => ("service account", reference),
        Subject::Provider(reference) => ("identity provider", reference),
        Subject::Federation(reference) => ("federated identity", reference),
        Subject::Policy(reference) => ("IAM policy", reference),
        Subject::Elevation(reference) => ("access elevation", reference),
        _ => return Err(Error::bug("a subject that is not looked up")),
    };
    let (reference, project) = (reference.clone(), scope.project.clone());
    let missing = decide(&scope.caller, action, Some(&reference)).and(Err(Error::not_found(noun)));
    let found = inspect_within(app, &scope.organisation, async move |tx| {
        Ok(match &named {
            Subject::Role(_) => tx.find_role(&reference).await?.map(|role| role.id),
            Subject::Team(_) => tx.find_team(&reference).await?.map(|team| team.id),
            Subject::ServiceAccount(_) => {
                tx.find_service_account(&reference).await?.map(|account| account.id)
            }
            Subject::Provider(_) => tx.find_provider(&reference).await?.map(|found| found.id),
            Subject::Federation(_) => tx.find_federation(&reference).await?.map(|found| found.id),
            Subject::Policy(_) => {
                tx.find_policy(&project, &reference).await?.map(|policy| policy.id)
            }
            _ => tx.find_elevation(&project, &reference).await?.map(|elevation| elevation.id),
        })
    })
    .await?;
    found.map_or(missing, Ok)
}

fn feature_off(feature: Feature, asked_for: Resource) -> Error {
    Error::denied(match feature {
        Feature::Secrets => "Secrets Manager is not enabled for this organisation",
        Feature::Kms if asked_for == Resource::Secret => {
            "KMS must be enabled for this organisation before Secrets Manager can be used"
        }
        Feature::Kms => "KMS is not enabled for this organisation",
        Feature::Projects => "projects are not enabled for this organisation",
    })
}

fn not_granted(action: Action, refusal: Refusal) -> Error {
    let cause = format!("no grant for {action}");
    match refusal {
        Refusal::Denied => Error::Denied { message: "permission denied".to_owned(), cause },
        Refusal::NotFound => Error::NotFound { noun: "key", cause },
    }
}

/// The scope of a call that has been admitted a while ago, decided again when who may do what has changed since;
/// `None` when nothing has.
pub(super) async fn renew(
    tx: &mut Tx,
    claim: &Claim,
    scope: &Scope,
    action: Action,
    now: i64,
) -> Result<Option<Scope>> {
    if !tx.identities_moved_since(scope.epoch) && !scope.is_timed {
        return scope.member.check_alive(now).map(|()| None);
    }
    let mut scope = scope.clone();
    scope.member = Arc::new(directory::reload_caller(tx, claim, now).await?);
    scope.caller = scope.member.clone();
    if action.rule().audience == Audience::Authenticated {
        return Ok(Some(scope));
    }
    let organisation = member_of(&scope.member)?;
    check_features(organisation, action)?;
    if let Some(region) = &mut scope.region {
        let regions = tx.list_regions().await?;
        let found = regions.into_iter().find(|found| found.id == region.id);
        *region = found.ok_or(Error::not_found("region"))?;
        check_kms(action, Some(region))?;
    }
    if !scope.project.is_empty() {
        if !organisation.has(Feature::Projects) {
            return Err(feature_off(Feature::Projects, action.rule().resource));
        }
        tx.find_project(&scope.project).await?.ok_or(Error::not_found("project"))?;
    }
    if !scope.granting.is_empty() {
        let held = tx.list_policy_grants(&scope.member.principal, &scope.granting).await?;
        scope.caller = Arc::new(scope.member.within(&held, now, scope.arrival.client));
    }
    let subject = Some(scope.subject.as_str()).filter(|subject| !subject.is_empty());
    decide(&scope.caller, action, subject)?;
    Ok(Some(scope))
}

/// As [`renew`], outside of a transaction.
pub(super) async fn renew_within(
    app: &App,
    claim: &Claim,
    scope: &Scope,
    action: Action,
) -> Result<Option<Scope>> {
    let now = app.clock.now();
    if app.store.identity_epoch() == scope.epoch && !scope.is_timed {
        return scope.member.check_alive(now).map(|()| None);
    }
    let (claim, scope) = (claim.clone(), scope.clone());
    inspect_within(app, &scope.organisation.clone(), async move |tx| {
        renew(tx, &claim, &scope, action, now).await
    })
    .await
}
