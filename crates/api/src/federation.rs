//! Identity providers and federated identities (contract, sections 5.3 and 5.4).

use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};
use utoipa::ToSchema;

use crate::{AppUser, Map, ServiceAccount, Time};

/// Somebody else who issues tokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityProvider {
    /// For example `idp-d9537foqog6c73bedc70`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
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
    /// What its tokens say as `iss`, byte by byte.
    pub provider_issuer: String,
    /// Where its keys are, when its own description does not say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider_jwks_uri: String,
    /// Its keys, when they are not fetched: `{"keys": […]}` (RFC 7517).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub local_jwks: Option<Json>,
    /// `active` or `inactive`.
    pub status: String,
    /// The user who made it; absent where a service account did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<AppUser>,
}

/// A new identity provider. Without keys and without their place, its own description at
/// `/.well-known/openid-configuration` names them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "github", "providerIssuer": "https://token.actions.githubusercontent.com"})))]
pub struct CreateIdentityProviderRequest {
    /// 1–255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = "\\S")]
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
    /// An https URL without query and fragment; one provider has it. It never changes, and a slash at its end counts.
    #[schema(max_length = 2048)]
    pub provider_issuer: String,
    /// An https URL.
    #[schema(max_length = 2048)]
    pub provider_jwks_uri: Option<String>,
    /// Public keys, 1–100 and at most 64 KiB; none are fetched then.
    #[schema(value_type = Option<Object>)]
    pub local_jwks: Option<Json>,
    /// `active` (the default) or `inactive`.
    pub status: Option<String>,
}

/// What changes of an identity provider; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"status": "inactive"})))]
pub struct UpdateIdentityProviderRequest {
    /// 1–255 characters.
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
    /// An https URL; empty means that the issuer's description says it.
    #[schema(max_length = 2048)]
    pub provider_jwks_uri: Option<String>,
    /// Public keys in the place of the present ones; an empty list of them means that they are fetched.
    #[schema(value_type = Option<Object>)]
    pub local_jwks: Option<Json>,
    /// `active` or `inactive`; inactive ends every token given out for it.
    pub status: Option<String>,
}

/// Which tokens of a provider stand for a service account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederatedIdentity {
    /// For example `fi-d9537foqog6c73bedc70`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
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
    /// Of the service account.
    pub service_account_identity: String,
    /// The service account.
    pub service_account: ServiceAccount,
    /// Of the provider.
    pub provider_identity: String,
    /// The provider, without keys that were given for it.
    pub provider: IdentityProvider,
    /// What the token's `sub` must match; `*` is any run of characters.
    pub provider_subject: String,
    /// None means that audiences are not looked at.
    pub trusted_audiences: Vec<String>,
    /// `exact`, `any` or `all`.
    pub audience_match_mode: String,
    /// None means no restriction.
    pub allowed_scopes: Vec<String>,
    /// Claim → what it must be.
    #[schema(value_type = Object)]
    pub conditions: JsonMap<String, Json>,
    /// `active`, `inactive`, `expired` or `revoked`.
    pub status: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When it or a token of it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Time>,
    /// The user who made it; absent where a service account did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<AppUser>,
}

/// A new federated identity.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "main branch", "serviceAccountIdentity": "ci",
    "providerIdentity": "idp-d9537foqog6c73bedc70", "providerSubject": "repo:acme/app:ref:refs/heads/main",
    "trustedAudiences": ["https://coffer.example.com"], "allowedScopes": ["api:read"]})))]
pub struct CreateFederatedIdentityRequest {
    /// 1–255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = "\\S")]
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
    /// Identity or slug.
    pub service_account_identity: String,
    /// Identity of a provider.
    pub provider_identity: String,
    /// A pattern of `sub`, 1–2,048 characters.
    #[schema(min_length = 1, max_length = 2048)]
    pub provider_subject: String,
    /// At most 64, 1–1,024 characters each.
    #[schema(max_items = 64)]
    pub trusted_audiences: Option<Vec<String>>,
    /// `exact` (the token has one audience, and it is trusted), `any` (one of the token's is trusted; the default),
    /// `all` (the token has every trusted one).
    pub audience_match_mode: Option<String>,
    /// `api:read`, `api:write`, `kubernetes`, `objectStorage`; none means no restriction.
    #[schema(max_items = 4)]
    pub allowed_scopes: Option<Vec<String>>,
    /// Tokens given out for it end then, too.
    pub expires_at: Option<Time>,
    /// Claim → a text, a number, a flag, or a list of them, at most 32.
    #[schema(value_type = Option<Object>)]
    pub conditions: Option<JsonMap<String, Json>>,
}

/// What changes of a federated identity; what is absent stays. The subject never changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"status": "inactive"})))]
pub struct UpdateFederatedIdentityRequest {
    /// 1–255 characters.
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
    /// At most 64, 1–1,024 characters each.
    #[schema(max_items = 64)]
    pub trusted_audiences: Option<Vec<String>>,
    /// `exact`, `any` or `all`.
    pub audience_match_mode: Option<String>,
    /// Tokens with others end.
    #[schema(max_items = 4)]
    pub allowed_scopes: Option<Vec<String>>,
    /// `active`, `inactive` or, for good, `revoked`.
    pub status: Option<String>,
    /// Tokens given out for it end then, too.
    pub expires_at: Option<Time>,
    /// Claim → a text, a number, a flag, or a list of them, at most 32.
    #[schema(value_type = Option<Object>)]
    pub conditions: Option<JsonMap<String, Json>>,
}
