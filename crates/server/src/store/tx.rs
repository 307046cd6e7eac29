//! One transaction: bound to an organisation, it runs statements and reads rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Epochs;
use super::chain::{self, Chain};
use super::postgres::Postgres;
use super::session::{Columns, Session, Value};
use super::sqlite::Sqlite;
use crate::error::Result;
use crate::metrics::StoreFigures;
use crate::model::action::Action;
use crate::model::chain::Chaining;
use crate::model::event::Event;
use crate::model::quota::Quota;

/// A transaction. Only the store makes one, and only the gate is given one.
///
/// Its methods are `async` so that operations read the same on every database; on SQLite they never wait,
/// which lets the store's threads drive an operation to its end in one go.
pub struct Tx {
    session: Session,
    organisation: String,
    /// Where this writer counts.
    slot: i64,
    /// Other actions that this one implies, recorded when it succeeds.
    notes: Vec<Note>,
    /// What it did, for its record.
    detail: String,
    /// Whether this operation changed who may do what.
    changes_identities: bool,
    /// The same of the operations before it in the batch.
    identities_changed: bool,
    epochs: Arc<Epochs>,
    /// Rows that this operation and those before it in the batch have changed, by identity.
    changed_rows: Vec<String>,
    /// Whether one of them has made a key cease to be active.
    keys_ceased: bool,
    /// What is to happen once this operation is durable.
    effects: Vec<Effect>,
    /// The same of the operations before it in the batch.
    batch_effects: Vec<Effect>,
    /// Records of this operation.
    events: Vec<Event>,
    /// The same of the operations before it in the batch. Written ahead of the commit, in one go.
    batch_events: Vec<Event>,
    /// What this writer's slots may count without a look at them, by organisation and quota: what is taken from it has
    /// not to be waited for on a server.
    grants: HashMap<(String, Quota), i64>,
    /// What the records of this writer are linked to.
    pub(super) chain: Chain,
}

/// Grants that a writer remembers.
const GRANTS_MAX: usize = 4096;

type Effect = Box<dyn FnOnce() + Send>;

/// One more record that a call leaves when it succeeds.
#[derive(Debug, Clone)]
pub struct Note {
    pub action: Action,
    pub resource_id: String,
    /// Whose log it goes into, when not into the call's own.
    pub organisation: Option<String>,
}

impl Note {
    /// In the call's own log.
    pub fn new(action: Action, resource_id: &str) -> Self {
        Self { action, resource_id: resource_id.to_owned(), organisation: None }
    }
}

impl Tx {
    pub(super) fn new(session: Session, slot: i64, epochs: Arc<Epochs>) -> Self {
        Self {
            session,
            organisation: String::new(),
            slot,
            notes: Vec::new(),
            detail: String::new(),
            changes_identities: false,
            identities_changed: false,
            epochs,
            changed_rows: Vec::new(),
            keys_ceased: false,
            effects: Vec::new(),
            batch_effects: Vec::new(),
            events: Vec::new(),
            batch_events: Vec::new(),
            grants: HashMap::new(),
            chain: Chain::new(),
        }
    }

    /// Makes the transaction an organisation's own.
    pub(crate) fn enter(&mut self, organisation: &str) {
        organisation.clone_into(&mut self.organisation);
        self.notes.clear();
        self.detail.clear();
    }

    /// Ends an operation: its effects wait for the commit, or are dropped with it.
    pub(super) fn leave(&mut self, kept: bool) {
        match kept {
            true => {
                self.batch_effects.append(&mut self.effects);
                self.batch_events.append(&mut self.events);
                self.identities_changed |= std::mem::take(&mut self.changes_identities);
            }
            false => self.forget(),
        }
    }

    /// Ends a batch: if it was committed, its effects happen now, before anybody is told. Whether it was is not always
    /// known, so what it has changed counts as changed in any case.
    pub(super) fn finish(&mut self, committed: bool) {
        for identity in self.changed_rows.drain(..) {
            self.epochs.rows.mark(&identity);
        }
        if std::mem::take(&mut self.identities_changed) {
            self.epochs.identities.fetch_add(1, Ordering::SeqCst);
        }
        if !committed {
            self.forget_grants();
        }
        self.keys_ceased = false;
        self.effects.clear();
        self.batch_events.clear();
        for effect in self.batch_effects.drain(..).filter(|_| committed) {
            effect();
        }
    }

