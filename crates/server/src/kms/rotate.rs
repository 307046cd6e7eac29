//! Rotation: one more version, which new operations use.

use std::sync::Arc;

use super::{Named, View, read_key, unfilled, view};
use crate::app::App;
use crate::error::Result;
use crate::gate;
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::precondition::Precondition;

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
        let now = shared.clock.now();
        let mut version = unfilled(scope, &key, key.latest_version + 1);
        shared.keyring.mint(&mut version)?;
        tx.insert_key_version(&key.id, version.version, &version.material, now).await?;
        tx.set_key_version(&key.id, version.version, now).await?;
        view(tx, scope).await
    })
    .await
}
