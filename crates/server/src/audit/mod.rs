//! Operations on the audit log: search, retention, checkpoints; and metering.

mod checkpoints;
mod expire;
mod metering;

use std::collections::HashMap;
use std::sync::Arc;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, NewOwnKey, Subject};
use crate::model::action::Action;
use crate::model::caller::{Call, Principal, Standing};
use crate::model::chain::{Chaining, End};
use crate::model::event::{Event, EventFilter};
use crate::model::identity::{Organisation, User};
use crate::model::key::{SigningPurpose, Wrapped};
use crate::store::Tx;

pub use checkpoints::checkpoint_all;
pub use expire::expire;
pub use metering::{Metered, Period, meter_versions};

/// Gives the store the key that links records, made at the first start. What was recorded before is counted then, so
/// that nothing can be slipped in as if it were as old.
pub async fn link_records(app: &Arc<App>) -> Result<()> {
    let purpose = SigningPurpose::AuditChain;
    let found = gate::inspect(app, async move |tx| tx.find_signing_key(purpose).await).await?;
    let (id, wrapped) = match found {
        Some(found) => found,
        None => {
            let (shared, new) = (app.clone(), NewOwnKey::new(app, purpose)?);
            gate::keep_house(app, "", async move |tx| begin_chains(tx, &shared, &new).await).await?
        }
    };
    app.store.chain_with(Arc::new(app.keyring.open_chain_key(&id, &wrapped)?));
    Ok(())
}

async fn begin_chains(tx: &mut Tx, app: &App, new: &NewOwnKey) -> Result<(String, Wrapped)> {
    let (id, wrapped) = new.keep(tx).await?;
    let key = app.keyring.open_chain_key(&id, &wrapped)?;
    for base in tx.count_unlinked().await? {
        let seal = key.seal(End::Base, &base);
        tx.set_base(&base, &seal).await?;
    }
    Ok((id, wrapped))
}

/// A search as it was asked for.
#[derive(Debug, Clone)]
pub struct Query {
    pub filter: EventFilter,
    /// From 1.
    pub page: i64,
    pub limit: i64,
    /// Nothing matches, whatever the log holds: the search names somebody else's organisation or an
    /// impersonator, of which there are none.
    pub nothing: bool,
    /// Identity or slug of the organisation the search names; empty for the caller's own.
    pub organisation: String,
}

/// One page of the log, newest first.
pub struct Found {
    pub total: i64,
    pub events: Vec<Event>,
    pub organisation: Organisation,
    /// The users that the events name, by subject.
    pub users: HashMap<String, User>,
}

/// Searches the caller's organisation and, with a project named, that project's records alone.
pub async fn search(app: &Arc<App>, call: &Call, query: Result<Query>) -> Result<Found> {
    let ask = Ask { action: Action::ListAudit, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let query = query.as_ref().map_err(Clone::clone)?;
        let Standing::Member(organisation) = &scope.caller.standing else {
            return Err(Error::bug("a search without an organisation"));
        };
        let mut filter = query.filter.clone();
        filter.project.clone_from(&scope.project);
        let ours =
            |name: &str| name.is_empty() || name == organisation.id || name == organisation.slug;
        let (total, events) = if query.nothing || !ours(&query.organisation) {
            (0, Vec::new())
        } else {
            tx.list_events(&filter, query.limit, (query.page - 1) * query.limit).await?
        };
        let mut users = HashMap::new();
        for event in &events {
            if let Some(Principal::User { subject }) = &event.principal
                && !users.contains_key(subject)
                && let Some(user) = tx.find_user(subject).await?
            {
                users.insert(subject.clone(), user);
            }
        }
        Ok(Found { total, events, organisation: (**organisation).clone(), users })
    })
    .await
}
