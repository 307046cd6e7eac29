//! Service accounts and their credentials (contract, section 4.3).

use std::sync::Arc;

use coffer_api::{
    CreateAccessCredentialRequest, CreateServiceAccountRequest, UpdateServiceAccountRequest,
};
use coffer_crypto::token;
use zeroize::Zeroizing;

use super::roles::{check_roles_held, too_many};
use super::tokens::check_bounds;
use super::{Filter, maker};
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::limits;
use crate::model::service_account::{AccessCredential, ServiceAccount};
use crate::store::Tx;

fn on(action: Action, account: String) -> Ask {
    Ask { action, region: None, subject: Subject::ServiceAccount(account) }
}

/// The service accounts that the caller may list.
pub async fn list(
    app: &Arc<App>,
    call: &Call,
    filter: Result<Filter>,
) -> Result<Vec<ServiceAccount>> {
    let ask = Ask { action: Action::ListAccounts, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let shown = |account: &ServiceAccount| {
            filter.matches([&account.id, &account.name, &account.slug], &account.labels)
                && allows(&scope.caller.grants, Action::ListAccounts, Target::One(&account.id))
        };
        Ok(tx.list_service_accounts().await?.into_iter().filter(shown).collect())
    })
    .await
}

/// Makes a service account that holds nothing.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateServiceAccountRequest>,
) -> Result<ServiceAccount> {
    let id = app.clock.fresh_id("sa-")?;
    let ask = Ask { action: Action::CreateAccount, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let name = limits::check_name(&body.name)?;
        let now = shared.clock.now();
        let account = ServiceAccount {
            id: scope.subject.clone(),
            slug: limits::check_slug(&name)?,
            name,
            description: body.description.clone().unwrap_or_default(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            created_by: maker(scope),
            created_at: now,
            updated_at: now,
            object_version: 1,
        };
        check(&account)?;
        tx.insert_service_account(&account).await?;
        read_account(tx, scope).await
    })
    .await
}

/// One service account.
pub async fn read(app: &Arc<App>, call: &Call, account: String) -> Result<ServiceAccount> {
    let ask = on(Action::ReadAccount, account);
    gate::read(app, call, ask, async move |tx, scope| read_account(tx, scope).await).await
}

/// Changes what the request names. The slug stays: access policies may name it.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    account: String,
    body: Result<UpdateServiceAccountRequest>,
) -> Result<ServiceAccount> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdateAccount, account), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = read_account(tx, scope).await?;
        let account = ServiceAccount {
            name: body.name.as_deref().map_or(Ok(before.name), limits::check_name)?,
            description: body.description.clone().unwrap_or(before.description),
            labels: body.labels.clone().unwrap_or(before.labels),
            annotations: body.annotations.clone().unwrap_or(before.annotations),
            updated_at: shared.clock.now(),
            ..before
        };
        check(&account)?;
        tx.set_service_account(&account).await?;
        read_account(tx, scope).await
    })
    .await
}

/// Deletes a service account; none of its credentials is good for anything any more.
pub async fn delete(app: &Arc<App>, call: &Call, account: String) -> Result<()> {
    gate::write(app, call, on(Action::DeleteAccount, account), async move |tx, scope| {
        let account = read_account(tx, scope).await?;
        tx.delete_service_account(&account.id).await
    })
    .await
}

/// The credentials of a service account, without secrets.
pub async fn list_credentials(
    app: &Arc<App>,
    call: &Call,
    account: String,
) -> Result<Vec<AccessCredential>> {
    let shared = app.clone();
    gate::read(app, call, on(Action::ListCredentials, account), async move |tx, scope| {
        let mut credentials = tx.list_credentials(&scope.subject).await?;
        for credential in &mut credentials {
            let used = shared.last_use.find(&credential.id);
            credential.last_used_at = used.or(credential.last_used_at);
        }
        Ok(credentials)
    })
    .await
}

/// A new credential of a service account, whose secret is shown this once.
///
/// SECURITY: whoever has it acts for the account, so it is made only by those who hold all that the account holds.
pub async fn create_credential(
    app: &Arc<App>,
    call: &Call,
    account: String,
    body: Result<CreateAccessCredentialRequest>,
) -> Result<(AccessCredential, Zeroizing<String>)> {
    let (access_key, secret) = token::mint_access_key()?;
    let hash = token::hash_access_key(&access_key, &secret);
    let id = app.clock.fresh_id("ac-")?;
    let shared = app.clone();
    let ask = on(Action::CreateCredential, account);
    let made = gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let (scopes, expires_at) = check_bounds(scope, &body.scopes, body.expires_at, now)?;
        let name = body.name.as_deref().unwrap_or_default().trim();
        if name.chars().count() > limits::NAME_CHARS_MAX {
            return Err(Error::invalid("name", "is longer than 255 characters"));
        }
        let credential = AccessCredential {
            id: id.clone(),
            access_key: access_key.clone(),
            name: name.to_owned(),
            description: body.description.clone().unwrap_or_default(),
            scopes,
            created_at: now,
            expires_at,
            last_used_at: None,
        };
        limits::check_description(&credential.description)?;
        let account = read_account(tx, scope).await?;
        check_roles_held(tx, scope, ("service_account", &account.id), now).await?;
        if tx.list_credentials(&account.id).await?.len() >= limits::TOKENS_MAX {
            return Err(too_many("credentials", limits::TOKENS_MAX));
        }
        tx.insert_credential(&hash, &account.id, &credential).await?;
        tx.describe(format!("credential {id}"));
        Ok(credential)
    })
    .await?;
    Ok((made, secret))
}

/// Revokes a credential: the next call with it is refused.
pub async fn delete_credential(
    app: &Arc<App>,
    call: &Call,
    account: String,
    credential: String,
) -> Result<()> {
    gate::write(app, call, on(Action::DeleteCredential, account), async move |tx, scope| {
        tx.delete_credential(&scope.subject, &credential).await?;
        tx.describe(format!("credential {}", shorten(&credential)));
        Ok(())
    })
    .await
}

fn check(account: &ServiceAccount) -> Result<()> {
    limits::check_description(&account.description)?;
    limits::check_labels(&account.labels)?;
    limits::check_annotations(&account.annotations)
}

/// The service account that was authorised.
async fn read_account(tx: &mut Tx, scope: &Scope) -> Result<ServiceAccount> {
    let found = tx.find_service_account(&scope.subject).await?;
    found.ok_or(Error::not_found("service account"))
}
