//! Rotation: one more version, which new operations use.

use std::sync::Arc;

use coffer_api::SetRotationRequest;

use super::{Named, View, admitted_key, generate, read_key, version_name, view};
use crate::app::App;
use crate::clock::DAY;
use crate::error::{Error, Result};
use crate::gate::{self, Scope, Unattended};
use crate::keyring::Fresh;
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, KeyStatus, KeyType, VersionName};
use crate::model::limits::{ROTATION_DAYS_MAX, SEALS_BEFORE_ROTATION};
use crate::model::precondition::Precondition;
use crate::store::{DueKey, Tx};

/// Adds a version to an active key. Earlier ones go on opening what they sealed.
pub async fn rotate(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    let (ahead, shared, expected) = (app.clone(), app.clone(), precondition.clone());
    let prepare = async move |scope: Scope| {
        let key = admitted_key(&scope)?;
        expected.check(key.object_version)?;
        check_rotatable(key)?;
        generate(&ahead, &ahead.lanes.making, &scope.organisation, key.algorithm()).await
    };
    let ask = named.ask(Action::RotateKey);
    gate::write_prepared(app, call, ask, prepare, async move |tx, scope, fresh| {
        let key = read_key(tx, scope).await?;
        precondition.check(key.object_version)?;
        check_rotatable(&key)?;
        let name = version_name(scope, &key, key.latest_version + 1);
        add_version(&shared, tx, &name, fresh).await?;
        view(tx, scope).await
    })
    .await
}

fn check_rotatable(key: &Key) -> Result<()> {
    key.check_active()?;
    key.check_rotatable()
}

/// Changes when a key is rotated by the clock. A request that says nothing changes nothing.
pub async fn set_rotation(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<SetRotationRequest>,
    precondition: Precondition,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, named.ask(Action::SetRotation), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let mut key = read_key(tx, scope).await?;
        precondition.check(key.object_version)?;
        let before = (key.rotation_enabled, key.rotation_period_days);
        key.rotation_enabled = body.key_rotation_enabled.unwrap_or(before.0);
        key.rotation_period_days = body.rotation_period_in_days.or(before.1);
        if (key.rotation_enabled, key.rotation_period_days) != before {
            if key.status == KeyStatus::PendingDeletion {
                return Err(Error::invalid(
                    "",
                    "KMS key is pending deletion; cancel the deletion first",
                ));
            }
            check_rotation(&key)?;
            tx.set_rotation(&key, shared.clock.now()).await?;
        }
        view(tx, scope).await
    })
    .await
}

/// Whether a key's rotation settings make sense (contract, section 3.13).
pub(super) fn check_rotation(key: &Key) -> Result<()> {
    match key.rotation_period_days {
        Some(days) if !(1..=ROTATION_DAYS_MAX).contains(&days) => {
            Err(Error::invalid("rotationPeriodInDays", "must be 1 to 3650"))
        }
        None if key.rotation_enabled => {
            Err(Error::invalid("rotationPeriodInDays", "is needed when rotation is on"))
        }
        _ if key.rotation_enabled => key.check_rotatable(),
        _ => Ok(()),
    }
}

/// Rotates every key whose period is over or that has sealed much; says how many. A key that fails holds no other
/// one up, and RSA keys, which take long to make, hold up nobody but each other.
pub async fn rotate_due(app: &Arc<App>) -> Result<usize> {
    Ok(rotate_all(app, Reason::Seals, false).await?
        + rotate_all(app, Reason::Period, false).await?
        + rotate_all(app, Reason::Period, true).await?)
}

/// Why a key is due.
#[derive(Clone, Copy)]
enum Reason {
    Seals,
    Period,
}

async fn rotate_all(app: &Arc<App>, reason: Reason, rsa: bool) -> Result<usize> {
    let (mut rotated, mut after) = (0, String::new());
    loop {
        let (now, from) = (app.clock.now(), after.clone());
        let list = async move |tx: &mut Tx| match reason {
            Reason::Seals => tx.list_spent_keys(&from).await,
            Reason::Period => tx.list_due_keys(now, &from).await,
        };
        let page = gate::inspect(app, list).await?;
        let Some(last) = page.last() else { return Ok(rotated) };
        after.clone_from(&last.key);
        for due in page.into_iter().filter(|due| due.key_type.starts_with("rsa") == rsa) {
            let (key, organisation) = (due.key.clone(), due.organisation.clone());
            match rotate_one(app, due).await {
                Ok(done) => rotated += usize::from(done.is_some()),
                Err(error) => tracing::warn!(
                    cause = error.cause(),
                    "key {key} of {organisation} is not rotated yet"
                ),
            }
        }
    }
}

/// Rotates a key if it is still due.
async fn rotate_one(app: &Arc<App>, due: DueKey) -> Result<Option<()>> {
    let work = Unattended {
        action: Action::RotateScheduled,
        reason: "key rotation",
        organisation: due.organisation.clone(),
        project: due.project.clone(),
        subject: due.key.clone(),
    };
    let lane = &app.lanes.making_by_clock;
    let key_type = KeyType::from_word(&due.key_type)
        .ok_or_else(|| Error::corrupt(format!("key {} has no known type", due.key)))?;
    let (shared, look, now) = (app.clone(), due.clone(), app.clock.now());
    let look_up = async move |tx: &mut Tx| find_due(tx, &look, now).await;
    let Some(key) = gate::inspect_within(app, &due.organisation, look_up).await? else {
        return Ok(None);
    };
    // Made ahead, and for nothing where another server has been faster.
    let fresh = generate(app, lane, &due.organisation, key_type.algorithm(key.digest)).await?;
    gate::unattended(app, work, async move |tx| {
        // Asked again inside the transaction: of two servers only one still finds the key due.
        let Some(key) = find_due(tx, &due, shared.clock.now()).await? else { return Ok(None) };
        let name = VersionName {
            organisation: due.organisation.clone(),
            region: due.region.clone(),
            project: due.project.clone(),
            version: key.latest_version + 1,
            algorithm: key.algorithm(),
            key: key.id,
        };
        add_version(&shared, tx, &name, &fresh).await.map(Some)
    })
    .await
}

/// The key, if it may and must get another version now.
async fn find_due(tx: &mut Tx, due: &DueKey, now: i64) -> Result<Option<Key>> {
    let found = tx.find_key(&due.region, &due.project, &due.key).await?;
    let Some(key) = found.filter(|key| check_rotatable(key).is_ok()) else { return Ok(None) };
    let Some((made_at, seals)) = tx.find_rotation(&key.id).await? else { return Ok(None) };
    let period = key.rotation_period_days.filter(|_| key.rotation_enabled);
    let is_over = period.is_some_and(|days| made_at + days * DAY <= now);
    Ok((is_over || seals >= SEALS_BEFORE_ROTATION).then_some(key))
}

/// Wraps a version's material and makes it the latest.
async fn add_version(app: &App, tx: &mut Tx, name: &VersionName, fresh: &Fresh) -> Result<()> {
    let now = app.clock.now();
    let wrapped = app.keyring.wrap_fresh(name, fresh)?;
    tx.insert_key_version(&name.key, name.version, &wrapped, now).await?;
    tx.set_key_version(&name.key, name.version, now).await
}
