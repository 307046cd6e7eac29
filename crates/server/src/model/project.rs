//! Projects: parts of an organisation, one below another.

use coffer_api::Map;

/// A part of an organisation with secrets, keys and IAM policies of its own.
#[derive(Debug, Clone)]
pub struct Project {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    /// Identity of the project above; empty at the top.
    pub parent: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}
