//! The key of the audit log's chains.

use coffer_crypto::Hasher;
use coffer_crypto::mac::MacKey;

use super::idempotency::DIGEST;
use super::{Keyring, context};
use crate::error::Result;
use crate::model::chain::{Chaining, End, Linked, Place, RecordRow};
use crate::model::key::Wrapped;

/// HMAC-SHA256 with a key of the store's own.
///
/// SECURITY: whoever can write to the database and has no root key cannot make links or seals. A plain hash could be
/// made again for a log that was changed.
pub struct ChainKey(MacKey);

impl Chaining for ChainKey {
    fn link(&self, place: &Place, before: &[u8], record: &RecordRow<'_>) -> Vec<u8> {
        self.0.sign(context::audit_record(place, before, record).as_bytes())
    }

    fn seal(&self, end: End, at: &Linked) -> Vec<u8> {
        self.0.sign(context::audit_end(end, at).as_bytes())
    }
}

/// What is signed of a checkpoint, behind the digest of the one before, which is empty ahead of the first.
pub fn checkpoint_bytes(place: &Place, before: &[u8], at: i64, heads: &[Linked]) -> Vec<u8> {
    context::audit_checkpoint(place, before, at, heads).as_bytes().to_vec()
}

/// The SHA-256 of what is signed, which the next checkpoint is linked to.
pub fn checkpoint_digest(signed: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(DIGEST);
    hasher.update(signed);
    hasher.finish()
}

impl Keyring {
    /// Opens what the store holds.
    pub fn open_chain_key(&self, id: &str, wrapped: &Wrapped) -> Result<ChainKey> {
        let material = self.unwrap(&context::signing_key(id), wrapped)?;
        Ok(ChainKey(MacKey::new(DIGEST, &material)?))
    }
}
