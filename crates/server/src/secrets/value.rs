//! Reveal a value, put the next one. The only operations that an access policy gates.

use std::sync::Arc;

use coffer_api::{GetSecretValueRequest, PutSecretValueRequest};
use coffer_crypto::SecretBytes;

use super::{Named, address, seal, stored_policy, wrapped};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::access_policy::Circumstances;
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::precondition::Precondition;
use crate::model::secret::{Address, Format, NewValue, Secret};

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
    let shared = app.clone();
    let revealed =
        gate::read(app, call, named.ask(Action::GetSecretValue), async move |tx, scope| {
            let at = address(scope)?;
            // A bad body is told only once the secret is known to be there.
            let wanted = body.as_ref().map_or(Ok(None), |body| wanted_version(body, &at));
            let found =
                tx.read_value(&at, wanted.clone().ok().flatten().unwrap_or_default()).await?;
            body.as_ref().map_err(Clone::clone)?;
            let wanted = wanted?;
            let Some(version) = found.version else {
                return Err(match wanted {
                    Some(_) => Error::not_found("secret version"),
                    None => Error::invalid("", "every version of this secret is destroyed"),
                });
            };
            let sealed = version.sealed.ok_or_else(|| {
                Error::invalid("", format!("version {} is destroyed", version.version))
            })?;
            let secret = found.secret;
            scope.check_kms()?;
            secret.key.check_active()?;
            check_policy(&shared, scope, &secret, Action::GetSecretValue)?;
            let key_version = wrapped(&at, &secret.key, version.key_version, version.key_material)?;
            let value = shared.keyring.open_value(
                &key_version,
                &at,
                (version.version, version.format),
                &sealed,
            )?;
            tx.note(Action::Decrypt, &secret.key.id);
            Ok(Revealed {
                path: secret.path,
                version: version.version,
                format: version.format,
                value,
                key: secret.key.id,
                key_version: version.key_version,
                organisation: at.organisation,
                secret: secret.id,
            })
        })
        .await?;
    let now = app.clock.now();
    app.last_access.touch(&revealed.organisation, &revealed.secret, revealed.version, now);
    Ok(revealed)
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
        let secret = tx.read_secret(&at).await?;
        let (path, value) = body.as_ref().map_err(Clone::clone)?;
        check_body_path(path.as_deref(), &at)?;
        precondition.check(secret.object_version)?;
        scope.check_kms()?;
        secret.key.check_active()?;
        check_policy(&shared, scope, &secret, Action::PutSecretValue)?;
        let version = secret.latest_version + 1;
        let (key_version, sealed) = seal(&shared, tx, &at, &secret.key, (version, value)).await?;
        let with = (value.format, key_version);
        tx.insert_secret_version(&secret.id, version, with, &sealed, now).await?;
        tx.set_latest_version(&secret.id, version, now).await?;
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

fn check_policy(app: &App, scope: &Scope, secret: &Secret, action: Action) -> Result<()> {
    let Some((_, policy)) = stored_policy(secret)? else { return Ok(()) };
    let circumstances = Circumstances {
        principal: &scope.caller.principal,
        teams: &scope.caller.teams,
        client: scope.arrival.client,
        now: app.clock.now(),
    };
    policy.check(action, &circumstances)
}
