//! Rows of the audit log.

use std::borrow::Cow;

use super::postgres::Column;
use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Outcome, Result};
use crate::model::action::Action;
use crate::model::caller::{Arrival, Principal};
use crate::model::chain::{Linked, RECORD_TEXTS, RecordRow};
use crate::model::event::{Event, EventFilter};
use Value::{Bytes, Int, Text};

/// Records that a search counts, unless its page lies farther.
const EVENTS_COUNTED_MAX: i64 = 100_000;
/// Microseconds, in steps of which a head tells when its stream went on.
const MOVE: i64 = 10_000_000;

impl Tx {
    /// Writes the records of all operations that are kept, and commits.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let events = self.take_batch_events();
        let ended = self.write_batch_events(&events).await;
        match ended {
            Ok(()) => self.are_durable(&events),
            // Rolled back for certain: it is run again.
            Err(_) if self.postgres().is_some_and(|server| server.in_conflict) => {}
            Err(_) => self.chain.end(),
        }
        ended
    }

    async fn write_batch_events(&mut self, events: &[Event]) -> Result<()> {
        let texts: Vec<_> = events.iter().map(texts).collect();
        let batch = self.link(events, &texts)?;
        if let Some(server) = self.postgres() {
            // INVARIANT: behind the commit nothing can be found wrong that does not undo it.
            server.settle().await?;
        }
        for (row, linked) in &batch.records {
            let [organisation, texts @ ..] = row.texts;
            let mut values = vec![Text(organisation), Int(row.at), Int(row.duration)];
            values.extend(texts.map(Text));
            values.extend(place_values(linked));
            self.change_one(sql::INSERT_EVENT, &values).await?;
        }
        for (head, seal) in &batch.heads {
            let mut values = vec![Text(&head.place.organisation)];
            values.extend(place_values(head));
            values.extend([Bytes(seal), Int(batch.moved_at)]);
            self.change_one(sql::SET_HEAD, &values).await?;
        }
        match self.postgres() {
            Some(server) => server.commit().await,
            None => self.control("COMMIT").await,
        }
    }

    /// Writes records in a transaction of their own on a server; once more where the connection was lost, because what
    /// is there already stays.
    pub(super) async fn record(&mut self, events: &[Event]) -> Result<()> {
        let texts: Vec<_> = events.iter().map(texts).collect();
        let batch = self.link(events, &texts)?;
        let mut ended = self.insert(&batch).await;
        if ended.is_err() && self.postgres().is_some_and(|server| server.is_lost()) {
            ended = self.insert(&batch).await;
        }
        match ended {
            Ok(()) => self.are_durable(events),
            Err(_) => self.chain.end(),
        }
        ended
    }

    fn are_durable(&mut self, events: &[Event]) {
        self.chain.keep();
        for event in events {
            self.figures().recorded(event.action.rule().name, event.outcome.word());
        }
    }

    async fn insert(&mut self, batch: &Batch<'_>) -> Result<()> {
        let server = self.postgres().ok_or_else(|| Error::bug("the records of another store"))?;
        server.connect().await?;
        server.insert(sql::INSERT_EVENTS, &batch.columns()).await
    }

    fn link<'e>(&mut self, events: &'e [Event], texts: &'e [Texts<'e>]) -> Result<Batch<'e>> {
        self.chain.begin()?;
        let mut batch = Batch::default();
        if events.is_empty() {
            return Ok(batch);
        }
        let key = self.chain_key()?;
        for (event, texts) in events.iter().zip(texts) {
            let texts = texts.each_ref().map(Cow::as_ref);
            let row = RecordRow { at: event.at, duration: event.duration, texts };
            let linked = self.chain.link(&*key, &row);
            batch.records.push((row, linked));
        }
        batch.heads = self.chain.heads(&*key);
        let newest = events.iter().map(|event| event.at).max().unwrap_or_default();
        batch.moved_at = newest - newest.rem_euclid(MOVE);
        Ok(batch)
    }

    /// How many records match, counted up to 100,000 or the end of the page asked for, and those of that page,
    /// newest first.
    pub async fn list_events(
        &mut self,
        filter: &EventFilter,
        limit: i64,
        offset: i64,
    ) -> Result<(i64, Vec<Event>)> {
        let organisation = self.organisation();
        let outcomes: Vec<_> = filter.outcomes.iter().map(|outcome| outcome.word()).collect();
        let words = [
            comma_list(&filter.actions),
            comma_list(&filter.resource_types),
            comma_list(&outcomes),
            filter.search_text.to_ascii_lowercase(),
        ];
        let [actions, resource_types, outcomes, search_text] = &words;
        let values = [
            Text(&organisation),
            Text(&filter.project),
            Text(actions),
            Text(resource_types),
            Text(&filter.resource_id),
            Text(&filter.user),
            Text(&filter.service_account),
            Text(outcomes),
            filter.include_system.into(),
            Text(search_text),
            Int(limit),
            Int(offset),
        ];
        let mut counting = values;
        // Never less than what the page itself shows.
        counting[10] = Int(EVENTS_COUNTED_MAX.max(offset + limit + 1));
        let total =
            self.row(sql::COUNT_EVENTS, &counting, |row| row.int()).await?.unwrap_or_default();
        let events =
            self.rows(sql::LIST_EVENTS, &values, |row| read_event(row, &organisation)).await?;
        Ok((total, events))
    }
}

