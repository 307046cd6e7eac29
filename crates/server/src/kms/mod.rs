//! Operations on keys. Each is one function that passes the gate once.

pub mod data;
pub mod mac;
pub mod manage;
pub mod material;
pub mod purge;
pub mod rotate;
pub mod sign;
pub mod state;

use coffer_api::{KeyVersionText, SecretText};
use coffer_crypto::{Algorithm, SecretBytes};

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::keyring::Fresh;
use crate::lane::Lane;
use crate::model::action::Action;
use crate::model::key::{Key, KeyVersion, Use, VersionName, WrappedKey};
use crate::store::Tx;

/// A key as an answer shows it.
#[derive(Clone)]
pub struct View {
    pub key: Key,
    /// All versions, on single reads.
    pub versions: Option<Vec<KeyVersion>>,
}

/// Which key a call names: region and key as sent.
pub struct Named {
    pub region: String,
    /// Identity or slug.
    pub key: String,
}

impl Named {
    fn ask(self, action: Action) -> Ask {
        Ask { action, region: Some(self.region), subject: Subject::Key(self.key) }
    }
}

/// The key that was authorised.
async fn read_key(tx: &mut Tx, scope: &Scope) -> Result<Key> {
    tx.find_key(scope.region_id(), &scope.project, &scope.subject)
        .await?
        .ok_or(Error::not_found("key"))
}

/// The key that was authorised, after a change, with its versions.
async fn view(tx: &mut Tx, scope: &Scope) -> Result<View> {
    let key = read_key(tx, scope).await?;
    let versions = Some(tx.list_key_versions(&key.id).await?);
    Ok(View { key, versions })
}

/// The name of a version of the key.
fn version_name(scope: &Scope, key: &Key, version: i64) -> VersionName {
    VersionName {
        organisation: scope.organisation.clone(),
        region: scope.region_id().to_owned(),
        project: scope.project.clone(),
        key: key.id.clone(),
        version,
        algorithm: key.algorithm(),
    }
}

/// A version of the key, which a request names in `field`.
async fn read_version(
    tx: &mut Tx,
    scope: &Scope,
    key: &Key,
    (version, field): (i64, &str),
) -> Result<WrappedKey> {
    check_version(key, version, field)?;
    let wrapped = tx.find_key_material(&key.id, version).await?;
    let wrapped = wrapped.ok_or_else(|| Error::corrupt("a key version without material"))?;
    Ok(WrappedKey { name: version_name(scope, key, version), wrapped })
}

/// The version that a request names in `keyVersion`, or the latest.
fn wanted_version(key: &Key, wanted: Option<KeyVersionText>) -> i64 {
    wanted.and_then(|version| version.0).unwrap_or(key.latest_version)
}

fn check_version(key: &Key, version: i64, field: &str) -> Result<()> {
    match (1..=key.latest_version).contains(&version) {
        true => Ok(()),
        false => Err(Error::invalid(field, format!("the key has no version {version}"))),
    }
}

/// The key that a call names, as it was when the call was admitted.
fn admitted_key(scope: &Scope) -> Result<&Key> {
    scope.key.as_deref().ok_or_else(|| Error::bug("a call on no key"))
}

/// A version of the key that is to be used now, with its material.
async fn look_up(
    app: &App,
    scope: &Scope,
    wanted: Use,
    (version, field): (i64, &'static str),
) -> Result<WrappedKey> {
    gate::look_up(app, scope, async move |tx, scope| {
        let key = read_key(tx, scope).await?;
        key.key_type.check(wanted)?;
        key.check_active()?;
        read_version(tx, scope, &key, (version, field)).await
    })
    .await
}

/// Uses a private key: RSA's takes its time on a thread of its own.
async fn compute<T: Send + 'static>(
    app: &App,
    with: &WrappedKey,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match with.name.algorithm {
        Algorithm::Rsa(_) => app.lanes.using.run(&with.name.organisation, work).await,
        _ => work(),
    }
}

/// Fresh material; RSA's takes its time on `lane`.
async fn generate(
    app: &App,
    lane: &Lane,
    organisation: &str,
    algorithm: Algorithm,
) -> Result<Fresh> {
    let keyring = app.keyring.clone();
    match algorithm {
        Algorithm::Rsa(_) => lane.run(organisation, move || keyring.generate(algorithm)).await,
        _ => keyring.generate(algorithm),
    }
}

/// The bytes of a field that holds base64, at most `bytes_max` of them.
fn decode(text: &SecretText, field: &str, bytes_max: usize) -> Result<SecretBytes> {
    let bytes = text.decode().map(SecretBytes::new).ok_or_else(|| not_base64(field))?;
    match bytes.len() > bytes_max {
        true => Err(Error::invalid(field, format!("is longer than {bytes_max} bytes"))),
        false => Ok(bytes),
    }
}

fn not_base64(field: &str) -> Error {
    Error::invalid(field, "is not base64 (standard alphabet with padding)")
}
