//! Projects (contract, section 6.1).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Map, Time};

/// A part of an organisation with secrets, keys and IAM policies of its own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// For example `prj-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// The name people gave.
    pub name: String,
    /// The name in URLs and headers; it stays when the name changes.
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
    /// The project above, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_project: Option<ParentProject>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Grows by one with each change.
    pub object_version: i64,
}

/// The project above another one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentProject {
    /// Of the parent.
    pub identity: String,
    /// Of the parent.
    pub name: String,
    /// Of the parent.
    pub slug: String,
}

/// A new project. Whoever makes it is bound to its policy `org-admin`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"name": "payments"})))]
pub struct CreateProjectRequest {
    /// 1–255 characters; the slug is made from it, must be free and is not `root`.
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
    /// Identity or slug of the project above; none or empty for the top.
    pub parent_project_identity: Option<String>,
}

/// What changes of a project; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"description": "card payments"})))]
pub struct UpdateProjectRequest {
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
    /// Identity or slug of the project above; empty for the top.
    pub parent_project_identity: Option<String>,
}
