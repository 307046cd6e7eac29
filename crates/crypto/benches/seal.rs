//! Seal and open beside the bare cipher of aws-lc-rs: what contexts, fresh nonces and zeroed buffers cost.
//!
//! `cargo bench -p coffer-crypto` prints the table; `docs/performance.md` has one.

#![expect(clippy::expect_used, reason = "a bench may stop")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use coffer_crypto::{Cipher, Context, Key, Purpose, SecretBytes};
use divan::Bencher;
use divan::counter::BytesCount;

const SIZES: [usize; 3] = [32, 1024, 65_536];

fn main() {
    divan::main();
}

fn material() -> SecretBytes {
    Cipher::Aes256Gcm.generate().expect("randomness")
}

fn context() -> Context {
    Context::new(Purpose::KmsEncrypt)
        .text("o-d5obcgg3fspc73f7vqpg")
        .text("r-d5obcgg3fspc73f7vqpg")
        .text("")
        .text("kms-d5obcgg3fspc73f7vqpg")
        .number(1)
        .bytes(b"")
}

fn bare() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, material().expose()).expect("a key"))
}

fn nonce() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).expect("randomness");
    nonce
}

#[divan::bench(args = SIZES)]
fn seal(bencher: Bencher, size: usize) {
    let (key, plaintext) =
        (Key::new(Cipher::Aes256Gcm, &material()).expect("a key"), vec![7; size]);
    bencher.counter(BytesCount::new(size)).bench(|| key.seal(&context(), &plaintext));
}

/// The same work done with the library alone: a fresh nonce, the same additional data, an own buffer.
#[divan::bench(args = SIZES)]
fn seal_bare(bencher: Bencher, size: usize) {
    let (key, plaintext, aad) = (bare(), vec![7; size], context());
    bencher.counter(BytesCount::new(size)).bench(|| {
        let nonce = nonce();
        let mut out = Vec::with_capacity(size + 28);
        out.extend_from_slice(&plaintext);
        let sealing = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(sealing, Aad::from(aad.as_bytes()), &mut out)
            .map(|()| (nonce, out))
    });
}

#[divan::bench(args = SIZES)]
fn open(bencher: Bencher, size: usize) {
    let key = Key::new(Cipher::Aes256Gcm, &material()).expect("a key");
    let sealed = key.seal(&context(), &vec![7; size]).expect("a seal");
    bencher.counter(BytesCount::new(size)).bench(|| key.open(&context(), &sealed));
}

#[divan::bench(args = SIZES)]
fn open_bare(bencher: Bencher, size: usize) {
    let (key, aad, mut sealed) = (bare(), context(), vec![7; size]);
    let nonce = nonce();
    let sealing = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(sealing, Aad::from(aad.as_bytes()), &mut sealed).expect("a seal");
    bencher.counter(BytesCount::new(size)).bench(|| {
        let mut out = sealed.clone();
        let opening = Nonce::assume_unique_for_key(nonce);
        let length = key
            .open_in_place(opening, Aad::from(aad.as_bytes()), &mut out)
            .map(|opened| opened.len());
        (length, out)
    });
}
