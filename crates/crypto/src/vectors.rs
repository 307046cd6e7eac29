//! Published vectors, against the code that uses each algorithm: `vectors/*.json`, which name their sources.
#![cfg(test)]

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use crate::digest::{Digest, Message};
use crate::ecdsa::{Curve, Marshalling};
use crate::ed25519::Ed25519Key;
use crate::mac::MacKey;
use crate::rsa::{Modulus, Padding, RsaKey};
use crate::{Cipher, Context, Key, Refused, SecretBytes, ecdsa, ed25519, import, root, rsa};

const AES_GCM: &str = include_str!("../vectors/aes-gcm.json");
const AES_KWP: &str = include_str!("../vectors/aes-kwp.json");
const CHACHA20_POLY1305: &str = include_str!("../vectors/chacha20-poly1305.json");
const ECDSA: &str = include_str!("../vectors/ecdsa.json");
const ECDSA_RAW: &str = include_str!("../vectors/ecdsa-raw.json");
const ED25519: &str = include_str!("../vectors/ed25519.json");
const HKDF: &str = include_str!("../vectors/hkdf.json");
const HMAC: &str = include_str!("../vectors/hmac.json");
const RSA_OAEP: &str = include_str!("../vectors/rsa-oaep.json");
const RSA_SIGNATURES: &str = include_str!("../vectors/rsa-signatures.json");

#[derive(Deserialize)]
struct File<C> {
    sources: Vec<Source>,
    cases: Vec<Case<C>>,
}

#[derive(Deserialize)]
struct Source {
    id: String,
}

#[derive(Deserialize)]
struct Case<C> {
    source: String,
    id: String,
    comment: String,
    valid: bool,
    #[serde(flatten)]
    given: C,
}

/// Bytes, written in hexadecimal.
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes = text.as_bytes().chunks(2).map(|chunk| pair(chunk).filter(|_| chunk.len() == 2));
        bytes.collect::<Option<_>>().map(Self).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

impl Hex {
    fn secret(&self) -> SecretBytes {
        SecretBytes::new(self.0.clone())
    }
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let word = String::deserialize(deserializer)?;
    Digest::from_word(&word).ok_or_else(|| D::Error::custom("no such digest"))
}

fn cases<C: DeserializeOwned>(text: &str) -> Vec<Case<C>> {
    let file: File<C> = serde_json::from_str(text).unwrap();
    for case in &file.cases {
        let named = file.sources.iter().any(|source| source.id == case.source);
        assert!(named, "{} of {} has no source", case.id, case.source);
    }
    file.cases
}

