//! The text form of what a key version made, a ciphertext, a signature or a tag: `thalassa:v<N>:<base64>`.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::Refused;

const PREFIX: &str = "thalassa:v";

/// Bytes with the key version that made them (contract, section 14, 19 to 21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The KMS key version, from 1.
    pub key_version: i64,
    /// `nonce ‖ ciphertext ‖ tag`, an OAEP block, a signature or a tag.
    pub bytes: Vec<u8>,
}

impl Versioned {
    /// Reads the text form. One text has one reading: no sign, no leading zero, padded base64.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let (version, encoded) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or(Refused)?;
        let canonical =
            version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
        let key_version = version.parse().ok().filter(|_| canonical).ok_or(Refused)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| Refused)?;
        Ok(Self { key_version, bytes })
    }
}

impl Versioned {
    /// Reads the text form, or bare base64 as made by `latest` (contract, section 14, 20).
    pub fn parse_or_bare(text: &str, latest: i64) -> Result<Self, Refused> {
        match text.contains(':') {
            true => Self::parse(text),
            false => {
                Ok(Self { key_version: latest, bytes: STANDARD.decode(text).map_err(|_| Refused)? })
            }
        }
    }
}

impl fmt::Display for Versioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", self.key_version, STANDARD.encode(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "thalassa:v1",
            "thalassa:v:AAAA",
            "thalassa:v01:AAAA",
            "thalassa:v+1:AAAA",
            "thalassa:v0:AAAA",
            "thalassa:v-1:AAAA",
            "thalassa:v1:AAA",
            "thalassa:v1: AAAA",
            "vault:v1:AAAA",
            "thalassa:v9223372036854775808:AAAA",
            "Thalassa:v1:AAAA",
        ] {
            assert!(Versioned::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses(
            key_version in 1..i64::MAX,
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let versioned = Versioned { key_version, bytes };
            prop_assert_eq!(Versioned::parse(&versioned.to_string()).unwrap(), versioned);
        }

        #[test]
        fn junk_never_panics(text in ".{0,40}") {
            let _ = Versioned::parse(&text);
            let _ = Versioned::parse(&format!("{PREFIX}{text}"));
        }
    }
}
