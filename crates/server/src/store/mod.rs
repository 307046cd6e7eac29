//! Rows: opens the store, runs transactions. All SQL stands in `sql.rs`, its rows in the noun's file.
//!
//! The embedded store has one writing thread, which takes all that waits, runs each operation in a
//! savepoint of its own and commits once for all (group commit), and one reading thread per core.

mod administrators;
mod audit;
mod elevations;
mod federation;
mod idempotency;
mod identity;
mod invites;
mod kms;
mod policies;
mod projects;
mod quotas;
mod roles;
mod root_keys;
mod secrets;
mod service_accounts;
pub mod sql;
mod tables;
mod teams;
mod tokens;
mod tx;

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::oneshot;

pub use administrators::RegionSwitch;
pub use idempotency::KeptAnswer;
pub use kms::{DueKey, NewKey};
pub use policies::NewPolicyBinding;
pub use roles::{NewBinding, NewRole};
pub use root_keys::VersionPlace;
pub use secrets::{FoundValue, FoundVersion, NewSecret};
pub use service_accounts::CredentialHolder;
pub use tables::{Filling, Loading, SCHEMA_VERSION, Snapshot, Table};
pub use tokens::{NewToken, TokenHolder};
pub use tx::{Note, Tx, Value};

use crate::error::{Error, Result};

/// Operations that one commit may carry.
const BATCH_MAX: usize = 256;
/// Milliseconds that a reading operation may take.
const READ_MILLIS_MAX: u64 = 10_000;
/// Operations that may wait before callers are told to come back later.
const QUEUE_MAX: usize = 4096;

/// Each file of `migrations/`, in order. The schema's version is how many have run.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_foundation.sql"),
    include_str!("../../migrations/0002_kms.sql"),
    include_str!("../../migrations/0003_iam.sql"),
    include_str!("../../migrations/0004_projects.sql"),
    include_str!("../../migrations/0005_federation.sql"),
    include_str!("../../migrations/0006_platform.sql"),
    include_str!("../../migrations/0007_idempotency.sql"),
];

/// The embedded store. Clones share it; it closes when [`Store::close`] is called.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Lane,
    readers: Lane,
    searcher: Lane,
    closed: AtomicBool,
    /// No thread is left to answer anybody.
    drained: AtomicBool,
    /// Grows with each commit that changed who may do what.
    identity_epoch: Arc<AtomicU64>,
    threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
    /// Keeps a second server away from the same folder.
    _lock: File,
}

/// A queue and how many threads work on it.
struct Lane {
    queue: Sender<Box<dyn Job>>,
    waiting: Receiver<Box<dyn Job>>,
    threads: usize,
}

impl Lane {
    fn new(threads: usize) -> Self {
        let (queue, waiting) = bounded(QUEUE_MAX);
        Self { queue, waiting, threads }
    }

    /// Answers what nobody will run any more.
    fn refuse_waiting(&self) {
        for late in self.waiting.try_iter() {
            late.answer(Err(closed()));
        }
    }
}

/// An operation that waits for a thread of the store.
trait Job: Send {
    /// Runs inside a transaction; says whether its changes are to be kept.
    fn run(&mut self, tx: &mut Tx) -> Keep;
    /// Tells the caller, once the transaction's end is known.
    fn answer(self: Box<Self>, ended: Result<()>);
    /// Whether the thread is to stop after this one.
    fn is_last(&self) -> bool {
        false
    }
}

#[derive(PartialEq)]
enum Keep {
    Yes,
    No,
}

