//! A connection to a PostgreSQL server.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::session::Value;
use crate::config::StoreConfig;
use crate::error::{Error, Result};

/// What every connection is set to. Statements end before callers give up; nobody sleeps within a transaction.
const SETTINGS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = 'warning'";
/// The name of the log that is written to, which begins with the number of its timeline: it grows whenever a server
/// becomes the primary.
const TIMELINE: &str = "VALUES (pg_walfile_name(pg_current_wal_lsn()))";
/// Longer than any statement may run. A server that is silent for so long hangs, is gone without a word, or waits for
/// another one to have what it is to commit, for which PostgreSQL knows no bound.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a thread looks for the server that takes changes.
const SEARCH: Duration = Duration::from_secs(10);
const SEARCHES: usize = 8;

/// Where the database is.
pub(super) struct Server {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    /// The highest one seen. What is on a lower one has been replaced, whatever it says of itself.
    timeline: AtomicU32,
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
        // Of several hosts, the one that takes changes; each time in another order, so that one that hangs keeps nobody
        // from the others.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.load_balance_hosts(LoadBalanceHosts::Random);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(2));
        }
        // A machine that is gone without a word is noticed within seconds, not within hours.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(10));
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_idle(Duration::from_secs(5));
            config.keepalives_interval(Duration::from_secs(2));
            config.keepalives_retries(3);
        }
        let tls = MakeRustlsConnect::new(tls(settings.ca_file.as_deref(), folder)?);
        Ok(Self { config, tls, timeline: AtomicU32::new(0) })
    }

    /// Finds the server that takes changes.
    async fn connect(&self) -> Result<Connected> {
        // Twice what one address has: then it is silent behind an open port.
        let patience = self.config.get_connect_timeout().map_or(ANSWER, |timeout| *timeout * 2);
        let started = Instant::now();
        let mut why = Error::unavailable("postgres: no answer");
        for _ in 0..SEARCHES {
            match tokio::time::timeout(patience, self.greet()).await {
                Ok(Ok(connected)) => {
                    let newest = self.timeline.fetch_max(connected.timeline, Ordering::SeqCst);
                    if connected.timeline >= newest {
                        return Ok(connected);
                    }
                    why = Error::unavailable("postgres: the server has been replaced");
                }
                // Every host was asked.
                Ok(Err(error)) => return Err(unavailable(&error)),
                Err(_) => {}
            }
            if started.elapsed() > SEARCH {
                break;
            }
        }
        Err(why)
    }

    async fn greet(&self) -> std::result::Result<Connected, tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let hears = warned.clone();
        let drive = std::future::poll_fn(move |context| {
            loop {
                match ready!(connection.poll_message(context)) {
                    Some(Ok(AsyncMessage::Notice(_))) => hears.store(true, Ordering::SeqCst),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
        });
        #[expect(clippy::disallowed_methods, reason = "it ends with the client, on this thread")]
        tokio::spawn(drive);
        client.batch_execute(SETTINGS).await?;
        let timeline = match client.simple_query(TIMELINE).await {
            Ok(messages) => messages.iter().find_map(timeline_of).unwrap_or_default(),
            // Engines that speak the protocol may not have it.
            Err(error) if error.code().is_some() => 0,
            Err(error) => return Err(error),
        };
        Ok(Connected { client, warned, timeline })
    }
}

fn timeline_of(message: &SimpleQueryMessage) -> Option<u32> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    u32::from_str_radix(row.get(0)?.get(..8)?, 16).ok()
}

/// A connection to the server that takes changes.
struct Connected {
    client: Client,
    /// The server has warned of something.
    warned: Arc<AtomicBool>,
    /// 0 where there is none.
    timeline: u32,
}

/// Why a server did not do what it was asked for.
enum Failure {
    Silent,
    Told(tokio_postgres::Error),
}

/// What a server answers, if it does so in time.
async fn answered<T>(
    answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
) -> std::result::Result<T, Failure> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(told) => told.map_err(Failure::Told),
        Err(_) => Err(Failure::Silent),
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
    pub client: Option<Client>,
    warned: Arc<AtomicBool>,
    timeline: u32,
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
            warned: Arc::default(),
            timeline: 0,
            statements: HashMap::new(),
            in_conflict: false,
            is_aborted: false,
        })
    }

    /// Connects, where that is not so yet or not any more, or where another server has become the primary since.
    pub async fn connect(&mut self) -> Result<()> {
        if self.is_lost() || self.timeline < self.server.timeline.load(Ordering::SeqCst) {
            self.disconnect();
            let connected = self.server.connect().await?;
            self.client = Some(connected.client);
            (self.warned, self.timeline) = (connected.warned, connected.timeline);
        }
        Ok(())
    }

    pub fn disconnect(&mut self) {
        self.client = None;
        self.statements.clear();
    }

    pub fn is_lost(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Runs statements about the transaction, none of which goes well within an aborted one but for going back.
    pub async fn control(&mut self, sql: &str) -> Result<()> {
        let done = match &self.client {
            Some(client) => answered(client.batch_execute(sql)).await,
            None => return Err(not_connected()),
        };
        done.map_err(|failure| self.failed(failure))?;
        self.is_aborted = false;
        Ok(())
    }

    /// Commits. What a server warns of then is that the change stands on it alone, and not where it has to be, too:
    /// somebody has ended its wait for that.
    pub async fn commit(&mut self) -> Result<()> {
        self.warned.store(false, Ordering::SeqCst);
        self.control("COMMIT").await?;
        match self.warned.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("postgres: committed with a warning")),
            false => Ok(()),
        }
    }

    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let statement = self.prepare(sql, values).await?;
        let values = bound(&statement, values)?;
        let done = match &self.client {
            Some(client) => answered(client.execute(&statement, &values)).await,
            None => return Err(not_connected()),
        };
        let count = done.map_err(|failure| self.failed(failure))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub async fn query(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>> {
        let statement = self.prepare(sql, values).await?;
        let values = bound(&statement, values)?;
        let done = match &self.client {
            Some(client) => answered(client.query(&statement, &values)).await,
            None => return Err(not_connected()),
        };
        done.map_err(|failure| self.failed(failure))
    }

    /// Types are those of the values, as on SQLite: the server would take `$1 = 0` for a smaller number.
    async fn prepare(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Statement> {
        let address = sql.as_ptr().addr();
        if let Some(statement) = self.statements.get(&address) {
            return Ok(statement.clone());
        }
        let prepared = match &self.client {
            Some(client) => {
                let types: Vec<_> = values.iter().map(type_of).collect();
                answered(client.prepare_typed(sql, &types)).await
            }
            None => return Err(not_connected()),
        };
        let statement = prepared.map_err(|failure| self.failed(failure))?;
        self.statements.insert(address, statement.clone());
        Ok(statement)
    }

    /// What a failure means to a caller. SQL text and values stay out of it.
    fn failed(&mut self, failure: Failure) -> Error {
        self.is_aborted = true;
        let error = match failure {
            Failure::Told(error) => error,
            Failure::Silent => {
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
