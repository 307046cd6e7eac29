//! What is done with keys.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, ExportKeyRequest,
    ExportKeyResponse, GenerateDataKeyRequest, GenerateDataKeyResponse, HmacRequest, HmacResponse,
    PublicKeysResponse, RewrapRequest, SecretText, SignRequest, SignResponse, VerifyHmacRequest,
    VerifyRequest, VerifyResponse,
};
use coffer_crypto::Versioned;

use super::read_body;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::caller::{Authenticated, Segment};
use crate::http::query::Params;
use crate::http::reply::{self, Reply};
use crate::kms::{self, Named};
use crate::model::action::Action;

/// Encrypt a small plaintext
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/encrypt", tag = "KMS",
    request_body = EncryptRequest, responses((status = 200, body = EncryptResponse)))]
pub async fn encrypt(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<EncryptRequest>();
    let done = kms::data::encrypt(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Encrypt, done, |ciphertext| encrypted(&ciphertext))
}

/// Decrypt what encrypt gave
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/decrypt", tag = "KMS",
    request_body = DecryptRequest, responses((status = 200, body = DecryptResponse)))]
pub async fn decrypt(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<DecryptRequest>();
    let done = kms::data::decrypt(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Decrypt, done, |(plaintext, version)| DecryptResponse {
        plaintext: SecretText::encode(plaintext.expose()),
        key_version: version.to_string(),
    })
}

/// Make a data key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/generate-data-key", tag = "KMS",
    request_body = GenerateDataKeyRequest, responses((status = 200, body = GenerateDataKeyResponse)))]
pub async fn generate_data_key(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<GenerateDataKeyRequest>();
    let done = kms::data::generate_data_key(&app, &call, Named { region, key }, body).await;
    reply::of(Action::GenerateDataKey, done, |(plaintext, sealed)| GenerateDataKeyResponse {
        plaintext: SecretText::encode(plaintext.expose()),
        ciphertext: sealed.to_string(),
        key_version: sealed.key_version.to_string(),
    })
}

/// Seal a ciphertext's plaintext anew under the latest version, without showing it
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/rewrap", tag = "KMS",
    request_body = RewrapRequest, responses((status = 200, body = EncryptResponse)))]
pub async fn rewrap(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<RewrapRequest>();
    let done = kms::data::rewrap(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Rewrap, done, |ciphertext| encrypted(&ciphertext))
}

fn encrypted(ciphertext: &Versioned) -> EncryptResponse {
    EncryptResponse {
        ciphertext: ciphertext.to_string(),
        key_version: ciphertext.key_version.to_string(),
    }
}

/// Sign a message or its digest
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/sign", tag = "KMS",
    request_body = SignRequest, responses((status = 200, body = SignResponse)))]
pub async fn sign(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<SignRequest>();
    let done = kms::sign::sign(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Sign, done, |signature| SignResponse {
        signature: signature.to_string(),
        key_version: signature.key_version.to_string(),
    })
}

/// Verify a signature
///
/// A wrong one answers 200 with `valid: false`.
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/verify", tag = "KMS",
    request_body = VerifyRequest, responses((status = 200, body = VerifyResponse)))]
pub async fn verify(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<VerifyRequest>();
    let done = kms::sign::verify(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Verify, done, verified)
}

/// Compute an HMAC
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/hmac", tag = "KMS",
    request_body = HmacRequest, responses((status = 200, body = HmacResponse)))]
pub async fn hmac(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<HmacRequest>();
    let done = kms::mac::hmac(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Hmac, done, |hmac| HmacResponse {
        hmac: hmac.to_string(),
        key_version: hmac.key_version.to_string(),
    })
}

/// Verify an HMAC
///
/// A wrong one answers 200 with `valid: false`.
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/verify-hmac", tag = "KMS",
    request_body = VerifyHmacRequest, responses((status = 200, body = VerifyResponse)))]
pub async fn verify_hmac(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<VerifyHmacRequest>();
    let done = kms::mac::verify_hmac(&app, &call, Named { region, key }, body).await;
    reply::of(Action::VerifyHmac, done, verified)
}

fn verified((valid, version): (bool, i64)) -> VerifyResponse {
    VerifyResponse { valid, key_version: version.to_string() }
}

/// Public keys by version
#[utoipa::path(get, path = "/v1/kms/{region}/keys/{key}/public-key", tag = "KMS",
    params(("version" = Option<String>, Query, description = "One version; all when absent",
        pattern = "^(v?[1-9][0-9]{0,8})?$")),
    responses((status = 200, body = PublicKeysResponse)))]
pub async fn public_key(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    uri: Uri,
) -> Reply {
    let version = read_version(&Params::parse(uri.query()));
    let found = kms::material::public_keys(&app, &call, Named { region, key }, version).await;
    reply::of(Action::ReadPublicKey, found, |keys| PublicKeysResponse {
        keys: keys
            .into_iter()
            .map(|(version, key)| (version.to_string(), key.to_string()))
            .collect(),
    })
}

fn read_version(params: &Params) -> Result<Option<i64>> {
    let text = params.text("version")?;
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix('v').unwrap_or(&text);
    let version = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    version.map(Some).ok_or_else(|| Error::invalid("version", "is not a key version"))
}

/// Export one version's material
///
/// Only of keys that were made with `exportAllowed`.
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/export", tag = "KMS",
    request_body = ExportKeyRequest, responses((status = 200, body = ExportKeyResponse)))]
pub async fn export(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse_or_default::<ExportKeyRequest>();
    let done = kms::material::export(&app, &call, Named { region, key }, body).await;
    reply::of(Action::Export, done, |(material, version)| ExportKeyResponse {
        key_material: SecretText::encode(material.expose()),
        key_version: version.to_string(),
    })
}
