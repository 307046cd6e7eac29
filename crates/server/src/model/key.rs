//! KMS keys: types, states and what each state allows.

use coffer_api::Map;
use coffer_crypto::Cipher;

use crate::error::{Error, Result};

/// What a key can do. The three symmetric types can be bound to secrets (contract, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl KeyType {
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Aes128Gcm, "aes128-gcm96"),
        (Self::Aes256Gcm, "aes256-gcm96"),
        (Self::ChaCha20Poly1305, "chacha20-poly1305"),
    ];

    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(key_type, _)| *key_type)
    }

    pub fn cipher(self) -> Cipher {
        match self {
            Self::Aes128Gcm => Cipher::Aes128Gcm,
            Self::Aes256Gcm => Cipher::Aes256Gcm,
            Self::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305,
        }
    }
}

/// Where a key is in its life (contract, section 3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    Active,
    Disabled,
    PendingDeletion,
}

impl KeyStatus {
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::PendingDeletion => "pending_deletion",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::PendingDeletion].into_iter().find(|s| s.word() == word)
    }
}

/// A key without its material.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    /// Empty without a project.
    pub project: String,
    pub name: String,
    pub slug: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub key_type: KeyType,
    pub status: KeyStatus,
    pub export_allowed: bool,
    pub rotation_enabled: bool,
    pub rotation_period_days: Option<i64>,
    pub latest_version: i64,
    pub min_decryption_version: i64,
    pub deletion_scheduled_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}

impl Key {
    /// Roughly how many bytes the key takes in a list.
    pub fn weight(&self) -> usize {
        let map =
            |map: &Map| map.iter().map(|(key, value)| key.len() + value.len() + 16).sum::<usize>();
        512 + self.name.len() + self.description.len() + map(&self.labels) + map(&self.annotations)
    }

    /// Whether the key may be used now (contract, section 3.6).
    pub fn check_active(&self) -> Result<()> {
        match self.status {
            KeyStatus::Active => Ok(()),
            KeyStatus::Disabled => {
                Err(Error::invalid("", "KMS key is disabled; enable it to use it"))
            }
            KeyStatus::PendingDeletion => Err(Error::invalid(
                "",
                "KMS key is pending deletion; cancel the deletion to use it",
            )),
        }
    }
}

/// One version of a key as it is listed.
#[derive(Debug, Clone)]
pub struct KeyVersion {
    pub version: i64,
    pub status: String,
    pub created_at: i64,
}

/// One version's material, wrapped, with all that its context binds.
#[derive(Debug, Clone)]
pub struct WrappedKey {
    pub organisation: String,
    pub region: String,
    pub project: String,
    pub key: String,
    pub version: i64,
    pub key_type: KeyType,
    pub material: Vec<u8>,
}

/// What a list of keys is narrowed to; empty means any.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    pub identity: String,
    pub name: String,
    pub slug: String,
    pub status: String,
}
