//! Rows of the audit log.

use std::borrow::Cow;

use super::postgres::Column;
use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Outcome, Result};
use crate::model::action::Action;
use crate::model::caller::{Arrival, Principal};
use crate::model::event::{Event, EventFilter};
use Value::{Int, Text};

/// Columns of a record that are texts.
const TEXTS: usize = 17;
/// Records that a search counts, unless its page lies farther.
const EVENTS_COUNTED_MAX: i64 = 100_000;

impl Tx {
    /// Writes the records of all operations that are kept, and commits.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let events = self.take_batch_events();
        let texts: Vec<_> = events.iter().map(texts).collect();
        let Some(server) = self.postgres() else {
            for (event, texts) in events.iter().zip(&texts) {
                let [organisation, texts @ ..] = texts;
                let mut values = vec![Text(organisation), Int(event.at), Int(event.duration)];
                values.extend(texts.iter().map(|text| Text(text)));
                self.change_one(sql::INSERT_EVENT, &values).await?;
            }
            return self.control("COMMIT").await;
        };
        match events.is_empty() {
            true => server.commit().await,
            false => server.insert_and_commit(sql::INSERT_EVENTS, &columns(&events, &texts)).await,
        }
    }

    /// Writes records in a transaction of their own. It can be tried again: what is there already stays.
    pub(super) async fn record(&mut self, events: &[Event]) -> Result<()> {
        let texts: Vec<_> = events.iter().map(texts).collect();
        match self.postgres() {
            Some(server) => server.insert(sql::INSERT_EVENTS, &columns(events, &texts)).await,
            None => Err(Error::bug("records of another store")),
        }
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

/// Records, column by column.
fn columns<'e>(events: &[Event], texts: &'e [[Cow<'e, str>; TEXTS]]) -> Vec<Column<'e>> {
    let column =
        |at| Column::Texts(texts.iter().filter_map(|row| row.get(at)).map(Cow::as_ref).collect());
    let at = Column::Ints(events.iter().map(|event| event.at).collect());
    let duration = Column::Ints(events.iter().map(|event| event.duration).collect());
    [column(0), at, duration].into_iter().chain((1..TEXTS).map(column)).collect()
}

/// The columns of a record that are texts, in the order of the statement.
fn texts(event: &Event) -> [Cow<'_, str>; TEXTS] {
    let (kind, principal) = match &event.principal {
        Some(Principal::User { subject }) => ("user", subject.as_str()),
        Some(Principal::ServiceAccount { id, .. }) => ("service_account", id.as_str()),
        Some(Principal::Administrator { id }) => ("administrator", id.as_str()),
        Some(Principal::System { reason }) => ("system", *reason),
        None => ("", ""),
    };
    let (rule, arrival) = (event.action.rule(), &event.arrival);
    let client = arrival.client.map(|ip| ip.to_canonical().to_string()).unwrap_or_default();
    let texts: [Cow<'_, str>; TEXTS] = [
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
