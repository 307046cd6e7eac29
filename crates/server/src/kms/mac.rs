//! HMACs (contract, sections 3.9 and 14, 21).

use std::sync::Arc;

use coffer_api::{HmacRequest, VerifyHmacRequest};
use coffer_crypto::Versioned;

use super::sign::named_digest;
use super::{Named, admitted_key, decode, look_up, wanted_version};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, Use};
use crate::model::limits::INPUT_BYTES_MAX;

/// The HMAC of an input under the latest version, or the one that is named.
pub async fn hmac(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<HmacRequest>,
) -> Result<Versioned> {
    gate::work(app, call, named.ask(Action::Hmac), async |scope| {
        let body = body?;
        let input = decode(&body.input, "input", INPUT_BYTES_MAX)?;
        let key = admitted_key(&scope)?;
        check_hash(key, &body.algorithm, &body.hash_algorithm)?;
        let version = wanted_version(key, body.key_version);
        let with = look_up(app, &scope, Use::Mac, (version, "keyVersion")).await?;
        let bytes = app.keyring.mac(&with, input.expose())?;
        Ok(Versioned { key_version: version, bytes })
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
    gate::work(app, call, named.ask(Action::VerifyHmac), async |scope| {
        let body = body?;
        let input = decode(&body.input, "input", INPUT_BYTES_MAX)?;
        let key = admitted_key(&scope)?;
        check_hash(key, &body.algorithm, &body.hash_algorithm)?;
        let tag = Versioned::parse_or_bare(&body.hmac, key.latest_version).map_err(|_| {
            Error::invalid("hmac", "is neither thalassa:v<version>:<base64> nor base64")
        })?;
        let with = look_up(app, &scope, Use::Mac, (tag.key_version, "hmac")).await?;
        let valid = app.keyring.verifies_mac(&with, input.expose(), &tag.bytes)?;
        Ok((valid, tag.key_version))
    })
    .await
}

/// The hash that a request names must be the key's own.
fn check_hash(
    key: &Key,
    algorithm: &Option<String>,
    hash_algorithm: &Option<String>,
) -> Result<()> {
    key.key_type.check(Use::Mac)?;
    for (field, name) in [("algorithm", algorithm), ("hashAlgorithm", hash_algorithm)] {
        let named = named_digest(field, name.as_deref())?;
        if named.is_some() && named != key.digest {
            let own = key.digest.map_or("", coffer_crypto::Digest::word);
            return Err(Error::invalid(field, format!("this key uses {own}")));
        }
    }
    Ok(())
}
