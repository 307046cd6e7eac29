//! Disable, enable, schedule deletion, cancel it (contract, section 3.14).

use std::sync::Arc;

use super::{Named, View, read_key, view};
use crate::app::App;
use crate::clock::DAY;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, KeyStatus};
use crate::model::limits::KEY_DELETION_DAYS;
use crate::model::precondition::Precondition;
use crate::store::Tx;

/// Disables a key. A disabled one stays so.
pub async fn disable(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    change(app, call, named, Action::DisableKey, precondition, |key, _| match key.status {
        KeyStatus::PendingDeletion | KeyStatus::Deleted => Err(pending()),
        KeyStatus::Active | KeyStatus::Disabled => Ok(KeyStatus::Disabled),
    })
    .await
}

/// Enables a key. An active one stays so.
pub async fn enable(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    change(app, call, named, Action::EnableKey, precondition, |key, _| match key.status {
        KeyStatus::PendingDeletion | KeyStatus::Deleted => Err(pending()),
        KeyStatus::Active | KeyStatus::Disabled => Ok(KeyStatus::Active),
    })
    .await
}

/// Schedules a key's deletion in 30 days and frees its slug. A second call changes nothing.
pub async fn schedule_deletion(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    change(app, call, named, Action::DeleteKey, precondition, |_, _| Ok(KeyStatus::PendingDeletion))
        .await
}

/// Takes a scheduled deletion back; the key is active again, under its slug or the next free one.
pub async fn cancel_deletion(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    change(app, call, named, Action::CancelDeletion, precondition, |key, now| match key {
        Key { status: KeyStatus::PendingDeletion, deletion_scheduled_at: Some(at), .. }
            if *at > now =>
        {
            Ok(KeyStatus::Active)
        }
        Key { status: KeyStatus::PendingDeletion, .. } => {
            Err(Error::invalid("", "the time to cancel the deletion has passed"))
        }
        _ => Err(Error::invalid("", "no deletion of this key is pending")),
    })
    .await
}

fn pending() -> Error {
    Error::invalid("", "KMS key is pending deletion; cancel the deletion first")
}

/// Moves a key to the status that `next` chooses. Material of a key that is no longer active is dropped
/// from memory before the caller hears of it.
async fn change(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    action: Action,
    precondition: Precondition,
    next: fn(&Key, i64) -> Result<KeyStatus>,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, named.ask(action), async move |tx, scope| {
        let now = shared.clock.now();
        let mut key = read_key(tx, scope).await?;
        precondition.check(key.object_version)?;
        let status = next(&key, now)?;
        if status != key.status {
            if key.status == KeyStatus::PendingDeletion {
                key.slug = free_slug(tx, scope, &key).await?;
            }
            key.status = status;
            key.deletion_scheduled_at =
                (status == KeyStatus::PendingDeletion).then_some(now + KEY_DELETION_DAYS * DAY);
            tx.set_key_status(&key, now).await?;
            let (app, organisation) = (shared.clone(), scope.organisation.clone());
            tx.after_commit(move || match key.status {
                KeyStatus::Active => app.keyring.keep_key(&organisation, &key.id),
                _ => app.keyring.drop_key(&organisation, &key.id),
            });
        }
        view(tx, scope).await
    })
    .await
}

/// The slug itself when it is free, else the first free of `slug-2`, `slug-3`, …, and where many are taken one
/// with the key's own number.
async fn free_slug(tx: &mut Tx, scope: &Scope, key: &Key) -> Result<String> {
    const TRIES: u32 = 100;
    let mut candidate = key.slug.clone();
    for number in 2..TRIES {
        if !tx.is_slug_taken(scope.region_id(), &scope.project, &candidate).await? {
            return Ok(candidate);
        }
        candidate = format!("{}-{number}", key.slug);
    }
    Ok(format!("{}-{}", key.slug, key.id))
}
