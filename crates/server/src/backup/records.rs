//! Records: tables and rows as bytes, with a manifest behind them.
//!
//! Each is `kind(1) ‖ length(4) ‖ block`. A table is JSON; its rows follow. A row is its values in the order of the
//! table's columns: 0 for null, 1 and eight bytes, 2 or 3 and a length (4) before a text or bytes.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};
use coffer_crypto::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::store::{Snapshot, Value};

const TABLE: u8 = 1;
const ROW: u8 = 2;
const MANIFEST: u8 = 3;

/// What the rows of a table are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableHead {
    pub table: String,
    pub columns: Vec<String>,
}

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// Of the head and all records.
    pub sha256: String,
}

impl Manifest {
    pub fn rows(&self) -> u64 {
        self.tables.values().sum()
    }
}

/// One of them, read.
pub enum Record<'r> {
    Table(&'r TableHead),
    Row(&'r [Value<'r>]),
}

/// Counts and hashes what goes by.
struct Tally {
    hasher: Hasher,
    tables: BTreeMap<String, u64>,
    table: String,
}

impl Tally {
    fn new(head: &[u8]) -> Self {
        let mut hasher = Hasher::new(Digest::Sha256);
        hasher.update(head);
        Self { hasher, tables: BTreeMap::new(), table: String::new() }
    }

    fn record(&mut self, kind: u8, block: &[u8]) {
        self.hasher.update(&[kind]);
        self.hasher.update(&(block.len() as u64).to_be_bytes());
        self.hasher.update(block);
    }

    fn table(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.table);
        let before = self.tables.insert(name.to_owned(), 0);
        ensure!(before.is_none(), "table {name} stands in the backup twice");
        Ok(())
    }

    fn row(&mut self) -> Result<()> {
        *self.tables.get_mut(&self.table).context("a row stands before its table")? += 1;
        Ok(())
    }

    fn manifest(self) -> Manifest {
        let digest = self.hasher.finish();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Manifest { tables: self.tables, sha256 }
    }
}

/// Writes every row of every table and the manifest behind them. The same rows always make the same bytes.
/// `each` is called for every row, and may stop it.
pub fn write(
    snapshot: &Snapshot<'_>,
    head: &[u8],
    out: &mut impl Write,
    each: &impl Fn() -> Result<()>,
) -> Result<Manifest> {
    let mut tally = Tally::new(head);
    for table in snapshot.tables() {
        tally.table(&table.name)?;
        let named = TableHead { table: table.name.clone(), columns: table.columns.clone() };
        write_record(out, &mut tally, TABLE, &serde_json::to_vec(&named)?)?;
        let mut block = Vec::new();
        snapshot.rows(table, |values| {
            each()?;
            tally.row()?;
            block.clear();
            values.iter().try_for_each(|value| put_value(&mut block, *value))?;
            write_record(out, &mut tally, ROW, &block)
        })?;
    }
    let manifest = tally.manifest();
    // It is no part of what it tells of.
    let mut nowhere = Tally::new(&[]);
    write_record(out, &mut nowhere, MANIFEST, &serde_json::to_vec(&manifest)?)?;
    Ok(manifest)
}

/// Reads to the manifest, and checks that it tells of what was read.
pub fn read(
    input: &mut impl Read,
    head: &[u8],
    mut each: impl FnMut(Record<'_>) -> Result<()>,
) -> Result<Manifest> {
    let mut tally = Tally::new(head);
    let mut block = Vec::new();
    loop {
        match read_record(input, &mut block)? {
            TABLE => {
                let table: TableHead = serde_json::from_slice(&block)?;
                tally.record(TABLE, &block);
                tally.table(&table.table)?;
                each(Record::Table(&table))?;
            }
            ROW => {
                tally.record(ROW, &block);
                tally.row()?;
                each(Record::Row(&take_values(&block)?))?;
            }
            MANIFEST => {
                let manifest: Manifest = serde_json::from_slice(&block)?;
                ensure!(manifest == tally.manifest(), "the backup is not what its manifest says");
                return Ok(manifest);
            }
            kind => bail!("the backup has a record of the unknown kind {kind}"),
        }
    }
}

fn write_record(out: &mut impl Write, tally: &mut Tally, kind: u8, block: &[u8]) -> Result<()> {
    tally.record(kind, block);
    out.write_all(&[kind])?;
    out.write_all(&u32::try_from(block.len())?.to_be_bytes())?;
    Ok(out.write_all(block)?)
}

fn read_record(input: &mut impl Read, block: &mut Vec<u8>) -> Result<u8> {
    let mut front = [0; 5];
    input.read_exact(&mut front).context("the backup has no manifest")?;
    let [kind, length @ ..] = front;
    let length = u32::from_be_bytes(length);
    block.clear();
    input.by_ref().take(length.into()).read_to_end(block)?;
    ensure!(block.len() as u64 == u64::from(length), "a record of the backup has no end");
    Ok(kind)
}

fn put_value(block: &mut Vec<u8>, value: Value<'_>) -> Result<()> {
    let (kind, bytes) = match value {
        Value::Null => {
            block.push(0);
            return Ok(());
        }
        Value::Int(number) => {
            block.push(1);
            block.extend_from_slice(&number.to_be_bytes());
            return Ok(());
        }
        Value::Text(text) => (2, text.as_bytes()),
        Value::Bytes(bytes) => (3, bytes),
    };
    block.push(kind);
    block.extend_from_slice(&u32::try_from(bytes.len())?.to_be_bytes());
    block.extend_from_slice(bytes);
    Ok(())
}

fn take_values(mut block: &[u8]) -> Result<Vec<Value<'_>>> {
    let mut values = Vec::new();
    while let Some((kind, rest)) = block.split_first() {
        let (value, rest) = take_value(*kind, rest).context("a row of the backup is damaged")?;
        values.push(value);
        block = rest;
    }
    Ok(values)
}

fn take_value(kind: u8, rest: &[u8]) -> Option<(Value<'_>, &[u8])> {
    if kind == 0 {
        return Some((Value::Null, rest));
    }
    if kind == 1 {
        let (number, rest) = rest.split_first_chunk()?;
        return Some((Value::Int(i64::from_be_bytes(*number)), rest));
    }
    let (length, rest) = rest.split_first_chunk()?;
    let (bytes, rest) =
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    match kind {
        2 => Some((Value::Text(std::str::from_utf8(bytes).ok()?), rest)),
        3 => Some((Value::Bytes(bytes), rest)),
        _ => None,
    }
}
