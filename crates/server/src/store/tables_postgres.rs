//! Whole tables on a PostgreSQL server: read at one instant, and put into a database that nobody has used yet.
//!
//! Such a database is marked ahead of all else, with a row in `schema_versions` that goes last: no server starts on what
//! is not whole.

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, TryStreamExt};
use tokio::runtime::Runtime;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, CopyInSink, Row};

use super::postgres_server::Server;
use super::session::Value;
use super::tables::{Check, Kind, Loading, Snapshot, Table, described};
use super::{MIGRATIONS, SCHEMA_VERSION, sql};
use crate::config::StoreConfig;

/// How often somebody who waits is asked whether to go on.
const TICK: Duration = Duration::from_millis(200);
/// A table takes as long as it takes, and so does whoever reads the backup.
const UNBOUNDED: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
/// Bytes of rows that are sent at once.
const PIECE: usize = 64 * 1024;
/// Begins rows in binary form; neither flags nor an extension follow.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const NULL: i32 = -1;
/// In the place of a row's number of columns: no row comes any more.
const COPY_END: i16 = -1;
pub(super) const UNFINISHED: &str = "a restore into this database was not finished, or is still at work; unless it is, \
     drop the database, make it anew and restore again";

/// A connection of its own. Nothing on it is bounded in time; whoever has begun it can end it.
pub(super) struct Link<'c> {
    runtime: Runtime,
    client: Client,
    warned: Arc<AtomicBool>,
    check: Check<'c>,
}

impl<'c> Link<'c> {
    fn open(settings: &StoreConfig, folder: &Path, check: Check<'c>) -> Result<Self> {
        let server = Server::new(settings, folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connected = runtime.block_on(server.connect());
        let connected = connected.map_err(|error| anyhow::anyhow!("{}", error.cause()))?;
        let link = Self { runtime, client: connected.client, warned: connected.warned, check };
        link.run(UNBOUNDED)?;
        ensure!(
            link.flag(sql::COMPARES_BYTES)?,
            "the database does not compare texts byte by byte; make it with \
             CREATE DATABASE coffer TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        );
        Ok(link)
    }

    /// Waits for an answer, however long it takes.
    async fn ended<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(TICK, work.as_mut()).await {
                Ok(told) => return told.map_err(failed),
                Err(_) => (self.check)()?,
            }
        }
    }

    pub fn run(&self, sql: &str) -> Result<()> {
        self.runtime.block_on(self.ended(self.client.batch_execute(sql)))
    }

    /// Commits what was begun. What a server warns of then is that it stands on this server alone, and not on the
    /// second one where it has to be, too.
    pub fn commit(&self) -> Result<()> {
        self.commit_with("COMMIT")
    }

    fn commit_with(&self, sql: &str) -> Result<()> {
        self.warned.store(false, Ordering::SeqCst);
        self.run(sql)?;
        ensure!(!self.warned.load(Ordering::SeqCst), "postgres: committed with a warning");
        Ok(())
    }

    fn query(&self, sql: &str) -> Result<Vec<Row>> {
        self.runtime.block_on(self.ended(self.client.query(sql, &[])))
    }

    fn flag(&self, sql: &str) -> Result<bool> {
        let rows = self.query(sql)?;
        Ok(rows.first().context("postgres: no row")?.try_get(0)?)
    }

