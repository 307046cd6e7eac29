//! Key material comes, moves under another root key, and goes.

use std::sync::Arc;

use coffer_crypto::import::{self, WRAPPING_MODULUS};
use coffer_crypto::rsa::RsaKey;
use coffer_crypto::{Algorithm, Digest, Ready, SecretBytes};

use super::{Keyring, context};
use crate::error::{Error, Result};
use crate::model::key::{VersionName, Wrapped, WrappedKey};

/// Material that is not wrapped yet, on its way into the store.
pub struct Fresh(SecretBytes);

impl Keyring {
    /// Fresh material. RSA takes up to a few seconds of one core.
    pub fn generate(&self, algorithm: Algorithm) -> Result<Fresh> {
        algorithm.generate().map(Fresh).map_err(|_| Error::bug("key material cannot be made"))
    }

    /// Material that a caller wrapped for a region's wrapping key. The blob is to blame when it is none.
    pub fn import(
        &self,
        algorithm: Algorithm,
        digest: Digest,
        (region, wrapping): (&str, &Wrapped),
        blob: &[u8],
    ) -> Result<Fresh> {
        let wrapping = self.wrapping_key(region, wrapping)?;
        import::import(algorithm, &wrapping, digest, blob).map(Fresh).map_err(|_| {
            let why = "is not material of this key type, wrapped for this region's wrapping key";
            Error::invalid("importKeyMaterial", why)
        })
    }

    /// Wraps material as a key version's.
    pub fn wrap_fresh(&self, name: &VersionName, fresh: &Fresh) -> Result<Wrapped> {
        self.wrap(&context::material(name), &fresh.0)
    }

    /// Wraps a key version's material anew, under the first root key.
    pub fn rewrap(&self, key: &WrappedKey) -> Result<Wrapped> {
        self.wrap(&context::material(&key.name), &self.material(key)?)
    }

    /// The material itself, for export.
    pub fn export(&self, key: &WrappedKey) -> Result<SecretBytes> {
        self.material(key)
    }

    /// A fresh wrapping key of a region, wrapped.
    pub fn generate_wrapping_key(&self, region: &str) -> Result<Wrapped> {
        self.wrap(&context::wrapping_key(region), &WRAPPING_MODULUS.generate()?)
    }

    /// Wraps a region's wrapping key anew, under the first root key.
    pub fn rewrap_wrapping_key(&self, region: &str, wrapped: &Wrapped) -> Result<Wrapped> {
        let context = context::wrapping_key(region);
        self.wrap(&context, &self.unwrap(&context, wrapped)?)
    }

    /// The public half of a region's wrapping key: PEM.
    pub fn wrapping_public_key(&self, region: &str, wrapped: &Wrapped) -> Result<Arc<str>> {
        let at = (String::new(), region.to_owned(), wrapped.clone());
        self.public.get_or_insert_with(&at, || {
            let key = Ready::Rsa(Box::new(self.wrapping_key(region, wrapped)?));
            Ok(key.public_text()?.into())
        })
    }

    fn wrapping_key(&self, region: &str, wrapped: &Wrapped) -> Result<RsaKey> {
        let material = self.unwrap(&context::wrapping_key(region), wrapped)?;
        Ok(RsaKey::new(WRAPPING_MODULUS, material.expose())?)
    }
}
