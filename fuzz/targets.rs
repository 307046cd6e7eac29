//! What the fuzz targets do with arbitrary bytes; the crypto crate's unit tests do the same with the corpora.

use std::sync::LazyLock;

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepPublicEncryptingKey, PublicEncryptingKey,
};
use coffer_crypto::ecdsa::{Curve, Marshalling};
use coffer_crypto::import::WRAPPING_MODULUS;
use coffer_crypto::rsa::{Modulus, Padding, RsaKey};
use coffer_crypto::{
    Algorithm, Cipher, Context, Digest, Hashing, Key, Message, Purpose, Ready, Refused, Scheme,
    SecretBytes, Versioned,
};

/// Published keys: see `keys/README.md`.
const RSA_2048: &[u8] = include_bytes!("keys/rsa-2048.der");
const RSA_4096: &[u8] = include_bytes!("keys/rsa-4096.der");
const ECDSA_P256: &[u8] = include_bytes!("keys/ecdsa-p256.der");
const ECDSA_P384: &[u8] = include_bytes!("keys/ecdsa-p384.der");
const ECDSA_P521: &[u8] = include_bytes!("keys/ecdsa-p521.der");
const ED25519: &[u8] = include_bytes!("keys/ed25519.der");
/// Every symmetric key is this or its beginning.
const SYMMETRIC: [u8; 64] = [0x2a; 64];

const CIPHERS: [Cipher; 3] = [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305];
const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];
const MODULI: [Modulus; 3] = [Modulus::Bits2048, Modulus::Bits3072, Modulus::Bits4096];

fn ready(algorithm: Algorithm, material: &[u8]) -> Ready {
    algorithm.ready(&SecretBytes::new(material.to_vec())).expect("a fixed key")
}

fn rsa(modulus: Modulus, pkcs8: &[u8]) -> RsaKey {
    RsaKey::new(modulus, pkcs8).expect("a fixed key")
}

fn symmetric(bytes: usize) -> &'static [u8] {
    SYMMETRIC.get(..bytes).expect("no key is longer")
}

