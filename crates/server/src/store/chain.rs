//! The chains of one writer: it numbers the records of each organisation in a stream that is its own, so that nobody
//! waits for anybody.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::chain::{Chaining, End, Linked, Place, RecordRow};

/// Organisations in one stream's memory; behind that another stream begins.
const ORGANISATIONS_MAX: usize = 4096;

/// A writer's streams, one for each organisation, all of one number.
pub(super) struct Chain {
    /// 0: none has begun.
    stream: i64,
    /// Where each ends, as far as it is known to be durable.
    heads: HashMap<String, (i64, Vec<u8>)>,
    /// The same, once what is under way is durable.
    next: HashMap<String, (i64, Vec<u8>)>,
}

impl Chain {
    pub fn new() -> Self {
        Self { stream: 0, heads: HashMap::new(), next: HashMap::new() }
    }

    /// Begins a stream where none has.
    pub fn begin(&mut self) -> Result<()> {
        self.next.clear();
        if self.heads.len() > ORGANISATIONS_MAX {
            self.end();
        }
        while self.stream == 0 {
            let random = i64::from_be_bytes(coffer_crypto::random::array()?);
            self.stream = random & i64::MAX;
        }
        Ok(())
    }

    /// Links a record to the one before it in its organisation.
    pub fn link(&mut self, key: &dyn Chaining, record: &RecordRow<'_>) -> Linked {
        let [organisation, ..] = record.texts;
        let before = self.next.get(organisation).or_else(|| self.heads.get(organisation));
        let (number, before) = before.map_or((0, &[][..]), |(number, link)| (*number, link));
        let organisation = organisation.to_owned();
        let place = Place { organisation, stream: self.stream, number: number + 1 };
        let link = key.link(&place, before, record);
        self.next.insert(place.organisation.clone(), (place.number, link.clone()));
        Linked { place, link }
    }

    /// Where the streams end with what is under way, each with its seal; in one order.
    pub fn heads(&self, key: &dyn Chaining) -> Vec<(Linked, Vec<u8>)> {
        let mut heads: Vec<_> = self
            .next
            .iter()
            .map(|(organisation, (number, link))| {
                let place = Place {
                    organisation: organisation.clone(),
                    stream: self.stream,
                    number: *number,
                };
                let head = Linked { place, link: link.clone() };
                let seal = key.seal(End::Head, &head);
                (head, seal)
            })
            .collect();
        heads.sort_unstable_by(|(one, _), (other, _)| one.place.cmp(&other.place));
        heads
    }

    /// What was under way is durable.
    pub fn keep(&mut self) {
        self.heads.extend(self.next.drain());
    }

    /// Nobody knows whether it is. What comes next goes into another stream.
    pub fn end(&mut self) {
        *self = Self::new();
    }
}

/// The key of the chains, which a store is given once it is open.
pub(super) type ChainKey = std::sync::OnceLock<Arc<dyn Chaining>>;

/// INVARIANT: no record is written before there is a key.
pub(super) fn given(key: &ChainKey) -> Result<Arc<dyn Chaining>> {
    key.get().cloned().ok_or_else(|| Error::bug("a record before the key of the chains"))
}
