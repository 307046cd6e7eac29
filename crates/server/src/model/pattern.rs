//! Patterns of resource identities: `*` is any run of bytes, everything else is itself (contract, 14, 11).

/// A pattern such as `/app/production/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What every matching text begins with.
    pub fn literal_prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Whether the whole of `text` matches, case and all. `*` crosses `/` and may be empty.
    pub fn matches(&self, text: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut text) = text.strip_prefix(prefix) else {
            return false;
        };
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        // Taking each middle piece as early as possible leaves most to the pieces behind it.
        for piece in middle.split('*') {
            match text.find(piece) {
                Some(at) => text = text.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        text.ends_with(suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_contract() {
        for (pattern, text, expected) in [
            ("/app/*", "/app/db", true),
            ("/app/*", "/app/production/db/password", true),
            ("/app/*", "/app/", true),
            ("/app/*", "/app", false),
            ("/app/*", "/application", false),
            ("/infra/*", "/app/infra/x", false),
            ("*", "/anything/at/all", true),
            ("*", "", true),
            ("", "", true),
            ("", "/a", false),
            ("/app/*/password", "/app/production/db/password", true),
            ("/app/*/password", "/app/password", false),
            ("*/password", "/password", true),
            ("/a*b*b", "/ab", false),
            ("/a*b*b", "/abb", true),
            ("/App/*", "/app/x", false),
            ("/app/prod", "/app/prod", true),
            ("/app/prod", "/app/prod/x", false),
            ("/a**b", "/ab", true),
            ("/a?", "/ab", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    /// The executable specification: try every split.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => {
                (0..=text.len()).any(|n| naive(rest, text.get(n..).unwrap_or_default()))
            }
            Some((byte, rest)) => {
                text.split_first().is_some_and(|(t, tail)| t == byte && naive(rest, tail))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn it_agrees_with_the_naive_matcher(pattern in "[ab/*]{0,8}", text in "[ab/]{0,10}") {
            let compiled = Pattern::new(&pattern);
            prop_assert_eq!(compiled.matches(&text), naive(pattern.as_bytes(), text.as_bytes()));
            if compiled.matches(&text) {
                prop_assert!(text.starts_with(compiled.literal_prefix()));
            }
        }
    }
}
