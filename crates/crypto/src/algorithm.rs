//! What a key is for: its algorithm, fresh or foreign material of it, and the material made ready.

use base64::{Engine, engine::general_purpose::STANDARD};
use pem_rfc7468::LineEnding;

use crate::aead::{self, Cipher};
use crate::digest::Digest;
use crate::ecdsa::{Curve, EcdsaKey, Marshalling};
use crate::ed25519::Ed25519Key;
use crate::mac::MacKey;
use crate::rsa::{Modulus, Padding, RsaKey};
use crate::signature::{Hashing, Scheme};
use crate::{Refused, SecretBytes};

/// An algorithm with its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Authenticated encryption. Material: the raw key.
    Aead(Cipher),
    /// RSA, to sign and to encrypt. Material: PKCS#8 DER.
    Rsa(Modulus),
    /// ECDSA. Material: PKCS#8 DER.
    Ecdsa(Curve),
    /// Ed25519. Material: PKCS#8 DER.
    Ed25519,
    /// HMAC. Material: the raw key, as long as the digest.
    Hmac(Digest),
}

impl Algorithm {
    /// The name that stands in the context of wrapped material.
    ///
    /// INVARIANT: a name never changes, or nothing that was wrapped under it opens again.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aead(Cipher::Aes128Gcm) => "aes128-gcm96",
            Self::Aead(Cipher::Aes256Gcm) => "aes256-gcm96",
            Self::Aead(Cipher::ChaCha20Poly1305) => "chacha20-poly1305",
            Self::Rsa(Modulus::Bits2048) => "rsa-2048",
            Self::Rsa(Modulus::Bits3072) => "rsa-3072",
            Self::Rsa(Modulus::Bits4096) => "rsa-4096",
            Self::Ecdsa(Curve::P256) => "ecdsa-p256",
            Self::Ecdsa(Curve::P384) => "ecdsa-p384",
            Self::Ecdsa(Curve::P521) => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Hmac(Digest::Sha256) => "hmac-sha256",
            Self::Hmac(Digest::Sha384) => "hmac-sha384",
            Self::Hmac(Digest::Sha512) => "hmac-sha512",
        }
    }

    /// Fresh material. RSA takes up to a few seconds.
    pub fn generate(self) -> Result<SecretBytes, Refused> {
        match self {
            Self::Aead(cipher) => cipher.generate(),
            Self::Rsa(modulus) => modulus.generate(),
            Self::Ecdsa(curve) => curve.generate(),
            Self::Ed25519 => Ed25519Key::generate(),
            Self::Hmac(digest) => MacKey::generate(digest),
        }
    }

    /// Foreign material, checked against the algorithm and brought into the form we keep. HMAC keys are
    /// refused: they do not come from outside (contract, section 3.12).
    pub(crate) fn import(self, material: &SecretBytes) -> Result<SecretBytes, Refused> {
        let bytes = material.expose();
        let canonical = match self {
            Self::Aead(_) => SecretBytes::new(bytes.to_vec()),
            Self::Hmac(_) => return Err(Refused),
            _ if !is_one_der_sequence(bytes) => return Err(Refused),
            Self::Rsa(_) => RsaKey::canonical(bytes)?,
            Self::Ecdsa(curve) => EcdsaKey::canonical(curve, bytes)?,
            Self::Ed25519 => Ed25519Key::canonical(bytes)?,
        };
        match self.ready(&canonical)?.proves_itself()? {
            true => Ok(canonical),
            false => Err(Refused),
        }
    }

    /// Makes material ready for use. Refused when it is not of this algorithm and size.
    pub fn ready(self, material: &SecretBytes) -> Result<Ready, Refused> {
        Ok(match self {
            Self::Aead(cipher) => Ready::Aead(aead::Key::new(cipher, material)?),
            Self::Rsa(modulus) => Ready::Rsa(Box::new(RsaKey::new(modulus, material.expose())?)),
            Self::Ecdsa(curve) => Ready::Ecdsa(Box::new(EcdsaKey::new(curve, material.expose())?)),
            Self::Ed25519 => Ready::Ed25519(Box::new(Ed25519Key::new(material.expose())?)),
            Self::Hmac(digest) => Ready::Hmac(Box::new(MacKey::new(digest, material)?)),
        })
    }
}

/// Whether the bytes are one DER sequence and nothing behind it: the library reads the first and stops.
fn is_one_der_sequence(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, length @ 0..=0x7f, rest @ ..] => usize::from(*length) == rest.len(),
        [0x30, 0x81, length @ 0x80..=0xff, rest @ ..] => usize::from(*length) == rest.len(),
        [0x30, 0x82, high @ 1..=0xff, low, rest @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) == rest.len()
        }
        _ => false,
    }
}

/// Material made ready. It has no way back to its bytes.
pub enum Ready {
    /// For seal and open.
    Aead(aead::Key),
    /// For sign, verify, encrypt and decrypt.
    Rsa(Box<RsaKey>),
    /// For sign and verify.
    Ecdsa(Box<EcdsaKey>),
    /// For sign and verify.
    Ed25519(Box<Ed25519Key>),
    /// For tags.
    Hmac(Box<MacKey>),
}

