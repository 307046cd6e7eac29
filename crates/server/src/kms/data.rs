//! Encrypt and decrypt small payloads (contract, section 3.7).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::{DecryptRequest, EncryptRequest};
use coffer_crypto::{Ciphertext, SecretBytes};

use super::{Named, read_key, unfilled};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, WrappedKey};
use crate::model::limits::{CONTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use crate::store::Tx;

/// Seals a plaintext under the latest version, or the one that is named.
pub async fn encrypt(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<EncryptRequest>,
) -> Result<Ciphertext> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::Encrypt), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let plaintext =
            body.plaintext.decode().map(SecretBytes::new).ok_or_else(|| not_base64("plaintext"))?;
        if plaintext.is_empty() || plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(Error::invalid("plaintext", "must have 1 to 65535 bytes"));
        }
        let context = decode_context(body.context.as_deref())?;
        let key = read_key(tx, scope).await?;
        key.check_active()?;
        let wanted = body.key_version.and_then(|version| version.0);
        let version = wanted.unwrap_or(key.latest_version);
        let key_version = read_version(tx, scope, &key, version, "keyVersion").await?;
        let sealed = shared.keyring.encrypt(&key_version, &context, plaintext.expose())?;
        Ok(Ciphertext { key_version: version, sealed })
    })
    .await
}

/// Opens what [`encrypt`] gave: the plaintext and the version that had sealed it.
pub async fn decrypt(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<DecryptRequest>,
) -> Result<(SecretBytes, i64)> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::Decrypt), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let ciphertext = Ciphertext::parse(&body.ciphertext).map_err(|_| {
            Error::invalid("ciphertext", "is not of the form thalassa:v<version>:<base64>")
        })?;
        let context = decode_context(body.context.as_deref())?;
        let key = read_key(tx, scope).await?;
        key.check_active()?;
        let version = ciphertext.key_version;
        let key_version = read_version(tx, scope, &key, version, "ciphertext").await?;
        let plaintext = shared.keyring.decrypt(&key_version, &context, &ciphertext.sealed)?;
        Ok((plaintext, version))
    })
    .await
}

async fn read_version(
    tx: &mut Tx,
    scope: &Scope,
    key: &Key,
    version: i64,
    field: &str,
) -> Result<WrappedKey> {
    let material = tx.find_key_material(&key.id, version).await?;
    let material = material
        .ok_or_else(|| Error::invalid(field, format!("the key has no version {version}")))?;
    Ok(WrappedKey { material, ..unfilled(scope, key, version) })
}

fn decode_context(context: Option<&str>) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(context.unwrap_or_default()).map_err(|_| not_base64("context"))?;
    match bytes.len() > CONTEXT_BYTES_MAX {
        true => Err(Error::invalid("context", "is longer than 1024 bytes")),
        false => Ok(bytes),
    }
}

fn not_base64(field: &str) -> Error {
    Error::invalid(field, "is not base64 (standard alphabet with padding)")
}
