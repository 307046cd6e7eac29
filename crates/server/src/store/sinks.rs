//! Rows of sinks, and what of the log they have not been given yet.

use super::checkpoints::read_linked;
use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::Result;
use crate::model::chain::{Linked, Place, RECORD_TEXTS};
use Value::{Int, Text};

/// A stream, and what a sink has of it.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The last record there is.
    pub head: Place,
    /// The number of the last one that the sink was given, or that was dropped because it was old.
    pub given: i64,
    /// When the next one was written.
    pub since: i64,
}

impl Waiting {
    pub fn is_over(&self) -> bool {
        self.given >= self.head.number
    }
}

/// A record as the store has it.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    pub at: i64,
    pub duration: i64,
    pub linked: Linked,
    pub texts: [String; RECORD_TEXTS],
}

/// A checkpoint as the store has it.
#[derive(Debug, Clone)]
pub struct StoredCheckpoint {
    pub organisation: String,
    pub number: i64,
    pub at: i64,
    pub heads: Vec<Linked>,
    /// Identity of the key that has signed it.
    pub key: String,
    pub signature: Vec<u8>,
}

/// What is to be sent, of every organisation.
impl Tx {
    /// Streams that went on at a time or later and that a sink does not have in full.
    pub async fn list_waiting_streams(
        &mut self,
        sink: &str,
        since: i64,
        count: i64,
    ) -> Result<Vec<Waiting>> {
        let values = [Text(sink), Int(since), Int(count)];
        self.rows(sql::LIST_WAITING_STREAMS, &values, read_waiting).await
    }

    /// The streams behind one, in one order, whatever a sink has of them.
    pub async fn list_streams_behind(
        &mut self,
        sink: &str,
        (organisation, stream): (&str, i64),
        count: i64,
    ) -> Result<Vec<Waiting>> {
        let values = [Text(sink), Text(organisation), Int(stream), Int(count)];
        self.rows(sql::LIST_STREAMS_BEHIND, &values, read_waiting).await
    }

    /// The records behind a place.
    pub async fn list_records_behind(
        &mut self,
        from: &Place,
        count: i64,
    ) -> Result<Vec<StoredRecord>> {
        let values = [Text(&from.organisation), Int(from.stream), Int(from.number), Int(count)];
        self.rows(sql::LIST_RECORDS_BEHIND, &values, read_record).await
    }

    /// The checkpoints behind a place.
    pub async fn list_checkpoints_behind(
        &mut self,
        from: &Place,
        count: i64,
    ) -> Result<Vec<StoredCheckpoint>> {
        let organisation = &from.organisation;
        let values = [Text(organisation), Int(from.number), Int(count)];
        let read = |row: &Columns<'_>| {
            Ok(StoredCheckpoint {
                organisation: organisation.clone(),
                number: row.int()?,
                at: row.int()?,
                heads: Vec::new(),
                key: row.text()?,
                signature: row.bytes()?,
            })
        };
        let mut found = self.rows(sql::LIST_CHECKPOINTS_BEHIND, &values, read).await?;
        for checkpoint in &mut found {
            let values = [Text(organisation), Int(checkpoint.number)];
            let heads = self
                .rows(sql::LIST_CHECKPOINT_HEADS, &values, |row| read_linked(row, organisation));
            checkpoint.heads = heads.await?;
        }
        Ok(found)
    }

    /// A sink has a stream up to a place.
    pub async fn set_sink_position(&mut self, sink: &str, until: &Place) -> Result<()> {
        let Place { organisation, stream, number } = until;
        let values = [Text(organisation), Int(*stream), Text(sink), Int(*number)];
        self.change_any(sql::SET_SINK_POSITION, &values).await
    }

    /// Makes a server the one that gives a sink its records `until` a time, unless another one is; says whether it is
    /// now. No server that is right holds one beyond `most`.
    pub async fn hold_sink(
        &mut self,
        (sink, holder): (&str, &str),
        [now, until, most]: [i64; 3],
    ) -> Result<bool> {
        let values = [Text(sink), Text(holder), Int(until), Int(now), Int(most)];
        Ok(self.execute(sql::HOLD_SINK, &values).await? == 1)
    }

    /// Lets another server be that from now on.
    pub async fn release_sink(&mut self, (sink, holder): (&str, &str), now: i64) -> Result<()> {
        self.change_any(sql::RELEASE_SINK, &[Text(sink), Text(holder), Int(now)]).await
    }
}

/// What sinks mean for old records.
impl Tx {
    /// Up to where every one of these sinks has a stream, and every other one that a server has held since a time.
    /// Nothing where there is no sink.
    pub async fn find_given_to_all(
        &mut self,
        stream: i64,
        sinks: &[String],
        held_since: i64,
    ) -> Result<Option<i64>> {
        let organisation = self.organisation();
        let held = [Int(held_since)];
        let held = self.rows(sql::LIST_SINKS_HELD_SINCE, &held, |row| row.text()).await?;
        let mut least = None;
        for sink in sinks.iter().chain(&held) {
            let values = [Text(&organisation), Int(stream), Text(sink)];
            let given = self.row(sql::FIND_SINK_POSITION, &values, |row| row.int()).await?;
            let given = given.unwrap_or_default();
            least = Some(least.map_or(given, |least: i64| least.min(given)));
        }
        Ok(least)
    }

    /// Drops positions that say no more than a base does.
    pub async fn forget_sink_positions(&mut self, base: &Place) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(base.stream), Int(base.number)];
        self.change_any(sql::DELETE_SINK_POSITIONS, &values).await
    }
}

fn read_waiting(row: &Columns<'_>) -> Result<Waiting> {
    let head = Place { organisation: row.text()?, stream: row.int()?, number: row.int()? };
    Ok(Waiting { head, given: row.int()?, since: row.int()? })
}

fn read_record(row: &Columns<'_>) -> Result<StoredRecord> {
    let organisation = row.text()?;
    let (at, duration) = (row.int()?, row.int()?);
    let mut texts = [const { String::new() }; RECORD_TEXTS];
    for text in texts.iter_mut().skip(1) {
        *text = row.text()?;
    }
    let linked = read_linked(row, &organisation)?;
    if let Some(first) = texts.first_mut() {
        *first = organisation;
    }
    Ok(StoredRecord { at, duration, linked, texts })
}
