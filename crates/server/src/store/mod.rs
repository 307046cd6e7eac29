//! Rows: opens the store, runs transactions. All SQL stands in `sql.rs`, its rows in the noun's file.
//!
//! An operation is a closure over a transaction, which runs on a thread of the store: of the embedded one
//! (`sqlite.rs`) or of one in front of a PostgreSQL server (`postgres.rs`). `session.rs` tells them apart.

mod administrators;
mod audit;
mod chain;
mod changes;
mod checkpoints;
mod elevations;
#[cfg(feature = "faults")]
mod faults;
mod federation;
mod idempotency;
mod identity;
mod invites;
mod kms;
mod metering;
mod policies;
mod postgres;
mod postgres_server;
mod postgres_threads;
mod projects;
mod quotas;
mod roles;
mod root_keys;
mod secrets;
mod service_accounts;
mod session;
pub mod sinks;
pub mod sql;
mod sqlite;
mod tables;
mod tables_postgres;
mod teams;
mod tokens;
mod tx;

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;

pub use administrators::RegionSwitch;
pub use changes::{Changes, Moment};
pub use checkpoints::NewCheckpoint;
#[cfg(feature = "faults")]
pub use faults::{Fault, Faults};
pub use idempotency::KeptAnswer;
pub use kms::{DueKey, NewKey};
pub use metering::MeteredVersions;
pub use policies::NewPolicyBinding;
pub use roles::{NewBinding, NewRole};
pub use root_keys::VersionPlace;
pub use secrets::{FoundValue, FoundVersion, NewSecret};
pub use service_accounts::CredentialHolder;
pub use session::Value;
pub use tables::{Check, Filling, Loading, SCHEMA_VERSION, Snapshot, Table, empty_log};
pub use tables_postgres::NewDatabase;
pub use tokens::{NewToken, TokenHolder};
pub use tx::{Note, Tx};

use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::metrics::StoreFigures;
use crate::model::chain::Chaining;
use crate::model::event::Event;
use crate::traces;

/// Operations that may wait before callers are told to come back later.
const QUEUE_MAX: usize = 4096;
/// Operations, or calls' records, that one commit may carry.
const BATCH_MAX: usize = 256;
/// Threads that commit records alone, on a PostgreSQL server: one gathers while the other waits.
const RECORDERS: usize = 2;

/// Each file of `migrations/`, in order. The schema's version is how many have run.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_foundation.sql"),
    include_str!("../../migrations/0002_kms.sql"),
    include_str!("../../migrations/0003_iam.sql"),
    include_str!("../../migrations/0004_projects.sql"),
    include_str!("../../migrations/0005_federation.sql"),
    include_str!("../../migrations/0006_platform.sql"),
    include_str!("../../migrations/0007_idempotency.sql"),
    include_str!("../../migrations/0008_changes.sql"),
    include_str!("../../migrations/0009_quota_counts.sql"),
    include_str!("../../migrations/0010_last_accesses.sql"),
    include_str!("../../migrations/0011_audit_chain.sql"),
    include_str!("../../migrations/0012_metering.sql"),
    include_str!("../../migrations/0013_audit_sinks.sql"),
];

/// The store. Clones share it; it closes when [`Store::close`] is called.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    lanes: Lanes,
    closed: AtomicBool,
    /// No thread is left to answer anybody.
    drained: AtomicBool,
    epochs: Arc<Epochs>,
    threads: std::sync::Mutex<Vec<JoinHandle<()>>>,
    /// With other servers on the same store: when their changes were last looked for.
    heard: Option<Arc<postgres_threads::Heard>>,
    /// Keeps a second server away from the same folder.
    _lock: File,
}

/// What threads tell each other, and the rest of the server, of what has changed.
struct Epochs {
    /// Grows with each commit that changed who may do what.
    identities: AtomicU64,
    /// Grows when a key has ceased to be active on another server.
    keys: AtomicU64,
    rows: Changes,
    chain_key: chain::ChainKey,
    figures: StoreFigures,
    #[cfg(feature = "faults")]
    faults: Arc<Faults>,
}

impl Epochs {
    fn new(is_shared: bool) -> Arc<Self> {
        let (identities, keys) = (AtomicU64::new(1), AtomicU64::new(1));
        Arc::new(Self {
            identities,
            keys,
            rows: Changes::new(is_shared),
            chain_key: chain::ChainKey::new(),
            figures: StoreFigures::default(),
            #[cfg(feature = "faults")]
            faults: Arc::default(),
        })
    }
}

/// What waits for threads, by what it needs of them.
struct Lanes {
    writer: Lane,
    /// Of records alone; the embedded store's one writing thread takes them along.
    recorder: Lane,
    readers: Lane,
    searcher: Lane,
    /// Told nothing but to stop.
    listener: Lane,
}

