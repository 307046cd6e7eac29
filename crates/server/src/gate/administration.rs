//! The door of the platform: for administrators, who have no place in any organisation.
//!
//! Every call is recorded under no organisation, where the operator finds all of them; what changes an
//! organisation is recorded in that organisation's log as well.

use super::once;
use super::record::Record;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::caller::Principal;
use crate::model::idempotency::Answer;
use crate::store::Tx;

/// What a call on the platform is about.
#[derive(Debug, Clone)]
pub enum About {
    /// The platform itself: a thing of it by identity, or nothing in particular.
    Platform(String),
    /// An organisation by identity or slug.
    Organisation(String),
    /// An organisation that is still to be made, by its identity.
    NewOrganisation(String),
    /// The organisation that asks for a larger quota, by the identity of its request.
    Increase(String),
}

impl About {
    fn subject(&self) -> &str {
        let (Self::Platform(name)
        | Self::Organisation(name)
        | Self::NewOrganisation(name)
        | Self::Increase(name)) = self;
        name
    }
}

/// Passes a mutation of the platform. `operate` is within the organisation that the call is about, if any.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn administer<T, F>(
    app: &App,
    call: &AdministratorCall,
    action: Action,
    about: About,
    operate: F,
) -> Result<T>
where
    T: Answer + Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
{
    let record = begin(app, call, action, &about);
    let once = match once::begin_administration(app, call).await {
        Ok(once) => once,
        Err(refusal) => return record.end(app, Err(refusal), Vec::new()).await,
    };
    let (again, token, clock) = (record.clone(), call.token, app.clock.clone());
    let done = app
        .store
        .write("", async move |tx| {
            let entered = enter(tx, &token, clock.now(), &about).await;
            let (organisation, outcome) = match entered {
                Ok(organisation) => {
                    (organisation, once::run(tx, once.as_ref(), &record, &operate).await)
                }
                Err(refusal) => (String::new(), Err(refusal)),
            };
            let (notes, detail) = (tx.take_notes(), tx.take_detail());
            if outcome.is_err() {
                tx.undo().await?;
            }
            record.append(tx, &outcome, &notes, &detail)?;
            let exists = outcome.is_ok() || !matches!(about, About::NewOrganisation(_));
            if !organisation.is_empty() && exists {
                Record { organisation, ..record.clone() }.append(tx, &outcome, &[], &detail)?;
            }
            Ok(outcome)
        })
        .await;
    match done {
        Ok(outcome) => outcome,
        Err(failure) => again.end(app, Err(failure), Vec::new()).await,
    }
}

/// Passes a read of the platform: the answer waits until its record is durable.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn oversee<T, F>(
    app: &App,
    call: &AdministratorCall,
    action: Action,
    about: About,
    operate: F,
) -> Result<T>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
{
    let record = begin(app, call, action, &about);
    let (token, clock) = (call.token, app.clock.clone());
    let look = async move |tx: &mut Tx| {
        enter(tx, &token, clock.now(), &about).await?;
        operate(tx).await
    };
    let outcome = match action {
        Action::ListPlatformAudit => app.store.search("", look).await,
        _ => app.store.read("", look).await,
    };
    record.end(app, outcome, Vec::new()).await
}

fn begin(app: &App, call: &AdministratorCall, action: Action, about: &About) -> Record {
    let id = call.administrator.id.clone();
    let principal = Principal::Administrator { id: id.clone() };
    Record {
        caller: Some((principal, id, "administrator_token")),
        subject: about.subject().to_owned(),
        ..Record::of_nobody(app, action, &call.arrival)
    }
}

/// Admits an administrator on what holds now, and enters the organisation that the call is about: which one.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
async fn enter(
    tx: &mut Tx,
    token: &coffer_crypto::token::TokenHash,
    now: i64,
    about: &About,
) -> Result<String> {
    let refuse = Error::Unauthenticated { cause: "unknown or revoked administrator token" };
    tx.find_administrator(token, now).await?.ok_or(refuse)?;
    let organisation = match about {
        About::Platform(_) => return Ok(String::new()),
        About::NewOrganisation(id) => return Ok(id.clone()),
        About::Organisation(name) => {
            tx.find_organisation(name).await?.ok_or(Error::not_found("organisation"))?.id
        }
        About::Increase(id) => {
            tx.find_increase(id).await?.ok_or(Error::not_found("request"))?.organisation
        }
    };
    tx.enter(&organisation);
    Ok(organisation)
}
