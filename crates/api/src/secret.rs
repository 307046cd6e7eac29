//! Secrets and what is done with them (contract, section 2).

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, SchemaType, Type};

use crate::unique_json::{object, unique};
use crate::{AccessPolicy, KeyValues, KmsKey, Map, Region, SecretText, Time};

/// A secret's metadata, never a value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// The path, which is the identity.
    pub path: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// The key every version is sealed under.
    pub kms_key: KmsKey,
    /// The highest active version, 0 when none is left.
    pub current_version: i64,
    /// Grows by one with each change.
    pub object_version: i64,
    /// The last reveal, absent until the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accessed_at: Option<Time>,
    /// Where it lives.
    pub region: Region,
    /// As it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AccessPolicy>)]
    pub access_policy: Option<Json>,
    /// Only with `includeVersions=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<SecretVersion>>,
}

/// One version of a secret, never its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretVersion {
    /// From 1, never used twice.
    pub version: i64,
    /// `active` or `destroyed`.
    #[schema(pattern = "^(active|destroyed)$")]
    pub status: String,
    /// `current` on the highest active version, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// `string` or `keyValue`.
    #[schema(pattern = "^(string|keyValue)$")]
    pub value_format: String,
    /// When it was put.
    pub created_at: Time,
    /// Its last reveal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accessed_at: Option<Time>,
    /// When its value was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<Time>,
}

/// One level of the tree.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrowseResponse {
    /// The directory shown, with its trailing slash.
    pub path: String,
    /// Child directories with something readable below, with their trailing slash.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// The readable secrets of this level.
    #[serde(default)]
    pub secrets: Vec<Secret>,
}

/// A new secret with its first version. Exactly one of `secretString`, `secretKeyValues` and
/// `generateSecret`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({
    "path": "/app/production/db/password",
    "kmsKeyIdentity": "kms-d5obcgg3fspc73f7vqpg",
    "secretString": "aHVudGVyMg=="
})))]
pub struct CreateSecretRequest {
    /// 1–512 characters of `A-Z a-z 0-9 / _ - . +`, from `/`, no empty, `.` or `..` segment.
    #[schema(max_length = 512, pattern = r"^(/(?!\.\.?(/|$))[A-Za-z0-9_.+-]+)+$")]
    pub path: String,
    /// Identity or slug of an active symmetric key of the same region and scope.
    pub kms_key_identity: String,
    /// Base64 of 1–4,096 bytes.
    #[schema(schema_with = base64_schema)]
    pub secret_string: Option<SecretText>,
    /// 1–256 names of `A-Z a-z 0-9 _ . -`, each with base64 of 1–4,096 bytes; 65,536 bytes in all.
    #[schema(schema_with = key_values_schema)]
    pub secret_key_values: Option<KeyValues>,
    /// The server makes the value.
    #[serde(default, deserialize_with = "object")]
    pub generate_secret: Option<GenerateSecret>,
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// At most 64 entries; keys 1–128 characters, values at most 256.
    #[schema(schema_with = labels_schema)]
    pub labels: Option<Map>,
    /// At most 64 entries; keys 1–128 characters, values at most 4,096.
    #[schema(schema_with = annotations_schema)]
    pub annotations: Option<Map>,
    /// Rules on top of IAM for reveal and put.
    #[serde(default, deserialize_with = "unique")]
    #[schema(value_type = Option<AccessPolicy>)]
    pub access_policy: Option<Json>,
}

/// How many random bytes the server shall make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerateSecret {
    /// 16–4,096.
    #[schema(minimum = 16, maximum = 4096)]
    pub byte_length: i64,
}

