//! A PostgreSQL server as the store. Each thread has a connection of its own and runs one operation at a time, in a
//! serializable transaction that is run again when another one got in its way.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::session::{Session, Value};
use super::{Job, Keep, Lanes, MIGRATIONS, Tx, sql, start};
use crate::config::StoreConfig;
use crate::error::{Error, Result};

/// How often a transaction is run before its caller is told that the store is too busy.
const ATTEMPTS_MAX: u32 = 24;
/// How often other servers' changes are looked for.
const LISTEN: Duration = Duration::from_millis(200);
/// Nobody who has not heard for so long trusts what it remembers.
const DEAF: Duration = Duration::from_secs(1);
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
            let password = std::fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
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
    client: Option<Client>,
    /// By the address of their text, which is that of a constant.
    statements: HashMap<usize, Statement>,
    /// Another transaction got in the way: this one is to be run again.
    in_conflict: bool,
}

impl Postgres {
    fn new(server: Arc<Server>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = Arc::new(runtime);
        Ok(Self { server, runtime, client: None, statements: HashMap::new(), in_conflict: false })
    }

    /// Connects, where that is not so yet or not any more.
    async fn connect(&mut self) -> Result<&Client> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.disconnect();
            let connected = self.server.config.connect(self.server.tls.clone()).await;
            let (client, connection) = connected.map_err(|error| unavailable(&error))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with the client, on this thread"
            )]
            tokio::spawn(connection);
            client.batch_execute(SETTINGS).await.map_err(|error| unavailable(&error))?;
            self.client = Some(client);
        }
        self.client.as_ref().ok_or_else(|| Error::bug("not connected"))
    }

    fn disconnect(&mut self) {
        self.client = None;
        self.statements.clear();
    }

    fn is_lost(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Runs statements without values.
    pub async fn control(&mut self, sql: &str) -> Result<()> {
        let done = match &self.client {
            Some(client) => client.batch_execute(sql).await,
            None => return Err(Error::unavailable("not connected to the database")),
        };
        done.map_err(|error| self.failed(&error))
    }

    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let statement = self.prepare(sql).await?;
        let values = bound(&statement, values)?;
        let done = match &self.client {
            Some(client) => client.execute(&statement, &values).await,
            None => return Err(not_connected()),
        };
        let count = done.map_err(|error| self.failed(&error))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub async fn query(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>> {
        let statement = self.prepare(sql).await?;
        let values = bound(&statement, values)?;
        let done = match &self.client {
            Some(client) => client.query(&statement, &values).await,
            None => return Err(not_connected()),
        };
        done.map_err(|error| self.failed(&error))
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<Statement> {
        let address = sql.as_ptr().addr();
        if let Some(statement) = self.statements.get(&address) {
            return Ok(statement.clone());
        }
        let prepared = match &self.client {
            Some(client) => client.prepare(sql).await,
            None => return Err(not_connected()),
        };
        let statement = prepared.map_err(|error| self.failed(&error))?;
        self.statements.insert(address, statement.clone());
        Ok(statement)
    }

    /// What a failure means to a caller. SQL text and values stay out of it.
    fn failed(&mut self, error: &tokio_postgres::Error) -> Error {
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

fn not_connected() -> Error {
    Error::unavailable("not connected to the database")
}

fn unavailable(error: &tokio_postgres::Error) -> Error {
    Error::unavailable(format!("postgres: {error}"))
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
            Self::Int(value) if *of == Type::INT4 => i32::try_from(*value)?.to_sql(of, out),
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

/// What a thread's transactions are for.
#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Writing,
    Reading,
}

impl Purpose {
    /// Changes see each other as if they came one after another; a read sees one instant.
    fn begin(self) -> &'static str {
        match self {
            Self::Writing => "BEGIN ISOLATION LEVEL SERIALIZABLE; SAVEPOINT operation",
            Self::Reading => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

/// Brings the schema up to date and starts the threads.
pub(super) fn open(
    server: Server,
    lanes: &Lanes,
    epoch: &Arc<AtomicU64>,
    heard: &Arc<Heard>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let server = Arc::new(server);
    // On a thread of its own: whoever opens a store may be within a runtime already.
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut first = Postgres::new(server.clone())?;
            first.runtime.clone().block_on(migrate(&mut first)).map(|()| first)
        });
        first.join().map_err(|_| anyhow::anyhow!("bringing the schema up to date has panicked"))?
    })?;
    let mut threads = Vec::new();
    for (lane, purpose) in [
        (&lanes.writer, Purpose::Writing),
        (&lanes.readers, Purpose::Reading),
        (&lanes.searcher, Purpose::Reading),
    ] {
        for _ in 0..lane.threads {
            let (server, jobs, epoch) = (server.clone(), lane.waiting.clone(), epoch.clone());
            let run = move || serve(server, purpose, &jobs, &epoch);
            threads.push(start("store-postgres", run)?);
        }
    }
    let (jobs, epoch, heard) = (lanes.listener.waiting.clone(), epoch.clone(), heard.clone());
    heard.now();
    threads.push(start("store-listener", move || listen(first, &jobs, &epoch, &heard))?);
    Ok(threads)
}

/// Runs what waits, one operation after another, on a connection of its own.
fn serve(
    server: Arc<Server>,
    purpose: Purpose,
    jobs: &Receiver<Box<dyn Job>>,
    epoch: &Arc<AtomicU64>,
) {
    let session = match Postgres::new(server) {
        Ok(session) => Session::Postgres(Box::new(session)),
        Err(error) => return tracing::error!("no thread for the store: {error}"),
    };
    let mut tx = Tx::new(session, epoch.clone());
    while let Ok(mut job) = jobs.recv() {
        let stop = job.is_last();
        let ended = transact(&mut tx, &mut *job, purpose, epoch);
        job.answer(ended);
        if stop {
            return;
        }
    }
}

/// How a try went.
enum Tried {
    Ended(Result<()>),
    /// Nothing was changed, and it may go well the next time.
    Again,
}

/// Runs an operation in a transaction of its own until no other one gets in its way.
fn transact(tx: &mut Tx, job: &mut dyn Job, purpose: Purpose, epoch: &AtomicU64) -> Result<()> {
    for attempt in 0..ATTEMPTS_MAX {
        if let Tried::Ended(ended) = try_once(tx, job, purpose, epoch) {
            return ended;
        }
        // Those that met do not meet again at the next step.
        let chance = RandomState::new().hash_one(attempt);
        std::thread::sleep(Duration::from_micros(chance % (u64::from(attempt + 1) * 2000)));
    }
    Err(Error::unavailable("too many changes of the same at once"))
}

fn try_once(tx: &mut Tx, job: &mut dyn Job, purpose: Purpose, epoch: &AtomicU64) -> Tried {
    tx.forget();
    let Some(session) = tx.postgres() else {
        return Tried::Ended(Err(Error::bug("a transaction of another store")));
    };
    let runtime = session.runtime.clone();
    session.in_conflict = false;
    let begun = runtime.block_on(async {
        session.connect().await?;
        session.control(purpose.begin()).await
    });
    if let Err(error) = begun {
        return after(session, &runtime, error);
    }
    let keep = job.run(tx);
    let changed = tx.takes_identities_changed();
    let Some(session) = tx.postgres() else { return Tried::Again };
    if session.in_conflict || session.is_lost() {
        return after(session, &runtime, not_connected());
    }
    let ended = runtime.block_on(async {
        if keep == Keep::No {
            return session.control("ROLLBACK").await;
        }
        if changed {
            session.execute(sql::COUNT_CHANGE, &[Value::Text(IDENTITIES)]).await?;
        }
        session.control("COMMIT").await
    });
    match ended {
        Ok(()) => {
            tx.leave(keep == Keep::Yes);
            if changed && keep == Keep::Yes {
                epoch.fetch_add(1, Ordering::SeqCst);
            }
            tx.take_identities_changed();
            tx.finish(true);
            Tried::Ended(Ok(()))
        }
        Err(_) if session.in_conflict => after(session, &runtime, not_connected()),
        // Nobody can tell whether it was committed, so it is not done once more.
        Err(error) => {
            session.disconnect();
            tx.leave(false);
            tx.finish(false);
            Tried::Ended(Err(error))
        }
    }
}

/// Leaves a transaction that has failed before its end; another try is worth it unless the server cannot be reached.
fn after(session: &mut Postgres, runtime: &Runtime, error: Error) -> Tried {
    if session.client.is_none() {
        return Tried::Ended(Err(error));
    }
    if session.is_lost() || runtime.block_on(session.control("ROLLBACK")).is_err() {
        session.disconnect();
    }
    Tried::Again
}

/// The number that moves on with each change of who may do what.
const IDENTITIES: &str = "identities";

/// When other servers' changes were last looked for.
pub(super) struct Heard {
    since: Instant,
    millis: AtomicU64,
}

impl Heard {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), millis: AtomicU64::new(0) })
    }

    fn now(&self) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::SeqCst);
    }

    /// Whether what is remembered may be older than it ought to be.
    pub fn is_long_ago(&self) -> bool {
        let last = Duration::from_millis(self.millis.load(Ordering::SeqCst));
        self.since.elapsed().saturating_sub(last) > DEAF
    }
}

