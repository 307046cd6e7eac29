//! Who is calling, and how: made by the directory, looked at by the gate.

use std::net::IpAddr;
use std::sync::Arc;

use coffer_crypto::token::TokenHash;

use super::access_policy::Circumstances;
use super::access_token::AccessToken;
use super::decide::Grant;
use super::idempotency::IdempotencyKey;
use super::identity::Organisation;
use super::policy::PolicyGrant;
use super::scopes::Scopes;
use crate::error::{Error, Result};

/// Whoever acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    User {
        subject: String,
    },
    ServiceAccount {
        id: String,
        slug: String,
    },
    /// Of the platform; it has no place in an organisation.
    Administrator {
        id: String,
    },
    System {
        reason: &'static str,
    },
}

impl Principal {
    /// The word of its kind, and its identity.
    pub fn kind_and_id(&self) -> (&'static str, &str) {
        match self {
            Self::User { subject } => ("user", subject),
            Self::ServiceAccount { id, .. } => ("service_account", id),
            Self::Administrator { id } => ("administrator", id),
            Self::System { reason } => ("system", reason),
        }
    }
}

/// The credential that was shown: what it is, never its text.
#[derive(Debug, Clone)]
pub struct Credential {
    pub id: String,
    pub kind: &'static str,
    pub scopes: Scopes,
    pub expires_at: Option<i64>,
}

/// Where the caller stands towards the organisation that the call names.
#[derive(Debug, Clone)]
pub enum Standing {
    /// The call names no organisation.
    Unnamed,
    /// There is no such organisation, or the caller does not belong to it: nobody can tell which.
    Stranger,
    Member(Box<Organisation>),
}

/// A team that the caller is in.
#[derive(Debug, Clone)]
pub struct Team {
    pub id: String,
    pub slug: String,
}

/// An authenticated caller with everything the decision needs.
///
/// SECURITY: only the directory makes one; `clippy.toml` refuses [`Caller::new`] elsewhere.
#[derive(Debug)]
pub struct Caller {
    pub principal: Principal,
    pub credential: Credential,
    pub standing: Standing,
    pub teams: Vec<Team>,
    pub grants: Vec<Grant>,
}

impl Caller {
    pub fn new(
        principal: Principal,
        credential: Credential,
        standing: Standing,
        teams: Vec<Team>,
        grants: Vec<Grant>,
    ) -> Self {
        Self { principal, credential, standing, teams, grants }
    }

    /// The same caller with what a project's policies grant besides, as far as it counts now and from here.
    pub fn within(&self, held: &[PolicyGrant], now: i64, client: Option<IpAddr>) -> Self {
        let circumstances =
            Circumstances { principal: &self.principal, teams: &self.teams, client, now };
        let counts = |grant: &&PolicyGrant| grant.counts(&circumstances);
        let mut grants = self.grants.clone();
        grants.extend(held.iter().filter(counts).map(|held| held.grant.clone()));
        Self {
            principal: self.principal.clone(),
            credential: self.credential.clone(),
            standing: self.standing.clone(),
            teams: self.teams.clone(),
            grants,
        }
    }

    /// Refuses a caller whose credential has ended.
    pub fn check_alive(&self, now: i64) -> Result<()> {
        match self.credential.expires_at {
            Some(expires_at) if expires_at <= now => {
                Err(Error::Unauthenticated { cause: "expired token" })
            }
            _ => Ok(()),
        }
    }
}

/// What a caller has shown, without its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Shown {
    /// SHA-256 of a personal access token, or of an access key with its secret.
    Hash(TokenHash),
    /// What an access token says that we have signed.
    AccessToken(Arc<AccessToken>),
}

/// What a caller has shown and named: enough to find out again who it is.
#[derive(Clone)]
pub struct Claim {
    pub token: Shown,
    /// Identity or slug of an organisation, empty when none is named.
    pub organisation: String,
}

/// One call: the caller and how the call came.
#[derive(Clone)]
pub struct Call {
    pub claim: Claim,
    pub caller: Arc<Caller>,
    pub arrival: Arrival,
    /// What is wrong with the head of the request, told once the caller is known.
    pub flaw: Option<Error>,
    /// The project the call names, by identity or slug.
    pub project: Option<String>,
    /// Under which a change is made once, however often it is asked for.
    pub idempotency: Option<Arc<IdempotencyKey>>,
}

/// How a call came, before anybody knows who it is.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Microseconds since 1970.
    pub at: i64,
    /// `None` when a trusted proxy sent an address that cannot be read.
    pub client: Option<IpAddr>,
    pub user_agent: String,
    pub method: String,
    /// URL path, without the query.
    pub path: String,
    pub request_id: String,
}

impl Arrival {
    /// How work by the clock arrives.
    pub fn system(at: i64) -> Self {
        Self {
            at,
            client: None,
            user_agent: String::new(),
            method: String::new(),
            path: String::new(),
            request_id: String::new(),
        }
    }
}