/// Runs every case of a file, of which there are at least so many `[valid, invalid]` ones. `outcome` is
/// refused, or says whether what came out is what the case expects: true for every valid case, refused for
/// every invalid one.
fn check<C: DeserializeOwned>(
    text: &str,
    at_least: [usize; 2],
    outcome: impl Fn(&C) -> Result<bool, Refused>,
) {
    let cases = cases::<C>(text);
    for (valid, minimum) in [true, false].into_iter().zip(at_least) {
        let count = cases.iter().filter(|case| case.valid == valid).count();
        assert!(count >= minimum, "{count} cases with valid = {valid}, not {minimum}");
    }
    let wrong: Vec<_> = cases
        .iter()
        .map(|case| (case, outcome(&case.given)))
        .filter(|(case, outcome)| *outcome != if case.valid { Ok(true) } else { Err(Refused) })
        .map(|(case, outcome)| {
            let Case { source, id, comment, valid, .. } = case;
            format!("{source} {id} ({comment}), valid = {valid}: {outcome:?}")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The outcome of a verification.
fn accepted(verifies: bool) -> Result<bool, Refused> {
    if verifies { Ok(true) } else { Err(Refused) }
}

#[derive(Deserialize)]
struct Sealed {
    key: Hex,
    nonce: Hex,
    aad: Hex,
    plaintext: Hex,
    ciphertext: Hex,
    tag: Hex,
}

impl Sealed {
    fn open(&self, cipher: Cipher) -> Result<bool, Refused> {
        let sealed = [&*self.nonce.0, &self.ciphertext.0, &self.tag.0].concat();
        let key = Key::new(cipher, &self.key.secret())?;
        let opened = key.open(&Context::published(&self.aad.0), &sealed)?;
        Ok(opened.expose() == self.plaintext.0)
    }
}

#[test]
fn aes_gcm_opens_what_others_sealed() {
    check(AES_GCM, [24, 20], |case: &Sealed| match case.key.0.len() {
        16 => case.open(Cipher::Aes128Gcm),
        _ => case.open(Cipher::Aes256Gcm),
    });
}

#[test]
fn chacha20_poly1305_opens_what_others_sealed() {
    check(CHACHA20_POLY1305, [12, 13], |case: &Sealed| case.open(Cipher::ChaCha20Poly1305));
}

#[derive(Deserialize)]
struct Wrapped {
    kek: Hex,
    plaintext: Hex,
    wrapped: Hex,
}

impl Wrapped {
    fn unwrap_padded(&self) -> Result<bool, Refused> {
        let unwrapped = import::unwrap_padded(&self.kek.0, &self.wrapped.0)?;
        Ok(unwrapped.expose() == self.plaintext.0)
    }
}

#[test]
fn aes_kwp_unwraps_what_others_wrapped() {
    check(AES_KWP, [13, 23], Wrapped::unwrap_padded);
}

/// RFC 5649 has no other examples than with 192 bits; we take 256 only.
#[test]
fn a_shorter_wrapping_key_is_refused() {
    #[derive(Deserialize)]
    struct Shorter {
        kek192: Vec<Wrapped>,
    }
    let shorter: Shorter = serde_json::from_str(AES_KWP).unwrap();
    assert_eq!(shorter.kek192.len(), 2);
    for case in shorter.kek192 {
        assert_eq!(case.unwrap_padded(), Err(Refused));
    }
}

#[derive(Deserialize)]
struct Derived {
    ikm: Hex,
    salt: Hex,
    info: Hex,
    length: usize,
    okm: Hex,
}

#[test]
fn hkdf_derives_what_others_derived() {
    check(HKDF, [3, 0], |case: &Derived| {
        let okm = root::derive(&case.salt.0, &case.ikm.secret(), &case.info.0, case.length)?;
        Ok(okm.expose() == case.okm.0)
    });
}

#[derive(Deserialize)]
struct Tagged {
    #[serde(deserialize_with = "digest")]
    digest: Digest,
    key: Hex,
    message: Hex,
    tag: Hex,
}

#[test]
fn hmac_verifies_and_makes_the_same_tags() {
    check(HMAC, [20, 12], |case: &Tagged| {
        let key = MacKey::of_any_length(case.digest, &case.key.0);
        let same = key.sign(&case.message.0) == case.tag.0;
        assert_eq!(key.verifies(&case.message.0, &case.tag.0), same);
        accepted(same)
    });
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ed25519 {
    seed: Option<Hex>,
    public_key: Hex,
    message: Hex,
    signature: Hex,
}

#[test]
fn ed25519_verifies() {
    check(ED25519, [9, 27], |case: &Ed25519| {
        accepted(ed25519::verifies(&case.public_key.0, &case.message.0, &case.signature.0))
    });
}

#[test]
fn ed25519_makes_the_same_signatures() {
    /// PKCS#8 of a private key without its public one (RFC 8410, section 7), up to the seed.
    const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let mut signed = 0_usize;
    for Case { given, id, .. } in cases::<Ed25519>(ED25519) {
        let Some(seed) = given.seed else { continue };
        let key = Ed25519Key::new(&[&PKCS8[..], &seed.0].concat()).unwrap();
        assert_eq!(key.public(), given.public_key.0, "{id}");
        assert_eq!(key.sign(&given.message.0).unwrap(), given.signature.0, "{id}");
        signed = signed.saturating_add(1);
    }
    assert!(signed >= 5, "{signed} cases have a seed");
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase", remote = "Curve")]
enum CurveWord {
    P256,
    P384,
    P521,
}

#[derive(Deserialize)]
struct Ecdsa {
    #[serde(with = "CurveWord")]
    curve: Curve,
    #[serde(deserialize_with = "digest")]
    digest: Digest,
    spki: Hex,
    message: Hex,
    signature: Hex,
}

impl Ecdsa {
    fn verifies(&self, marshalling: Marshalling) -> Result<bool, Refused> {
        let message = Message::hash(self.digest, &self.message.0);
        let signature = &self.signature.0;
        accepted(ecdsa::verifies(self.curve, &self.spki.0, marshalling, &message, signature))
    }
}

#[test]
fn ecdsa_verifies() {
    check(ECDSA, [18, 62], |case: &Ecdsa| case.verifies(Marshalling::Asn1));
    check(ECDSA_RAW, [10, 20], |case: &Ecdsa| case.verifies(Marshalling::Jws));
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase", remote = "Padding")]
enum PaddingWord {
    Pss,
    Pkcs1v15,
}

#[derive(Deserialize)]
struct Rsa {
    #[serde(with = "PaddingWord")]
    padding: Padding,
    #[serde(deserialize_with = "digest")]
    digest: Digest,
    spki: Hex,
    message: Hex,
    signature: Hex,
}

impl Rsa {
    fn message(&self) -> Message {
        Message::hash(self.digest, &self.message.0)
    }
}

#[test]
fn rsa_verifies() {
    check(RSA_SIGNATURES, [20, 44], |case: &Rsa| {
        let signature = &case.signature.0;
        accepted(rsa::verifies(&case.spki.0, case.padding, &case.message(), signature))
    });
}

#[derive(Deserialize)]
struct Oaep {
    bits: usize,
    #[serde(deserialize_with = "digest")]
    digest: Digest,
    pkcs8: Hex,
    plaintext: Hex,
    ciphertext: Hex,
}

impl Oaep {
    fn key(&self) -> RsaKey {
        let modulus = match self.bits {
            2048 => Modulus::Bits2048,
            3072 => Modulus::Bits3072,
            _ => Modulus::Bits4096,
        };
        RsaKey::new(modulus, &self.pkcs8.0).unwrap()
    }
}

#[test]
fn rsa_oaep_decrypts_what_others_encrypted() {
    check(RSA_OAEP, [8, 12], |case: &Oaep| {
        let opened = case.key().decrypt_with(case.digest, &case.ciphertext.0)?;
        Ok(opened.expose() == case.plaintext.0)
    });
}

/// Some of the published signatures are by keys whose private half is published with the OAEP cases.
#[test]
fn rsa_pkcs1_makes_the_same_signatures() {
    let keys: Vec<_> = cases::<Oaep>(RSA_OAEP).iter().map(|case| case.given.key()).collect();
    let mut signed = 0_usize;
    for Case { given, id, valid, .. } in cases::<Rsa>(RSA_SIGNATURES) {
        let key = keys.iter().find(|key| key.public_der() == given.spki.0);
        if let (Some(key), Padding::Pkcs1v15, true) = (key, given.padding, valid) {
            let signature = key.sign(given.padding, &given.message()).unwrap();
            assert_eq!(signature, given.signature.0, "{id}");
            signed = signed.saturating_add(1);
        }
    }
    assert!(signed >= 6, "{signed} cases have a private key");
}
