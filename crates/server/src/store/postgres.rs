//! A connection to a PostgreSQL server.

use std::collections::{HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

use super::postgres_server::{ANSWER, Server};
use super::session::{Value, check_count, holds_nul};
use crate::error::{Error, Result};

/// Why a server did not do what it was asked for.
enum Failure {
    Silent,
    Told(tokio_postgres::Error),
}

/// What a server answers, if it does so in time.
async fn answered<T>(answer: impl Future<Output = Told<T>>) -> std::result::Result<T, Failure> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(told) => told.map_err(Failure::Told),
        Err(_) => Err(Failure::Silent),
    }
}

type Told<T> = std::result::Result<T, tokio_postgres::Error>;

/// A connection with the statements that it knows.
pub(super) struct Postgres {
    server: Arc<Server>,
    pub runtime: Arc<Runtime>,
    pub client: Option<Arc<Client>>,
    warned: Arc<AtomicBool>,
    timeline: u32,
    /// Sent, and not answered yet.
    sent: VecDeque<Sent>,
    /// By the address of their text, which is that of a constant.
    statements: HashMap<usize, Statement>,
    /// Another transaction got in the way: this one is to be run again.
    pub in_conflict: bool,
    /// A statement has failed since the transaction began or went back to its savepoint: `COMMIT` would undo all, and
    /// say so nowhere.
    pub is_aborted: bool,
    /// A transaction that is not known yet to have begun.
    is_beginning: bool,
    #[cfg(feature = "faults")]
    pub faults: std::sync::OnceLock<Arc<super::Faults>>,
}

impl Postgres {
    pub fn new(server: Arc<Server>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = Arc::new(runtime);
        Ok(Self {
            server,
            runtime,
            client: None,
            warned: Arc::default(),
            timeline: 0,
            sent: VecDeque::new(),
            statements: HashMap::new(),
            in_conflict: false,
            is_aborted: false,
            is_beginning: false,
            #[cfg(feature = "faults")]
            faults: std::sync::OnceLock::new(),
        })
    }

    /// Connects, where that is not so yet or not any more, or where another server has become the primary since.
    pub async fn connect(&mut self) -> Result<()> {
        if self.is_lost() || self.server.has_left(self.timeline) {
            self.disconnect();
            let connected = self.server.connect().await?;
            self.client = Some(Arc::new(connected.client));
            (self.warned, self.timeline) = (connected.warned, connected.timeline);
        }
        Ok(())
    }

    pub fn disconnect(&mut self) {
        self.client = None;
        self.sent.clear();
        self.statements.clear();
    }

