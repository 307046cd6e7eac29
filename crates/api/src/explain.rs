//! Why something is allowed, or not (contract, section 15, 10).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A decision and what made it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The path that was asked about.
    pub path: String,
    /// The permission that was asked about.
    pub permission: String,
    /// `user:<subject>` or `serviceAccount:<identity>`.
    pub principal: String,
    /// What IAM decides, together with the access policy where that is told.
    pub allowed: bool,
    /// In words.
    pub reason: String,
    /// What grants it, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<ExplainedGrant>,
    /// What the secret's access policy says, where it has one that decides and that the caller may know of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_policy: Option<ExplainedPolicy>,
}

/// The grant that allows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedGrant {
    /// Slug of the role, `OWNER`, or `policy` and the slug of a project's IAM policy.
    pub role: String,
    /// Of the role, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_identity: Option<String>,
    /// Of the IAM policy, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_identity: Option<String>,
    /// The rule of it.
    pub rule: ExplainedRule,
    /// Identity of the binding that gives it to the principal, directly or by a team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
}

/// A rule as it was applied.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRule {
    /// Of the rule, where it can be told from its like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Types of resources; `*` means all.
    pub resources: Vec<String>,
    /// Patterns of identities; none means all.
    pub resource_identities: Vec<String>,
    /// Words of permissions; `*` means all.
    pub permissions: Vec<String>,
}

/// What an access policy says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedPolicy {
    /// For the caller's address, and now.
    pub allowed: bool,
    /// Why, where the caller may read the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The condition or statement that decided, by its place in the policy, for example `conditions[0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}
