//! Identity providers: other issuers whose tokens may stand for service accounts (contract, section 5.3).

use std::collections::BTreeSet;
use std::sync::Arc;

use coffer_api::{CreateIdentityProviderRequest, UpdateIdentityProviderRequest};
use serde_json::Value as Json;

use super::federated_identities::may_act_for;
use super::roles::{check_roles_held, too_many, too_much};
use super::{Filter, maker};
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::federation::{Provider, Status};
use crate::model::jwks::KeySet;
use crate::model::limits;
use crate::store::Tx;

/// Bytes of keys that are given; a key of 8192 bits takes 1.5 KiB.
const JWKS_BYTES_MAX: usize = 64 * 1024;
/// Identities that a refusal names.
const NAMED_MAX: usize = 5;

fn on(action: Action, provider: String) -> Ask {
    Ask { action, region: None, subject: Subject::Provider(provider) }
}

/// The providers that the caller may list.
pub async fn list(app: &Arc<App>, call: &Call, filter: Result<Filter>) -> Result<Vec<Provider>> {
    let ask = Ask { action: Action::ListProviders, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let shown = |provider: &Provider| {
            filter.matches([&provider.id, &provider.name, ""], &provider.labels)
                && allows(&scope.caller.grants, Action::ListProviders, Target::One(&provider.id))
        };
        Ok(tx.list_providers().await?.into_iter().filter(shown).collect())
    })
    .await
}

/// Makes a provider, for which no token is accepted before a federated identity names it.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateIdentityProviderRequest>,
) -> Result<Provider> {
    let id = app.clock.fresh_id("idp-")?;
    let ask = Ask { action: Action::CreateProvider, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let provider = Provider {
            id: scope.subject.clone(),
            name: limits::check_name(&body.name)?,
            description: body.description.clone().unwrap_or_default(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            issuer: body.provider_issuer.clone(),
            jwks_uri: body.provider_jwks_uri.clone().unwrap_or_default(),
            local_jwks: body.local_jwks.clone().filter(has_keys),
            status: read_status(body.status.as_deref(), Status::Active)?,
            created_by: maker(scope),
            created_at: now,
            updated_at: now,
            object_version: 1,
            generation: 0,
        };
        check(&shared, &provider)?;
        if provider.issuer.contains('?') {
            return Err(Error::invalid("providerIssuer", "must have no query"));
        }
        let told = |why| Error::invalid("providerIssuer", why);
        shared.issuers.check(&provider.issuer).map_err(told)?;
        if tx.list_providers().await?.len() >= limits::PROVIDERS_MAX {
            return Err(too_many("identity providers", limits::PROVIDERS_MAX));
        }
        tx.insert_provider(&provider).await?;
        tx.describe(shorten(&provider.issuer));
        read_provider(tx, scope).await
    })
    .await
}

/// One provider.
pub async fn read(app: &Arc<App>, call: &Call, provider: String) -> Result<Provider> {
    let ask = on(Action::ReadProvider, provider);
    gate::read(app, call, ask, async move |tx, scope| read_provider(tx, scope).await).await
}

/// Changes what the request names. The issuer stays.
///
/// SECURITY: whoever says which keys are the issuer's can make tokens for every service account that trusts it, so
/// that is for those who hold what these accounts hold.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    provider: String,
    body: Result<UpdateIdentityProviderRequest>,
) -> Result<Provider> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdateProvider, provider), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = read_provider(tx, scope).await?;
        let now = shared.clock.now();
        let status = read_status(body.status.as_deref(), before.status)?;
        let provider = Provider {
            name: body.name.as_deref().map_or(Ok(before.name.clone()), limits::check_name)?,
            description: body.description.clone().unwrap_or(before.description.clone()),
            labels: body.labels.clone().unwrap_or(before.labels.clone()),
            annotations: body.annotations.clone().unwrap_or(before.annotations.clone()),
            jwks_uri: body.provider_jwks_uri.clone().unwrap_or(before.jwks_uri.clone()),
            local_jwks: match &body.local_jwks {
                Some(keys) => Some(keys.clone()).filter(has_keys),
                None => before.local_jwks.clone(),
            },
            status,
            updated_at: now,
            ..before.clone()
        };
        check(&shared, &provider)?;
        let ends_tokens = provider.jwks_uri != before.jwks_uri
            || provider.local_jwks != before.local_jwks
            || status != before.status;
        let is_trusted_anew = ends_tokens && (status == before.status || status == Status::Active);
        if is_trusted_anew {
            let trusting = tx.list_federations_of_provider(&provider.id).await?;
            let accounts: BTreeSet<_> = trusting.into_iter().map(|one| one.account).collect();
            for account in &accounts {
                if !may_act_for(scope, account) {
                    return Err(too_much());
                }
                check_roles_held(tx, scope, ("service_account", account), now).await?;
            }
        }
        tx.set_provider(&provider, ends_tokens).await?;
        let keys = if is_trusted_anew { ", trusted anew" } else { "" };
        tx.describe(format!("{} {}{keys}", provider.status.word(), shorten(&provider.issuer)));
        read_provider(tx, scope).await
    })
    .await
}

/// Deletes a provider that no federated identity names any more.
pub async fn delete(app: &Arc<App>, call: &Call, provider: String) -> Result<()> {
    gate::write(app, call, on(Action::DeleteProvider, provider), async move |tx, scope| {
        let provider = read_provider(tx, scope).await?;
        let trusting = tx.list_federations_of_provider(&provider.id).await?;
        if !trusting.is_empty() {
            let named: Vec<_> =
                trusting.iter().take(NAMED_MAX).map(|one| one.id.as_str()).collect();
            let more = if trusting.len() > NAMED_MAX { " and more" } else { "" };
            return Err(Error::Conflict(format!(
                "federated identities name this provider: {}{more}; delete them first",
                named.join(", ")
            )));
        }
        tx.delete_provider(&provider.id).await
    })
    .await
}

fn check(app: &App, provider: &Provider) -> Result<()> {
    limits::check_description(&provider.description)?;
    limits::check_labels(&provider.labels)?;
    limits::check_annotations(&provider.annotations)?;
    if !provider.jwks_uri.is_empty() {
        let told = |why| Error::invalid("providerJwksUri", why);
        app.issuers.check(&provider.jwks_uri).map_err(told)?;
    }
    if let Some(keys) = &provider.local_jwks {
        if keys.to_string().len() > JWKS_BYTES_MAX {
            return Err(Error::invalid("localJwks", "is larger than 64 KiB"));
        }
        if KeySet::is_private(keys) {
            return Err(Error::invalid("localJwks", "has a private or shared key in it"));
        }
        KeySet::parse(keys).map_err(|why| Error::invalid("localJwks", why))?;
    }
    Ok(())
}

/// A set without keys stands for none.
fn has_keys(set: &Json) -> bool {
    let Some(object) = set.as_object() else { return true };
    match object.get("keys") {
        None | Some(Json::Null) => false,
        Some(keys) => keys.as_array().is_none_or(|keys| !keys.is_empty()),
    }
}

fn read_status(word: Option<&str>, otherwise: Status) -> Result<Status> {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Ok(otherwise) };
    let known = Status::from_word(word).filter(|status| *status != Status::Revoked);
    known.ok_or_else(|| Error::invalid("status", "must be `active` or `inactive`"))
}

/// The provider that was authorised.
async fn read_provider(tx: &mut Tx, scope: &Scope) -> Result<Provider> {
    tx.find_provider(&scope.subject).await?.ok_or(Error::not_found("identity provider"))
}
