//! Backups, sealed chunk by chunk under a key of their own.

use coffer_crypto::{Key, SecretBytes};

use super::{Keyring, context};
use crate::error::{Error, Result};

/// The key of one backup.
pub struct BackupKey(Key);

/// What comes behind a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    Another,
    Nothing,
}

/// The place of a chunk in its backup.
///
/// INVARIANT: no two chunks of a backup have the same, so that none can be left out, doubled or moved.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub chunk: i64,
    pub behind: Behind,
}

impl Keyring {
    /// The key of the backup with this salt, derived from the root key of this fingerprint.
    pub fn backup_key(&self, root_key: &str, salt: &[u8]) -> Result<BackupKey> {
        let root = self.roots.iter().find(|root| root.fingerprint() == root_key);
        Ok(BackupKey(root.ok_or(Error::not_found("root key"))?.backup_key(salt)?))
    }
}

impl BackupKey {
    pub fn seal(&self, head: &[u8], place: Place, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.seal(&place.context(head), bytes)?)
    }

    pub fn open(&self, head: &[u8], place: Place, sealed: &[u8]) -> Result<SecretBytes> {
        Ok(self.0.open(&place.context(head), sealed)?)
    }
}

impl Place {
    fn context(self, head: &[u8]) -> coffer_crypto::Context {
        context::backup(head, self.chunk, i64::from(self.behind == Behind::Nothing))
    }
}
