//! The log with all that proves it, line by line: as it is verified, and as it is exported.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use coffer_api::Map;
use serde::{Deserialize, Serialize};
use serde_with::base64::Base64;
use serde_with::{DisplayFromStr, serde_as};

use crate::model::chain::{Linked, Place, RECORD_TEXTS, RecordRow};
use crate::store::{Snapshot, Value};

/// Columns of a record that are texts, in the order in which its link covers them.
const TEXTS: [&str; RECORD_TEXTS] = [
    "organisation_id",
    "event_id",
    "project_id",
    "principal_kind",
    "principal_id",
    "action",
    "resource_type",
    "resource_id",
    "outcome",
    "reason",
    "credential_id",
    "credential_kind",
    "client",
    "user_agent",
    "method",
    "url_path",
    "request_id",
];
const FORMAT: &str = "coffer-audit-export/1";

/// One line. They come in this order, those of a kind by organisation, stream and number.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    Export(Export),
    Base(Sealed),
    Head(Sealed),
    Checkpoint(Checkpoint),
    Record(Record),
}

/// What an export is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Export {
    pub format: String,
    /// RFC 3339.
    pub exported_at: String,
    /// Absent: all organisations, and the calls of nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl Export {
    pub fn new(organisation: Option<String>, exported_at: String) -> Self {
        Self { format: FORMAT.to_owned(), exported_at, organisation }
    }

    pub fn check(&self) -> Result<()> {
        ensure!(
            self.format == FORMAT,
            "an export in the format `{}` is not known here",
            self.format
        );
        Ok(())
    }
}

/// A place in a chain. Numbers of streams are larger than what JSON holds everywhere.
#[serde_as]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct At {
    #[serde_as(as = "DisplayFromStr")]
    pub stream: i64,
    pub number: i64,
    #[serde_as(as = "Base64")]
    pub link: Vec<u8>,
}

impl From<Linked> for At {
    fn from(linked: Linked) -> Self {
        Self { stream: linked.place.stream, number: linked.place.number, link: linked.link }
    }
}

impl At {
    pub fn of(self, organisation: &str) -> Linked {
        let place = Place {
            organisation: organisation.to_owned(),
            stream: self.stream,
            number: self.number,
        };
        Linked { place, link: self.link }
    }
}

/// An end of a stream. Stream 0 is that of an organisation's checkpoints.
#[serde_as]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sealed {
    pub organisation: String,
    #[serde(flatten)]
    pub at: At,
    #[serde_as(as = "Base64")]
    pub seal: Vec<u8>,
}

/// Where all streams ended that had moved since the checkpoint before.
#[serde_as]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    pub organisation: String,
    pub number: i64,
    /// Microseconds since 1970.
    pub at: i64,
    pub heads: Vec<At>,
    pub key: String,
    #[serde_as(as = "Base64")]
    pub signature: Vec<u8>,
}

/// A record of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Microseconds since 1970.
    pub at: i64,
    /// Microseconds.
    pub duration: i64,
    /// Absent in a record that is in no chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<At>,
    #[serde(flatten)]
    pub texts: Map,
}

impl Record {
    /// Of texts in the order in which its link covers them.
    pub fn new(at: i64, duration: i64, chain: Option<At>, texts: [String; RECORD_TEXTS]) -> Self {
        let texts = TEXTS.into_iter().map(str::to_owned).zip(texts).collect();
        Self { at, duration, chain, texts }
    }

    pub fn organisation(&self) -> &str {
        self.texts.get("organisation_id").map_or("", String::as_str)
    }

    pub fn id(&self) -> &str {
        self.texts.get("event_id").map_or("", String::as_str)
    }

    /// What its link covers: all there is.
    pub fn row(&self) -> Result<RecordRow<'_>> {
        let mut texts = [""; RECORD_TEXTS];
        for (name, text) in TEXTS.iter().zip(&mut texts) {
            *text = self.texts.get(*name).with_context(|| format!("a record without {name}"))?;
        }
        ensure!(self.texts.len() == RECORD_TEXTS, "a record with a field that no record has");
        Ok(RecordRow { at: self.at, duration: self.duration, texts })
    }
}

