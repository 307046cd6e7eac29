//! How often each key version may still seal: random nonces of 96 bits allow 2^32 seals under one key (NIST SP
//! 800-38D, section 8.3).
//!
//! The store counts in blocks, each written before the first seal of it is made; memory holds what is left of
//! the block. What a crash forgets was counted already, so the count never falls short.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::Cache;

use crate::model::key::VersionName;

/// Seals in a block.
pub const SEALS_AT_ONCE: i64 = 4096;
/// Key versions whose blocks are remembered; of others what is left is lost.
const VERSIONS_MAX: usize = 65_536;

/// Leave to seal once.
pub struct Permit(());

/// What is left of each key version's block.
pub struct Allowance(Cache<(String, String, i64), Arc<AtomicI64>>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Cache::new(VERSIONS_MAX))
    }
}

impl Allowance {
    /// Takes one from the block, if there is one left.
    pub fn take(&self, name: &VersionName) -> Option<Permit> {
        let left = self.0.get(&place(name))?;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left > 0).then(|| left - 1)
        });
        taken.is_ok().then_some(Permit(()))
    }

    /// Whether there is one left.
    pub fn is_there(&self, name: &VersionName) -> bool {
        self.0.get(&place(name)).is_some_and(|left| left.load(Ordering::Relaxed) > 0)
    }

    /// Adds `seals` that the store has counted.
    pub fn add(&self, name: &VersionName, seals: i64) {
        let there = self.0.get_or_insert_with(&place(name), || Ok::<_, ()>(Arc::default()));
        if let Ok(left) = there {
            left.fetch_add(seals, Ordering::Relaxed);
        }
    }
}

impl Permit {
    /// Leave for the one seal whose block is being counted in the same transaction.
    pub fn counted() -> Self {
        Self(())
    }

    /// Leave for a key that has no nonces to run out of.
    pub fn unlimited() -> Self {
        Self(())
    }

    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self(())
    }
}

fn place(name: &VersionName) -> (String, String, i64) {
    (name.organisation.clone(), name.key.clone(), name.version)
}
