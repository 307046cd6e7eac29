//! The floor of a put on PostgreSQL: as many connections as the server has, each with one transaction after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coffer_server::store::{Value, sql};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use crate::asks::Chance;
use crate::bare::{Put, Puts, Scope, Times, own_cpu, tell};
use crate::options::{Floor, Options};

/// The server's default of `store.connections`.
const CONNECTIONS: usize = 16;
/// As the server waits before it tries again, in microseconds.
const STEP: usize = 2000;

pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> Result<()> {
    let mut tasks = JoinSet::new();
    let scope = find_scope(&connect(&options.database, &mut tasks).await?).await?;
    let (scope, times) = (Arc::new(scope), Arc::new(Times::begin(options)));
    let retries = Arc::new(AtomicU64::new(0));
    let secrets = *options.secrets.first().context("how many secrets?")?;
    let floor = options.floor.context("which floor?")?;
    let mut loops = JoinSet::new();
    for number in 0..CONNECTIONS {
        let client = connect(&options.database, &mut tasks).await?;
        let (scope, times, retries) = (scope.clone(), times.clone(), retries.clone());
        loops.spawn(async move {
            let statements = Statements::of(&client).await?;
            let mut puts = Puts::new(&scope, secrets, (number, CONNECTIONS));
            let (mut micros, mut chance) = (Vec::new(), Chance::new(number as u64 + 7));
            while !times.is_over() {
                let (put, began) = (puts.draw(), Instant::now());
                let mut tries = 0;
                while let Err(error) = statements.put(&client, &put, floor).await {
                    ensure!(is_conflict(&error), error);
                    client.batch_execute("ROLLBACK").await?;
                    tries += 1;
                    let wait = chance.below(tries.min(25) * STEP) as u64;
                    tokio::time::sleep(Duration::from_micros(wait)).await;
                }
                if times.is_warm() {
                    retries.fetch_add(tries as u64, Ordering::Relaxed);
                    micros.push(u32::try_from(began.elapsed().as_micros())?);
                }
            }
            Ok::<_, anyhow::Error>(micros)
        });
    }
    while !times.is_warm() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = own_cpu()?;
    let mut micros = Vec::new();
    while let Some(done) = loops.join_next().await {
        micros.append(&mut done??);
    }
    tell(micros, options, own_cpu()?.saturating_sub(before), retries.load(Ordering::Relaxed));
    Ok(())
}

/// Another transaction got in the way of a statement, or of one that was sent before it.
fn is_conflict(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<tokio_postgres::Error>().and_then(|error| error.code());
    code.is_some_and(|code| code.code().starts_with("40") || code.code() == "25P02")
}

async fn connect(url: &str, tasks: &mut JoinSet<()>) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tasks.spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

async fn find_scope(client: &Client) -> Result<Scope> {
    let row = client.query_one(Scope::FIND, &[]).await?;
    let organisation: String = row.try_get(0)?;
    let latest = client.query_one(Scope::LATEST, &[&organisation]).await?.try_get(0)?;
    let length = |at| Ok::<_, anyhow::Error>(usize::try_from(row.try_get::<_, i32>(at)?)?);
    let lengths = [length(3)?, length(4)?];
    Ok(Scope { organisation, region: row.try_get(1)?, key: row.try_get(2)?, lengths, latest })
}

struct Statements {
    find_secret: Statement,
    insert_version: Statement,
    use_quota: Statement,
    set_latest: Statement,
    insert_event: Statement,
    set_head: Statement,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";

impl Statements {
    async fn of(client: &Client) -> Result<Self> {
        Ok(Self {
            find_secret: client.prepare(sql::FIND_SECRET_TO_SEAL).await?,
            insert_version: client.prepare(sql::INSERT_SECRET_VERSION).await?,
            use_quota: client.prepare(sql::USE_QUOTA).await?,
            set_latest: client.prepare(sql::SET_LATEST_VERSION).await?,
            insert_event: client.prepare(sql::INSERT_EVENT).await?,
            set_head: client.prepare(sql::SET_HEAD).await?,
        })
    }

    async fn put(&self, client: &Client, put: &Put<'_>, floor: Floor) -> Result<()> {
        match floor {
            Floor::PostgresSteps => self.put_in_steps(client, put).await,
            _ => self.put_pipelined(client, put).await,
        }
    }

    /// Waits for each statement before it sends the next.
    async fn put_in_steps(&self, client: &Client, put: &Put<'_>) -> Result<()> {
        client.batch_execute(BEGIN).await?;
        let rows = client.query(&self.find_secret, &bound(&put.secret())).await?;
        let row = rows.first().context("no such secret")?;
        let (secret, version) = (row.try_get::<_, &str>("secret_id")?, latest(row)? + 1);
        client.execute(&self.insert_version, &bound(&put.version(secret, version))).await?;
        client.query(&self.use_quota, &bound(&put.quota())).await?;
        client.execute(&self.set_latest, &bound(&put.latest(secret, version))).await?;
        for event in put.events() {
            client.execute(&self.insert_event, &bound(&event)).await?;
        }
        client.execute(&self.set_head, &bound(&put.head())).await?;
        Ok(client.batch_execute("COMMIT").await?)
    }

    /// Waits twice: for what it reads, and for all that it writes.
    async fn put_pipelined(&self, client: &Client, put: &Put<'_>) -> Result<()> {
        let at = put.secret();
        let at = bound(&at);
        let ((), rows) =
            tokio::try_join!(client.batch_execute(BEGIN), client.query(&self.find_secret, &at),)?;
        let row = rows.first().context("no such secret")?;
        let (secret, version) = (row.try_get::<_, &str>("secret_id")?, latest(row)? + 1);
        let (new, quota, set) =
            (put.version(secret, version), put.quota(), put.latest(secret, version));
        let ([first, second], head) = (put.events(), put.head());
        let (new, quota, set) = (bound(&new), bound(&quota), bound(&set));
        let (first, second, head) = (bound(&first), bound(&second), bound(&head));
        tokio::try_join!(
            client.execute(&self.insert_version, &new),
            client.execute(&self.set_latest, &set),
            client.execute(&self.insert_event, &first),
            client.execute(&self.insert_event, &second),
            client.execute(&self.set_head, &head),
            client.query(&self.use_quota, &quota),
            client.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}

fn latest(row: &tokio_postgres::Row) -> Result<i64> {
    Ok(row.try_get("latest_version")?)
}

fn bound<'v>(values: &'v [Value<'v>]) -> Vec<&'v (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}
