//! What a credential may be used for at all, before anybody looks at grants (contract, section 14, 37).

use super::action::Action;
use crate::error::{Error, Result};

/// The words there are. The last two mean services that are not here.
pub const SCOPES: [&str; 4] = ["api:read", "api:write", "kubernetes", "objectStorage"];

/// The scopes of a credential; none listed means no restriction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// Reads words as sent: known ones, each once.
    pub fn parse(words: &[String]) -> Result<Self> {
        for (at, word) in words.iter().enumerate() {
            if !SCOPES.contains(&word.as_str()) {
                return Err(Error::invalid("scopes", format!("must be of {}", SCOPES.join(", "))));
            }
            if words[..at].contains(word) {
                return Err(Error::invalid("scopes", format!("`{word}` stands twice")));
            }
        }
        Ok(Self(words.to_vec()))
    }

    /// As the store has them.
    pub fn stored(words: Vec<String>) -> Self {
        Self(words)
    }

    /// As an access token has them: words behind one another.
    pub fn of_text(text: &str) -> Self {
        Self(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    pub fn words(&self) -> &[String] {
        &self.0
    }

    pub fn are_unrestricted(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a credential with these scopes may be used for the action: `api:read` for what changes no stored
    /// state, `api:write` for all.
    pub fn allow(&self, action: Action) -> bool {
        // Whoever has a credential may have a token for it, which is good for no more.
        if matches!(action, Action::IssueToken | Action::ExchangeToken) {
            return true;
        }
        let has = |word: &str| self.0.iter().any(|own| own == word);
        self.are_unrestricted() || has("api:write") || (has("api:read") && !action.changes_state())
    }

    /// Whether whoever has these scopes may hand `others` on.
    pub fn cover(&self, others: &Self) -> bool {
        let may_read =
            |word: &str| word == "api:read" && self.0.iter().any(|own| own == "api:write");
        self.are_unrestricted()
            || (!others.are_unrestricted()
                && others.0.iter().all(|word| self.0.contains(word) || may_read(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(words: &[&str]) -> Scopes {
        Scopes::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn reading_is_told_from_changing() {
        for (words, reveal, put) in [
            (&[][..], true, true),
            (&["api:read"], true, false),
            (&["api:write"], true, true),
            (&["api:read", "api:write"], true, true),
            (&["kubernetes"], false, false),
            (&["objectStorage", "kubernetes"], false, false),
        ] {
            assert_eq!(scopes(words).allow(Action::GetSecretValue), reveal, "{words:?}");
            assert_eq!(scopes(words).allow(Action::PutSecretValue), put, "{words:?}");
        }
    }

    #[test]
    fn nobody_hands_on_more_than_they_have() {
        for (own, others, expected) in [
            (&[][..], &[][..], true),
            (&[], &["api:write"], true),
            (&["api:read"], &[], false),
            (&["api:read"], &["api:read"], true),
            (&["api:read"], &["api:write"], false),
            (&["api:write"], &["api:read"], true),
            (&["api:write"], &["api:read", "kubernetes"], false),
        ] {
            assert_eq!(scopes(own).cover(&scopes(others)), expected, "{own:?} {others:?}");
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        for words in [&["admin"][..], &["api:*"], &["API:READ"], &[""], &["api:read", "api:read"]] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(Scopes::parse(&words).is_err(), "{words:?}");
        }
    }
}
