//! A user's own personal access tokens (contract, sections 14, 39 and 15, 4).

use std::sync::Arc;

use coffer_api::{CreateTokenRequest, Time};
use coffer_crypto::token;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::{Call, Principal, Standing};
use crate::model::identity::PersonalToken;
use crate::model::limits::{TOKENS_MAX, check_name};
use crate::model::scopes::Scopes;
use crate::store::{NewToken, Tx};

/// The caller's tokens.
pub async fn list(app: &Arc<App>, call: &Call) -> Result<Vec<PersonalToken>> {
    let ask = Ask { action: Action::ListTokens, region: None, subject: Subject::None };
    let shared = app.clone();
    gate::read(app, call, ask, async move |tx, scope| {
        let mut tokens = tx.list_tokens(own_subject(scope)?).await?;
        for token in &mut tokens {
            token.last_used_at = shared.last_use.find(&token.id).or(token.last_used_at);
        }
        Ok(tokens)
    })
    .await
}

/// A new token of the caller's, whose text is shown this once.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateTokenRequest>,
) -> Result<(PersonalToken, Zeroizing<String>)> {
    let id = app.clock.fresh_id("pat-")?;
    let text = token::mint_pat()?;
    let hash = token::hash(&text);
    let ask = Ask { action: Action::CreateToken, region: None, subject: Subject::New(id.clone()) };
    let shared = app.clone();
    let made = gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let subject = own_subject(scope)?;
        let made = new_token(scope, &id, body, now)?;
        if tx.list_tokens(subject).await?.len() >= TOKENS_MAX {
            return Err(Error::invalid("", format!("there are {TOKENS_MAX} tokens already")));
        }
        let new = NewToken {
            id: &made.id,
            subject,
            name: &made.name,
            scopes: &made.scopes,
            expires_at: made.expires_at,
        };
        tx.insert_token(&hash, &new, now).await?;
        tell_elsewhere(tx, scope, subject, Action::CreateToken, &made.id).await?;
        Ok(made)
    })
    .await?;
    Ok((made, text))
}

/// Scopes and end of a new credential.
///
/// SECURITY: a credential makes none that can do more or lives longer than itself.
pub(super) fn check_bounds(
    scope: &Scope,
    scopes: &Option<Vec<String>>,
    expires_at: Option<Time>,
    now: i64,
) -> Result<(Scopes, Option<i64>)> {
    let own = &scope.caller.credential;
    let scopes = Scopes::parse(scopes.as_deref().unwrap_or_default())?;
    if !own.scopes.cover(&scopes) {
        return Err(Error::invalid("scopes", "go beyond those of the credential that asks"));
    }
    let expires_at = expires_at.map(Time::as_micros);
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid("expiresAt", "has passed"));
    }
    if own.expires_at.is_some_and(|own| expires_at.is_none_or(|at| at > own)) {
        return Err(Error::invalid("expiresAt", "is later than that of the credential that asks"));
    }
    Ok((scopes, expires_at))
}

fn new_token(
    scope: &Scope,
    id: &str,
    body: &CreateTokenRequest,
    now: i64,
) -> Result<PersonalToken> {
    let (scopes, expires_at) = check_bounds(scope, &body.scopes, body.expires_at, now)?;
    Ok(PersonalToken {
        id: id.to_owned(),
        name: check_name(&body.name)?,
        scopes,
        created_at: now,
        expires_at,
        last_used_at: None,
    })
}

/// Revokes a token of the caller's: the next call with it is refused.
pub async fn delete(app: &Arc<App>, call: &Call, id: String) -> Result<()> {
    let ask = Ask { action: Action::DeleteToken, region: None, subject: Subject::New(id.clone()) };
    gate::write(app, call, ask, async move |tx, scope| {
        let subject = own_subject(scope)?;
        tx.delete_token(subject, &id).await?;
        tell_elsewhere(tx, scope, subject, Action::DeleteToken, &id).await
    })
    .await
}

/// A user's token is good in each of the user's organisations, so the log of each tells of it.
async fn tell_elsewhere(
    tx: &mut Tx,
    scope: &Scope,
    subject: &str,
    action: Action,
    token: &str,
) -> Result<()> {
    let here = match &scope.caller.standing {
        Standing::Member(organisation) => organisation.id.as_str(),
        Standing::Stranger | Standing::Unnamed => "",
    };
    for membership in tx.list_memberships(subject).await? {
        if membership.organisation.id != here {
            tx.note_in(&membership.organisation.id, action, token);
        }
    }
    Ok(())
}

fn own_subject(scope: &Scope) -> Result<&str> {
    match &scope.caller.principal {
        Principal::User { subject } => Ok(subject),
        Principal::ServiceAccount { .. }
        | Principal::Administrator { .. }
        | Principal::System { .. } => Err(Error::denied("only users have personal access tokens")),
    }
}
