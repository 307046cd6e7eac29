//! Encrypt and decrypt small payloads, make data keys, seal anew (contract, sections 3.7 and 15, 5).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::{
    DecryptRequest, EncryptRequest, GenerateDataKeyRequest, KeyVersionText, RewrapRequest,
};
use coffer_crypto::{Algorithm, SecretBytes, Versioned};

use super::{
    Named, admitted_key, check_version, compute, decode, look_up, not_base64, version_name,
    wanted_version,
};
use crate::app::App;
use crate::budget;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, Use};
use crate::model::limits::{CONTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX};

/// Seals a plaintext under the latest version, or the one that is named.
pub async fn encrypt(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<EncryptRequest>,
) -> Result<Versioned> {
    gate::work(app, call, named.ask(Action::Encrypt), async |scope| {
        let body = body?;
        let plaintext = decode(&body.plaintext, "plaintext", PLAINTEXT_BYTES_MAX)?;
        if plaintext.is_empty() {
            return Err(Error::invalid("plaintext", "is empty"));
        }
        let context = decode_context(body.context.as_deref())?;
        seal(app, &scope, body.key_version, &context, &plaintext).await
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
    gate::work(app, call, named.ask(Action::Decrypt), async |scope| {
        let body = body?;
        let ciphertext = parse(&body.ciphertext)?;
        let context = decode_context(body.context.as_deref())?;
        let version = ciphertext.key_version;
        Ok((open(app, &scope, ciphertext, context).await?, version))
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
    gate::work(app, call, named.ask(Action::GenerateDataKey), async |scope| {
        let body = body?;
        let bytes = match body.key_bytes {
            16 => 16,
            32 => 32,
            64 => 64,
            _ => return Err(Error::invalid("keyBytes", "must be 16, 32 or 64")),
        };
        let context = decode_context(body.context.as_deref())?;
        let data_key = app.keyring.generate_data_key(bytes)?;
        let sealed = seal(app, &scope, None, &context, &data_key).await?;
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
    gate::work(app, call, named.ask(Action::Rewrap), async |scope| {
        let body = body?;
        let ciphertext = parse(&body.ciphertext)?;
        let context = decode_context(body.context.as_deref())?;
        let plaintext = open(app, &scope, ciphertext, context.clone()).await?;
        seal(app, &scope, None, &context, &plaintext).await
    })
    .await
}

/// Seals under the version that is wanted, once the seal is counted.
async fn seal(
    app: &App,
    scope: &Scope,
    wanted: Option<KeyVersionText>,
    context: &[u8],
    plaintext: &SecretBytes,
) -> Result<Versioned> {
    let key = admitted_key(scope)?;
    key.key_type.check(Use::Encrypt)?;
    check_context(key, context)?;
    if let Algorithm::Rsa(modulus) = key.algorithm()
        && plaintext.len() > modulus.plaintext_bytes_max()
    {
        let most = modulus.plaintext_bytes_max();
        let why = format!("is longer than {most} bytes, the most this RSA key encrypts");
        return Err(Error::invalid("plaintext", why));
    }
    let version = wanted_version(key, wanted);
    check_version(key, version, "keyVersion")?;
    key.check_active()?;
    let permit = budget::permit(app, &version_name(scope, key, version)).await?;
    let with = look_up(app, scope, Use::Encrypt, (version, "keyVersion")).await?;
    let bytes = app.keyring.encrypt(&with, context, plaintext.expose(), &permit)?;
    Ok(Versioned { key_version: version, bytes })
}

async fn open(
    app: &App,
    scope: &Scope,
    ciphertext: Versioned,
    context: Vec<u8>,
) -> Result<SecretBytes> {
    check_context(admitted_key(scope)?, &context)?;
    let version = (ciphertext.key_version, "ciphertext");
    let with = look_up(app, scope, Use::Encrypt, version).await?;
    let (keyring, key) = (app.keyring.clone(), with.clone());
    compute(app, &with, move || keyring.decrypt(&key, &context, &ciphertext.bytes)).await
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
