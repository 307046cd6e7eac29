//! Operations on secrets. Each is one function that passes the gate once.

pub mod browse;
pub mod explain;
pub mod manage;
pub mod policy;
pub mod value;

use coffer_api::{Map, SecretPath};
use serde_json::Value as Json;

use crate::app::App;
use crate::budget;
use crate::error::{Error, Result, describe_json_error};
use crate::gate::{Ask, Scope, Subject};
use crate::model::access_policy::AccessPolicy;
use crate::model::action::Action;
use crate::model::identity::Region;
use crate::model::key::{Key, VersionName, Wrapped, WrappedKey};
use crate::model::secret::{Address, NewValue, Sealed, Secret, Version};
use crate::store::Tx;

/// A secret as an answer shows it.
#[derive(Clone)]
pub struct View {
    pub secret: Secret,
    pub region: Region,
    /// All versions, where they were asked for.
    pub versions: Option<Vec<Version>>,
}

/// Which secret a call names: region as sent, path as parsed.
pub struct Named {
    pub region: String,
    pub path: Result<SecretPath>,
}

impl Named {
    fn ask(self, action: Action) -> Ask {
        Ask { action, region: Some(self.region), subject: Subject::Secret(self.path) }
    }
}

impl View {
    /// A view with the last reveals that are not in the store yet.
    fn new(
        app: &App,
        scope: &Scope,
        mut secret: Secret,
        mut versions: Option<Vec<Version>>,
    ) -> Result<Self> {
        if let Some(accesses) = app.last_access.find(&secret.id) {
            secret.last_accessed_at = accesses.versions.values().copied().max();
            for version in versions.iter_mut().flatten() {
                let access = accesses.versions.get(&version.version).copied();
                version.last_accessed_at = access.or(version.last_accessed_at);
            }
        }
        let region = scope.region.clone().ok_or_else(|| Error::bug("a secret without a region"))?;
        Ok(Self { secret, region, versions })
    }
}

/// The address that was authorised: the only one that look-up, seal and record use.
fn address(scope: &Scope) -> Result<Address> {
    Ok(Address {
        organisation: scope.organisation.clone(),
        region: scope.region_id().to_owned(),
        project: scope.project.clone(),
        path: SecretPath::parse(&scope.subject).map_err(|error| Error::bug(error.to_string()))?,
    })
}

/// A version of the key a secret is bound to, with its wrapped material.
fn wrapped(at: &Address, key: &Key, version: i64, material: Option<Wrapped>) -> Result<WrappedKey> {
    let name = VersionName {
        organisation: at.organisation.clone(),
        region: at.region.clone(),
        project: at.project.clone(),
        key: key.id.clone(),
        version,
        algorithm: key.algorithm(),
    };
    let wrapped = material.ok_or_else(|| Error::corrupt("a key version without material"))?;
    Ok(WrappedKey { name, wrapped })
}

/// Seals a value under the key's latest version, of this material: which one that was, and the seal.
async fn seal(
    app: &App,
    tx: &mut Tx,
    at: &Address,
    (key, material): (&Key, Option<Wrapped>),
    (version, value): (i64, &NewValue),
) -> Result<(i64, Sealed)> {
    let with = wrapped(at, key, key.latest_version, material)?;
    let permit = budget::permit_in(app, tx, &with.name).await?;
    let sealed = app.keyring.seal_value(&with, at, version, value, &permit)?;
    tx.note(Action::Encrypt, &key.id);
    Ok((key.latest_version, sealed))
}

/// The access policy of a secret, if it has one, with names that mean whom they meant when it was set.
fn stored_policy(secret: &Secret) -> Result<Option<(&Json, AccessPolicy)>> {
    let found = parse_policy(secret.access_policy.as_ref())
        .map_err(|error| Error::corrupt(format!("a stored access policy: {error}")))?;
    Ok(found.map(|(json, mut policy)| {
        if let Some(names) = &secret.policy_names {
            policy.hold_to(names);
        }
        (json, policy)
    }))
}

/// Checks a policy as it was sent. `null` and `{}` mean none; anything else is kept as it came.
fn parse_policy(policy: Option<&Json>) -> Result<Option<(&Json, AccessPolicy)>> {
    match policy {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(fields)) if fields.is_empty() => Ok(None),
        Some(json) => {
            check_shape(json)?;
            let wire = serde_path_to_error::deserialize(json)
                .map_err(|error| describe_json_error("accessPolicy", &error))?;
            Ok(Some((json, AccessPolicy::compile(&wire)?)))
        }
    }
}

/// Whom the names in a policy mean, now that it is set: a slug that is free later may be anybody's.
async fn names_in(tx: &mut Tx, policy: Option<&Json>) -> Result<Map> {
    let mut meant = Map::new();
    let Some((_, policy)) = parse_policy(policy)? else { return Ok(meant) };
    let [teams, accounts] = policy.names();
    for name in teams {
        let found = tx.find_team(name).await?;
        meant.extend(found.map(|team| (format!("team:{name}"), team.id)));
    }
    for name in accounts {
        let found = tx.find_service_account(name).await?;
        meant.extend(found.map(|account| (format!("serviceAccount:{name}"), account.id)));
    }
    Ok(meant)
}

/// Objects where objects belong: a struct would also be read from an array, field by field.
fn check_shape(policy: &Json) -> Result<()> {
    let groups = policy.as_object().into_iter().flatten();
    let items = groups.filter_map(|(_, group)| group.as_array()).flatten();
    let times = items.clone().filter_map(|item| item.get("time"));
    match std::iter::once(policy).chain(items).chain(times).all(Json::is_object) {
        true => Ok(()),
        false => {
            Err(Error::invalid("accessPolicy", "must be an object that holds lists of objects"))
        }
    }
}
