//! The key of the tags that stand for idempotency keys and for the requests under them.

use std::sync::Arc;

use coffer_crypto::Digest;
use coffer_crypto::mac::MacKey;

use super::{Keyring, context};
use crate::error::Result;
use crate::model::key::Wrapped;

pub(super) const DIGEST: Digest = Digest::Sha256;

/// HMAC-SHA256 with a key of the store's own.
///
/// SECURITY: a request may hold a value that can be guessed, and clients make idempotency keys of such values. From
/// a plain hash in the database the guess could be proven.
pub struct TagKey(MacKey);

impl TagKey {
    /// What stands for a key that a credential sends, in the place of an owner.
    pub fn of_key(&self, owner: &str, credential: &str, key: &str) -> Vec<u8> {
        self.0.sign(context::idempotency_key(owner, credential, key).as_bytes())
    }

    /// What stands for a request under the key of a tag: method, path, query, project, body.
    pub fn of_request(&self, key: &[u8], place: [&str; 4], body: &[u8]) -> Vec<u8> {
        // The body by a tag of its own, so that there is no copy of it.
        let body = self.0.sign(body);
        self.0.sign(context::request(key, place, &body).as_bytes())
    }
}

impl Keyring {
    /// The key of tags, if it was opened before. A store has one and never changes it.
    pub fn tag_key(&self) -> Option<Arc<TagKey>> {
        self.tags.get().cloned()
    }

    /// Opens what the store holds, and keeps it.
    pub fn open_tag_key(&self, id: &str, wrapped: &Wrapped) -> Result<Arc<TagKey>> {
        let material = self.unwrap(&context::signing_key(id), wrapped)?;
        let key = TagKey(MacKey::new(DIGEST, &material)?);
        Ok(self.tags.get_or_init(|| Arc::new(key)).clone())
    }
}
