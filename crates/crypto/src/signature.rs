//! One way to sign for every kind of key pair.

use crate::digest::{Digest, Message};
use crate::ecdsa::Marshalling;
use crate::rsa::Padding;
use crate::{Ready, Refused};

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// With an RSA key.
    Rsa(Padding, Hashing),
    /// With an ECDSA key.
    Ecdsa(Marshalling, Hashing),
    /// With an Ed25519 key: over the message itself.
    Ed25519,
}

/// How a message becomes a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashing {
    /// The hash function.
    pub digest: Digest,
    /// Whether the message is its digest already.
    pub prehashed: bool,
}

impl Hashing {
    fn message(self, bytes: &[u8]) -> Result<Message, Refused> {
        match self.prehashed {
            true => Message::prehashed(self.digest, bytes),
            false => Ok(Message::hash(self.digest, bytes)),
        }
    }
}

impl Ready {
    /// `sign[key](message)`. Refused when the scheme is for another kind of key, or a digest has another length
    /// than its hash.
    pub fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Refused> {
        match (self, scheme) {
            (Self::Rsa(key), Scheme::Rsa(padding, hashing)) => {
                key.sign(padding, &hashing.message(message)?)
            }
            (Self::Ecdsa(key), Scheme::Ecdsa(marshalling, hashing)) => {
                key.sign(marshalling, &hashing.message(message)?)
            }
            (Self::Ed25519(key), Scheme::Ed25519) => key.sign(message),
            _ => Err(Refused),
        }
    }

    /// Whether `signature` is this key's over `message`. Refused as for [`Ready::sign`].
    pub fn verifies(
        &self,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, Refused> {
        match (self, scheme) {
            (Self::Rsa(key), Scheme::Rsa(padding, hashing)) => {
                Ok(key.verifies(padding, &hashing.message(message)?, signature))
            }
            (Self::Ecdsa(key), Scheme::Ecdsa(marshalling, hashing)) => {
                Ok(key.verifies(marshalling, &hashing.message(message)?, signature))
            }
            (Self::Ed25519(key), Scheme::Ed25519) => Ok(key.verifies(message, signature)),
            _ => Err(Refused),
        }
    }
}