impl Lanes {
    fn new(writer: Lane, recorder: Lane, readers: usize) -> Self {
        let readers = Lane::new("reads", readers);
        let (searcher, listener) = (Lane::new("searches", 1), Lane::new("", 1));
        Self { writer, recorder, readers, searcher, listener }
    }

    fn embedded(readers: usize) -> Self {
        let writer = Lane::new("changes", 1);
        let recorder = Lane { threads: 0, name: "records", ..writer.clone() };
        Self::new(writer, recorder, readers)
    }

    fn connected(connections: usize) -> Self {
        let recorder = Lane::new("records", RECORDERS);
        Self::new(Lane::new("changes", connections), recorder, connections)
    }

    fn all(&self) -> [&Lane; 5] {
        [&self.writer, &self.recorder, &self.readers, &self.searcher, &self.listener]
    }
}

/// A queue and how many threads of its own work on it.
#[derive(Clone)]
struct Lane {
    /// What waits in it.
    name: &'static str,
    queue: Sender<Job>,
    waiting: Receiver<Job>,
    threads: usize,
}

impl Lane {
    fn new(name: &'static str, threads: usize) -> Self {
        let (queue, waiting) = bounded(QUEUE_MAX);
        Self { name, queue, waiting, threads }
    }

    /// Answers what nobody will run any more.
    fn refuse_waiting(&self) {
        for late in self.waiting.try_iter() {
            late.answer(Err(closed()));
        }
    }
}

/// What waits for a thread of the store.
enum Job {
    Run(Box<dyn Run>),
    /// Records of calls that have changed nothing else.
    Append(Vec<Event>, oneshot::Sender<Result<()>>),
    /// The last job of a thread.
    Stop,
}

impl Job {
    /// Tells the caller, once the transaction's end is known.
    fn answer(self, ended: Result<()>) {
        match self {
            Self::Run(operation) => operation.answer(ended),
            Self::Append(_, reply) => drop(reply.send(ended)),
            Self::Stop => {}
        }
    }
}

/// An operation that waits for a thread of the store.
trait Run: Send {
    /// Runs inside a transaction; says whether its changes are to be kept.
    fn run(&mut self, tx: &mut Tx) -> Keep;
    /// Tells the caller, once the transaction's end is known.
    fn answer(self: Box<Self>, ended: Result<()>);
}

/// What a database is opened for. One that a restore has not finished is its alone.
#[derive(Clone, Copy)]
enum Work {
    Serving,
    Restoring,
}

#[derive(PartialEq)]
enum Keep {
    Yes,
    No,
}