impl Store {
    /// Opens the store in a `folder` that is locked, making it at first, and brings its schema up to date.
    pub fn open(folder: &Path, lock: File) -> anyhow::Result<Self> {
        let file = folder.join("coffer.db");
        let identity_epoch = Arc::new(AtomicU64::new(1));
        let connection = connect(&file)?;
        migrate(&connection, MIGRATIONS.len())?;
        let mut writer = Tx::new(connection, identity_epoch.clone());
        // A crash may have kept the log from being emptied of what was erased for ever.
        writer.erased_for_ever();
        writer.forget_erased();
        let cores =
            std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 16));
        let (writing, readers, searcher) = (Lane::new(1), Lane::new(cores), Lane::new(1));
        let (epoch, writes) = (identity_epoch.clone(), writing.waiting.clone());
        let mut threads = vec![start("store-writer", move || run_writer(writer, &writes, &epoch))?];
        for lane in [&readers, &searcher] {
            for _ in 0..lane.threads {
                threads.push(start_reader(&file, lane.waiting.clone(), identity_epoch.clone())?);
            }
        }
        let threads = std::sync::Mutex::new(threads);
        let inner = Inner {
            writer: writing,
            readers,
            searcher,
            closed: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            identity_epoch,
            threads,
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `operation` in a writing transaction of `organisation` and answers once it is durable.
    /// An error undoes what the operation wrote. The closure may run again, so it owns what it needs.
    pub async fn write<T, F>(&self, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        self.submit(&self.inner.writer, organisation, operation).await
    }

    /// Runs `operation` in a reading transaction of `organisation`: all it sees is of one instant.
    pub async fn read<T, F>(&self, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        self.submit(&self.inner.readers, organisation, operation).await
    }

    /// As [`Store::read`], for what may look at many rows: it has a thread of its own, so that no search
    /// keeps a reveal waiting.
    pub async fn search<T, F>(&self, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        self.submit(&self.inner.searcher, organisation, operation).await
    }

    /// A number that differs from an earlier one when who may do what has changed in between.
    pub fn identity_epoch(&self) -> u64 {
        self.inner.identity_epoch.load(Ordering::SeqCst)
    }

    /// Finishes what waits, stops the threads and closes the files.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        let threads: Vec<_> = match self.inner.threads.lock() {
            Ok(mut threads) => threads.drain(..).collect(),
            Err(_) => return,
        };
        if threads.is_empty() {
            return;
        }
        let lanes = [&self.inner.writer, &self.inner.readers, &self.inner.searcher];
        for lane in lanes {
            for _ in 0..lane.threads {
                // A thread that is gone already has nothing left to stop.
                let _ = lane.queue.send(Box::new(Stop));
            }
        }
        for thread in threads {
            let _ = thread.join();
        }
        self.inner.drained.store(true, Ordering::SeqCst);
        lanes.iter().for_each(|lane| lane.refuse_waiting());
    }

    /// Puts an operation into a lane and waits for its answer.
    async fn submit<T, F>(&self, lane: &Lane, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        let (reply, answer) = oneshot::channel();
        let organisation = organisation.to_owned();
        let outcome = Err(Error::unavailable("the operation did not run"));
        let job = Operation { organisation, operation, outcome, reply };
        let full = |_| Error::unavailable("the store's queue is full");
        lane.queue.try_send(Box::new(job)).map_err(full)?;
        // Closed in between: whoever comes last clears the lane, so that nobody waits for a thread that is gone.
        if self.inner.drained.load(Ordering::SeqCst) {
            lane.refuse_waiting();
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> Error {
    Error::unavailable("the store is closed")
}

struct Operation<T, F> {
    organisation: String,
    operation: F,
    outcome: Result<T>,
    reply: oneshot::Sender<Result<T>>,
}

#[expect(clippy::disallowed_methods, reason = "this is where an operation gets its organisation")]
impl<T, F> Job for Operation<T, F>
where
    T: Send,
    F: AsyncFn(&mut Tx) -> Result<T> + Send,
{
    fn run(&mut self, tx: &mut Tx) -> Keep {
        tx.enter(&self.organisation);
        // A bug in one operation must not take the thread, and with it every other operation, along.
        self.outcome = catch_unwind(AssertUnwindSafe(|| drive((self.operation)(tx))))
            .unwrap_or_else(|_| Err(Error::bug("an operation panicked")));
        if self.outcome.is_ok() { Keep::Yes } else { Keep::No }
    }

    fn answer(self: Box<Self>, ended: Result<()>) {
        // Whoever has stopped waiting misses the answer; the change stands as committed.
        let _ = self.reply.send(ended.and(self.outcome));
    }
}

/// The last job of a thread.
struct Stop;

impl Job for Stop {
    fn run(&mut self, _: &mut Tx) -> Keep {
        Keep::No
    }

    fn answer(self: Box<Self>, _: Result<()>) {}

    fn is_last(&self) -> bool {
        true
    }
}

/// Drives a future that never waits to its end.
fn drive<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(Error::bug("an operation waited for something else than the store")),
    }
}

