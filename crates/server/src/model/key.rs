//! KMS keys: types, states and what each state allows.

use coffer_api::Map;
use coffer_crypto::ecdsa::Curve;
use coffer_crypto::rsa::Modulus;
use coffer_crypto::{Algorithm, Cipher, Digest};

use crate::error::{Error, Result};
use crate::model::limits::KEY_VERSIONS_MAX;

/// The thirteen types (contract, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Ed25519,
    /// Its hash is chosen when the key is made.
    Hmac,
    HmacSha256,
    HmacSha512,
}

/// What can be done with key material. Each type can do some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Encrypt,
    Sign,
    Mac,
    PublicKey,
    Import,
    /// Be bound to secrets.
    Secrets,
}

impl KeyType {
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Aes128Gcm, "aes128-gcm96"),
        (Self::Aes256Gcm, "aes256-gcm96"),
        (Self::ChaCha20Poly1305, "chacha20-poly1305"),
        (Self::Rsa2048, "rsa-2048"),
        (Self::Rsa3072, "rsa-3072"),
        (Self::Rsa4096, "rsa-4096"),
        (Self::EcdsaP256, "ecdsa-p256"),
        (Self::EcdsaP384, "ecdsa-p384"),
        (Self::EcdsaP521, "ecdsa-p521"),
        (Self::Ed25519, "ed25519"),
        (Self::Hmac, "hmac"),
        (Self::HmacSha256, "hmac-sha256"),
        (Self::HmacSha512, "hmac-sha512"),
    ];

    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, word)| word)
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(key_type, _)| *key_type)
    }

    /// The algorithm. `digest` is the one chosen for a key of type `hmac`; the others fix their own.
    pub fn algorithm(self, digest: Option<Digest>) -> Algorithm {
        match self {
            Self::Aes128Gcm => Algorithm::Aead(Cipher::Aes128Gcm),
            Self::Aes256Gcm => Algorithm::Aead(Cipher::Aes256Gcm),
            Self::ChaCha20Poly1305 => Algorithm::Aead(Cipher::ChaCha20Poly1305),
            Self::Rsa2048 => Algorithm::Rsa(Modulus::Bits2048),
            Self::Rsa3072 => Algorithm::Rsa(Modulus::Bits3072),
            Self::Rsa4096 => Algorithm::Rsa(Modulus::Bits4096),
            Self::EcdsaP256 => Algorithm::Ecdsa(Curve::P256),
            Self::EcdsaP384 => Algorithm::Ecdsa(Curve::P384),
            Self::EcdsaP521 => Algorithm::Ecdsa(Curve::P521),
            Self::Ed25519 => Algorithm::Ed25519,
            Self::Hmac => Algorithm::Hmac(digest.unwrap_or(Digest::Sha256)),
            Self::HmacSha256 => Algorithm::Hmac(Digest::Sha256),
            Self::HmacSha512 => Algorithm::Hmac(Digest::Sha512),
        }
    }

    /// Whether its seals are bounded, because each takes a random nonce.
    pub fn has_nonces(self) -> bool {
        matches!(self.algorithm(None), Algorithm::Aead(_))
    }

    /// Whether keys of this type can be used so, as the table of section 3.3 says.
    pub fn check(self, wanted: Use) -> Result<()> {
        let algorithm = self.algorithm(None);
        let can = match wanted {
            Use::Encrypt => matches!(algorithm, Algorithm::Aead(_) | Algorithm::Rsa(_)),
            Use::Sign | Use::PublicKey => {
                !matches!(algorithm, Algorithm::Aead(_) | Algorithm::Hmac(_))
            }
            Use::Mac => matches!(algorithm, Algorithm::Hmac(_)),
            Use::Import => !matches!(algorithm, Algorithm::Hmac(_)),
            Use::Secrets => matches!(algorithm, Algorithm::Aead(_)),
        };
        if can {
            return Ok(());
        }
        let cannot = match wanted {
            Use::Encrypt => "encrypt or decrypt",
            Use::Sign => "sign or verify",
            Use::Mac => "make or verify HMACs",
            Use::PublicKey => "have a public key",
            Use::Import => "be imported",
            Use::Secrets => "be bound to secrets",
        };
        Err(Error::invalid("", format!("a key of type `{}` cannot {cannot}", self.word())))
    }
}

/// Where a key is in its life (contract, section 3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    Active,
    Disabled,
    PendingDeletion,
    /// Its material is gone; only secrets that were sealed under it still show it.
    Deleted,
}

impl KeyStatus {
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::PendingDeletion => "pending_deletion",
            Self::Deleted => "deleted",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Active, Self::Disabled, Self::PendingDeletion, Self::Deleted];
        all.into_iter().find(|status| status.word() == word)
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
    /// Of an HMAC key.
    pub digest: Option<Digest>,
    pub status: KeyStatus,
    pub export_allowed: bool,
    /// Whether version 1 came from outside.
    pub imported: bool,
    /// Whether versions of our own making may follow an imported one.
    pub allow_rotation: bool,
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

    pub fn algorithm(&self) -> Algorithm {
        self.key_type.algorithm(self.digest)
    }

    /// Whether the key may get another version (contract, section 3.13).
    pub fn check_rotatable(&self) -> Result<()> {
        if self.latest_version >= KEY_VERSIONS_MAX {
            let why = format!("KMS key has {KEY_VERSIONS_MAX} versions, the most there are");
            return Err(Error::invalid("", why));
        }
        match self.imported && !self.allow_rotation {
            true => {
                Err(Error::invalid("", "KMS key is imported and was made without `allowRotation`"))
            }
            false => Ok(()),
        }
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
            KeyStatus::Deleted => Err(Error::invalid("", "KMS key has been deleted")),
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

/// What one of the store's own keys is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningPurpose {
    /// Signs access tokens.
    AccessTokens,
    /// Makes the tags of idempotency keys and of the requests under them.
    Idempotency,
    /// Links the records of the audit log.
    AuditChain,
    /// Signs checkpoints of the audit log.
    AuditCheckpoints,
}

impl SigningPurpose {
    pub fn word(self) -> &'static str {
        match self {
            Self::AccessTokens => "access-token",
            Self::Idempotency => "idempotency",
            Self::AuditChain => "audit-chain",
            Self::AuditCheckpoints => "audit-checkpoints",
        }
    }

    /// What identities begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::AccessTokens | Self::AuditCheckpoints => "jwk-",
            Self::Idempotency | Self::AuditChain => "mac-",
        }
    }
}

/// Bytes under a root key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Wrapped {
    /// Fingerprint of the root key.
    pub root_key: String,
    pub bytes: Vec<u8>,
}

/// One version of a key: all that the context of its material binds.
#[derive(Debug, Clone)]
pub struct VersionName {
    pub organisation: String,
    pub region: String,
    pub project: String,
    pub key: String,
    pub version: i64,
    pub algorithm: Algorithm,
}

/// One version's material, wrapped.
#[derive(Debug, Clone)]
pub struct WrappedKey {
    pub name: VersionName,
    pub wrapped: Wrapped,
}

/// What a list of keys is narrowed to; empty means any.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    pub identity: String,
    pub name: String,
    pub slug: String,
    pub status: String,
}
