//! The hash functions of signatures and HMACs: SHA-2 (FIPS 180-4).

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};

use crate::Refused;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name: `sha256`, `sha384`, `sha512`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Reads a name as `sha256`, `sha2-256`, `SHA-256` or `SHA256` (contract, section 14, 20).
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let bits = word.strip_prefix("sha2-").or(word.strip_prefix("sha-"));
        let bits = bits.or(word.strip_prefix("sha"))?;
        Self::ALL.into_iter().find(|digest| digest.word().strip_prefix("sha") == Some(bits))
    }

    /// Bytes of a digest: 32, 48 or 64.
    pub fn bytes(self) -> usize {
        self.algorithm().output_len()
    }

    pub(crate) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

/// `H(bytes)` of bytes that come piece by piece.
pub struct Hasher(digest::Context);

impl Hasher {
    /// Of no bytes yet.
    pub fn new(digest: Digest) -> Self {
        Self(digest::Context::new(digest.algorithm()))
    }

    /// Adds bytes behind those before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

/// What is signed, by its digest.
pub struct Message(digest::Digest, Digest);

impl Message {
    /// `H(bytes)`.
    pub fn hash(digest: Digest, bytes: &[u8]) -> Self {
        Self(digest::digest(digest.algorithm(), bytes), digest)
    }

    /// Bytes that are a digest already. Refused when they have another length than [`Digest::bytes`].
    pub fn prehashed(digest: Digest, bytes: &[u8]) -> Result<Self, Refused> {
        let imported = digest::Digest::import_less_safe(bytes, digest.algorithm());
        imported.map(|value| Self(value, digest)).map_err(|_| Refused)
    }

    pub(crate) fn value(&self) -> &digest::Digest {
        &self.0
    }

    pub(crate) fn digest(&self) -> Digest {
        self.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        for (word, digest) in [
            ("sha256", Some(Digest::Sha256)),
            ("sha2-256", Some(Digest::Sha256)),
            ("SHA-256", Some(Digest::Sha256)),
            ("SHA256", Some(Digest::Sha256)),
            ("sha2-384", Some(Digest::Sha384)),
            ("SHA512", Some(Digest::Sha512)),
            ("sha1", None),
            ("sha3-256", None),
            ("sha2-sha256", None),
            ("256", None),
            ("", None),
        ] {
            assert_eq!(Digest::from_word(word), digest, "{word}");
        }
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        for digest in Digest::ALL {
            let mut hasher = Hasher::new(digest);
            hasher.update(b"ab");
            hasher.update(b"");
            hasher.update(b"c");
            assert_eq!(hasher.finish(), Message::hash(digest, b"abc").value().as_ref());
        }
    }

    #[test]
    fn a_digest_of_another_length_is_refused() {
        for digest in Digest::ALL {
            assert!(Message::prehashed(digest, &vec![0; digest.bytes()]).is_ok());
            for length in [0, digest.bytes().saturating_sub(1), digest.bytes().saturating_add(1)] {
                assert!(Message::prehashed(digest, &vec![0; length]).is_err());
            }
        }
    }
}
