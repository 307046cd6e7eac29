//! Threads in front of a PostgreSQL server. Each has a connection of its own and runs one operation at a time, in a
//! serializable transaction that is run again when another one got in its way. One more listens for what other
//! servers on the same store have changed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::postgres::{Postgres, not_connected};
use super::postgres_server::Server;
use super::session::{Session, Value};
use super::tables_postgres::UNFINISHED;
use super::{BATCH_MAX, Epochs, Job, Keep, Lanes, MIGRATIONS, Run, Tx, Work, sql, start};
use crate::error::{Error, Result};
use crate::model::event::Event;

/// How long a transaction is run again and again before its caller is told that the store is too busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait between two tries, in microseconds, grows by this with each.
const STEP: u64 = 2000;
const STEPS_MAX: u64 = 25;
/// Tries after which a transaction is run while no other one of this server is.
const TRIES_BESIDE_OTHERS: u64 = 8;
/// How often other servers' changes are looked for.
const LISTEN: Duration = Duration::from_millis(200);
/// Nobody who has not heard for so long trusts what it remembers.
const DEAF: Duration = Duration::from_secs(1);
/// Slots of quotas that writers count in.
const SLOTS: i64 = 256;

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
    epochs: &Arc<Epochs>,
    heard: &Arc<Heard>,
    work: Work,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let server = Arc::new(server);
    // On a thread of its own: whoever opens a store may be within a runtime already.
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut first = Postgres::new(server.clone())?;
            first.runtime.clone().block_on(migrate(&mut first, work)).map(|()| first)
        });
        first.join().map_err(|_| anyhow::anyhow!("bringing the schema up to date has panicked"))?
    })?;
    let mut threads = Vec::new();
    let turns = Arc::new(RwLock::new(()));
    // Servers that started at once count in other slots, most likely; else they wait for each other a little.
    let first_slot = i64::from(u8::from_be_bytes(coffer_crypto::random::array()?));
    for (lane, purpose) in [
        (&lanes.writer, Purpose::Writing),
        (&lanes.recorder, Purpose::Writing),
        (&lanes.readers, Purpose::Reading),
        (&lanes.searcher, Purpose::Reading),
    ] {
        for (slot, _) in (first_slot..).zip(0..lane.threads) {
            let (server, jobs, epochs) = (server.clone(), lane.waiting.clone(), epochs.clone());
            let turns = turns.clone();
            let run = move || serve(server, purpose, slot % SLOTS, &jobs, (&epochs, &turns));
            threads.push(start("store-postgres", run)?);
        }
    }
    let (jobs, epochs, heard) = (lanes.listener.waiting.clone(), epochs.clone(), heard.clone());
    heard.all_until(Instant::now());
    threads.push(start("store-listener", move || listen(first, &jobs, &epochs, &heard))?);
    Ok(threads)
}

/// Runs what waits, one operation after another, on a connection of its own.
fn serve(
    server: Arc<Server>,
    purpose: Purpose,
    slot: i64,
    jobs: &Receiver<Job>,
    (epochs, turns): (&Arc<Epochs>, &RwLock<()>),
) {
    let session = match Postgres::new(server) {
        Ok(session) => {
            #[cfg(feature = "faults")]
            if purpose == Purpose::Writing {
                let _ = session.faults.set(epochs.faults.clone());
            }
            Session::Postgres(Box::new(session))
        }
        Err(error) => return tracing::error!("no thread for the store: {error}"),
    };
    let mut tx = Tx::new(session, slot, epochs.clone());
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Run(mut operation) => {
                let ended = transact(&mut tx, &mut *operation, purpose, turns);
                operation.answer(ended);
            }
            Job::Append(events, reply) => {
                if record(&mut tx, jobs, events, reply) == Went::Last {
                    return;
                }
            }
            Job::Stop => return,
        }
    }
}

/// Whether a thread is to go on.
#[derive(PartialEq)]
enum Went {
    On,
    Last,
}

