//! What a sink has not been given yet: records and checkpoints behind its place in each stream, as lines of an export.

use std::sync::Arc;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::model::chain::{CHECKPOINTS, Place};
use crate::proof::lines;
use crate::store::Tx;
use crate::store::sinks::{StoredCheckpoint, StoredRecord, Waiting};

/// Lines in a batch.
const LINES_MAX: usize = 500;
/// Bytes of a batch, unless one line alone is longer.
const BYTES_MAX: usize = 256 * 1024;
/// Streams that one look finds waiting.
const STREAMS_MAX: i64 = 256;
/// Streams that one look goes through, waiting or not.
const STREAMS_AT_ONCE: i64 = 1000;

/// Where to look.
#[derive(Debug, Clone)]
pub enum Where {
    /// Among streams that went on at a time or later.
    Lately(i64),
    /// Among the streams behind one, by organisation and number.
    Behind(String, i64),
}

impl Where {
    /// Before all streams.
    pub fn beginning() -> Self {
        Self::Behind(String::new(), -1)
    }
}

/// One line of an export.
pub struct Line {
    /// Microseconds since 1970.
    pub at: i64,
    /// `record` or `checkpoint`.
    pub kind: &'static str,
    /// Without its end.
    pub text: String,
}

/// What a look has found.
#[derive(Default)]
pub struct Found {
    pub lines: Vec<Line>,
    /// Where the sink will be in each stream, once it has the lines.
    pub ends: Vec<Place>,
    /// When the oldest record was written that waits.
    pub oldest: Option<i64>,
    /// Whether that is all that waits there.
    pub is_all: bool,
    /// The last stream that was gone through, where there may be more behind it.
    pub more: Option<Where>,
}

/// What a look takes from the store.
struct Taken {
    waiting: Waiting,
    records: Vec<StoredRecord>,
    checkpoints: Vec<StoredCheckpoint>,
}

impl Taken {
    fn count(&self) -> usize {
        self.records.len() + self.checkpoints.len()
    }

    fn first(&self) -> Option<i64> {
        let record = self.records.first().map(|record| record.linked.place.number);
        record.or(self.checkpoints.first().map(|checkpoint| checkpoint.number))
    }
}

/// Looks for what a sink waits for, as of one instant.
pub async fn look(app: &Arc<App>, sink: &str, at: &Where) -> Result<Found> {
    let (sink, place) = (sink.to_owned(), at.clone());
    let (streams, taken) = gate::survey(app, async move |tx| take(tx, &sink, &place).await).await?;
    let full = match at {
        Where::Lately(_) => STREAMS_MAX,
        Where::Behind(..) => STREAMS_AT_ONCE,
    };
    let is_full = i64::try_from(streams.len()).is_ok_and(|count| count >= full);
    let waiting = streams.iter().filter(|stream| !stream.is_over());
    let (count, oldest) = (waiting.clone().count(), waiting.map(|stream| stream.since).min());
    let mut found = Found { oldest, is_all: count == taken.len(), ..Found::default() };
    let mut bytes = 0;
    for taken in taken {
        found.is_all &= found.add(taken, &mut bytes)?;
        if bytes >= BYTES_MAX {
            found.is_all &= found.ends.len() == count;
            break;
        }
    }
    match at {
        Where::Lately(_) => found.is_all &= !is_full,
        Where::Behind(..) => {
            let last = streams.into_iter().next_back().filter(|_| is_full);
            found.more = last.map(|last| Where::Behind(last.head.organisation, last.head.stream));
        }
    }
    Ok(found)
}

async fn take(tx: &mut Tx, sink: &str, at: &Where) -> Result<(Vec<Waiting>, Vec<Taken>)> {
    let streams = match at {
        Where::Lately(since) => tx.list_waiting_streams(sink, *since, STREAMS_MAX).await?,
        Where::Behind(organisation, stream) => {
            tx.list_streams_behind(sink, (organisation, *stream), STREAMS_AT_ONCE).await?
        }
    };
    let (mut all, mut room) = (Vec::new(), LINES_MAX);
    for waiting in streams.iter().filter(|stream| !stream.is_over()) {
        let count = i64::try_from(room).unwrap_or(i64::MAX);
        let from = Place { number: waiting.given, ..waiting.head.clone() };
        let (mut records, mut checkpoints) = (Vec::new(), Vec::new());
        match from.stream {
            CHECKPOINTS => checkpoints = tx.list_checkpoints_behind(&from, count).await?,
            _ => records = tx.list_records_behind(&from, count).await?,
        }
        let taken = Taken { waiting: waiting.clone(), records, checkpoints };
        room = room.saturating_sub(taken.count());
        all.push(taken);
        if room == 0 {
            break;
        }
    }
    Ok((streams, all))
}

impl Found {
    /// Adds the lines of a stream, as far as there is room; says whether that is all of it.
    fn add(&mut self, taken: Taken, bytes: &mut usize) -> Result<bool> {
        let head = taken.waiting.head.clone();
        if taken.first() != Some(taken.waiting.given + 1) {
            let Place { organisation, stream, number } = &head;
            tracing::error!(
                "the log has no record {} of stream {stream} of {organisation:?}, which ends at {number}; \
                 `cofferd audit verify` tells more",
                taken.waiting.given + 1
            );
        }
        if taken.count() == 0 {
            self.ends.push(head);
            return Ok(true);
        }
        let mut last = taken.waiting.given;
        let records = taken.records.into_iter().map(of_record);
        for (number, line) in records.chain(taken.checkpoints.into_iter().map(of_checkpoint)) {
            let line = line?;
            if *bytes >= BYTES_MAX {
                break;
            }
            *bytes += line.text.len();
            last = number;
            self.lines.push(line);
        }
        self.ends.push(Place { number: last, ..head.clone() });
        Ok(last >= head.number)
    }
}

fn of_record(stored: StoredRecord) -> (i64, Result<Line>) {
    let StoredRecord { at, duration, linked, texts } = stored;
    let number = linked.place.number;
    let record = lines::Record::new(at, duration, Some(linked.into()), texts);
    (number, line("record", at, &lines::Line::Record(record)))
}

fn of_checkpoint(stored: StoredCheckpoint) -> (i64, Result<Line>) {
    let StoredCheckpoint { organisation, number, at, heads, key, signature } = stored;
    let heads = heads.into_iter().map(Into::into).collect();
    let checkpoint = lines::Checkpoint { organisation, number, at, heads, key, signature };
    (number, line("checkpoint", at, &lines::Line::Checkpoint(checkpoint)))
}

fn line(kind: &'static str, at: i64, line: &lines::Line) -> Result<Line> {
    let text = serde_json::to_string(line).map_err(|error| Error::bug(error.to_string()))?;
    Ok(Line { at, kind, text })
}
