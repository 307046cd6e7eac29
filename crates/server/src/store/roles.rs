//! Rows of roles, their rules and bindings.

use std::sync::LazyLock;

use coffer_api::Map;

use super::identity::read_user;
use super::tx::{Columns, from_json, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::decide::Grant;
use crate::model::role::{Binding, Holder, Named, Role, Rule};
use crate::model::roles;
use crate::model::scopes::Scopes;
use Value::{Int, Text};

static NO_LABELS: LazyLock<Map> = LazyLock::new(Map::new);

/// A role to insert, without rules.
pub struct NewRole<'a> {
    pub id: &'a str,
    pub slug: &'a str,
    pub name: &'a str,
    pub description: &'a str,
    pub labels: &'a Map,
    pub annotations: &'a Map,
    pub system: bool,
}

impl<'a> NewRole<'a> {
    /// A role with nothing but its names.
    pub fn named(id: &'a str, slug: &'a str, name: &'a str) -> Self {
        let labels = &*NO_LABELS;
        Self { id, slug, name, description: "", labels, annotations: labels, system: false }
    }
}

/// A binding to insert.
pub struct NewBinding<'a> {
    pub id: &'a str,
    pub role: &'a str,
    /// `user`, `team` or `service_account`, and its identity.
    pub holder: (&'a str, &'a str),
    pub name: &'a str,
    pub description: &'a str,
    pub labels: &'a Map,
    pub annotations: &'a Map,
    pub scopes: &'a Scopes,
}

impl<'a> NewBinding<'a> {
    /// A binding with nothing but what it binds.
    pub fn between(id: &'a str, role: &'a str, holder: (&'a str, &'a str)) -> Self {
        static NO_SCOPES: LazyLock<Scopes> = LazyLock::new(Scopes::default);
        let (labels, scopes) = (&*NO_LABELS, &*NO_SCOPES);
        Self { id, role, holder, name: "", description: "", labels, annotations: labels, scopes }
    }
}

impl Tx {
    /// A conflict when the slug is taken.
    pub async fn insert_role(&mut self, role: &NewRole<'_>, now: i64) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(role.labels)?, to_json(role.annotations)?);
        let values = [
            Text(&organisation),
            Text(role.id),
            Text(role.slug),
            Text(role.name),
            Text(role.description),
            Text(&labels),
            Text(&annotations),
            role.system.into(),
            Int(now),
        ];
        match self.execute(sql::INSERT_ROLE, &values).await? {
            1 => Ok(()),
            _ => {
                Err(Error::Conflict(format!("a role with the slug `{}` exists already", role.slug)))
            }
        }
    }

    /// Finds by identity or slug.
    pub async fn find_role(&mut self, reference: &str) -> Result<Option<Role>> {
        let organisation = self.organisation();
        self.row(sql::FIND_ROLE, &[Text(&organisation), Text(reference)], read_role).await
    }

