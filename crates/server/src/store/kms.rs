//! Rows of keys and their versions.

use coffer_crypto::Digest;

use super::session::{Columns, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::key::{Key, KeyFilter, KeyStatus, KeyType, KeyVersion, Wrapped};
use crate::model::quota::Quota;
use Value::{Bytes, Int, Text};

/// A key to insert; the rest of its columns follow from being new.
pub struct NewKey<'a> {
    pub region: &'a str,
    pub key: &'a Key,
    /// Version 1.
    pub material: &'a Wrapped,
}

/// A key that the clock has something to do with.
#[derive(Debug, Clone)]
pub struct DueKey {
    pub key: String,
    pub organisation: String,
    pub region: String,
    pub project: String,
    pub key_type: String,
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
            Text(key.digest.map_or("", Digest::word)),
            key.export_allowed.into(),
            key.imported.into(),
            key.allow_rotation.into(),
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
        self.use_quota(Quota::Keys, 1).await?;
        self.insert_key_version(&key.id, 1, new.material, key.created_at).await
    }

    pub async fn insert_key_version(
        &mut self,
        key: &str,
        version: i64,
        material: &Wrapped,
        now: i64,
    ) -> Result<()> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(key),
            Int(version),
            Text(&material.root_key),
            Bytes(&material.bytes),
            Int(now),
        ];
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

    /// One version's wrapped material, unless the key has no such version.
    pub async fn find_key_material(&mut self, key: &str, version: i64) -> Result<Option<Wrapped>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(version)];
        Ok(self.row(sql::FIND_KEY_MATERIAL, &values, read_wrapped).await?.flatten())
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
        self.row_changed(key);
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(version), Int(now)];
        self.change_one(sql::SET_KEY_VERSION, &values).await
    }

    /// Sets status, slug and the date of deletion.
    pub async fn set_key_status(&mut self, key: &Key, now: i64) -> Result<()> {
        self.row_changed(&key.id);
        if key.status != KeyStatus::Active {
            self.key_ceased();
        }
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

    pub async fn set_rotation(&mut self, key: &Key, now: i64) -> Result<()> {
        self.row_changed(&key.id);
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(&key.id),
            key.rotation_enabled.into(),
            Value::int_or_null(key.rotation_period_days),
            Int(now),
        ];
        self.change_one(sql::SET_ROTATION, &values).await
    }

    /// Up to a thousand keys of every organisation whose period is over, after the identity `after`.
    pub async fn list_due_keys(&mut self, now: i64, after: &str) -> Result<Vec<DueKey>> {
        self.rows(sql::LIST_DUE_KEYS, &[Text(after), Int(now)], read_due_key).await
    }

    /// Up to a thousand keys of every organisation that have sealed much, after the identity `after`.
    pub async fn list_spent_keys(&mut self, after: &str) -> Result<Vec<DueKey>> {
        self.rows(sql::LIST_SPENT_KEYS, &[Text(after)], read_due_key).await
    }

    /// When a key's latest version was made, and its seals; `None` where the region has no KMS.
    pub async fn find_rotation(&mut self, key: &str) -> Result<Option<(i64, i64)>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key)];
        self.row(sql::FIND_ROTATION, &values, |row| Ok((row.int()?, row.int()?))).await
    }

    /// Counts seals of a version before they are made: how many there are then.
    pub async fn add_seals(&mut self, key: &str, version: i64, seals: i64) -> Result<i64> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(version), Int(seals)];
        let counted = self.row(sql::ADD_SEALS, &values, |row| row.int()).await?;
        counted.ok_or_else(|| Error::bug("seals of a version that is not there"))
    }

    /// Counts seals of every version of every symmetric key, which nobody knows to have been made.
    pub async fn add_lost_seals(&mut self, seals: i64) -> Result<()> {
        let types = KeyType::ALL.iter().filter(|(key_type, _)| key_type.has_nonces());
        for (_, word) in types {
            self.execute(sql::ADD_LOST_SEALS, &[Text(word), Int(seals)]).await?;
        }
        Ok(())
    }

    /// Up to a thousand keys of every organisation whose deletion has fallen due.
    pub async fn list_purgeable_keys(&mut self, now: i64, after: &str) -> Result<Vec<DueKey>> {
        self.rows(sql::LIST_PURGEABLE_KEYS, &[Int(now), Text(after)], read_due_key).await
    }

    /// Erases a key's material for ever, if its deletion has fallen due; says whether it had.
    pub async fn purge_key(&mut self, key: &str, now: i64) -> Result<bool> {
        self.row_changed(key);
        self.key_ceased();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(key), Int(now)];
        if self.execute(sql::PURGE_KEY, &values).await? == 0 {
            return Ok(false);
        }
        self.execute(sql::ERASE_MATERIAL, &[Text(&organisation), Text(key)]).await?;
        self.use_quota(Quota::Keys, -1).await?;
        self.erased_for_ever();
        Ok(true)
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
        digest: read_digest(row)?,
        status: row.word(KeyStatus::from_word)?,
        export_allowed: row.flag()?,
        imported: row.flag()?,
        allow_rotation: row.flag()?,
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

/// Root key and wrapped bytes; none where the material is erased, or a join found no row.
pub(super) fn read_wrapped(row: &Columns<'_>) -> Result<Option<Wrapped>> {
    let (root_key, bytes) = (row.text_or_null()?, row.bytes_or_null()?);
    Ok(root_key.zip(bytes).map(|(root_key, bytes)| Wrapped { root_key, bytes }))
}

pub(super) fn read_digest(row: &Columns<'_>) -> Result<Option<Digest>> {
    row.word(|word| match word {
        "" => Some(None),
        _ => Digest::from_word(word).map(Some),
    })
}

fn read_due_key(row: &Columns<'_>) -> Result<DueKey> {
    Ok(DueKey {
        key: row.text()?,
        organisation: row.text()?,
        region: row.text()?,
        project: row.text()?,
        key_type: row.text()?,
    })
}
