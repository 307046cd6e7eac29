//! Quotas (contract, section 6.4).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Organisation, Time};

/// How much of something an organisation uses, and may use.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// For example `secrets.count`.
    pub name: String,
    /// What is counted.
    pub description: String,
    /// The part of the product it belongs to.
    pub service: String,
    /// Since when it is counted.
    pub created_at: Time,
    /// The most there may be; 0 is no bound.
    pub max_usage: i64,
    /// How much there is.
    pub current_usage: i64,
    /// Always `count`.
    pub quota_type: String,
    /// Requests for more, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub increase_requests: Vec<QuotaIncrease>,
    /// Whose quota it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<Organisation>,
}

/// A request for more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaIncrease {
    /// For example `qir-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// The quota, for example `secrets.count`.
    pub name: String,
    /// The maximum that was asked for.
    pub new_max_usage_requested: i64,
    /// What for.
    pub requested_reason_message: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was decided.
    pub updated_at: Time,
    /// `pending`, `approved` or `denied`.
    pub decision: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_reason: Option<String>,
}

/// Asks for more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "secrets.count", "newMaxUsage": 2_000_000, "reason": "a new team"})))]
pub struct CreateIncreaseRequest {
    /// The quota, for example `secrets.count`.
    pub name: String,
    /// More than the present maximum.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64)]
    pub new_max_usage: i64,
    /// What for; at most 1,024 characters.
    #[schema(max_length = 1024)]
    pub reason: Option<String>,
}
