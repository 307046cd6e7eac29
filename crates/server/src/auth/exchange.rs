//! Token exchange: another issuer's token for an access token of a service account (RFC 8693; contract, section 5.2).

use std::sync::Arc;

use super::token_endpoint::{
    Form, Granted, NoToken, end, field, hand_out, lifetime, narrow, wanted_scopes, whole,
};
use crate::app::App;
use crate::error::Result;
use crate::gate;
use crate::model::access_token::AccessToken;
use crate::model::action::Action;
use crate::model::caller::{Arrival, Claim, Shown};
use crate::model::federation::{FederatedIdentity, Provider, Status, check_claims};
use crate::model::jwks::Unverified;
use crate::model::scopes::Scopes;

const SUBJECT_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
/// What can be asked for: it is both.
const ISSUED_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];

pub(super) async fn exchange(
    app: &Arc<App>,
    arrival: &Arrival,
    form: &Form,
) -> Result<Granted, NoToken> {
    check_form(app, form)?;
    let need = |name: &str| {
        let missing = || NoToken::other("invalid_request", &format!("`{name}` is missing"));
        field(form, name).ok_or_else(missing)
    };
    let (organisation, account) = (need("organisation_id")?, need("service_account_id")?);
    let token = need("subject_token")?;
    let lifetime_seconds = lifetime(form)?;
    let wanted = wanted_scopes(form)?;
    let token = Unverified::read(token).map_err(NoToken::subject)?;
    let found = find(app, organisation, account, &token.issuer).await?;
    let now = app.clock.now();
    let keys = app.issuers.read_keys(&found.organisation, &found.provider, &token, now).await;
    let keys = keys.map_err(NoToken::subject)?;
    let claims = keys.verify(&token).ok_or(NoToken::subject("not signed by the issuer"))?;
    // Anew: reading the keys may have taken a while.
    let now = app.clock.now();
    check_claims(&claims, &found.provider.issuer, now).map_err(NoToken::subject)?;
    let accepting: Vec<_> =
        found.identities.iter().filter(|one| one.accepts(&claims, now)).collect();
    let identity = choose(&accepting, &wanted)?;
    let says = AccessToken {
        id: app.clock.fresh_id("at-")?,
        organisation: found.organisation.clone(),
        account: identity.account.clone(),
        credential: identity.id.clone(),
        scopes: narrow(&identity.scopes, wanted)?,
        generation: identity.generation + found.provider.generation,
        issued_at: whole(now),
        expires_at: end(now, lifetime_seconds, identity.expires_at),
    };
    // Looked up like any call with the token: what has been taken away meanwhile is missed.
    let token = Shown::AccessToken(Arc::new(says.clone()));
    let claim = Claim { token, organisation: found.organisation };
    hand_out(app, arrival, Action::ExchangeToken, claim, says).await
}

/// What is asked for besides must be what we have.
fn check_form(app: &App, form: &Form) -> Result<(), NoToken> {
    match field(form, "subject_token_type") {
        Some(word) if SUBJECT_TYPES.contains(&word) => {}
        Some(_) => {
            let why = "`subject_token_type` must be `urn:ietf:params:oauth:token-type:jwt` or `…:id_token`";
            return Err(NoToken::other("invalid_request", why));
        }
        None => return Err(NoToken::other("invalid_request", "`subject_token_type` is missing")),
    }
    if field(form, "requested_token_type").is_some_and(|word| !ISSUED_TYPES.contains(&word)) {
        return Err(NoToken::other("invalid_request", "only access tokens can be had"));
    }
    if field(form, "actor_token").is_some() {
        return Err(NoToken::other("invalid_request", "nobody acts for a service account"));
    }
    let issuer = app.issuer();
    for name in ["resource", "audience"] {
        if field(form, name).is_some_and(|target| target.trim_end_matches('/') != issuer) {
            return Err(NoToken::other("invalid_target", "tokens are for this server only"));
        }
    }
    Ok(())
}

/// What could accept a token, before anybody has looked at its signature.
struct Found {
    organisation: String,
    provider: Provider,
    identities: Vec<FederatedIdentity>,
}

/// SECURITY: whoever has no active identity at the issuer makes us fetch nothing, and learns nothing.
async fn find(
    app: &App,
    organisation: &str,
    account: &str,
    issuer: &str,
) -> Result<Found, NoToken> {
    let reference = organisation.to_owned();
    let organisation = gate::inspect(app, async move |tx| tx.find_organisation(&reference).await);
    let organisation = organisation.await?.ok_or(NoToken::subject("unknown organisation"))?.id;
    let (account, issuer) = (account.to_owned(), issuer.to_owned());
    let (provider, identities) = gate::inspect_within(app, &organisation, async move |tx| {
        let provider = tx.find_provider_of_issuer(&issuer).await?;
        let account = tx.find_service_account(&account).await?;
        let identities = match (&provider, account) {
            (Some(provider), Some(account)) => {
                tx.list_federations_between(&account.id, &provider.id).await?
            }
            _ => Vec::new(),
        };
        Ok((provider, identities))
    })
    .await?;
    let provider = provider.filter(|provider| provider.status == Status::Active);
    let provider =
        provider.ok_or(NoToken::subject("no active identity provider of this issuer"))?;
    let now = app.clock.now();
    if identities.iter().all(|identity| identity.status_at(now) != "active") {
        return Err(NoToken::subject("no active federated identity of this service account"));
    }
    Ok(Found { organisation, provider, identities })
}

/// The first identity that accepts the token and has the scopes that are wanted.
fn choose<'i>(
    accepting: &[&'i FederatedIdentity],
    wanted: &Scopes,
) -> Result<&'i FederatedIdentity, NoToken> {
    let enough = |one: &&&FederatedIdentity| wanted.are_unrestricted() || one.scopes.cover(wanted);
    match accepting.iter().find(enough).or(accepting.first()) {
        Some(identity) => Ok(identity),
        None => Err(NoToken::subject("no federated identity accepts subject, audience and claims")),
    }
}
