//! Root keys: which the store needs, and moving everything from one to another while the server serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Unattended};
use crate::model::action::Action;
use crate::store::{Tx, VersionPlace};

/// Key versions that are wrapped anew in one transaction.
const BATCH: usize = 256;

/// The root keys under which something is in the store, by their fingerprints.
pub async fn in_use(app: &App) -> Result<Vec<String>> {
    gate::inspect(app, async |tx| tx.list_root_keys().await).await
}

/// The root keys that the store needs and that are not at hand.
pub async fn missing(app: &App) -> Result<Vec<String>> {
    let mut in_use = in_use(app).await?;
    in_use.retain(|needed| app.keyring.fingerprints().all(|at_hand| at_hand != needed));
    Ok(in_use)
}

/// Refuses a store that needs a root key which is not at hand.
pub async fn check(app: &App) -> Result<()> {
    let missing = missing(app).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let at_hand: Vec<_> = app.keyring.fingerprints().collect();
    Err(Error::Conflict(format!(
        "this store needs root key {}, but {} is what is there; put the right one in place",
        missing.join(" and "),
        at_hand.join(" and ")
    )))
}

/// Wraps everything anew that is under another root key than the first: how much that was. Stopped anywhere, it
/// goes on where it was; every row is under one root key or the other, and says which.
pub async fn rewrap(app: &Arc<App>) -> Result<i64> {
    let root_key = app.keyring.fingerprint();
    let total = count_foreign(app).await?;
    if total == 0 {
        return Ok(0);
    }
    let (mut after, mut done) = (VersionPlace::default(), 0);
    while let Some((last, moved)) = rewrap_batch(app, after).await? {
        (after, done) = (last, done + moved);
        tracing::info!("root key {root_key}: {done} of {total} keys are under it");
    }
    done += rewrap_wrapping_keys(app).await? + rewrap_signing_keys(app).await?;
    let left = count_foreign(app).await?;
    if left > 0 {
        tracing::warn!("root key {root_key}: {left} keys are still under another one");
    }
    Ok(done)
}

async fn count_foreign(app: &App) -> Result<i64> {
    let root_key = app.keyring.fingerprint().to_owned();
    gate::inspect(app, async move |tx| tx.count_foreign(&root_key).await).await
}

/// One batch after a place: the place of its last, and how many were moved.
async fn rewrap_batch(app: &Arc<App>, after: VersionPlace) -> Result<Option<(VersionPlace, i64)>> {
    let root_key = app.keyring.fingerprint().to_owned();
    let one_more = i64::try_from(BATCH + 1).unwrap_or(i64::MAX);
    let list = async move |tx: &mut Tx| tx.list_foreign_versions(&root_key, &after, one_more).await;
    let mut batch = gate::inspect(app, list).await?;
    let may_be_last = batch.len() <= BATCH;
    batch.truncate(BATCH);
    let Some((last, _)) = batch.last().cloned() else { return Ok(None) };
    let shared = app.clone();
    let moved = move_some(app, may_be_last, async move |tx| {
        let mut moved = 0;
        for ((organisation, key, version), old) in &batch {
            let anew = old.as_ref().map_err(Clone::clone);
            match anew.and_then(|old| Ok((old, shared.keyring.rewrap(old)?))) {
                Ok((old, new)) => moved += i64::from(tx.rewrap_version(old, &new).await?),
                // It holds no other one up, and the old root key stays in use.
                Err(error) => tracing::warn!(
                    cause = error.cause(),
                    "version {version} of key {key} of {organisation} stays under its root key"
                ),
            }
        }
        Ok(moved)
    })
    .await?;
    Ok(Some((last, moved)))
}

async fn rewrap_wrapping_keys(app: &Arc<App>) -> Result<i64> {
    let shared = app.clone();
    move_some(app, true, async move |tx| {
        let mut moved = 0;
        for (region, old) in tx.list_foreign_wrapping_keys(shared.keyring.fingerprint()).await? {
            match shared.keyring.rewrap_wrapping_key(&region, &old) {
                Ok(new) => {
                    moved += i64::from(tx.rewrap_wrapping_key(&region, &old, &new).await?);
                }
                Err(error) => tracing::warn!(
                    cause = error.cause(),
                    "the wrapping key of region {region} stays under its root key"
                ),
            }
        }
        Ok(moved)
    })
    .await
}

async fn rewrap_signing_keys(app: &Arc<App>) -> Result<i64> {
    let shared = app.clone();
    move_some(app, true, async move |tx| {
        let mut moved = 0;
        for (id, old) in tx.list_foreign_signing_keys(shared.keyring.fingerprint()).await? {
            match shared.keyring.rewrap_signing_key(&id, &old) {
                Ok(new) => moved += i64::from(tx.rewrap_signing_key(&id, &old, &new).await?),
                Err(error) => tracing::warn!(
                    cause = error.cause(),
                    "the signing key {id} stays under its root key"
                ),
            }
        }
        Ok(moved)
    })
    .await
}

/// Moves some in one transaction: how much. Where it `may_be_last` and nothing is under another root key any more, the
/// record says so in that transaction, and nothing of it is left in the log of the database. Whoever was stopped in
/// between would find nothing to move any more, and would never tell.
async fn move_some<F>(app: &Arc<App>, may_be_last: bool, operate: F) -> Result<i64>
where
    F: AsyncFn(&mut Tx) -> Result<i64> + Send + 'static,
{
    let root_key = app.keyring.fingerprint().to_owned();
    let work = Unattended {
        action: Action::RotateRootKey,
        reason: "root key rotation",
        organisation: String::new(),
        project: String::new(),
        subject: root_key.clone(),
    };
    let (of_tx, moved) = (root_key.clone(), Arc::new(AtomicI64::new(0)));
    let counted = moved.clone();
    let ended = gate::unattended(app, work, async move |tx| {
        let done = operate(tx).await?;
        counted.store(done, Ordering::SeqCst);
        if done == 0 || !may_be_last || tx.count_foreign(&of_tx).await? > 0 {
            return Ok(None);
        }
        tx.erased_for_ever();
        Ok(Some(()))
    });
    if ended.await?.is_some() {
        tracing::info!(
            "root key {root_key}: everything is under it; others can go from the settings of this \
             server, but backups of before need them"
        );
    }
    Ok(moved.load(Ordering::SeqCst))
}
