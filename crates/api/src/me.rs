//! The caller and its own tokens (contract, section 15, 4).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AppUser, Organisation, SecretText, Time};

/// Who is calling, and what that caller may do in the organisation that the call names.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The user, where the caller is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AppUser>,
    /// The service account, where the caller is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_identity: Option<String>,
    /// The organisation, where the call names one that the caller belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<Organisation>,
    /// Identity of the credential that was shown.
    pub credential_identity: String,
    /// Its scopes; none means no restriction.
    pub scopes: Vec<String>,
    /// What roles grant, one entry for each rule that reaches the caller.
    pub permissions: Vec<EffectivePermission>,
}

/// One rule that reaches the caller.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePermission {
    /// Slug of the role, or `OWNER`.
    pub role: String,
    /// Types of resources; `*` means all.
    pub resources: Vec<String>,
    /// Patterns of identities; none means all.
    pub resource_identities: Vec<String>,
    /// Words of permissions; `*` means all.
    pub permissions: Vec<String>,
    /// Of the binding: what it grants is good for no more than these; none means no restriction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// A personal access token, never its text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonalAccessToken {
    /// For example `pat-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// What it is for.
    pub name: String,
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

/// A new token of one's own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "laptop", "scopes": ["api:read"]})))]
pub struct CreateTokenRequest {
    /// 1–255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = "\\S")]
    pub name: String,
    /// `api:read`, `api:write`, `kubernetes`, `objectStorage`; none means no restriction.
    #[schema(max_items = 4)]
    pub scopes: Option<Vec<String>>,
    /// Never later than that of the credential that asks.
    pub expires_at: Option<Time>,
}

/// A token with its text, which is shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedToken {
    /// The token.
    #[serde(flatten)]
    pub about: PersonalAccessToken,
    /// `tc_pat_…`
    #[schema(value_type = String)]
    pub token: SecretText,
}