/// A text from a client, read, printed and opened. The same bytes are opened without reading a text, too.
pub fn ciphertext(data: &[u8]) {
    const LATEST: i64 = 7;
    open(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = Versioned::parse(text);
    if let Ok(parsed) = &parsed {
        // One text has one reading, and one reading has one text.
        assert_eq!(parsed.to_string(), text);
        assert!(parsed.key_version >= 1);
    }
    let either = Versioned::parse_or_bare(text, LATEST);
    if let Ok(either) = &either {
        assert_eq!(Versioned::parse(&either.to_string()).as_ref(), Ok(either));
        assert!(parsed.is_ok() || either.to_string() == format!("thalassa:v{LATEST}:{text}"));
        open(&either.bytes);
    }
    assert!(parsed.is_err() || parsed == either);
}

/// What was sealed for the corpus under the keys of [`open`], with the context of [`context`].
const PLAINTEXTS: [&[u8]; 2] = [b"", b"attack at dawn"];

fn context() -> Context {
    Context::new(Purpose::KmsEncrypt).text("fuzz")
}

fn open(bytes: &[u8]) {
    static KEYS: LazyLock<[Key; 3]> = LazyLock::new(|| {
        CIPHERS.map(|cipher| {
            let material = SecretBytes::new(symmetric(cipher.key_bytes()).to_vec());
            Key::new(cipher, &material).expect("a fixed key")
        })
    });
    static RSA: LazyLock<RsaKey> = LazyLock::new(|| rsa(Modulus::Bits2048, RSA_2048));
    for key in KEYS.iter() {
        if let Ok(opened) = key.open(&context(), bytes) {
            assert!(PLAINTEXTS.contains(&opened.expose()), "opened what nobody sealed");
        }
    }
    if let Ok(opened) = RSA.decrypt(bytes) {
        // Anybody can encrypt under a public key, so this may be anything.
        assert!(opened.len() <= Modulus::Bits2048.plaintext_bytes_max());
        let again = RSA.encrypt(opened.expose()).expect("it was encrypted before");
        assert_eq!(RSA.decrypt(&again).expect("our own").expose(), opened.expose());
    }
}

/// A key that signs, and how. Without a scheme it is a MAC.
struct Signer {
    ready: Ready,
    scheme: Option<Scheme>,
}

impl Signer {
    /// Every key with every scheme that is for it. The order is what the first byte of the corpus says.
    fn every() -> Vec<Self> {
        let mut every = Vec::new();
        let mut add = |algorithm: Algorithm, material: &[u8], scheme| {
            every.push(Self { ready: ready(algorithm, material), scheme });
        };
        let hashings = Digest::ALL
            .into_iter()
            .flat_map(|digest| [false, true].map(|prehashed| Hashing { digest, prehashed }));
        for hashing in hashings {
            for padding in [Padding::Pss, Padding::Pkcs1v15] {
                let scheme = Scheme::Rsa(padding, hashing);
                add(Algorithm::Rsa(Modulus::Bits2048), RSA_2048, Some(scheme));
            }
            for (curve, pkcs8) in CURVES.into_iter().zip([ECDSA_P256, ECDSA_P384, ECDSA_P521]) {
                for marshalling in [Marshalling::Asn1, Marshalling::Jws] {
                    let scheme = Scheme::Ecdsa(marshalling, hashing);
                    add(Algorithm::Ecdsa(curve), pkcs8, Some(scheme));
                }
            }
        }
        add(Algorithm::Ed25519, ED25519, Some(Scheme::Ed25519));
        for digest in Digest::ALL {
            add(Algorithm::Hmac(digest), symmetric(digest.bytes()), None);
        }
        every
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Refused> {
        match (&self.ready, self.scheme) {
            (Ready::Hmac(key), None) => Ok(key.sign(message)),
            (key, Some(scheme)) => key.sign(scheme, message),
            _ => Err(Refused),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> Result<bool, Refused> {
        match (&self.ready, self.scheme) {
            (Ready::Hmac(key), None) => Ok(key.verifies(message, signature)),
            (key, Some(scheme)) => key.verifies(scheme, message, signature),
            _ => Err(Refused),
        }
    }

    /// Whether a message has one signature only.
    fn is_deterministic(&self) -> bool {
        !matches!(self.scheme, Some(Scheme::Ecdsa(..) | Scheme::Rsa(Padding::Pss, _)))
    }
}

/// The inputs with a genuine signature by a scheme that draws a fresh number for each.
const GENUINE: [&[u8]; 7] = [
    include_bytes!("corpus/signature/genuine-rsa-pss-sha256"),
    include_bytes!("corpus/signature/genuine-p256-asn1"),
    include_bytes!("corpus/signature/genuine-p256-jws"),
    include_bytes!("corpus/signature/genuine-p384-asn1"),
    include_bytes!("corpus/signature/genuine-p384-jws"),
    include_bytes!("corpus/signature/genuine-p521-asn1"),
    include_bytes!("corpus/signature/genuine-p521-jws"),
];

/// A signature over a message. Input: the place of the signer, the length of the message, the message, the
/// signature. An input has one reading, so that a genuine one is known by its bytes.
pub fn signature(data: &[u8]) {
    static SIGNERS: LazyLock<Vec<Signer>> = LazyLock::new(Signer::every);
    let [place, length, rest @ ..] = data else { return };
    let Some(signer) = SIGNERS.get(usize::from(*place)) else { return };
    let Some((message, signature)) = rest.split_at_checked(usize::from(*length)) else { return };

    let told = signer.verifies(message, signature);
    let Ok(own) = signer.sign(message) else {
        // A digest of another length is refused on both ways.
        assert_eq!(told, Err(Refused));
        return;
    };
    let genuine = match signer.is_deterministic() {
        true => own == signature,
        false => GENUINE.contains(&data),
    };
    assert_eq!(told, Ok(genuine));

    assert_eq!(signer.verifies(message, &own), Ok(true));
    let place = signature.iter().fold(0_usize, |sum, byte| sum.wrapping_add(usize::from(*byte)));
    let mut changed = own;
    let place = place.checked_rem(changed.len()).unwrap_or_default();
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= 1;
    }
    assert_eq!(signer.verifies(message, &changed), Ok(false));
}

/// How the third and further bytes of an input of [`import`] become a blob.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// They are it.
    Blob,
    /// They are the material, wrapped as a client does.
    Material,
    /// They are what an AES key wrapped, or so it is said; the AES key is fixed.
    Wrapped,
    /// They are the material, encrypted without an AES key.
    Direct,
}

/// Foreign key material. Input: the place of the algorithm, digest and way, what the way says.
pub fn import(data: &[u8]) {
    static WRAPPING: LazyLock<RsaKey> = LazyLock::new(|| rsa(WRAPPING_MODULUS, RSA_4096));
    let algorithms = CIPHERS.map(Algorithm::Aead).into_iter();
    let algorithms = algorithms.chain(MODULI.map(Algorithm::Rsa));
    let algorithms = algorithms.chain(CURVES.map(Algorithm::Ecdsa)).chain([Algorithm::Ed25519]);
    let mut algorithms = algorithms.chain(Digest::ALL.map(Algorithm::Hmac));
    let ways = [Way::Blob, Way::Material, Way::Wrapped, Way::Direct].into_iter();
    let mut ways = ways.flat_map(|way| Digest::ALL.map(|digest| (way, digest)));
    let [place, way, rest @ ..] = data else { return };
    let Some(algorithm) = algorithms.nth(usize::from(*place)) else { return };
    let Some((way, digest)) = ways.nth(usize::from(*way)) else { return };

    let Some(blob) = blob(way, digest, rest) else { return };
    let imported = coffer_crypto::import::import(algorithm, &WRAPPING, digest, &blob);
    match (algorithm, way) {
        (Algorithm::Hmac(_), _) => assert!(imported.is_err()),
        (Algorithm::Aead(cipher), Way::Material | Way::Direct) => {
            assert_eq!(imported.is_ok(), rest.len() == cipher.key_bytes());
        }
        (_, Way::Direct) => assert!(imported.is_err()),
        _ => {}
    }
    let Ok(material) = imported else { return };

    let key = algorithm.ready(&material).expect("it was imported");
    use_it(&key);
    if let Some(published) = published(algorithm)
        && ready(algorithm, published).public_text() == key.public_text()
    {
        // Whatever came with the key, attributes or more bytes, is not kept.
        assert_eq!(material.expose(), published);
    }
    let again = self::blob(Way::Material, digest, material.expose()).expect("it is no longer");
    let again = coffer_crypto::import::import(algorithm, &WRAPPING, digest, &again);
    assert_eq!(again.expect("it was imported before").expose(), material.expose());
}

fn blob(way: Way, digest: Digest, bytes: &[u8]) -> Option<Vec<u8>> {
    static BLOCKS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
        Digest::ALL.map(|digest| encrypt(digest, symmetric(32)).expect("it is short enough"))
    });
    let block = || BLOCKS.iter().zip(Digest::ALL).find(|(_, of)| *of == digest).map(|(b, _)| b);
    match way {
        Way::Blob => Some(bytes.to_vec()),
        Way::Material => Some([block()?, &*wrap(bytes)?].concat()),
        Way::Wrapped => Some([block()?, bytes].concat()),
        Way::Direct => encrypt(digest, bytes),
    }
}

