//! The additional data of every seal: what a sealed value belongs to, so that it opens nowhere else.

/// What a seal is for. Two purposes never share a context, even when their fields are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A KMS key version's material under the root key.
    KeyMaterial,
    /// A secret version's data key under a KMS key version.
    DataKey,
    /// A secret version's value under its data key.
    Value,
    /// A caller's own plaintext, sealed by the KMS encrypt operation.
    KmsEncrypt,
    /// A region's wrapping key under the root key.
    WrappingKey,
    /// The key that signs access tokens, under the root key.
    SigningKey,
    /// An idempotency key, of which only a tag is kept.
    IdempotencyKey,
    /// A request under an idempotency key, of which only a tag is kept.
    Request,
    /// A chunk of a backup, under the backup's own key.
    Backup,
    /// A record of the audit log, behind the one before it.
    AuditRecord,
    /// Where a stream of audit records ends.
    AuditHead,
    /// Up to where a stream of audit records was dropped, because it was old.
    AuditBase,
    /// A list of all heads, which is signed.
    AuditCheckpoint,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::KeyMaterial => "coffer/1/key-material",
            Self::DataKey => "coffer/1/data-key",
            Self::Value => "coffer/1/value",
            Self::KmsEncrypt => "coffer/1/kms-encrypt",
            Self::WrappingKey => "coffer/1/wrapping-key",
            Self::SigningKey => "coffer/1/signing-key",
            Self::IdempotencyKey => "coffer/1/idempotency-key",
            Self::Request => "coffer/1/request",
            Self::Backup => "coffer/1/backup",
            Self::AuditRecord => "coffer/1/audit-record",
            Self::AuditHead => "coffer/1/audit-head",
            Self::AuditBase => "coffer/1/audit-base",
            Self::AuditCheckpoint => "coffer/1/audit-checkpoint",
        }
    }
}

/// A sequence of fields, each behind its length (64 bits, big-endian), after the purpose's label.
///
/// INVARIANT: two different sequences of fields never encode to the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(Vec<u8>);

impl Context {
    /// The context of one purpose, without fields yet.
    pub fn new(purpose: Purpose) -> Self {
        Self(Vec::with_capacity(192)).bytes(purpose.label().as_bytes())
    }

    /// Adds a text field.
    pub fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a number field (a version), as eight bytes.
    pub fn number(self, field: i64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// Adds a field of bytes.
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// The encoded context.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
impl Context {
    /// Published additional data, which is no sequence of fields.
    pub(crate) fn published(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(fields: &[String]) -> Context {
        fields.iter().fold(Context::new(Purpose::Value), |context, field| context.text(field))
    }

    proptest! {
        #[test]
        fn different_fields_never_encode_alike(
            a in prop::collection::vec("[ab|/]{0,4}", 0..5),
            b in prop::collection::vec("[ab|/]{0,4}", 0..5),
        ) {
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }
    }

    #[test]
    fn purposes_never_share_a_context() {
        let all = [
            Purpose::KeyMaterial,
            Purpose::DataKey,
            Purpose::Value,
            Purpose::KmsEncrypt,
            Purpose::WrappingKey,
            Purpose::SigningKey,
            Purpose::IdempotencyKey,
            Purpose::Request,
            Purpose::Backup,
        ];
        for (i, a) in all.iter().enumerate() {
            for b in all.iter().skip(i.saturating_add(1)) {
                assert_ne!(Context::new(*a), Context::new(*b));
            }
        }
    }
}
