//! How often each key version may still seal: random nonces of 96 bits allow 2^32 seals under one key (NIST SP
//! 800-38D, section 8.3).
//!
//! The store counts in blocks, each written before the first seal of it is made; memory holds what is left of
//! the block. What a crash forgets was counted already, so the count never falls short.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::Cache;

use crate::model::key::VersionName;

/// Seals in a block.
pub const SEALS_AT_ONCE: i64 = 4096;
/// Key versions whose blocks are remembered; of others what is left is lost.
const VERSIONS_MAX: usize = 65_536;

/// Leave to seal once. An operation that runs again seals again under the same leave: only its last seal is kept.
pub struct Permit(());

/// What is left of a key version's block.
#[derive(Default)]
pub struct Block {
    left: AtomicI64,
    /// Held by whoever has the next block counted.
    pub counting: tokio::sync::Mutex<()>,
}

/// The blocks of key versions.
pub struct Allowance(Cache<(String, String, i64), Arc<Block>>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Cache::new(VERSIONS_MAX))
    }
}

impl Allowance {
    pub fn block(&self, name: &VersionName) -> Arc<Block> {
        let place = (name.organisation.clone(), name.key.clone(), name.version);
        let block = self.0.get_or_insert_with(&place, || Ok::<_, Infallible>(Arc::default()));
        match block {
            Ok(block) => block,
            Err(never) => match never {},
        }
    }
}

impl Block {
    /// Takes one, if there is one left.
    pub fn take(&self) -> Option<Permit> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left > 0).then(|| left - 1)
        });
        taken.is_ok().then_some(Permit(()))
    }

    /// Adds `seals` that the store has counted.
    pub fn add(&self, seals: i64) {
        self.left.fetch_add(seals, Ordering::Relaxed);
    }
}

impl Permit {
    /// Leave for the first seal of a block that is being counted.
    pub fn counted() -> Self {
        Self(())
    }

    /// Leave for a key that has no nonces to run out of.
    pub fn unlimited() -> Self {
        Self(())
    }
}
