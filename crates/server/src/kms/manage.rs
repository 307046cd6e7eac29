//! Summary, create, list, read.

use std::sync::Arc;

use coffer_api::{CreateKeyRequest, SecretText};
use coffer_crypto::{Algorithm, Digest};

use super::material::find_wrapping_key;
use super::rotate::check_rotation;
use super::sign::named_digest;
use super::{Named, View, decode, generate, version_name, view};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Page, PageBounds, Pages, Scope, Subject};
use crate::keyring::Fresh;
use crate::model::action::{Action, Feature};
use crate::model::caller::{Call, Standing};
use crate::model::decide::{Target, allows};
use crate::model::identity::Region;
use crate::model::key::{Key, KeyFilter, KeyStatus, KeyType, Use};
use crate::model::limits;
use crate::model::precondition::Precondition;
use crate::model::quota::Quota;
use crate::store::{NewKey, Tx};

/// A region and how many keys of the scope it has: active, disabled, pending deletion.
pub struct RegionSummary {
    pub region: Region,
    pub counts: [i64; 3],
}

/// Whether KMS is on for the organisation, and its regions.
pub async fn summary(app: &Arc<App>, call: &Call) -> Result<(bool, Vec<RegionSummary>)> {
    let ask = Ask { action: Action::KmsSummary, region: None, subject: Subject::None };

    let regions = app.directory.list_regions().await;
    let (enabled, regions, counts) = gate::read(app, call, ask, async move |tx, scope| {
        let enabled = match &scope.caller.standing {
            Standing::Member(organisation) => organisation.has(Feature::Kms),
            Standing::Stranger | Standing::Unnamed => false,
        };
        Ok((enabled, regions.clone()?, tx.count_keys(&scope.project).await?))
    })
    .await?;
    if !enabled {
        return Ok((false, Vec::new()));
    }
    let count = |region: &Region, status| {
        let here = counts.iter().filter(|(id, s, _)| *id == region.id && *s == status);
        here.map(|(_, _, count)| count).sum()
    };
    let statuses = [KeyStatus::Active, KeyStatus::Disabled, KeyStatus::PendingDeletion];
    let summaries = regions.iter().map(|region| RegionSummary {
        region: region.clone(),
        counts: statuses.map(|status| count(region, status)),
    });
    Ok((true, summaries.collect()))
}

/// Makes a key with its version 1.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    region: String,
    body: Result<CreateKeyRequest>,
) -> Result<View> {
    // The identity is chosen first, so that the record of the creation names the key.
    let id = app.clock.fresh_id("kms-")?;
    let ask = Ask { action: Action::CreateKey, region: Some(region), subject: Subject::New(id) };
    let (ahead, shared) = (app.clone(), app.clone());
    let prepare = async move |scope: Scope| {
        let body = body?;
        let key = new_key(&body, &scope.subject, &scope.project, ahead.clock.now())?;
        check_place(&ahead, &scope, &key.slug).await?;
        let fresh = match &body.import_key_material {
            Some(blob) => import(&ahead, &scope, &key, blob, &body.hash_function).await?,
            None => {
                let lane = &ahead.lanes.making;
                generate(&ahead, lane, &scope.organisation, key.algorithm()).await?
            }
        };
        Ok((key, fresh))
    };
    gate::write_prepared(app, call, ask, prepare, async move |tx, scope, (key, fresh)| {
        let material = shared.keyring.wrap_fresh(&version_name(scope, key, 1), fresh)?;
        tx.insert_key(&NewKey { region: scope.region_id(), key, material: &material }).await?;
        view(tx, scope).await
    })
    .await
}

/// A slug that is taken and a quota that is used up are told before a key is made in vain; the transaction tells
/// it again if need be.
async fn check_place(app: &App, scope: &Scope, slug: &str) -> Result<()> {
    let wanted = slug.to_owned();
    let look = async move |tx: &mut Tx, scope: &Scope| {
        let taken = tx.is_slug_taken(scope.region_id(), &scope.project, &wanted).await?;
        tx.check_quota(Quota::Keys).await.map(|()| taken)
    };
    match gate::look_up(app, scope, look).await? {
        true => Err(Error::Conflict(format!("a key with the slug `{slug}` exists already"))),
        false => Ok(()),
    }
}

/// Opens material that the caller has wrapped for the region's wrapping key.
async fn import(
    app: &Arc<App>,
    scope: &Scope,
    key: &Key,
    blob: &SecretText,
    hash_function: &Option<String>,
) -> Result<Fresh> {
    key.key_type.check(Use::Import)?;
    let blob = decode(blob, "importKeyMaterial", limits::IMPORT_BYTES_MAX)?;
    let digest = named_digest("hashFunction", hash_function.as_deref())?;
    let digest = digest.unwrap_or(Digest::Sha256);
    let region = scope.region_id().to_owned();
    let wrapping = find_wrapping_key(app, &region).await?;
    let (keyring, algorithm) = (app.keyring.clone(), key.algorithm());
    let opened = move || keyring.import(algorithm, digest, (&region, &wrapping), blob.expose());
    app.lanes.making.run(&scope.organisation, opened).await
}

