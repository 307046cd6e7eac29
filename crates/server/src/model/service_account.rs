//! Machines that call: service accounts and their credentials.

use coffer_api::Map;

use super::identity::Maker;
use super::scopes::Scopes;

/// A principal that is no person.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub created_by: Maker,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}

/// An access key as it is listed, never its secret.
#[derive(Debug, Clone)]
pub struct AccessCredential {
    pub id: String,
    pub access_key: String,
    pub name: String,
    pub description: String,
    pub scopes: Scopes,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
}
