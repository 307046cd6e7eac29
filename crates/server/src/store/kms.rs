//! Rows of keys and their versions.

use super::tx::{Columns, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::key::{Key, KeyFilter, KeyStatus, KeyType, KeyVersion};
use Value::{Bytes, Int, Text};

/// A key to insert; the rest of its columns follow from being new.
pub struct NewKey<'a> {
    pub region: &'a str,
    pub key: &'a Key,
    /// Version 1, wrapped.
    pub material: &'a [u8],
}

/// A key that is to be rotated by the clock.
#[derive(Debug, Clone)]
pub struct DueKey {
    pub key: String,
    pub organisation: String,
    pub region: String,
    pub project: String,
}

impl Tx {
    /// A conflict when the slug is taken.
    pub async fn insert_key(&mut self, new: &NewKey<'_>) -> Result<()> {
        let organisation = self.organisation();
        let key = new.key;
        let (labels, annotations) = (to_json(&key.labels)?, to_json(&key.annotations)?);
        let values = [
            Text(&organisation),
            Text(&key.id),
            Text(new.region),
            Text(&key.project),
            Text(&key.name),
            Text(&key.slug),
            Text(&key.description),
            Text(&labels),
            Text(&annotations),
            Text(key.key_type.word()),
            key.export_allowed.into(),
            key.rotation_enabled.into(),
            Value::int_or_null(key.rotation_period_days),
            Int(key.created_at),
        ];
        if self.execute(sql::INSERT_KEY, &values).await? != 1 {
            return Err(Error::Conflict(format!(
                "a key with the slug `{}` exists already",
                key.slug
            )));
        }
        self.insert_key_version(&key.id, 1, new.material, key.created_at).await
    }

    pub async fn insert_key_version(
        &mut self,
        key: &str,
        version: i64,
        material: &[u8],
        now: i64,
    ) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(version), Bytes(material), Int(now)];
        self.change_one(sql::INSERT_KEY_VERSION, &values).await
    }

    /// Finds by identity, or by slug unless the key is pending deletion.
    pub async fn find_key(
        &mut self,
        region: &str,
        project: &str,
        reference: &str,
    ) -> Result<Option<Key>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(region), Text(project), Text(reference)];
        self.row(sql::FIND_KEY, &values, read_key).await
    }

    /// In the order of identities, after the identity `after`.
    pub async fn list_keys(
        &mut self,
        (region, project): (&str, &str),
        filter: &KeyFilter,
        after: &str,
        count: i64,
    ) -> Result<Vec<Key>> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(region),
            Text(project),
            Text(&filter.identity),
            Text(&filter.name),
            Text(&filter.slug),
            Text(&filter.status),
            Text(after),
            Int(count),
        ];
        self.rows(sql::LIST_KEYS, &values, read_key).await
    }

    pub async fn list_key_versions(&mut self, key: &str) -> Result<Vec<KeyVersion>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_KEY_VERSIONS, &[Text(&organisation), Text(key)], |row| {
            Ok(KeyVersion { version: row.int()?, status: row.text()?, created_at: row.int()? })
        })
        .await
    }

    /// One version's wrapped material.
    pub async fn find_key_material(&mut self, key: &str, version: i64) -> Result<Option<Vec<u8>>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(version)];
        Ok(self.row(sql::FIND_KEY_MATERIAL, &values, |row| row.bytes_or_null()).await?.flatten())
    }

    /// Region, status and how many keys of a scope are so.
    pub async fn count_keys(&mut self, project: &str) -> Result<Vec<(String, KeyStatus, i64)>> {
        let organisation = self.organisation();
        self.rows(sql::COUNT_KEYS, &[Text(&organisation), Text(project)], |row| {
            Ok((row.text()?, row.word(KeyStatus::from_word)?, row.int()?))
        })
        .await
    }

    pub async fn set_key_version(&mut self, key: &str, version: i64, now: i64) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(version), Int(now)];
        self.change_one(sql::SET_KEY_VERSION, &values).await
    }

    /// Sets status, slug and the date of deletion.
    pub async fn set_key_status(&mut self, key: &Key, now: i64) -> Result<()> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(&key.id),
            Text(key.status.word()),
            Text(&key.slug),
            Value::int_or_null(key.deletion_scheduled_at),
            Int(now),
        ];
        self.change_one(sql::SET_KEY_STATUS, &values).await
    }

    /// Up to a thousand keys of every organisation whose rotation is due, after the identity `after`.
    pub async fn list_due_keys(&mut self, now: i64, after: &str) -> Result<Vec<DueKey>> {
        self.rows(sql::LIST_DUE_KEYS, &[Int(now), Text(after)], |row| {
            Ok(DueKey {
                key: row.text()?,
                organisation: row.text()?,
                region: row.text()?,
                project: row.text()?,
            })
        })
        .await
    }

    /// Whether a key of the organisation is still due.
    pub async fn is_key_due(&mut self, key: &str, now: i64) -> Result<bool> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(now)];
        Ok(self.row(sql::FIND_DUE_KEY, &values, |row| row.int()).await?.is_some())
    }

    pub async fn is_slug_taken(&mut self, region: &str, project: &str, slug: &str) -> Result<bool> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(region), Text(project), Text(slug)];
        Ok(self.row(sql::FIND_SLUG, &values, |row| row.int()).await?.is_some())
    }
}

pub(super) fn read_key(row: &Columns<'_>) -> Result<Key> {
    Ok(Key {
        id: row.text()?,
        project: row.text()?,
        name: row.text()?,
        slug: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        key_type: row.word(KeyType::from_word)?,
        status: row.word(KeyStatus::from_word)?,
        export_allowed: row.flag()?,
        rotation_enabled: row.flag()?,
        rotation_period_days: row.int_or_null()?,
        latest_version: row.int()?,
        min_decryption_version: row.int()?,
        deletion_scheduled_at: row.int_or_null()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
    })
}