impl Store {
    /// Opens the embedded store in a `folder` that is locked, making it at first, and brings its schema up to date.
    pub fn open(folder: &Path, lock: File) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 16));
        let (lanes, epochs) = (Lanes::embedded(cores), Epochs::new(false));
        let threads = sqlite::open(folder, &lanes, &epochs)?;
        Ok(Self::of(lanes, epochs, threads, None, lock))
    }

    /// Opens the store on a PostgreSQL server, and brings its schema up to date.
    pub fn connect(settings: &StoreConfig, folder: &Path, lock: File) -> anyhow::Result<Self> {
        Self::connect_for(Work::Serving, settings, folder, lock)
    }

    /// As [`Store::connect`], for the restore that has filled the database and has not finished it yet.
    pub fn connect_unfinished(
        settings: &StoreConfig,
        folder: &Path,
        lock: File,
    ) -> anyhow::Result<Self> {
        Self::connect_for(Work::Restoring, settings, folder, lock)
    }

    fn connect_for(
        work: Work,
        settings: &StoreConfig,
        folder: &Path,
        lock: File,
    ) -> anyhow::Result<Self> {
        let server = postgres_server::Server::new(settings, folder)?;
        let lanes = Lanes::connected(settings.connections);
        let (epochs, heard) = (Epochs::new(true), postgres_threads::Heard::new());
        let threads = postgres_threads::open(server, &lanes, &epochs, &heard, work)?;
        Ok(Self::of(lanes, epochs, threads, Some(heard), lock))
    }

    fn of(
        lanes: Lanes,
        epochs: Arc<Epochs>,
        threads: Vec<JoinHandle<()>>,
        heard: Option<Arc<postgres_threads::Heard>>,
        lock: File,
    ) -> Self {
        let inner = Inner {
            lanes,
            closed: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            epochs,
            threads: std::sync::Mutex::new(threads),
            heard,
            _lock: lock,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Gives the key that links records. Before that there are none.
    pub fn chain_with(&self, key: Arc<dyn Chaining>) {
        // A second one is the same: a store has one and never changes it.
        let _ = self.inner.epochs.chain_key.set(key);
    }

    /// Runs `operation` in a writing transaction of `organisation` and answers once it is durable.
    /// An error undoes what the operation wrote. The closure may run again, so it owns what it needs.
    pub async fn write<T, F>(&self, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        self.submit(&self.inner.lanes.writer, organisation, operation).await
    }

    /// Runs `operation` in a reading transaction of `organisation`: all it sees is of one instant.
    pub async fn read<T, F>(&self, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        self.submit(&self.inner.lanes.readers, organisation, operation).await
    }

    /// As [`Store::read`], for what may look at many rows: it has a thread of its own, so that no search
    /// keeps a reveal waiting.
    pub async fn search<T, F>(&self, organisation: &str, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFn(&mut Tx) -> Result<T> + Send + 'static,
    {
        self.submit(&self.inner.lanes.searcher, organisation, operation).await
    }

    /// Appends records to the audit log and answers once they are durable, in a commit shared with whoever else waits.
    pub async fn append(&self, events: Vec<Event>) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.wait_in(&self.inner.lanes.recorder, Job::Append(events, reply), answer).await
    }

    /// A number that differs from an earlier one when who may do what has changed in between.
    /// It differs always while other servers' changes are not heard of: what is remembered counts for nothing then.
    pub fn identity_epoch(&self) -> u64 {
        match self.inner.heard.as_ref().is_some_and(|heard| heard.is_long_ago()) {
            true => self.inner.epochs.identities.fetch_add(1, Ordering::SeqCst) + 1,
            false => self.inner.epochs.identities.load(Ordering::SeqCst),
        }
    }

    /// A number that differs from an earlier one when a key has ceased to be active on another server in between.
    pub fn keys_epoch(&self) -> u64 {
        self.inner.epochs.keys.load(Ordering::SeqCst)
    }

    /// What it counts.
    pub fn figures(&self) -> &StoreFigures {
        &self.inner.epochs.figures
    }

    /// How much waits for the threads, by what it waits for.
    pub fn waiting(&self) -> Vec<(&'static str, usize)> {
        let lanes = &self.inner.lanes;
        let all = [&lanes.writer, &lanes.recorder, &lanes.readers, &lanes.searcher];
        // The embedded store's one writing thread takes the records along.
        let own = all.into_iter().filter(|lane| lane.threads > 0);
        own.map(|lane| (lane.name, lane.waiting.len())).collect()
    }

    /// Which rows still hold that were read before.
    pub fn changes(&self) -> &Changes {
        &self.inner.epochs.rows
    }

    /// Where a test says what is to fail.
    #[cfg(feature = "faults")]
    pub fn faults(&self) -> &Faults {
        &self.inner.epochs.faults
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
        let lanes = self.inner.lanes.all();
        for lane in lanes {
            for _ in 0..lane.threads {
                // A thread that is gone already has nothing left to stop.
                let _ = lane.queue.send(Job::Stop);
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
        let (reply, answer) = oneshot::channel();
        let organisation = organisation.to_owned();
        let outcome = Err(Error::unavailable("the operation did not run"));
        let job = Operation { organisation, operation, outcome, reply };
        self.wait_in(lane, Job::Run(Box::new(job)), answer).await
    }

    /// Puts a job into a lane and waits for what is answered.
    async fn wait_in<T>(
        &self,
        lane: &Lane,
        job: Job,
        answer: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        let full = |_| Error::unavailable("the store's queue is full");
        lane.queue.try_send(job).map_err(full)?;
        // Closed in between: whoever comes last clears the lane, so that nobody waits for a thread that is gone.
        if self.inner.drained.load(Ordering::SeqCst) {
            lane.refuse_waiting();
        }
        traces::wait(lane.name, answer).await.unwrap_or_else(|_| Err(closed()))
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
impl<T, F> Run for Operation<T, F>
where
    T: Send,
    F: AsyncFn(&mut Tx) -> Result<T> + Send,
{
    fn run(&mut self, tx: &mut Tx) -> Keep {
        tx.enter(&self.organisation);
        // A bug in one operation must not take the thread, and with it every other operation, along.
        let runtime = tx.postgres().map(|server| server.runtime.clone());
        let run = || match runtime {
            None => drive((self.operation)(tx)),
            Some(runtime) => runtime.block_on((self.operation)(tx)),
        };
        self.outcome = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(Error::bug("an operation panicked")));
        if self.outcome.is_ok() { Keep::Yes } else { Keep::No }
    }

    fn answer(self: Box<Self>, ended: Result<()>) {
        // Whoever has stopped waiting misses the answer; the change stands as committed.
        let _ = self.reply.send(ended.and(self.outcome));
    }
}

/// Drives a future that never waits to its end.
fn drive<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(Error::bug("an operation waited for something else than the store")),
    }
}

#[expect(clippy::disallowed_methods, reason = "the store has threads of its own")]
fn start(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(run)?)
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
