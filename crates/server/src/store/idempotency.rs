//! Rows of answers that are kept under idempotency keys, and the room that they take.

use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Kept, Outcome, Result};
use crate::model::limits::{ANSWER_KIB_MAX, ANSWER_LIFETIME};
use Value::{Bytes, Int, Text};

/// A kept answer, and the tag of the request that it answers.
pub struct KeptAnswer {
    pub request: Vec<u8>,
    pub answer: Kept,
}

impl Tx {
    /// What an owner was answered under a key, as long as that is kept.
    pub async fn find_answer(
        &mut self,
        (owner, key): (&str, &[u8]),
        now: i64,
    ) -> Result<Option<KeptAnswer>> {
        let values = [Text(owner), Bytes(key), Int(now - ANSWER_LIFETIME)];
        self.row(sql::FIND_KEPT_ANSWER, &values, |row| {
            Ok(KeptAnswer { request: row.bytes()?, answer: read_answer(row)? })
        })
        .await
    }

    /// Keeps an answer, in the place of one that has expired. Too many when the owner's room is used up.
    pub async fn keep_answer(
        &mut self,
        (owner, key): (&str, &[u8]),
        kept: &KeptAnswer,
        now: i64,
    ) -> Result<()> {
        self.drop_expired_answer((owner, key), now).await?;
        let answer = &kept.answer;
        let kib = 1 + i64::try_from(answer.body.len() / 1024).unwrap_or(ANSWER_KIB_MAX);
        if !self.use_answer_room(owner, kib).await? {
            return Err(Error::TooMany { retry_after_seconds: 3600 });
        }
        let values = [
            Text(owner),
            Bytes(key),
            Bytes(&kept.request),
            Text(answer.outcome.word()),
            Text(&answer.subject),
            Text(&answer.body),
            Value::int_or_null(answer.object_version),
            Int(kib),
            Int(now),
        ];
        self.change_one(sql::INSERT_KEPT_ANSWER, &values).await
    }

    /// Up to `count` keys whose answers have expired, of every owner.
    pub async fn list_expired_answers(
        &mut self,
        now: i64,
        count: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let values = [Int(now - ANSWER_LIFETIME), Int(count)];
        let read = |row: &Columns<'_>| Ok((row.text()?, row.bytes()?));
        self.rows(sql::LIST_EXPIRED_ANSWERS, &values, read).await
    }

    /// Drops an answer if it has expired, and gives its room back.
    pub async fn drop_expired_answer(
        &mut self,
        (owner, key): (&str, &[u8]),
        now: i64,
    ) -> Result<()> {
        let values = [Text(owner), Bytes(key), Int(now - ANSWER_LIFETIME)];
        match self.row(sql::DELETE_KEPT_ANSWER, &values, |row| row.int()).await? {
            Some(kib) => self.use_answer_room(owner, -kib).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Whether there was room.
    async fn use_answer_room(&mut self, owner: &str, kib: i64) -> Result<bool> {
        let values = [Text(owner), Int(kib), Int(ANSWER_KIB_MAX)];
        Ok(self.execute(sql::USE_ANSWER_ROOM, &values).await? == 1)
    }
}

fn read_answer(row: &Columns<'_>) -> Result<Kept> {
    Ok(Kept {
        outcome: row.word(Outcome::from_word)?,
        subject: row.text()?,
        body: row.text()?,
        object_version: row.int_or_null()?,
    })
}