/// The published key pair of an algorithm, as we would keep it.
fn published(algorithm: Algorithm) -> Option<&'static [u8]> {
    match algorithm {
        Algorithm::Rsa(Modulus::Bits2048) => Some(RSA_2048),
        Algorithm::Rsa(Modulus::Bits4096) => Some(RSA_4096),
        Algorithm::Ecdsa(Curve::P256) => Some(ECDSA_P256),
        Algorithm::Ecdsa(Curve::P384) => Some(ECDSA_P384),
        Algorithm::Ecdsa(Curve::P521) => Some(ECDSA_P521),
        Algorithm::Ed25519 => Some(ED25519),
        Algorithm::Rsa(Modulus::Bits3072) | Algorithm::Aead(_) | Algorithm::Hmac(_) => None,
    }
}

/// RSAES-OAEP for the fixed wrapping key. Nothing when the plaintext is too long.
fn encrypt(digest: Digest, plaintext: &[u8]) -> Option<Vec<u8>> {
    static KEY: LazyLock<OaepPublicEncryptingKey> = LazyLock::new(|| {
        let wrapping = rsa(WRAPPING_MODULUS, RSA_4096);
        let public = PublicEncryptingKey::from_der(wrapping.public_der()).expect("a fixed key");
        OaepPublicEncryptingKey::new(public).expect("a fixed key")
    });
    let algorithm = match digest {
        Digest::Sha256 => &OAEP_SHA256_MGF1SHA256,
        Digest::Sha384 => &OAEP_SHA384_MGF1SHA384,
        Digest::Sha512 => &OAEP_SHA512_MGF1SHA512,
    };
    let mut block = vec![0; KEY.ciphertext_size()];
    KEY.encrypt(algorithm, plaintext, &mut block, None).ok()?;
    Some(block)
}

