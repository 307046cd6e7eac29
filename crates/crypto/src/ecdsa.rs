//! ECDSA over the NIST curves (FIPS 186-5, SEC 1).

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_ASN1,
    ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair, UnparsedPublicKey,
};

use crate::digest::{Digest, Message};
use crate::{Refused, SecretBytes};

/// A curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

/// How the two numbers of a signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marshalling {
    /// An ASN.1 DER sequence of `r` and `s`.
    #[default]
    Asn1,
    /// `r ‖ s`, each as long as the curve's order (RFC 7515).
    Jws,
}

impl Curve {
    /// Fresh material: a key pair as PKCS#8 DER.
    pub fn generate(self) -> Result<SecretBytes, Refused> {
        let signing = self.signing(Marshalling::Asn1);
        encode(&EcdsaKeyPair::generate(signing).map_err(|_| Refused)?)
    }

    /// The hash that goes with the curve: SHA-256, SHA-384, SHA-512.
    pub fn digest(self) -> Digest {
        match self {
            Self::P256 => Digest::Sha256,
            Self::P384 => Digest::Sha384,
            Self::P521 => Digest::Sha512,
        }
    }

    fn signing(self, marshalling: Marshalling) -> &'static EcdsaSigningAlgorithm {
        match (self, marshalling) {
            (Self::P256, Marshalling::Asn1) => &ECDSA_P256_SHA256_ASN1_SIGNING,
            (Self::P384, Marshalling::Asn1) => &ECDSA_P384_SHA384_ASN1_SIGNING,
            (Self::P521, Marshalling::Asn1) => &ECDSA_P521_SHA512_ASN1_SIGNING,
            (Self::P256, Marshalling::Jws) => &ECDSA_P256_SHA256_FIXED_SIGNING,
            (Self::P384, Marshalling::Jws) => &ECDSA_P384_SHA384_FIXED_SIGNING,
            (Self::P521, Marshalling::Jws) => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }

    fn verification(self, marshalling: Marshalling) -> &'static EcdsaVerificationAlgorithm {
        match (self, marshalling) {
            (Self::P256, Marshalling::Asn1) => &ECDSA_P256_SHA256_ASN1,
            (Self::P384, Marshalling::Asn1) => &ECDSA_P384_SHA384_ASN1,
            (Self::P521, Marshalling::Asn1) => &ECDSA_P521_SHA512_ASN1,
            (Self::P256, Marshalling::Jws) => &ECDSA_P256_SHA256_FIXED,
            (Self::P384, Marshalling::Jws) => &ECDSA_P384_SHA384_FIXED,
            (Self::P521, Marshalling::Jws) => &ECDSA_P521_SHA512_FIXED,
        }
    }

    /// The number that is signed, as a digest of the curve's own length: ECDSA takes the leftmost bits of a
    /// longer digest and the whole number of a shorter one (FIPS 186-5, section 6.4.1, step 2). The library
    /// pairs each curve with one hash only; written so, every hash goes with every curve.
    fn scalar(self, message: &Message) -> Result<digest::Digest, Refused> {
        let (own, value) = (self.digest(), message.value().as_ref());
        let mut bytes = vec![0; own.bytes().saturating_sub(value.len())];
        bytes.extend(value.iter().take(own.bytes()));
        digest::Digest::import_less_safe(&bytes, own.algorithm()).map_err(|_| Refused)
    }
}

/// A private key, ready for use.
pub struct EcdsaKey {
    curve: Curve,
    asn1: EcdsaKeyPair,
    jws: EcdsaKeyPair,
    public: Vec<u8>,
}

impl EcdsaKey {
    /// Reads PKCS#8 DER. Refused when it is of another curve.
    pub fn new(curve: Curve, pkcs8: &[u8]) -> Result<Self, Refused> {
        let read = |marshalling| EcdsaKeyPair::from_pkcs8(curve.signing(marshalling), pkcs8);
        let asn1 = read(Marshalling::Asn1).map_err(|_| Refused)?;
        let jws = read(Marshalling::Jws).map_err(|_| Refused)?;
        let der = AsDer::<PublicKeyX509Der>::as_der(asn1.public_key()).map_err(|_| Refused)?;
        let public = der.as_ref().to_vec();
        Ok(Self { curve, asn1, jws, public })
    }

    /// The same key as the one PKCS#8 text that we keep: with its public point, uncompressed, and nothing else.
    pub(crate) fn canonical(curve: Curve, pkcs8: &[u8]) -> Result<SecretBytes, Refused> {
        let signing = curve.signing(Marshalling::Asn1);
        let given = EcdsaKeyPair::from_pkcs8(signing, pkcs8).map_err(|_| Refused)?;
        let private = AsBigEndian::<EcPrivateKeyBin>::as_be_bytes(&given.private_key());
        let private = private.map_err(|_| Refused)?;
        let public = given.public_key().as_ref();
        let kept = EcdsaKeyPair::from_private_key_and_public_key(signing, private.as_ref(), public);
        encode(&kept.map_err(|_| Refused)?)
    }

    /// The public key as SubjectPublicKeyInfo DER (RFC 5480).
    pub fn public_der(&self) -> &[u8] {
        &self.public
    }

    /// `sign[key](message)`.
    pub fn sign(&self, marshalling: Marshalling, message: &Message) -> Result<Vec<u8>, Refused> {
        let pair = match marshalling {
            Marshalling::Asn1 => &self.asn1,
            Marshalling::Jws => &self.jws,
        };
        let signature = pair.sign_digest(&self.curve.scalar(message)?).map_err(|_| Refused)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Whether `signature` is one of this key over `message`.
    pub fn verifies(&self, marshalling: Marshalling, message: &Message, signature: &[u8]) -> bool {
        verifies(self.curve, self.asn1.public_key().as_ref(), marshalling, message, signature)
    }
}

/// Whether `signature` was made over `message` by the private key that belongs to `public`, an uncompressed
/// point or DER.
pub(crate) fn verifies(
    curve: Curve,
    public: &[u8],
    marshalling: Marshalling,
    message: &Message,
    signature: &[u8],
) -> bool {
    let key = UnparsedPublicKey::new(curve.verification(marshalling), public);
    curve.scalar(message).is_ok_and(|scalar| key.verify_digest(&scalar, signature).is_ok())
}

fn encode(pair: &EcdsaKeyPair) -> Result<SecretBytes, Refused> {
    let der = pair.to_pkcs8v1().map_err(|_| Refused)?;
    Ok(SecretBytes::new(der.as_ref().to_vec()))
}
