//! A connection to a PostgreSQL server.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::{Pin, pin};
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::join;
use tokio::runtime::Runtime;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::session::{Value, changed_one};
use crate::config::StoreConfig;
use crate::error::{Error, Result};

/// What every connection is set to. Statements end before callers give up; nobody sleeps within a transaction.
const SETTINGS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = 'warning'";

/// Where the database is.
pub(super) struct Server {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

impl Server {
    /// Of the settings. Passwords cross no network in clear text: beyond this machine, TLS is a must.
    pub fn new(settings: &StoreConfig, folder: &Path) -> anyhow::Result<Self> {
        let url = settings.url.as_deref().context("no `store.url`")?;
        // The parser's own words could repeat the password.
        let mut config = tokio_postgres::Config::from_str(url).map_err(|_| {
            anyhow::anyhow!("`store.url` is no URL such as postgres://user@host/database")
        })?;
        if let Some(file) = &settings.password_file {
            let file = folder.join(file);
            let unreadable = || format!("{} cannot be read", file.display());
            let rights = file.metadata().with_context(unreadable)?.permissions().mode();
            ensure!(rights & 0o077 == 0, "{} can be read by others; chmod 600 it", file.display());
            let password = std::fs::read_to_string(&file).with_context(unreadable)?;
            config.password(password.trim_end_matches('\n'));
        }
        let is_here = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => ["localhost", "127.0.0.1", "::1"].contains(&name.as_str()),
        };
        if !config.get_hosts().iter().all(is_here) {
            ensure!(
                config.get_ssl_mode() != SslMode::Disable,
                "`store.url` turns TLS off, and the database is on another machine"
            );
            config.ssl_mode(SslMode::Require);
        }
        config.application_name("cofferd");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(tls(settings.ca_file.as_deref(), folder)?) })
    }
}

