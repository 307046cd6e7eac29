//! Rows of secrets and their versions.

use coffer_api::Map;
use serde_json::Value as Json;

use super::kms::{read_key, read_wrapped};
use super::session::{Columns, from_json, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::key::{Key, Wrapped};
use crate::model::quota::Quota;
use crate::model::secret::{Address, Format, Sealed, Secret, Version};
use Value::{Bytes, Int, Text};

/// A secret to insert, without its first version.
pub struct NewSecret<'a> {
    pub id: &'a str,
    pub key: &'a str,
    pub description: &'a str,
    pub labels: &'a Map,
    pub annotations: &'a Map,
    /// With whom its names mean.
    pub access_policy: Option<(&'a Json, &'a Map)>,
}

impl NewSecret<'_> {
    /// The secret that it makes.
    pub fn made(&self, at: &Address, key: Key, now: i64) -> Secret {
        Secret {
            id: self.id.to_owned(),
            path: at.path.to_string(),
            description: self.description.to_owned(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            access_policy: self.access_policy.map(|(policy, _)| policy.clone()),
            policy_names: self.access_policy.map(|(_, names)| names.clone()),
            current_version: 1,
            latest_version: 1,
            object_version: 1,
            created_at: now,
            updated_at: now,
            last_accessed_at: None,
            key,
        }
    }
}

/// A secret with the version asked for, if there is such a one.
pub struct FoundValue {
    pub secret: Secret,
    pub version: Option<FoundVersion>,
}

pub struct FoundVersion {
    pub version: i64,
    pub format: Format,
    /// `None` once the version is destroyed.
    pub sealed: Option<Sealed>,
    pub key_version: i64,
    /// `None` once the key's material is destroyed.
    pub key_material: Option<Wrapped>,
}

impl FoundVersion {
    /// Roughly how many bytes it takes.
    pub fn weight(&self) -> usize {
        let sealed = self.sealed.as_ref();
        let sealed = sealed.map_or(0, |sealed| sealed.value.len() + sealed.wrapped_data_key.len());
        128 + sealed + self.key_material.as_ref().map_or(0, |material| material.bytes.len())
    }
}

impl Tx {
    /// Whether it was inserted: not when the path is taken.
    pub async fn insert_secret(
        &mut self,
        at: &Address,
        new: &NewSecret<'_>,
        now: i64,
    ) -> Result<bool> {
        let (labels, annotations) = (to_json(new.labels)?, to_json(new.annotations)?);
        let (policy, names) = policy_columns(new.access_policy)?;
        let values = [
            Text(&at.organisation),
            Text(&at.region),
            Text(&at.project),
            Text(at.path.as_str()),
            Text(new.id),
            Text(new.key),
            Text(new.description),
            Text(&labels),
            Text(&annotations),
            Value::text_or_null(policy.as_deref()),
            Value::text_or_null(names.as_deref()),
            Int(now),
        ];
        let is_inserted = self.execute(sql::INSERT_SECRET, &values).await? == 1;
        if is_inserted {
            self.use_quota(Quota::Secrets, 1).await?;
        }
        Ok(is_inserted)
    }

