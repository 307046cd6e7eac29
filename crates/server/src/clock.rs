//! The time and fresh identities; the only place that reads the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

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

    /// A fresh identity: the prefix and 20 characters of lower-case base32hex, 32 bits of seconds and 64 of
    /// chance.
    pub fn fresh_id(&self, prefix: &str) -> Result<String> {
        Ok(self.id(prefix, u64::from_be_bytes(coffer_crypto::random::array()?)))
    }

    /// As [`Clock::fresh_id`], but later ones of this process sort behind earlier ones of the same second.
    pub fn ordered_id(&self, prefix: &str) -> Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let chance = u32::from_be_bytes(coffer_crypto::random::array()?);
        Ok(self.id(prefix, (u64::from(count) << 32) | u64::from(chance)))
    }

    fn id(&self, prefix: &str, rest: u64) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let seconds = u32::try_from(self.now() / 1_000_000).unwrap_or(u32::MAX);
        // 32 bits of time, 64 of the rest, 4 of padding: 20 characters of five bits.
        let bits = (u128::from(seconds) << 68) | (u128::from(rest) << 4);
        let digit = |at: u32| {
            let index = usize::try_from((bits >> (95 - 5 * at)) & 31).unwrap_or_default();
            char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
        };
        prefix.chars().chain((0..20).map(digit)).collect()
    }
}

#[cfg(test)]
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
        let ordered: Vec<_> = (0..50).map(|_| clock.ordered_id("ev-").unwrap()).collect();
        assert!(ordered.is_sorted() && ordered.iter().all(|id| coffer_api::is_identity(id)));
    }
}