/// Records that one commit carries, and where their streams end with them.
#[derive(Default)]
struct Batch<'e> {
    records: Vec<(RecordRow<'e>, Linked)>,
    /// With their seals.
    heads: Vec<(Linked, Vec<u8>)>,
    /// When that was, in steps of [`MOVE`].
    moved_at: i64,
}

impl<'e> Batch<'e> {
    /// Column by column, those of the heads last.
    fn columns(&'e self) -> Vec<Column<'e>> {
        let records = || self.records.iter().map(|(row, _)| row);
        let text =
            |at| Column::Texts(records().filter_map(|row| row.texts.get(at)).copied().collect());
        let at = Column::Ints(records().map(|row| row.at).collect());
        let duration = Column::Ints(records().map(|row| row.duration).collect());
        let linked: Vec<_> = self.records.iter().map(|(_, linked)| linked).collect();
        let heads: Vec<_> = self.heads.iter().map(|(head, _)| head).collect();
        let organisations = heads.iter().map(|head| head.place.organisation.as_str()).collect();
        let seals = self.heads.iter().map(|(_, seal)| seal.as_slice()).collect();
        let columns = [text(0), at, duration].into_iter().chain((1..RECORD_TEXTS).map(text));
        let columns = columns.chain(place_columns(&linked));
        let columns = columns.chain([Column::Texts(organisations)]).chain(place_columns(&heads));
        let moved = Column::Ints(heads.iter().map(|_| self.moved_at).collect());
        columns.chain([Column::Bytes(seals), moved]).collect()
    }
}

fn place_values(linked: &Linked) -> [Value<'_>; 3] {
    [Int(linked.place.stream), Int(linked.place.number), Bytes(&linked.link)]
}

fn place_columns<'e>(linked: &[&'e Linked]) -> [Column<'e>; 3] {
    [
        Column::Ints(linked.iter().map(|linked| linked.place.stream).collect()),
        Column::Ints(linked.iter().map(|linked| linked.place.number).collect()),
        Column::Bytes(linked.iter().map(|linked| linked.link.as_slice()).collect()),
    ]
}

/// Texts of a record, in the order of the statement.
type Texts<'e> = [Cow<'e, str>; RECORD_TEXTS];

/// The columns of a record that are texts, in the order of the statement.
fn texts(event: &Event) -> Texts<'_> {
    let (kind, principal) = match &event.principal {
        Some(Principal::User { subject }) => ("user", subject.as_str()),
        Some(Principal::ServiceAccount { id, .. }) => ("service_account", id.as_str()),
        Some(Principal::Administrator { id }) => ("administrator", id.as_str()),
        Some(Principal::System { reason }) => ("system", *reason),
        None => ("", ""),
    };
    let (rule, arrival) = (event.action.rule(), &event.arrival);
    let client = arrival.client.map(|ip| ip.to_canonical().to_string()).unwrap_or_default();
    let texts: Texts<'_> = [
        event.organisation.as_str().into(),
        event.id.as_str().into(),
        event.project.as_str().into(),
        kind.into(),
        principal.into(),
        rule.name.into(),
        rule.resource.name().into(),
        event.resource_id.as_str().into(),
        event.outcome.word().into(),
        event.reason.as_str().into(),
        event.credential_id.as_str().into(),
        event.credential_kind.as_str().into(),
        client.into(),
        arrival.user_agent.as_str().into(),
        arrival.method.as_str().into(),
        arrival.path.as_str().into(),
        arrival.request_id.as_str().into(),
    ];
    // No text in a store holds NUL, and what somebody tried to find has to be told all the same.
    texts.map(|text| match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text,
    })
}

/// `,a,b,` for `[a, b]`, nothing for nothing: what the statement looks for its words in.
fn comma_list<T: AsRef<str>>(words: &[T]) -> String {
    match words.is_empty() {
        true => String::new(),
        false => words.iter().fold(",".to_owned(), |list, word| list + word.as_ref() + ","),
    }
}

fn read_event(row: &Columns<'_>, organisation: &str) -> Result<Event> {
    let (at, id, project) = (row.int()?, row.text()?, row.text()?);
    let (kind, principal) = (row.text()?, row.text()?);
    let principal = match kind.as_str() {
        "" => None,
        "user" => Some(Principal::User { subject: principal }),
        "service_account" => Some(Principal::ServiceAccount { id: principal, slug: String::new() }),
        "administrator" => Some(Principal::Administrator { id: principal }),
        "system" => Some(Principal::System { reason: "system" }),
        other => return Err(Error::corrupt(format!("unknown principal kind `{other}`"))),
    };
    let action = row.word(|word| Action::ALL.iter().find(|a| a.rule().name == word).copied())?;
    // The resource's type follows from the action.
    row.text()?;
    Ok(Event {
        id,
        at,
        organisation: organisation.to_owned(),
        project,
        principal,
        action,
        resource_id: row.text()?,
        outcome: row.word(Outcome::from_word)?,
        reason: row.text()?,
        credential_id: row.text()?,
        credential_kind: row.text()?,
        arrival: Arrival {
            at,
            client: row.text()?.parse().ok(),
            user_agent: row.text()?,
            method: row.text()?,
            path: row.text()?,
            request_id: row.text()?,
        },
        duration: row.int()?,
    })
}