    /// The first column of all rows.
    pub fn texts(&self, sql: &str) -> Result<Vec<String>> {
        self.query(sql)?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    fn version(&self) -> Result<usize> {
        let rows = self.query(sql::FIND_SCHEMA_VERSION)?;
        let version: i64 = rows.first().context("postgres: no row")?.try_get(0)?;
        Ok(usize::try_from(version)?)
    }

    fn is_marked(&self) -> Result<bool> {
        Ok(!self.query(sql::FIND_UNFINISHED)?.is_empty())
    }

    /// How many migrations have run, if a server has ever worked on the database.
    fn schema(&self) -> Result<Option<usize>> {
        if !self.flag(sql::HAS_SCHEMA_VERSIONS)? {
            return Ok(None);
        }
        ensure!(!self.is_marked()?, UNFINISHED);
        Ok(Some(self.version()?))
    }

    fn check_vacant(&self) -> Result<()> {
        ensure!(
            self.schema()?.is_none(),
            "the database of `store.url` holds a store already, and is never overwritten; name another database"
        );
        Ok(())
    }

    /// Hands every row of a table to `each`, in the order of these columns. They come as they are taken: no more of
    /// them are in memory than a server sends ahead.
    pub fn rows(
        &self,
        table: &Table,
        order: &[String],
        mut each: impl FnMut(&[Value<'_>]) -> Result<()>,
    ) -> Result<()> {
        let all = sql::all_rows(&table.name, &table.columns, order);
        let nothing = std::iter::empty::<&(dyn ToSql + Sync)>();
        self.runtime.block_on(async {
            let rows = self.ended(self.client.query_raw(&*all, nothing)).await?;
            let mut rows = pin!(rows);
            while let Some(row) = self.ended(rows.try_next()).await? {
                let value = |at| -> Result<Value<'_>> {
                    row.try_get(at).with_context(|| format!("table {} is damaged", table.name))
                };
                each(&(0..table.columns.len()).map(value).collect::<Result<Vec<_>>>()?)?;
            }
            Ok(())
        })
    }

    /// Begins to fill a table.
    pub fn copy(&self, table: &Table) -> Result<Copying<'_>> {
        let copy = sql::copy_rows(&table.name, &table.columns);
        let rows = self.runtime.block_on(self.ended(self.client.copy_in(&*copy)))?;
        let mut waiting = BytesMut::with_capacity(2 * PIECE);
        waiting.put_slice(COPY_HEAD);
        Ok(Copying { link: self, table: table.clone(), rows: Box::pin(rows), waiting })
    }
}

impl<'c> Snapshot<'c> {
    /// Takes the store on a PostgreSQL server as it is now, while servers serve on it or not.
    pub fn connect(settings: &StoreConfig, folder: &Path, check: Check<'c>) -> Result<Self> {
        let link = Link::open(settings, folder, check)?;
        // The first look fixes the instant.
        link.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let schema = link.schema()?.context("the database of `store.url` holds no store")?;
        Self::of(Rc::new(link), schema)
    }
}

/// A table that is being filled on a server.
pub struct Copying<'l> {
    link: &'l Link<'l>,
    table: Table,
    rows: Pin<Box<CopyInSink<Bytes>>>,
    /// Rows that have not been sent yet.
    waiting: BytesMut,
}

impl Copying<'_> {
    pub fn insert(&mut self, values: &[Value<'_>]) -> Result<()> {
        let Table { name, columns, kinds, .. } = &self.table;
        ensure!(values.len() == columns.len(), "a row of table {name} has other columns");
        self.waiting.put_i16(i16::try_from(values.len())?);
        for ((value, kind), column) in values.iter().zip(kinds).zip(columns) {
            match (value, kind) {
                (Value::Null, _) => self.waiting.put_i32(NULL),
                (Value::Int(number), Kind::Int) => {
                    put_field(&mut self.waiting, &number.to_be_bytes())?;
                }
                (Value::Text(text), Kind::Text) => {
                    ensure!(
                        !text.contains('\0'),
                        "{column} in a row of table {name} ({}) holds a NUL character (U+0000), which PostgreSQL \
                         cannot keep; change it where the backup was taken, and take another one",
                        place_of(&self.table, values)
                    );
                    put_field(&mut self.waiting, text.as_bytes())?;
                }
                (Value::Bytes(bytes), Kind::Bytes) => put_field(&mut self.waiting, bytes)?,
                _ => bail!(
                    "{column} in a row of table {name} is of another type than the schema says"
                ),
            }
        }
        match self.waiting.len() < PIECE {
            true => Ok(()),
            false => self.send(),
        }
    }

    fn send(&mut self) -> Result<()> {
        let piece = self.waiting.split().freeze();
        self.link.runtime.block_on(self.link.ended(self.rows.as_mut().send(piece)))
    }

    pub fn finish(mut self) -> Result<()> {
        self.waiting.put_i16(COPY_END);
        self.send()?;
        self.link.runtime.block_on(self.link.ended(self.rows.as_mut().finish()))?;
        Ok(())
    }
}

fn put_field(out: &mut BytesMut, bytes: &[u8]) -> Result<()> {
    out.put_i32(i32::try_from(bytes.len())?);
    out.put_slice(bytes);
    Ok(())
}

