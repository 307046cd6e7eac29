//! IAM policies of projects, their bindings and access elevations (contract, section 4.6).

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{AccessPolicy, AppUser, CreateRuleRequest, Holder, Map, ParentProject, RoleRule, Time};

/// A named set of rules within a project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IamPolicy {
    /// For example `pol-d5obcgg3fspc73f7vqpg`.
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
    /// One of the catalogue that every project has.
    pub system: bool,
    /// Whether nobody can change it in this project: a system policy, or one of a project above.
    pub is_read_only: bool,
    /// Whether it holds in all projects below as well.
    pub replicate_to_children: bool,
    /// Address and hour conditions under which it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditionals: Option<AccessPolicy>,
    /// On single reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RoleRule>>,
    /// On single reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bindings: Option<Vec<PolicyBinding>>,
    /// The project it was made in.
    pub project: ParentProject,
    /// Where it comes from, when that is a project above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PolicySource>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Grows by one with each change.
    pub object_version: i64,
}

/// Where a policy from above stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySource {
    /// Of the policy.
    pub policy_identity: String,
    /// Of its project.
    pub project_identity: String,
}

/// A new policy, in the project of the call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "readers"})))]
pub struct CreatePolicyRequest {
    /// 1–255 characters; the slug is made from it and must be free in the project.
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
    /// Whether it is to hold in all projects below as well.
    pub replicate_to_children: Option<bool>,
    /// `allowed` and `denied`, or `conditions`, as in an access policy.
    pub conditionals: Option<AccessPolicy>,
    /// Its first rules.
    #[schema(max_items = 64)]
    pub rules: Option<Vec<CreateRuleRequest>>,
}

/// What changes of a policy; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"description": "who may read"})))]
pub struct UpdatePolicyRequest {
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// At most 64 entries; keys 1–128 characters, values at most 256.
    #[schema(schema_with = crate::secret::labels_schema)]
    pub labels: Option<Map>,
    /// At most 64 entries; keys 1–128 characters, values at most 4,096.
    #[schema(schema_with = crate::secret::annotations_schema)]
    pub annotations: Option<Map>,
    /// `null` or `{}` takes the conditions away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AccessPolicy>)]
    pub conditionals: Option<Option<AccessPolicy>>,
}

/// `null` is a value, and absent is none.
fn present<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// What ties a policy to whoever holds it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyBinding {
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
    /// Of the policy.
    pub policy_identity: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// The access elevation that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_elevation_identity: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// The user who holds the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AppUser>,
    /// The team whose members hold the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Holder>,
    /// The service account that holds the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Holder>,
}

/// A new binding to exactly one principal, for ever or until `expiresAt` or for `duration`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"userIdentity": "usr-d5obcgg3fspc73f7vqpg", "duration": "7d"})))]
pub struct CreatePolicyBindingRequest {
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
    /// When it ends by itself.
    pub expires_at: Option<Time>,
    /// Such as `24h`, `7d` or `1h30m`, instead of `expiresAt`.
    pub duration: Option<String>,
}

/// What changes of a binding; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"duration": "24h"})))]
pub struct UpdatePolicyBindingRequest {
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
    /// When it ends by itself.
    pub expires_at: Option<Time>,
    /// Such as `24h`, `7d` or `1h30m`, from now, instead of `expiresAt`.
    pub duration: Option<String>,
}

/// A principal that holds policies of the project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyMember {
    /// `user`, `team` or `service_account`.
    pub principal_type: String,
    /// Of the principal.
    pub principal_identity: String,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AppUser>,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Holder>,
    /// The service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Holder>,
    /// By what it holds them.
    pub bindings: Vec<PolicyMemberBinding>,
}

/// A policy that a principal holds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyMemberBinding {
    /// `iam_policy`.
    pub source: String,
    /// Of the policy.
    pub policy_identity: String,
    /// Of the policy.
    pub policy_name: String,
    /// Of the binding.
    pub binding_identity: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// Who has access to a resource of the project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessBindings {
    /// As it was asked for.
    pub resource_identity: String,
    /// One for each rule and binding that reaches the resource.
    pub bindings: Vec<AccessBinding>,
}

/// A rule and a binding that reach a resource.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessBinding {
    /// As it was asked for.
    pub resource_type: String,
    /// `iam_policy` or `organisation_role`.
    pub binding_type: String,
    /// Of the binding.
    pub binding_identity: String,
    /// Of the policy or the role.
    pub policy_identity: String,
    /// `user`, `team` or `service_account`.
    pub principal_type: String,
    /// Of the principal.
    pub principal_identity: String,
    /// Words; `*` means all.
    pub permissions: Vec<String>,
}

/// A request for a policy for a while.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Elevation {
    /// For example `ae-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// `pending`, `approved`, `rejected`, `cancelled`, `revoked` or `expired`.
    pub status: String,
    /// The policy asked for.
    pub policy_identity: String,
    /// The project it is for.
    pub project_identity: String,
    /// `user` or `service_account`.
    pub principal_type: String,
    /// Who asks.
    pub principal_identity: String,
    /// Why.
    pub reason: String,
    /// Labels.
    #[serde(default)]
    pub labels: Map,
    /// Annotations.
    #[serde(default)]
    pub annotations: Map,
    /// Until when.
    pub requested_expires_at: Time,
    /// Who decided, as `user:…` or `service_account:…`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reviewed_by: String,
    /// What they said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub review_note: String,
    /// When it was asked for.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// A request for a policy of the project until `expiresAt` or for `duration`, 30 days at most.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({
    "policyIdentity": "secrets-full-access", "reason": "incident 4711", "duration": "2h"
})))]
pub struct CreateElevationRequest {
    /// Identity or slug of a policy that holds in the project.
    pub policy_identity: String,
    /// 1–1,024 characters.
    #[schema(min_length = 1, max_length = 1024, pattern = "\\S")]
    pub reason: String,
    /// Until when.
    pub expires_at: Option<Time>,
    /// Such as `2h` or `1d`, instead of `expiresAt`.
    pub duration: Option<String>,
    /// At most 64 entries; keys 1–128 characters, values at most 256.
    #[schema(schema_with = crate::secret::labels_schema)]
    pub labels: Option<Map>,
    /// At most 64 entries; keys 1–128 characters, values at most 4,096.
    #[schema(schema_with = crate::secret::annotations_schema)]
    pub annotations: Option<Map>,
}

/// What a reviewer says.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"reviewNote": "fine"})))]
pub struct ReviewElevationRequest {
    /// At most 1,024 characters.
    #[schema(max_length = 1024)]
    pub review_note: Option<String>,
}
