//! Public keys, the wrapping key, export (contract, sections 3.10 to 3.12).

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_api::ExportKeyRequest;
use coffer_crypto::SecretBytes;

use super::{Named, admitted_key, read_key, read_version, wanted_version};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Use, Wrapped};

/// The public keys of every version, or of the one that is named. The key may be in any state.
pub async fn public_keys(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    version: Result<Option<i64>>,
) -> Result<BTreeMap<i64, Arc<str>>> {
    gate::work(app, call, named.ask(Action::ReadPublicKey), async |scope| {
        let version = version?;
        let key = admitted_key(&scope)?;
        key.key_type.check(Use::PublicKey)?;
        let versions = match version {
            Some(version) => version..=version,
            None => 1..=key.latest_version,
        };
        let keys = gate::look_up(app, &scope, async move |tx, scope| {
            let key = read_key(tx, scope).await?;
            let mut keys = Vec::new();
            for version in versions.clone() {
                keys.push(read_version(tx, scope, &key, (version, "version")).await?);
            }
            Ok(keys)
        })
        .await?;
        let keyring = app.keyring.clone();
        let derive = move || {
            keys.iter().map(|key| Ok((key.name.version, keyring.public_key(key)?))).collect()
        };
        app.lanes.using.run(&scope.organisation, derive).await
    })
    .await
}

/// One version's material, for keys that were made to be exported: the material and its version.
pub async fn export(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<ExportKeyRequest>,
) -> Result<(SecretBytes, i64)> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::Export), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let key = read_key(tx, scope).await?;
        if !key.export_allowed {
            return Err(Error::invalid("", "KMS key was made without `exportAllowed`"));
        }
        key.check_active()?;
        let version = (wanted_version(&key, body.key_version), "keyVersion");
        let with = read_version(tx, scope, &key, version).await?;
        Ok((shared.keyring.export(&with)?, with.name.version))
    })
    .await
}

/// The public key for which material is wrapped that is to be imported in a region: PEM.
pub async fn wrapping_key(app: &Arc<App>, call: &Call, region: String) -> Result<Arc<str>> {
    let ask = Ask { action: Action::ReadWrappingKey, region: Some(region), subject: Subject::None };
    gate::work(app, call, ask, async |scope| {
        let wrapped = find_wrapping_key(app, scope.region_id()).await?;
        app.keyring.wrapping_public_key(scope.region_id(), &wrapped)
    })
    .await
}

/// A region's wrapping key, made when it is first asked for.
pub(super) async fn find_wrapping_key(app: &Arc<App>, region: &str) -> Result<Wrapped> {
    let find = async || {
        let region = region.to_owned();
        gate::inspect(app, async move |tx| tx.find_wrapping_key(&region).await).await
    };
    if let Some(wrapped) = find().await? {
        return Ok(wrapped);
    }
    // One at a time: whoever waited finds the key of the one before.
    let _turn = app.making_wrapping_key.lock().await;
    if let Some(wrapped) = find().await? {
        return Ok(wrapped);
    }
    let (keyring, of) = (app.keyring.clone(), region.to_owned());
    // No organisation's own: everybody in the region waits for it.
    let made = app.lanes.making.run("", move || keyring.generate_wrapping_key(&of)).await?;
    let (of, now) = (region.to_owned(), app.clock.now());
    gate::keep_house(app, "", async move |tx| tx.insert_wrapping_key(&of, &made, now).await)
        .await?;
    find().await?.ok_or_else(|| Error::bug("a wrapping key is not there after it was made"))
}
