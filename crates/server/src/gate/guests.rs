//! The door for guests: whoever shows what an organisation has handed out, with a credential or without one.

use std::net::{IpAddr, Ipv4Addr};

use super::record::Record;
use super::refuse;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::caller::{Arrival, Call, Principal};
use crate::store::Tx;

/// Somebody who need not be known.
pub enum Guest {
    Anonymous(Arrival),
    Known(Call),
}

impl Guest {
    fn arrival(&self) -> &Arrival {
        match self {
            Self::Anonymous(arrival) => arrival,
            Self::Known(call) => &call.arrival,
        }
    }
}

/// Passes a mutation of an organisation that `find` finds by what the guest shows; its log has the record.
/// `operate` hears what was found, and which principal the guest is.
///
/// SECURITY: what is not found is a failed authentication, recorded and counted like any other; so is whatever
/// else goes wrong for somebody unknown, or the log could be filled by anybody.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn welcome<S, T, L, F>(
    app: &App,
    guest: Guest,
    action: Action,
    find: L,
    operate: F,
) -> Result<T>
where
    S: Send + 'static,
    T: Send + 'static,
    L: AsyncFn(&mut Tx) -> Result<Option<(String, String, S)>> + Send + 'static,
    F: AsyncFn(&mut Tx, Option<&Principal>, S) -> Result<T> + Send + 'static,
{
    let mut record = Record::of_nobody(app, action, guest.arrival());
    let principal = match admit(app, &guest, action, &mut record).await {
        Ok(principal) => principal,
        Err(refusal) => return record.end(app, Err(refusal), Vec::new()).await,
    };
    let (of_guest, again, anonymous) = (record.clone(), record, principal.is_none());
    let done = app
        .store
        .write("", async move |tx| {
            let mut record = of_guest.clone();
            let outcome = match find(tx).await {
                Ok(Some((organisation, subject, shown))) => {
                    tx.enter(&organisation);
                    record.organisation = organisation;
                    record.subject = subject;
                    operate(tx, principal.as_ref(), shown).await
                }
                Ok(None) => Err(unknown()),
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                tx.undo().await?;
            }
            let is_failure = |error: &Error| matches!(error, Error::Unauthenticated { .. });
            match &outcome {
                // Counted and recorded outside, or turned away unrecorded.
                Err(error) if is_failure(error) || anonymous => Ok((outcome, record)),
                _ => {
                    record.append(tx, &outcome, &[]).await?;
                    Ok((outcome, record))
                }
            }
        })
        .await;
    let (outcome, record) = match done {
        Ok(done) => done,
        // The store failed; if it can, it still remembers that this was tried.
        Err(failure) => return again.end(app, Err(failure), Vec::new()).await,
    };
    match outcome {
        Err(error) if matches!(error, Error::Unauthenticated { .. }) => {
            count(app, &record.arrival)?;
            Err(refuse(app, &record.arrival, error).await)
        }
        Err(error) if anonymous => {
            count(app, &record.arrival)?;
            record.end(app, Err(error), Vec::new()).await
        }
        outcome => outcome,
    }
}

fn unknown() -> Error {
    Error::Unauthenticated { cause: "unknown or expired invite" }
}

fn count(app: &App, arrival: &Arrival) -> Result<()> {
    app.auth_failures.count(arrival.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

/// The principal of a guest who shows a credential, as things stand now.
async fn admit(
    app: &App,
    guest: &Guest,
    action: Action,
    record: &mut Record,
) -> Result<Option<Principal>> {
    let Guest::Known(call) = guest else { return Ok(None) };
    let caller = app.directory.read_caller(&call.claim, app.clock.now()).await?;
    record.is_by(&caller);
    // The organisation that the guest shows something of has the record, not one that the call names.
    record.organisation.clear();
    if let Some(flaw) = &call.flaw {
        return Err(flaw.clone());
    }
    match caller.credential.scopes.allow(action) {
        true => Ok(Some(caller.principal.clone())),
        false => Err(Error::denied("the scopes of the credential do not allow this")),
    }
}
