//! Who holds what: token → caller with compiled grants, kept in memory and never stale.
//!
//! Each entry remembers the identity epoch before which it was read. A commit that changes who may do what
//! moves the epoch on before it is acknowledged, so no later call sees an older entry.

use std::sync::{Arc, PoisonError, RwLock};

use coffer_crypto::token::TokenHash;
use quick_cache::sync::Cache;

use crate::error::{Error, Result};
use crate::model::caller::{Caller, Claim, Credential, Principal, Standing};
use crate::model::identity::{MemberRole, Region};
use crate::model::policy::PolicyGrant;
use crate::model::project::Project;
use crate::model::roles;
use crate::store::{Store, Tx};

/// Callers and projects kept in memory, each.
const ENTRIES_MAX: usize = 10_000;

/// The memory of who is who.
pub struct Directory {
    store: Store,
    callers: Cache<(TokenHash, String), Entry<Caller>>,
    projects: Cache<(String, String), Entry<Project>>,
    /// By organisation, project and principal.
    policy_grants: Cache<(String, String, String), Entry<Vec<PolicyGrant>>>,
    regions: RwLock<Option<Entry<Vec<Region>>>>,
}

struct Entry<T> {
    epoch: u64,
    value: Arc<T>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { epoch: self.epoch, value: self.value.clone() }
    }
}

#[expect(clippy::disallowed_methods, reason = "the gate must know who comes before it opens")]
impl Directory {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            callers: Cache::new(ENTRIES_MAX),
            projects: Cache::new(ENTRIES_MAX),
            policy_grants: Cache::new(ENTRIES_MAX),
            regions: RwLock::new(None),
        }
    }

    /// The caller of a claim as things stand at `now`; unauthenticated when the token is unknown or expired.
    pub async fn read_caller(&self, claim: &Claim, now: i64) -> Result<Arc<Caller>> {
        let caller = self.find_caller(claim).await?.ok_or(unknown())?;
        caller.check_alive(now).map(|()| caller)
    }

    async fn find_caller(&self, claim: &Claim) -> Result<Option<Arc<Caller>>> {
        let epoch = self.store.identity_epoch();
        let (token, organisation) = (claim.token, claim.organisation.as_str());
        let name = (token, organisation.to_owned());
        if let Some(entry) = self.callers.get(&name).filter(|entry| entry.epoch == epoch) {
            return Ok(Some(entry.value));
        }
        let reference = organisation.to_owned();
        let found = self
            .store
            .read("", async move |tx| load_caller(tx, &token, &reference).await)
            .await?
            .map(Arc::new);
        // SECURITY: names that a caller has no place in are not kept, or inventing them would empty the cache.
        let ours = |caller: &&Arc<Caller>| !matches!(caller.standing, Standing::Stranger);
        if let Some(value) = found.as_ref().filter(ours) {
            self.callers.insert(name, Entry { epoch, value: value.clone() });
        }
        Ok(found)
    }

    /// A region by identity or slug.
    pub async fn read_region(&self, reference: &str) -> Result<Region> {
        let regions = self.list_regions().await?;
        regions
            .iter()
            .find(|region| region.id == reference || region.slug == reference)
            .cloned()
            .ok_or(Error::not_found("region"))
    }

    pub async fn list_regions(&self) -> Result<Arc<Vec<Region>>> {
        let epoch = self.store.identity_epoch();
        let known = self.regions.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(entry) = known.filter(|entry| entry.epoch == epoch) {
            return Ok(entry.value);
        }
        let value = Arc::new(self.store.read("", async |tx| tx.list_regions().await).await?);
        let entry = Entry { epoch, value: value.clone() };
        *self.regions.write().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        Ok(value)
    }

    /// A project of an organisation by identity or slug.
    pub async fn read_project(&self, organisation: &str, reference: &str) -> Result<Arc<Project>> {
        let epoch = self.store.identity_epoch();
        let name = (organisation.to_owned(), reference.to_owned());
        if let Some(entry) = self.projects.get(&name).filter(|entry| entry.epoch == epoch) {
            return Ok(entry.value);
        }
        let reference = reference.to_owned();
        let found = self
            .store
            .read(organisation, async move |tx| tx.find_project(&reference).await)
            .await?;
        let value = Arc::new(found.ok_or(Error::not_found("project"))?);
        self.projects.insert(name, Entry { epoch, value: value.clone() });
        Ok(value)
    }

    /// What the policies that hold in a project grant to a caller.
    pub async fn read_policy_grants(
        &self,
        caller: &Caller,
        organisation: &str,
        project: &str,
    ) -> Result<Arc<Vec<PolicyGrant>>> {
        let epoch = self.store.identity_epoch();
        let (kind, id) = caller.principal.kind_and_id();
        let name = (organisation.to_owned(), project.to_owned(), format!("{kind}:{id}"));
        if let Some(entry) = self.policy_grants.get(&name).filter(|entry| entry.epoch == epoch) {
            return Ok(entry.value);
        }
        let (principal, of) = (caller.principal.clone(), project.to_owned());
        let look = async move |tx: &mut Tx| tx.list_policy_grants(&principal, &of).await;
        let value = Arc::new(self.store.read(organisation, look).await?);
        self.policy_grants.insert(name, Entry { epoch, value: value.clone() });
        Ok(value)
    }
}

