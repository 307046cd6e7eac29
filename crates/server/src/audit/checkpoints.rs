//! Checkpoints: where every stream of an organisation ends, signed, each linked to the one before.

use std::sync::Arc;

use crate::app::App;
use crate::error::Result;
use crate::gate;
use crate::keyring::{SigningKey, checkpoint_bytes, checkpoint_digest};
use crate::model::chain::{CHECKPOINTS, End, Linked, Place};
use crate::model::key::SigningPurpose;
use crate::store::{NewCheckpoint, Tx};

/// Makes a checkpoint for each organisation with records since its last one.
pub async fn checkpoint_all(app: &Arc<App>) -> Result<()> {
    let moved = gate::inspect(app, async |tx| tx.list_moved_chains().await).await?;
    if moved.is_empty() {
        return Ok(());
    }
    let (id, wrapped) = gate::own_key(app, SigningPurpose::AuditCheckpoints).await?;
    let signer = Arc::new(app.keyring.open_signer(&id, &wrapped)?);
    for organisation in moved {
        let (shared, signer) = (app.clone(), signer.clone());
        let make = async move |tx: &mut Tx| checkpoint(tx, &shared, &signer).await;
        gate::keep_house(app, &organisation, make).await?;
    }
    Ok(())
}

async fn checkpoint(tx: &mut Tx, app: &App, signer: &SigningKey) -> Result<()> {
    let heads = tx.list_moved_heads().await?;
    if heads.is_empty() {
        return Ok(());
    }
    let last = tx.find_head(CHECKPOINTS).await?;
    let place = Place { number: last.place.number + 1, ..last.place };
    let at = app.clock.now();
    let signed = checkpoint_bytes(&place, &last.link, at, &heads);
    let signature = signer.sign(&signed)?;
    let head = Linked { place, link: checkpoint_digest(&signed) };
    let seal = tx.chain_key()?.seal(End::Head, &head);
    let new = NewCheckpoint { at, heads: &heads, key: signer.id(), signature: &signature };
    tx.insert_checkpoint(&new, &head, &seal).await
}
