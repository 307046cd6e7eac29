//! Invites: who may become a member (contract, section 4.5).

use super::identity::MemberRole;
use crate::error::{Error, Result};

/// How long an invite lasts when nothing is said, and at most.
pub const INVITE_DAYS: i64 = 7;
pub const INVITE_DAYS_MAX: i64 = 30;
/// Invites of one organisation that wait.
pub const INVITES_MAX: usize = 1000;

/// An invite, never its code.
#[derive(Debug, Clone)]
pub struct Invite {
    pub organisation: String,
    pub id: String,
    pub email: String,
    pub role: MemberRole,
    /// Kind and identity of whoever invites.
    pub inviter: (String, String),
    /// A team to be put into, empty for none.
    pub team: String,
    /// A role to be bound to, empty for none.
    pub bound_role: String,
    pub created_at: i64,
    pub expires_at: i64,
}

/// An address as far as it can be told without writing to it: printable ASCII with an `@`.
pub fn check_email(field: &str, text: &str) -> Result<String> {
    let text = text.trim();
    let is_good = text.len() <= 254
        && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match is_good {
        true => Ok(text.to_owned()),
        false => Err(Error::invalid(field, "is not an e-mail address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_name_and_a_host() {
        for (text, expected) in [
            ("a@b", true),
            (" a@b.example ", true),
            ("a", false),
            ("@b", false),
            ("a@", false),
            ("a b@c", false),
            ("a@b\n", true),
            ("a@b\nc", false),
            ("ä@b", false),
            ("", false),
        ] {
            assert_eq!(check_email("email", text).is_ok(), expected, "{text:?}");
        }
        assert!(check_email("email", &format!("a@{}", "b".repeat(253))).is_err());
    }
}
