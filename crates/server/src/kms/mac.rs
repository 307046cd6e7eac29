//! HMACs (contract, sections 3.9 and 14, 21).

use std::sync::Arc;

use coffer_api::{HmacRequest, VerifyHmacRequest};
use coffer_crypto::Versioned;

use super::sign::named_digest;
use super::{Named, decode, read_key, read_version, read_wanted};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, Use};
use crate::model::limits::INPUT_BYTES_MAX;
use crate::store::Tx;

/// The HMAC of an input under the latest version, or the one that is named.
pub async fn hmac(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<HmacRequest>,
) -> Result<Versioned> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::Hmac), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let input = decode(&body.input, "input", INPUT_BYTES_MAX)?;
        let names = [("algorithm", &body.algorithm), ("hashAlgorithm", &body.hash_algorithm)];
        let key = usable_key(tx, scope, names).await?;
        let with = read_wanted(tx, scope, &key, body.key_version).await?;
        let bytes = shared.keyring.mac(&with, input.expose())?;
        Ok(Versioned { key_version: with.name.version, bytes })
    })
    .await
}

/// Whether an HMAC is the key's, and of which version it says it is.
pub async fn verify_hmac(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<VerifyHmacRequest>,
) -> Result<(bool, i64)> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::VerifyHmac), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let input = decode(&body.input, "input", INPUT_BYTES_MAX)?;
        let names = [("algorithm", &body.algorithm), ("hashAlgorithm", &body.hash_algorithm)];
        let key = usable_key(tx, scope, names).await?;
        let tag = Versioned::parse_or_bare(&body.hmac, key.latest_version).map_err(|_| {
            Error::invalid("hmac", "is neither thalassa:v<version>:<base64> nor base64")
        })?;
        let with = read_version(tx, scope, &key, (tag.key_version, "hmac")).await?;
        let valid = shared.keyring.verifies_mac(&with, input.expose(), &tag.bytes)?;
        Ok((valid, tag.key_version))
    })
    .await
}

/// The key, when it is an active HMAC key and its hash is the one that a request names, if it names one.
async fn usable_key(
    tx: &mut Tx,
    scope: &Scope,
    names: [(&str, &Option<String>); 2],
) -> Result<Key> {
    let key = read_key(tx, scope).await?;
    key.key_type.check(Use::Mac)?;
    for (field, name) in names {
        let named = named_digest(field, name.as_deref())?;
        if named.is_some() && named != key.digest {
            let own = key.digest.map_or("", coffer_crypto::Digest::word);
            return Err(Error::invalid(field, format!("this key uses {own}")));
        }
    }
    key.check_active()?;
    Ok(key)
}
