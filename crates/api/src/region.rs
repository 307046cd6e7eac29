//! Regions (contract, section 6.2).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Map, Time};

/// A region; every key and every secret lives in exactly one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// For example `r-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// The name people see.
    pub name: String,
    /// The name in URLs, for example `nl-01`.
    pub slug: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Grows by one with each change.
    pub object_version: i64,
    /// Labels.
    #[serde(default)]
    pub labels: Map,
    /// Annotations.
    #[serde(default)]
    pub annotations: Map,
    /// Always empty: a region of Coffer is not divided.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub zones: Vec<serde_json::Value>,
}
