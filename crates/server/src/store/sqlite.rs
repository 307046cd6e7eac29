//! The embedded store: one writing thread, which takes all that waits, runs each operation in a savepoint of its own
//! and commits once for all (group commit), and one reading thread per core.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, ToSql};

use super::session::{Columns, Row, Value, holds_nul};
use super::{BATCH_MAX, Epochs, Job, Keep, Lanes, MIGRATIONS, Run, Tx, drive, start};
use crate::error::{Error, Result};

/// Operations that one reading transaction may carry.
const READS_AT_ONCE: usize = 16;
/// Bytes of a file that is looked through before anything is served from it; of a larger one, beside that.
const CHECKED_FIRST: u64 = 64 << 20;
/// Milliseconds that a reading operation may take.
const READ_MILLIS_MAX: u64 = 10_000;
/// How long a connection waits for another one.
pub(super) const BUSY: Duration = Duration::from_secs(5);

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

/// A connection to the file. Nothing here waits for anybody but the disk.
pub(super) struct Sqlite {
    connection: Connection,
    orders: Orders,
    /// Whether the write-ahead log still holds what was erased for ever.
    pub log_holds_erased: bool,
    /// When emptying it was last tried.
    tried_at: Option<Instant>,
    #[cfg(feature = "faults")]
    faults: std::sync::OnceLock<Arc<super::Faults>>,
}

impl Sqlite {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            orders: Orders::default(),
            log_holds_erased: false,
            tried_at: None,
            #[cfg(feature = "faults")]
            faults: std::sync::OnceLock::new(),
        }
    }

    /// Runs one statement about the transaction itself.
    pub fn control(&self, sql: &str) -> Result<()> {
        self.prepare(sql)?.raw_execute().map(|_| ()).map_err(failed)
    }

    pub fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<usize> {
        let mut statement = self.prepare(sql)?;
        self.orders.bind(sql, &mut statement, values)?;
        statement.raw_execute().map_err(failed)
    }

    pub fn rows<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        only_first: bool,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.prepare(sql)?;
        self.orders.bind(sql, &mut statement, values)?;
        let mut rows = statement.raw_query();
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            out.push(read(&Columns::new(Row::Sqlite(row)))?);
            if only_first {
                break;
            }
        }
        Ok(out)
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
        #[cfg(feature = "faults")]
        self.suffer(sql)?;
        self.connection.prepare_cached(sql).map_err(failed)
    }

    /// Fails where a test wants it to.
    #[cfg(feature = "faults")]
    fn suffer(&self, sql: &str) -> Result<()> {
        use super::Fault::{Lose, LoseAnswer, Refuse};
        let ahead = match self.faults.get().and_then(|faults| faults.next(sql)) {
            None => return Ok(()),
            Some(Refuse) => "",
            Some(Lose) => "ROLLBACK",
            Some(LoseAnswer) => "COMMIT",
        };
        self.connection.execute_batch(ahead).map_err(failed)?;
        Err(Error::unavailable("sqlite: a fault"))
    }

    /// Whether SQLite has given the whole transaction up by itself, as it does when the disk is full.
    fn is_lost(&self) -> bool {
        self.connection.is_autocommit()
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
}

/// Opens the store in a `folder`, making it at first, and brings its schema up to date: its threads.
pub(super) fn open(
    folder: &Path,
    lanes: &Lanes,
    epochs: &Arc<Epochs>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let file = folder.join("coffer.db");
    let opened = connect(&file)
        .and_then(|connection| migrate(&connection, MIGRATIONS.len()).map(|()| connection));
    let connection = opened.map_err(|error| told(&file, error))?;
    let mut writer = Sqlite::new(connection);
    // A crash may have kept the log from being emptied of what was erased for ever.
    writer.log_holds_erased = true;
    writer.forget_erased();
    if file.metadata()?.len() <= CHECKED_FIRST {
        check(&file).map_err(|error| told(&file, error))?;
    } else {
        let file = file.clone();
        // Not waited for: it only reads, and tells the operator.
        start("store-checker", move || {
            if let Err(error) = check(&file).map_err(|error| told(&file, error)) {
                tracing::error!("{error:#}");
            }
        })?;
    }
    #[cfg(feature = "faults")]
    let _ = writer.faults.set(epochs.faults.clone());
    let jobs = lanes.writer.waiting.clone();
    let writer = Tx::new(super::session::Session::Sqlite(writer), 0, epochs.clone());
    let mut threads = vec![start("store-writer", move || run_writer(writer, &jobs))?];
    for lane in [&lanes.readers, &lanes.searcher] {
        for _ in 0..lane.threads {
            threads.push(start_reader(&file, lane.waiting.clone(), epochs.clone())?);
        }
    }
    Ok(threads)
}

