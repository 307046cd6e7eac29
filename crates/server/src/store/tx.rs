//! One transaction: bound to an organisation, it runs statements and reads rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::postgres::Postgres;
use super::session::{Columns, Session, Value};
use super::sqlite::Sqlite;
use crate::error::{Error, Result};
use crate::model::action::Action;

/// A transaction. Only the store makes one, and only the gate is given one.
///
/// Its methods are `async` so that operations read the same on every database; on SQLite they never wait,
/// which lets the store's threads drive an operation to its end in one go.
pub struct Tx {
    session: Session,
    organisation: String,
    /// Other actions that this one implies, recorded when it succeeds.
    notes: Vec<Note>,
    /// What it did, for its record.
    detail: String,
    /// Whether this operation changed who may do what.
    changes_identities: bool,
    /// The same of the operations before it in the batch.
    identities_changed: bool,
    identity_epoch: Arc<AtomicU64>,
    /// What is to happen once this operation is durable.
    effects: Vec<Effect>,
    /// The same of the operations before it in the batch.
    batch_effects: Vec<Effect>,
}

type Effect = Box<dyn FnOnce() + Send>;

/// One more record that a call leaves when it succeeds.
#[derive(Debug, Clone)]
pub struct Note {
    pub action: Action,
    pub resource_id: String,
    /// Whose log it goes into, when not into the call's own.
    pub organisation: Option<String>,
}

impl Tx {
    pub(super) fn new(session: Session, identity_epoch: Arc<AtomicU64>) -> Self {
        Self {
            session,
            organisation: String::new(),
            notes: Vec::new(),
            detail: String::new(),
            changes_identities: false,
            identities_changed: false,
            identity_epoch,
            effects: Vec::new(),
            batch_effects: Vec::new(),
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
                self.identities_changed |= std::mem::take(&mut self.changes_identities);
            }
            false => self.forget(),
        }
    }

    /// Ends a batch: if it was committed, its effects happen now, before anybody is told.
    pub(super) fn finish(&mut self, committed: bool) {
        self.effects.clear();
        for effect in self.batch_effects.drain(..).filter(|_| committed) {
            effect();
        }
    }

    /// Has something done once this operation is durable and before its caller hears of it, even when the
    /// caller has gone away. Must be quick and must not fail.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.push(Box::new(effect));
    }

    pub(super) fn identities_changed(&mut self) {
        self.changes_identities = true;
    }

    /// Whether who may do what has changed since the store was at an identity `epoch`, as far as this
    /// transaction sees.
    pub fn identities_moved_since(&self, epoch: u64) -> bool {
        self.identities_changed || self.identity_epoch.load(Ordering::SeqCst) != epoch
    }

    /// Whether this operation has changed who may do what.
    pub(super) fn takes_identities_changed(&self) -> bool {
        self.changes_identities
    }

    pub(super) fn take_identities_changed(&mut self) -> bool {
        std::mem::take(&mut self.identities_changed)
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
        let resource_id = resource_id.to_owned();
        self.notes.push(Note { action, resource_id, organisation: None });
    }

    /// Has another organisation's log tell of an action as well, because it reaches there.
    pub fn note_in(&mut self, organisation: &str, action: Action, resource_id: &str) {
        let (resource_id, organisation) = (resource_id.to_owned(), Some(organisation.to_owned()));
        self.notes.push(Note { action, resource_id, organisation });
    }

    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The organisation, as the first value of a tenant's statement.
    pub(super) fn organisation(&self) -> String {
        self.organisation.clone()
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

    /// Runs a change that must touch exactly one row.
    pub(super) async fn change_one(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<()> {
        match self.execute(sql, values).await? {
            1 => Ok(()),
            count => Err(Error::bug(format!("a statement changed {count} rows instead of one"))),
        }
    }
}
