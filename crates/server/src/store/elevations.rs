//! Rows of access elevations.

use super::session::{Columns, to_json};
use super::{Tx, Value, sql};
use crate::error::Result;
use crate::model::elevation::{Elevation, ElevationStatus};
use Value::{Int, Text};

impl Tx {
    pub async fn insert_elevation(&mut self, elevation: &Elevation) -> Result<()> {
        let organisation = self.organisation();
        let labels = to_json(&elevation.labels)?;
        let annotations = to_json(&elevation.annotations)?;
        let values = [
            Text(&organisation),
            Text(&elevation.id),
            Text(&elevation.project),
            Text(&elevation.policy),
            Text(&elevation.principal.0),
            Text(&elevation.principal.1),
            Text(&elevation.reason),
            Text(&labels),
            Text(&annotations),
            Int(elevation.expires_at),
            Int(elevation.created_at),
        ];
        self.change_one(sql::INSERT_ELEVATION, &values).await
    }

    pub async fn find_elevation(&mut self, project: &str, id: &str) -> Result<Option<Elevation>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(project), Text(id)];
        self.row(sql::FIND_ELEVATION, &values, read_elevation).await
    }

    /// The newest of a project; those of one principal (kind and identity) when it is named.
    pub async fn list_elevations(
        &mut self,
        project: &str,
        of: Option<(&str, &str)>,
    ) -> Result<Vec<Elevation>> {
        let organisation = self.organisation();
        let (kind, id) = of.unwrap_or_default();
        let values = [Text(&organisation), Text(project), Text(kind), Text(id)];
        self.rows(sql::LIST_ELEVATIONS, &values, read_elevation).await
    }

    /// How many a principal waits for.
    pub async fn count_pending_elevations(
        &mut self,
        project: &str,
        (kind, id): (&str, &str),
        now: i64,
    ) -> Result<i64> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(project), Text(kind), Text(id), Int(now)];
        let counted = self.row(sql::COUNT_PENDING_ELEVATIONS, &values, |row| row.int()).await?;
        Ok(counted.unwrap_or_default())
    }

    /// Sets what became of it, provided that it still stands as it was `before`.
    pub async fn set_elevation(
        &mut self,
        elevation: &Elevation,
        before: ElevationStatus,
    ) -> Result<()> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(&elevation.id),
            Text(elevation.status.word()),
            Text(&elevation.reviewed_by),
            Text(&elevation.review_note),
            Int(elevation.updated_at),
            Text(before.word()),
        ];
        self.change_one(sql::SET_ELEVATION, &values).await
    }
}

fn read_elevation(row: &Columns<'_>) -> Result<Elevation> {
    Ok(Elevation {
        id: row.text()?,
        project: row.text()?,
        policy: row.text()?,
        principal: (row.text()?, row.text()?),
        reason: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        status: row.word(ElevationStatus::from_word)?,
        expires_at: row.int()?,
        reviewed_by: row.text()?,
        review_note: row.text()?,
        created_at: row.int()?,
        updated_at: row.int()?,
    })
}
