//! IAM policies: what a project grants besides the organisation's roles (contract, section 4.6).

use std::sync::Arc;

use coffer_api::{AccessPolicy as Conditionals, Map};

use super::access_policy::{AccessPolicy, Circumstances};
use super::decide::{Grant, HandOn};
use super::role::Binding;
use crate::error::{Error, Result};

/// A named set of rules within a project.
#[derive(Debug, Clone)]
pub struct IamPolicy {
    pub id: String,
    pub project: String,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    /// Its rules stand in the code, and nobody changes it.
    pub system: bool,
    /// It holds in all projects below as well.
    pub replicate: bool,
    /// Address and hour conditions under which it counts.
    pub conditionals: Option<Conditionals>,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
}

impl IamPolicy {
    /// Refuses to change a system policy, and one of a project above from below.
    pub fn check_changeable(&self, project: &str) -> Result<()> {
        match (self.system, self.project == project) {
            (true, _) => Err(Error::invalid("", "a system policy is read-only")),
            (false, false) => {
                Err(Error::invalid("", "the policy is of a project above and read-only here"))
            }
            (false, true) => Ok(()),
        }
    }

    /// How far whoever deals in its rules must be able to hand them on.
    pub fn reach(&self) -> HandOn {
        if self.replicate { HandOn::Below } else { HandOn::InProject }
    }
}

/// What ties a policy to whoever holds it.
#[derive(Debug, Clone)]
pub struct PolicyBinding {
    pub binding: Binding,
    pub policy: String,
    pub expires_at: Option<i64>,
    pub updated_at: i64,
    /// The access elevation that made it; empty for none.
    pub elevation: String,
}

/// What a policy grants to a caller, and when that counts.
#[derive(Debug)]
pub struct PolicyGrant {
    /// Identity of the policy.
    pub policy: String,
    pub grant: Grant,
    pub expires_at: Option<i64>,
    pub conditions: Option<Arc<AccessPolicy>>,
}

impl PolicyGrant {
    /// Whether it ends by itself or counts under conditions.
    pub fn is_timed(&self) -> bool {
        self.expires_at.is_some() || self.conditions.is_some()
    }

    pub fn counts(&self, circumstances: &Circumstances<'_>) -> bool {
        self.expires_at.is_none_or(|at| at > circumstances.now)
            && self.conditions.as_ref().is_none_or(|policy| policy.conditions_hold(circumstances))
    }
}

/// Checks the conditionals of a policy as they were sent: `allowed` and `denied`, or `conditions`. Empty ones are
/// none.
pub fn check_conditionals(sent: &Conditionals) -> Result<Option<Conditionals>> {
    if sent.statements.is_some() {
        return Err(Error::invalid("conditionals", "statements belong to access policies"));
    }
    AccessPolicy::compile(sent)?;
    let lists = [&sent.conditions, &sent.allowed, &sent.denied];
    let is_empty = lists.iter().all(|list| list.as_ref().is_none_or(Vec::is_empty));
    Ok((!is_empty).then(|| sent.clone()))
}
