//! The audit record of one call, from its beginning to its outcome.

use super::{Ask, Subject};
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::caller::{Arrival, Call, Caller, Principal, Standing};
use crate::model::event::Event;
use crate::store::{Note, Tx};
use crate::traces;

/// A record that waits for its outcome.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) action: Action,
    /// Principal, credential and its kind.
    pub(super) caller: Option<(Principal, String, &'static str)>,
    pub(super) organisation: String,
    pub(super) project: String,
    /// What the call is about, as far as that is known.
    pub(super) subject: String,
    pub(super) arrival: Arrival,
    pub(super) clock: crate::clock::Clock,
}

impl Record {
    pub(super) fn begin(app: &App, call: &Call, ask: &Ask) -> Self {
        traces::act(ask.action.rule().name);
        let mut record = Self {
            action: ask.action,
            caller: None,
            organisation: String::new(),
            project: String::new(),
            subject: match &ask.subject {
                Subject::Secret(Ok(path)) => path.as_str().to_owned(),
                Subject::Key(name)
                | Subject::Role(name)
                | Subject::Team(name)
                | Subject::ServiceAccount(name)
                | Subject::Project(name)
                | Subject::Policy(name)
                | Subject::Elevation(name)
                | Subject::Provider(name)
                | Subject::Federation(name)
                | Subject::New(name)
                | Subject::Within(name) => name.clone(),
                Subject::None | Subject::Secret(Err(_)) => String::new(),
            },
            arrival: call.arrival.clone(),
            clock: app.clock.clone(),
        };
        record.is_by(&call.caller);
        record
    }

    /// A record of somebody of whom no organisation is known yet.
    pub(super) fn of_nobody(app: &App, action: Action, arrival: &Arrival) -> Self {
        traces::act(action.rule().name);
        Self {
            action,
            caller: None,
            organisation: String::new(),
            project: String::new(),
            subject: String::new(),
            arrival: arrival.clone(),
            clock: app.clock.clone(),
        }
    }

    /// Names the caller, and the organisation whose log this goes into: never one it does not belong to.
    pub(super) fn is_by(&mut self, caller: &Caller) {
        let credential = &caller.credential;
        self.caller = Some((caller.principal.clone(), credential.id.clone(), credential.kind));
        self.organisation = match &caller.standing {
            Standing::Member(organisation) => organisation.id.clone(),
            Standing::Stranger | Standing::Unnamed => String::new(),
        };
    }

    /// Writes the record, with what was done, and one for each noted action of a success.
    pub(super) fn append<T>(
        &self,
        tx: &mut Tx,
        outcome: &Result<T>,
        notes: &[Note],
        detail: &str,
    ) -> Result<()> {
        tx.append_events(self.events(outcome, notes, detail)?);
        Ok(())
    }

    fn events<T>(&self, outcome: &Result<T>, notes: &[Note], detail: &str) -> Result<Vec<Event>> {
        let subject = match outcome {
            // What it would have made now is nowhere; what it was about then is.
            Err(Error::Replayed(kept)) => &kept.subject,
            _ => &self.subject,
        };
        let mut event = self.event(self.action, subject, outcome)?;
        if outcome.is_ok() {
            detail.clone_into(&mut event.reason);
        }
        let mut events = vec![event];
        for note in notes.iter().filter(|_| outcome.is_ok()) {
            let mut event = self.event(note.action, &note.resource_id, outcome)?;
            if let Some(elsewhere) = &note.organisation {
                event.organisation.clone_from(elsewhere);
                event.project.clear();
            }
            events.push(event);
        }
        Ok(events)
    }

    /// Makes the record durable in a commit of its own, shared with whoever else waits.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub(super) async fn end<T: Send + 'static>(
        self,
        app: &App,
        outcome: Result<T>,
        notes: Vec<Note>,
    ) -> Result<T> {
        let events = self.events(&outcome, &notes, "")?;
        app.store.append(events).await.map_err(|failure| {
            Error::unavailable(format!("no audit record: {}", failure.cause()))
        })?;
        outcome
    }

    fn event<T>(&self, action: Action, subject: &str, outcome: &Result<T>) -> Result<Event> {
        let now = self.clock.now();
        let (principal, credential_id, credential_kind) = match &self.caller {
            Some((principal, id, kind)) => (Some(principal.clone()), id.clone(), *kind),
            None => (None, String::new(), ""),
        };
        Ok(Event {
            id: self.clock.ordered_id("ev-")?,
            at: now,
            organisation: self.organisation.clone(),
            project: self.project.clone(),
            principal,
            credential_id,
            credential_kind: credential_kind.to_owned(),
            action,
            resource_id: subject.to_owned(),
            outcome: match outcome {
                Ok(_) => action.rule().success,
                Err(error) => error.outcome(),
            },
            reason: outcome.as_ref().err().map(Error::reason).unwrap_or_default(),
            arrival: self.arrival.clone(),
            duration: now.saturating_sub(self.arrival.at),
        })
    }
}
