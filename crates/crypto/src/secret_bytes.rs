//! Bytes that must not outlive their use: zeroed when dropped, never printed, never copied by accident.

use zeroize::Zeroizing;

/// Plaintext or key material. No `Debug`, `Display`, `Clone`, `PartialEq` or `Serialize`: each use of the
/// bytes is a visible call of [`SecretBytes::expose`].
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over; the vector's whole capacity is zeroed at the end.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
