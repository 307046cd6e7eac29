//! THE ONE DOOR: admit → begin → operate → audit → commit.
//!
//! Every operation passes [`read`], [`write`] or [`work`], and nothing else opens a transaction for one. So
//! two questions are answered by reading this file: was it authorised, and was it audited?
//!
//! - A **mutation** and its record commit in one transaction.
//! - A **read** runs on a reading connection; its record commits with others before the answer leaves.
//! - **Work** that takes a while happens outside of the store's threads; the call is decided again behind it.
//! - A refusal, a miss and a failure are recorded by the same lines. No record, no answer.

mod administration;
mod guests;
mod pages;
mod record;

use std::sync::Arc;

use coffer_api::SecretPath;

use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::{Action, Audience, Feature, Refusal, Resource};
use crate::model::caller::{Arrival, Call, Caller, Principal, Standing};
use crate::model::decide::{Target, allows};
use crate::model::identity::{Organisation, Region};
use crate::model::key::Key;
use crate::store::Tx;

pub use administration::{About, administer, oversee};
pub use guests::{Guest, welcome};
pub use pages::{Page, PageBounds, Pages, pages};
use record::Record;

/// What is asked for, before anybody has decided anything.
pub struct Ask {
    pub action: Action,
    /// Identity or slug, for everything that lives in a region.
    pub region: Option<String>,
    pub subject: Subject,
}

/// The thing an action is about.
pub enum Subject {
    /// Nothing in particular.
    None,
    /// A collection, by the name of what is listed.
    Within(String),
    /// A thing by its identity alone, such as one that is still to be made.
    New(String),
    /// A secret; a path that does not parse is told in its turn.
    Secret(Result<SecretPath>),
    /// A key by identity or slug.
    Key(String),
    /// A role by identity or slug.
    Role(String),
    /// A team by identity or slug.
    Team(String),
    /// A service account by identity or slug.
    ServiceAccount(String),
}

/// Where an admitted call may work. Operations take tenant and subject from here, never from the request.
#[derive(Clone)]
pub struct Scope {
    pub caller: Arc<Caller>,
    pub arrival: Arrival,
    pub organisation: String,
    pub region: Option<Region>,
    /// Empty without a project.
    pub project: String,
    /// The secret's path or the key's identity, as it was authorised.
    pub subject: String,
    /// The key as it was when the call was admitted. It may have changed since.
    pub key: Option<Arc<Key>>,
}

/// Passes a mutation: its changes and its record commit together, or neither does.
pub async fn write<T, F>(app: &App, call: &Call, ask: Ask, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx, &Scope) -> Result<T> + Send + 'static,
{
    let nothing = |_| std::future::ready(Ok(()));
    write_prepared(app, call, ask, nothing, async move |tx, scope, ()| operate(tx, scope).await)
        .await
}

/// As [`write`], with slow work that is done once the call is admitted and before the transaction begins.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn write_prepared<P, R, T, F>(
    app: &App,
    call: &Call,
    ask: Ask,
    prepare: impl FnOnce(Scope) -> R,
    operate: F,
) -> Result<T>
where
    P: Send + 'static,
    R: Future<Output = Result<P>>,
    T: Send + 'static,
    F: AsyncFn(&mut Tx, &Scope, &P) -> Result<T> + Send + 'static,
{
    let mut record = Record::begin(app, call, &ask);
    let (scope, prepared) = match enter(app, call, ask, &mut record, prepare).await {
        Ok(entered) => entered,
        Err(refusal) => return record.end(app, Err(refusal), Vec::new()).await,
    };
    let organisation = scope.organisation.clone();
    let again = record.clone();
    let done = app
        .store
        .write(&organisation, async move |tx| {
            let outcome = operate(tx, &scope, &prepared).await;
            let notes = tx.take_notes();
            if outcome.is_err() {
                tx.undo().await?;
            }
            record.append(tx, &outcome, &notes).await?;
            Ok(outcome)
        })
        .await;
    match done {
        Ok(outcome) => outcome,
        // The store failed; if it can, it still remembers that this was tried.
        Err(failure) => again.end(app, Err(failure), Vec::new()).await,
    }
}

