//! Organisations, users and who belongs where (contract, section 1.9).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Map, Time};

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organisation {
    /// For example `o-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
    /// The name in URLs and headers.
    pub slug: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Grows by one with each change.
    pub object_version: i64,
}

/// A person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppUser {
    /// The user's identity in IAM requests.
    pub subject: String,
    /// The name people see.
    pub name: String,
    /// Address.
    pub email: String,
    /// When the user was made.
    pub created_at: Time,
}

/// One organisation that the caller belongs to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// Of the membership itself.
    pub identity: String,
    /// Since when.
    pub created_at: Time,
    /// Where.
    pub organisation: Organisation,
    /// Who.
    pub user: AppUser,
    /// `OWNER` or `MEMBER`.
    #[schema(pattern = "^(OWNER|MEMBER)$")]
    pub role: String,
}
