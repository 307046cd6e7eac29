//! Leave to seal: every seal under a key is counted in the store before it is made.

use coffer_crypto::Algorithm;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::keyring::{Permit, SEALS_AT_ONCE};
use crate::model::key::VersionName;
use crate::model::limits::SEALS_MAX;
use crate::store::Tx;

/// Leave for one seal within a transaction that writes.
pub async fn permit(app: &App, tx: &mut Tx, name: &VersionName) -> Result<Permit> {
    if let Some(permit) = take(app, name) {
        return Ok(permit);
    }
    count(app, tx, name, SEALS_AT_ONCE - 1).await?;
    Ok(Permit::counted())
}

/// Leave for one seal, where [`prepare`] has been before.
pub fn prepared_permit(app: &App, name: &VersionName) -> Result<Permit> {
    take(app, name).ok_or_else(|| Error::unavailable("the block of seals is used up already"))
}

/// Sees to it that there is a block to take from, ahead of an operation that only reads.
pub async fn prepare(app: &std::sync::Arc<App>, name: &VersionName) -> Result<()> {
    if is_unlimited(name) || app.keyring.allowance.is_there(name) {
        return Ok(());
    }
    // One at a time: whoever waited finds the block of the one before.
    let _turn = app.counting.lock().await;
    if app.keyring.allowance.is_there(name) {
        return Ok(());
    }
    let (shared, name) = (app.clone(), name.clone());
    gate::keep_house(app, &name.organisation.clone(), async move |tx| {
        count(&shared, tx, &name, SEALS_AT_ONCE).await
    })
    .await
}

fn take(app: &App, name: &VersionName) -> Option<Permit> {
    match is_unlimited(name) {
        true => Some(Permit::unlimited()),
        false => app.keyring.allowance.take(name),
    }
}

/// RSA has no nonce.
fn is_unlimited(name: &VersionName) -> bool {
    !matches!(name.algorithm, Algorithm::Aead(_))
}

/// Counts a block; `left` of it can be taken once it is durable.
async fn count(app: &App, tx: &mut Tx, name: &VersionName, left: i64) -> Result<()> {
    if tx.add_seals(&name.key, name.version, SEALS_AT_ONCE).await? > SEALS_MAX {
        return Err(Error::invalid(
            "",
            format!(
                "version {} of the KMS key has sealed as often as is safe; use a newer one",
                name.version
            ),
        ));
    }
    let (keyring, name) = (app.keyring.clone(), name.clone());
    tx.after_commit(move || keyring.allowance.add(&name, left));
    Ok(())
}