/// Looks through all pages of the file.
fn check(file: &Path) -> anyhow::Result<()> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    anyhow::ensure!(found == "ok", damaged(file, &found));
    Ok(())
}

/// An error of the file, in words that help where it is damaged.
fn told(file: &Path, error: anyhow::Error) -> anyhow::Error {
    let code = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            anyhow::anyhow!(damaged(file, &error.to_string()))
        }
        _ => error,
    }
}

fn damaged(file: &Path, found: &str) -> String {
    let file = file.display();
    format!(
        "{file} is damaged: {found}. Keep it as it is, and restore a backup into another folder"
    )
}

/// The file of a transaction of this store.
fn file(tx: &mut Tx) -> Result<&mut Sqlite> {
    tx.sqlite().ok_or_else(|| Error::bug("a transaction of another store"))
}

/// Takes what waits, runs it, commits once, answers.
fn run_writer(mut tx: Tx, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(BATCH_MAX - 1));
        let stop = batch.iter().any(|job| matches!(job, Job::Stop));
        let ended = write_batch(&mut tx, &mut batch);
        if ended.is_err() {
            // Fails when SQLite has rolled back by itself, and then there is nothing to undo.
            let _ = file(&mut tx).and_then(|file| file.control("ROLLBACK"));
        }
        tx.finish(ended.is_ok());
        if ended.is_ok() {
            tx.figures().committed(batch.len());
        }
        if let Ok(file) = file(&mut tx) {
            file.forget_erased();
        }
        for job in batch {
            job.answer(ended.clone());
        }
        if stop {
            return;
        }
    }
}

fn write_batch(tx: &mut Tx, batch: &mut [Job]) -> Result<()> {
    file(tx)?.control("BEGIN IMMEDIATE")?;
    for job in batch {
        let operation = match job {
            Job::Run(operation) => operation,
            Job::Append(events, _) => {
                tx.append_events(std::mem::take(events));
                tx.leave(true);
                continue;
            }
            Job::Stop => continue,
        };
        file(tx)?.control("SAVEPOINT operation")?;
        let keep = operation.run(tx);
        // INVARIANT: nothing runs outside a transaction. A full disk can end it under our feet.
        if file(tx)?.is_lost() {
            return Err(Error::unavailable("the database gave the transaction up"));
        }
        if keep == Keep::No {
            file(tx)?.control("ROLLBACK TO operation")?;
        }
        tx.leave(keep == Keep::Yes);
        file(tx)?.control("RELEASE operation")?;
    }
    drive(tx.commit())
}

fn run_reader(mut connection: Connection, jobs: &Receiver<Job>, epochs: Arc<Epochs>) {
    let started = std::time::Instant::now();
    let millis = move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let deadline = Arc::new(AtomicU64::new(u64::MAX));
    let bound = deadline.clone();
    // Asked every ten thousand steps of SQLite; `true` interrupts, which is told as unavailable.
    let overdue = move || millis() > bound.load(Ordering::Relaxed);
    if connection.progress_handler(10_000, Some(overdue)).is_err() {
        return;
    }
    let mut tx = Tx::new(super::session::Session::Sqlite(Sqlite::new(connection)), 0, epochs);
    let mut is_last = false;
    while !is_last {
        // Whoever waits reads in one transaction: SQLite forgets all pages at the beginning of each when anything has
        // been written since the one before.
        // INVARIANT: gathered before it begins, so that nobody sees less than there was when it asked.
        let (waiting, stop) = gather(jobs);
        is_last = stop;
        let begun = file(&mut tx).and_then(|file| file.control("BEGIN"));
        for mut operation in waiting {
            if begun.is_ok() {
                deadline.store(millis() + READ_MILLIS_MAX, Ordering::Relaxed);
                operation.run(&mut tx);
                deadline.store(u64::MAX, Ordering::Relaxed);
            }
            operation.answer(begun.clone());
        }
        if file(&mut tx).and_then(|file| file.control("COMMIT")).is_err() {
            let _ = file(&mut tx).and_then(|file| file.control("ROLLBACK"));
        }
    }
}

