//! Idempotency keys: a change that is asked for twice under one key is made once (contract, section 15, 11).

use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub const KEY_CHARS_MAX: usize = 128;

/// A body as it came, shared with whoever parses it.
pub type Body = Arc<Zeroizing<Vec<u8>>>;

/// The key that a request carries, with what tells the request from others and is recorded nowhere.
pub struct IdempotencyKey {
    pub text: String,
    /// As it stands in the URL.
    pub query: String,
    body: OnceLock<Body>,
}

impl IdempotencyKey {
    pub fn new(text: &str, query: &str) -> Result<Self> {
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > KEY_CHARS_MAX || !is_printable {
            let why = format!("must have 1 to {KEY_CHARS_MAX} printable ASCII characters");
            return Err(Error::invalid("idempotency-key", why));
        }
        Ok(Self { text: text.to_owned(), query: query.to_owned(), body: OnceLock::new() })
    }

    /// Remembers the body, which comes later than the head.
    pub fn with_body(&self, body: Body) {
        // Read once; there is no other one.
        let _ = self.body.set(body);
    }

    /// Empty where the request has none, or where nobody asks for it.
    pub fn body(&self) -> &[u8] {
        self.body.get().map_or(&[], |body| body.as_slice())
    }
}

/// What a change answers, as it is kept for whoever asks again.
pub trait Answer {
    /// The body as JSON, empty for none.
    ///
    /// SECURITY: without what is shown once. It is stored as it stands.
    fn body(&self, now: i64) -> Result<String>;

    /// For the `ETag`, where there is one.
    fn object_version(&self) -> Option<i64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_128_printable_characters() {
        for good in ["x", " x y ", "~!\"'{}", &"k".repeat(128)] {
            assert!(IdempotencyKey::new(good, "").is_ok(), "{good}");
        }
        for bad in ["", "\t", "a\u{7f}", "a\nb", "é", &"k".repeat(129)] {
            assert!(IdempotencyKey::new(bad, "").is_err(), "{bad}");
        }
    }
}
