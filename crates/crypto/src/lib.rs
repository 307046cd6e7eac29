//! Bytes in, bytes out: everything Coffer does with a key, and nothing else.
//!
//! This crate is the part to audit. It has no IO, no clock, no async, no SQL, and it neither panics nor
//! indexes. The notation in the docs: `seal[key](context, plaintext)` is authenticated encryption of
//! `plaintext` under `key` with `context` as additional data.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`secret_bytes`] | bytes that are zeroed when they go |
//! | [`context`] | the additional data of every seal: length-prefixed, one purpose each |
//! | [`aead`] | the three ciphers: generate, seal, open |
//! | [`rsa`], [`ecdsa`], [`ed25519`] | key pairs: sign, verify; RSA also encrypts |
//! | [`signature`] | one way to sign with each of them |
//! | [`mac`] | HMAC |
//! | [`digest`] | SHA-2, and a message by its digest |
//! | [`algorithm`] | what a key is for: generate, make ready |
//! | [`import`] | bring your own key: RSA-OAEP and AES-KWP |
//! | [`root`] | the root key: its text, its fingerprint, wrap and unwrap |
//! | [`versioned`] | the text `thalassa:v<N>:<base64>` |
//! | [`token`] | personal access tokens: mint, hash |
//! | [`random`] | fresh bytes |

#![warn(missing_docs)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod aead;
pub mod algorithm;
pub mod context;
pub mod digest;
pub mod ecdsa;
pub mod ed25519;
pub mod import;
pub mod mac;
pub mod random;
pub mod root;
pub mod rsa;
pub mod secret_bytes;
pub mod signature;
pub mod token;
pub mod versioned;

pub use aead::{Cipher, Key};
pub use algorithm::{Algorithm, Ready};
pub use context::{Context, Purpose};
pub use digest::{Digest, Hasher, Message};
pub use root::RootKey;
pub use secret_bytes::SecretBytes;
pub use signature::{Hashing, Scheme};
pub use versioned::Versioned;

/// The one failure of this crate. It says nothing on purpose: whether a key, a context, a tag or a length
/// was wrong is what an attacker would like to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("refused")]
pub struct Refused;

#[cfg(test)]
extern crate self as coffer_crypto;
#[cfg(test)]
#[path = "../../../fuzz/targets.rs"]
mod fuzz_targets;
#[cfg(test)]
mod vectors;
