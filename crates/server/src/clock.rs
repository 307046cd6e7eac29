//! The time and fresh identities; the only place that reads the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::error::Result;

/// Microseconds in a day.
pub const DAY: i64 = 86_400_000_000;

/// Where the time comes from. Clones of a fixed clock share its time.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// For tests: stands still until it is set.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// Microseconds since 1970.
    pub fn now(&self) -> i64 {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the clock")]
            Self::System => jiff::Timestamp::now().as_microsecond(),
            Self::Fixed(now) => now.load(Ordering::SeqCst),
        }
    }

    /// A fresh identity: the prefix and 20 characters of lower-case base32hex, of which the first seven
    /// follow the time, so that later ones mostly sort behind earlier ones. 64 bits are random.
    pub fn fresh_id(&self, prefix: &str) -> Result<String> {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let seconds = u32::try_from(self.now() / 1_000_000).unwrap_or(u32::MAX);
        let random = u64::from_be_bytes(coffer_crypto::random::array()?);
        // 32 bits of time, 64 of chance, 4 of padding: 20 characters of five bits.
        let bits = (u128::from(seconds) << 68) | (u128::from(random) << 4);
        let digit = |at: u32| {
            let index = usize::try_from((bits >> (95 - 5 * at)) & 31).unwrap_or_default();
            char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
        };
        Ok(prefix.chars().chain((0..20).map(digit)).collect())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn identities_have_their_form_and_follow_the_time() {
        let clock = Clock::Fixed(Arc::new(AtomicI64::new(1_700_000_000_000_000)));
        let first = clock.fresh_id("o-").unwrap();
        assert!(coffer_api::is_identity(&first), "{first}");
        assert_ne!(first, clock.fresh_id("o-").unwrap());
        if let Clock::Fixed(now) = &clock {
            now.fetch_add(60_000_000, Ordering::SeqCst);
        }
        assert!(first < clock.fresh_id("o-").unwrap());
    }
}