/// Hands each line of a store to `each`, those of one organisation or of all.
pub fn of_store(
    snapshot: &Snapshot<'_>,
    organisation: Option<&str>,
    mut each: impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    let wanted = |of: &str| organisation.is_none_or(|organisation| organisation == of);
    for (table, make) in
        [("audit_bases", Line::Base as fn(Sealed) -> Line), ("audit_heads", Line::Head)]
    {
        rows(snapshot, table, |row| {
            let organisation = row.text("organisation_id")?;
            match wanted(&organisation) {
                true => {
                    each(make(Sealed { at: row.place()?, seal: row.bytes("seal")?, organisation }))
                }
                false => Ok(()),
            }
        })?;
    }
    let mut heads: HashMap<(String, i64), Vec<At>> = HashMap::new();
    rows(snapshot, "audit_checkpoint_heads", |row| {
        let organisation = row.text("organisation_id")?;
        if wanted(&organisation) {
            heads.entry((organisation, row.int("checkpoint")?)).or_default().push(row.place()?);
        }
        Ok(())
    })?;
    rows(snapshot, "audit_checkpoints", |row| {
        let (organisation, number) = (row.text("organisation_id")?, row.int("number")?);
        if !wanted(&organisation) {
            return Ok(());
        }
        let heads = heads.remove(&(organisation.clone(), number)).unwrap_or_default();
        let (at, key, signature) = (row.int("at")?, row.text("key_id")?, row.bytes("signature")?);
        each(Line::Checkpoint(Checkpoint { organisation, number, at, heads, key, signature }))
    })?;
    let events = snapshot.table("audit_events")?;
    let order = ["organisation_id", "stream", "number"].map(str::to_owned);
    snapshot.rows_in_order(events, &order, |values| {
        let row = Row { columns: &events.columns, values };
        if !wanted(&row.text("organisation_id")?) {
            return Ok(());
        }
        let texts = TEXTS.into_iter().map(|name| Ok((name.to_owned(), row.text(name)?)));
        let chain = if row.is_null("stream")? { None } else { Some(row.place()?) };
        let texts = texts.collect::<Result<_>>()?;
        each(Line::Record(Record {
            at: row.int("at")?,
            duration: row.int("duration")?,
            chain,
            texts,
        }))
    })
}

/// All rows of a table, in the order of its key.
pub fn rows(
    snapshot: &Snapshot<'_>,
    table: &str,
    mut each: impl FnMut(Row<'_>) -> Result<()>,
) -> Result<()> {
    let table = snapshot.table(table)?;
    snapshot.rows(table, |values| each(Row { columns: &table.columns, values }))
}

/// The columns of a row, by name.
pub struct Row<'r> {
    columns: &'r [String],
    values: &'r [Value<'r>],
}

impl Row<'_> {
    fn get(&self, name: &str) -> Result<Value<'_>> {
        let at = self.columns.iter().position(|column| column == name);
        let value = at.and_then(|at| self.values.get(at)).copied();
        value.with_context(|| format!("no column {name}"))
    }

    fn is_null(&self, name: &str) -> Result<bool> {
        Ok(matches!(self.get(name)?, Value::Null))
    }

    pub fn int(&self, name: &str) -> Result<i64> {
        match self.get(name)? {
            Value::Int(number) => Ok(number),
            _ => anyhow::bail!("{name} is no number"),
        }
    }

    pub fn text(&self, name: &str) -> Result<String> {
        match self.get(name)? {
            Value::Text(text) => Ok(text.to_owned()),
            _ => anyhow::bail!("{name} is no text"),
        }
    }

    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        match self.get(name)? {
            Value::Bytes(bytes) => Ok(bytes.to_vec()),
            _ => anyhow::bail!("{name} is no bytes"),
        }
    }

    fn place(&self) -> Result<At> {
        Ok(At {
            stream: self.int("stream")?,
            number: self.int("number")?,
            link: self.bytes("link")?,
        })
    }
}
