//! The end of a key: its material is erased when the deletion falls due (contract, section 14, 30).

use std::sync::Arc;

use crate::app::App;
use crate::error::Result;
use crate::gate::{self, Unattended};
use crate::model::action::Action;
use crate::store::DueKey;

/// Purges every key whose deletion has fallen due; says how many. A key that fails holds no other one up.
pub async fn purge_due(app: &Arc<App>) -> Result<usize> {
    let now = app.clock.now();
    let (mut purged, mut after) = (0, String::new());
    loop {
        let from = after.clone();
        let list = async move |tx: &mut crate::store::Tx| tx.list_purgeable_keys(now, &from).await;
        let page = gate::inspect(app, list).await?;
        let Some(last) = page.last() else { return Ok(purged) };
        after.clone_from(&last.key);
        for due in page {
            let (key, organisation) = (due.key.clone(), due.organisation.clone());
            match purge_one(app, due, now).await {
                Ok(done) => purged += usize::from(done.is_some()),
                Err(error) => tracing::warn!(
                    cause = error.cause(),
                    "key {key} of {organisation} is not purged yet"
                ),
            }
        }
    }
}

/// Purges a key if its deletion is still due.
async fn purge_one(app: &Arc<App>, due: DueKey, now: i64) -> Result<Option<()>> {
    let work = Unattended {
        action: Action::PurgeKey,
        reason: "key deletion",
        organisation: due.organisation.clone(),
        project: due.project.clone(),
        subject: due.key.clone(),
    };
    let keyring = app.keyring.clone();
    gate::unattended(app, work, async move |tx| {
        // Asked again inside the transaction: the deletion may have been cancelled.
        if !tx.purge_key(&due.key, now).await? {
            return Ok(None);
        }
        let (keyring, due) = (keyring.clone(), due.clone());
        tx.after_commit(move || keyring.forget_key(&due.organisation, &due.key));
        Ok(Some(()))
    })
    .await
}
