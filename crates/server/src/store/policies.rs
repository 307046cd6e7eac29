//! Rows of IAM policies, their rules and bindings.

use std::sync::Arc;

use super::roles::{read_binding, read_rule};
use super::tx::{Columns, from_json, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::access_policy::AccessPolicy;
use crate::model::caller::Principal;
use crate::model::decide::{Grant, HandOn};
use crate::model::policy::{IamPolicy, PolicyBinding, PolicyGrant};
use crate::model::role::Rule;
use crate::model::roles;
use Value::{Int, Text};

/// A binding to insert.
pub struct NewPolicyBinding<'a> {
    pub id: &'a str,
    pub policy: &'a str,
    /// `user`, `team` or `service_account`, and its identity.
    pub holder: (&'a str, &'a str),
    pub name: &'a str,
    pub description: &'a str,
    pub labels: &'a coffer_api::Map,
    pub annotations: &'a coffer_api::Map,
    /// Empty for none.
    pub elevation: &'a str,
    pub expires_at: Option<i64>,
}

impl Tx {
    /// A conflict when the slug is taken in the project.
    pub async fn insert_policy(&mut self, policy: &IamPolicy) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&policy.labels)?, to_json(&policy.annotations)?);
        let conditionals = policy.conditionals.as_ref().map(to_json).transpose()?;
        let values = [
            Text(&organisation),
            Text(&policy.id),
            Text(&policy.project),
            Text(&policy.slug),
            Text(&policy.name),
            Text(&policy.description),
            Text(&labels),
            Text(&annotations),
            policy.system.into(),
            policy.replicate.into(),
            Value::text_or_null(conditionals.as_deref()),
            Int(policy.created_at),
        ];
        match self.execute(sql::INSERT_POLICY, &values).await? {
            1 => Ok(()),
            _ => Err(Error::Conflict(format!(
                "a policy with the slug `{}` exists already",
                policy.slug
            ))),
        }
    }

    /// A policy that holds in a project, by identity or slug.
    pub async fn find_policy(
        &mut self,
        project: &str,
        reference: &str,
    ) -> Result<Option<IamPolicy>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(project), Text(reference)];
        self.row(sql::FIND_POLICY, &values, read_policy).await
    }

    /// All policies that hold in a project, those from above among them.
    pub async fn list_policies(&mut self, project: &str) -> Result<Vec<IamPolicy>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_POLICIES, &[Text(&organisation), Text(project)], read_policy).await
    }

    /// The policies that are bound to a principal itself, in whichever project, at `now`.
    pub async fn list_policies_of(
        &mut self,
        (kind, principal): (&str, &str),
        now: i64,
    ) -> Result<Vec<IamPolicy>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(kind), Text(principal), Int(now)];
        self.rows(sql::LIST_POLICIES_OF, &values, read_policy).await
    }

    /// Sets description, labels, annotations and conditionals.
    pub async fn set_policy_about(&mut self, policy: &IamPolicy) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&policy.labels)?, to_json(&policy.annotations)?);
        let conditionals = policy.conditionals.as_ref().map(to_json).transpose()?;
        let values = [
            Text(&organisation),
            Text(&policy.id),
            Text(&policy.description),
            Text(&labels),
            Text(&annotations),
            Value::text_or_null(conditionals.as_deref()),
            Int(policy.updated_at),
        ];
        self.change_one(sql::SET_POLICY_ABOUT, &values).await
    }

    /// Counts a change of a policy.
    pub async fn touch_policy(&mut self, policy: &str, now: i64) -> Result<()> {
        let organisation = self.organisation();
        self.change_one(sql::TOUCH_POLICY, &[Text(&organisation), Text(policy), Int(now)]).await
    }

    /// Deletes a policy with its rules, bindings and elevations.
    pub async fn delete_policy(&mut self, policy: &str) -> Result<()> {
        self.clear_policies(policy).await?;
        let organisation = self.organisation();
        self.change_one(sql::DELETE_POLICY, &[Text(&organisation), Text(policy)]).await
    }

    /// Deletes what belongs to one policy, or to all of a project.
    pub(super) async fn clear_policies(&mut self, policy_or_project: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(policy_or_project)];
        self.execute(sql::DELETE_ELEVATIONS, &values).await?;
        self.execute(sql::DELETE_POLICY_BINDINGS, &values).await?;
        self.execute(sql::DELETE_POLICY_RULES, &values).await.map(|_| ())
    }

    pub async fn insert_policy_rule(&mut self, policy: &str, rule: &Rule) -> Result<()> {
        self.insert_rule_into(sql::INSERT_POLICY_RULE, policy, rule).await
    }

    /// A policy's rules as they are stored; those of a system policy stand in the code.
    pub async fn list_policy_rules(&mut self, policy: &str) -> Result<Vec<Rule>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_POLICY_RULES, &[Text(&organisation), Text(policy)], read_rule).await
    }

    pub async fn delete_policy_rule(&mut self, policy: &str, rule: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(policy), Text(rule)];
        match self.execute(sql::DELETE_POLICY_RULE, &values).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("rule")),
        }
    }

    pub async fn insert_policy_binding(
        &mut self,
        binding: &NewPolicyBinding<'_>,
        now: i64,
    ) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(binding.labels)?, to_json(binding.annotations)?);
        let values = [
            Text(&organisation),
            Text(binding.id),
            Text(binding.policy),
            Text(binding.holder.0),
            Text(binding.holder.1),
            Text(binding.name),
            Text(binding.description),
            Text(&labels),
            Text(&annotations),
            Text(binding.elevation),
            Value::int_or_null(binding.expires_at),
            Int(now),
        ];
        self.change_one(sql::INSERT_POLICY_BINDING, &values).await
    }

    pub async fn list_policy_bindings(&mut self, policy: &str) -> Result<Vec<PolicyBinding>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(policy)];
        self.rows(sql::LIST_POLICY_BINDINGS, &values, |row| {
            let (policy, expires_at) = (row.text()?, row.int_or_null()?);
            let (updated_at, elevation) = (row.int()?, row.text()?);
            Ok(PolicyBinding {
                binding: read_binding(row)?,
                policy,
                expires_at,
                updated_at,
                elevation,
            })
        })
        .await
    }

    /// Sets everything but who is bound.
    pub async fn set_policy_binding(&mut self, changed: &PolicyBinding) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let binding = &changed.binding;
        let (labels, annotations) = (to_json(&binding.labels)?, to_json(&binding.annotations)?);
        let values = [
            Text(&organisation),
            Text(&changed.policy),
            Text(&binding.id),
            Text(&binding.name),
            Text(&binding.description),
            Text(&labels),
            Text(&annotations),
            Value::int_or_null(changed.expires_at),
            Int(changed.updated_at),
        ];
        self.change_one(sql::SET_POLICY_BINDING, &values).await
    }

    pub async fn delete_policy_binding(&mut self, policy: &str, binding: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(policy), Text(binding)];
        match self.execute(sql::DELETE_POLICY_BINDING, &values).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("binding")),
        }
    }

    /// Takes back what an elevation gave.
    pub async fn delete_elevated_bindings(&mut self, policy: &str, elevation: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(policy), Text(elevation)];
        self.execute(sql::DELETE_ELEVATED_BINDINGS, &values).await.map(|_| ())
    }

    /// Bindings of a principal itself, in all projects.
    pub async fn count_policy_bindings_of(&mut self, (kind, id): (&str, &str)) -> Result<i64> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(kind), Text(id)];
        let count = self.row(sql::COUNT_POLICY_BINDINGS_OF, &values, |row| row.int()).await?;
        Ok(count.unwrap_or_default())
    }

    /// What the policies that hold in a project grant to a principal; to a user also by team.
    pub async fn list_policy_grants(
        &mut self,
        principal: &Principal,
        project: &str,
    ) -> Result<Vec<PolicyGrant>> {
        let organisation = self.organisation();
        let (kind, id) = principal.kind_and_id();
        let values = [Text(&organisation), Text(project), Text(id), Text(kind)];
        let grants = self.rows(sql::LIST_POLICY_RULES_OF, &values, read_grants).await?;
        Ok(grants.into_iter().flatten().collect())
    }
}

