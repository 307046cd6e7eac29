//! Operations of the platform: the first organisation of a store, and what the configuration says.

pub mod administrators;
pub mod audit;
pub mod organisations;
pub mod quotas;
pub mod regions;
pub mod restore;
pub mod root_keys;

use std::sync::Arc;

use coffer_crypto::token;
use zeroize::Zeroizing;

use crate::app::App;
use crate::config::{Quotas, RegionConfig};
use crate::error::{Error, Result};
use crate::gate::{self, Unattended};
use crate::metrics::Moment;
use crate::model::action::Action;
use crate::model::identity::{MemberRole, User};
use crate::model::quota::Quota;
use crate::model::scopes::Scopes;
use crate::store::{NewToken, Tx};

/// Whom to make on an empty store.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The organisation's slug, also its name.
    pub organisation: String,
    /// The owner's e-mail address, also the name.
    pub owner_email: String,
}

/// What was made.
pub struct Founded {
    pub organisation: String,
    /// Shown once; only its hash is kept.
    pub token: Zeroizing<String>,
}

/// Makes the first organisation with everything on, its owner and the owner's token. A conflict when the
/// store has an organisation already.
pub async fn found(app: &Arc<App>, founding: &Founding) -> Result<Founded> {
    let slug = founding.organisation.clone();
    if slug.is_empty() || coffer_api::slug_of(&slug) != slug {
        return Err(Error::invalid("organisation", "must be of `a-z 0-9 -`"));
    }
    let email = founding.owner_email.clone();
    let (shared, id) = (app.clone(), app.clock.fresh_id("o-")?);
    let made = id.clone();
    let token = token::mint_pat()?;
    let hash = token::hash(&token);
    let work = by_operator(Action::Bootstrap, &id);
    gate::unattended(app, work, async move |tx| {
        let (clock, now) = (&shared.clock, shared.clock.now());
        if tx.count_organisations().await? != 0 {
            return Err(Error::Conflict(
                "the store has an organisation already; `cofferd owner-token` makes a new token"
                    .to_owned(),
            ));
        }
        tx.insert_organisation((&made, &slug, &slug), now, || clock.fresh_id("")).await?;
        insert_owner(tx, &shared, (&email, &email), &hash).await.map(Some)
    })
    .await?;
    Ok(Founded { organisation: id, token })
}

/// Gives the owner of an organisation (identity or slug) one more token, for when the first is lost.
pub async fn mint_owner_token(app: &Arc<App>, organisation: &str) -> Result<Zeroizing<String>> {
    let token = token::mint_pat()?;
    let (shared, hash) = (app.clone(), token::hash(&token));
    let reference = organisation.to_owned();
    let found = gate::inspect(app, async move |tx| tx.find_organisation(&reference).await).await?;
    let organisation = found.ok_or(Error::not_found("organisation"))?.id;
    let work = by_operator(Action::MintOwnerToken, &organisation);
    gate::unattended(app, work, async move |tx| {
        let subject = tx.find_owner().await?.ok_or(Error::not_found("owner"))?;
        insert_token(tx, &shared, subject, &hash).await.map(Some)
    })
    .await?;
    Ok(token)
}

fn by_operator(action: Action, organisation: &str) -> Unattended {
    Unattended {
        action,
        reason: "command line",
        organisation: organisation.to_owned(),
        project: String::new(),
        subject: organisation.to_owned(),
    }
}

/// Makes the owner of the organisation that the transaction is within, with a first token.
async fn insert_owner(
    tx: &mut Tx,
    app: &App,
    (name, email): (&str, &str),
    hash: &token::TokenHash,
) -> Result<User> {
    let (clock, now) = (&app.clock, app.clock.now());
    let user = User {
        subject: clock.fresh_id("usr-")?,
        name: name.to_owned(),
        email: email.to_owned(),
        created_at: now,
    };
    tx.insert_user(&user).await?;
    tx.insert_member(&clock.fresh_id("m-")?, &user.subject, MemberRole::Owner, now).await?;
    insert_token(tx, app, user.subject.clone(), hash).await?;
    Ok(user)
}

async fn insert_token(
    tx: &mut Tx,
    app: &App,
    subject: String,
    hash: &token::TokenHash,
) -> Result<()> {
    let token = NewToken {
        id: &app.clock.fresh_id("pat-")?,
        subject: &subject,
        name: "owner",
        scopes: &Scopes::default(),
        expires_at: None,
    };
    tx.insert_token(hash, &token, app.clock.now()).await
}

/// Brings the regions of the store up to those of the configuration. Regions that are no longer configured
/// stay known, for what lives there, but their KMS is off. What an administrator has said of a region's KMS
/// stands over the configuration.
pub async fn configure_regions(app: &Arc<App>, regions: &[RegionConfig]) -> Result<()> {
    let (shared, regions) = (app.clone(), regions.to_vec());
    gate::keep_house(app, "", async move |tx| {
        let now = shared.clock.now();
        for region in &regions {
            let name = region.name.as_deref().unwrap_or(&region.slug);
            let id = shared.clock.fresh_id("r-")?;
            tx.upsert_region((&id, &region.slug, name), region.kms, now).await?;
        }
        for known in tx.list_regions().await? {
            if !regions.iter().any(|region| region.slug == known.slug) {
                tx.retire_region(&known.slug, now).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Brings the maxima for organisations that have none of their own up to those of the configuration.
pub async fn configure_quotas(app: &Arc<App>, quotas: &Quotas) -> Result<()> {
    let quotas = quotas.clone();
    gate::keep_house(app, "", async move |tx| {
        for quota in Quota::ALL {
            let most = match quota {
                Quota::Secrets => quotas.secrets_count,
                Quota::Versions => quotas.secrets_versions,
                Quota::Keys => quotas.kms_keys,
                Quota::ServiceAccounts => quotas.iam_service_accounts,
            };
            tx.set_quota_default(quota, most.into()).await?;
        }
        Ok(())
    })
    .await
}

/// Figures of this moment. What the store does not tell is left out.
pub async fn figures(app: &App) -> Moment {
    let [is_store_ready, is_kms_ready] = readiness(app).await;
    let counts = gate::inspect(app, async |tx| tx.count_all().await).await;
    let counts = counts.unwrap_or_default().into_iter();
    Moment {
        at: app.clock.now(),
        queues: app.store.waiting(),
        value_bytes: app.values.bytes(),
        in_flight: app.load.in_flight(),
        is_store_ready,
        is_kms_ready,
        counts: counts.map(|(quota, count)| (quota.name(), count)).collect(),
    }
}

/// Whether the store answers, and whether its root keys are at hand.
pub async fn readiness(app: &App) -> [bool; 2] {
    match root_keys::missing(app).await {
        Ok(missing) => [true, missing.is_empty()],
        Err(_) => [false, false],
    }
}