    pub fn is_lost(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.is_closed())
    }

    pub fn client(&self) -> Result<Arc<Client>> {
        self.client.clone().ok_or_else(not_connected)
    }

    /// Runs statements about the transaction, none of which goes well within an aborted one but for going back.
    pub async fn control(&mut self, sql: &'static str) -> Result<()> {
        let settled = self.settle().await;
        if !sql.starts_with("ROLLBACK") {
            settled?;
        }
        #[cfg(feature = "faults")]
        let sql = self.instead(sql);
        let done = answered(self.client()?.batch_execute(sql)).await;
        done.map_err(|failure| self.failed(failure))?;
        self.is_aborted = false;
        Ok(())
    }

    /// As [`Postgres::control`], for what may take long.
    pub async fn control_slowly(&mut self, sql: &'static str) -> Result<()> {
        self.settle().await?;
        let done = self.client()?.batch_execute(sql).await;
        done.map_err(|error| self.failed(Failure::Told(error)))
    }

    /// Begins a transaction without waiting for that.
    pub fn begin(&mut self, sql: &'static str) -> Result<()> {
        (self.in_conflict, self.is_aborted, self.is_beginning) = (false, false, true);
        self.send_control(sql)
    }

    /// Sends statements about the transaction without waiting for them.
    pub fn send_control(&mut self, sql: &'static str) -> Result<()> {
        #[cfg(feature = "faults")]
        let sql = self.instead(sql);
        let client = self.client()?;
        self.send(async move { client.batch_execute(sql).await.map(Ok) })
    }

    /// Runs a change; how many rows it has changed.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let (statement, client) =
            (self.prepare(sql, values.iter().map(type_of)).await?, self.client()?);
        let values = bound(&statement, values)?;
        let done = self.behind_the_others(client.execute(&statement, &values)).await?;
        Ok(usize::try_from(done).unwrap_or(usize::MAX))
    }

    pub async fn query(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>> {
        let (statement, client) =
            (self.prepare(sql, values.iter().map(type_of)).await?, self.client()?);
        let values = bound(&statement, values)?;
        self.behind_the_others(client.query(&statement, &values)).await
    }

    /// Sends a change that must touch so many rows. [`Postgres::settle`] tells when it has not.
    pub async fn change(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        rows: Option<usize>,
    ) -> Result<()> {
        let (statement, client) =
            (self.prepare(sql, values.iter().map(type_of)).await?, self.client()?);
        bound(&statement, values)?;
        let values: Vec<_> = values.iter().map(Owned::from).collect();
        self.send(async move {
            let values: Vec<_> = values.iter().map(Owned::value).collect();
            let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            let count = client.execute(&statement, &values).await?;
            Ok(check_count(usize::try_from(count).unwrap_or(usize::MAX), rows))
        })
    }

    /// Waits for all that was sent, in its order; the first failure is the one that is told.
    pub async fn settle(&mut self) -> Result<()> {
        while let Some(sent) = self.sent.pop_front() {
            let done = answered(sent).await.map_err(|failure| {
                self.sent.clear();
                self.failed(failure)
            });
            let checked = done?;
            self.is_aborted |= checked.is_err();
            checked?;
        }
        self.is_beginning = false;
        Ok(())
    }

    /// Inserts many rows that come column by column, in a transaction of their own.
    pub async fn insert(&mut self, sql: &'static str, columns: &[Column<'_>]) -> Result<()> {
        let statement = self.prepare(sql, columns.iter().map(Column::array)).await?;
        let (client, values) = (self.client()?, Column::values(columns));
        self.listen_for_warnings();
        // Behind a fault in no transaction it would go well.
        #[cfg(feature = "faults")]
        self.settle().await?;
        self.behind_the_others(client.execute(&statement, &values)).await?;
        self.check_warnings()
    }

    /// Commits in one go with what was sent before. A commit behind a change that failed undoes all.
    pub async fn commit(&mut self) -> Result<()> {
        self.listen_for_warnings();
        self.send_control("COMMIT")?;
        self.settle().await?;
        self.check_warnings()
    }

    fn listen_for_warnings(&self) {
        self.warned.store(false, Ordering::SeqCst);
    }

    /// What a server warns of at a commit is that the change stands on it alone, and not where it has to be, too:
    /// somebody has ended its wait for that.
    fn check_warnings(&self) -> Result<()> {
        match self.warned.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("postgres: committed with a warning")),
            false => Ok(()),
        }
    }

    /// Sends something, and waits for it behind what was sent before.
    async fn behind_the_others<T>(
        &mut self,
        statement: impl Future<Output = Told<T>>,
    ) -> Result<T> {
        let mut statement = pin!(statement);
        match begin(statement.as_mut()) {
            Poll::Ready(done) => {
                self.settle().await?;
                done.map_err(|error| self.failed(Failure::Told(error)))
            }
            Poll::Pending => {
                self.settle().await?;
                answered(statement).await.map_err(|failure| self.failed(failure))
            }
        }
    }

    pub fn send(
        &mut self,
        statement: impl Future<Output = Told<Result<()>>> + Send + 'static,
    ) -> Result<()> {
        let mut statement: Sent = Box::pin(statement);
        match begin(statement.as_mut()) {
            Poll::Ready(Err(error)) => Err(self.failed(Failure::Told(error))),
            Poll::Ready(Ok(_)) => Err(Error::bug("a statement was answered before it was sent")),
            Poll::Pending => {
                self.sent.push_back(statement);
                Ok(())
            }
        }
    }

    /// Types are those of the values, as on SQLite: the server would take `$1 = 0` for a smaller number.
    async fn prepare(
        &mut self,
        sql: &'static str,
        types: impl Iterator<Item = Type>,
    ) -> Result<Statement> {
        // INVARIANT: no change is sent behind a beginning that may have failed. It would stand by itself.
        if self.is_beginning && !sql.starts_with("SELECT") {
            self.settle().await?;
        }
        #[cfg(feature = "faults")]
        self.suffer()?;
        let address = sql.as_ptr().addr();
        if let Some(statement) = self.statements.get(&address) {
            return Ok(statement.clone());
        }
        let types: Vec<_> = types.collect();
        let client = self.client()?;
        let statement = self.behind_the_others(client.prepare_typed(sql, &types)).await?;
        self.statements.insert(address, statement.clone());
        Ok(statement)
    }

    /// What a failure means to a caller. SQL text and values stay out of it.
    fn failed(&mut self, failure: Failure) -> Error {
        self.is_aborted = true;
        let error = match failure {
            Failure::Told(error) => error,
            Failure::Silent => {
                self.server.was_silent(self.timeline);
                self.disconnect();
                return Error::unavailable("postgres: no answer");
            }
        };
        let Some(code) = error.code() else { return unavailable(&error) };
        let cause = format!("postgres: {}", code.code());
        // Two that insert the same at once: whoever runs again sees the other's row.
        let conflicts = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::UNIQUE_VIOLATION,
        ];
        // More was taken than was granted (`USE_GRANTED`): whoever runs again looks.
        let is_used_up = *code == SqlState::NOT_NULL_VIOLATION
            && error.as_db_error().and_then(|told| told.column()) == Some("used");
        self.in_conflict |= is_used_up || conflicts.contains(code);
        match code.code().get(..2).unwrap_or_default() {
            "22" if *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE => holds_nul(),
            "22" | "23" | "42" if !self.in_conflict => Error::bug(cause),
            "XX" => Error::corrupt(cause),
            _ => Error::unavailable(cause),
        }
    }
}

