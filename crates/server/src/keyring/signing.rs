//! The store's own keys, and those of them that sign: Ed25519.

use std::sync::Arc;

use coffer_crypto::ed25519::Ed25519Key;
use coffer_crypto::mac::MacKey;

use super::idempotency::DIGEST;
use super::{Keyring, context};
use crate::error::Result;
use crate::model::key::{SigningPurpose, Wrapped};

/// The key, ready for use, with the name that tokens call it by.
pub struct SigningKey {
    id: String,
    key: Ed25519Key,
}

impl SigningKey {
    /// The `kid` of its tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key: 32 bytes.
    pub fn public(&self) -> &[u8] {
        self.key.public()
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(self.key.sign(message)?)
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verifies(message, signature)
    }
}

impl Keyring {
    /// Fresh material for one of the store's own keys, wrapped.
    pub fn generate_own_key(&self, purpose: SigningPurpose, id: &str) -> Result<Wrapped> {
        use SigningPurpose::{AccessTokens, AuditChain, AuditCheckpoints, Idempotency};
        let material = match purpose {
            AccessTokens | AuditCheckpoints => Ed25519Key::generate()?,
            Idempotency | AuditChain => MacKey::generate(DIGEST)?,
        };
        self.wrap(&context::signing_key(id), &material)
    }

    /// Wraps the signing key anew, under the first root key.
    pub fn rewrap_signing_key(&self, id: &str, wrapped: &Wrapped) -> Result<Wrapped> {
        let context = context::signing_key(id);
        self.wrap(&context, &self.unwrap(&context, wrapped)?)
    }

    /// The signing key, if it was opened before. A store has one and never changes it.
    pub fn signing_key(&self) -> Option<Arc<SigningKey>> {
        self.signing.get().cloned()
    }

    /// Opens the key of access tokens, and keeps it.
    pub fn open_signing_key(&self, id: &str, wrapped: &Wrapped) -> Result<Arc<SigningKey>> {
        let key = self.open_signer(id, wrapped)?;
        Ok(self.signing.get_or_init(|| Arc::new(key)).clone())
    }

    /// Opens one of the store's own keys that sign.
    pub fn open_signer(&self, id: &str, wrapped: &Wrapped) -> Result<SigningKey> {
        let material = self.unwrap(&context::signing_key(id), wrapped)?;
        Ok(SigningKey { id: id.to_owned(), key: Ed25519Key::new(material.expose())? })
    }
}
