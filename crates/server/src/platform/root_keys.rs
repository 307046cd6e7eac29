//! Root keys: which the store needs, and moving everything from one to another while the server serves.

use std::sync::Arc;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Unattended};
use crate::model::action::Action;
use crate::model::key::VersionName;
use crate::store::Tx;

/// Under which name the store remembers the root keys in use: fingerprints, separated by commas.
const IN_USE: &str = "root_key";
/// Key versions that are wrapped anew in one transaction.
const BATCH: i64 = 256;

/// The root keys under which the store may hold something.
pub async fn in_use(app: &App) -> Result<Vec<String>> {
    gate::inspect(app, read_in_use).await
}

async fn read_in_use(tx: &mut Tx) -> Result<Vec<String>> {
    let known = tx.find_meta(IN_USE).await?.unwrap_or_default();
    Ok(known.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect())
}

/// Refuses a store that needs a root key which is not at hand, and remembers the one that wraps from now on.
pub async fn check(app: &Arc<App>) -> Result<()> {
    let at_hand: Vec<_> = app.keyring.fingerprints().map(str::to_owned).collect();
    gate::keep_house(app, "", async move |tx| {
        let mut in_use = read_in_use(tx).await?;
        if let Some(missing) = in_use.iter().find(|key| !at_hand.contains(key)) {
            return Err(Error::Conflict(format!(
                "this store needs root key {missing}, but {} is what is there; put the right one in place",
                at_hand.join(", ")
            )));
        }
        // Rows of before root keys were named are under the only one there was.
        if let [only] = &in_use[..] {
            tx.name_root_key(only).await?;
        }
        let first = at_hand.first().ok_or_else(|| Error::bug("no root key"))?;
        if !in_use.contains(first) {
            in_use.push(first.clone());
            tx.put_meta(IN_USE, &in_use.join(",")).await?;
        }
        Ok(())
    })
    .await
}

/// Wraps everything anew that is under another root key than the first: how much that was. Stopped anywhere, it
/// goes on where it was; every row is under one root key or the other.
pub async fn rewrap(app: &Arc<App>) -> Result<i64> {
    let root_key = app.keyring.fingerprint().to_owned();
    if in_use(app).await? == [root_key.as_str()] {
        return Ok(0);
    }
    let of = root_key.clone();
    let total = gate::inspect(app, async move |tx| tx.count_foreign(&of).await).await?;
    let (mut after, mut done) = (None, 0);
    loop {
        let (last, count) = rewrap_batch(app, after).await?;
        done += count;
        after = last;
        if after.is_none() {
            break;
        }
        tracing::info!("root key {root_key}: {done} of {total} key versions are under it");
    }
    rewrap_wrapping_keys(app).await?;
    settle(app, root_key).await?;
    Ok(total)
}

/// One batch after a place: the place of its last, and how many there were.
async fn rewrap_batch(
    app: &Arc<App>,
    after: Option<VersionName>,
) -> Result<(Option<VersionName>, i64)> {
    let root_key = app.keyring.fingerprint().to_owned();
    let list =
        async move |tx: &mut Tx| tx.list_foreign_versions(&root_key, after.as_ref(), BATCH).await;
    let batch = Arc::new(gate::inspect(app, list).await?);
    let Some(last) = batch.last().map(|key| key.name.clone()) else { return Ok((None, 0)) };
    let (shared, rows) = (app.clone(), batch.clone());
    gate::keep_house(app, "", async move |tx| {
        for old in rows.iter() {
            match shared.keyring.rewrap(old) {
                Ok(new) => tx.rewrap_version(old, &new).await?,
                // It holds no other one up, and the old root key stays in use.
                Err(error) => tracing::warn!(cause = error.cause(), "a key version is not moved"),
            }
        }
        Ok(())
    })
    .await?;
    Ok((Some(last), i64::try_from(batch.len()).unwrap_or(BATCH)))
}

async fn rewrap_wrapping_keys(app: &Arc<App>) -> Result<()> {
    let shared = app.clone();
    gate::keep_house(app, "", async move |tx| {
        for (region, old) in tx.list_foreign_wrapping_keys(shared.keyring.fingerprint()).await? {
            let new = shared.keyring.rewrap_wrapping_key(&region, &old)?;
            tx.rewrap_wrapping_key(&region, &old, &new).await?;
        }
        Ok(())
    })
    .await
}

/// Forgets the other root keys, once nothing is under them.
async fn settle(app: &Arc<App>, root_key: String) -> Result<()> {
    let work = Unattended {
        action: Action::RotateRootKey,
        reason: "root key rotation",
        organisation: String::new(),
        project: String::new(),
        subject: root_key.clone(),
    };
    let settled = gate::unattended(app, work, async move |tx| {
        if tx.count_foreign(&root_key).await? != 0 {
            return Ok(None);
        }
        tx.put_meta(IN_USE, &root_key).await.map(Some)
    })
    .await?;
    let root_key = app.keyring.fingerprint();
    match settled {
        Some(()) => tracing::info!("root key {root_key}: everything is under it; others can go"),
        None => tracing::warn!("root key {root_key}: something is still under another one"),
    }
    Ok(())
}
