//! Rows under root keys, of every organisation: which, and moving them to another one.

use super::kms::{read_digest, read_wrapped};
use super::tx::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::key::{KeyType, VersionName, Wrapped, WrappedKey};
use Value::{Bytes, Int, Text};

impl Tx {
    /// Says under which root key everything is that no root key is named for.
    pub async fn name_root_key(&mut self, root_key: &str) -> Result<()> {
        self.execute(sql::NAME_ROOT_KEY, &[Text(root_key)]).await.map(|_| ())
    }

    /// Up to `count` key versions under another root key, after the given one.
    pub async fn list_foreign_versions(
        &mut self,
        root_key: &str,
        after: Option<&VersionName>,
        count: i64,
    ) -> Result<Vec<WrappedKey>> {
        let (organisation, key, version) = after.map_or(("", "", 0), |name| {
            (name.organisation.as_str(), name.key.as_str(), name.version)
        });
        let values = [Text(root_key), Text(organisation), Text(key), Int(version), Int(count)];
        self.rows(sql::LIST_FOREIGN_VERSIONS, &values, |row| {
            Ok(WrappedKey {
                name: VersionName {
                    organisation: row.text()?,
                    region: row.text()?,
                    project: row.text()?,
                    key: row.text()?,
                    version: row.int()?,
                    algorithm: row.word(KeyType::from_word)?.algorithm(read_digest(row)?),
                },
                wrapped: read_present(row)?,
            })
        })
        .await
    }

    /// How much is under another root key.
    pub async fn count_foreign(&mut self, root_key: &str) -> Result<i64> {
        let count = self.row(sql::COUNT_FOREIGN, &[Text(root_key)], |row| row.int()).await?;
        Ok(count.unwrap_or_default())
    }

    /// Puts other wrapped bytes in the place of `old`; does nothing when the row has changed since.
    pub async fn rewrap_version(&mut self, old: &WrappedKey, new: &Wrapped) -> Result<()> {
        let name = &old.name;
        let values = [
            Text(&name.organisation),
            Text(&name.key),
            Int(name.version),
            Text(&new.root_key),
            Bytes(&new.bytes),
            Bytes(&old.wrapped.bytes),
        ];
        self.execute(sql::REWRAP_VERSION, &values).await.map(|_| ())
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
    ) -> Result<()> {
        let values = [Text(region), Text(&new.root_key), Bytes(&new.bytes), Bytes(&old.bytes)];
        self.execute(sql::REWRAP_WRAPPING_KEY, &values).await.map(|_| ())
    }
}

fn read_present(row: &Columns<'_>) -> Result<Wrapped> {
    read_wrapped(row)?.ok_or_else(|| Error::corrupt("wrapped material is missing"))
}