/// Writes the records of all calls that wait, in one transaction.
fn record(
    tx: &mut Tx,
    jobs: &Receiver<Job>,
    mut events: Vec<Event>,
    first: oneshot::Sender<Result<()>>,
) -> Went {
    let (mut waiting, mut went) = (vec![first], Went::On);
    for job in jobs.try_iter().take(BATCH_MAX - 1) {
        match job {
            Job::Append(more, reply) => {
                events.extend(more);
                waiting.push(reply);
            }
            // An operation has no place in this lane.
            Job::Run(operation) => operation.answer(Err(Error::bug("in the lane of records"))),
            Job::Stop => {
                went = Went::Last;
                break;
            }
        }
    }
    let ended = match tx.postgres().map(|session| session.runtime.clone()) {
        Some(runtime) => runtime.block_on(tx.record(&events)),
        None => Err(not_connected()),
    };
    if ended.is_ok() {
        tx.figures().committed(waiting.len());
    }
    for reply in waiting {
        // Whoever has stopped waiting misses the answer; the record is there.
        let _ = reply.send(ended.clone());
    }
    went
}

/// How a try went.
enum Tried {
    Ended(Result<()>),
    /// Nothing was changed, and it may go well the next time.
    Again,
}

/// Runs an operation in a transaction of its own until no other one gets in its way. Where others always do, they wait
/// for it once.
fn transact(tx: &mut Tx, job: &mut dyn Run, purpose: Purpose, turns: &RwLock<()>) -> Result<()> {
    let started = Instant::now();
    for attempt in 1_u64.. {
        let tried = match (purpose, attempt > TRIES_BESIDE_OTHERS) {
            (Purpose::Reading, _) => try_once(tx, job, purpose),
            (Purpose::Writing, false) => {
                let _beside = turns.read().unwrap_or_else(PoisonError::into_inner);
                try_once(tx, job, purpose)
            }
            (Purpose::Writing, true) => {
                let _alone = turns.write().unwrap_or_else(PoisonError::into_inner);
                try_once(tx, job, purpose)
            }
        };
        if let Tried::Ended(ended) = tried {
            return ended;
        }
        // Those that met do not meet again at the next step.
        let chance = RandomState::new().hash_one(attempt);
        std::thread::sleep(Duration::from_micros(chance % (attempt.min(STEPS_MAX) * STEP)));
        if started.elapsed() > PATIENCE {
            break;
        }
    }
    Err(Error::unavailable("too many changes of the same at once"))
}

fn try_once(tx: &mut Tx, job: &mut dyn Run, purpose: Purpose) -> Tried {
    tx.forget();
    let Some(session) = tx.postgres() else {
        return Tried::Ended(Err(Error::bug("a transaction of another store")));
    };
    let runtime = session.runtime.clone();
    let begun = runtime.block_on(async {
        session.connect().await?;
        session.begin(purpose.begin())
    });
    if let Err(error) = begun {
        return after(session, &runtime, error);
    }
    let keep = job.run(tx);
    let Some(session) = tx.postgres() else { return Tried::Again };
    // What was sent last has to be heard, too.
    let settled = runtime.block_on(session.settle());
    if session.in_conflict || session.is_lost() {
        let tried = after(session, &runtime, not_connected());
        tx.forget_grants();
        return tried;
    }
    if keep == Keep::Yes && session.is_aborted {
        let _ = runtime.block_on(session.control("ROLLBACK"));
        let gone_on = "an operation has gone on behind a statement that failed";
        return Tried::Ended(settled.and(Err(Error::bug(gone_on))));
    }
    tx.leave(keep == Keep::Yes);
    let ended = runtime.block_on(end(tx, purpose, &keep));
    let Some(session) = tx.postgres() else { return Tried::Again };
    let (in_conflict, is_committed) = (session.in_conflict, ended.is_ok() && keep == Keep::Yes);
    let tried = match ended {
        Ok(()) => Tried::Ended(Ok(())),
        Err(_) if in_conflict => after(session, &runtime, not_connected()),
        // Nobody can tell whether it was committed, so it is not done once more.
        Err(error) => {
            session.disconnect();
            Tried::Ended(Err(error))
        }
    };
    tx.finish(is_committed);
    if is_committed && purpose == Purpose::Writing {
        tx.figures().committed(1);
    }
    tried
}

