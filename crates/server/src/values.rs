//! Sealed values that are revealed often, kept in memory: ciphertext, policy and wrapped keys, never plaintext.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::Result;
use crate::metrics::CacheFigures;
use crate::model::access_policy::AccessPolicy;
use crate::model::secret::Address;
use crate::store::{FoundValue, Moment, Store};

/// Values in memory, at most so many bytes of them.
pub struct Values {
    store: Store,
    /// By address and the version asked for, 0 for the current one.
    found: Cache<(Address, i64), Arc<Entry>, Bytes>,
    pub figures: CacheFigures,
}

/// What a reveal needs to know.
pub struct Known {
    pub found: FoundValue,
    /// The secret's policy, compiled.
    pub policy: Option<AccessPolicy>,
}

struct Entry {
    read_at: Moment,
    /// When it was first told.
    told_at: Moment,
    known: Arc<Known>,
}

impl Known {
    /// What tells two states of a secret, its version and its key apart.
    fn state(&self) -> (&str, i64, Option<i64>, i64) {
        let FoundValue { secret, version } = &self.found;
        let version = version.as_ref().map(|version| version.version);
        (&secret.id, secret.object_version, version, secret.key.object_version)
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<(Address, i64), Arc<Entry>> for Bytes {
    fn weight(&self, (at, _): &(Address, i64), entry: &Arc<Entry>) -> u64 {
        let sealed = entry.known.found.version.as_ref().map_or(0, |version| version.weight());
        // What is compiled takes as much again as its text.
        let secret = 2 * entry.known.found.secret.weight();
        (256 + 2 * at.path.as_str().len() + secret + sealed) as u64
    }
}

impl Values {
    pub fn new(store: Store, bytes_max: u64) -> Self {
        let usual = usize::try_from(bytes_max / 2048).unwrap_or(usize::MAX);
        Self {
            store,
            found: Cache::with_weighter(usual, bytes_max, Bytes),
            figures: CacheFigures::default(),
        }
    }

    /// A secret with a version, as it may be answered now: from memory unless it has changed, else by `look`.
    pub async fn read(
        &self,
        at: Address,
        version: i64,
        look: impl AsyncFnOnce() -> Result<Known>,
    ) -> Result<Arc<Known>> {
        let name = (at, version);
        let found = self.found.get(&name).filter(|entry| self.holds(entry));
        self.figures.looked(found.is_some());
        if let Some(entry) = found {
            return Ok(entry.known.clone());
        }
        let changes = self.store.changes();
        let read_at = changes.now();
        let known = look().await.map(Arc::new);
        let told_at = match changes.is_shared() {
            false => Some(read_at),
            // INVARIANT: a look that was slow never puts back what is older than somebody has been told since.
            true if known.as_ref().is_ok_and(|known| self.is_known(&name, known)) => None,
            true => changes.tell(&read_at, name.0.path.as_str()),
        };
        if let (Some(told_at), Ok(known)) = (told_at, &known) {
            let entry = Entry { read_at, told_at, known: known.clone() };
            self.found.insert(name, Arc::new(entry));
        }
        known
    }

    /// Whether the same is in memory already, so that nobody is told anything newer.
    fn is_known(&self, name: &(Address, i64), known: &Known) -> bool {
        let entry = self.found.peek(name).filter(|entry| self.holds(entry));
        entry.is_some_and(|entry| entry.known.state() == known.state())
    }

    /// Forgets what does not hold any more: what was destroyed is not to stay in memory until its place is needed.
    pub fn forget_stale(&self) {
        self.found.retain(|_, entry| self.holds(entry));
    }

    /// Bytes that they take, roughly.
    pub fn bytes(&self) -> u64 {
        self.found.weight()
    }

    fn holds(&self, entry: &Entry) -> bool {
        let secret = &entry.known.found.secret;
        let (changes, rows) = (self.store.changes(), [secret.id.as_str(), &secret.key.id]);
        changes.hold_since(&entry.read_at, &rows)
            && changes.hold_since(&entry.told_at, &[&secret.path])
    }
}
