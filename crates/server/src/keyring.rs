//! Root key → key version → data key → value. Plaintext key material never leaves this room.

mod allowance;
mod backup;
mod chain;
mod context;
mod data;
mod idempotency;
mod material;
mod signing;
mod value;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use coffer_crypto::{Context, Ready, RootKey, SecretBytes};
use quick_cache::sync::Cache;

use crate::error::{Error, Result};
use crate::model::key::{Wrapped, WrappedKey};

pub use allowance::{Allowance, Block, Permit, SEALS_AT_ONCE};
pub use backup::{BackupKey, Behind, Place};
pub use chain::{ChainKey, checkpoint_bytes, checkpoint_digest};
pub use idempotency::TagKey;
pub use material::Fresh;
pub use signing::SigningKey;

/// Key versions kept ready in memory; more are unwrapped again when they are needed.
const READY_MAX: usize = 4096;

/// Public keys kept in memory.
const PUBLIC_MAX: usize = 16_384;

/// The root keys and the key versions that were unwrapped with them.
pub struct Keyring {
    /// The first wraps; all unwrap. There is more than one while a root key is being replaced.
    roots: Vec<RootKey>,
    /// Organisation, key, wrapped material → ready key.
    ///
    /// INVARIANT: by the material, not by the version's number. A batch that is rolled back gives the number
    /// out again, for other material; sealing under what is stored nowhere would lose values for good.
    ready: Cache<(String, String, Wrapped), Arc<Ready>>,
    /// Keys that are not active: whatever was under way when they ceased to be must not put them back.
    dropped: RwLock<HashSet<(String, String)>>,
    /// Public keys as text, of keys in any state.
    public: Cache<(String, String, Wrapped), Arc<str>>,
    /// The key of access tokens, once it was needed.
    signing: OnceLock<Arc<SigningKey>>,
    /// The key of the tags of idempotency keys, once it was needed.
    tags: OnceLock<Arc<TagKey>>,
    /// How often each key version may still seal.
    pub allowance: Allowance,
}

impl Keyring {
    /// `first` wraps, `others` only unwrap.
    pub fn new(first: RootKey, others: Vec<RootKey>) -> Self {
        Self {
            roots: std::iter::once(first).chain(others).collect(),
            ready: Cache::new(READY_MAX),
            dropped: RwLock::default(),
            public: Cache::new(PUBLIC_MAX),
            signing: OnceLock::new(),
            tags: OnceLock::new(),
            allowance: Allowance::default(),
        }
    }

    /// The public names of the root keys, that of the wrapping one first.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(RootKey::fingerprint)
    }

    /// The public name of the root key that wraps.
    pub fn fingerprint(&self) -> &str {
        self.fingerprints().next().unwrap_or_default()
    }

    /// Drops a key's material from memory until it is active again.
    pub fn drop_key(&self, organisation: &str, key: &str) {
        let mut dropped = self.dropped.write().unwrap_or_else(PoisonError::into_inner);
        dropped.insert((organisation.to_owned(), key.to_owned()));
        self.ready.retain(|(o, k, _), _| o != organisation || k != key);
    }

    /// Forgets all ready keys: of one that has ceased to be active elsewhere, nobody unwraps the material again.
    pub fn forget_ready(&self) {
        self.ready.clear();
    }

    /// Forgets a key whose material is erased for ever.
    pub fn forget_key(&self, organisation: &str, key: &str) {
        self.drop_key(organisation, key);
        self.keep_key(organisation, key);
    }

    /// Lets a key's material be kept in memory again.
    pub fn keep_key(&self, organisation: &str, key: &str) {
        let mut dropped = self.dropped.write().unwrap_or_else(PoisonError::into_inner);
        dropped.remove(&(organisation.to_owned(), key.to_owned()));
    }

    /// Material made ready, and kept so. Only for keys that are active.
    fn ready(&self, key: &WrappedKey) -> Result<Arc<Ready>> {
        let (organisation, id) = (&key.name.organisation, &key.name.key);
        let at = (organisation.clone(), id.clone(), key.wrapped.clone());
        if let Some(ready) = self.ready.get(&at) {
            return Ok(ready);
        }
        let ready = Arc::new(self.ready_once(key)?);
        // Held while inserting, so that nobody can drop the key in between.
        let dropped = self.dropped.read().unwrap_or_else(PoisonError::into_inner);
        if !dropped.contains(&(organisation.clone(), id.clone())) {
            self.ready.insert(at, ready.clone());
        }
        Ok(ready)
    }

    /// Material made ready for one use, in whatever state the key is.
    fn ready_once(&self, key: &WrappedKey) -> Result<Ready> {
        Ok(key.name.algorithm.ready(&self.material(key)?)?)
    }

    fn material(&self, key: &WrappedKey) -> Result<SecretBytes> {
        self.unwrap(&context::material(&key.name), &key.wrapped)
    }

    fn wrap(&self, context: &Context, material: &SecretBytes) -> Result<Wrapped> {
        let root = self.roots.first().ok_or_else(|| Error::bug("no root key"))?;
        let bytes = root.wrap(context, material)?;
        Ok(Wrapped { root_key: root.fingerprint().to_owned(), bytes })
    }

    fn unwrap(&self, context: &Context, wrapped: &Wrapped) -> Result<SecretBytes> {
        let root = self.roots.iter().find(|root| root.fingerprint() == wrapped.root_key);
        let root = root.ok_or_else(|| {
            Error::corrupt(format!("wrapped by root key {}, which is not here", wrapped.root_key))
        })?;
        Ok(root.unwrap(context, &wrapped.bytes)?)
    }
}
