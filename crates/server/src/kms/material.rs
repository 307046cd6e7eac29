//! Public keys, the wrapping key, export (contract, sections 3.10 to 3.12).

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_api::ExportKeyRequest;
use coffer_crypto::SecretBytes;

use super::{Named, read_key, read_version, read_wanted};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Use, Wrapped};

/// The public keys of every version, or of the one that is named. The key may be in any state.
pub async fn public_keys(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    version: Result<Option<i64>>,
) -> Result<BTreeMap<i64, String>> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::ReadPublicKey), async move |tx, scope| {
        let version = version.clone()?;
        let key = read_key(tx, scope).await?;
        key.key_type.check(Use::PublicKey)?;
        let versions = match version {
            Some(version) => version..=version,
            None => 1..=key.latest_version,
        };
        let mut keys = BTreeMap::new();
        for version in versions {
            let with = read_version(tx, scope, &key, (version, "version")).await?;
            keys.insert(version, shared.keyring.public_key(&with)?);
        }
        Ok(keys)
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
        let with = read_wanted(tx, scope, &key, body.key_version).await?;
        Ok((shared.keyring.export(&with)?, with.name.version))
    })
    .await
}

/// The public key for which material is wrapped that is to be imported in a region: PEM.
pub async fn wrapping_key(app: &Arc<App>, call: &Call, region: String) -> Result<String> {
    let ask = Ask { action: Action::ReadWrappingKey, region: Some(region), subject: Subject::None };
    let (ahead, shared) = (app.clone(), app.clone());
    let prepare = async move |scope: Scope| find_wrapping_key(&ahead, scope.region_id()).await;
    gate::read_prepared(app, call, ask, prepare, async move |_, scope, wrapped| {
        shared.keyring.wrapping_public_key(scope.region_id(), wrapped)
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
    let made = app.slow.run(move || keyring.generate_wrapping_key(&of)).await?;
    let (of, now) = (region.to_owned(), app.clock.now());
    gate::keep_house(app, "", async move |tx| tx.insert_wrapping_key(&of, &made, now).await)
        .await?;
    find().await?.ok_or_else(|| Error::bug("a wrapping key is not there after it was made"))
}
