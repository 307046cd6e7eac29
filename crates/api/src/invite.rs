//! Invites (contract, section 4.5).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AppUser, Holder, Organisation, SecretText, Time};

/// Somebody who may become a member.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invite {
    /// Of the invite, for example `inv-d5obcgg3fspc73f7vqpg`.
    pub identity: String,
    /// Whom it is for.
    pub email: String,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<Organisation>,
    /// `OWNER` or `MEMBER`.
    #[schema(pattern = "^(OWNER|MEMBER)$")]
    pub role: String,
    /// Who invites, where that is a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by_user: Option<AppUser>,
    /// The team to be put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_team_on_accept: Option<Holder>,
    /// The role to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolebinding_on_accept: Option<Holder>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// The identity again, which accepts nothing: the code itself is shown once, to whoever invites.
    pub invite_code: String,
}

/// A new invite with its code, which is shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedInvite {
    /// Of the invite.
    pub identity: String,
    /// Whom it is for.
    pub email: String,
    /// `OWNER` or `MEMBER`.
    pub role: String,
    /// The team to be put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_team_on_accept: Option<Holder>,
    /// The role to be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolebinding_on_accept: Option<Holder>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// `tc_inv_…`: whoever has it becomes a member.
    #[schema(value_type = String)]
    pub invite_code: SecretText,
}

/// Invites somebody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"email": "new@acme.example", "role": "MEMBER", "duration": "24h"})))]
pub struct CreateInviteRequest {
    /// Whom it is for; nothing is sent there.
    #[schema(min_length = 3, max_length = 254, pattern = "^[!-?A-~]+@[!-~]+$")]
    pub email: String,
    /// `OWNER` or `MEMBER`; `MEMBER` when absent.
    #[schema(pattern = "^(OWNER|MEMBER)?$")]
    pub role: Option<String>,
    /// Identity or slug of a team to be put into.
    pub join_team_on_accept: Option<String>,
    /// Identity or slug of a role to be given.
    pub rolebinding_on_accept: Option<String>,
    /// At most 30 days from now; 7 days when neither this nor `duration` is there.
    pub expires_at: Option<Time>,
    /// For example `24h` or `7d`, in place of `expiresAt`.
    pub duration: Option<String>,
}

/// Accepts an invite.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(examples(json!({"inviteCode": "tc_inv_0123456789abcdefghijABCDEFGHIJ0123456789", "name": "New Person"})))]
pub struct AcceptInviteRequest {
    /// `tc_inv_…`
    #[schema(value_type = String)]
    pub invite_code: SecretText,
    /// The new user's name; the address of the invite when absent. Ignored for a user who exists.
    #[schema(max_length = 255)]
    pub name: Option<String>,
}

/// A new member.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedInvite {
    /// Of the membership.
    pub identity: String,
    /// Where.
    pub organisation: Organisation,
    /// Who.
    pub user: AppUser,
    /// `OWNER` or `MEMBER`.
    pub role: String,
    /// `tc_pat_…`, shown this once: the first token of a user who is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token: Option<SecretText>,
}