/// The next version's value: exactly one of `secretString`, `secretKeyValues` and `generateSecret`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"secretString": "aHVudGVyMw=="})))]
pub struct PutSecretValueRequest {
    /// When given, the same path as in the URL.
    pub path: Option<String>,
    /// Base64 of 1–4,096 bytes.
    #[schema(schema_with = base64_schema)]
    pub secret_string: Option<SecretText>,
    /// 1–256 names of `A-Z a-z 0-9 _ . -`, each with base64 of 1–4,096 bytes; 65,536 bytes in all.
    #[schema(schema_with = key_values_schema)]
    pub secret_key_values: Option<KeyValues>,
    /// The server makes the value.
    #[serde(default, deserialize_with = "object")]
    pub generate_secret: Option<GenerateSecret>,
}

/// What a put made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PutSecretValueResponse {
    /// Of the secret.
    pub path: String,
    /// The number of the new version.
    pub version: i64,
}

/// Which version to reveal; the whole body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"version": 1})))]
pub struct GetSecretValueRequest {
    /// When given, the same path as in the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The current version when absent.
    #[schema(minimum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// A revealed value. No `Debug`, no `Clone`; zeroed when dropped.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetSecretValueResponse {
    /// Of the secret.
    pub path: String,
    /// The version read.
    pub version: i64,
    /// Base64, for the `string` format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secret_string: Option<SecretText>,
    /// Name to base64, for the `keyValue` format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Map>)]
    pub secret_key_values: Option<KeyValues>,
    /// The key it was sealed under.
    pub kms_key_identity: String,
    /// The version of that key, as text.
    pub kms_key_version: String,
}

/// The whole new policy of a secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"accessPolicy": {"conditions": [
    {"type": "time", "effect": "allow", "startHour": 8, "endHour": 18, "timezone": "Europe/Amsterdam"}
]}})))]
pub struct SetPolicyRequest {
    /// `null` and `{}` clear it. The field itself must be there.
    #[serde(deserialize_with = "unique")]
    #[schema(value_type = Option<AccessPolicy>, required = true)]
    pub access_policy: Option<Json>,
}

/// What to change; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"description": "primary database"})))]
pub struct UpdateSecretRequest {
    /// At most 1,024 characters; `""` clears.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// Replaces all labels; `{}` clears.
    #[schema(schema_with = labels_schema)]
    pub labels: Option<Map>,
    /// Replaces all annotations; `{}` clears.
    #[schema(schema_with = annotations_schema)]
    pub annotations: Option<Map>,
}

/// Which versions a metadata answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// All of them, destroyed ones included.
    Included,
    /// None.
    LeftOut,
}

pub(crate) const BASE64: &str = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)$";

pub(crate) fn text(max_length: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).max_length(Some(max_length))
}

/// A text that may be left out, `null` meaning the same.
pub(crate) fn text_or_null(max_length: usize) -> ObjectBuilder {
    text(max_length).schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
}

/// Base64 of 1–4,096 bytes.
pub(crate) fn base64_schema() -> Object {
    text(5464).min_length(Some(4)).pattern(Some(BASE64)).build()
}

/// Base64 of 0–1,024 bytes, or nothing.
pub(crate) fn context_schema() -> Object {
    text_or_null(1368).pattern(Some(format!("^$|{BASE64}"))).build()
}

fn key_values_schema() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .property_names(Some(
            text(128).min_length(Some(1)).pattern(Some("^[A-Za-z0-9_.-]+$")).build(),
        ))
        .additional_properties(Some(AdditionalProperties::RefOr(base64_schema().into())))
        .min_properties(Some(1))
        .max_properties(Some(256))
        .build()
}

/// At most 64 entries of at most 256 characters.
pub(crate) fn labels_schema() -> Object {
    map_schema(256)
}

/// At most 64 entries of at most 4,096 characters.
pub(crate) fn annotations_schema() -> Object {
    map_schema(4096)
}

fn map_schema(value_length_max: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::Object, Type::Null]))
        .property_names(Some(text(128).min_length(Some(1)).build()))
        .additional_properties(Some(AdditionalProperties::RefOr(
            text(value_length_max).build().into(),
        )))
        .max_properties(Some(64))
        .build()
}
