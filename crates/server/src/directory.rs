//! Who holds what: token → caller with compiled grants, kept in memory and never stale.
//!
//! Each entry remembers the identity epoch before which it was read. A commit that changes who may do what
//! moves the epoch on before it is acknowledged, so no later call sees an older entry.

use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use crate::error::{Error, Result};
use crate::metrics::CacheFigures;
use crate::model::access_token::AccessToken;
use crate::model::caller::{Caller, Claim, Credential, Principal, Shown, Standing};
use crate::model::identity::{MemberRole, Organisation, Region};
use crate::model::policy::PolicyGrant;
use crate::model::project::Project;
use crate::model::roles;
use crate::store::{CredentialHolder, Store, TokenHolder, Tx};

/// Callers and projects kept in memory, each.
const ENTRIES_MAX: usize = 10_000;

/// The memory of who is who.
pub struct Directory {
    store: Store,
    callers: Cache<(Shown, String), Entry<Caller>>,
    /// How often a caller was remembered.
    pub figures: CacheFigures,
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
            figures: CacheFigures::default(),
        }
    }

    /// The caller of a claim as things stand at `now`; unauthenticated when the token is unknown or expired.
    pub async fn read_caller(&self, claim: &Claim, now: i64) -> Result<Arc<Caller>> {
        let caller = self.find_caller(claim).await?.ok_or(unknown())?;
        caller.check_alive(now).map(|()| caller)
    }

    async fn find_caller(&self, claim: &Claim) -> Result<Option<Arc<Caller>>> {
        let epoch = self.store.identity_epoch();
        let (token, organisation) = (claim.token.clone(), claim.organisation.as_str());
        let name = (token.clone(), organisation.to_owned());
        let known = self.callers.get(&name).filter(|entry| entry.epoch == epoch);
        self.figures.looked(known.is_some());
        if let Some(entry) = known {
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

async fn load_caller(tx: &mut Tx, shown: &Shown, organisation: &str) -> Result<Option<Caller>> {
    let named = match organisation.is_empty() {
        true => None,
        false => tx.find_organisation(organisation).await?,
    };
    let elsewhere = match organisation.is_empty() {
        true => Standing::Unnamed,
        false => Standing::Stranger,
    };
    let hash = match shown {
        Shown::Hash(hash) => hash,
        Shown::AccessToken(token) => return load_bearer(tx, token, named, elsewhere).await,
    };
    if let Some(token) = tx.find_token(hash).await? {
        return load_user(tx, token, named, elsewhere).await.map(Some);
    }
    match tx.find_credential(hash).await? {
        Some(found) => {
            load_machine(tx, found, "access_credential", named, elsewhere).await.map(Some)
        }
        None => Ok(None),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a caller is made from what the store says of a token"
)]
async fn load_user(
    tx: &mut Tx,
    token: TokenHolder,
    named: Option<Organisation>,
    elsewhere: Standing,
) -> Result<Caller> {
    let credential = Credential {
        id: token.id,
        kind: "personal_access_token",
        scopes: token.scopes,
        expires_at: token.expires_at,
    };
    let subject = token.subject;
    let (mut standing, mut teams, mut grants) = (elsewhere, Vec::new(), Vec::new());
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
    Ok(Caller::new(Principal::User { subject }, credential, standing, teams, grants))
}

/// Whoever shows an access token: what it was given for must still hold, for this account and these scopes.
#[expect(clippy::disallowed_methods, reason = "a token says to which organisation it belongs")]
async fn load_bearer(
    tx: &mut Tx,
    token: &AccessToken,
    named: Option<Organisation>,
    elsewhere: Standing,
) -> Result<Option<Caller>> {
    tx.enter(&token.organisation);
    let found = match token.credential.starts_with("fi-") {
        true => tx.find_federation_holder(&token.credential).await?,
        false => tx.find_credential_holder(&token.credential).await?,
    };
    let holds = |found: &CredentialHolder| {
        found.account == token.account
            && found.generation == token.generation
            && found.scopes.cover(&token.scopes)
    };
    let Some(found) = found.filter(holds) else { return Ok(None) };
    let ends = found.expires_at.map_or(token.expires_at, |at| at.min(token.expires_at));
    let found = CredentialHolder { scopes: token.scopes.clone(), expires_at: Some(ends), ..found };
    load_machine(tx, found, "access_token", named, elsewhere).await.map(Some)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a caller is made from what the store says of a token"
)]
async fn load_machine(
    tx: &mut Tx,
    found: CredentialHolder,
    kind: &'static str,
    named: Option<Organisation>,
    elsewhere: Standing,
) -> Result<Caller> {
    let credential =
        Credential { id: found.id, kind, scopes: found.scopes, expires_at: found.expires_at };
    let (mut standing, mut grants) = (elsewhere, Vec::new());
    if let Some(organisation) = named.filter(|named| named.id == found.organisation) {
        tx.enter(&organisation.id);
        grants = tx.list_grants_of(("service_account", &found.account)).await?;
        standing = Standing::Member(Box::new(organisation));
    }
    let principal = Principal::ServiceAccount { id: found.account, slug: found.slug };
    Ok(Caller::new(principal, credential, standing, Vec::new(), grants))
}
