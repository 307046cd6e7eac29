//! Service accounts and their credentials (contract, section 4.3).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AppUser, Map, SecretText, Time};

/// A principal that is no person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccount {
    /// For example `sa-d9537foqog6c73bedc70`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
    /// The name in URLs and access policies; it stays when the name changes.
    pub slug: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Labels.
    #[serde(default)]
    pub labels: Map,
    /// Annotations.
    #[serde(default)]
    pub annotations: Map,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Grows by one with each change.
    pub object_version: i64,
    /// The user who made it; absent where a service account did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<AppUser>,
}

/// A new service account, without roles and credentials.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "ci"})))]
pub struct CreateServiceAccountRequest {
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
}

/// What changes of a service account; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"description": "deploys"})))]
pub struct UpdateServiceAccountRequest {
    /// 1–255 characters; the slug stays.
    #[schema(min_length = 1, max_length = 255, pattern = "\\S")]
    pub name: Option<String>,
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// At most 64 entries; keys 1–128 characters, values at most 256.
    #[schema(schema_with = crate::secret::labels_schema)]
    pub labels: Option<Map>,
    /// At most 64 entries; keys 1–128 characters, values at most 4,096.
    #[schema(schema_with = crate::secret::annotations_schema)]
    pub annotations: Option<Map>,
}

/// An access key, never its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessCredential {
    /// Of the credential.
    pub identity: String,
    /// `tc_ak_…`
    pub access_key: String,
    /// The name people gave; may be empty.
    pub name: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// None means no restriction.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When it was last shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Time>,
}

/// A new credential of a service account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "runner", "scopes": ["api:read"]})))]
pub struct CreateAccessCredentialRequest {
    /// At most 255 characters; may be empty.
    #[schema(max_length = 255)]
    pub name: Option<String>,
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// `api:read`, `api:write`, `kubernetes`, `objectStorage`; none means no restriction.
    #[schema(max_items = 4)]
    pub scopes: Option<Vec<String>>,
    /// Never later than that of the credential that asks.
    pub expires_at: Option<Time>,
}

/// A credential with its secret, which is shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedAccessCredential {
    /// Of the credential.
    pub identity: String,
    /// `tc_ak_…`
    pub access_key: String,
    /// `tc_sk_…`
    #[schema(value_type = String)]
    pub access_secret: SecretText,
    /// None means no restriction.
    pub scopes: Vec<String>,
}
