//! The key that signs access tokens: Ed25519, one of a store.

use std::sync::Arc;

use coffer_crypto::ed25519::Ed25519Key;

use super::{Keyring, context};
use crate::error::Result;
use crate::model::key::Wrapped;

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
    /// Fresh material for a signing key, wrapped.
    pub fn generate_signing_key(&self, id: &str) -> Result<Wrapped> {
        self.wrap(&context::signing_key(id), &Ed25519Key::generate()?)
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

    /// Opens what the store holds, and keeps it.
    pub fn open_signing_key(&self, id: &str, wrapped: &Wrapped) -> Result<Arc<SigningKey>> {
        let material = self.unwrap(&context::signing_key(id), wrapped)?;
        let key = SigningKey { id: id.to_owned(), key: Ed25519Key::new(material.expose())? };
        Ok(self.signing.get_or_init(|| Arc::new(key)).clone())
    }
}
