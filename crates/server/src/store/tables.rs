//! Whole tables, for backups: which there are, all their rows at one instant, and rows put into a new store.
//!
//! What a table is made of is asked of the schema itself, so that no table and no column can be forgotten: of one made
//! in memory, so that it is the same whichever database the rows are in (`tables_postgres.rs`: on a server).

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags, Statement};

use super::sqlite::{BUSY, connect, migrate, schema_version};
use super::tables_postgres::{Copying, Link};
use super::{MIGRATIONS, Value, sql};
use crate::error::Error;

/// The newest schema that is known here.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// Asked now and then where an answer may take long: an error ends the wait.
pub type Check<'c> = &'c dyn Fn() -> Result<()>;

/// A table, by the names in the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    /// The type of each column.
    pub(super) kinds: Vec<Kind>,
    /// Those of the columns that are its key.
    pub(super) key: Vec<String>,
    /// The tables whose rows its own refer to.
    refers_to: Vec<String>,
}

/// What a column of the schema holds, if it is not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

/// A store as it was at one instant. Others go on reading and writing meanwhile.
pub struct Snapshot<'c> {
    source: Source<'c>,
    schema: usize,
    tables: Vec<Table>,
}

/// The database that rows are in.
enum Source<'c> {
    Sqlite(Connection),
    Postgres(Rc<Link<'c>>),
}

impl<'c> Snapshot<'c> {
    /// Takes the store in `folder` as it is now, whether a server serves on it or not.
    pub fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("coffer.db");
        ensure!(file.exists(), "{} holds no store", folder.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&file, flags)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch("BEGIN")?;
        // The first look fixes the instant.
        let schema = schema_version(&connection)?;
        check_known(schema)?;
        let tables = described(schema)?;
        ensure!(tables == read_tables(&connection)?, "the tables are not those of schema {schema}");
        Ok(Self { source: Source::Sqlite(connection), schema, tables })
    }

    /// What a connection to a PostgreSQL server sees.
    pub(super) fn of(link: Rc<Link<'c>>, schema: usize) -> Result<Self> {
        check_known(schema)?;
        Ok(Self { source: Source::Postgres(link), schema, tables: described(schema)? })
    }

    /// How many migrations have run on it.
    pub fn schema(&self) -> usize {
        self.schema
    }

    /// The root keys under which something is in the store. Those of an earlier schema are known once it is migrated.
    pub fn root_keys(&self) -> Result<Vec<String>> {
        match &self.source {
            _ if self.schema != SCHEMA_VERSION => Ok(Vec::new()),
            Source::Sqlite(connection) => texts(connection, sql::LIST_ROOT_KEYS, 0),
            Source::Postgres(link) => link.texts(sql::LIST_ROOT_KEYS),
        }
    }

    /// All tables, in an order in which they can be filled.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Result<&Table> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.with_context(|| format!("the store has no table {name} yet; start the server once"))
    }

    /// Hands every row of a table to `each`, in the order of the table's key.
    pub fn rows(&self, table: &Table, each: impl FnMut(&[Value<'_>]) -> Result<()>) -> Result<()> {
        self.rows_in_order(table, &table.key, each)
    }

    /// As [`Snapshot::rows`], in the order of these columns.
    pub fn rows_in_order(
        &self,
        table: &Table,
        order: &[String],
        mut each: impl FnMut(&[Value<'_>]) -> Result<()>,
    ) -> Result<()> {
        let connection = match &self.source {
            Source::Sqlite(connection) => connection,
            Source::Postgres(link) => return link.rows(table, order, each),
        };
        let all = sql::all_rows(&table.name, &table.columns, order);
        let mut statement = connection.prepare(&all)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let value = |at| -> Result<Value<'_>> {
                let damaged =
                    |error: Error| anyhow::anyhow!("table {}: {}", table.name, error.cause());
                row.get_ref(at)?.try_into().map_err(damaged)
            };
            each(&(0..table.columns.len()).map(value).collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    /// Looks for damage in the whole file, and for rows that refer to nothing. A server looks after both by itself.
    pub fn check(&self) -> Result<()> {
        let Source::Sqlite(connection) = &self.source else { return Ok(()) };
        let found = texts(connection, "PRAGMA integrity_check(1)", 0)?;
        ensure!(found == ["ok"], "the database is damaged: {}", found.concat());
        let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
        let mut dangling = statement.query_map([], |row| row.get::<_, String>(0))?;
        match dangling.next().transpose()? {
            Some(table) => bail!("a row of table {table} refers to nothing"),
            None => Ok(()),
        }
    }
}

/// A new store that is being filled. Nothing guards a file against a crash, so it must be thrown away unless it was
/// finished; on a server it is one transaction.
pub struct Loading<'c> {
    target: Target<'c>,
    tables: Vec<Table>,
}

enum Target<'c> {
    Sqlite(Connection, PathBuf),
    Postgres(Rc<Link<'c>>),
}

impl<'c> Loading<'c> {
    /// Makes a store without rows in `folder`, with the schema of a version.
    pub fn begin(folder: &Path, schema: usize) -> Result<Self> {
        let file = folder.join("coffer.db");
        let connection = connect(&file)?;
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        // Kilobytes: room for the indexes, however many rows there are.
        connection.pragma_update(None, "cache_size", -65_536)?;
        migrate(&connection, schema)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self { target: Target::Sqlite(connection, file), tables: described(schema)? })
    }

    /// Through a connection to a PostgreSQL server, in a transaction that has made the schema.
    pub(super) fn of(link: Rc<Link<'c>>, schema: usize) -> Result<Self> {
        Ok(Self { target: Target::Postgres(link), tables: described(schema)? })
    }

    /// Begins to fill a table. Tables that others refer to come first.
    pub fn fill(&self, name: &str, columns: &[String]) -> Result<Filling<'_>> {
        let known = self.tables.iter().find(|table| table.name == name);
        let known = known.with_context(|| format!("the schema has no table `{name}`"))?;
        ensure!(known.columns == columns, "table {name} has other columns in the schema");
        Ok(match &self.target {
            Target::Sqlite(connection, _) => {
                Filling::Sqlite(connection.prepare(&sql::insert_row(name, columns))?)
            }
            Target::Postgres(link) => Filling::Postgres(link.copy(known)?),
        })
    }

    /// Ends it: all rows are on the disk.
    pub fn finish(self) -> Result<()> {
        match self.target {
            Target::Sqlite(connection, file) => {
                connection.execute_batch("COMMIT")?;
                drop(connection);
                Ok(std::fs::File::open(file)?.sync_all()?)
            }
            Target::Postgres(link) => {
                link.run(&sql::analyse(self.tables.iter().map(|table| &*table.name)))?;
                link.commit()
            }
        }
    }
}

/// Moves what the write-ahead log of a closed store still holds into its file. Connections that close at the same time
/// leave that to each other.
pub fn empty_log(folder: &Path) -> Result<()> {
    let connection = connect(&folder.join("coffer.db"))?;
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    ensure!(busy == 0, "somebody else has the new store open");
    Ok(())
}

/// A table that is being filled.
pub enum Filling<'l> {
    Sqlite(Statement<'l>),
    Postgres(Copying<'l>),
}

impl Filling<'_> {
    pub fn insert(&mut self, values: &[Value<'_>]) -> Result<()> {
        match self {
            Self::Sqlite(statement) => {
                statement.insert(rusqlite::params_from_iter(values))?;
                Ok(())
            }
            Self::Postgres(copying) => copying.insert(values),
        }
    }

    /// No row of the table comes any more.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(copying) => copying.finish(),
        }
    }
}

