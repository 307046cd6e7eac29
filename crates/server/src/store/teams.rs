//! Rows of teams and who is in them.

use super::identity::read_user;
use super::session::{Columns, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::team::{Team, TeamMember, TeamRole};
use Value::{Int, Text};

impl Tx {
    /// A conflict when the slug is taken.
    pub async fn insert_team(&mut self, team: &Team) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&team.labels)?, to_json(&team.annotations)?);
        let values = [
            Text(&organisation),
            Text(&team.id),
            Text(&team.slug),
            Text(&team.name),
            Text(&team.description),
            Text(&labels),
            Text(&annotations),
            Int(team.created_at),
        ];
        match self.execute(sql::INSERT_TEAM, &values).await? {
            1 => Ok(()),
            _ => {
                Err(Error::Conflict(format!("a team with the slug `{}` exists already", team.slug)))
            }
        }
    }

    /// Finds by identity or slug.
    pub async fn find_team(&mut self, reference: &str) -> Result<Option<Team>> {
        let organisation = self.organisation();
        self.row(sql::FIND_TEAM, &[Text(&organisation), Text(reference)], read_team).await
    }

    /// All teams, in the order of their identities.
    pub async fn list_teams(&mut self) -> Result<Vec<Team>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_TEAMS, &[Text(&organisation)], read_team).await
    }

    /// Sets everything but the slug.
    pub async fn set_team(&mut self, team: &Team) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&team.labels)?, to_json(&team.annotations)?);
        let values = [
            Text(&organisation),
            Text(&team.id),
            Text(&team.name),
            Text(&team.description),
            Text(&labels),
            Text(&annotations),
            Int(team.updated_at),
        ];
        self.change_one(sql::SET_TEAM, &values).await
    }

    /// Deletes a team with its bindings; whoever was in it is so no more.
    pub async fn delete_team(&mut self, team: &str) -> Result<()> {
        self.delete_bindings(("team", team)).await?;
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(team)];
        self.execute(sql::DELETE_TEAM_MEMBERS, &values).await?;
        self.change_one(sql::DELETE_TEAM, &values).await
    }

    /// Puts a user into a team, or changes what the user is there.
    pub async fn insert_team_member(
        &mut self,
        team: &str,
        subject: &str,
        role: TeamRole,
        now: i64,
    ) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(team), Text(subject), Text(role.word()), Int(now)];
        self.change_one(sql::INSERT_TEAM_MEMBER, &values).await
    }

    /// Who is in a team; of all teams when `team` is empty.
    pub async fn list_team_members(&mut self, team: &str) -> Result<Vec<TeamMember>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_TEAM_MEMBERS, &[Text(&organisation), Text(team)], |row| {
            Ok(TeamMember {
                team: row.text()?,
                role: row.word(TeamRole::from_word)?,
                created_at: row.int()?,
                user: read_user(row)?,
            })
        })
        .await
    }

    pub async fn delete_team_member(&mut self, team: &str, subject: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(team), Text(subject)];
        match self.execute(sql::DELETE_MEMBER_OF_TEAM, &values).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("team member")),
        }
    }
}

fn read_team(row: &Columns<'_>) -> Result<Team> {
    Ok(Team {
        id: row.text()?,
        slug: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        created_at: row.int()?,
        updated_at: row.int()?,
    })
}
