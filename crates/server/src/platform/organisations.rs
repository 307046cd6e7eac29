//! Organisations, as administrators of the platform make them, see them and switch their gates.

use std::sync::Arc;

use coffer_api::{CreateOrganisationRequest, UpdateOrganisationRequest};
use coffer_crypto::token;
use zeroize::Zeroizing;

use super::insert_owner;
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{About, administer, oversee};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::identity::{Organisation, User};
use crate::model::invite::check_email;
use crate::model::limits;
use crate::model::quota::{Quota, Usage};
use crate::store::Tx;

/// The largest maximum that a quota may have.
pub const QUOTA_MAX: i64 = 1_000_000_000_000;

/// An organisation with its counters.
pub struct View {
    pub organisation: Organisation,
    pub quotas: Vec<Usage>,
}

/// A new organisation, and its owner with a token that is shown this once.
pub struct Made {
    pub view: View,
    pub owner: User,
    pub token: Zeroizing<String>,
}

/// All organisations.
pub async fn list(app: &Arc<App>, call: &AdministratorCall) -> Result<Vec<View>> {
    let about = About::Platform(String::new());
    oversee(app, call, Action::ListOrganisations, about, async |tx| {
        let mut views = Vec::new();
        for organisation in tx.list_organisations().await? {
            views.push(View { organisation, quotas: Vec::new() });
        }
        Ok(views)
    })
    .await
}

/// Makes an organisation with everything on, its system roles, and its owner.
pub async fn create(
    app: &Arc<App>,
    call: &AdministratorCall,
    body: Result<CreateOrganisationRequest>,
) -> Result<Made> {
    let id = app.clock.fresh_id("o-")?;
    let text = token::mint_pat()?;
    let (shared, hash) = (app.clone(), token::hash(&text));
    let about = About::NewOrganisation(id.clone());
    let (view, owner) = administer(app, call, Action::CreateOrganisation, about, async move |tx| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let name = limits::check_name(&body.name)?;
        let slug = match body.slug.as_deref().filter(|slug| !slug.is_empty()) {
            None => limits::check_slug(&name)?,
            Some(slug) if coffer_api::slug_of(slug) == slug && slug.len() <= 255 => {
                limits::check_slug(slug)?
            }
            Some(_) => return Err(Error::invalid("slug", "must be of `a-z 0-9 -`")),
        };
        let email = check_email("ownerEmail", &body.owner_email)?;
        let owner = match body.owner_name.as_deref().filter(|name| !name.trim().is_empty()) {
            Some(name) => limits::check_name(name)?,
            None => email.clone(),
        };
        let (clock, now) = (&shared.clock, shared.clock.now());
        tx.insert_organisation((&id, &slug, &name), now, || clock.fresh_id("")).await?;
        let owner = insert_owner(tx, &shared, (&owner, &email), &hash).await?;
        Ok((view(tx, &id).await?, owner))
    })
    .await?;
    Ok(Made { view, owner, token: text })
}

/// One organisation with its counters.
pub async fn read(app: &Arc<App>, call: &AdministratorCall, organisation: String) -> Result<View> {
    let name = organisation.clone();
    let about = About::Organisation(organisation);
    oversee(app, call, Action::ReadOrganisation, about, async move |tx| view(tx, &name).await).await
}

/// Switches gates and sets maxima; what is absent stays. In effect with the next call of anybody.
pub async fn update(
    app: &Arc<App>,
    call: &AdministratorCall,
    organisation: String,
    body: Result<UpdateOrganisationRequest>,
) -> Result<View> {
    let (shared, name) = (app.clone(), organisation.clone());
    let about = About::Organisation(organisation);
    administer(app, call, Action::UpdateOrganisation, about, async move |tx| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = view(tx, &name).await?.organisation;
        for (quota, most) in body.quotas.iter().flatten() {
            let quota = Quota::from_name(quota).ok_or_else(|| {
                let known = Quota::ALL.map(Quota::name).join(", ");
                Error::invalid("quotas", format!("must be of {known}"))
            })?;
            if most.is_some_and(|most| !(0..=QUOTA_MAX).contains(&most)) {
                let why = format!("a maximum is 0 to {QUOTA_MAX}; 0 is no bound");
                return Err(Error::invalid("quotas", why));
            }
            tx.set_quota(quota, *most).await?;
        }
        let wanted = body.gates.clone().unwrap_or_default();
        let gates = [
            wanted.secrets.unwrap_or(before.secrets_gate),
            wanted.kms.unwrap_or(before.kms_gate),
            wanted.projects.unwrap_or(before.projects_gate),
        ];
        tx.set_gates(&before.id, gates, shared.clock.now()).await?;
        tx.describe(told(gates, body));
        view(tx, &before.id).await
    })
    .await
}

/// For the records: how the gates stand, and which maxima were set.
fn told([secrets, kms, projects]: [bool; 3], body: &UpdateOrganisationRequest) -> String {
    let quota = |(quota, most): (&String, &Option<i64>)| match most {
        Some(most) => format!(", {quota} at most {most}"),
        None => format!(", {quota} as configured"),
    };
    let quotas: String = body.quotas.iter().flatten().map(quota).collect();
    format!("gates: secrets {secrets}, kms {kms}, projects {projects}{quotas}")
}

/// The organisation that the transaction is within.
async fn view(tx: &mut Tx, name: &str) -> Result<View> {
    let found = tx.find_organisation(name).await?;
    let organisation = found.ok_or(Error::not_found("organisation"))?;
    Ok(View { organisation, quotas: tx.list_quotas().await? })
}
