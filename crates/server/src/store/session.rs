//! One connection to a database, whichever that is: statements in, rows out.

use std::cell::Cell;

use rusqlite::types::{FromSql, ValueRef};

use super::postgres::{self, Postgres};
use super::sqlite::Sqlite;
use crate::error::{Error, Result};

/// A value bound to a statement.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn int_or_null(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }

    pub fn text_or_null(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

/// A connection.
pub(super) enum Session {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Session {
    /// Runs a statement about the transaction itself.
    pub async fn control(&mut self, sql: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(session) => session.control(sql),
            Self::Postgres(session) => session.control(sql).await,
        }
    }

    /// Runs a change; how many rows it has changed.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<usize> {
        match self {
            Self::Sqlite(session) => session.execute(sql, values),
            Self::Postgres(session) => session.execute(sql, values).await,
        }
    }

    /// Runs a change that must touch so many rows, if it is said how many.
    pub async fn change(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        rows: Option<usize>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(session) => check_count(session.execute(sql, values)?, rows),
            Self::Postgres(session) => session.change(sql, values, rows).await,
        }
    }

    /// Reads all rows, or the first one.
    pub async fn rows<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        only_first: bool,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self {
            Self::Sqlite(session) => session.rows(sql, values, only_first, read),
            Self::Postgres(session) => {
                let rows = session.query(sql, values).await?;
                let wanted = if only_first { 1 } else { rows.len() };
                rows.iter()
                    .take(wanted)
                    .map(|row| read(&Columns::new(Row::Postgres(row))))
                    .collect()
            }
        }
    }
}

/// What no text may hold.
pub(super) fn holds_nul() -> Error {
    Error::invalid("", "a text holds a NUL character")
}

/// Compares how many rows a statement has changed with how many it must.
pub(super) fn check_count(changed: usize, wanted: Option<usize>) -> Result<()> {
    match wanted.is_none_or(|wanted| wanted == changed) {
        true => Ok(()),
        false => Err(Error::bug(format!("a statement changed {changed} rows instead of one"))),
    }
}

/// A row as its driver has it.
#[derive(Clone, Copy)]
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// The columns of a row, read in the order of the statement.
pub(super) struct Columns<'r> {
    row: Row<'r>,
    next: Cell<usize>,
}

impl<'r> Columns<'r> {
    pub fn new(row: Row<'r>) -> Self {
        Self { row, next: Cell::new(0) }
    }

    fn read<T: FromSql + for<'a> tokio_postgres::types::FromSql<'a>>(&self) -> Result<T> {
        let index = self.next.replace(self.next.get() + 1);
        let told = |error: String| Error::corrupt(format!("column {index}: {error}"));
        match self.row {
            Row::Sqlite(row) => row.get(index).map_err(|error| told(error.to_string())),
            Row::Postgres(row) => row.try_get(index).map_err(|error| told(error.to_string())),
        }
    }

    /// Skips `count` columns when the next one is null; says whether it was.
    pub fn skip_null(&self, count: usize) -> Result<bool> {
        let at = self.next.get();
        let is_null = match self.row {
            Row::Sqlite(row) => {
                let next = row.get_ref(at).map_err(|error| Error::corrupt(error.to_string()))?;
                matches!(next, ValueRef::Null)
            }
            Row::Postgres(row) => postgres::is_null(row, at)?,
        };
        if is_null {
            self.next.set(at + count);
        }
        Ok(is_null)
    }

    pub fn text(&self) -> Result<String> {
        self.read()
    }

    pub fn text_or_null(&self) -> Result<Option<String>> {
        self.read()
    }

    pub fn int(&self) -> Result<i64> {
        let number: postgres::Number = self.read()?;
        Ok(number.0)
    }

    pub fn int_or_null(&self) -> Result<Option<i64>> {
        let number: Option<postgres::Number> = self.read()?;
        Ok(number.map(|number| number.0))
    }

    pub fn flag(&self) -> Result<bool> {
        Ok(self.int()? != 0)
    }

    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.read()
    }

    pub fn bytes_or_null(&self) -> Result<Option<Vec<u8>>> {
        self.read()
    }

    /// A column of JSON text.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        from_json(&self.text()?)
    }

    /// A column whose words are those of an enum.
    pub fn word<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        let word = self.text()?;
        read(&word).ok_or_else(|| Error::corrupt(format!("unknown word `{word}`")))
    }
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| Error::corrupt("a JSON column does not parse"))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::bug(error.to_string()))
}