/// Takes what waits, runs it, commits once, answers.
fn run_writer(mut tx: Tx, jobs: &Receiver<Box<dyn Job>>, identity_epoch: &AtomicU64) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(BATCH_MAX - 1));
        let stop = batch.iter().any(|job| job.is_last());
        let ended = write_batch(&mut tx, &mut batch);
        if ended.is_err() {
            // Fails when SQLite has rolled back by itself, and then there is nothing to undo.
            let _ = tx.control("ROLLBACK");
        }
        if tx.take_identities_changed() {
            identity_epoch.fetch_add(1, Ordering::SeqCst);
        }
        tx.finish(ended.is_ok());
        tx.forget_erased();
        for job in batch {
            job.answer(ended.clone());
        }
        if stop {
            return;
        }
    }
}

fn write_batch(tx: &mut Tx, batch: &mut [Box<dyn Job>]) -> Result<()> {
    tx.control("BEGIN IMMEDIATE")?;
    for job in batch {
        tx.control("SAVEPOINT operation")?;
        let keep = job.run(tx);
        // INVARIANT: nothing runs outside a transaction. A full disk can end it under our feet.
        if tx.is_lost() {
            return Err(Error::unavailable("the database gave the transaction up"));
        }
        if keep == Keep::No {
            tx.control("ROLLBACK TO operation")?;
        }
        tx.leave(keep == Keep::Yes);
        tx.control("RELEASE operation")?;
    }
    tx.control("COMMIT")
}

fn run_reader(mut connection: Connection, jobs: &Receiver<Box<dyn Job>>, epoch: Arc<AtomicU64>) {
    let started = std::time::Instant::now();
    let millis = move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let deadline = Arc::new(AtomicU64::new(u64::MAX));
    let bound = deadline.clone();
    // Asked every ten thousand steps of SQLite; `true` interrupts, which is told as unavailable.
    let overdue = move || millis() > bound.load(Ordering::Relaxed);
    if connection.progress_handler(10_000, Some(overdue)).is_err() {
        return;
    }
    let mut tx = Tx::new(connection, epoch);
    while let Ok(mut job) = jobs.recv() {
        let stop = job.is_last();
        deadline.store(millis() + READ_MILLIS_MAX, Ordering::Relaxed);
        let ended = tx.control("BEGIN").and_then(|()| {
            job.run(&mut tx);
            tx.control("COMMIT")
        });
        deadline.store(u64::MAX, Ordering::Relaxed);
        if ended.is_err() {
            let _ = tx.control("ROLLBACK");
        }
        job.answer(ended);
        if stop {
            return;
        }
    }
}

fn start_reader(
    file: &Path,
    jobs: Receiver<Box<dyn Job>>,
    epoch: Arc<AtomicU64>,
) -> anyhow::Result<JoinHandle<()>> {
    let connection = connect(file)?;
    connection.pragma_update(None, "query_only", true)?;
    start("store-reader", move || run_reader(connection, &jobs, epoch))
}

#[expect(clippy::disallowed_methods, reason = "the store has threads of its own")]
fn start(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(run)?)
}

/// One connection, set up as the promises need it.
fn connect(file: &Path) -> anyhow::Result<Connection> {
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
    connection.busy_timeout(tx::BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Takes a data folder for this process alone.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = folder.join("lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(file)?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!("{} is in use by another cofferd; stop it first", folder.display())
    })?;
    Ok(file)
}

/// Brings the schema up to the version `wanted`.
fn migrate(connection: &Connection, wanted: usize) -> anyhow::Result<()> {
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
fn schema_version(connection: &Connection) -> anyhow::Result<usize> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(version)?)
}
