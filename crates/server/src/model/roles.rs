//! The system roles: the same in every organisation, read-only (contract, section 14, 34).

use super::action::Permissions;
use super::decide::{Grant, HandOn};
use super::role::Rule;
use super::scopes::Scopes;

/// Name, resource types (`*` = all), permission words.
pub const SYSTEM_ROLES: &[(&str, &str, &[&str])] = &[
    ("org:admin", "*", &["*"]),
    ("org:auditor", "*", &["read", "list"]),
    (
        "secrets:FullAccess",
        "secret",
        &["create", "read", "update", "delete", "list", "getSecretValue", "putSecretValue"],
    ),
    ("secrets:ReadAccess", "secret", &["read", "list"]),
    ("kms:FullAccess", "kms_key", &["create", "read", "update", "delete", "list"]),
    ("kms:ReadAccess", "kms_key", &["read", "list"]),
    ("kms:Encrypt", "kms_key", &["encrypt"]),
    ("kms:Decrypt", "kms_key", &["decrypt"]),
    ("kms:Sign", "kms_key", &["sign"]),
    ("kms:Verify", "kms_key", &["verify"]),
    ("kms:HMAC", "kms_key", &["hmac"]),
    ("kms:VerifyHMAC", "kms_key", &["verify-hmac"]),
    ("kms:Rotate", "kms_key", &["rotate"]),
    ("kms:Export", "kms_key", &["export"]),
];

/// What a system role grants; nothing for a slug that names none.
pub fn system_grants(slug: &str) -> Vec<Grant> {
    SYSTEM_ROLES
        .iter()
        .filter(|(name, _, _)| coffer_api::slug_of(name) == slug)
        .map(|(_, resource, words)| compile(slug, &[*resource], &[], words))
        .collect()
}

/// The one rule of a system role, as it is shown; it has the role's identity.
pub fn system_rules(slug: &str, id: &str) -> Vec<Rule> {
    let found = SYSTEM_ROLES.iter().filter(|(name, _, _)| coffer_api::slug_of(name) == slug);
    let rule = |(_, resource, words): &(&str, &str, &[&str])| Rule {
        id: id.to_owned(),
        resources: vec![(*resource).to_owned()],
        identities: Vec::new(),
        permissions: words.iter().map(|word| (*word).to_owned()).collect(),
        note: String::new(),
    };
    found.map(rule).collect()
}

/// What an OWNER holds: everything in the organisation.
pub fn owner_grants() -> Vec<Grant> {
    vec![compile("OWNER", &["*"], &[], &["*"])]
}

/// A rule, ready for deciding. `*` among the resources means all types, no identity means all.
pub fn compile(role: &str, resources: &[&str], identities: &[&str], permissions: &[&str]) -> Grant {
    Grant {
        role: role.to_owned(),
        resources: (!resources.contains(&"*"))
            .then(|| resources.iter().map(|name| (*name).to_owned()).collect()),
        patterns: identities.iter().map(|text| super::pattern::Pattern::new(text)).collect(),
        permissions: Permissions::from_words(permissions.iter().copied()),
        scopes: Scopes::default(),
        hand_on: HandOn::Below,
    }
}