    pub async fn insert_secret_version(
        &mut self,
        secret: &str,
        version: i64,
        (format, key_version): (Format, i64),
        sealed: &Sealed,
        now: i64,
    ) -> Result<()> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(secret),
            Int(version),
            Text(format.word()),
            Int(key_version),
            Bytes(&sealed.wrapped_data_key),
            Bytes(&sealed.value),
            Int(now),
        ];
        self.change_one(sql::INSERT_SECRET_VERSION, &values).await?;
        self.use_quota(Quota::Versions, 1).await
    }

    pub async fn find_secret(&mut self, at: &Address) -> Result<Option<Secret>> {
        let values =
            [Text(&at.organisation), Text(&at.region), Text(&at.project), Text(at.path.as_str())];
        self.row(sql::FIND_SECRET, &values, read_accessed_secret).await
    }

    /// A secret's metadata, or not found.
    pub async fn read_secret(&mut self, at: &Address) -> Result<Secret> {
        self.find_secret(at).await?.ok_or(Error::not_found("secret"))
    }

    /// Everything a put needs in one look-up: the secret, and the latest material of its key if it is there.
    pub async fn read_secret_to_seal(&mut self, at: &Address) -> Result<(Secret, Option<Wrapped>)> {
        let values =
            [Text(&at.organisation), Text(&at.region), Text(&at.project), Text(at.path.as_str())];
        let read = |row: &Columns<'_>| Ok((read_secret(row)?, read_wrapped(row)?));
        let found = self.row(sql::FIND_SECRET_TO_SEAL, &values, read).await?;
        found.ok_or(Error::not_found("secret"))
    }

    /// Everything a reveal needs in one look-up; `version` 0 means the current one.
    pub async fn read_value(&mut self, at: &Address, version: i64) -> Result<FoundValue> {
        let values = [
            Text(&at.organisation),
            Text(&at.region),
            Text(&at.project),
            Text(at.path.as_str()),
            Int(version),
        ];
        self.row(sql::FIND_VALUE, &values, |row| {
            let secret = read_secret(row)?;
            let Some(version) = row.int_or_null()? else {
                return Ok(FoundValue { secret, version: None });
            };
            let format = row.word(Format::from_word)?;
            let destroyed = row.int_or_null()?.is_some();
            let sealed = match (row.bytes_or_null()?, row.bytes_or_null()?) {
                (Some(wrapped_data_key), Some(value)) if !destroyed => {
                    Some(Sealed { wrapped_data_key, value })
                }
                (None, None) if destroyed => None,
                _ => return Err(Error::corrupt("a secret version is half destroyed")),
            };
            let key_version = row.int()?;
            let key_material = read_wrapped(row)?;
            let found = FoundVersion { version, format, sealed, key_version, key_material };
            Ok(FoundValue { secret, version: Some(found) })
        })
        .await?
        .ok_or(Error::not_found("secret"))
    }

    pub async fn list_secret_versions(&mut self, secret: &str) -> Result<Vec<Version>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_SECRET_VERSIONS, &[Text(&organisation), Text(secret)], |row| {
            Ok(Version {
                version: row.int()?,
                destroyed_at: row.int_or_null()?,
                format: row.word(Format::from_word)?,
                created_at: row.int()?,
                last_accessed_at: row.int_or_null()?,
            })
        })
        .await
    }

    /// Secrets with `from <= path < end`, in bytewise order.
    pub async fn list_secrets(
        &mut self,
        (region, project): (&str, &str),
        (from, end): (&str, &str),
        count: i64,
    ) -> Result<Vec<Secret>> {
        let organisation = self.organisation();
        let values =
            [Text(&organisation), Text(region), Text(project), Text(from), Text(end), Int(count)];
        self.rows(sql::LIST_SECRETS, &values, read_accessed_secret).await
    }

    pub async fn set_latest_version(&mut self, secret: &str, version: i64, now: i64) -> Result<()> {
        self.row_changed(secret);
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(secret), Int(version), Int(now)];
        self.change_one(sql::SET_LATEST_VERSION, &values).await
    }

    pub async fn set_policy(
        &mut self,
        secret: &str,
        policy: Option<(&Json, &Map)>,
        now: i64,
    ) -> Result<()> {
        self.row_changed(secret);
        let organisation = self.organisation();
        let (policy, names) = policy_columns(policy)?;
        let values = [
            Text(&organisation),
            Text(secret),
            Value::text_or_null(policy.as_deref()),
            Value::text_or_null(names.as_deref()),
            Int(now),
        ];
        self.change_one(sql::SET_POLICY, &values).await
    }

    /// Sets description, labels and annotations to those of `secret`.
    pub async fn set_metadata(&mut self, secret: &Secret, now: i64) -> Result<()> {
        self.row_changed(&secret.id);
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&secret.labels)?, to_json(&secret.annotations)?);
        let values = [
            Text(&organisation),
            Text(&secret.id),
            Text(&secret.description),
            Text(&labels),
            Text(&annotations),
            Int(now),
        ];
        self.change_one(sql::SET_METADATA, &values).await
    }

    /// Whether the version is destroyed; `None` when there was never such a version.
    pub async fn is_version_destroyed(
        &mut self,
        secret: &str,
        version: i64,
    ) -> Result<Option<bool>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(secret), Int(version)];
        self.row(sql::FIND_VERSION, &values, |row| Ok(row.int_or_null()?.is_some())).await
    }

    /// Erases a version's sealed value and data key for ever, and finds the new current version.
    pub async fn destroy_version(&mut self, secret: &str, version: i64, now: i64) -> Result<()> {
        self.row_changed(secret);
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(secret), Int(version), Int(now)];
        self.change_one(sql::DESTROY_VERSION, &values).await?;
        self.use_quota(Quota::Versions, -1).await?;
        self.change_one(sql::SET_CURRENT_VERSION, &[Text(&organisation), Text(secret), Int(now)])
            .await
    }

    /// Deletes a secret with all its versions. When they were stored is kept for metering.
    pub async fn delete_secret(&mut self, secret: &str, now: i64) -> Result<()> {
        self.row_changed(secret);
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(secret)];
        let active = self.row(sql::COUNT_VERSIONS, &values, |row| row.int()).await?;
        let ended = [Text(&organisation), Text(secret), Int(now)];
        self.change_any(sql::END_VERSIONS, &ended).await?;
        self.change_any(sql::DELETE_LAST_ACCESSES, &values).await?;
        self.execute(sql::DELETE_VERSIONS, &values).await?;
        self.change_one(sql::DELETE_SECRET, &values).await?;
        self.use_quota(Quota::Versions, -active.unwrap_or_default()).await?;
        self.use_quota(Quota::Secrets, -1).await
    }

    /// Remembers a reveal. Nothing happens when the secret is gone by now.
    pub async fn touch_secret(
        &mut self,
        organisation: &str,
        secret: &str,
        version: i64,
        at: i64,
    ) -> Result<()> {
        let values = [Text(organisation), Text(secret), Int(version), Int(at)];
        self.change_any(sql::TOUCH_VERSION, &values).await
    }
}

/// A policy and whom its names mean, as they are stored.
fn policy_columns(policy: Option<(&Json, &Map)>) -> Result<(Option<String>, Option<String>)> {
    let Some((policy, names)) = policy else { return Ok((None, None)) };
    Ok((Some(to_json(policy)?), Some(to_json(names)?)))
}

fn read_secret(row: &Columns<'_>) -> Result<Secret> {
    Ok(Secret {
        id: row.text()?,
        path: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        access_policy: row.text_or_null()?.map(|text| from_json(&text)).transpose()?,
        policy_names: row.text_or_null()?.map(|text| from_json(&text)).transpose()?,
        current_version: row.int()?,
        latest_version: row.int()?,
        object_version: row.int()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        last_accessed_at: None,
        key: read_key(row)?,
    })
}

/// With when it was last accessed, which a reveal or a put needs not.
fn read_accessed_secret(row: &Columns<'_>) -> Result<Secret> {
    // Columns are read in their order, so the secret comes first.
    let secret = read_secret(row)?;
    Ok(Secret { last_accessed_at: row.int_or_null()?, ..secret })
}
