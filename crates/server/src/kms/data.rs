//! Encrypt and decrypt small payloads, make data keys, seal anew (contract, sections 3.7 and 15, 5).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::{
    DecryptRequest, EncryptRequest, GenerateDataKeyRequest, KeyVersionText, RewrapRequest,
};
use coffer_crypto::{Algorithm, SecretBytes, Versioned};

use super::{
    Named, admitted_key, check_version, decode, not_base64, read_key, read_version, version_name,
    wanted_version,
};
use crate::app::App;
use crate::budget;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, Use, WrappedKey};
use crate::model::limits::{CONTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use crate::store::Tx;

/// Seals a plaintext under the latest version, or the one that is named.
pub async fn encrypt(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<EncryptRequest>,
) -> Result<Versioned> {
    let (ahead, shared) = (app.clone(), app.clone());
    let prepare = async move |scope: Scope| {
        let body = body?;
        let plaintext = decode(&body.plaintext, "plaintext", PLAINTEXT_BYTES_MAX)?;
        if plaintext.is_empty() {
            return Err(Error::invalid("plaintext", "is empty"));
        }
        let context = decode_context(body.context.as_deref())?;
        let version = prepare_seal(&ahead, &scope, &context, body.key_version).await?;
        Ok((version, plaintext, context))
    };
    let ask = named.ask(Action::Encrypt);
    gate::read_prepared(app, call, ask, prepare, async move |tx, scope, prepared| {
        let (version, plaintext, context) = prepared;
        let key = usable_key(tx, scope).await?;
        let with = read_version(tx, scope, &key, (*version, "keyVersion")).await?;
        seal(&shared, &with, context, plaintext)
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
        let ciphertext = parse(&body.ciphertext)?;
        let context = decode_context(body.context.as_deref())?;
        let key = usable_key(tx, scope).await?;
        let plaintext = open(&shared, tx, scope, &key, &ciphertext, &context).await?;
        Ok((plaintext, ciphertext.key_version))
    })
    .await
}

/// A fresh data key, and itself under the latest version.
pub async fn generate_data_key(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<GenerateDataKeyRequest>,
) -> Result<(SecretBytes, Versioned)> {
    let (ahead, shared) = (app.clone(), app.clone());
    let prepare = async move |scope: Scope| {
        let body = body?;
        let bytes = match body.key_bytes {
            16 => 16,
            32 => 32,
            64 => 64,
            _ => return Err(Error::invalid("keyBytes", "must be 16, 32 or 64")),
        };
        let context = decode_context(body.context.as_deref())?;
        let version = prepare_seal(&ahead, &scope, &context, None).await?;
        Ok((version, bytes, context))
    };
    let ask = named.ask(Action::GenerateDataKey);
    gate::read_prepared(app, call, ask, prepare, async move |tx, scope, prepared| {
        let (version, bytes, context) = prepared;
        let key = usable_key(tx, scope).await?;
        let with = read_version(tx, scope, &key, (*version, "")).await?;
        let data_key = coffer_crypto::random::secret(*bytes)?;
        let sealed = seal(&shared, &with, context, &data_key)?;
        Ok((data_key, sealed))
    })
    .await
}

/// Seals the plaintext of a ciphertext anew, under the latest version. Nobody sees it.
pub async fn rewrap(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<RewrapRequest>,
) -> Result<Versioned> {
    let (ahead, shared) = (app.clone(), app.clone());
    let prepare = async move |scope: Scope| {
        let body = body?;
        let ciphertext = parse(&body.ciphertext)?;
        let context = decode_context(body.context.as_deref())?;
        let version = prepare_seal(&ahead, &scope, &context, None).await?;
        Ok((version, ciphertext, context))
    };
    let ask = named.ask(Action::Rewrap);
    gate::read_prepared(app, call, ask, prepare, async move |tx, scope, prepared| {
        let (version, ciphertext, context) = prepared;
        let key = usable_key(tx, scope).await?;
        let plaintext = open(&shared, tx, scope, &key, ciphertext, context).await?;
        let with = read_version(tx, scope, &key, (*version, "")).await?;
        seal(&shared, &with, context, &plaintext)
    })
    .await
}

/// Chooses the version for a seal and has the seal counted: the operation itself only reads.
async fn prepare_seal(
    app: &Arc<App>,
    scope: &Scope,
    context: &[u8],
    wanted: Option<KeyVersionText>,
) -> Result<i64> {
    let key = admitted_key(scope)?;
    check_usable(key)?;
    check_context(key, context)?;
    let version = wanted_version(key, wanted);
    check_version(key, version, "keyVersion")?;
    budget::prepare(app, &version_name(scope, key, version)).await?;
    Ok(version)
}

fn seal(
    app: &App,
    with: &WrappedKey,
    context: &[u8],
    plaintext: &SecretBytes,
) -> Result<Versioned> {
    if let Algorithm::Rsa(modulus) = with.name.algorithm
        && plaintext.len() > modulus.plaintext_bytes_max()
    {
        let most = modulus.plaintext_bytes_max();
        return Err(Error::invalid(
            "plaintext",
            format!("is longer than {most} bytes, the most this RSA key encrypts"),
        ));
    }
    let permit = budget::prepared_permit(app, &with.name)?;
    let bytes = app.keyring.encrypt(with, context, plaintext.expose(), permit)?;
    Ok(Versioned { key_version: with.name.version, bytes })
}

async fn open(
    app: &App,
    tx: &mut Tx,
    scope: &Scope,
    key: &Key,
    ciphertext: &Versioned,
    context: &[u8],
) -> Result<SecretBytes> {
    check_context(key, context)?;
    let with = read_version(tx, scope, key, (ciphertext.key_version, "ciphertext")).await?;
    app.keyring.decrypt(&with, context, &ciphertext.bytes)
}

async fn usable_key(tx: &mut Tx, scope: &Scope) -> Result<Key> {
    let key = read_key(tx, scope).await?;
    check_usable(&key)?;
    Ok(key)
}

fn check_usable(key: &Key) -> Result<()> {
    key.key_type.check(Use::Encrypt)?;
    key.check_active()
}

/// An RSA block has no place for a context: better none than one that binds nothing.
fn check_context(key: &Key, context: &[u8]) -> Result<()> {
    match matches!(key.algorithm(), Algorithm::Rsa(_)) && !context.is_empty() {
        true => Err(Error::invalid("context", "must be empty for RSA keys")),
        false => Ok(()),
    }
}

fn parse(ciphertext: &str) -> Result<Versioned> {
    Versioned::parse(ciphertext).map_err(|_| {
        Error::invalid("ciphertext", "is not of the form thalassa:v<version>:<base64>")
    })
}

fn decode_context(context: Option<&str>) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(context.unwrap_or_default()).map_err(|_| not_base64("context"))?;
    match bytes.len() > CONTEXT_BYTES_MAX {
        true => Err(Error::invalid("context", "is longer than 1024 bytes")),
        false => Ok(bytes),
    }
}
