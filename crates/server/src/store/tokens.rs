//! Rows of personal access tokens: hashes only.

use coffer_crypto::token::TokenHash;

use super::session::to_json;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::identity::PersonalToken;
use crate::model::scopes::Scopes;
use Value::{Bytes, Int, Text};

/// Whom a token speaks for, and how far.
#[derive(Debug, Clone)]
pub struct TokenHolder {
    pub id: String,
    pub subject: String,
    pub scopes: Scopes,
    pub expires_at: Option<i64>,
}

/// A token to insert.
pub struct NewToken<'a> {
    pub id: &'a str,
    pub subject: &'a str,
    pub name: &'a str,
    pub scopes: &'a Scopes,
    pub expires_at: Option<i64>,
}

impl Tx {
    pub async fn insert_token(
        &mut self,
        hash: &TokenHash,
        token: &NewToken<'_>,
        now: i64,
    ) -> Result<()> {
        let scopes = to_json(&token.scopes.words())?;
        let values = [
            Bytes(hash),
            Text(token.id),
            Text(token.subject),
            Text(token.name),
            Text(&scopes),
            Int(now),
            Value::int_or_null(token.expires_at),
        ];
        self.change_one(sql::INSERT_TOKEN, &values).await
    }

    pub async fn find_token(&mut self, hash: &TokenHash) -> Result<Option<TokenHolder>> {
        self.row(sql::FIND_TOKEN, &[Bytes(hash)], |row| {
            Ok(TokenHolder {
                id: row.text()?,
                subject: row.text()?,
                scopes: Scopes::stored(row.json()?),
                expires_at: row.int_or_null()?,
            })
        })
        .await
    }

    /// A user's tokens, in the order of their identities.
    pub async fn list_tokens(&mut self, subject: &str) -> Result<Vec<PersonalToken>> {
        self.rows(sql::LIST_TOKENS, &[Text(subject)], |row| {
            Ok(PersonalToken {
                id: row.text()?,
                name: row.text()?,
                scopes: Scopes::stored(row.json()?),
                created_at: row.int()?,
                expires_at: row.int_or_null()?,
                last_used_at: row.int_or_null()?,
            })
        })
        .await
    }

    /// Ends a token of a user, who no longer can use it; not found when the user has no such token.
    pub async fn delete_token(&mut self, subject: &str, id: &str) -> Result<()> {
        self.identities_changed();
        match self.execute(sql::DELETE_TOKEN, &[Text(subject), Text(id)]).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("token")),
        }
    }

    /// Remembers when a token was last used.
    pub async fn touch_token(&mut self, id: &str, at: i64) -> Result<()> {
        self.execute(sql::TOUCH_TOKEN, &[Text(id), Int(at)]).await.map(|_| ())
    }
}
