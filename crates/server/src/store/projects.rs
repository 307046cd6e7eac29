//! Rows of projects.

use super::session::{Columns, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::project::Project;
use Value::{Int, Text};

/// What stands in the way of deleting a project.
pub struct Dependents {
    pub projects: i64,
    pub keys: i64,
    pub secrets: i64,
}

impl Tx {
    /// A conflict when the slug is taken.
    pub async fn insert_project(&mut self, project: &Project) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&project.labels)?, to_json(&project.annotations)?);
        let values = [
            Text(&organisation),
            Text(&project.id),
            Text(&project.slug),
            Text(&project.name),
            Text(&project.description),
            Text(&labels),
            Text(&annotations),
            Text(&project.parent),
            Int(project.created_at),
        ];
        match self.execute(sql::INSERT_PROJECT, &values).await? {
            1 => Ok(()),
            _ => Err(Error::Conflict(format!(
                "a project with the slug `{}` exists already",
                project.slug
            ))),
        }
    }

    /// Finds by identity or slug.
    pub async fn find_project(&mut self, reference: &str) -> Result<Option<Project>> {
        let organisation = self.organisation();
        self.row(sql::FIND_PROJECT, &[Text(&organisation), Text(reference)], read_project).await
    }

    /// All projects, in the order of their identities.
    pub async fn list_projects(&mut self) -> Result<Vec<Project>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_PROJECTS, &[Text(&organisation)], read_project).await
    }

    /// Sets everything but the slug.
    pub async fn set_project(&mut self, project: &Project) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&project.labels)?, to_json(&project.annotations)?);
        let values = [
            Text(&organisation),
            Text(&project.id),
            Text(&project.name),
            Text(&project.description),
            Text(&labels),
            Text(&annotations),
            Text(&project.parent),
            Int(project.updated_at),
        ];
        self.change_one(sql::SET_PROJECT, &values).await
    }

    /// A project and all above it, itself first.
    pub async fn list_line(&mut self, project: &str) -> Result<Vec<String>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_LINE, &[Text(&organisation), Text(project)], |row| row.text()).await
    }

    pub async fn count_dependents(&mut self, project: &str) -> Result<Dependents> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(project)];
        let counted = self.row(sql::COUNT_DEPENDENTS, &values, |row| {
            Ok(Dependents { projects: row.int()?, keys: row.int()?, secrets: row.int()? })
        });
        counted.await?.ok_or_else(|| Error::bug("a count without a row"))
    }

    /// Deletes a project with its policies and all that belongs to them.
    pub async fn delete_project(&mut self, project: &str) -> Result<()> {
        self.clear_policies(project).await?;
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(project)];
        self.execute(sql::DELETE_POLICIES, &values).await?;
        self.change_one(sql::DELETE_PROJECT, &values).await
    }
}

fn read_project(row: &Columns<'_>) -> Result<Project> {
    Ok(Project {
        id: row.text()?,
        slug: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        parent: row.text()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
    })
}
