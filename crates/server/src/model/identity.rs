//! Organisations, people, regions.

use coffer_api::Map;

use super::action::Feature;
use super::scopes::Scopes;

/// A tenant.
#[derive(Debug, Clone)]
pub struct Organisation {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub secrets_gate: bool,
    pub kms_gate: bool,
    pub projects_gate: bool,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}

impl Organisation {
    pub fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Secrets => self.secrets_gate,
            Feature::Kms => self.kms_gate,
            Feature::Projects => self.projects_gate,
        }
    }
}

/// A person.
#[derive(Debug, Clone)]
pub struct User {
    pub subject: String,
    pub name: String,
    pub email: String,
    pub created_at: i64,
}

/// Who made something, for its `createdBy`.
#[derive(Debug, Clone, Default)]
pub struct Maker {
    /// A user's subject or a service account's identity.
    pub id: String,
    /// The user as read back, where one did.
    pub user: Option<User>,
}

/// What a member is in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    Owner,
    Member,
}

impl MemberRole {
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Member => "MEMBER",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Owner, Self::Member].into_iter().find(|role| role.word() == word)
    }
}

/// A user's place in an organisation.
#[derive(Debug, Clone)]
pub struct Membership {
    pub id: String,
    pub role: MemberRole,
    pub created_at: i64,
    pub organisation: Organisation,
}

/// A region. `kms` tells whether keys can be used there.
#[derive(Debug, Clone)]
pub struct Region {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub kms: bool,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}

/// A personal access token as it is listed, never its text.
#[derive(Debug, Clone)]
pub struct PersonalToken {
    pub id: String,
    pub name: String,
    pub scopes: Scopes,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
}