fn read_grants(row: &Columns<'_>) -> Result<Vec<PolicyGrant>> {
    let (id, slug) = (row.text()?, row.text()?);
    let (system, replicate) = (row.flag()?, row.flag()?);
    let conditionals = row.text_or_null()?.map(|text| from_json(&text)).transpose()?;
    let conditions = conditionals
        .map(|wire| AccessPolicy::compile(&wire).map(Arc::new))
        .transpose()
        .map_err(|_| Error::corrupt("conditionals of a policy"))?;
    let expires_at = row.int_or_null()?;
    let hand_on = match (expires_at, &conditions, replicate) {
        (None, None, true) => HandOn::Below,
        (None, None, false) => HandOn::InProject,
        _ => HandOn::Never,
    };
    let name = format!("policy {slug}");
    let of_policy = |grant| PolicyGrant {
        policy: id.clone(),
        grant: Grant { role: name.clone(), hand_on, ..grant },
        expires_at,
        conditions: conditions.clone(),
    };
    if system {
        return Ok(roles::system_grants(&slug).into_iter().map(of_policy).collect());
    }
    let lists = [row.text_or_null()?, row.text_or_null()?, row.text_or_null()?];
    Ok(super::roles::compile_lists(&slug, &lists)?.into_iter().map(of_policy).collect())
}

fn read_policy(row: &Columns<'_>) -> Result<IamPolicy> {
    Ok(IamPolicy {
        id: row.text()?,
        project: row.text()?,
        slug: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        system: row.flag()?,
        replicate: row.flag()?,
        conditionals: row.text_or_null()?.map(|text| from_json(&text)).transpose()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
    })
}