impl Ready {
    /// Whether what the private half makes is what the public half takes: numbers can fit together and still be no
    /// key, when a factor is not prime.
    fn proves_itself(&self) -> Result<bool, Refused> {
        const PROOF: &[u8] = b"coffer/1/import";
        let hashing = Hashing { digest: Digest::Sha256, prehashed: false };
        let scheme = match self {
            Self::Rsa(key) => {
                if key.decrypt(&key.encrypt(PROOF)?)?.expose() != PROOF {
                    return Ok(false);
                }
                Scheme::Rsa(Padding::Pss, hashing)
            }
            Self::Ecdsa(_) => Scheme::Ecdsa(Marshalling::Asn1, hashing),
            Self::Ed25519(_) => Scheme::Ed25519,
            Self::Aead(_) | Self::Hmac(_) => return Ok(true),
        };
        self.verifies(scheme, PROOF, &self.sign(scheme, PROOF)?)
    }

    /// The public key as text: PEM of the SubjectPublicKeyInfo (RFC 7468) for RSA and ECDSA, base64 of the 32
    /// bytes for Ed25519. Refused for symmetric keys, which have none.
    pub fn public_text(&self) -> Result<String, Refused> {
        let pem = |der| pem_rfc7468::encode_string("PUBLIC KEY", LineEnding::LF, der);
        match self {
            Self::Rsa(key) => pem(key.public_der()).map_err(|_| Refused),
            Self::Ecdsa(key) => pem(key.public_der()).map_err(|_| Refused),
            Self::Ed25519(key) => Ok(STANDARD.encode(key.public())),
            Self::Aead(_) | Self::Hmac(_) => Err(Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::import::{WRAPPING_MODULUS, import};

    const EVERY: [Algorithm; 13] = [
        Algorithm::Aead(Cipher::Aes128Gcm),
        Algorithm::Aead(Cipher::Aes256Gcm),
        Algorithm::Aead(Cipher::ChaCha20Poly1305),
        Algorithm::Rsa(Modulus::Bits2048),
        Algorithm::Rsa(Modulus::Bits3072),
        Algorithm::Rsa(Modulus::Bits4096),
        Algorithm::Ecdsa(Curve::P256),
        Algorithm::Ecdsa(Curve::P384),
        Algorithm::Ecdsa(Curve::P521),
        Algorithm::Ed25519,
        Algorithm::Hmac(Digest::Sha256),
        Algorithm::Hmac(Digest::Sha384),
        Algorithm::Hmac(Digest::Sha512),
    ];

    #[test]
    fn material_is_ready_for_its_own_algorithm_only() {
        for own in EVERY {
            let material = own.generate().unwrap();
            for other in EVERY {
                // A raw key is any bytes of its length.
                let length = match other {
                    Algorithm::Aead(cipher) => Some(cipher.key_bytes()),
                    Algorithm::Hmac(digest) => Some(digest.bytes()),
                    _ => None,
                };
                let expected = own == other || length == Some(material.len());
                assert_eq!(other.ready(&material).is_ok(), expected, "{own:?} as {other:?}");
            }
        }
    }

    #[test]
    fn every_hash_goes_with_every_key_that_signs() {
        for digest in Digest::ALL {
            let (message, other) = (Message::hash(digest, b"a"), Message::hash(digest, b"b"));
            let hashed = aws_lc_rs::digest::digest(digest.algorithm(), b"a");
            let prehashed = Message::prehashed(digest, hashed.as_ref()).unwrap();
            for curve in [Curve::P256, Curve::P384, Curve::P521] {
                let key = EcdsaKey::new(curve, curve.generate().unwrap().expose()).unwrap();
                for marshalling in [Marshalling::Asn1, Marshalling::Jws] {
                    let signature = key.sign(marshalling, &message).unwrap();
                    assert!(key.verifies(marshalling, &prehashed, &signature));
                    assert!(!key.verifies(marshalling, &other, &signature));
                }
            }
            let modulus = Modulus::Bits2048;
            let key = RsaKey::new(modulus, modulus.generate().unwrap().expose()).unwrap();
            for padding in [Padding::Pss, Padding::Pkcs1v15] {
                let signature = key.sign(padding, &prehashed).unwrap();
                assert!(key.verifies(padding, &message, &signature));
                assert!(!key.verifies(padding, &other, &signature));
            }
        }
    }

    #[test]
    fn what_follows_the_material_is_refused() {
        for algorithm in EVERY {
            let material = algorithm.generate().unwrap();
            let is_hmac = matches!(algorithm, Algorithm::Hmac(_));
            let kept = algorithm.import(&material).ok().map(|kept| kept.expose().to_vec());
            assert_eq!(kept.as_deref(), (!is_hmac).then_some(material.expose()));
            for more in [&[0_u8][..], &[0; 300]] {
                let longer = SecretBytes::new([material.expose(), more].concat());
                assert!(algorithm.import(&longer).is_err(), "{algorithm:?}");
            }
            let cut = material.expose().split_last().unwrap().1.to_vec();
            assert!(algorithm.import(&SecretBytes::new(cut)).is_err(), "{algorithm:?}");
        }
    }

    #[test]
    fn an_elliptic_key_is_kept_in_one_form() {
        // RFC 5915 lets the public key be left out: P-256 with the private number 1.
        let mut without = vec![
            0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
        ];
        without.extend([0; 31]);
        without.push(1);
        let algorithm = Algorithm::Ecdsa(Curve::P256);
        let kept = algorithm.import(&SecretBytes::new(without)).unwrap();
        assert_eq!(kept.len(), algorithm.generate().unwrap().len());
    }

    #[test]
    fn junk_is_never_imported() {
        let material = WRAPPING_MODULUS.generate().unwrap();
        let wrapping = RsaKey::new(WRAPPING_MODULUS, material.expose()).unwrap();
        for length in [0, 1, 511, 512, 513, 536, 600] {
            for algorithm in EVERY {
                assert!(import(algorithm, &wrapping, Digest::Sha256, &vec![1; length]).is_err());
            }
        }
    }
}