/// Waits for a read, and takes what waits beside it; says whether the thread is to stop.
fn gather(jobs: &Receiver<Job>) -> (Vec<Box<dyn Run>>, bool) {
    let mut waiting = Vec::new();
    let mut next = jobs.recv().ok();
    while let Some(Job::Run(operation)) = next {
        waiting.push(operation);
        if waiting.len() == READS_AT_ONCE {
            return (waiting, false);
        }
        match jobs.try_recv() {
            Ok(job) => next = Some(job),
            Err(_) => return (waiting, false),
        }
    }
    (waiting, true)
}

fn start_reader(
    file: &Path,
    jobs: Receiver<Job>,
    epochs: Arc<Epochs>,
) -> anyhow::Result<JoinHandle<()>> {
    let connection = connect(file)?;
    connection.pragma_update(None, "query_only", true)?;
    start("store-reader", move || run_reader(connection, &jobs, epochs))
}

/// One connection, set up as the promises need it.
pub(super) fn connect(file: &Path) -> anyhow::Result<Connection> {
    // Made before SQLite sees it, so that it never exists with other rights.
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file)?;
    let rights = file.metadata()?.permissions().mode();
    anyhow::ensure!(rights & 0o077 == 0, "{} can be read by others; chmod 600 it", file.display());
    let connection = Connection::open(file)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Erased ciphertext is overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Brings the schema up to the version `wanted`.
pub(super) fn migrate(connection: &Connection, wanted: usize) -> anyhow::Result<()> {
    let have = schema_version(connection)?;
    anyhow::ensure!(
        have <= wanted,
        "the store has schema {have}, this cofferd knows {wanted}; use a newer cofferd"
    );
    for (at, migration) in MIGRATIONS.iter().enumerate().take(wanted).skip(have) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute_batch(migration)?;
        connection.execute_batch(&format!("PRAGMA user_version = {}", at + 1))?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// How many migrations have run.
pub(super) fn schema_version(connection: &Connection) -> anyhow::Result<usize> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(version)?)
}

/// SQLite numbers `$n` by first appearance; the name decides here. Which value each parameter takes, by the address of
/// the statement's text, which is that of a constant.
#[derive(Default)]
struct Orders(RefCell<HashMap<usize, Arc<[usize]>>>);

impl Orders {
    fn bind(
        &self,
        sql: &'static str,
        statement: &mut CachedStatement<'_>,
        values: &[Value<'_>],
    ) -> Result<()> {
        let known = self.0.borrow().get(&sql.as_ptr().addr()).cloned();
        let order = match known {
            Some(order) => order,
            None => {
                let order: Arc<[usize]> = order_of(statement)?.into();
                self.0.borrow_mut().insert(sql.as_ptr().addr(), order.clone());
                order
            }
        };
        for (index, place) in (1..).zip(order.iter()) {
            let value = values.get(*place).ok_or_else(without_value)?;
            // PostgreSQL keeps no such text, and what one store takes the other must take.
            if matches!(value, Value::Text(text) if text.contains('\0')) {
                return Err(holds_nul());
            }
            statement.raw_bind_parameter(index, value).map_err(failed)?;
        }
        Ok(())
    }
}

fn order_of(statement: &CachedStatement<'_>) -> Result<Vec<usize>> {
    let number = |index| statement.parameter_name(index)?.get(1..)?.parse::<usize>().ok();
    (1..=statement.parameter_count())
        .map(|index| {
            number(index).and_then(|number| number.checked_sub(1)).ok_or_else(without_value)
        })
        .collect()
}

fn without_value() -> Error {
    Error::bug("a statement has a parameter without a value")
}

/// What a failure of the database means to a caller. SQL text and parameters stay out of it.
#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn failed(error: rusqlite::Error) -> Error {
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
