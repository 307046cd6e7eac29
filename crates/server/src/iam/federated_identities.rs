//! Federated identities: which tokens of a provider stand for a service account (contract, section 5.4).

use std::sync::Arc;

use coffer_api::{CreateFederatedIdentityRequest, Time, UpdateFederatedIdentityRequest};

use super::roles::{check_roles_held, too_many, too_much};
use super::tokens::check_bounds;
use super::{Filter, maker};
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::federation::{AudienceMode, FederatedIdentity, Federation, Status};
use crate::model::limits;
use crate::model::scopes::Scopes;
use crate::store::Tx;

fn on(action: Action, identity: String) -> Ask {
    Ask { action, region: None, subject: Subject::Federation(identity) }
}

/// The federated identities that the caller may list.
pub async fn list(app: &Arc<App>, call: &Call, filter: Result<Filter>) -> Result<Vec<Federation>> {
    let ask = Ask { action: Action::ListFederations, region: None, subject: Subject::None };
    let shared = app.clone();
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let (accounts, providers) = (tx.list_service_accounts().await?, tx.list_providers().await?);
        let mut shown = Vec::new();
        for identity in tx.list_federations().await? {
            let may =
                allows(&scope.caller.grants, Action::ListFederations, Target::One(&identity.id));
            if !may || !filter.matches([&identity.id, &identity.name, ""], &identity.labels) {
                continue;
            }
            let account = accounts.iter().find(|account| account.id == identity.account);
            let provider = providers.iter().find(|provider| provider.id == identity.provider);
            let (Some(account), Some(provider)) = (account.cloned(), provider.cloned()) else {
                return Err(Error::corrupt("a federated identity without account or provider"));
            };
            shown.push(used(&shared, Federation { identity, account, provider }));
        }
        Ok(shown)
    })
    .await
}

/// Lets tokens of a provider stand for a service account.
///
/// SECURITY: whoever has such a token acts for the account, so it is made only by those who hold all that the account
/// holds, as a credential is.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateFederatedIdentityRequest>,
) -> Result<Federation> {
    let id = app.clock.fresh_id("fi-")?;
    let ask = Ask { action: Action::CreateFederation, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let (scopes, expires_at) =
            check_bounds(scope, &body.allowed_scopes, body.expires_at, now).map_err(renamed)?;
        let account = tx.find_service_account(&body.service_account_identity).await?;
        let account = account.filter(|account| may_act_for(scope, &account.id));
        let account = account.ok_or(Error::not_found("service account"))?;
        let provider = tx.find_provider(&body.provider_identity).await?;
        let provider = provider.ok_or(Error::not_found("identity provider"))?;
        let identity = FederatedIdentity {
            id: scope.subject.clone(),
            name: limits::check_name(&body.name)?,
            description: body.description.clone().unwrap_or_default(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            account: account.id.clone(),
            provider: provider.id.clone(),
            subject: body.provider_subject.clone(),
            audiences: body.trusted_audiences.clone().unwrap_or_default(),
            audience_mode: read_mode(body.audience_match_mode.as_deref(), AudienceMode::Any)?,
            scopes,
            conditions: body.conditions.clone().unwrap_or_default(),
            status: Status::Active,
            created_by: maker(scope),
            created_at: now,
            updated_at: now,
            object_version: 1,
            expires_at,
            last_used_at: None,
            generation: 0,
        };
        check(&identity)?;
        check_roles_held(tx, scope, ("service_account", &account.id), now).await?;
        if tx.list_federations().await?.len() >= limits::FEDERATED_IDENTITIES_MAX {
            return Err(too_many("federated identities", limits::FEDERATED_IDENTITIES_MAX));
        }
        tx.insert_federation(&identity).await?;
        tx.describe(told(&identity));
        read_federation(tx, scope).await
    })
    .await
}

/// One federated identity.
pub async fn read(app: &Arc<App>, call: &Call, identity: String) -> Result<Federation> {
    let shared = app.clone();
    gate::read(app, call, on(Action::ReadFederation, identity), async move |tx, scope| {
        Ok(used(&shared, read_federation(tx, scope).await?))
    })
    .await
}