pub(super) fn check_known(schema: usize) -> Result<()> {
    ensure!(
        schema <= SCHEMA_VERSION,
        "the store has schema {schema}, this cofferd knows {SCHEMA_VERSION}; use a newer cofferd"
    );
    Ok(())
}

/// All tables of the schema of a version, in an order in which they can be filled.
pub(super) fn described(schema: usize) -> Result<Vec<Table>> {
    let connection = Connection::open_in_memory()?;
    migrate(&connection, schema)?;
    read_tables(&connection)
}

/// All tables, those that others refer to in front of them, else by name.
fn read_tables(connection: &Connection) -> Result<Vec<Table>> {
    let mut names = texts(connection, "PRAGMA table_list", 1)?;
    names.retain(|name| !name.starts_with("sqlite_"));
    names.sort_unstable();
    let read = |name: String| read_table(connection, name);
    let mut waiting = names.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    let mut ordered: Vec<Table> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_there = |name: &String| ordered.iter().any(|table| table.name == *name);
        let next = waiting.iter().position(|table| {
            table.refers_to.iter().all(|other| *other == table.name || is_there(other))
        });
        ordered.push(waiting.remove(next.context("tables refer to each other in a circle")?));
    }
    Ok(ordered)
}

fn read_table(connection: &Connection, name: String) -> Result<Table> {
    let is_plain = |name: &String| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    ensure!(is_plain(&name), "the store has a table that is none of Coffer's");
    let mut statement = connection.prepare(&format!("PRAGMA table_info({name})"))?;
    let columns =
        statement.query_map([], |row| Ok((row.get("name")?, row.get("pk")?, row.get("type")?)))?;
    let columns = columns.collect::<rusqlite::Result<Vec<(String, i64, String)>>>()?;
    let mut key: Vec<_> = columns.iter().filter(|(_, place, _)| *place > 0).collect();
    key.sort_unstable_by_key(|(_, place, _)| *place);
    let key: Vec<_> = key.into_iter().map(|(column, ..)| column.clone()).collect();
    let kinds = columns.iter().map(|(_, _, kind)| match kind.as_str() {
        "BIGINT" => Ok(Kind::Int),
        "TEXT" => Ok(Kind::Text),
        "BYTEA" => Ok(Kind::Bytes),
        _ => bail!("table {name} is none of Coffer's"),
    });
    let kinds = kinds.collect::<Result<Vec<_>>>()?;
    let columns: Vec<_> = columns.into_iter().map(|(column, ..)| column).collect();
    ensure!(!key.is_empty() && columns.iter().all(is_plain), "table {name} is none of Coffer's");
    let refers_to = texts(connection, &format!("PRAGMA foreign_key_list({name})"), 2)?;
    Ok(Table { name, columns, kinds, key, refers_to })
}

/// One column of the rows of a statement.
fn texts(connection: &Connection, statement: &str, column: usize) -> Result<Vec<String>> {
    let mut statement = connection.prepare(statement)?;
    let rows = statement.query_map([], |row| row.get(column))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
