//! What callers do with their keys: encrypt, sign, compute HMACs. Each key version by its algorithm.

use std::sync::Arc;

use coffer_crypto::{Ready, Scheme, SecretBytes, random};

use super::{Keyring, Permit, context};
use crate::error::{Error, Result};
use crate::model::key::WrappedKey;

impl Keyring {
    /// Seals a caller's plaintext, bound to the key version and the caller's own context. RSA binds neither:
    /// an OAEP block has no context, so the caller's must be empty.
    pub fn encrypt(
        &self,
        key: &WrappedKey,
        context: &[u8],
        plaintext: &[u8],
        _permit: &Permit,
    ) -> Result<Vec<u8>> {
        match &*self.ready(key)? {
            Ready::Aead(ready) => Ok(ready.seal(&context::encrypt(&key.name, context), plaintext)?),
            Ready::Rsa(ready) => Ok(ready.encrypt(plaintext)?),
            _ => Err(wrong_type()),
        }
    }

    /// Opens what [`Keyring::encrypt`] sealed. The caller's ciphertext is to blame when it does not open.
    pub fn decrypt(&self, key: &WrappedKey, context: &[u8], sealed: &[u8]) -> Result<SecretBytes> {
        let opened = match &*self.ready(key)? {
            Ready::Aead(ready) => ready.open(&context::encrypt(&key.name, context), sealed),
            Ready::Rsa(ready) => ready.decrypt(sealed),
            _ => return Err(wrong_type()),
        };
        opened.map_err(|_| Error::invalid("ciphertext", "does not open with this key and context"))
    }

    /// A fresh data key for a caller's own use.
    pub fn generate_data_key(&self, bytes: usize) -> Result<SecretBytes> {
        random::secret(bytes).map_err(|_| Error::bug("a data key cannot be made"))
    }

    /// Signs a message, or its digest.
    pub fn sign(&self, key: &WrappedKey, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>> {
        Ok(self.ready(key)?.sign(scheme, message)?)
    }

    /// Whether a signature is the key's.
    pub fn verifies(
        &self,
        key: &WrappedKey,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool> {
        Ok(self.ready(key)?.verifies(scheme, message, signature)?)
    }

    /// The HMAC of a message.
    pub fn mac(&self, key: &WrappedKey, message: &[u8]) -> Result<Vec<u8>> {
        match &*self.ready(key)? {
            Ready::Hmac(ready) => Ok(ready.sign(message)),
            _ => Err(wrong_type()),
        }
    }

    /// Whether an HMAC is the key's.
    pub fn verifies_mac(&self, key: &WrappedKey, message: &[u8], tag: &[u8]) -> Result<bool> {
        match &*self.ready(key)? {
            Ready::Hmac(ready) => Ok(ready.verifies(message, tag)),
            _ => Err(wrong_type()),
        }
    }

    /// The public key as text. The key may be in any state, so its material is not kept.
    pub fn public_key(&self, key: &WrappedKey) -> Result<Arc<str>> {
        let at = (key.name.organisation.clone(), key.name.key.clone(), key.wrapped.clone());
        self.public.get_or_insert_with(&at, || Ok(self.ready_once(key)?.public_text()?.into()))
    }
}

/// Types are checked before (`KeyType::check`).
fn wrong_type() -> Error {
    Error::bug("an operation met a key of another type")
}
