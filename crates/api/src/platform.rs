//! Administration of the platform (contract, sections 14, 46 and 15, 7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AppUser, Organisation, Quota, QuotaIncrease, Region, SecretText};

/// What an organisation may use at all.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Secrets Manager, which also needs KMS.
    pub secrets: bool,
    /// KMS.
    pub kms: bool,
    /// Projects and their IAM policies.
    pub projects: bool,
}

/// An organisation as administrators of the platform see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformOrganisation {
    /// The organisation.
    #[serde(flatten)]
    pub about: Organisation,
    /// Its gates.
    pub gates: Gates,
    /// Its quotas, on single reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
}

/// A new organisation with its owner.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"name": "Acme", "ownerEmail": "owner@acme.example"})))]
pub struct CreateOrganisationRequest {
    /// 1–255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = "[A-Za-z0-9]")]
    pub name: String,
    /// Of `a-z 0-9 -`; made from the name when absent. Must be free.
    #[schema(max_length = 255)]
    pub slug: Option<String>,
    /// Address of the first owner.
    #[schema(min_length = 3, max_length = 254, pattern = "^[!-?A-~]+@[!-~]+$")]
    pub owner_email: String,
    /// Name of the first owner; the address when absent.
    #[schema(max_length = 255)]
    pub owner_name: Option<String>,
}

/// A new organisation; its owner's token is in this answer and nowhere else.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrganisation {
    /// The organisation.
    #[serde(flatten)]
    pub about: PlatformOrganisation,
    /// Its owner.
    pub owner: AppUser,
    /// `tc_pat_…`
    #[schema(value_type = String)]
    pub token: SecretText,
}

/// A change of an organisation; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"gates": {"kms": true}, "quotas": {"secrets.count": 5000}})))]
pub struct UpdateOrganisationRequest {
    /// Gates to switch.
    pub gates: Option<GatesUpdate>,
    /// Maxima by the name of the quota; 0 is no bound, `null` takes the configuration's.
    #[schema(value_type = Option<Object>)]
    pub quotas: Option<BTreeMap<String, Option<i64>>>,
}

/// Gates to switch; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatesUpdate {
    /// Secrets Manager.
    pub secrets: Option<bool>,
    /// KMS.
    pub kms: Option<bool>,
    /// Projects.
    pub projects: Option<bool>,
}

/// A region as administrators of the platform see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformRegion {
    /// The region.
    #[serde(flatten)]
    pub about: Region,
    /// Whether keys can be used there.
    pub kms: bool,
    /// Whether the configuration names the region; without that, KMS is off.
    pub configured: bool,
    /// What the configuration says of its KMS.
    pub kms_configured: bool,
    /// What administrators say of it, over the configuration; absent where they said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_switch: Option<bool>,
}

/// A switch of a region's KMS.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"kms": false})))]
pub struct UpdateRegionRequest {
    /// On or off, whatever the configuration says; `null` leaves it to the configuration.
    #[serde(deserialize_with = "required")]
    #[schema(required)]
    pub kms: Option<bool>,
}

/// `null` must be said: a forgotten or mistyped field would switch.
fn required<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Option::deserialize(from)
}

/// A request for a larger quota, and who asks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformQuotaIncrease {
    /// The request.
    #[serde(flatten)]
    pub about: QuotaIncrease,
    /// Who asks.
    pub organisation: Organisation,
}

/// Why a request is approved or denied.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(examples(json!({"reason": "as agreed"})))]
pub struct DecideIncreaseRequest {
    /// Told to the organisation; at most 1,024 characters.
    #[schema(max_length = 1024)]
    pub reason: Option<String>,
}

/// One record of no organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformAuditEntry {
    /// When the call was answered.
    pub created_at: crate::Time,
    /// Of the entry.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// `administrator`, `system`, `user`, `service_account`; empty where authentication failed.
    pub principal_kind: String,
    /// Who it was; for the system, on whose behalf.
    pub principal_identity: String,
    /// For example `platform.organisation.update`.
    pub action: String,
    /// The reason of a denial or a failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `organisation`, `region`, …
    pub resource_type: String,
    /// Identity of what it is about, as the call named it.
    pub resource_identity: String,
    /// How the call came and ended.
    pub context: crate::AuditContext,
}

/// One page of the records of no organisation, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformAuditPage {
    /// The entries of this page.
    pub items: Vec<PlatformAuditEntry>,
    /// How many entries match, counted as in `/v1/audit`.
    pub total_items: i64,
    /// This page, from 1.
    pub page: i64,
    /// Entries a page.
    pub items_per_page: i64,
    /// How many pages there are.
    pub total_pages: i64,
}
