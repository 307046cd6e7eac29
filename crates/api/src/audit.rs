//! The audit log as it is read (contract, section 7).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AppUser, Organisation, Time};

/// One page of the log, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// The entries of this page.
    pub items: Vec<AuditEntry>,
    /// How many entries match. Counting ends at 100,000, or behind the page shown where that lies farther.
    pub total_items: i64,
    /// This page, from 1.
    pub page: i64,
    /// Entries a page.
    pub items_per_page: i64,
    /// How many pages there are.
    pub total_pages: i64,
    /// The same as `totalItems`, for clients that look there.
    pub total_count: i64,
}

/// One call.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When the call was answered.
    pub created_at: Time,
    /// Of the entry.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// The calling user's subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_identity: Option<String>,
    /// The calling user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<AppUser>,
    /// The calling service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_identity: Option<String>,
    /// Spelled with `z` in this one place (contract, section 13, D21).
    pub organization_identity: String,
    /// Whose log this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organisation>,
    /// For example `secrets.getSecretValue`.
    pub action: String,
    /// The reason of a denial or a failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `secret`, `kms_key`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_type: String,
    /// The path of a secret, the identity of anything else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_identity: String,
    /// The project the call was made in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project_id: String,
    /// How the call came.
    pub context: AuditContext,
}

/// How a call came and how it was answered.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct AuditContext {
    /// The client's address, empty when it is not known.
    pub client_ip: String,
    /// As sent, at most 256 characters.
    pub user_agent: String,
    /// HTTP method.
    pub method: String,
    /// URL path, without the query.
    pub path: String,
    /// The same: queries are not kept, since clients have been seen to put tokens there.
    pub url: String,
    /// Safe headers only: `User-Agent` and `X-Request-Id`.
    pub headers: crate::Map,
    /// HTTP status of the answer.
    pub status: u16,
    /// Microseconds from the request's arrival to this record.
    pub duration: i64,
    /// Which credential was used: its identity, never the credential.
    pub credentials_id: String,
    /// `personal_access_token`, …
    pub credentials_type: String,
    /// `X-Request-Id` of the answer.
    pub request_id: String,
}