/// Passes a read: the answer waits until its record is durable.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn read<T, F>(app: &App, call: &Call, ask: Ask, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx, &Scope) -> Result<T> + Send + 'static,
{
    let mut record = Record::begin(app, call, &ask);
    let scope = match admit(app, call, ask, &mut record).await {
        Ok(scope) => scope,
        Err(refusal) => return record.end(app, Err(refusal), Vec::new()).await,
    };
    let organisation = scope.organisation.clone();
    let look = async move |tx: &mut Tx| {
        let outcome = operate(tx, &scope).await;
        Ok((outcome, tx.take_notes()))
    };
    let done = match record.action {
        Action::ListAudit => app.store.search(&organisation, look).await,
        _ => app.store.read(&organisation, look).await,
    };
    let (outcome, notes) = done.unwrap_or_else(|failure| (Err(failure), Vec::new()));
    record.end(app, outcome, notes).await
}

/// Passes a read that does its work outside of the store's threads, and looks things up with [`look_up`].
pub async fn work<T, R>(
    app: &App,
    call: &Call,
    ask: Ask,
    work: impl FnOnce(Scope) -> R,
) -> Result<T>
where
    T: Send + 'static,
    R: Future<Output = Result<T>>,
{
    let mut record = Record::begin(app, call, &ask);
    let entered = enter(app, call, ask, &mut record, work).await;
    record.end(app, entered.map(|(_, done)| done), Vec::new()).await
}

/// Looks something up for an admitted call, outside of its transaction.
pub async fn look_up<T, F>(app: &App, scope: &Scope, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx, &Scope) -> Result<T> + Send + 'static,
{
    let (organisation, scope) = (scope.organisation.clone(), scope.clone());
    inspect_within(app, &organisation, async move |tx| operate(tx, &scope).await).await
}

/// Admits a call and does what is to be done ahead of its end, which may take a while: decided again then.
async fn enter<P, R: Future<Output = Result<P>>>(
    app: &App,
    call: &Call,
    ask: Ask,
    record: &mut Record,
    prepare: impl FnOnce(Scope) -> R,
) -> Result<(Scope, P)> {
    let action = ask.action;
    let mut scope = admit(app, call, ask, record).await?;
    let prepared = prepare(scope.clone()).await?;
    scope.caller = app.directory.read_caller(&call.claim, app.clock.now()).await?;
    if action.rule().audience == Audience::Authenticated {
        return Ok((scope, prepared));
    }
    check_features(member_of(&scope.caller)?, action)?;
    if let Some(region) = &scope.region {
        let region = app.directory.read_region(&region.id).await?;
        check_kms(action, Some(&region))?;
    }
    let subject = Some(scope.subject.as_str()).filter(|subject| !subject.is_empty());
    decide(&scope.caller, action, subject)?;
    Ok((scope, prepared))
}

