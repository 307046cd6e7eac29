//! Whether the log is whole and as it was written: every link is made again, every seal and signature is checked.

use std::collections::{BTreeMap, HashMap};
use std::mem::take;

use anyhow::{Result, bail, ensure};

use super::lines::{Checkpoint, Line, Record, Sealed};
use crate::keyring::{ChainKey, SigningKey, checkpoint_bytes, checkpoint_digest};
use crate::model::chain::{CHECKPOINTS, Chaining, End, Linked, Place, UNLINKED};

/// Reads the log line by line, in the order of [`Line`]. An error names the first line that is bad.
pub struct Verifier {
    key: ChainKey,
    /// `None`: nothing was ever signed.
    signer: Option<SigningKey>,
    bases: HashMap<(String, i64), Linked>,
    /// Those whose records have not been read yet.
    heads: BTreeMap<(String, i64), Linked>,
    /// Links that checkpoints tell, with the checkpoint's number.
    listed: BTreeMap<Place, (i64, Vec<u8>)>,
    /// Records from before there were chains, by organisation.
    unlinked: HashMap<String, i64>,
    /// Whether there may be some.
    older: Older,
    /// The last record, or checkpoint.
    last: Option<Linked>,
    counts: Counts,
}

/// What records that are in no chain mean.
///
/// SECURITY: whoever drops the key of the chains has all records look as if they were from before there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// That somebody has been at the log.
    Refused,
    /// That the store is older than the chains: not more of them than there were then.
    Counted,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub streams: u64,
    pub checkpoints: u64,
    /// Records from before there were chains.
    pub unlinked: i64,
}

impl Verifier {
    pub fn new(key: ChainKey, signer: Option<SigningKey>, older: Older) -> Self {
        Self {
            key,
            signer,
            bases: HashMap::new(),
            heads: BTreeMap::new(),
            listed: BTreeMap::new(),
            unlinked: HashMap::new(),
            older,
            last: None,
            counts: Counts::default(),
        }
    }