fn unknown() -> Error {
    Error::Unauthenticated { cause: "unknown or revoked token" }
}

/// The caller of a claim as a transaction sees it, which is then the named organisation's.
pub async fn reload_caller(tx: &mut Tx, claim: &Claim, now: i64) -> Result<Caller> {
    let caller = load_caller(tx, &claim.token, &claim.organisation).await?.ok_or(unknown())?;
    caller.check_alive(now).map(|()| caller)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a caller is made from what the store says of a token"
)]
async fn load_caller(tx: &mut Tx, token: &TokenHash, organisation: &str) -> Result<Option<Caller>> {
    let named = match organisation.is_empty() {
        true => None,
        false => tx.find_organisation(organisation).await?,
    };
    let elsewhere = || match organisation.is_empty() {
        true => Standing::Unnamed,
        false => Standing::Stranger,
    };
    if let Some(token) = tx.find_token(token).await? {
        let credential = Credential {
            id: token.id,
            kind: "personal_access_token",
            scopes: token.scopes,
            expires_at: token.expires_at,
        };
        let subject = token.subject;
        let (mut standing, mut teams, mut grants) = (elsewhere(), Vec::new(), Vec::new());
        if let Some(organisation) = named {
            tx.enter(&organisation.id);
            if let Some(role) = tx.find_member_role(&subject).await? {
                teams = tx.list_teams_of(&subject).await?;
                grants = tx.list_grants_of(("user", &subject)).await?;
                if role == MemberRole::Owner {
                    grants.splice(0..0, roles::owner_grants());
                }
                standing = Standing::Member(Box::new(organisation));
            }
        }
        let principal = Principal::User { subject };
        return Ok(Some(Caller::new(principal, credential, standing, teams, grants)));
    }
    let Some(found) = tx.find_credential(token).await? else { return Ok(None) };
    let credential = Credential {
        id: found.id,
        kind: "access_credential",
        scopes: found.scopes,
        expires_at: found.expires_at,
    };
    let (mut standing, mut grants) = (elsewhere(), Vec::new());
    if let Some(organisation) = named.filter(|named| named.id == found.organisation) {
        tx.enter(&organisation.id);
        grants = tx.list_grants_of(("service_account", &found.account)).await?;
        standing = Standing::Member(Box::new(organisation));
    }
    let principal = Principal::ServiceAccount { id: found.account, slug: found.slug };
    Ok(Some(Caller::new(principal, credential, standing, Vec::new(), grants)))
}
