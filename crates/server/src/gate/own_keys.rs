//! Keys of the store's own.

use super::{inspect, keep_house};
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::key::{SigningPurpose, Wrapped};
use crate::store::Tx;

/// One of the store's own keys that may be needed.
pub struct NewOwnKey {
    purpose: SigningPurpose,
    id: String,
    wrapped: Wrapped,
    now: i64,
}

impl NewOwnKey {
    pub fn new(app: &App, purpose: SigningPurpose) -> Result<Self> {
        let id = app.clock.fresh_id(purpose.prefix())?;
        let wrapped = app.keyring.generate_own_key(purpose, &id)?;
        Ok(Self { purpose, id, wrapped, now: app.clock.now() })
    }

    /// Keeps the key unless there is one already: which one there is now.
    pub async fn keep(&self, tx: &mut Tx) -> Result<(String, Wrapped)> {
        tx.insert_signing_key(self.purpose, &self.id, &self.wrapped, self.now).await?;
        let found = tx.find_signing_key(self.purpose).await?;
        found.ok_or_else(|| Error::bug("a key is not there after it was made"))
    }
}

/// One of the store's own keys with its identity, made when it is first needed. Of two that are made at once, the first
/// one stays.
pub async fn own_key(app: &App, purpose: SigningPurpose) -> Result<(String, Wrapped)> {
    let find = async move |tx: &mut Tx| tx.find_signing_key(purpose).await;
    if let Some(found) = inspect(app, find).await? {
        return Ok(found);
    }
    let new = NewOwnKey::new(app, purpose)?;
    keep_house(app, "", async move |tx| new.keep(tx).await).await
}
