//! What is done with a key: encrypt, sign, compute HMACs, export (contract, sections 3.6 to 3.11).

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::SecretText;
use crate::kms::hash_schema;
use crate::secret::{BASE64, text};

/// A key version in a request: `"3"`, `"v3"` or `3` (contract, section 14, 24). The empty text means the
/// latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = "^(v?[1-9][0-9]{0,8})?$", examples("1"))]
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

/// Ask for a fresh data key (contract, section 15, 5).
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"keyBytes": 32})))]
pub struct GenerateDataKeyRequest {
    /// 16, 32 or 64.
    pub key_bytes: i64,
    /// As for encrypt; decrypting the data key needs the same.
    #[schema(schema_with = crate::secret::context_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// What [`GenerateDataKeyRequest`] gives: use the plaintext and forget it, keep the ciphertext.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateDataKeyResponse {
    /// Base64 of the data key.
    #[schema(value_type = String)]
    pub plaintext: SecretText,
    /// The data key under this key, to be decrypted when it is needed.
    pub ciphertext: String,
    /// The version that sealed it, as text.
    pub key_version: String,
}

/// Seal a ciphertext's plaintext anew under the latest version, without showing it (contract, section 15, 5).
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"ciphertext": "thalassa:v1:AAAA"})))]
pub struct RewrapRequest {
    /// As encrypt gave it.
    pub ciphertext: String,
    /// As given to encrypt; the new ciphertext has the same.
    #[schema(schema_with = crate::secret::context_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// Sign a message or its digest.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"input": "aGVsbG8="})))]
pub struct SignRequest {
    /// Base64 of at most 65,536 bytes; of the digest when `prehashed`.
    #[schema(schema_with = input_schema)]
    pub input: SecretText,
    /// The latest when absent.
    #[serde(default)]
    pub key_version: Option<KeyVersionText>,
    /// `sha256`, `sha384` or `sha512`. When absent: SHA-256 for RSA and P-256, SHA-384 for P-384, SHA-512 for
    /// P-521. Ed25519 takes none.
    #[schema(schema_with = hash_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_algorithm: Option<String>,
    /// Whether `input` is the digest already; not for Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prehashed: Option<bool>,
    /// RSA: `pss` (default) or `pkcs1v15`.
    #[schema(pattern = "^(pss|pkcs1v15)?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_algorithm: Option<String>,
    /// ECDSA: `asn1` (DER, default) or `jws` (`r ‖ s`).
    #[schema(pattern = "^(asn1|jws)?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marshalling: Option<String>,
    /// Must be empty: no signature of ours has a context.
    #[schema(max_length = 0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// What [`SignRequest`] gives.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignResponse {
    /// `thalassa:v<key version>:<base64>`.
    pub signature: String,
    /// The version that signed, as text.
    pub key_version: String,
}

/// Verify what sign gave.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"input": "aGVsbG8=", "signature": "thalassa:v1:AAAA"})))]
pub struct VerifyRequest {
    /// As given to sign.
    #[schema(schema_with = input_schema)]
    pub input: SecretText,
    /// As sign gave it, or bare base64 of a signature by the latest version.
    pub signature: String,
    /// As given to sign.
    #[schema(schema_with = hash_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_algorithm: Option<String>,
    /// As given to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prehashed: Option<bool>,
    /// As given to sign.
    #[schema(pattern = "^(pss|pkcs1v15)?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_algorithm: Option<String>,
    /// As given to sign.
    #[schema(pattern = "^(asn1|jws)?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marshalling: Option<String>,
}

/// Whether a signature or an HMAC is right. A wrong one is an answer, not an error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether it is.
    pub valid: bool,
    /// The version it claims to be of, as text.
    pub key_version: String,
}

/// Compute an HMAC.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"input": "aGVsbG8="})))]
pub struct HmacRequest {
    /// Base64 of at most 65,536 bytes.
    #[schema(schema_with = input_schema)]
    pub input: SecretText,
    /// The latest when absent.
    #[serde(default)]
    pub key_version: Option<KeyVersionText>,
    /// Must be the key's own.
    #[schema(schema_with = hash_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Another name for `algorithm`.
    #[schema(schema_with = hash_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_algorithm: Option<String>,
}

/// What [`HmacRequest`] gives.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HmacResponse {
    /// `thalassa:v<key version>:<base64>`.
    pub hmac: String,
    /// The version that made it, as text.
    pub key_version: String,
}

/// Verify what hmac gave.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"input": "aGVsbG8=", "hmac": "thalassa:v1:AAAA"})))]
pub struct VerifyHmacRequest {
    /// As given to hmac.
    #[schema(schema_with = input_schema)]
    pub input: SecretText,
    /// As hmac gave it, or bare base64 of one by the latest version.
    pub hmac: String,
    /// Must be the key's own.
    #[schema(schema_with = hash_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Another name for `algorithm`.
    #[schema(schema_with = hash_schema)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_algorithm: Option<String>,
}

/// Public keys by version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKeysResponse {
    /// Version, as text → PEM of the SubjectPublicKeyInfo, or for Ed25519 base64 of the 32 bytes.
    pub keys: std::collections::BTreeMap<String, String>,
}

/// Export one version's material.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportKeyRequest {
    /// The latest when absent.
    #[serde(default)]
    pub key_version: Option<KeyVersionText>,
}

/// What [`ExportKeyRequest`] gives.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportKeyResponse {
    /// Base64 of the raw key for symmetric and HMAC types, of PKCS#8 DER for the others.
    #[schema(value_type = String)]
    pub key_material: SecretText,
    /// The version it is of, as text.
    pub key_version: String,
}

/// Base64 of at most 65,536 bytes.
fn input_schema() -> Object {
    text(87_384).pattern(Some(format!("^$|{BASE64}"))).build()
}
