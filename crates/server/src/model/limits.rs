//! Every fixed limit, in one place (contract, sections 2.6, 3.5, 3.6 and 14, 12).

use coffer_api::Map;

use crate::error::{Error, Result};

pub const BODY_BYTES_MAX: usize = 256 * 1024;
pub const URL_BYTES_MAX: usize = 4 * 1024;
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
pub const JSON_DEPTH_MAX: usize = 16;
pub const DESCRIPTION_CHARS_MAX: usize = 1024;
pub const MAP_ENTRIES_MAX: usize = 64;
pub const MAP_KEY_CHARS_MAX: usize = 128;
pub const LABEL_CHARS_MAX: usize = 256;
pub const ANNOTATION_CHARS_MAX: usize = 4096;
pub const NAME_CHARS_MAX: usize = 255;
pub const TOKENS_MAX: usize = 100;
pub const ROLES_MAX: usize = 1000;
pub const TEAMS_MAX: usize = 1000;
pub const PROVIDERS_MAX: usize = 1000;
pub const FEDERATED_IDENTITIES_MAX: usize = 1000;
/// A form has a token in it, of 16 KiB at most, and little else.
pub const FORM_BYTES_MAX: usize = 64 * 1024;
/// Seconds that an access token lives.
pub const LIFETIME_DEFAULT: i64 = 3600;
pub const LIFETIME_MIN: i64 = 60;
pub const LIFETIME_MAX: i64 = 24 * 3600;
pub const TEAM_MEMBERS_MAX: usize = 1000;
pub const RULES_MAX: usize = 100;
pub const BINDINGS_MAX: usize = 1000;
/// Roles that are bound to one user, team or service account itself.
pub const ROLES_OF_ONE_MAX: i64 = 256;
/// The same of IAM policies: whoever makes projects holds one of each.
pub const POLICIES_OF_ONE_MAX: i64 = 1000;
/// Projects whose policies are compared before somebody comes to act for whoever holds them.
pub const PROJECTS_COMPARED_MAX: usize = 64;
/// Of the identities in all rules of an organisation.
pub const RULE_BYTES_MAX: usize = 1024 * 1024;
pub const PROJECTS_MAX: usize = 1000;
pub const POLICIES_MAX: usize = 200;
pub const PENDING_ELEVATIONS_MAX: i64 = 20;
pub const ELEVATION_DAYS_MAX: i64 = 30;
pub const ROTATION_DAYS_MAX: i64 = 3650;
pub const VALUE_BYTES_MAX: usize = 4096;
pub const VALUES_MAX: usize = 256;
pub const VALUES_BYTES_MAX: usize = 65_536;
pub const GENERATE_BYTES_MIN: i64 = 16;
pub const GENERATE_BYTES_MAX: i64 = 4096;
pub const PLAINTEXT_BYTES_MAX: usize = 65_535;
pub const CONTEXT_BYTES_MAX: usize = 1024;
pub const POLICY_CONDITIONS_MAX: usize = 32;
pub const POLICY_CIDRS_MAX: usize = 128;
pub const POLICY_STATEMENTS_MAX: usize = 32;
pub const POLICY_WORDS_MAX: usize = 64;
pub const LIST_ITEMS_MAX: i64 = 1000;
pub const AUDIT_ITEMS_MAX: i64 = 500;
pub const INPUT_BYTES_MAX: usize = 65_536;
/// A wrapped RSA-4096 key takes less than 3 KiB.
pub const IMPORT_BYTES_MAX: usize = 6 * 1024;
pub const KEY_VERSIONS_MAX: i64 = 10_000;
/// Seals after which a key version is replaced, and after which it seals no more (NIST SP 800-38D, section
/// 8.3).
pub const SEALS_BEFORE_ROTATION: i64 = 1 << 30;
pub const SEALS_MAX: i64 = 1 << 32;
/// Microseconds that an answer is kept under its idempotency key.
pub const ANSWER_LIFETIME: i64 = 86_400_000_000;
/// KiB of kept answers of one owner; each takes one at least. 3 a second fit in for small answers.
pub const ANSWER_KIB_MAX: i64 = 256 * 1024;
pub const KEY_DELETION_DAYS: i64 = 30;

/// A name without the white space around it.
pub fn check_name(name: &str) -> Result<String> {
    let name = name.trim();
    match (1..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        true => Ok(name.to_owned()),
        false => Err(Error::invalid("name", "must have 1 to 255 characters")),
    }
}

/// The slug of a name, which must not read as an identity.
pub fn check_slug(name: &str) -> Result<String> {
    let slug = coffer_api::slug_of(name);
    if slug.is_empty() {
        return Err(Error::invalid("name", "needs at least one letter or digit"));
    }
    match coffer_api::is_identity(&slug) {
        true => Err(Error::invalid("name", "reads as an identity")),
        false => Ok(slug),
    }
}

/// Checks the length of a description.
pub fn check_description(text: &str) -> Result<()> {
    match text.chars().count() > DESCRIPTION_CHARS_MAX {
        true => Err(Error::invalid("description", "longer than 1024 characters")),
        false => Ok(()),
    }
}

/// Checks labels.
pub fn check_labels(labels: &Map) -> Result<()> {
    check_map("labels", labels, LABEL_CHARS_MAX)
}

/// Checks annotations.
pub fn check_annotations(annotations: &Map) -> Result<()> {
    check_map("annotations", annotations, ANNOTATION_CHARS_MAX)
}

fn check_map(field: &str, map: &Map, value_chars_max: usize) -> Result<()> {
    if map.len() > MAP_ENTRIES_MAX {
        return Err(Error::invalid(field, format!("more than {MAP_ENTRIES_MAX} entries")));
    }
    for (key, value) in map {
        if key.is_empty() || key.chars().count() > MAP_KEY_CHARS_MAX {
            return Err(Error::invalid(
                field,
                format!("a key must have 1 to {MAP_KEY_CHARS_MAX} characters"),
            ));
        }
        if value.chars().count() > value_chars_max {
            return Err(Error::invalid(
                field,
                format!("a value is longer than {value_chars_max} characters"),
            ));
        }
    }
    Ok(())
}
