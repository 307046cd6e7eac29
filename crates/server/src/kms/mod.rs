//! Operations on keys. Each is one function that passes the gate once.

pub mod data;
pub mod manage;
pub mod rotate;
pub mod state;

use crate::error::{Error, Result};
use crate::gate::{Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::key::{Key, KeyVersion, WrappedKey};
use crate::store::Tx;

/// A key as an answer shows it.
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

/// A version of a key, its material still to be filled in.
fn unfilled(scope: &Scope, key: &Key, version: i64) -> WrappedKey {
    WrappedKey {
        organisation: scope.organisation.clone(),
        region: scope.region_id().to_owned(),
        project: scope.project.clone(),
        key: key.id.clone(),
        version,
        key_type: key.key_type,
        material: Vec::new(),
    }
}
