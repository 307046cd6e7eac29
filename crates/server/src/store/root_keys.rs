//! Rows under root keys, of every organisation: which, and moving them to another one.

use super::kms::{read_digest, read_wrapped};
use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::key::{KeyType, SigningPurpose, VersionName, Wrapped, WrappedKey};
use Value::{Bytes, Int, Text};

/// Organisation, key, version.
pub type VersionPlace = (String, String, i64);

impl Tx {
    /// The root keys under which something is.
    pub async fn list_root_keys(&mut self) -> Result<Vec<String>> {
        self.rows(sql::LIST_ROOT_KEYS, &[], |row| row.text()).await
    }

    /// Up to `count` key versions under another root key, after a place: each with its place, and damaged where
    /// its row is.
    pub async fn list_foreign_versions(
        &mut self,
        root_key: &str,
        (organisation, key, version): &VersionPlace,
        count: i64,
    ) -> Result<Vec<(VersionPlace, Result<WrappedKey>)>> {
        let values = [Text(root_key), Text(organisation), Text(key), Int(*version), Int(count)];
        self.rows(sql::LIST_FOREIGN_VERSIONS, &values, |row| {
            let (organisation, region, project) = (row.text()?, row.text()?, row.text()?);
            let (key, version) = (row.text()?, row.int()?);
            let place = (organisation.clone(), key.clone(), version);
            let read = || {
                let algorithm = row.word(KeyType::from_word)?.algorithm(read_digest(row)?);
                let name = VersionName { organisation, region, project, key, version, algorithm };
                Ok(WrappedKey { name, wrapped: read_present(row)? })
            };
            Ok((place, read()))
        })
        .await
    }

    /// How much is under another root key.
    pub async fn count_foreign(&mut self, root_key: &str) -> Result<i64> {
        let count = self.row(sql::COUNT_FOREIGN, &[Text(root_key)], |row| row.int()).await?;
        Ok(count.unwrap_or_default())
    }

    /// Puts other wrapped bytes in the place of `old`, unless the row has changed since; says whether.
    pub async fn rewrap_version(&mut self, old: &WrappedKey, new: &Wrapped) -> Result<bool> {
        let name = &old.name;
        self.row_changed(&name.key);
        let values = [
            Text(&name.organisation),
            Text(&name.key),
            Int(name.version),
            Text(&new.root_key),
            Bytes(&new.bytes),
            Bytes(&old.wrapped.bytes),
        ];
        Ok(self.execute(sql::REWRAP_VERSION, &values).await? == 1)
    }

    /// Keeps a region's first wrapping key; a later one is dropped.
    pub async fn insert_wrapping_key(
        &mut self,
        region: &str,
        key: &Wrapped,
        now: i64,
    ) -> Result<()> {
        let values = [Text(region), Text(&key.root_key), Bytes(&key.bytes), Int(now)];
        self.execute(sql::INSERT_WRAPPING_KEY, &values).await.map(|_| ())
    }

    pub async fn find_wrapping_key(&mut self, region: &str) -> Result<Option<Wrapped>> {
        self.row(sql::FIND_WRAPPING_KEY, &[Text(region)], read_present).await
    }

    /// Regions whose wrapping key is under another root key.
    pub async fn list_foreign_wrapping_keys(
        &mut self,
        root_key: &str,
    ) -> Result<Vec<(String, Wrapped)>> {
        self.rows(sql::LIST_FOREIGN_WRAPPING_KEYS, &[Text(root_key)], |row| {
            Ok((row.text()?, read_present(row)?))
        })
        .await
    }

    /// As [`Tx::rewrap_version`], for a region's wrapping key.
    pub async fn rewrap_wrapping_key(
        &mut self,
        region: &str,
        old: &Wrapped,
        new: &Wrapped,
    ) -> Result<bool> {
        let values = [Text(region), Text(&new.root_key), Bytes(&new.bytes), Bytes(&old.bytes)];
        Ok(self.execute(sql::REWRAP_WRAPPING_KEY, &values).await? == 1)
    }
}

impl Tx {
    /// Keeps the first key of its purpose; a later one is dropped.
    pub async fn insert_signing_key(
        &mut self,
        purpose: SigningPurpose,
        id: &str,
        key: &Wrapped,
        now: i64,
    ) -> Result<()> {
        let values =
            [Text(purpose.word()), Text(id), Text(&key.root_key), Bytes(&key.bytes), Int(now)];
        self.execute(sql::INSERT_SIGNING_KEY, &values).await.map(|_| ())
    }

    pub async fn find_signing_key(
        &mut self,
        purpose: SigningPurpose,
    ) -> Result<Option<(String, Wrapped)>> {
        let read = |row: &Columns<'_>| Ok((row.text()?, read_present(row)?));
        self.row(sql::FIND_SIGNING_KEY, &[Text(purpose.word())], read).await
    }

    /// Signing keys that are under another root key.
    pub async fn list_foreign_signing_keys(
        &mut self,
        root_key: &str,
    ) -> Result<Vec<(String, Wrapped)>> {
        self.rows(sql::LIST_FOREIGN_SIGNING_KEYS, &[Text(root_key)], |row| {
            Ok((row.text()?, read_present(row)?))
        })
        .await
    }

    /// As [`Tx::rewrap_version`], for a signing key.
    pub async fn rewrap_signing_key(
        &mut self,
        id: &str,
        old: &Wrapped,
        new: &Wrapped,
    ) -> Result<bool> {
        let values = [Text(id), Text(&new.root_key), Bytes(&new.bytes), Bytes(&old.bytes)];
        Ok(self.execute(sql::REWRAP_SIGNING_KEY, &values).await? == 1)
    }
}

fn read_present(row: &Columns<'_>) -> Result<Wrapped> {
    read_wrapped(row)?.ok_or_else(|| Error::corrupt("wrapped material is missing"))
}
