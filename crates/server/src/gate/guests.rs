//! The door for guests: whoever shows what an organisation has handed out, with a credential or without one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::record::Record;
use crate::app::App;
use crate::directory;
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
    L: AsyncFn(&mut Tx) -> Result<Option<(String, String, S)>> + Send + Sync + 'static,
    F: AsyncFn(&mut Tx, Option<&Principal>, S) -> Result<T> + Send + 'static,
{
    let mut record = Record::of_nobody(app, action, guest.arrival());
    let principal = match admit(app, &guest, action, &mut record).await {
        Ok(principal) => principal,
        Err(refusal) => return record.end(app, Err(refusal), Vec::new()).await,
    };
    let (of_guest, again, anonymous) = (record.clone(), record, principal.is_none());
    let claim = match &guest {
        Guest::Known(call) => Some(call.claim.clone()),
        Guest::Anonymous(_) => None,
    };
    let clock = app.clock.clone();
    // Looked up on a reader first, so that guessing takes nothing of the one who writes.
    let find = Arc::new(find);
    let first = find.clone();
    let known = app.store.read("", async move |tx| first(tx).await.map(|found| found.is_some()));
    let early = match known.await {
        Ok(true) => None,
        Ok(false) => Some(unknown()),
        Err(error) => Some(error),
    };
    if let Some(error) = early {
        return end(app, (Err(error), again), anonymous).await;
    }
    let done = app
        .store
        .write("", async move |tx| {
            let mut record = of_guest.clone();
            // INVARIANT: decided on what holds when the change is made, as everywhere.
            if let Some(claim) = &claim
                && let Err(refusal) = directory::reload_caller(tx, claim, clock.now()).await
            {
                return Ok((Err(refusal), record));
            }
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
            let (notes, detail) = (tx.take_notes(), tx.take_detail());
            if outcome.is_err() {
                tx.undo().await?;
            }
            // A refusal is recorded outside, where it is counted first.
            if outcome.is_ok() {
                record.append(tx, &outcome, &notes, &detail)?;
            }
            Ok((outcome, record))
        })
        .await;
    match done {
        Ok(done) => end(app, done, anonymous).await,
        // The store failed; if it can, it still remembers that this was tried.
        Err(failure) => again.end(app, Err(failure), Vec::new()).await,
    }
}

/// Hands a success on, whose record is there; records a refusal, unless there were too many from there.
async fn end<T: Send + 'static>(
    app: &App,
    (outcome, record): (Result<T>, Record),
    anonymous: bool,
) -> Result<T> {
    let Err(error) = outcome else { return outcome };
    let is_unknown = matches!(error, Error::Unauthenticated { .. });
    if is_unknown || anonymous {
        let client = record.arrival.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        app.load.count_auth_failure(client)?;
    }
    match is_unknown {
        // Whoever is known stays so in the record.
        true => {
            Record { action: Action::FailAuth, organisation: String::new(), ..record }
                .end(app, Err(error), Vec::new())
                .await
        }
        false => record.end(app, Err(error), Vec::new()).await,
    }
}

fn unknown() -> Error {
    Error::Unauthenticated { cause: "unknown or expired invite" }
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
