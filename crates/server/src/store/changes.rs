//! What has changed since when, for whoever remembers rows.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long rows are trusted that other servers may change: a little less than the second after which no answer may
/// be behind.
const TRUST: Duration = Duration::from_millis(900);
/// Identities that share a slot count as changed together.
const SLOTS: usize = 4096;

/// When each row was last changed by this server, counted in changes.
pub struct Changes {
    number: AtomicU64,
    last: Box<[AtomicU64]>,
    hasher: RandomState,
    /// Whether other servers work on the same store.
    is_shared: bool,
}

/// When something was read: taken before.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    number: u64,
    at: Instant,
}

impl Changes {
    pub fn new(is_shared: bool) -> Self {
        let last = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { number: AtomicU64::new(0), last, hasher: RandomState::new(), is_shared }
    }

    pub fn now(&self) -> Moment {
        Moment { number: self.number.load(Ordering::SeqCst), at: Instant::now() }
    }

    /// Whether rows of these identities, read at a moment, are still what an answer may be made of.
    pub fn hold_since(&self, moment: &Moment, identities: &[&str]) -> bool {
        let is_unchanged = |identity: &&str| self.last(identity) <= moment.number;
        identities.iter().all(is_unchanged) && !(self.is_shared && moment.at.elapsed() > TRUST)
    }

    /// What was just read may be newer than what is remembered, where other servers change it.
    pub fn seen(&self, identity: &str) {
        if self.is_shared {
            self.mark(identity);
        }
    }

    /// Somebody is about to be told of a row what was read since a moment: nothing that was read before is told any more.
    /// When that was; `None` where the row has changed, or others have been told of it, in the meantime.
    pub fn tell(&self, moment: &Moment, identity: &str) -> Option<Moment> {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        let last = self.last.get(self.slot(identity))?;
        let before = last.fetch_max(number, Ordering::SeqCst);
        (before <= moment.number).then_some(Moment { number, ..*moment })
    }

    /// Whether other servers work on the same store.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Marks rows as changed. What was read earlier does not hold any more.
    pub(super) fn mark(&self, identity: &str) {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(last) = self.last.get(self.slot(identity)) {
            last.fetch_max(number, Ordering::SeqCst);
        }
    }

    fn last(&self, identity: &str) -> u64 {
        self.last.get(self.slot(identity)).map_or(u64::MAX, |last| last.load(Ordering::SeqCst))
    }

    fn slot(&self, identity: &str) -> usize {
        let slot = self.hasher.hash_one(identity) % SLOTS as u64;
        usize::try_from(slot).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_does_not_hold() {
        let changes = Changes::new(false);
        let before = changes.now();
        assert!(changes.hold_since(&before, &["sec-1", "kms-1"]));
        changes.mark("kms-1");
        assert!(!changes.hold_since(&before, &["sec-1", "kms-1"]));
        assert!(changes.hold_since(&before, &["sec-1"]), "other rows are not concerned");
        assert!(changes.hold_since(&changes.now(), &["sec-1", "kms-1"]));
    }

    #[test]
    fn what_was_read_before_somebody_was_told_newer_does_not_hold() {
        let changes = Changes::new(true);
        let (slow, quick) = (changes.now(), changes.now());
        let told = changes.tell(&quick, "/a").unwrap();
        assert!(changes.hold_since(&told, &["/a"]));
        assert!(changes.tell(&slow, "/a").is_none(), "it may be what was before");
        assert!(!changes.hold_since(&told, &["/a"]), "nobody knows which of the two is newer");
        assert!(changes.tell(&changes.now(), "/a").is_some());
    }

    #[test]
    fn beside_other_servers_nothing_holds_for_long() {
        let old = |changes: &Changes| Moment { at: Instant::now() - 2 * TRUST, ..changes.now() };
        let (alone, shared) = (Changes::new(false), Changes::new(true));
        assert!(alone.hold_since(&old(&alone), &["sec-1"]));
        assert!(!shared.hold_since(&old(&shared), &["sec-1"]));
        assert!(shared.hold_since(&shared.now(), &["sec-1"]));
    }
}
