//! The text form of a KMS ciphertext: `thalassa:v<key version>:<base64(nonce ‖ ciphertext ‖ tag)>`.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::Refused;

const PREFIX: &str = "thalassa:v";

/// A ciphertext with the key version that made it (contract, section 14, 19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ciphertext {
    /// The KMS key version, from 1.
    pub key_version: i64,
    /// `nonce ‖ ciphertext ‖ tag`.
    pub sealed: Vec<u8>,
}

impl Ciphertext {
    /// Reads the text form. One text has one reading: no sign, no leading zero, padded base64.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let (version, encoded) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or(Refused)?;
        let canonical =
            version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
        let key_version = version.parse().ok().filter(|_| canonical).ok_or(Refused)?;
        let sealed = STANDARD.decode(encoded).map_err(|_| Refused)?;
        Ok(Self { key_version, sealed })
    }
}

impl fmt::Display for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", self.key_version, STANDARD.encode(&self.sealed))
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
            assert!(Ciphertext::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses(
            key_version in 1..i64::MAX,
            sealed in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let ciphertext = Ciphertext { key_version, sealed };
            prop_assert_eq!(Ciphertext::parse(&ciphertext.to_string()).unwrap(), ciphertext);
        }

        #[test]
        fn junk_never_panics(text in ".{0,40}") {
            let _ = Ciphertext::parse(&text);
            let _ = Ciphertext::parse(&format!("{PREFIX}{text}"));
        }
    }
}
