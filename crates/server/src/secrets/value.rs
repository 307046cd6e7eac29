//! Reveal a value, put the next one. The only operations that an access policy gates.

use std::sync::Arc;

use coffer_api::{GetSecretValueRequest, PutSecretValueRequest};
use coffer_crypto::SecretBytes;

use super::{Named, address, seal, stored_policy, wrapped};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::access_policy::{AccessPolicy, Circumstances};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::precondition::Precondition;
use crate::model::secret::{Address, Format, NewValue};
use crate::store::{Note, Tx};
use crate::values::Known;

/// A revealed value.
pub struct Revealed {
    pub path: String,
    pub version: i64,
    pub format: Format,
    pub value: SecretBytes,
    pub key: String,
    pub key_version: i64,
    organisation: String,
    secret: String,
}

/// Opens a version's value, the current one when none is named.
pub async fn reveal(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<GetSecretValueRequest>,
) -> Result<Revealed> {
    let ask = named.ask(Action::GetSecretValue);
    let revealed = gate::work_noting(app, call, ask, async |scope, notes| {
        let at = address(scope)?;
        // A bad body is told only once the secret is known to be there.
        let wanted = body.as_ref().map_or(Ok(None), |body| wanted_version(body, &at));
        let known = find_value(app, scope, &at, wanted.clone().ok().flatten()).await?;
        let Known { found, policy } = &*known;
        body.as_ref().map_err(Clone::clone)?;
        let wanted = wanted?;
        let Some(version) = &found.version else {
            return Err(match wanted {
                Some(_) => Error::not_found("secret version"),
                None => Error::invalid("", "every version of this secret is destroyed"),
            });
        };
        let sealed = version.sealed.as_ref().ok_or_else(|| {
            Error::invalid("", format!("version {} is destroyed", version.version))
        })?;
        let (secret, key) = (&found.secret, &found.secret.key);
        scope.check_kms()?;
        key.check_active()?;
        check_policy(app, scope, policy.as_ref(), Action::GetSecretValue)?;
        let material = version.key_material.clone();
        let key_version = wrapped(&at, key, version.key_version, material)?;
        let named = (version.version, version.format);
        let value = app.keyring.open_value(&key_version, &at, named, sealed)?;
        notes.push(Note::new(Action::Decrypt, &key.id));
        Ok(Revealed {
            path: secret.path.clone(),
            version: version.version,
            format: version.format,
            value,
            key: key.id.clone(),
            key_version: version.key_version,
            organisation: at.organisation,
            secret: secret.id.clone(),
        })
    })
    .await?;
    let now = app.clock.now();
    app.last_access.touch(&revealed.organisation, &revealed.secret, revealed.version, now);
    Ok(revealed)
}

/// A secret with the version that is wanted, the current one when none is named.
async fn find_value(
    app: &App,
    scope: &Scope,
    at: &Address,
    version: Option<i64>,
) -> Result<Arc<Known>> {
    let version = version.unwrap_or_default();
    let place = at.clone();
    let look = async move |tx: &mut Tx, _: &Scope| tx.read_value(&place, version).await;
    let look = async || {
        let found = gate::look_up(app, scope, look).await?;
        let policy = stored_policy(&found.secret)?.map(|(_, policy)| policy);
        Ok(Known { found, policy })
    };
    app.values.read(at.clone(), version, look).await
}

/// What a put made.
pub struct Put {
    pub path: String,
    pub version: i64,
}

/// Seals a value as the next version, which becomes the current one.
pub async fn put(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<PutSecretValueRequest>,
    precondition: Precondition,
) -> Result<Put> {
    let shared = app.clone();
    // Decoded before the door, so that nobody waits for it; told in its turn.
    let body = body.and_then(|body| {
        let value = NewValue::from_inputs(
            body.secret_string.as_ref(),
            body.secret_key_values.as_ref(),
            body.generate_secret.as_ref().map(|generate| generate.byte_length),
        )?;
        Ok((body.path, value))
    });
    gate::write(app, call, named.ask(Action::PutSecretValue), async move |tx, scope| {
        let (at, now) = (address(scope)?, shared.clock.now());
        let (secret, material) = tx.read_secret_to_seal(&at).await?;
        let (path, value) = body.as_ref().map_err(Clone::clone)?;
        check_body_path(path.as_deref(), &at)?;
        precondition.check(secret.object_version)?;
        scope.check_kms()?;
        secret.key.check_active()?;
        let policy = stored_policy(&secret)?.map(|(_, policy)| policy);
        check_policy(&shared, scope, policy.as_ref(), Action::PutSecretValue)?;
        let version = secret.latest_version + 1;
        let (key_version, sealed) =
            seal(&shared, tx, &at, (&secret.key, material), (version, value)).await?;
        let with = (value.format, key_version);
        // On a server both are sent before the answer to either is waited for.
        tx.set_latest_version(&secret.id, version, now).await?;
        tx.insert_secret_version(&secret.id, version, with, &sealed, now).await?;
        Ok(Put { path: secret.path, version })
    })
    .await
}

/// The version that a body names, if it names one.
fn wanted_version(body: &GetSecretValueRequest, at: &Address) -> Result<Option<i64>> {
    check_body_path(body.path.as_deref(), at)?;
    match body.version {
        Some(version) if version < 1 => Err(Error::invalid("version", "must be 1 or more")),
        version => Ok(version),
    }
}

/// SECURITY: a body that names another path than the URL must not be obeyed, nor the URL in its place.
fn check_body_path(path: Option<&str>, at: &Address) -> Result<()> {
    match path {
        Some(path) if path != at.path.as_str() => {
            Err(Error::invalid("path", "differs from the path in the URL"))
        }
        _ => Ok(()),
    }
}

fn check_policy(
    app: &App,
    scope: &Scope,
    policy: Option<&AccessPolicy>,
    action: Action,
) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    let circumstances = Circumstances {
        principal: &scope.caller.principal,
        teams: &scope.caller.teams,
        client: scope.arrival.client,
        now: app.clock.now(),
    };
    policy.check(action, &circumstances)
}
