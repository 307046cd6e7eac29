//! A change that is asked for twice under one idempotency key is made once (contract, section 15, 11): its answer
//! commits with it, and whoever asks again gets that answer.

use std::sync::Arc;

use super::admit::renew;
use super::record::Record;
use super::{Scope, inspect_within, own_key};
use crate::app::App;
use crate::error::{Error, Kept, Result};
use crate::keyring::TagKey;
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::caller::{Arrival, Call};
use crate::model::idempotency::{Answer, IdempotencyKey};
use crate::model::key::SigningPurpose;
use crate::store::{KeptAnswer, Tx};

/// The key of one call and the call itself, by tags that neither can be read from.
#[derive(Clone)]
pub(super) struct Once {
    /// The organisation, or the principal where the call is about none.
    owner: String,
    key: Vec<u8>,
    request: Vec<u8>,
}

/// The key of an admitted call, if it has one. Where the call was answered before, that is told here already, before
/// anything slow is done.
pub(super) async fn begin(
    app: &App,
    call: &Call,
    scope: &Scope,
    action: Action,
) -> Result<Option<Once>> {
    let Some(key) = call.idempotency.as_ref().filter(|_| action.changes_state()) else {
        return Ok(None);
    };
    let caller = &scope.caller;
    let owner = match scope.organisation.as_str() {
        "" => caller.principal.kind_and_id().1,
        organisation => organisation,
    };
    let by = (owner, caller.credential.id.as_str());
    let once = Once::new(app, key, by, &call.arrival, &scope.project).await?;
    let (known, scope, claim, now) =
        (once.clone(), scope.clone(), call.claim.clone(), app.clock.now());
    inspect_within(app, &scope.organisation.clone(), async move |tx| {
        renew(tx, &claim, &scope, action, now).await?;
        known.check(tx, now).await
    })
    .await?;
    Ok(Some(once))
}

/// The key of an administrator's call, if it has one.
pub(super) async fn begin_administration(
    app: &App,
    call: &AdministratorCall,
) -> Result<Option<Once>> {
    let Some(key) = call.idempotency.as_ref().map_err(Clone::clone)? else { return Ok(None) };
    let id = call.administrator.id.as_str();
    Once::new(app, key, (id, id), &call.arrival, "").await.map(Some)
}

/// Runs an operation that has been decided, unless it was done before under its key. Its answer is kept with it; a
/// refusal is not, so that whoever asks again tries again.
pub(super) async fn run<T: Answer>(
    tx: &mut Tx,
    once: Option<&Once>,
    record: &Record,
    operate: impl AsyncFnOnce(&mut Tx) -> Result<T>,
) -> Result<T> {
    let Some(once) = once else { return operate(tx).await };
    let now = record.clock.now();
    // INVARIANT: looked up by the one who writes, so that of two calls at once the second finds the first.
    once.check(tx, now).await?;
    let done = operate(tx).await?;
    let answer = Kept {
        outcome: record.action.rule().success,
        subject: record.subject.clone(),
        body: done.body(now)?,
        object_version: done.object_version(),
    };
    let kept = KeptAnswer { request: once.request.clone(), answer };
    tx.keep_answer((&once.owner, &once.key), &kept, now).await?;
    Ok(done)
}

impl Once {
    async fn new(
        app: &App,
        key: &IdempotencyKey,
        (owner, credential): (&str, &str),
        arrival: &Arrival,
        project: &str,
    ) -> Result<Self> {
        let tags = tag_key(app).await?;
        let place = [arrival.method.as_str(), &arrival.path, &key.query, project];
        let name = tags.of_key(owner, credential, &key.text);
        let request = tags.of_request(&name, place, key.body());
        Ok(Self { owner: owner.to_owned(), key: name, request })
    }

    /// Ends a call that was answered before: with that answer, or with a conflict if it was another call.
    async fn check(&self, tx: &mut Tx, now: i64) -> Result<()> {
        match tx.find_answer((&self.owner, &self.key), now).await? {
            None => Ok(()),
            Some(kept) if kept.request == self.request => {
                Err(Error::Replayed(Box::new(kept.answer)))
            }
            Some(_) => {
                let why = "the idempotency key was used for another request";
                Err(Error::Conflict(why.to_owned()))
            }
        }
    }
}

async fn tag_key(app: &App) -> Result<Arc<TagKey>> {
    if let Some(key) = app.keyring.tag_key() {
        return Ok(key);
    }
    let (id, wrapped) = own_key(app, SigningPurpose::Idempotency).await?;
    app.keyring.open_tag_key(&id, &wrapped)
}