/// Which row it is, for whoever has to look for it: the texts and numbers of its key.
fn place_of(table: &Table, values: &[Value<'_>]) -> String {
    let named = table.columns.iter().zip(values).filter(|(column, _)| table.key.contains(column));
    let shown = named.filter_map(|(column, value)| match value {
        Value::Text(text) => Some(format!("{column} {text:?}")),
        Value::Int(number) => Some(format!("{column} {number}")),
        Value::Null | Value::Bytes(_) => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A database that a restore makes a store in. No server starts on it until it is finished.
pub struct NewDatabase<'s> {
    settings: &'s StoreConfig,
    folder: PathBuf,
    schema: usize,
}

impl<'s> NewDatabase<'s> {
    /// Marks a database that no server has worked on. Another one that does so at the same time, or a server that
    /// starts, is refused: one of them makes the table.
    pub fn claim(settings: &'s StoreConfig, folder: &Path, schema: usize) -> Result<Self> {
        let link = Link::open(settings, folder, &|| Ok(()))?;
        link.check_vacant()?;
        if let Err(error) = link.commit_with(sql::MARK_UNFINISHED) {
            // Somebody was faster: tell who.
            link.run("ROLLBACK").and_then(|()| link.check_vacant())?;
            return Err(error);
        }
        Ok(Self { settings, folder: folder.to_owned(), schema })
    }

    /// Makes the schema, in the transaction that takes the rows; and what reads them again within it.
    pub fn begin<'c>(&self, check: Check<'c>) -> Result<(Loading<'c>, Snapshot<'c>)> {
        let link = Link::open(self.settings, &self.folder, check)?;
        link.run("BEGIN")?;
        ensure!(link.is_marked()?, "the database is another one than a moment ago");
        for (version, migration) in (1_i64..).zip(MIGRATIONS).take(self.schema) {
            let claim: &[&(dyn ToSql + Sync)] = &[&version];
            let claim = link.client.execute(sql::CLAIM_SCHEMA_VERSION, claim);
            let claimed = link.runtime.block_on(link.ended(claim))?;
            ensure!(claimed == 1, "somebody else works on the database");
            link.run(migration)?;
        }
        let link = Rc::new(link);
        Ok((Loading::of(link.clone(), self.schema)?, Snapshot::of(link, self.schema)?))
    }

    /// The very last step: servers may start.
    pub fn finish(self) -> Result<()> {
        let link = Link::open(self.settings, &self.folder, &|| Ok(()))?;
        link.run("BEGIN")?;
        ensure!(link.is_marked()?, "the database is not the one that was filled");
        link.run(sql::CLEAR_UNFINISHED)?;
        link.commit()
    }

    /// Leaves the database as it was found. `is_filled`: whether the rows were committed, and are this restore's.
    pub fn abandon(self, is_filled: bool) -> Result<()> {
        let link = Link::open(self.settings, &self.folder, &|| Ok(()))?;
        link.run("BEGIN")?;
        link.run(sql::LOCK_SCHEMA_VERSIONS)?;
        ensure!(link.is_marked()?, "the database is another one than a moment ago");
        let mut tables = Vec::new();
        match is_filled {
            // What later migrations have made, and what they would have dropped.
            true => tables.extend([described(self.schema)?, described(SCHEMA_VERSION)?].concat()),
            false => ensure!(link.version()? == 0, "nobody knows whether the rows are there"),
        }
        let mut names: Vec<_> = tables.iter().map(|table| &*table.name).collect();
        names.sort_unstable();
        names.dedup();
        link.run(&sql::drop_tables(names.into_iter()))?;
        link.commit()
    }
}

impl<'r> FromSql<'r> for Value<'r> {
    fn from_sql(
        of: &Type,
        raw: &'r [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *of {
            Type::INT8 => Self::Int(FromSql::from_sql(of, raw)?),
            Type::TEXT => Self::Text(FromSql::from_sql(of, raw)?),
            _ => Self::Bytes(raw),
        })
    }

    fn from_sql_null(
        _: &Type,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(of: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(of)
    }
}

/// What a failure means to an operator. The message names what there is no room for or what is not allowed; values
/// stand in the details, which stay out of it.
#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn failed(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(told) => anyhow::anyhow!("postgres: {} ({})", told.message(), told.code().code()),
        None => anyhow::anyhow!("postgres: {error}"),
    }
}
