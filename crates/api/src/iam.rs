//! Roles, teams and members (contract, sections 4.1, 4.4 and 4.5).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, SchemaType, Type};

use crate::secret::text;
use crate::{AppUser, Map, Time};

/// A named set of rules.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// For example `d6m0b0ngt9dc739sdrn0`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
    /// The name in URLs.
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
    /// Whether nobody can change it: system roles.
    pub is_read_only: bool,
    /// Whether it comes with every organisation.
    pub system: bool,
    /// On single reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RoleRule>>,
    /// On single reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bindings: Option<Vec<RoleBinding>>,
}

/// A new role, without rules.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "production-readers"})))]
pub struct CreateRoleRequest {
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

/// What a role grants.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleRule {
    /// Of the rule.
    pub identity: String,
    /// Types of resources; `*` means all.
    pub resources: Vec<String>,
    /// Patterns such as `/app/production/*`; none means all.
    pub resource_identities: Vec<String>,
    /// Words; `*` means all.
    pub permissions: Vec<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A new rule. Nobody grants what they do not hold themselves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({
    "resources": ["secret"], "resourceIdentities": ["/app/production/*"],
    "permissions": ["read", "list", "getSecretValue"]
})))]
pub struct CreateRuleRequest {
    /// 1–64 types of resources; `*` means all.
    #[schema(schema_with = resources_schema)]
    pub resources: Vec<String>,
    /// At most 64 patterns of 1–512 bytes; none means all.
    #[schema(schema_with = identities_schema)]
    pub resource_identities: Option<Vec<String>>,
    /// 1–64 words; `*` means all.
    #[schema(schema_with = permissions_schema)]
    pub permissions: Vec<String>,
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub note: Option<String>,
}

/// What ties a role to whoever holds it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleBinding {
    /// Of the binding.
    pub identity: String,
    /// The name people gave; may be empty.
    pub name: String,
    /// Made from the name.
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
    /// What the binding is good for at most; none means no restriction.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Time,
    /// The same: a binding does not change.
    pub updated_at: Time,
    /// Always 1.
    pub object_version: i64,
    /// The user who holds the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AppUser>,
    /// The team whose members hold the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Holder>,
    /// The service account that holds the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Holder>,
}

/// A team or service account that holds a role.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Of the holder.
    pub identity: String,
    /// Of the holder.
    pub name: String,
    /// Of the holder.
    pub slug: String,
    /// When it was made.
    pub created_at: Time,
}

/// A new binding to exactly one principal. Nobody binds what they do not hold themselves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "alice", "userIdentity": "usr-d5obcgg3fspc73f7vqpg"})))]
pub struct CreateBindingRequest {
    /// At most 255 characters; may be empty.
    #[schema(max_length = 255)]
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
    /// Subject of a member.
    pub user_identity: Option<String>,
    /// Identity or slug of a team.
    pub team_identity: Option<String>,
    /// Identity or slug of a service account.
    pub service_account_identity: Option<String>,
    /// `api:read`, `api:write`, `kubernetes`, `objectStorage`; none means no restriction.
    #[schema(max_items = 4)]
    pub scopes: Option<Vec<String>>,
}

/// A group of members that holds roles together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Team {
    /// For example `team-d5obcgg3fspc73f7vqpg`.
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
    /// Who is in it.
    pub members: Vec<TeamMember>,
}

/// Somebody in a team.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamMember {
    /// The user's subject.
    pub identity: String,
    /// `OWNER`, `ADMIN` or `MEMBER`; it grants nothing.
    #[schema(pattern = "^(OWNER|ADMIN|MEMBER)$")]
    pub role: String,
    /// Who.
    pub user: AppUser,
    /// Since when.
    pub created_at: Time,
    /// The same.
    pub updated_at: Time,
}

/// A new team of nobody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "platform"})))]
pub struct CreateTeamRequest {
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

/// What changes of a team; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"description": "on call"})))]
pub struct UpdateTeamRequest {
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

/// Somebody to put into a team.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"userIdentity": "usr-d5obcgg3fspc73f7vqpg", "role": "MEMBER"})))]
pub struct CreateTeamMemberRequest {
    /// Subject of a member of the organisation.
    pub user_identity: String,
    /// `OWNER`, `ADMIN` or `MEMBER` (default).
    #[schema(pattern = "^(OWNER|ADMIN|MEMBER)?$")]
    pub role: Option<String>,
}

/// A member of the organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Of the membership.
    pub identity: String,
    /// Since when.
    pub created_at: Time,
    /// Who.
    pub user: AppUser,
    /// `OWNER` or `MEMBER`.
    #[schema(pattern = "^(OWNER|MEMBER)$")]
    pub role: String,
}

/// What a member is to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"role": "MEMBER"})))]
pub struct UpdateMemberRequest {
    /// `OWNER` or `MEMBER`.
    #[schema(pattern = "^(OWNER|MEMBER)$")]
    pub role: String,
}

fn words_schema(item: Object) -> Array {
    ArrayBuilder::new().items(item).min_items(Some(1)).max_items(Some(64)).build()
}

fn resources_schema() -> Array {
    let names = ["*", "secret", "kms_key", "audit_log", "iam_role", "project", "iam_policy"];
    words_schema(text(32).enum_values(Some(names)).build())
}

fn permissions_schema() -> Array {
    let words = ["*", "create", "read", "update", "delete", "list", "getSecretValue", "encrypt"];
    words_schema(text(32).enum_values(Some(words)).build())
}

fn identities_schema() -> Array {
    let item = text(512).min_length(Some(1)).build();
    let types = SchemaType::Array(vec![Type::Array, Type::Null]);
    ArrayBuilder::new().schema_type(types).items(item).max_items(Some(64)).build()
}
