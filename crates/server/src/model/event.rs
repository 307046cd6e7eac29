//! The audit record: who did what to which thing, how it came, how it ended. Never a value.

use super::action::Action;
use super::caller::{Arrival, Principal};
use crate::error::Outcome;

/// One record.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub at: i64,
    /// Empty for calls without an organisation.
    pub organisation: String,
    /// Empty without a project.
    pub project: String,
    /// `None` when authentication failed.
    pub principal: Option<Principal>,
    pub credential_id: String,
    pub credential_kind: String,
    pub action: Action,
    /// The path of a secret, the identity of anything else, empty for collections.
    pub resource_id: String,
    pub outcome: Outcome,
    /// Why it was denied or failed.
    pub reason: String,
    pub arrival: Arrival,
    /// Microseconds from arrival to record.
    pub duration: i64,
}

/// What a search is narrowed to; empty means any.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub project: String,
    pub actions: Vec<String>,
    pub resource_types: Vec<String>,
    pub resource_id: String,
    pub user: String,
    pub service_account: String,
    pub outcomes: Vec<Outcome>,
    pub include_system: bool,
    pub search_text: String,
}
