//! Rows of metering.

use super::{Tx, Value, sql};
use crate::error::Result;
use Value::{Int, Text};

/// Versions in a region and a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeteredVersions {
    /// Slug of the region.
    pub region: String,
    /// Empty: in no project.
    pub project: String,
    /// Stored now.
    pub versions: i64,
    /// Microseconds that versions were stored in the period, all together.
    pub micros: i128,
}

impl Tx {
    /// From `from` to `to`; in one project, or everywhere when that is empty.
    pub async fn meter_versions(
        &mut self,
        project: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<MeteredVersions>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(from), Int(to), Text(project)];
        self.rows(sql::METER_VERSIONS, &values, |row| {
            let (region, project, versions) = (row.text()?, row.text()?, row.int()?);
            // In two parts, because all together is more than the database adds up.
            let micros = i128::from(row.int()?) * 1_000_000 + i128::from(row.int()?);
            Ok(MeteredVersions { region, project, versions, micros })
        })
        .await
    }
}
