//! Create, read, update, destroy a version, delete.

use std::sync::Arc;

use coffer_api::{CreateSecretRequest, Map, UpdateSecretRequest, Versions};
use serde_json::Value as Json;

use super::{Named, View, address, names_in, parse_policy, seal};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, Use};
use crate::model::limits;
use crate::model::precondition::Precondition;
use crate::model::secret::{Address, NewValue};
use crate::store::{NewSecret, Tx};

/// Makes a secret and its version 1 in one step.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<CreateSecretRequest>,
) -> Result<View> {
    let shared = app.clone();
    // Checked before the door, so that nobody waits for it; told in its turn.
    let body = body.and_then(CheckedBody::new);
    gate::write(app, call, named.ask(Action::CreateSecret), async move |tx, scope| {
        let (app, at, now) = (&shared, address(scope)?, shared.clock.now());
        let body = body.as_ref().map_err(Clone::clone)?;
        let key = match find_key(tx, scope, &at, &body.key).await {
            // A path that is taken is told first. It is looked for here alone, because whoever looks between the rows
            // of a PostgreSQL server is in the way of all who insert there.
            Err(_) if tx.find_secret(&at).await?.is_some() => return Err(taken(&at)),
            found => found?,
        };
        let material = tx.find_key_material(&key.id, key.latest_version).await?;
        let (key_version, sealed) = seal(app, tx, &at, (&key, material), (1, &body.value)).await?;
        let names = names_in(tx, body.policy.as_ref()).await?;
        let id = app.clock.fresh_id("s-")?;
        let new = NewSecret {
            id: &id,
            key: &key.id,
            description: &body.description,
            labels: &body.labels,
            annotations: &body.annotations,
            access_policy: body.policy.as_ref().map(|policy| (policy, &names)),
        };
        if !tx.insert_secret(&at, &new, now).await? {
            return Err(taken(&at));
        }
        let with = (body.value.format, key_version);
        tx.insert_secret_version(&id, 1, with, &sealed, now).await?;
        View::new(app, scope, new.made(&at, key.clone(), now), None)
    })
    .await
}

/// The key that is to seal a new secret.
async fn find_key(tx: &mut Tx, scope: &Scope, at: &Address, key: &str) -> Result<Key> {
    scope.check_kms()?;
    let found = tx.find_key(&at.region, &at.project, key).await?;
    let key = found.ok_or(Error::not_found("KMS key"))?;
    key.key_type.check(Use::Secrets)?;
    key.check_active()?;
    Ok(key)
}

fn taken(at: &Address) -> Error {
    Error::Conflict(format!("a secret at `{}` exists already", at.path))
}

/// What a new secret is made of, within all limits.
struct CheckedBody {
    key: String,
    value: NewValue,
    description: String,
    labels: Map,
    annotations: Map,
    policy: Option<Json>,
}

impl CheckedBody {
    fn new(body: CreateSecretRequest) -> Result<Self> {
        let checked = Self {
            value: NewValue::from_inputs(
                body.secret_string.as_ref(),
                body.secret_key_values.as_ref(),
                body.generate_secret.as_ref().map(|generate| generate.byte_length),
            )?,
            key: body.kms_key_identity,
            description: body.description.unwrap_or_default(),
            labels: body.labels.unwrap_or_default(),
            annotations: body.annotations.unwrap_or_default(),
            policy: parse_policy(body.access_policy.as_ref())?.map(|(json, _)| json.clone()),
        };
        limits::check_description(&checked.description)?;
        limits::check_labels(&checked.labels)?;
        limits::check_annotations(&checked.annotations)?;
        Ok(checked)
    }
}

/// Metadata, with all versions when they are asked for.
pub async fn read(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    versions: Result<Versions>,
    precondition: Precondition,
) -> Result<View> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::ReadSecret), async move |tx, scope| {
        let secret = tx.read_secret(&address(scope)?).await?;
        let versions = versions.clone()?;
        precondition.check_read(secret.object_version)?;
        let versions = match versions {
            Versions::Included => Some(tx.list_secret_versions(&secret.id).await?),
            Versions::LeftOut => None,
        };
        View::new(&shared, scope, secret, versions)
    })
    .await
}

/// Changes description, labels and annotations; what is absent stays.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<UpdateSecretRequest>,
    precondition: Precondition,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, named.ask(Action::UpdateSecret), async move |tx, scope| {
        let at = address(scope)?;
        let mut secret = tx.read_secret(&at).await?;
        let body = body.as_ref().map_err(Clone::clone)?;
        if let Some(description) = &body.description {
            limits::check_description(description)?;
            secret.description.clone_from(description);
        }
        if let Some(labels) = &body.labels {
            limits::check_labels(labels)?;
            secret.labels.clone_from(labels);
        }
        if let Some(annotations) = &body.annotations {
            limits::check_annotations(annotations)?;
            secret.annotations.clone_from(annotations);
        }
        precondition.check(secret.object_version)?;
        tx.set_metadata(&secret, shared.clock.now()).await?;
        View::new(&shared, scope, tx.read_secret(&at).await?, None)
    })
    .await
}

/// Erases one version's value for ever. A version that is destroyed already stays so.
pub async fn destroy_version(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    version: Result<i64>,
    precondition: Precondition,
) -> Result<()> {
    let shared = app.clone();
    gate::write(app, call, named.ask(Action::DestroyVersion), async move |tx, scope| {
        let secret = tx.read_secret(&address(scope)?).await?;
        let version = version.clone()?;
        precondition.check(secret.object_version)?;
        match tx.is_version_destroyed(&secret.id, version).await? {
            None => Err(Error::not_found("secret version")),
            Some(true) => Ok(()),
            Some(false) => tx.destroy_version(&secret.id, version, shared.clock.now()).await,
        }
    })
    .await
}

/// Deletes a secret with all its versions; the path is free at once.
pub async fn delete(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<()> {
    let clock = app.clock.clone();
    gate::write(app, call, named.ask(Action::DeleteSecret), async move |tx, scope| {
        let secret = tx.read_secret(&address(scope)?).await?;
        precondition.check(secret.object_version)?;
        tx.delete_secret(&secret.id, clock.now()).await
    })
    .await
}