    /// Has something done once this operation is durable and before its caller hears of it, even when the
    /// caller has gone away. Must be quick and must not fail.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.push(Box::new(effect));
    }

    /// The key that links records.
    pub fn chain_key(&self) -> Result<Arc<dyn Chaining>> {
        chain::given(&self.epochs.chain_key)
    }

    /// What the store counts.
    pub(super) fn figures(&self) -> &StoreFigures {
        &self.epochs.figures
    }

    /// Appends records to the audit log: they are written with the commit.
    pub fn append_events(&mut self, events: Vec<Event>) {
        self.events.extend(events);
    }

    /// The records of all operations that are kept.
    pub(super) fn take_batch_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.batch_events)
    }

    /// Rows of a secret or a key may have changed that others remember: by identity, or by path.
    pub fn row_changed(&mut self, identity: &str) {
        self.changed_rows.push(identity.to_owned());
    }

    /// A key has ceased to be active: other servers are to drop its material.
    pub(super) fn key_ceased(&mut self) {
        self.keys_ceased = true;
    }

    pub(super) fn have_keys_ceased(&self) -> bool {
        self.keys_ceased
    }

    pub(super) fn identities_changed(&mut self) {
        self.changes_identities = true;
    }

    /// Whether who may do what has changed since the store was at an identity `epoch`, as far as this
    /// transaction sees.
    pub fn identities_moved_since(&self, epoch: u64) -> bool {
        self.identities_changed || self.epochs.identities.load(Ordering::SeqCst) != epoch
    }

    /// Whether an operation that is kept has changed who may do what.
    pub(super) fn have_identities_changed(&self) -> bool {
        self.identities_changed
    }

    /// What this operation has erased is to be in no file any more.
    pub fn erased_for_ever(&mut self) {
        if let Some(file) = self.sqlite() {
            file.log_holds_erased = true;
        }
    }

    /// The connection of the embedded store, where this is one.
    pub(super) fn sqlite(&mut self) -> Option<&mut Sqlite> {
        match &mut self.session {
            Session::Sqlite(file) => Some(file),
            Session::Postgres(_) => None,
        }
    }

    /// The connection to a server, where this is one.
    pub(super) fn postgres(&mut self) -> Option<&mut Postgres> {
        match &mut self.session {
            Session::Sqlite(_) => None,
            Session::Postgres(server) => Some(server),
        }
    }

    /// Undoes all that this operation has written; what follows is kept again.
    pub async fn undo(&mut self) -> Result<()> {
        self.forget();
        self.session.control("ROLLBACK TO SAVEPOINT operation").await
    }

    /// Drops what an operation wanted to happen beside its statements.
    pub(super) fn forget(&mut self) {
        self.notes.clear();
        self.detail.clear();
        self.effects.clear();
        self.events.clear();
        self.changes_identities = false;
    }

    /// Tells the record what was done: identities and words of rules, never a value.
    pub fn describe(&mut self, detail: impl Into<String>) {
        self.detail = detail.into();
    }

    pub fn take_detail(&mut self) -> String {
        std::mem::take(&mut self.detail)
    }

    /// Remembers an action that this one implies, such as `kms.decrypt` for a reveal.
    pub fn note(&mut self, action: Action, resource_id: &str) {
        self.notes.push(Note::new(action, resource_id));
    }

    /// Has another organisation's log tell of an action as well, because it reaches there.
    pub fn note_in(&mut self, organisation: &str, action: Action, resource_id: &str) {
        let organisation = Some(organisation.to_owned());
        self.notes.push(Note { organisation, ..Note::new(action, resource_id) });
    }

    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Whether so many more are within what this writer was granted; then they are taken from it.
    pub(super) fn takes_from_grant(&mut self, quota: Quota, count: i64) -> bool {
        if count <= 0 || self.postgres().is_none() {
            return false;
        }
        match self.grants.get_mut(&(self.organisation.clone(), quota)) {
            Some(left) if *left >= count => {
                *left -= count;
                true
            }
            _ => false,
        }
    }

    /// What this writer may count without a look, as far as it knows: the statement has the last word.
    pub(super) fn remember_grant(&mut self, quota: Quota, left: i64) {
        if self.grants.len() >= GRANTS_MAX {
            self.grants.clear();
        }
        self.grants.insert((self.organisation.clone(), quota), left);
    }

    pub(super) fn forget_grants(&mut self) {
        self.grants.clear();
    }

    /// The slot of quotas that this writer counts in.
    pub(super) fn slot(&self) -> i64 {
        self.slot
    }

    /// The organisation, as the first value of a tenant's statement.
    pub(super) fn organisation(&self) -> String {
        self.organisation.clone()
    }

    pub(super) async fn control(&mut self, sql: &'static str) -> Result<()> {
        self.session.control(sql).await
    }

    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<usize> {
        self.session.execute(sql, values).await
    }

    pub(super) async fn rows<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.session.rows(sql, values, false, read).await
    }

    /// The first row, if there is one.
    pub(super) async fn row<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.session.rows(sql, values, true, read).await?.pop())
    }

    /// Runs a change that must touch exactly one row. On a server what it says may be told at the next statement, at
    /// the latest ahead of the commit.
    pub(super) async fn change_one(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<()> {
        self.session.change(sql, values, Some(1)).await
    }

    /// As [`Tx::change_one`], where there may be no such row.
    pub(super) async fn change_any(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<()> {
        self.session.change(sql, values, None).await
    }
}
