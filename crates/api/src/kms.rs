//! Keys: what they are, how they are made and governed (contract, section 3).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::secret::{BASE64, text_or_null};
use crate::{Map, SecretText, Time};

/// A KMS key, never its material.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KmsKey {
    /// For example `kms-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
    /// The name in URLs.
    pub slug: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map,
    /// Only on a project's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// One of the thirteen types, for example `aes256-gcm96`.
    pub key_type: String,
    /// Of HMAC keys: `sha256`, `sha384` or `sha512`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_function: Option<String>,
    /// `active`, `disabled` or `pending_deletion`; `deleted` only where a secret shows its key.
    #[schema(pattern = "^(active|disabled|pending_deletion|deleted)$")]
    pub status: String,
    /// Whether the material may be exported; set at create only.
    pub export_allowed: bool,
    /// Whether the material came from outside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// Of imported keys: whether they may be rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_rotation: Option<bool>,
    /// Whether the key is rotated by the clock.
    pub key_rotation_enabled: bool,
    /// Days between rotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_period_in_days: Option<i64>,
    /// The version that new operations use.
    pub latest_version: i64,
    /// The oldest version that still decrypts.
    pub min_decryption_version: i64,
    /// All versions, on single reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<KmsKeyVersion>>,
    /// When the deletion falls due, while it is pending; it can be cancelled until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_scheduled_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Grows by one with each change.
    pub object_version: i64,
}

/// One version of a key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KmsKeyVersion {
    /// From 1.
    pub version: i64,
    /// `active` or `destroyed`.
    pub status: String,
    /// When it was made.
    pub created_at: Time,
}

/// Where KMS can be used, and how many keys the caller's scope has there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KmsSummary {
    /// Whether the organisation's `kms` gate is on.
    pub feature_enabled: bool,
    /// Empty while the gate is off.
    #[serde(default)]
    pub regions: Vec<KmsSummaryRegion>,
}

/// One region of a [`KmsSummary`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KmsSummaryRegion {
    /// Of the region.
    pub identity: String,
    /// Of the region.
    pub name: String,
    /// Of the region.
    pub slug: String,
    /// Whether KMS is on there.
    pub kms_available: bool,
    /// Keys in all.
    pub total_keys: i64,
    /// Keys that are active.
    pub active_keys: i64,
    /// Keys that are disabled.
    pub disabled_keys: i64,
    /// Keys that wait for their deletion.
    pub pending_deletion_keys: i64,
}

/// A new key (contract, section 3.5).
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"name": "orders", "keyType": "aes256-gcm96"})))]
pub struct CreateKeyRequest {
    /// 1–255 characters; the slug is made from it and must be free.
    #[schema(min_length = 1, max_length = 255, pattern = "[A-Za-z0-9]")]
    pub name: String,
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// At most 64 entries; keys 1–128 characters, values at most 256.
    #[schema(schema_with = crate::secret::labels_schema)]
    pub labels: Option<Map>,
    /// At most 64 entries; keys 1–128 characters, values at most 4,096.
    #[schema(schema_with = crate::secret::annotations_schema)]
    pub annotations: Option<Map>,
    /// `aes256-gcm96` when absent.
    #[schema(schema_with = key_type_schema)]
    pub key_type: Option<String>,
    /// `false` when absent.
    pub export_allowed: Option<bool>,
    /// `false` when absent; `true` needs `rotationPeriodInDays`.
    pub key_rotation_enabled: Option<bool>,
    /// 1–3650.
    #[schema(minimum = 1, maximum = 3650)]
    pub rotation_period_in_days: Option<i64>,
    /// Base64 of key material wrapped for the region's wrapping key; the key is then an imported one.
    #[schema(schema_with = wrapped_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_key_material: Option<SecretText>,
    /// `sha256` (default), `sha384` or `sha512`: of a key of type `hmac`, or of OAEP in the wrapping of an
    /// imported key. Without meaning for others.
    #[schema(schema_with = hash_schema)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_function: Option<String>,
    /// Whether an imported key may be rotated; `false` when absent. Without meaning for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_rotation: Option<bool>,
}

/// A key's rotation settings; what is absent stays (contract, section 3.13).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetRotationRequest {
    /// On needs a period, here or from before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_rotation_enabled: Option<bool>,
    /// 1–3650.
    #[schema(minimum = 1, maximum = 3650)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_period_in_days: Option<i64>,
}

/// The public key for which a caller wraps the material of a key to import (contract, section 14, 22).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WrappingKeyResponse {
    /// PEM of an RSA-4096 key.
    pub public_key: String,
    /// `RSA_AES_KEY_WRAP_SHA_256`.
    pub algorithm: String,
}

fn key_type_schema() -> Object {
    let pattern = "^(aes128-gcm96|aes256-gcm96|chacha20-poly1305|rsa-(2048|3072|4096)|\
                   ecdsa-p(256|384|521)|ed25519|hmac(-sha(256|512))?)?$";
    text_or_null(17).pattern(Some(pattern)).build()
}

fn wrapped_schema() -> Object {
    text_or_null(8192).pattern(Some(BASE64)).build()
}

/// Names of hash functions, in every spelling that is read.
pub(crate) fn hash_schema() -> Object {
    text_or_null(8).pattern(Some("^([sS][hH][aA](2?-)?(256|384|512))?$")).build()
}
