//! RSA (RFC 8017): signatures with PSS and PKCS#1 v1.5, encryption with OAEP.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaParameters, UnparsedPublicKey,
};

use crate::digest::{Digest, Message};
use crate::{Refused, SecretBytes};

/// How long the modulus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modulus {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

/// How a digest is padded before it is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// RSASSA-PSS, MGF1 with the digest's own hash, a salt as long as the digest.
    #[default]
    Pss,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1v15,
}

impl Modulus {
    /// Fresh material: a key pair as PKCS#8 DER. Takes 0.1 to a few seconds.
    pub fn generate(self) -> Result<SecretBytes, Refused> {
        let size = match self {
            Self::Bits2048 => KeySize::Rsa2048,
            Self::Bits3072 => KeySize::Rsa3072,
            Self::Bits4096 => KeySize::Rsa4096,
        };
        encode(&PrivateDecryptingKey::generate(size).map_err(|_| Refused)?)
    }

    /// Bytes of a signature, and of an encrypted block.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bits2048 => 256,
            Self::Bits3072 => 384,
            Self::Bits4096 => 512,
        }
    }

    /// The longest plaintext of OAEP with SHA-256: 190, 318 or 446 bytes.
    pub fn plaintext_bytes_max(self) -> usize {
        self.bytes().saturating_sub(66)
    }
}

/// A private key, ready for use.
pub struct RsaKey {
    pair: KeyPair,
    decrypting: OaepPrivateDecryptingKey,
    encrypting: OaepPublicEncryptingKey,
    public: Vec<u8>,
}

impl RsaKey {
    /// Reads PKCS#8 DER. Refused when the numbers do not belong together or the modulus has another length.
    pub fn new(modulus: Modulus, pkcs8: &[u8]) -> Result<Self, Refused> {
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| Refused)?;
        if private.key_size_bits() != modulus.bytes().saturating_mul(8) {
            return Err(Refused);
        }
        let public = private.public_key();
        let der = AsDer::<PublicKeyX509Der>::as_der(&public).map_err(|_| Refused)?;
        Ok(Self {
            pair: KeyPair::from_pkcs8(pkcs8).map_err(|_| Refused)?,
            decrypting: OaepPrivateDecryptingKey::new(private).map_err(|_| Refused)?,
            encrypting: OaepPublicEncryptingKey::new(public).map_err(|_| Refused)?,
            public: der.as_ref().to_vec(),
        })
    }

    /// The same key as the one PKCS#8 text that we keep, whatever attributes the given one carries.
    pub(crate) fn canonical(pkcs8: &[u8]) -> Result<SecretBytes, Refused> {
        encode(&PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| Refused)?)
    }

    /// The public key as SubjectPublicKeyInfo DER (RFC 5280).
    pub fn public_der(&self) -> &[u8] {
        &self.public
    }

    /// `sign[key](message)`, as long as the modulus.
    pub fn sign(&self, padding: Padding, message: &Message) -> Result<Vec<u8>, Refused> {
        let encoding: &'static dyn RsaEncoding = match (padding, message.digest()) {
            (Padding::Pss, Digest::Sha256) => &RSA_PSS_SHA256,
            (Padding::Pss, Digest::Sha384) => &RSA_PSS_SHA384,
            (Padding::Pss, Digest::Sha512) => &RSA_PSS_SHA512,
            (Padding::Pkcs1v15, Digest::Sha256) => &RSA_PKCS1_SHA256,
            (Padding::Pkcs1v15, Digest::Sha384) => &RSA_PKCS1_SHA384,
            (Padding::Pkcs1v15, Digest::Sha512) => &RSA_PKCS1_SHA512,
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign_digest(encoding, message.value(), &mut signature);
        signed.map(|()| signature).map_err(|_| Refused)
    }

    /// Whether `signature` is one of this key over `message`.
    pub fn verifies(&self, padding: Padding, message: &Message, signature: &[u8]) -> bool {
        verifies(self.pair.public_key().as_ref(), padding, message, signature)
    }

    /// RSAES-OAEP with SHA-256, MGF1-SHA256 and an empty label. Refused when the plaintext is longer than
    /// [`Modulus::plaintext_bytes_max`].
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut block = vec![0; self.encrypting.ciphertext_size()];
        self.encrypting
            .encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut block, None)
            .map_err(|_| Refused)?;
        Ok(block)
    }

    /// The reverse of [`RsaKey::encrypt`].
    pub fn decrypt(&self, block: &[u8]) -> Result<SecretBytes, Refused> {
        self.decrypt_with(Digest::Sha256, block)
    }

    /// Opens an OAEP block made with `digest` and MGF1 with the same.
    pub fn decrypt_with(&self, digest: Digest, block: &[u8]) -> Result<SecretBytes, Refused> {
        let algorithm: &'static OaepAlgorithm = match digest {
            Digest::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Digest::Sha384 => &OAEP_SHA384_MGF1SHA384,
            Digest::Sha512 => &OAEP_SHA512_MGF1SHA512,
        };
        let mut out = zeroize::Zeroizing::new(vec![0; self.decrypting.min_output_size()]);
        let plaintext =
            self.decrypting.decrypt(algorithm, block, &mut out, None).map_err(|_| Refused)?;
        Ok(SecretBytes::new(plaintext.to_vec()))
    }
}

/// Whether `signature` was made over `message` by the private key that belongs to `public`, a DER public key.
pub(crate) fn verifies(
    public: &[u8],
    padding: Padding,
    message: &Message,
    signature: &[u8],
) -> bool {
    let parameters: &'static RsaParameters = match (padding, message.digest()) {
        (Padding::Pss, Digest::Sha256) => &RSA_PSS_2048_8192_SHA256,
        (Padding::Pss, Digest::Sha384) => &RSA_PSS_2048_8192_SHA384,
        (Padding::Pss, Digest::Sha512) => &RSA_PSS_2048_8192_SHA512,
        (Padding::Pkcs1v15, Digest::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (Padding::Pkcs1v15, Digest::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        (Padding::Pkcs1v15, Digest::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
    };
    UnparsedPublicKey::new(parameters, public).verify_digest(message.value(), signature).is_ok()
}

fn encode(key: &PrivateDecryptingKey) -> Result<SecretBytes, Refused> {
    let der = AsDer::<Pkcs8V1Der>::as_der(key).map_err(|_| Refused)?;
    Ok(SecretBytes::new(der.as_ref().to_vec()))
}
