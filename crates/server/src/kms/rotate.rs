//! Rotation: one more version, which new operations use.

use std::sync::Arc;

use super::{Named, View, read_key, unfilled, view};
use crate::app::App;
use crate::error::Result;
use crate::gate::{self, Unattended};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::WrappedKey;
use crate::model::precondition::Precondition;
use crate::store::{DueKey, Tx};

/// Adds a version to an active key. Earlier ones go on opening what they sealed.
pub async fn rotate(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, named.ask(Action::RotateKey), async move |tx, scope| {
        let key = read_key(tx, scope).await?;
        precondition.check(key.object_version)?;
        key.check_active()?;
        add_version(&shared, tx, unfilled(scope, &key, key.latest_version + 1)).await?;
        view(tx, scope).await
    })
    .await
}

/// Rotates every key whose period has passed; says how many. A key that fails holds no other one up.
pub async fn rotate_due(app: &Arc<App>) -> Result<usize> {
    let now = app.clock.now();
    let (mut rotated, mut after) = (0, String::new());
    loop {
        let from = after.clone();
        let page = gate::inspect(app, async move |tx| tx.list_due_keys(now, &from).await).await?;
        let Some(last) = page.last() else { return Ok(rotated) };
        after.clone_from(&last.key);
        for due in page {
            match rotate_one(app, due, now).await {
                Ok(done) => rotated += usize::from(done.is_some()),
                Err(error) => tracing::warn!(cause = error.cause(), "a key is not rotated yet"),
            }
        }
    }
}

/// Rotates a key if it is still due.
async fn rotate_one(app: &Arc<App>, due: DueKey, now: i64) -> Result<Option<()>> {
    let work = Unattended {
        action: Action::RotateScheduled,
        reason: "key rotation",
        organisation: due.organisation.clone(),
        project: due.project.clone(),
        subject: due.key.clone(),
    };
    let shared = app.clone();
    gate::unattended(app, work, async move |tx| {
        // Asked again inside the transaction: of two servers only one still finds the key due.
        if !tx.is_key_due(&due.key, now).await? {
            return Ok(None);
        }
        let Some(key) = tx.find_key(&due.region, &due.project, &due.key).await? else {
            return Ok(None);
        };
        let version = WrappedKey {
            organisation: due.organisation.clone(),
            region: due.region.clone(),
            project: due.project.clone(),
            version: key.latest_version + 1,
            key_type: key.key_type,
            key: key.id,
            material: Vec::new(),
        };
        add_version(&shared, tx, version).await.map(Some)
    })
    .await
}

/// Mints a version's material and makes it the latest.
async fn add_version(app: &App, tx: &mut Tx, mut version: WrappedKey) -> Result<()> {
    let now = app.clock.now();
    app.keyring.mint(&mut version)?;
    tx.insert_key_version(&version.key, version.version, &version.material, now).await?;
    tx.set_key_version(&version.key, version.version, now).await
}
