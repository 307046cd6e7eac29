//! Whole tables, for backups: which there are, all their rows at one instant, and rows put into a new store.
//!
//! What a table is made of is asked of the schema itself, so that no table and no column can be forgotten.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags, Statement};

use super::sqlite::{BUSY, connect, migrate, schema_version};
use super::{MIGRATIONS, Value, sql};
use crate::error::Error;

/// The newest schema that is known here.
pub const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// A table, by the names in the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    /// Those of the columns that are its key.
    key: Vec<String>,
    /// The tables whose rows its own refer to.
    refers_to: Vec<String>,
}

/// A store as it was at one instant. Others go on reading and writing meanwhile.
pub struct Snapshot {
    connection: Connection,
    schema: usize,
}

impl Snapshot {
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
        ensure!(
            schema <= SCHEMA_VERSION,
            "the store has schema {schema}, this cofferd knows {SCHEMA_VERSION}; use a newer cofferd"
        );
        Ok(Self { connection, schema })
    }

    /// How many migrations have run on it.
    pub fn schema(&self) -> usize {
        self.schema
    }

    /// The root keys under which something is in the store. Those of an earlier schema are known once it is migrated.
    pub fn root_keys(&self) -> Result<Vec<String>> {
        match self.schema == SCHEMA_VERSION {
            true => texts(&self.connection, sql::LIST_ROOT_KEYS, 0),
            false => Ok(Vec::new()),
        }
    }

    /// All tables, in an order in which they can be filled.
    pub fn tables(&self) -> Result<Vec<Table>> {
        tables(&self.connection)
    }

    /// Hands every row of a table to `each`, in the order of the table's key.
    pub fn rows(
        &self,
        table: &Table,
        mut each: impl FnMut(&[Value<'_>]) -> Result<()>,
    ) -> Result<()> {
        let all = sql::all_rows(&table.name, &table.columns, &table.key);
        let mut statement = self.connection.prepare(&all)?;
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

    /// Looks for damage in the whole file, and for rows that refer to nothing.
    pub fn check(&self) -> Result<()> {
        let found = texts(&self.connection, "PRAGMA integrity_check(1)", 0)?;
        ensure!(found == ["ok"], "the database is damaged: {}", found.concat());
        let mut statement = self.connection.prepare("PRAGMA foreign_key_check")?;
        let mut dangling = statement.query_map([], |row| row.get::<_, String>(0))?;
        match dangling.next().transpose()? {
            Some(table) => bail!("a row of table {table} refers to nothing"),
            None => Ok(()),
        }
    }
}

/// A new store that is being filled. Nothing guards it against a crash, so it must be thrown away unless it was
/// finished.
pub struct Loading {
    connection: Connection,
    file: PathBuf,
}

impl Loading {
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
        Ok(Self { connection, file })
    }

    /// Begins to fill a table. Tables that others refer to come first.
    pub fn fill(&self, name: &str, columns: &[String]) -> Result<Filling<'_>> {
        let all = tables(&self.connection)?;
        let known = all.iter().find(|table| table.name == name);
        let known = known.with_context(|| format!("the schema has no table `{name}`"))?;
        ensure!(known.columns == columns, "table {name} has other columns in the schema");
        Ok(Filling(self.connection.prepare(&sql::insert_row(name, columns))?))
    }

    /// Ends it: all rows are on the disk.
    pub fn finish(self) -> Result<()> {
        self.connection.execute_batch("COMMIT")?;
        drop(self.connection);
        Ok(std::fs::File::open(self.file)?.sync_all()?)
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
pub struct Filling<'l>(Statement<'l>);

impl Filling<'_> {
    pub fn insert(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.0.insert(rusqlite::params_from_iter(values))?;
        Ok(())
    }
}

/// All tables, those that others refer to in front of them, else by name.
fn tables(connection: &Connection) -> Result<Vec<Table>> {
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
    let columns = statement.query_map([], |row| Ok((row.get("name")?, row.get("pk")?)))?;
    let columns = columns.collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
    let mut key: Vec<_> = columns.iter().filter(|(_, place)| *place > 0).collect();
    key.sort_unstable_by_key(|(_, place)| *place);
    let key: Vec<_> = key.into_iter().map(|(column, _)| column.clone()).collect();
    let columns: Vec<_> = columns.into_iter().map(|(column, _)| column).collect();
    ensure!(!key.is_empty() && columns.iter().all(is_plain), "table {name} is none of Coffer's");
    let refers_to = texts(connection, &format!("PRAGMA foreign_key_list({name})"), 2)?;
    Ok(Table { name, columns, key, refers_to })
}

/// One column of the rows of a statement.
fn texts(connection: &Connection, statement: &str, column: usize) -> Result<Vec<String>> {
    let mut statement = connection.prepare(statement)?;
    let rows = statement.query_map([], |row| row.get(column))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