/// AES-KWP under the fixed AES key. Nothing when there is nothing to wrap.
fn wrap(material: &[u8]) -> Option<Vec<u8>> {
    let kek = AesKek::new(&AES_256, symmetric(32)).expect("a fixed key");
    let mut wrapped = vec![0; material.len().saturating_add(15)];
    kek.wrap_with_padding(material, &mut wrapped).ok().map(|wrapped| wrapped.to_vec())
}

/// An imported key does what a key of ours does.
fn use_it(key: &Ready) {
    let message = Message::hash(Digest::Sha256, b"message");
    match key {
        Ready::Aead(key) => {
            let sealed = key.seal(&context(), b"message").expect("sealed");
            assert_eq!(key.open(&context(), &sealed).expect("opened").expose(), b"message");
        }
        Ready::Rsa(key) => {
            for padding in [Padding::Pss, Padding::Pkcs1v15] {
                let signature = key.sign(padding, &message).expect("signed");
                assert!(key.verifies(padding, &message, &signature));
            }
            let block = key.encrypt(b"message").expect("encrypted");
            assert_eq!(key.decrypt(&block).expect("decrypted").expose(), b"message");
        }
        Ready::Ecdsa(key) => {
            for marshalling in [Marshalling::Asn1, Marshalling::Jws] {
                let signature = key.sign(marshalling, &message).expect("signed");
                assert!(key.verifies(marshalling, &message, &signature));
            }
        }
        Ready::Ed25519(key) => {
            let signature = key.sign(b"message").expect("signed");
            assert!(key.verifies(b"message", &signature));
        }
        Ready::Hmac(_) => unreachable!("an HMAC key is never imported"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// The crypto crate has this file in its unit tests.
    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");

    fn run(target: &str, body: fn(&[u8])) {
        let files: Vec<_> = fs::read_dir(format!("{CORPUS}/{target}")).unwrap().collect();
        assert!(files.len() >= 15, "{target} has {} files", files.len());
        for file in files {
            let path = file.unwrap().path();
            let data = fs::read(&path).unwrap();
            let told = std::panic::catch_unwind(|| body(&data));
            assert!(told.is_ok(), "{}", path.display());
        }
    }

    #[test]
    fn the_corpus_of_ciphertext_passes() {
        run("ciphertext", super::ciphertext);
    }

    #[test]
    fn the_corpus_of_signature_passes() {
        run("signature", super::signature);
    }

    #[test]
    fn the_corpus_of_import_passes() {
        run("import", super::import);
    }
}