/// What was sent; it ends with whether it has changed as many rows as it must.
type Sent = Pin<Box<dyn Future<Output = Told<Result<()>>> + Send>>;

/// Has a statement sent, which happens when its future is first polled; it is waited for later.
fn begin<F: Future + ?Sized>(statement: Pin<&mut F>) -> Poll<F::Output> {
    statement.poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// A value that outlives the call it came with.
enum Owned {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Value<'_>> for Owned {
    fn from(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(value) => Self::Int(*value),
            Value::Text(value) => Self::Text((*value).to_owned()),
            Value::Bytes(value) => Self::Bytes(value.to_vec()),
        }
    }
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(value) => Value::Int(*value),
            Self::Text(value) => Value::Text(value),
            Self::Bytes(value) => Value::Bytes(value),
        }
    }
}

pub(super) fn not_connected() -> Error {
    Error::unavailable("not connected to the database")
}

pub(super) fn unavailable(error: &tokio_postgres::Error) -> Error {
    Error::unavailable(format!("postgres: {error}"))
}

/// Null may be of any type, which the server finds out.
fn type_of(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Int(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    }
}

/// The values of many rows for one column.
pub(super) enum Column<'a> {
    Ints(Vec<i64>),
    Texts(Vec<&'a str>),
    Bytes(Vec<&'a [u8]>),
}

impl<'a> Column<'a> {
    fn array(&self) -> Type {
        match self {
            Self::Ints(_) => Type::INT8_ARRAY,
            Self::Texts(_) => Type::TEXT_ARRAY,
            Self::Bytes(_) => Type::BYTEA_ARRAY,
        }
    }

    fn values<'v>(columns: &'v [Column<'a>]) -> Vec<&'v (dyn ToSql + Sync)> {
        let value = |column: &'v Column<'a>| -> &'v (dyn ToSql + Sync) {
            match column {
                Self::Ints(values) => values,
                Self::Texts(values) => values,
                Self::Bytes(values) => values,
            }
        };
        columns.iter().map(value).collect()
    }
}

/// The values of a statement, as the driver takes them.
fn bound<'v>(
    statement: &Statement,
    values: &'v [Value<'v>],
) -> Result<Vec<&'v (dyn ToSql + Sync)>> {
    let wanted = values.get(..statement.params().len());
    let wanted = wanted.ok_or_else(|| Error::bug("a statement has a parameter without a value"))?;
    Ok(wanted.iter().map(|value| value as &(dyn ToSql + Sync)).collect())
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut bytes::BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql(of, out),
            Self::Text(value) => value.to_sql(of, out),
            Self::Bytes(value) => value.to_sql(of, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A whole number of any length, and a truth as 0 or 1.
pub(super) struct Number(pub i64);

impl<'r> FromSql<'r> for Number {
    fn from_sql(
        of: &Type,
        raw: &'r [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *of {
            Type::BOOL => bool::from_sql(of, raw)?.into(),
            Type::INT4 => i32::from_sql(of, raw)?.into(),
            _ => i64::from_sql(of, raw)?,
        }))
    }

    fn accepts(of: &Type) -> bool {
        [Type::BOOL, Type::INT4, Type::INT8].contains(of)
    }
}

impl rusqlite::types::FromSql for Number {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// Reads nothing but whether something is there.
struct IsThere;

impl<'r> FromSql<'r> for IsThere {
    fn from_sql(
        _: &Type,
        _: &'r [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

pub(super) fn is_null(row: &Row, at: usize) -> Result<bool> {
    let there: Option<IsThere> =
        row.try_get(at).map_err(|error| Error::corrupt(format!("column {at}: {error}")))?;
    Ok(there.is_none())
}
