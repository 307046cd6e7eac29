//! Access policies: rules on top of IAM for reveal and put (contract, section 2.7), in their three shapes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An access policy. `conditions` is the main shape, `allowed` and `denied` say the same in groups,
/// `statements` name actions and principals. Conditions and statements must both pass.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"conditions": [{"type": "ip", "effect": "allow", "cidrs": ["10.0.0.0/8"]}]})))]
pub struct AccessPolicy {
    /// Each with its own effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub conditions: Option<Vec<Condition>>,
    /// Conditions of which one must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub allowed: Option<Vec<Condition>>,
    /// Conditions of which none may match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub denied: Option<Vec<Condition>>,
    /// Deny wins; where allow statements exist for an action, one must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub statements: Option<Vec<Statement>>,
}

/// A condition on the client's address or on the hour.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// `ip` or `time`.
    #[schema(pattern = "^(ip|time)$")]
    pub r#type: String,
    /// `allow` or `deny`; in `conditions` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(allow|deny)$")]
    pub effect: Option<String>,
    /// Addresses and CIDRs, 1–128.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 128)]
    pub cidrs: Option<Vec<String>>,
    /// Another name for `cidrs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 128)]
    pub ips: Option<Vec<String>>,
    /// 0–23, the first hour inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_hour: Option<i64>,
    /// 0–24, the first hour outside; below `startHour` the window passes midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_hour: Option<i64>,
    /// IANA name, for example `Europe/Amsterdam`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The three fields above, nested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Hours>,
}

/// A daily window.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hours {
    /// 0–23.
    pub start_hour: i64,
    /// 0–24.
    pub end_hour: i64,
    /// IANA name.
    pub timezone: String,
}

/// A statement in the shape of the SDK and of Terraform.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// `Allow` or `Deny`, in any case.
    #[schema(pattern = "^([Aa]llow|[Dd]eny)$")]
    pub effect: String,
    /// `read`, `getSecretValue`, `secrets:get-value`, `write`, `putSecretValue`, `secrets:put-value`, `*`, …
    pub actions: Vec<String>,
    /// `user:<subject>`, `team:<identity or slug>`, `serviceAccount:<identity or slug>`, `*`; absent = everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principals: Option<Vec<String>>,
}