/// The order of checks of section 2.10, up to and including IAM. The record learns on the way what the
/// call is about, so that a refusal names it.
async fn admit(app: &App, call: &Call, ask: Ask, record: &mut Record) -> Result<Scope> {
    let rule = ask.action.rule();
    let mut scope = Scope {
        // INVARIANT: decided on what holds now; a body may have taken its time since the caller was found.
        caller: app.directory.read_caller(&call.claim, app.clock.now()).await?,
        arrival: call.arrival.clone(),
        organisation: String::new(),
        region: None,
        project: String::new(),
        subject: String::new(),
        key: None,
    };
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
    let caller = scope.caller.clone();
    let organisation = member_of(&caller)?;
    scope.organisation.clone_from(&organisation.id);
    check_features(organisation, ask.action)?;
    if let Some(region) = &ask.region {
        scope.region = Some(app.directory.read_region(region).await?);
    }
    if let Some(project) = &call.project {
        let project = app.directory.read_project(&organisation.id, project).await?;
        if caller.grants.is_empty() {
            return Err(Error::NotFound { noun: "project", cause: "no grant at all".to_owned() });
        }
        scope.project.clone_from(&project.id);
        record.project.clone_from(&project.id);
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
        named @ (Subject::Role(_) | Subject::Team(_) | Subject::ServiceAccount(_)) => {
            // SECURITY: whoever may do this to none of a kind learns of none.
            decide(&caller, ask.action, None)?;
            Some(find_named(app, &scope, named).await?)
        }
    };
    if let Some(subject) = &subject {
        record.subject.clone_from(subject);
    }
    decide(&caller, ask.action, subject.as_deref())?;
    Ok(Scope { subject: subject.unwrap_or_default(), ..scope })
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

/// The identity of a role, team or service account.
async fn find_named(app: &App, scope: &Scope, named: Subject) -> Result<String> {
    let find = async move |tx: &mut Tx| {
        Ok(match &named {
            Subject::Role(reference) => tx.find_role(reference).await?.map(|role| role.id),
            Subject::Team(reference) => tx.find_team(reference).await?.map(|team| team.id),
            Subject::ServiceAccount(reference) => {
                tx.find_service_account(reference).await?.map(|account| account.id)
            }
            _ => None,
        }
        .ok_or(Error::not_found(match &named {
            Subject::Role(_) => "role",
            Subject::Team(_) => "team",
            _ => "service account",
        })))
    };
    inspect_within(app, &scope.organisation, find).await?
}

fn feature_off(feature: Feature, asked_for: Resource) -> Error {
    Error::denied(match feature {
        Feature::Secrets => "Secrets Manager is not enabled for this organisation",
        Feature::Kms if asked_for == Resource::Secret => {
            "KMS must be enabled for this organisation before Secrets Manager can be used"
        }
        Feature::Kms => "KMS is not enabled for this organisation",
    })
}

fn not_granted(action: Action, refusal: Refusal) -> Error {
    let cause = format!("no grant for {action}");
    match refusal {
        Refusal::Denied => Error::Denied { message: "permission denied".to_owned(), cause },
        Refusal::NotFound => Error::NotFound { noun: "key", cause },
    }
}

/// Records a call that could not be authenticated, and hands the refusal on.
pub async fn refuse(app: &App, arrival: &Arrival, refusal: Error) -> Error {
    let record = Record::of_nobody(app, Action::FailAuth, arrival);
    match record.end::<()>(app, Err(refusal), Vec::new()).await {
        Err(error) => error,
        Ok(()) => Error::bug("a refusal ended well"),
    }
}

/// Passes the server's own bookkeeping, which is no caller's and leaves no record: last accesses, and what the
/// configuration file says of regions.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn keep_house<T, F>(app: &App, organisation: &str, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
{
    app.store.write(organisation, operate).await
}

/// Work without a caller: by the clock, or by the operator with the store's own files in hand.
pub struct Unattended {
    pub action: Action,
    /// On whose behalf, for the record.
    pub reason: &'static str,
    pub organisation: String,
    /// Empty without a project.
    pub project: String,
    /// Identity of what it is about.
    pub subject: String,
}

/// Passes work that nobody has to be admitted for. Its record commits with it; where there was nothing to do
/// (`None`) there is nothing to record.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn unattended<T, F>(app: &App, work: Unattended, operate: F) -> Result<Option<T>>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<Option<T>> + Send + 'static,
{
    let organisation = work.organisation.clone();
    let record = Record {
        action: work.action,
        caller: Some((Principal::System { reason: work.reason }, String::new(), "")),
        organisation: work.organisation,
        project: work.project,
        subject: work.subject,
        arrival: Arrival::system(app.clock.now()),
        clock: app.clock.clone(),
    };
    app.store
        .write(&organisation, async move |tx| {
            let done = operate(tx).await?;
            if done.is_some() {
                record.append(tx, &Ok(()), &[]).await?;
            }
            Ok(done)
        })
        .await
}

/// Asks the store a question that is no caller's: whether it works, whether it is empty.
pub async fn inspect<T, F>(app: &App, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
{
    inspect_within(app, "", operate).await
}

/// As [`inspect`], within an organisation.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn inspect_within<T, F>(app: &App, organisation: &str, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
{
    app.store.read(organisation, operate).await
}

impl Scope {
    /// The identity of the region, empty where there is none.
    pub fn region_id(&self) -> &str {
        self.region.as_ref().map_or("", |region| region.id.as_str())
    }

    /// Whether keys can be used in the region (503 when not).
    pub fn check_kms(&self) -> Result<()> {
        match self.region.as_ref().is_some_and(|region| region.kms) {
            true => Ok(()),
            false => Err(Error::kms_unavailable()),
        }
    }
}