/// Checks a new key against section 3.5.
fn new_key(body: &CreateKeyRequest, id: &str, project: &str, now: i64) -> Result<Key> {
    let name = limits::check_name(&body.name)?;
    let description = body.description.clone().unwrap_or_default();
    let labels = body.labels.clone().unwrap_or_default();
    let annotations = body.annotations.clone().unwrap_or_default();
    limits::check_description(&description)?;
    limits::check_labels(&labels)?;
    limits::check_annotations(&annotations)?;
    let key_type = match body.key_type.as_deref() {
        None | Some("") => KeyType::Aes256Gcm,
        Some(word) => KeyType::from_word(word).ok_or_else(|| {
            let known: Vec<_> = KeyType::ALL.iter().map(|(_, word)| *word).collect();
            Error::invalid("keyType", format!("must be one of {}", known.join(", ")))
        })?,
    };
    let imported = body.import_key_material.is_some();
    let key = Key {
        id: id.to_owned(),
        project: project.to_owned(),
        slug: limits::check_slug(&name)?,
        name,
        description,
        labels,
        annotations,
        key_type,
        digest: new_digest(key_type, body.hash_function.as_deref())?,
        status: KeyStatus::Active,
        export_allowed: body.export_allowed.unwrap_or_default(),
        imported,
        allow_rotation: imported && body.allow_rotation.unwrap_or_default(),
        rotation_enabled: body.key_rotation_enabled.unwrap_or_default(),
        rotation_period_days: body.rotation_period_in_days,
        latest_version: 1,
        min_decryption_version: 1,
        deletion_scheduled_at: None,
        created_at: now,
        updated_at: now,
        object_version: 1,
    };
    check_rotation(&key)?;
    Ok(key)
}

/// The hash of an HMAC key: the type's own, or for `hmac` the one that is named.
fn new_digest(key_type: KeyType, hash_function: Option<&str>) -> Result<Option<Digest>> {
    let named = named_digest("hashFunction", hash_function)?;
    let Algorithm::Hmac(own) = key_type.algorithm(named) else { return Ok(None) };
    match named {
        Some(named) if named != own => {
            let why = format!("a key of type `{}` uses {}", key_type.word(), own.word());
            Err(Error::invalid("hashFunction", why))
        }
        _ => Ok(Some(own)),
    }
}

/// A page of keys, as it was asked for.
#[derive(Debug, Clone)]
pub struct Query {
    pub filter: KeyFilter,
    pub limit: Option<usize>,
    /// The identity after which the page begins.
    pub after: String,
}

/// The keys of a scope that the caller may list, in the order of their identities.
pub async fn list(
    app: &Arc<App>,
    call: &Call,
    region: String,
    query: Result<Query>,
) -> Result<Pages<Key>> {
    let ask = Ask { action: Action::ListKeys, region: Some(region), subject: Subject::None };
    let from = query.as_ref().map(|query| query.after.clone()).unwrap_or_default();
    gate::pages(app, call, ask, from, async move |tx: &mut Tx, scope: &Scope, from: &str| {
        read_page(tx, scope, query.as_ref().map_err(Clone::clone)?, from).await
    })
    .await
}

async fn read_page(tx: &mut Tx, scope: &Scope, query: &Query, from: &str) -> Result<Page<Key>> {
    let mut page = Page { items: Vec::new(), next: None };
    let mut bounds = PageBounds::new(query.limit);
    let mut after = from.to_owned();
    while let Some(step) = bounds.step() {
        let place = (scope.region_id(), scope.project.as_str());
        let keys = tx.list_keys(place, &query.filter, &after, step).await?;
        if keys.is_empty() {
            return Ok(page);
        }
        for key in keys {
            if bounds.are_reached(page.items.len()) {
                page.next = Some(after);
                return Ok(page);
            }
            bounds.count(key.weight());
            after.clone_from(&key.id);
            if allows(&scope.caller.grants, Action::ListKeys, Target::One(&key.id)) {
                page.items.push(key);
            }
        }
    }
    page.next = Some(after);
    Ok(page)
}

/// One key with its versions.
pub async fn read(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    precondition: Precondition,
) -> Result<View> {
    gate::read(app, call, named.ask(Action::ReadKey), async move |tx, scope| {
        let view = view(tx, scope).await?;
        precondition.check_read(view.key.object_version)?;
        Ok(view)
    })
    .await
}