    /// All roles, in the order of their identities.
    pub async fn list_roles(&mut self) -> Result<Vec<Role>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_ROLES, &[Text(&organisation)], read_role).await
    }

    /// Deletes a role with its rules and bindings.
    pub async fn delete_role(&mut self, role: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(role)];
        self.execute(sql::DELETE_BINDINGS_OF_ROLE, &values).await?;
        self.execute(sql::DELETE_RULES, &values).await?;
        self.change_one(sql::DELETE_ROLE, &values).await
    }

    /// Counts a change of a role.
    pub async fn touch_role(&mut self, role: &str, now: i64) -> Result<()> {
        let organisation = self.organisation();
        self.change_one(sql::TOUCH_ROLE, &[Text(&organisation), Text(role), Int(now)]).await
    }

    pub async fn insert_rule(&mut self, role: &str, rule: &Rule) -> Result<()> {
        self.insert_rule_into(sql::INSERT_RULE, role, rule).await
    }

    /// Bytes that the identities in all rules of the organisation take.
    pub async fn measure_rules(&mut self) -> Result<i64> {
        let organisation = self.organisation();
        let bytes = self.row(sql::MEASURE_RULES, &[Text(&organisation)], |row| row.int()).await?;
        Ok(bytes.unwrap_or_default())
    }

    /// Inserts a rule of a role or a policy, as the statement says.
    pub(super) async fn insert_rule_into(
        &mut self,
        statement: &str,
        owner: &str,
        rule: &Rule,
    ) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let lists =
            [to_json(&rule.resources)?, to_json(&rule.identities)?, to_json(&rule.permissions)?];
        let [resources, identities, permissions] = &lists;
        let values = [
            Text(&organisation),
            Text(&rule.id),
            Text(owner),
            Text(resources),
            Text(identities),
            Text(permissions),
            Text(&rule.note),
        ];
        self.change_one(statement, &values).await
    }

    /// A role's rules as they are stored; those of a system role stand in the code.
    pub async fn list_rules(&mut self, role: &str) -> Result<Vec<Rule>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_RULES, &[Text(&organisation), Text(role)], read_rule).await
    }

    pub async fn delete_rule(&mut self, role: &str, rule: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        match self.execute(sql::DELETE_RULE, &[Text(&organisation), Text(role), Text(rule)]).await?
        {
            1 => Ok(()),
            _ => Err(Error::not_found("rule")),
        }
    }

    pub async fn insert_binding(&mut self, binding: &NewBinding<'_>, now: i64) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(binding.labels)?, to_json(binding.annotations)?);
        let scopes = to_json(&binding.scopes.words())?;
        let values = [
            Text(&organisation),
            Text(binding.id),
            Text(binding.role),
            Text(binding.holder.0),
            Text(binding.holder.1),
            Text(binding.name),
            Text(binding.description),
            Text(&labels),
            Text(&annotations),
            Text(&scopes),
            Int(now),
        ];
        self.change_one(sql::INSERT_BINDING, &values).await
    }

    /// How many bindings of roles a principal itself has.
    pub async fn count_bindings_of(&mut self, (kind, principal): (&str, &str)) -> Result<i64> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(kind), Text(principal)];
        let count = self.row(sql::COUNT_BINDINGS_OF, &values, |row| row.int()).await?;
        Ok(count.unwrap_or_default())
    }

    pub async fn list_bindings(&mut self, role: &str) -> Result<Vec<Binding>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_BINDINGS, &[Text(&organisation), Text(role)], read_binding).await
    }

    pub async fn delete_binding(&mut self, role: &str, binding: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(role), Text(binding)];
        match self.execute(sql::DELETE_BINDING, &values).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("binding")),
        }
    }

    /// Unbinds every role and policy from a principal, and takes back what it has asked for.
    pub async fn delete_bindings(&mut self, (kind, principal): (&str, &str)) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(kind), Text(principal)];
        self.execute(sql::DELETE_POLICY_BINDINGS_OF, &values).await?;
        self.execute(sql::CANCEL_ELEVATIONS_OF, &values).await?;
        self.execute(sql::DELETE_BINDINGS, &values).await.map(|_| ())
    }

    /// The roles that are bound to a principal itself.
    pub async fn list_roles_of(&mut self, (kind, principal): (&str, &str)) -> Result<Vec<Role>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(kind), Text(principal)];
        self.rows(sql::LIST_ROLES_OF, &values, read_role).await
    }

    /// What the roles bound to a principal grant; a user's also by team.
    pub async fn list_grants_of(&mut self, (kind, principal): (&str, &str)) -> Result<Vec<Grant>> {
        let organisation = self.organisation();
        let grants = self
            .rows(sql::LIST_RULES_OF, &[Text(&organisation), Text(principal), Text(kind)], |row| {
                let (slug, system) = (row.text()?, row.flag()?);
                let scopes = Scopes::stored(row.json()?);
                let within = |grant| Grant { scopes: scopes.clone(), ..grant };
                if system {
                    let grants = roles::system_grants(&slug);
                    return Ok(grants.into_iter().map(within).collect::<Vec<_>>());
                }
                let lists = [row.text_or_null()?, row.text_or_null()?, row.text_or_null()?];
                Ok(compile_lists(&slug, &lists)?.into_iter().map(within).collect())
            })
            .await?;
        Ok(grants.into_iter().flatten().collect())
    }
}

/// A rule from its three stored lists; none where there is no rule.
pub(super) fn compile_lists(role: &str, lists: &[Option<String>; 3]) -> Result<Option<Grant>> {
    let [Some(resources), Some(identities), Some(permissions)] = lists else {
        return Ok(None);
    };
    let list = |text: &str| from_json::<Vec<String>>(text);
    let lists = [list(resources)?, list(identities)?, list(permissions)?];
    let [resources, identities, permissions] =
        lists.each_ref().map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
    Ok(Some(roles::compile(role, &resources, &identities, &permissions)))
}

pub(super) fn read_rule(row: &Columns<'_>) -> Result<Rule> {
    Ok(Rule {
        id: row.text()?,
        resources: row.json()?,
        identities: row.json()?,
        permissions: row.json()?,
        note: row.text()?,
    })
}

fn read_role(row: &Columns<'_>) -> Result<Role> {
    Ok(Role {
        id: row.text()?,
        slug: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        system: row.flag()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
    })
}

pub(super) fn read_binding(row: &Columns<'_>) -> Result<Binding> {
    let (id, name, description) = (row.text()?, row.text()?, row.text()?);
    let (labels, annotations) = (row.json()?, row.json()?);
    let (scopes, created_at) = (Scopes::stored(row.json()?), row.int()?);
    let holder = if !row.skip_null(4)? {
        Holder::User(read_user(row)?)
    } else if !row.skip_null(4)? {
        Holder::Team(read_named(row)?)
    } else {
        Holder::ServiceAccount(read_named(row)?)
    };
    Ok(Binding { id, name, description, labels, annotations, scopes, created_at, holder })
}

fn read_named(row: &Columns<'_>) -> Result<Named> {
    Ok(Named { id: row.text()?, slug: row.text()?, name: row.text()?, created_at: row.int()? })
}