/// Changes what the request names; whoever lets more in must hold what the account holds. Account, provider and
/// subject stay.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    identity: String,
    body: Result<UpdateFederatedIdentityRequest>,
) -> Result<Federation> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdateFederation, identity), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = read_federation(tx, scope).await?.identity;
        let now = shared.clock.now();
        let status = read_status(body.status.as_deref(), before.status)?;
        let lets_in = body.trusted_audiences.is_some()
            || body.audience_match_mode.is_some()
            || body.allowed_scopes.is_some()
            || body.expires_at.is_some()
            || body.conditions.is_some()
            || (status == Status::Active && before.status != Status::Active);
        let (scopes, expires_at) = match lets_in {
            true => bounds(scope, &before, body, now)?,
            false => (before.scopes.clone(), before.expires_at),
        };
        let identity = FederatedIdentity {
            name: body.name.as_deref().map_or(Ok(before.name.clone()), limits::check_name)?,
            description: body.description.clone().unwrap_or(before.description.clone()),
            labels: body.labels.clone().unwrap_or(before.labels.clone()),
            annotations: body.annotations.clone().unwrap_or(before.annotations.clone()),
            audiences: body.trusted_audiences.clone().unwrap_or(before.audiences.clone()),
            audience_mode: read_mode(body.audience_match_mode.as_deref(), before.audience_mode)?,
            conditions: body.conditions.clone().unwrap_or(before.conditions.clone()),
            scopes,
            status,
            expires_at,
            updated_at: now,
            ..before.clone()
        };
        check(&identity)?;
        let ends_tokens = status != before.status
            || (&identity.audiences, identity.audience_mode, &identity.conditions)
                != (&before.audiences, before.audience_mode, &before.conditions);
        if lets_in {
            if !may_act_for(scope, &identity.account) {
                return Err(too_much());
            }
            check_roles_held(tx, scope, ("service_account", &identity.account), now).await?;
        }
        tx.set_federation(&identity, ends_tokens).await?;
        tx.describe(told(&identity));
        Ok(used(&shared, read_federation(tx, scope).await?))
    })
    .await
}

/// Deletes a federated identity; the tokens given out for it end with that.
pub async fn delete(app: &Arc<App>, call: &Call, identity: String) -> Result<()> {
    gate::write(app, call, on(Action::DeleteFederation, identity), async move |tx, scope| {
        let found = read_federation(tx, scope).await?;
        tx.delete_federation(&found.identity.id).await
    })
    .await
}

/// Scopes and end as they come to be: no more than those of the credential that asks. An end that was set before may
/// have passed since.
fn bounds(
    scope: &Scope,
    before: &FederatedIdentity,
    body: &UpdateFederatedIdentityRequest,
    now: i64,
) -> Result<(Scopes, Option<i64>)> {
    let words = body.allowed_scopes.clone().unwrap_or(before.scopes.words().to_vec());
    let over = body.expires_at.is_none() && before.expires_at.is_some_and(|at| at <= now);
    let wanted = match over {
        true => None,
        false => body.expires_at.or(before.expires_at.map(Time::from_micros)),
    };
    match (over, check_bounds(scope, &Some(words.clone()), wanted, now)) {
        // What is over lets nobody in, so only its scopes count.
        (true, Ok((scopes, _))) => Ok((scopes, before.expires_at)),
        (_, bounds) => bounds.map_err(renamed),
    }
}

/// For the record: whose tokens stand for whom.
fn told(identity: &FederatedIdentity) -> String {
    let [account, provider] = [&identity.account, &identity.provider];
    let subject = shorten(&identity.subject);
    format!("{} for {account}: {subject} of {provider}", identity.status.word())
}

/// SECURITY: trusting tokens for an account is as good as making a credential of it.
pub(super) fn may_act_for(scope: &Scope, account: &str) -> bool {
    allows(&scope.caller.grants, Action::CreateCredential, Target::One(account))
}

/// The field has another name here.
fn renamed(error: Error) -> Error {
    match error {
        Error::Invalid { field, why } if field == "scopes" => Error::invalid("allowedScopes", why),
        other => other,
    }
}

fn check(identity: &FederatedIdentity) -> Result<()> {
    limits::check_description(&identity.description)?;
    limits::check_labels(&identity.labels)?;
    limits::check_annotations(&identity.annotations)?;
    identity.check()
}

fn read_mode(word: Option<&str>, otherwise: AudienceMode) -> Result<AudienceMode> {
    let told = || Error::invalid("audienceMatchMode", "must be `exact`, `any` or `all`");
    match word.filter(|word| !word.is_empty()) {
        None => Ok(otherwise),
        Some(word) => AudienceMode::from_word(word).ok_or_else(told),
    }
}

/// What is revoked stays so.
fn read_status(word: Option<&str>, before: Status) -> Result<Status> {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Ok(before) };
    let told = || Error::invalid("status", "must be `active`, `inactive` or `revoked`");
    let status = Status::from_word(word).ok_or_else(told)?;
    match before == Status::Revoked && status != Status::Revoked {
        true => Err(Error::invalid("status", "is `revoked`, which is for good")),
        false => Ok(status),
    }
}

/// With the last use that waits in memory.
fn used(app: &App, mut found: Federation) -> Federation {
    let last = app.last_use.find(&found.identity.id);
    found.identity.last_used_at = last.or(found.identity.last_used_at);
    found
}

/// The federated identity that was authorised.
async fn read_federation(tx: &mut Tx, scope: &Scope) -> Result<Federation> {
    let identity = tx.find_federation(&scope.subject).await?;
    let identity = identity.ok_or(Error::not_found("federated identity"))?;
    let account = tx.find_service_account(&identity.account).await?;
    let provider = tx.find_provider(&identity.provider).await?;
    match (account, provider) {
        (Some(account), Some(provider)) => Ok(Federation { identity, account, provider }),
        _ => Err(Error::corrupt("a federated identity without account or provider")),
    }
}
