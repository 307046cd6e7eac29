//! One transaction: bound to an organisation, it runs statements and reads rows.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql};

use crate::error::{Error, Result};
use crate::model::action::Action;

/// How long a connection waits for another one.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// A value bound to a statement.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn int_or_null(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }

    pub fn text_or_null(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl<'a> TryFrom<ValueRef<'a>> for Value<'a> {
    type Error = Error;

    fn try_from(stored: ValueRef<'a>) -> Result<Self> {
        Ok(match stored {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Int(value),
            ValueRef::Text(text) => Self::Text(
                std::str::from_utf8(text).map_err(|_| Error::corrupt("a text is not UTF-8"))?,
            ),
            ValueRef::Blob(bytes) => Self::Bytes(bytes),
            ValueRef::Real(_) => return Err(Error::corrupt("a value is of no known type")),
        })
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

/// A transaction. Only the store makes one, and only the gate is given one.
///
/// Its methods are `async` so that operations read the same on every database; on SQLite they never wait,
/// which lets the store's threads drive an operation to its end in one go.
pub struct Tx {
    connection: Connection,
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
    /// Whether the write-ahead log still holds what was erased for ever.
    log_holds_erased: bool,
    /// When emptying it was last tried.
    tried_at: Option<Instant>,
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
    pub(super) fn new(connection: Connection, identity_epoch: Arc<AtomicU64>) -> Self {
        Self {
            connection,
            organisation: String::new(),
            notes: Vec::new(),
            detail: String::new(),
            changes_identities: false,
            identities_changed: false,
            identity_epoch,
            log_holds_erased: false,
            tried_at: None,
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

    pub(super) fn take_identities_changed(&mut self) -> bool {
        std::mem::take(&mut self.identities_changed)
    }

    /// What this operation has erased is to be in no file any more.
    pub fn erased_for_ever(&mut self) {
        self.log_holds_erased = true;
    }

    /// Between transactions: empties the write-ahead log of what was erased for ever. Never waits; while somebody
    /// still reads from the log, the next try does it, a second later at the earliest.
    pub(super) fn forget_erased(&mut self) {
        let just_tried = self.tried_at.is_some_and(|at| at.elapsed() < Duration::from_secs(1));
        if !self.log_holds_erased || just_tried {
            return;
        }
        self.tried_at = Some(Instant::now());
        let wait = |time| self.connection.busy_timeout(time);
        let emptied = wait(Duration::ZERO).and_then(|()| {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            self.connection.query_row(sql, [], |row| row.get::<_, i64>(0))
        });
        let restored = wait(BUSY);
        self.log_holds_erased = !(restored.is_ok() && emptied == Ok(0));
        if !self.log_holds_erased {
            self.tried_at = None;
        }
    }

    /// Runs one statement about the transaction itself.
    pub(super) fn control(&self, sql: &str) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.raw_execute().map(|_| ()).map_err(failed)
    }

    /// Whether SQLite has given the whole transaction up by itself, as it does when the disk is full.
    pub(super) fn is_lost(&self) -> bool {
        self.connection.is_autocommit()
    }

    /// Undoes all that this operation has written; what follows is kept again.
    pub async fn undo(&mut self) -> Result<()> {
        self.forget();
        self.control("ROLLBACK TO operation")
    }

    /// Drops what an operation wanted to happen beside its statements.
    fn forget(&mut self) {
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

    pub(super) async fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<usize> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        bind(&mut statement, values)?;
        statement.raw_execute().map_err(failed)
    }

    pub(super) async fn rows<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        bind(&mut statement, values)?;
        let mut rows = statement.raw_query();
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            out.push(read(&Columns { row, next: Cell::new(0) })?);
        }
        Ok(out)
    }

    /// The first row, if there is one.
    pub(super) async fn row<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        bind(&mut statement, values)?;
        let mut rows = statement.raw_query();
        match rows.next().map_err(failed)? {
            Some(row) => read(&Columns { row, next: Cell::new(0) }).map(Some),
            None => Ok(None),
        }
    }

    /// Runs a change that must touch exactly one row.
    pub(super) async fn change_one(&mut self, sql: &str, values: &[Value<'_>]) -> Result<()> {
        match self.execute(sql, values).await? {
            1 => Ok(()),
            count => Err(Error::bug(format!("a statement changed {count} rows instead of one"))),
        }
    }
}

/// SQLite numbers `$n` by first appearance; the name decides here.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, values: &[Value<'_>]) -> Result<()> {
    for index in 1..=statement.parameter_count() {
        let value = statement
            .parameter_name(index)
            .and_then(|name| name.get(1..)?.parse::<usize>().ok())
            .and_then(|number| values.get(number.checked_sub(1)?))
            .ok_or_else(|| Error::bug("a statement has a parameter without a value"))?;
        statement.raw_bind_parameter(index, value).map_err(failed)?;
    }
    Ok(())
}

/// The columns of a row, read in the order of the statement.
pub(super) struct Columns<'r> {
    row: &'r rusqlite::Row<'r>,
    next: Cell<usize>,
}

impl Columns<'_> {
    fn read<T: rusqlite::types::FromSql>(&self) -> Result<T> {
        let index = self.next.replace(self.next.get() + 1);
        self.row.get(index).map_err(|error| Error::corrupt(format!("column {index}: {error}")))
    }

    /// Skips `count` columns when the next one is null; says whether it was.
    pub fn skip_null(&self, count: usize) -> Result<bool> {
        let at = self.next.get();
        let next = self.row.get_ref(at).map_err(|error| Error::corrupt(error.to_string()))?;
        let is_null = matches!(next, ValueRef::Null);
        if is_null {
            self.next.set(at + count);
        }
        Ok(is_null)
    }

    pub fn text(&self) -> Result<String> {
        self.read()
    }

    pub fn text_or_null(&self) -> Result<Option<String>> {
        self.read()
    }

    pub fn int(&self) -> Result<i64> {
        self.read()
    }

    pub fn int_or_null(&self) -> Result<Option<i64>> {
        self.read()
    }

    pub fn flag(&self) -> Result<bool> {
        Ok(self.int()? != 0)
    }

    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.read()
    }

    pub fn bytes_or_null(&self) -> Result<Option<Vec<u8>>> {
        self.read()
    }

    /// A column of JSON text.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        from_json(&self.text()?)
    }

    /// A column whose words are those of an enum.
    pub fn word<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        let word = self.text()?;
        read(&word).ok_or_else(|| Error::corrupt(format!("unknown word `{word}`")))
    }
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::corrupt("a JSON column does not parse"))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::bug(error.to_string()))
}

/// What a failure of the database means to a caller. SQL text and parameters stay out of it.
#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
pub(super) fn failed(error: rusqlite::Error) -> Error {
    let cause = match &error {
        rusqlite::Error::SqliteFailure(code, _) => format!("sqlite: {code}"),
        other => format!("sqlite: {other}"),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::corrupt(cause),
        Some(ErrorCode::ConstraintViolation) | None => Error::bug(cause),
        Some(_) => Error::unavailable(cause),
    }
}
