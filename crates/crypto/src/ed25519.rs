//! Ed25519 (RFC 8032), pure: the message itself is signed, no digest of it.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{Refused, SecretBytes};

/// A private key, ready for use.
pub struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    /// Fresh material: a key pair as PKCS#8 DER (RFC 8410), version 1, which OpenSSL reads.
    pub fn generate() -> Result<SecretBytes, Refused> {
        encode(&Ed25519KeyPair::generate().map_err(|_| Refused)?)
    }

    /// Reads PKCS#8 DER; a public key in it must belong to the private one.
    pub fn new(pkcs8: &[u8]) -> Result<Self, Refused> {
        Ed25519KeyPair::from_pkcs8(pkcs8).map(Self).map_err(|_| Refused)
    }

    /// The same key as the one PKCS#8 text that we keep, whatever attributes the given one carries.
    pub(crate) fn canonical(pkcs8: &[u8]) -> Result<SecretBytes, Refused> {
        encode(&Self::new(pkcs8)?.0)
    }

    /// The public key: 32 bytes.
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// `sign[key](message)`, 64 bytes; the same message always gives the same signature.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Refused> {
        let signature = self.0.try_sign(message).map_err(|_| Refused)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        verifies(self.public(), message, signature)
    }
}

pub(crate) fn verifies(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

fn encode(pair: &Ed25519KeyPair) -> Result<SecretBytes, Refused> {
    let der = pair.to_pkcs8v1().map_err(|_| Refused)?;
    Ok(SecretBytes::new(der.as_ref().to_vec()))
}
