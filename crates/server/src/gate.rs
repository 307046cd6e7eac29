//! THE ONE DOOR: admit → begin → operate → audit → commit.
//!
//! Every operation passes [`read`], [`write`] or [`work`], and nothing else opens a transaction for one. So
//! two questions are answered by reading this file: was it authorised, and was it audited?
//!
//! - A **mutation** and its record commit in one transaction, and with an idempotency key its answer, too.
//! - A **read** runs on a reading connection; its record commits with others before the answer leaves.
//! - **Work** that takes a while happens outside of the store's threads; the call is decided again behind it.
//! - A refusal, a miss and a failure are recorded by the same lines. No record, no answer.

mod administration;
mod admit;
mod guests;
mod once;
mod own_keys;
mod pages;
mod record;

use std::sync::Arc;

use coffer_api::SecretPath;

use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::caller::{Arrival, Call, Caller, Principal};
use crate::model::idempotency::Answer;
use crate::model::identity::Region;
use crate::model::key::Key;
use crate::store::{Note, Tx};

pub use administration::{About, administer, oversee};
use admit::{admit, renew, renew_within};
pub use guests::{Guest, welcome};
pub use own_keys::{NewOwnKey, own_key};
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
    /// A project by identity or slug.
    Project(String),
    /// An IAM policy that holds in the call's project, by identity or slug.
    Policy(String),
    /// An access elevation of the call's project, by identity.
    Elevation(String),
    /// An identity provider by identity.
    Provider(String),
    /// A federated identity by identity.
    Federation(String),
}

/// Where an admitted call may work. Operations take tenant and subject from here, never from the request.
#[derive(Clone)]
pub struct Scope {
    pub caller: Arc<Caller>,
    /// The caller without what a project's policies grant.
    pub member: Arc<Caller>,
    pub arrival: Arrival,
    pub organisation: String,
    pub region: Option<Region>,
    /// Empty without a project.
    pub project: String,
    /// The secret's path or the key's identity, as it was authorised.
    pub subject: String,
    /// The key as it was when the call was admitted. It may have changed since.
    pub key: Option<Arc<Key>>,
    /// The project whose policies count besides the organisation's roles; empty for none.
    granting: String,
    /// Whether any of that ends by itself or counts under conditions.
    is_timed: bool,
    /// The identity epoch before which the caller was read.
    epoch: u64,
}

/// Passes a mutation: its changes and its record commit together, or neither does.
pub async fn write<T, F>(app: &App, call: &Call, ask: Ask, operate: F) -> Result<T>
where
    T: Answer + Send + 'static,
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
    T: Answer + Send + 'static,
    F: AsyncFn(&mut Tx, &Scope, &P) -> Result<T> + Send + 'static,
{
    let mut record = Record::begin(app, call, &ask);
    let entered = async {
        let scope = admit(app, call, ask, &mut record).await?;
        let once = once::begin(app, call, &scope, record.action).await?;
        let prepared = prepare(scope.clone()).await?;
        Ok((scope, once, prepared))
    };
    let (scope, once, prepared) = match entered.await {
        Ok(entered) => entered,
        Err(refusal) => return record.end(app, Err(refusal), Vec::new()).await,
    };
    let organisation = scope.organisation.clone();
    let (again, action) = (record.clone(), record.action);
    let (claim, clock) = (call.claim.clone(), app.clock.clone());
    let done = app
        .store
        .write(&organisation, async move |tx| {
            // Also where nothing changes: what this call was told, no later one may find otherwise in memory.
            tx.row_changed(&scope.subject);
            // INVARIANT: decided on what holds when the change is made, however long it has waited for its turn.
            let outcome = match renew(tx, &claim, &scope, action, clock.now()).await {
                Ok(renewed) => {
                    let scope = renewed.as_ref().unwrap_or(&scope);
                    let operate = async |tx: &mut Tx| operate(tx, scope, &prepared).await;
                    once::run(tx, once.as_ref(), &record, operate).await
                }
                Err(refusal) => Err(refusal),
            };
            let (notes, detail) = (tx.take_notes(), tx.take_detail());
            if outcome.is_err() {
                tx.undo().await?;
            }
            record.append(tx, &outcome, &notes, &detail)?;
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
        Action::ListAudit | Action::MeterVersions => app.store.search(&organisation, look).await,
        _ => app.store.read(&organisation, look).await,
    };
    let (outcome, notes) = done.unwrap_or_else(|failure| (Err(failure), Vec::new()));
    app.store.changes().seen(&record.subject);
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
    work_noting(app, call, ask, async |scope, _| work(scope.clone()).await).await
}

/// As [`work`], with actions that it implies.
pub async fn work_noting<T: Send + 'static>(
    app: &App,
    call: &Call,
    ask: Ask,
    work: impl AsyncFnOnce(&Scope, &mut Vec<Note>) -> Result<T>,
) -> Result<T> {
    let (mut record, mut notes) = (Record::begin(app, call, &ask), Vec::new());
    let done = async {
        let scope = admit(app, call, ask, &mut record).await?;
        let done = work(&scope, &mut notes).await?;
        renew_within(app, &call.claim, &scope, record.action).await?;
        Ok(done)
    };
    let done = done.await;
    record.end(app, done, notes).await
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
                let (notes, detail) = (tx.take_notes(), tx.take_detail());
                record.append(tx, &Ok(()), &notes, &detail)?;
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

/// As [`inspect`], for what looks at many rows: no reveal waits behind it.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn survey<T, F>(app: &App, operate: F) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
{
    app.store.search("", operate).await
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