fn tls(ca_file: Option<&Path>, folder: &Path) -> anyhow::Result<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    match ca_file.map(|file| folder.join(file)) {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = || format!("{} holds no certificates", file.display());
            for certificate in CertificateDer::pem_file_iter(&file).with_context(unreadable)? {
                roots.add(certificate.with_context(unreadable)?)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connection with the statements that it knows.
pub(super) struct Postgres {
    server: Arc<Server>,
    pub runtime: Arc<Runtime>,
    pub client: Option<Arc<Client>>,
    /// Sent, and not answered yet.
    sent: VecDeque<Sent>,
    /// By the address of their text, which is that of a constant.
    statements: HashMap<usize, Statement>,
    /// Another transaction got in the way: this one is to be run again.
    pub in_conflict: bool,
    /// A statement has failed since the transaction began or went back to its savepoint: `COMMIT` would undo all, and
    /// say so nowhere.
    pub is_aborted: bool,
}

impl Postgres {
    pub fn new(server: Arc<Server>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = Arc::new(runtime);
        Ok(Self {
            server,
            runtime,
            client: None,
            sent: VecDeque::new(),
            statements: HashMap::new(),
            in_conflict: false,
            is_aborted: false,
        })
    }

    /// Connects, where that is not so yet or not any more.
    pub async fn connect(&mut self) -> Result<Arc<Client>> {
        if self.is_lost() {
            self.disconnect();
            let connected = self.server.config.connect(self.server.tls.clone()).await;
            let (client, connection) = connected.map_err(|error| unavailable(&error))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with the client, on this thread"
            )]
            tokio::spawn(connection);
            client.batch_execute(SETTINGS).await.map_err(|error| unavailable(&error))?;
            self.client = Some(Arc::new(client));
        }
        self.client()
    }

    pub fn disconnect(&mut self) {
        self.client = None;
        self.sent.clear();
        self.statements.clear();
    }

    pub fn is_lost(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.is_closed())
    }

    fn client(&self) -> Result<Arc<Client>> {
        self.client.clone().ok_or_else(not_connected)
    }

    /// Runs statements about the transaction, none of which goes well within an aborted one but for going back.
    pub async fn control(&mut self, sql: &'static str) -> Result<()> {
        let settled = self.settle().await;
        if !sql.starts_with("ROLLBACK") {
            settled?;
        }
        self.client()?.batch_execute(sql).await.map_err(|error| self.failed(&error))?;
        self.is_aborted = false;
        Ok(())
    }

    /// Sends statements about the transaction without waiting for them.
    pub fn send_control(&mut self, sql: &'static str) -> Result<()> {
        let client = self.client()?;
        self.send(async move { client.batch_execute(sql).await.map(|()| None) })
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

    /// Sends a change that must touch one row. [`Postgres::settle`] tells when it has not.
    pub async fn change_one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        let (statement, client) =
            (self.prepare(sql, values.iter().map(type_of)).await?, self.client()?);
        bound(&statement, values)?;
        let values: Vec<_> = values.iter().map(Owned::from).collect();
        self.send(async move {
            let values: Vec<_> = values.iter().map(Owned::value).collect();
            let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            client.execute(&statement, &values).await.map(Some)
        })
    }

    /// Waits for all that was sent, in its order; the first failure is the one that is told.
    pub async fn settle(&mut self) -> Result<()> {
        while let Some(sent) = self.sent.pop_front() {
            let done = sent.await.map_err(|error| {
                self.sent.clear();
                self.failed(&error)
            });
            if let Some(count) = done? {
                let changed = changed_one(usize::try_from(count).unwrap_or(usize::MAX));
                self.is_aborted |= changed.is_err();
                changed?;
            }
        }
        Ok(())
    }

    /// Inserts many rows that come column by column.
    pub async fn insert(&mut self, sql: &'static str, columns: &[Column<'_>]) -> Result<()> {
        let statement = self.prepare(sql, columns.iter().map(Column::array)).await?;
        let (client, values) = (self.client()?, Column::values(columns));
        self.behind_the_others(client.execute(&statement, &values)).await.map(|_| ())
    }

    /// As [`Postgres::insert`], and commits in the same go. A commit behind a change that failed undoes all.
    pub async fn insert_and_commit(
        &mut self,
        sql: &'static str,
        columns: &[Column<'_>],
    ) -> Result<()> {
        self.settle().await?;
        let statement = self.prepare(sql, columns.iter().map(Column::array)).await?;
        let (client, values) = (self.client()?, Column::values(columns));
        // Polled in this order, so sent in this order.
        let last = client.execute(&statement, &values);
        let (changed, committed) = join(last, client.batch_execute("COMMIT")).await;
        changed.and(committed).map_err(|error| self.failed(&error))
    }

    /// Sends something, and waits for it behind what was sent before.
    async fn behind_the_others<T>(
        &mut self,
        statement: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let mut statement = pin!(statement);
        match begin(statement.as_mut()) {
            Poll::Ready(done) => {
                self.settle().await?;
                done.map_err(|error| self.failed(&error))
            }
            Poll::Pending => {
                self.settle().await?;
                statement.await.map_err(|error| self.failed(&error))
            }
        }
    }

    fn send(
        &mut self,
        statement: impl Future<Output = std::result::Result<Option<u64>, tokio_postgres::Error>>
        + Send
        + 'static,
    ) -> Result<()> {
        let mut statement: Sent = Box::pin(statement);
        match begin(statement.as_mut()) {
            Poll::Ready(Err(error)) => Err(self.failed(&error)),
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
    fn failed(&mut self, error: &tokio_postgres::Error) -> Error {
        self.is_aborted = true;
        let Some(code) = error.code() else { return unavailable(error) };
        let cause = format!("postgres: {}", code.code());
        // Two that insert the same at once: whoever runs again sees the other's row.
        let conflicts = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::UNIQUE_VIOLATION,
        ];
        self.in_conflict |= conflicts.contains(code);
        match code.code().get(..2).unwrap_or_default() {
            "22" if *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE => {
                Error::invalid("", "a text holds a NUL character")
            }
            "22" | "23" | "42" if !self.in_conflict => Error::bug(cause),
            "XX" => Error::corrupt(cause),
            _ => Error::unavailable(cause),
        }
    }
}

/// What was sent; it ends with how many rows that has changed, where that must be one.
type Sent =
    Pin<Box<dyn Future<Output = std::result::Result<Option<u64>, tokio_postgres::Error>> + Send>>;

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

fn unavailable(error: &tokio_postgres::Error) -> Error {
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
}

impl<'a> Column<'a> {
    fn array(&self) -> Type {
        match self {
            Self::Ints(_) => Type::INT8_ARRAY,
            Self::Texts(_) => Type::TEXT_ARRAY,
        }
    }

    fn values<'v>(columns: &'v [Column<'a>]) -> Vec<&'v (dyn ToSql + Sync)> {
        let value = |column: &'v Column<'a>| -> &'v (dyn ToSql + Sync) {
            match column {
                Self::Ints(values) => values,
                Self::Texts(values) => values,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> anyhow::Result<Server> {
        let settings = StoreConfig { url: Some(url.to_owned()), ..StoreConfig::default() };
        Server::new(&settings, Path::new("/nowhere"))
    }

    #[test]
    fn nothing_crosses_a_network_in_clear_text() {
        for (url, mode) in [
            ("postgres://c@db.example.com/coffer", Some(SslMode::Require)),
            ("postgres://c@db.example.com/coffer?sslmode=prefer", Some(SslMode::Require)),
            ("postgres://c@db.example.com/coffer?sslmode=disable", None),
            ("postgres://c@127.0.0.1,10.0.0.1/coffer?sslmode=disable", None),
            ("postgres://c@127.0.0.1/coffer?sslmode=disable", Some(SslMode::Disable)),
            ("postgres://c@localhost/coffer", Some(SslMode::Prefer)),
            ("postgres:///coffer?host=/run/postgresql&user=c", Some(SslMode::Prefer)),
        ] {
            let made = server(url).ok().map(|server| server.config.get_ssl_mode());
            assert_eq!(made, mode, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_told_without_its_password() {
        let told = server("postgres://c:hunter2@[/coffer").err().map(|error| format!("{error:#}"));
        assert!(told.is_some_and(|told| told.contains("store.url") && !told.contains("hunter2")));
    }
}
