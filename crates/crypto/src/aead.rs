//! The three symmetric ciphers: AES-128-GCM, AES-256-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};

use crate::{Context, Refused, SecretBytes, random};

/// Bytes of nonce in front of every sealed box.
pub const NONCE_BYTES: usize = 12;
/// Bytes of tag behind every sealed box.
pub const TAG_BYTES: usize = 16;

/// Which cipher a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128 in Galois/Counter mode with a 96-bit nonce.
    Aes128Gcm,
    /// AES-256 in Galois/Counter mode with a 96-bit nonce.
    Aes256Gcm,
    /// ChaCha20 with Poly1305.
    ChaCha20Poly1305,
}

impl Cipher {
    /// Bytes of key material the cipher takes: 16 or 32.
    pub fn key_bytes(self) -> usize {
        self.algorithm().key_len()
    }

    /// Fresh key material for this cipher.
    pub fn generate(self) -> Result<SecretBytes, Refused> {
        random::secret(self.key_bytes())
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// Key material made ready for use. It has no way back to its bytes.
pub struct Key(LessSafeKey);

impl Key {
    /// Readies `material` for `cipher`. Refused when the length is not [`Cipher::key_bytes`].
    pub fn new(cipher: Cipher, material: &SecretBytes) -> Result<Self, Refused> {
        let key = UnboundKey::new(cipher.algorithm(), material.expose()).map_err(|_| Refused)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// `seal[key](context, plaintext)` → `nonce ‖ ciphertext ‖ tag`, with a fresh random nonce.
    ///
    /// SECURITY: no caller ever chooses a nonce.
    pub fn seal(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>, Refused> {
        let nonce = random::array::<NONCE_BYTES>()?;
        let mut sealed = Vec::with_capacity(
            plaintext.len().saturating_add(NONCE_BYTES).saturating_add(TAG_BYTES),
        );
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (_, body) = sealed.split_at_mut_checked(NONCE_BYTES).ok_or(Refused)?;
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                body,
            )
            .map_err(|_| Refused)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// `open[key](context, nonce ‖ ciphertext ‖ tag)` → plaintext, or [`Refused`] when anything differs
    /// from what was sealed: a bit, the key, the context.
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<SecretBytes, Refused> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Refused)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(Refused)?;
        let mut plaintext = zeroize::Zeroizing::new(vec![0; ciphertext.len()]);
        self.0
            .open_separate_gather(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context.as_bytes()),
                ciphertext,
                tag,
                &mut plaintext,
            )
            .map_err(|_| Refused)?;
        Ok(SecretBytes::new(std::mem::take(&mut *plaintext)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;
    use proptest::prelude::*;

    const CIPHERS: [Cipher; 3] = [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];

    #[test]
    fn a_changed_bit_never_opens() {
        for cipher in CIPHERS {
            let key = Key::new(cipher, &cipher.generate().unwrap()).unwrap();
            let context = Context::new(Purpose::Value).text("o-1");
            let sealed = key.seal(&context, b"hunter2").unwrap();
            assert_eq!(key.open(&context, &sealed).unwrap().expose(), b"hunter2");
            for bit in 0..sealed.len() * 8 {
                let mut changed = sealed.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(key.open(&context, &changed).is_err(), "bit {bit}");
            }
            for length in 0..sealed.len() {
                assert!(key.open(&context, &sealed[..length]).is_err(), "cut at {length}");
            }
        }
    }

    #[test]
    fn another_key_or_context_never_opens() {
        for cipher in CIPHERS {
            let key = Key::new(cipher, &cipher.generate().unwrap()).unwrap();
            let other = Key::new(cipher, &cipher.generate().unwrap()).unwrap();
            let context = Context::new(Purpose::Value).text("o-1");
            let sealed = key.seal(&context, b"hunter2").unwrap();
            assert!(other.open(&context, &sealed).is_err());
            assert!(key.open(&Context::new(Purpose::Value).text("o-2"), &sealed).is_err());
            assert!(key.open(&Context::new(Purpose::DataKey).text("o-1"), &sealed).is_err());
        }
    }

    #[test]
    fn material_of_another_length_is_refused() {
        for cipher in CIPHERS {
            for length in [0, 15, 17, 24, 31, 33] {
                assert!(Key::new(cipher, &SecretBytes::new(vec![7; length])).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plaintext in prop::collection::vec(any::<u8>(), 0..300)) {
            for cipher in CIPHERS {
                let key = Key::new(cipher, &cipher.generate().unwrap()).unwrap();
                let context = Context::new(Purpose::Value).bytes(&plaintext);
                let sealed = key.seal(&context, &plaintext).unwrap();
                let opened = key.open(&context, &sealed).unwrap();
                prop_assert_eq!(opened.expose(), &plaintext[..]);
            }
        }

        #[test]
        fn junk_never_opens(junk in prop::collection::vec(any::<u8>(), 0..100)) {
            let key = Key::new(Cipher::Aes256Gcm, &Cipher::Aes256Gcm.generate().unwrap()).unwrap();
            prop_assert!(key.open(&Context::new(Purpose::Value), &junk).is_err());
        }
    }
}
