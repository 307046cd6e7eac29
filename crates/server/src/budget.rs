//! Leave to seal: every seal under a key is counted in the store before it is made.

use std::sync::Arc;

use coffer_crypto::Algorithm;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::keyring::{Block, Permit, SEALS_AT_ONCE};
use crate::model::key::VersionName;
use crate::model::limits::SEALS_MAX;
use crate::store::Tx;

/// Leave for one seal, where there is no transaction that writes.
pub async fn permit(app: &App, name: &VersionName) -> Result<Permit> {
    if is_unlimited(name) {
        return Ok(Permit::unlimited());
    }
    let block = app.keyring.allowance.block(name);
    if let Some(permit) = block.take() {
        return Ok(permit);
    }
    // One at a time for each version: whoever waited finds the block of the one before.
    let _turn = block.counting.lock().await;
    if let Some(permit) = block.take() {
        return Ok(permit);
    }
    let (name, counted) = (name.clone(), block.clone());
    let organisation = name.organisation.clone();
    gate::keep_house(app, &organisation, async move |tx| count(tx, &name, &counted).await).await?;
    Ok(Permit::counted())
}

/// Leave for one seal within a transaction that writes.
pub async fn permit_in(app: &App, tx: &mut Tx, name: &VersionName) -> Result<Permit> {
    let block = app.keyring.allowance.block(name);
    if let Some(permit) = block.take() {
        return Ok(permit);
    }
    count(tx, name, &block).await?;
    Ok(Permit::counted())
}

/// RSA has no nonce.
fn is_unlimited(name: &VersionName) -> bool {
    !matches!(name.algorithm, Algorithm::Aead(_))
}

/// Counts a block. All but its first can be taken by others once it is durable.
async fn count(tx: &mut Tx, name: &VersionName, block: &Arc<Block>) -> Result<()> {
    if tx.add_seals(&name.key, name.version, SEALS_AT_ONCE).await? > SEALS_MAX {
        return Err(Error::invalid(
            "",
            format!("version {} of the KMS key has sealed as often as is safe", name.version),
        ));
    }
    let block = block.clone();
    tx.after_commit(move || block.add(SEALS_AT_ONCE - 1));
    Ok(())
}
