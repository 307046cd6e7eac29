//! Metering (contract, section 15, 6).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// How many versions of secrets were stored for how long.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionMetering {
    /// When the period begins.
    pub from: Time,
    /// When it ends: never later than now.
    pub to: Time,
    /// By region and project.
    pub items: Vec<MeteredVersions>,
}

/// Versions in a region and a project, or in the organisation itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeteredVersions {
    /// Slug of the region.
    pub region: String,
    /// Absent for what is in no project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_identity: Option<String>,
    /// Versions that are stored now, which destroyed ones are not.
    pub versions: i64,
    /// Hours that versions were stored in the period, all together; to a millionth.
    pub version_hours: f64,
}