/// Looks for other servers' changes until it is told to stop.
fn listen(mut session: Postgres, jobs: &Receiver<Box<dyn Job>>, epoch: &AtomicU64, heard: &Heard) {
    let runtime = session.runtime.clone();
    let mut known = None;
    while let Err(RecvTimeoutError::Timeout) = jobs.recv_timeout(LISTEN) {
        let asked = Instant::now();
        let found = runtime.block_on(async {
            session.connect().await?;
            let rows = session.query(sql::FIND_CHANGES, &[Value::Text(IDENTITIES)]).await?;
            let row = rows.first().ok_or_else(|| Error::corrupt("no count of changes"))?;
            row.try_get::<_, i64>(0).map_err(|error| Error::corrupt(error.to_string()))
        });
        match found {
            Ok(number) => {
                if known.replace(number).is_some_and(|before| before != number) {
                    epoch.fetch_add(1, Ordering::SeqCst);
                }
                if asked.elapsed() < DEAF {
                    heard.now();
                }
            }
            Err(error) => {
                tracing::warn!(cause = error.cause(), "other servers' changes are not heard");
                session.disconnect();
            }
        }
    }
}

/// Runs each migration that has not run, once however many servers start at a time: the row that says so is written
/// ahead of it in the same transaction, and whoever comes second waits for that.
async fn migrate(session: &mut Postgres) -> anyhow::Result<()> {
    let told = |error: Error| anyhow::anyhow!("{}", error.cause());
    session.connect().await.map_err(told)?;
    let bytewise = session.query("SELECT 'B' < 'a' AND 'a' < 'é'", &[]).await.map_err(told)?;
    ensure!(
        bytewise.first().is_some_and(|row| row.get::<_, bool>(0)),
        "the database does not compare texts byte by byte; make it with \
         CREATE DATABASE coffer TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
    );
    let table = "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY)";
    // Two that make it at once meet in the catalogue.
    if session.control(table).await.is_err() {
        session.control(table).await.map_err(told)?;
    }
    let have = "SELECT COALESCE(MAX(version), 0) FROM schema_versions";
    let have = session.query(have, &[]).await.map_err(told)?;
    let have = have.first().map_or(0, |row| row.get::<_, i64>(0));
    ensure!(
        usize::try_from(have)? <= MIGRATIONS.len(),
        "the store has schema {have}, this cofferd knows {}; use a newer cofferd",
        MIGRATIONS.len()
    );
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > have {
            session.control("BEGIN").await.map_err(told)?;
            let first = session
                .execute(
                    "INSERT INTO schema_versions (version) VALUES ($1) ON CONFLICT DO NOTHING",
                    &[Value::Int(version)],
                )
                .await
                .map_err(told)?;
            if first == 1 {
                session.control(migration).await.map_err(told)?;
            }
            session.control("COMMIT").await.map_err(told)?;
        }
    }
    Ok(())
}
