//! Rows of organisations, regions and people.

use super::roles::NewRole;
use super::tx::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::caller::Team;
use crate::model::identity::{Maker, MemberRole, Membership, Organisation, Region, User};
use crate::model::roles;
use crate::model::team::Member;
use Value::{Int, Text};

impl Tx {
    pub async fn count_organisations(&mut self) -> Result<i64> {
        Ok(self.row(sql::COUNT_ORGANISATIONS, &[], |row| row.int()).await?.unwrap_or_default())
    }

    /// Makes an organisation with both gates and project support on, its system roles and counters; goes on
    /// within it.
    /// `fresh_id` makes identities. A conflict when the slug is taken.
    #[expect(clippy::disallowed_methods, reason = "its roles belong to the organisation made here")]
    pub async fn insert_organisation(
        &mut self,
        (id, slug, name): (&str, &str, &str),
        now: i64,
        fresh_id: impl Fn() -> Result<String>,
    ) -> Result<()> {
        if coffer_api::is_identity(slug) {
            return Err(Error::invalid("slug", "reads as an identity"));
        }
        let values = [Text(id), Text(slug), Text(name), Int(now)];
        if self.execute(sql::INSERT_ORGANISATION, &values).await? != 1 {
            return Err(Error::Conflict(format!("an organisation `{slug}` exists already")));
        }
        self.enter(id);
        for (name, _, _) in roles::SYSTEM_ROLES {
            let (role, slug) = (fresh_id()?, coffer_api::slug_of(name));
            self.insert_role(&NewRole { system: true, ..NewRole::named(&role, &slug, name) }, now)
                .await?;
        }
        self.insert_quotas(now).await
    }

    pub async fn set_gates(
        &mut self,
        organisation: &str,
        [secrets, kms, projects]: [bool; 3],
        now: i64,
    ) -> Result<()> {
        self.identities_changed();
        let values = [Text(organisation), secrets.into(), kms.into(), projects.into(), Int(now)];
        self.change_one(sql::SET_GATES, &values).await
    }

    /// Finds by identity or slug.
    pub async fn find_organisation(&mut self, reference: &str) -> Result<Option<Organisation>> {
        self.row(sql::FIND_ORGANISATION, &[Text(reference)], read_organisation).await
    }

    pub async fn upsert_region(
        &mut self,
        (id, slug, name): (&str, &str, &str),
        kms: bool,
        now: i64,
    ) -> Result<()> {
        self.identities_changed();
        let values = [Text(id), Text(slug), Text(name), kms.into(), Int(now)];
        self.execute(sql::UPSERT_REGION, &values).await.map(|_| ())
    }

    pub async fn list_regions(&mut self) -> Result<Vec<Region>> {
        self.rows(sql::LIST_REGIONS, &[], |row| {
            Ok(Region {
                id: row.text()?,
                slug: row.text()?,
                name: row.text()?,
                description: row.text()?,
                kms: row.flag()?,
                created_at: row.int()?,
                updated_at: row.int()?,
                object_version: row.int()?,
            })
        })
        .await
    }

    pub async fn insert_user(&mut self, user: &User) -> Result<()> {
        let values =
            [Text(&user.subject), Text(&user.name), Text(&user.email), Int(user.created_at)];
        self.change_one(sql::INSERT_USER, &values).await
    }

    pub async fn find_user(&mut self, subject: &str) -> Result<Option<User>> {
        self.row(sql::FIND_USER, &[Text(subject)], read_user).await
    }

    pub async fn insert_member(
        &mut self,
        id: &str,
        subject: &str,
        role: MemberRole,
        now: i64,
    ) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(id), Text(subject), Text(role.word()), Int(now)];
        self.change_one(sql::INSERT_MEMBER, &values).await
    }

    /// Ends a membership with all roles, policies and teams that the member had.
    pub async fn delete_member(&mut self, subject: &str) -> Result<()> {
        self.delete_bindings(("user", subject)).await?;
        let organisation = self.organisation();
        self.execute(sql::DELETE_TEAM_MEMBER, &[Text(&organisation), Text(subject)]).await?;
        self.change_one(sql::DELETE_MEMBER, &[Text(&organisation), Text(subject)]).await
    }

    pub async fn find_member_role(&mut self, subject: &str) -> Result<Option<MemberRole>> {
        let organisation = self.organisation();
        self.row(sql::FIND_MEMBER_ROLE, &[Text(&organisation), Text(subject)], |row| {
            row.word(MemberRole::from_word)
        })
        .await
    }

    /// A membership by its identity.
    pub async fn find_member(&mut self, id: &str) -> Result<Option<Member>> {
        let organisation = self.organisation();
        self.row(sql::FIND_MEMBER, &[Text(&organisation), Text(id)], read_member).await
    }

    /// All members, in the order of their identities.
    pub async fn list_members(&mut self) -> Result<Vec<Member>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_MEMBERS, &[Text(&organisation)], read_member).await
    }

    pub async fn set_member_role(&mut self, id: &str, role: MemberRole) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(id), Text(role.word())];
        self.change_one(sql::SET_MEMBER_ROLE, &values).await
    }

    pub async fn count_owners(&mut self) -> Result<i64> {
        let organisation = self.organisation();
        let count = self.row(sql::COUNT_OWNERS, &[Text(&organisation)], |row| row.int()).await?;
        Ok(count.unwrap_or_default())
    }

    /// The subject of the organisation's first owner.
    pub async fn find_owner(&mut self) -> Result<Option<String>> {
        let organisation = self.organisation();
        self.row(sql::FIND_OWNER, &[Text(&organisation)], |row| row.text()).await
    }

    pub async fn list_memberships(&mut self, subject: &str) -> Result<Vec<Membership>> {
        self.rows(sql::LIST_MEMBERSHIPS, &[Text(subject)], |row| {
            Ok(Membership {
                id: row.text()?,
                role: row.word(MemberRole::from_word)?,
                created_at: row.int()?,
                organisation: read_organisation(row)?,
            })
        })
        .await
    }

    pub async fn list_teams_of(&mut self, subject: &str) -> Result<Vec<Team>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_TEAMS_OF, &[Text(&organisation), Text(subject)], |row| {
            Ok(Team { id: row.text()?, slug: row.text()? })
        })
        .await
    }
}

pub(super) fn read_organisation(row: &Columns<'_>) -> Result<Organisation> {
    Ok(Organisation {
        id: row.text()?,
        slug: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        secrets_gate: row.flag()?,
        kms_gate: row.flag()?,
        projects_gate: row.flag()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
    })
}

fn read_member(row: &Columns<'_>) -> Result<Member> {
    Ok(Member {
        id: row.text()?,
        role: row.word(MemberRole::from_word)?,
        created_at: row.int()?,
        user: read_user(row)?,
    })
}

/// Who made something, then the user who that is, if one is.
pub(super) fn read_maker(row: &Columns<'_>) -> Result<Maker> {
    let id = row.text()?;
    Ok(Maker { id, user: (!row.skip_null(4)?).then(|| read_user(row)).transpose()? })
}

pub(super) fn read_user(row: &Columns<'_>) -> Result<User> {
    Ok(User { subject: row.text()?, name: row.text()?, email: row.text()?, created_at: row.int()? })
}
