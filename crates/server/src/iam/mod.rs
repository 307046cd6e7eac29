//! Operations on identities: what a caller may see of itself, and the regions everyone sees.

pub mod elevations;
pub mod federated_identities;
pub mod identity_providers;
pub mod invites;
pub mod members;
pub mod policies;
pub mod policy_bindings;
pub mod projects;
pub mod quotas;
pub mod roles;
pub mod service_accounts;
pub mod teams;
pub mod tokens;

use std::sync::Arc;

use coffer_api::Map;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::{Call, Caller, Principal};
use crate::model::identity::{Maker, Membership, Region, User};

/// What a list is narrowed to (contract, section 1.7); empty means any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub identity: String,
    pub name: String,
    pub slug: String,
    pub labels: Map,
}

impl Filter {
    fn matches(&self, [identity, name, slug]: [&str; 3], labels: &Map) -> bool {
        let is = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        is(&self.identity, identity)
            && is(&self.name, name)
            && is(&self.slug, slug)
            && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// Who makes something, for its `createdBy`.
fn maker(scope: &Scope) -> Maker {
    Maker { id: scope.caller.principal.kind_and_id().1.to_owned(), user: None }
}

/// The organisations that the calling user belongs to.
pub async fn list_memberships(app: &Arc<App>, call: &Call) -> Result<(User, Vec<Membership>)> {
    let ask = Ask { action: Action::ListMemberships, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let Principal::User { subject } = &scope.caller.principal else {
            return Err(Error::denied("not a user"));
        };
        let user = tx.find_user(subject).await?.ok_or(Error::not_found("user"))?;
        Ok((user, tx.list_memberships(subject).await?))
    })
    .await
}

/// Who is calling, and what that caller may do in the organisation that the call names.
pub async fn read_me(app: &Arc<App>, call: &Call) -> Result<(Option<User>, Arc<Caller>)> {
    let ask = Ask { action: Action::ReadMe, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let user = match &scope.caller.principal {
            Principal::User { subject } => tx.find_user(subject).await?,
            Principal::ServiceAccount { .. }
            | Principal::Administrator { .. }
            | Principal::System { .. } => None,
        };
        Ok((user, scope.caller.clone()))
    })
    .await
}

/// All regions.
pub async fn list_regions(app: &Arc<App>, call: &Call) -> Result<Vec<Region>> {
    let ask = Ask { action: Action::ListRegions, region: None, subject: Subject::None };
    let regions = app.directory.list_regions().await;
    gate::read(app, call, ask, async move |_, _| Ok(regions.clone()?.to_vec())).await
}

/// One region by identity or slug.
pub async fn read_region(app: &Arc<App>, call: &Call, reference: String) -> Result<Region> {
    let ask = Ask { action: Action::ReadRegion, region: None, subject: Subject::None };
    let found = app.directory.read_region(&reference).await;
    gate::read(app, call, ask, async move |_, _| found.clone()).await
}
