//! HMAC with SHA-2 (RFC 2104, FIPS 198-1).

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};

use crate::{Digest, Refused, SecretBytes, random};

/// A key, ready for use.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Fresh material, as long as the digest.
    pub fn generate(digest: Digest) -> Result<SecretBytes, Refused> {
        random::secret(digest.bytes())
    }

    /// Refused when the material is not as long as the digest.
    pub fn new(digest: Digest, material: &SecretBytes) -> Result<Self, Refused> {
        if material.len() != digest.bytes() {
            return Err(Refused);
        }
        Ok(Self::of_any_length(digest, material.expose()))
    }

    /// A key that somebody else has made. Refused when it is shorter than the digest (RFC 2104, section 3).
    pub fn of_secret(digest: Digest, secret: &SecretBytes) -> Result<Self, Refused> {
        match secret.len() < digest.bytes() {
            true => Err(Refused),
            false => Ok(Self::of_any_length(digest, secret.expose())),
        }
    }

    /// A key as published vectors have them; ours are as long as the digest.
    pub(crate) fn of_any_length(digest: Digest, material: &[u8]) -> Self {
        let algorithm = match digest {
            Digest::Sha256 => HMAC_SHA256,
            Digest::Sha384 => HMAC_SHA384,
            Digest::Sha512 => HMAC_SHA512,
        };
        Self(hmac::Key::new(algorithm, material))
    }

    /// `mac[key](message)`, as long as the digest.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, message).as_ref().to_vec()
    }

    /// Whether `tag` is this key's over `message`, whole; compared in constant time.
    pub fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, message, tag).is_ok()
    }
}
