//! Teams and members of an organisation.

use coffer_api::Map;

use super::identity::{MemberRole, User};

/// A group of members that holds roles together, and that access policies may name.
#[derive(Debug, Clone)]
pub struct Team {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Somebody in a team.
#[derive(Debug, Clone)]
pub struct TeamMember {
    pub team: String,
    pub role: TeamRole,
    pub created_at: i64,
    pub user: User,
}

/// What somebody is in a team; it grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TeamRole {
    Owner,
    Admin,
    #[default]
    Member,
}

impl TeamRole {
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Admin => "ADMIN",
            Self::Member => "MEMBER",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Owner, Self::Admin, Self::Member].into_iter().find(|role| role.word() == word)
    }
}

/// A user's place in the organisation, seen from there.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: String,
    pub role: MemberRole,
    pub created_at: i64,
    pub user: User,
}
