//! Keys and what is done with them (contract, section 3).

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

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
    /// `aes128-gcm96`, `aes256-gcm96` or `chacha20-poly1305`.
    pub key_type: String,
    /// `active`, `disabled` or `pending_deletion`.
    #[schema(pattern = "^(active|disabled|pending_deletion)$")]
    pub status: String,
    /// Whether the material may be exported; set at create only.
    pub export_allowed: bool,
    /// Whether the material came from outside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
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
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
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
    #[schema(pattern = "^(aes128-gcm96|aes256-gcm96|chacha20-poly1305)?$")]
    pub key_type: Option<String>,
    /// `false` when absent.
    pub export_allowed: Option<bool>,
    /// `false` when absent; `true` needs `rotationPeriodInDays`.
    pub key_rotation_enabled: Option<bool>,
    /// 1–3650.
    #[schema(minimum = 1, maximum = 3650)]
    pub rotation_period_in_days: Option<i64>,
    /// For imported and HMAC keys, of which there are none yet; without meaning for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_function: Option<String>,
    /// For imported keys, of which there are none yet; without meaning for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_rotation: Option<bool>,
}

/// A key version in a request: `"3"`, `"v3"` or `3` (contract, section 14, 24). The empty text means the
/// latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = "^v?[1-9][0-9]{0,8}$", examples("1"))]
pub struct KeyVersionText(pub Option<i64>);

impl Serialize for KeyVersionText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(version) => serializer.collect_str(&version),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for KeyVersionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = KeyVersionText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key version such as \"3\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<KeyVersionText, E> {
                i64::try_from(number)
                    .map(|version| KeyVersionText(Some(version)))
                    .map_err(|_| E::custom("not a key version"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyVersionText, E> {
                let digits = text.strip_prefix('v').unwrap_or(text);
                match digits.parse() {
                    _ if text.is_empty() => Ok(KeyVersionText(None)),
                    Ok(version) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                        Ok(KeyVersionText(Some(version)))
                    }
                    _ => Err(E::custom("not a key version")),
                }
            }
        }

        deserializer.deserialize_any(Text)
    }
}

/// Encrypt a small plaintext.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"plaintext": "aHVudGVyMg=="})))]
pub struct EncryptRequest {
    /// Base64 of 1–65,535 bytes.
    #[schema(schema_with = crate::secret::base64_schema)]
    pub plaintext: SecretText,
    /// The latest when absent.
    #[serde(default)]
    pub key_version: Option<KeyVersionText>,
    /// Base64 of at most 1,024 bytes of additional data; decrypting needs the same.
    #[schema(schema_with = crate::secret::context_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// What [`EncryptRequest`] gives.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EncryptResponse {
    /// `thalassa:v<key version>:<base64>`.
    pub ciphertext: String,
    /// The version that sealed it, as text.
    pub key_version: String,
}

/// Decrypt what encrypt gave.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"ciphertext": "thalassa:v1:AAAA"})))]
pub struct DecryptRequest {
    /// As encrypt gave it.
    pub ciphertext: String,
    /// As given to encrypt.
    #[schema(schema_with = crate::secret::context_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// What [`DecryptRequest`] gives.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecryptResponse {
    /// Base64 of the plaintext.
    #[schema(value_type = String)]
    pub plaintext: SecretText,
    /// The version that had sealed it, as text.
    pub key_version: String,
}