async fn end(tx: &mut Tx, purpose: Purpose, keep: &Keep) -> Result<()> {
    let changed = [(IDENTITIES, tx.have_identities_changed()), (KEYS, tx.have_keys_ceased())];
    let Some(session) = tx.postgres() else { return Err(not_connected()) };
    match (purpose, keep) {
        (_, Keep::No) => session.control("ROLLBACK").await,
        // Nobody waits for the end of a read; sent it must be, for nothing else of this transaction is to come.
        (Purpose::Reading, Keep::Yes) => {
            session.settle().await?;
            session.send_control("COMMIT")?;
            tokio::task::yield_now().await;
            Ok(())
        }
        (Purpose::Writing, Keep::Yes) => {
            for (name, _) in changed.iter().filter(|(_, changed)| *changed) {
                session.execute(sql::COUNT_CHANGE, &[Value::Text(name)]).await?;
            }
            tx.commit().await
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
/// The number that moves on when a key ceases to be active.
const KEYS: &str = "keys";

/// When other servers' changes were last looked for.
pub(super) struct Heard {
    since: Instant,
    millis: AtomicU64,
}

impl Heard {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), millis: AtomicU64::new(0) })
    }

    /// Nothing of before this is unheard of.
    fn all_until(&self, asked: Instant) {
        let millis = asked.saturating_duration_since(self.since).as_millis();
        self.millis.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Whether what is remembered may be older than it ought to be.
    pub fn is_long_ago(&self) -> bool {
        let last = Duration::from_millis(self.millis.load(Ordering::SeqCst));
        self.since.elapsed().saturating_sub(last) > DEAF
    }
}

/// Looks for other servers' changes until it is told to stop.
fn listen(mut session: Postgres, jobs: &Receiver<Job>, epochs: &Epochs, heard: &Heard) {
    let runtime = session.runtime.clone();
    let (mut known, mut is_deaf) = ([None; 2], false);
    while let Err(RecvTimeoutError::Timeout) = jobs.recv_timeout(LISTEN) {
        let asked = Instant::now();
        let found = runtime.block_on(async {
            session.connect().await?;
            let rows = session.query(sql::FIND_CHANGES, &[]).await?;
            let told = |error: tokio_postgres::Error| Error::corrupt(error.to_string());
            let read = |row: &tokio_postgres::Row| {
                Ok((row.try_get(0).map_err(told)?, row.try_get(1).map_err(told)?))
            };
            rows.iter().map(read).collect::<Result<HashMap<String, i64>>>()
        });
        match found {
            Ok(numbers) => {
                is_deaf = false;
                let epochs = [(IDENTITIES, &epochs.identities), (KEYS, &epochs.keys)];
                for ((name, epoch), known) in epochs.into_iter().zip(&mut known) {
                    let number = numbers.get(name).copied();
                    // The first number may be behind what this server has remembered since it started.
                    if known.replace(number) != Some(number) {
                        epoch.fetch_add(1, Ordering::SeqCst);
                    }
                }
                heard.all_until(asked);
            }
            Err(error) => {
                // Told once, not five times a second.
                if !std::mem::replace(&mut is_deaf, true) {
                    tracing::warn!(cause = error.cause(), "other servers' changes are not heard");
                }
                session.disconnect();
            }
        }
    }
}

/// Runs each migration that has not run, once however many servers start at a time: the row that says so is written
/// ahead of it in the same transaction, and whoever comes second waits for that.
async fn migrate(session: &mut Postgres, work: Work) -> anyhow::Result<()> {
    let told = |error: Error| anyhow::anyhow!("{}", error.cause());
    session.connect().await.map_err(told)?;
    let bytewise = session.query(sql::COMPARES_BYTES, &[]).await.map_err(told)?;
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
    // INVARIANT: a restore commits its mark together with the table, so whoever sees the table sees the mark.
    let marked = !session.query(sql::FIND_UNFINISHED, &[]).await.map_err(told)?.is_empty();
    match work {
        Work::Serving => ensure!(!marked, UNFINISHED),
        Work::Restoring => ensure!(marked, "the database is not the one that was filled"),
    }
    let have = session.query(sql::FIND_SCHEMA_VERSION, &[]).await.map_err(told)?;
    let have = have.first().map_or(0, |row| row.get::<_, i64>(0));
    ensure!(
        usize::try_from(have)? <= MIGRATIONS.len(),
        "the store has schema {have}, this cofferd knows {}; use a newer cofferd",
        MIGRATIONS.len()
    );
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > have {
            session.control("BEGIN; SET LOCAL statement_timeout = 0").await.map_err(told)?;
            let number = [Value::Int(version)];
            let claim = session.execute(sql::CLAIM_SCHEMA_VERSION, &number);
            let first = claim.await.map_err(told)?;
            if first == 1 {
                session.control_slowly(migration).await.map_err(told)?;
            }
            session.commit().await.map_err(told)?;
        }
    }
    Ok(())
}
