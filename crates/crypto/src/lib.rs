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
//! | [`root`] | the root key: its text, its fingerprint, wrap and unwrap |
//! | [`ciphertext`] | the text `thalassa:v<N>:<base64>` |
//! | [`token`] | personal access tokens: mint, hash |
//! | [`random`] | fresh bytes |

#![warn(missing_docs)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod aead;
pub mod ciphertext;
pub mod context;
pub mod random;
pub mod root;
pub mod secret_bytes;
pub mod token;

pub use aead::{Cipher, Key};
pub use ciphertext::Ciphertext;
pub use context::{Context, Purpose};
pub use root::RootKey;
pub use secret_bytes::SecretBytes;

/// The one failure of this crate. It says nothing on purpose: whether a key, a context, a tag or a length
/// was wrong is what an attacker would like to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("refused")]
pub struct Refused;
