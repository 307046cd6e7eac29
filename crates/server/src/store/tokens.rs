//! Rows of personal access tokens: hashes only.

use coffer_crypto::token::TokenHash;

use super::{Tx, Value, sql};
use crate::error::Result;
use Value::{Bytes, Int, Text};

/// Whom a token speaks for.
#[derive(Debug, Clone)]
pub struct Token {
    pub id: String,
    pub subject: String,
    pub expires_at: Option<i64>,
}

impl Tx {
    pub async fn insert_token(
        &mut self,
        hash: &TokenHash,
        token: &Token,
        name: &str,
        now: i64,
    ) -> Result<()> {
        self.identities_changed();
        let values = [
            Bytes(hash),
            Text(&token.id),
            Text(&token.subject),
            Text(name),
            Int(now),
            Value::int_or_null(token.expires_at),
        ];
        self.change_one(sql::INSERT_TOKEN, &values).await
    }

    pub async fn find_token(&mut self, hash: &TokenHash) -> Result<Option<Token>> {
        self.row(sql::FIND_TOKEN, &[Bytes(hash)], |row| {
            Ok(Token { id: row.text()?, subject: row.text()?, expires_at: row.int_or_null()? })
        })
        .await
    }

    pub async fn delete_token(&mut self, id: &str) -> Result<()> {
        self.identities_changed();
        self.change_one(sql::DELETE_TOKEN, &[Text(id)]).await
    }
}
