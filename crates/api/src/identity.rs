//! Identities and slugs: the two ways to name a thing (contract, section 1.6).

/// Whether `text` has the form of an identity: an optional prefix of `a–z` with `-`, then 20 characters of
/// lower-case base32hex.
///
/// SECURITY: no slug may have this form, or a thing could be named so that it is found in another's place.
pub fn is_identity(text: &str) -> bool {
    let (prefix, tail) = text.rsplit_once('-').unwrap_or(("", text));
    prefix.bytes().all(|byte| byte.is_ascii_lowercase())
        && tail.len() == 20
        && tail.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
}

/// The slug of a name: lower case, case breaks and everything but letters and digits become one hyphen.
/// `secrets:ReadAccess` → `secrets-read-access`, `kms:VerifyHMAC` → `kms-verify-hmac`. Empty when the name
/// has neither letters nor digits of ASCII.
pub fn slug_of(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut slug = String::with_capacity(name.len() + 4);
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|i| characters.get(i)).copied().unwrap_or(' ');
        let after = characters.get(at + 1).copied().unwrap_or(' ');
        let case_break = character.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || (before.is_ascii_uppercase() && after.is_ascii_lowercase()));
        let breaks = case_break || !character.is_ascii_alphanumeric();
        if breaks && !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        }
    }
    if slug.ends_with('-') {
        slug.pop();
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_follow_the_rule_of_the_contract() {
        for (name, expected) in [
            ("secrets:ReadAccess", "secrets-read-access"),
            ("kms:VerifyHMAC", "kms-verify-hmac"),
            ("kms:HMAC", "kms-hmac"),
            ("org:admin", "org-admin"),
            ("tf-acc-kms-1234", "tf-acc-kms-1234"),
            ("DNSSEC example.com", "dnssec-example-com"),
            ("  My   key! ", "my-key"),
            ("Schlüssel", "schl-ssel"),
            ("!!!", ""),
        ] {
            assert_eq!(slug_of(name), expected, "{name}");
        }
    }

    #[test]
    fn identities_are_told_from_slugs() {
        for yes in ["o-d5obcgg3fspc73f7vqpg", "kms-d5obcgg3fspc73f7vqpg", "d6m0b0ngt9dc739sdrn0"] {
            assert!(is_identity(yes), "{yes}");
        }
        for no in
            ["", "o-", "dev", "o-d5obcgg3fspc73f7vqp", "o-d5obcgg3fspc73f7vqpz", "tf-acc-kms-1234"]
        {
            assert!(!is_identity(no), "{no}");
        }
    }
}
