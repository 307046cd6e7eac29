//! Rows of the platform: administrators, all organisations, what administrators say of regions.

use coffer_crypto::token::TokenHash;

use super::identity::read_organisation;
use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::administrator::Administrator;
use crate::model::identity::Organisation;
use Value::{Bytes, Int, Text};

/// What the configuration and the administrators say of a region.
#[derive(Debug, Clone)]
pub struct RegionSwitch {
    pub region: String,
    /// Whether the configuration names it.
    pub configured: bool,
    pub kms_configured: bool,
    /// `None` where no administrator has said anything.
    pub kms_switch: Option<bool>,
}

impl Tx {
    pub async fn insert_administrator(
        &mut self,
        hash: &TokenHash,
        new: &Administrator,
    ) -> Result<()> {
        let values = [
            Bytes(hash),
            Text(&new.id),
            Text(&new.name),
            Int(new.created_at),
            Value::int_or_null(new.expires_at),
        ];
        self.change_one(sql::INSERT_ADMINISTRATOR, &values).await
    }

    /// The administrator of a token, as things stand at `now`.
    pub async fn find_administrator(
        &mut self,
        hash: &TokenHash,
        now: i64,
    ) -> Result<Option<Administrator>> {
        let found = self.row(sql::FIND_ADMINISTRATOR, &[Bytes(hash)], read_administrator).await?;
        Ok(found.filter(|found| found.expires_at.is_none_or(|at| at > now)))
    }

    pub async fn list_administrators(&mut self) -> Result<Vec<Administrator>> {
        self.rows(sql::LIST_ADMINISTRATORS, &[], read_administrator).await
    }

    pub async fn delete_administrator(&mut self, id: &str) -> Result<()> {
        match self.execute(sql::DELETE_ADMINISTRATOR, &[Text(id)]).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("administrator")),
        }
    }

    /// Remembers when a token was last used.
    pub async fn touch_administrator(&mut self, id: &str, at: i64) -> Result<()> {
        self.execute(sql::TOUCH_ADMINISTRATOR, &[Text(id), Int(at)]).await.map(|_| ())
    }

    /// All organisations, in the order of their identities.
    pub async fn list_organisations(&mut self) -> Result<Vec<Organisation>> {
        self.rows(sql::LIST_ORGANISATIONS, &[], read_organisation).await
    }

    /// In the order of [`Tx::list_regions`].
    pub async fn list_region_switches(&mut self) -> Result<Vec<RegionSwitch>> {
        self.rows(sql::LIST_REGION_SWITCHES, &[], |row| {
            Ok(RegionSwitch {
                region: row.text()?,
                configured: row.flag()?,
                kms_configured: row.flag()?,
                kms_switch: row.int_or_null()?.map(|on| on != 0),
            })
        })
        .await
    }

    /// Sets what administrators say of a region's KMS; `None` leaves it to the configuration. A conflict when
    /// the configuration does not name the region.
    pub async fn switch_region(&mut self, id: &str, kms: Option<bool>, now: i64) -> Result<()> {
        self.identities_changed();
        let values = [Text(id), Value::int_or_null(kms.map(i64::from)), Int(now)];
        match self.execute(sql::SWITCH_REGION, &values).await? {
            1 => Ok(()),
            _ => Err(Error::Conflict("the configuration does not name this region".to_owned())),
        }
    }

    /// A region that the configuration does not name: known still, and without KMS.
    pub async fn retire_region(&mut self, slug: &str, now: i64) -> Result<()> {
        self.identities_changed();
        self.execute(sql::RETIRE_REGION, &[Text(slug), Int(now)]).await.map(|_| ())
    }
}

fn read_administrator(row: &Columns<'_>) -> Result<Administrator> {
    Ok(Administrator {
        id: row.text()?,
        name: row.text()?,
        created_at: row.int()?,
        expires_at: row.int_or_null()?,
        last_used_at: row.int_or_null()?,
    })
}