    pub fn take(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Export(export) => export.check(),
            Line::Base(base) => self.end(End::Base, base),
            Line::Head(head) => self.end(End::Head, head),
            Line::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Line::Record(record) => self.record(&record),
        }
    }

    /// Behind the last line.
    pub fn finish(mut self) -> Result<Counts> {
        self.finish_stream()?;
        // Of these no record is left.
        for (name, head) in take(&mut self.heads) {
            let base = self.bases.get(&name);
            ensure!(base == Some(&head), missing(&self.before(&head.place), &head.place));
        }
        for ((organisation, _), base) in
            self.bases.iter().filter(|((_, stream), _)| *stream == UNLINKED)
        {
            let count = self.unlinked.get(organisation).copied().unwrap_or_default();
            let missing = base.place.number - count;
            ensure!(
                missing == 0,
                "{missing} records of {} from before there were chains are missing",
                whose(organisation)
            );
            self.counts.unlinked += count;
        }
        if let Some((place, (checkpoint, _))) = self.listed.iter().next() {
            bail!("{} is missing: checkpoint {checkpoint} lists it", named(place));
        }
        Ok(self.counts)
    }

    fn end(&mut self, end: End, line: Sealed) -> Result<()> {
        let (at, seal) = (line.at.of(&line.organisation), line.seal);
        let what = match end {
            End::Head => "head",
            End::Base => "base",
        };
        ensure!(
            self.key.seal(end, &at) == seal,
            "the {what} of stream {} of {} was changed: its seal is another one",
            at.place.stream,
            whose(&at.place.organisation)
        );
        let name = (at.place.organisation.clone(), at.place.stream);
        let twice = match end {
            End::Head => self.heads.insert(name, at),
            End::Base => self.bases.insert(name, at),
        };
        ensure!(twice.is_none(), "a stream has two {what}s");
        Ok(())
    }

    fn checkpoint(&mut self, line: Checkpoint) -> Result<()> {
        let place = Place {
            organisation: line.organisation.clone(),
            stream: CHECKPOINTS,
            number: line.number,
        };
        let before = self.follow(&place)?;
        let heads: Vec<_> = line.heads.into_iter().map(|at| at.of(&line.organisation)).collect();
        let bytes = checkpoint_bytes(&place, &before, line.at, &heads);
        let signer = self.signer.as_ref().filter(|signer| signer.id() == line.key);
        ensure!(
            signer.is_some_and(|signer| signer.verifies(&bytes, &line.signature)),
            "checkpoint {} of {} was changed: its signature is another one",
            line.number,
            whose(&line.organisation)
        );
        for head in heads {
            // What was dropped since, because it was old, cannot be looked at any more.
            let base = self.bases.get(&(line.organisation.clone(), head.place.stream));
            if base.is_none_or(|base| base.place.number < head.place.number) {
                self.listed.insert(head.place, (line.number, head.link));
            }
        }
        self.last = Some(Linked { place, link: checkpoint_digest(&bytes) });
        self.counts.checkpoints += 1;
        Ok(())
    }

    fn record(&mut self, line: &Record) -> Result<()> {
        let organisation = line.organisation();
        let Some(at) = line.chain.clone() else { return self.unlinked(line) };
        ensure!(at.stream > CHECKPOINTS, "record {} is in no stream of records", line.id());
        let Linked { place, link } = at.of(organisation);
        let before = self.follow(&place)?;
        ensure!(
            self.key.link(&place, &before, &line.row()?) == link,
            "{}, {}, was changed, or is not where it was written",
            named(&place),
            line.id()
        );
        if let Some((checkpoint, listed)) = self.listed.remove(&place) {
            ensure!(
                listed == link,
                "{}, {}, is another one than when checkpoint {checkpoint} was made",
                named(&place),
                line.id()
            );
        }
        self.last = Some(Linked { place, link });
        self.counts.records += 1;
        Ok(())
    }

    /// A record from before there were chains. It may have been changed; there are not more of them than there were.
    fn unlinked(&mut self, line: &Record) -> Result<()> {
        let organisation = line.organisation();
        let count = self.unlinked.entry(organisation.to_owned()).or_default();
        *count += 1;
        let most = self.bases.get(&(organisation.to_owned(), UNLINKED));
        ensure!(
            self.older == Older::Counted && most.is_some_and(|most| *count <= most.place.number),
            "record {} of {} is in no chain",
            line.id(),
            whose(organisation)
        );
        Ok(())
    }

    /// The link that whatever is at a place must be behind: that of the line before, in the same stream.
    fn follow(&mut self, place: &Place) -> Result<Vec<u8>> {
        let of = |place: &Place| (place.organisation.clone(), place.stream);
        if self.last.as_ref().is_none_or(|last| of(&last.place) != of(place)) {
            self.finish_stream()?;
            let start = Linked { place: Place { number: 0, ..place.clone() }, link: Vec::new() };
            self.last = Some(self.bases.get(&of(place)).cloned().unwrap_or(start));
            self.counts.streams += u64::from(place.stream != CHECKPOINTS);
        }
        let Some(last) = &self.last else { bail!("no line before") };
        ensure!(place.number > last.place.number, "{} is there twice, or too late", named(place));
        ensure!(place.number == last.place.number + 1, missing(&last.place, place));
        Ok(last.link.clone())
    }

    /// Compares the last line of a stream with the stream's head.
    fn finish_stream(&mut self) -> Result<()> {
        let Some(last) = self.last.take() else { return Ok(()) };
        let name = (last.place.organisation.clone(), last.place.stream);
        let Some(head) = self.heads.remove(&name) else {
            bail!("{} is in a stream without a head, or too late", named(&last.place));
        };
        if head.place.number > last.place.number {
            bail!(missing(&last.place, &Place { number: head.place.number + 1, ..head.place }));
        }
        ensure!(
            head == last,
            "{} is behind the head of its stream, {}",
            named(&last.place),
            head.place.number
        );
        Ok(())
    }

    /// The last record that need not be there.
    fn before(&self, place: &Place) -> Place {
        let base = self.bases.get(&(place.organisation.clone(), place.stream));
        base.map_or(Place { number: 0, ..place.clone() }, |base| base.place.clone())
    }
}

/// What is not there between two places.
fn missing(last: &Place, next: &Place) -> String {
    let first = Place { number: last.number + 1, ..next.clone() };
    match next.number - last.number {
        ..=2 => format!("{} is missing", named(&first)),
        _ => format!("{} and those behind it up to {} are missing", named(&first), next.number - 1),
    }
}

fn named(place: &Place) -> String {
    let what = if place.stream == CHECKPOINTS { "checkpoint" } else { "record" };
    let stream = match place.stream {
        CHECKPOINTS => String::new(),
        stream => format!(" of stream {stream}"),
    };
    format!("{what} {}{stream} of {}", place.number, whose(&place.organisation))
}

fn whose(organisation: &str) -> &str {
    match organisation {
        "" => "no organisation",
        organisation => organisation,
    }
}
