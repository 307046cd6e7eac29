//! Rows of the audit log's ends and checkpoints.

use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::Result;
use crate::model::chain::{Linked, Place, UNLINKED};
use Value::{Bytes, Int, Text};

/// A checkpoint to insert.
pub struct NewCheckpoint<'a> {
    pub at: i64,
    pub heads: &'a [Linked],
    /// Identity of the key that has signed it.
    pub key: &'a str,
    pub signature: &'a [u8],
}

impl Tx {
    /// Organisations with records that no checkpoint covers.
    pub async fn list_moved_chains(&mut self) -> Result<Vec<String>> {
        self.rows(sql::LIST_MOVED_CHAINS, &[], |row| row.text()).await
    }

    /// Ends of streams that no checkpoint tells yet, by stream.
    pub async fn list_moved_heads(&mut self) -> Result<Vec<Linked>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_MOVED_HEADS, &[Text(&organisation)], |row| {
            read_linked(row, &organisation)
        })
        .await
    }

    /// Records of before there were chains, by organisation.
    pub async fn count_unlinked(&mut self) -> Result<Vec<Linked>> {
        self.rows(sql::COUNT_UNLINKED, &[], |row| {
            let place = Place { organisation: row.text()?, stream: UNLINKED, number: row.int()? };
            Ok(Linked { place, link: Vec::new() })
        })
        .await
    }

    /// Up to where a stream was dropped, or how much there was before all streams.
    pub async fn set_base(&mut self, base: &Linked, seal: &[u8]) -> Result<()> {
        let Linked { place, link } = base;
        let values = [
            Text(&place.organisation),
            Int(place.stream),
            Int(place.number),
            Bytes(link),
            Bytes(seal),
        ];
        self.change_one(sql::SET_BASE, &values).await
    }

    /// Up to where a stream was dropped; number 0 where nothing was.
    pub async fn find_base(&mut self, stream: i64) -> Result<Linked> {
        self.find_end(sql::FIND_BASE, stream).await
    }

    /// Where a stream ends; number 0 where it has not begun.
    pub async fn find_head(&mut self, stream: i64) -> Result<Linked> {
        self.find_end(sql::FIND_HEAD, stream).await
    }

    async fn find_end(&mut self, statement: &'static str, stream: i64) -> Result<Linked> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(stream)];
        let found = self.row(statement, &values, |row| read_linked(row, &organisation)).await?;
        Ok(found.unwrap_or_else(|| Linked {
            place: Place { organisation, stream, number: 0 },
            link: Vec::new(),
        }))
    }

    /// With the end of the stream of checkpoints that it makes, and that one's seal.
    pub async fn insert_checkpoint(
        &mut self,
        new: &NewCheckpoint<'_>,
        head: &Linked,
        seal: &[u8],
    ) -> Result<()> {
        let organisation = self.organisation();
        let organisation = Text(&organisation);
        let number = Int(head.place.number);
        let values = [
            organisation,
            number,
            Int(new.at),
            Bytes(&head.link),
            Text(new.key),
            Bytes(new.signature),
        ];
        self.change_one(sql::INSERT_CHECKPOINT, &values).await?;
        for Linked { place, link } in new.heads {
            let values = [organisation, Int(place.stream), Int(place.number), number, Bytes(link)];
            self.change_one(sql::INSERT_CHECKPOINT_HEAD, &values).await?;
        }
        let stream = Int(head.place.stream);
        let values = [organisation, stream, number, Bytes(&head.link), Bytes(seal), Int(new.at)];
        self.change_one(sql::SET_HEAD, &values).await
    }
}

/// What is old.
impl Tx {
    /// Every organisation with records, and "" for nobody's calls.
    pub async fn list_chained_organisations(&mut self) -> Result<Vec<String>> {
        self.rows(sql::LIST_CHAINED_ORGANISATIONS, &[], |row| row.text()).await
    }

    /// When the oldest record was written.
    pub async fn find_oldest_event(&mut self) -> Result<Option<i64>> {
        let organisation = self.organisation();
        self.row(sql::FIND_OLDEST_EVENT, &[Text(&organisation)], |row| row.int()).await
    }

    /// Streams with records from before a time.
    pub async fn list_streams_before(&mut self, before: i64) -> Result<Vec<i64>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(before)];
        self.rows(sql::LIST_STREAMS_BEFORE, &values, |row| row.int()).await
    }

    /// The first lines of a stream that are there, each with its time.
    pub async fn list_first_of_stream(
        &mut self,
        stream: i64,
        count: i64,
    ) -> Result<Vec<(Linked, i64)>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(stream), Int(count)];
        self.rows(sql::LIST_FIRST_OF_STREAM, &values, |row| {
            Ok((read_linked(row, &organisation)?, row.int()?))
        })
        .await
    }

    /// Drops the beginning of a stream up to a place, which must become its base.
    pub async fn drop_first_of_stream(&mut self, last: &Place) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(last.stream), Int(last.number)];
        self.change_any(sql::DROP_FIRST_OF_STREAM, &values).await
    }

    /// Drops records of before there were chains; how many.
    pub async fn drop_unlinked(&mut self, before: i64) -> Result<i64> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(before)];
        let count = self.execute(sql::DROP_UNLINKED, &values).await?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The last checkpoint from before a time.
    pub async fn find_old_checkpoint(&mut self, before: i64) -> Result<Option<Linked>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(before)];
        let read = |row: &Columns<'_>| read_linked(row, &organisation);
        self.row(sql::FIND_OLD_CHECKPOINT, &values, read).await
    }

    /// Drops checkpoints up to one, which must become their base.
    pub async fn drop_checkpoints(&mut self, last: &Place) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(last.number)];
        self.change_any(sql::DROP_CHECKPOINT_HEADS, &values).await?;
        self.change_any(sql::DROP_CHECKPOINTS, &values).await
    }
}

pub(super) fn read_linked(row: &Columns<'_>, organisation: &str) -> Result<Linked> {
    let organisation = organisation.to_owned();
    let place = Place { organisation, stream: row.int()?, number: row.int()? };
    Ok(Linked { place, link: row.bytes()? })
}
