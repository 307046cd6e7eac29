//! Roles, their rules and bindings (contract, section 4.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_api::{CreateBindingRequest, CreateRoleRequest, CreateRuleRequest};

use super::Filter;
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::{Call, Principal};
use crate::model::decide::{Grant, HandOn, Target, allows};
use crate::model::limits;
use crate::model::policy::IamPolicy;
use crate::model::role::{Binding, Role, Rule, check_comparable};
use crate::model::roles::system_rules;
use crate::model::scopes::Scopes;
use crate::store::{NewBinding, NewRole, Tx};

/// A role as an answer shows it.
#[derive(Clone)]
pub struct View {
    pub role: Role,
    /// On single reads.
    pub contents: Option<(Vec<Rule>, Vec<Binding>)>,
}

fn on(action: Action, role: String) -> Ask {
    Ask { action, region: None, subject: Subject::Role(role) }
}

/// The roles that the caller may list.
pub async fn list(app: &Arc<App>, call: &Call, filter: Result<Filter>) -> Result<Vec<View>> {
    let ask = Ask { action: Action::ListRoles, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let may =
            |role: &Role| allows(&scope.caller.grants, Action::ListRoles, Target::One(&role.id));
        let roles = tx.list_roles().await?.into_iter();
        let shown = roles.filter(|role| {
            filter.matches([&role.id, &role.name, &role.slug], &role.labels) && may(role)
        });
        Ok(shown.map(|role| View { role, contents: None }).collect())
    })
    .await
}

/// Makes a role without rules.
pub async fn create(app: &Arc<App>, call: &Call, body: Result<CreateRoleRequest>) -> Result<View> {
    let id = app.clock.fresh_id("")?;
    let ask = Ask { action: Action::CreateRole, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let name = limits::check_name(&body.name)?;
        let description = body.description.clone().unwrap_or_default();
        let labels = body.labels.clone().unwrap_or_default();
        let annotations = body.annotations.clone().unwrap_or_default();
        limits::check_description(&description)?;
        limits::check_labels(&labels)?;
        limits::check_annotations(&annotations)?;
        if tx.list_roles().await?.len() >= limits::ROLES_MAX {
            return Err(too_many("roles", limits::ROLES_MAX));
        }
        let new = NewRole {
            id: &scope.subject,
            slug: &limits::check_slug(&name)?,
            name: &name,
            description: &description,
            labels: &labels,
            annotations: &annotations,
            system: false,
        };
        tx.insert_role(&new, shared.clock.now()).await?;
        view(tx, scope).await
    })
    .await
}

/// One role with its rules and bindings.
pub async fn read(app: &Arc<App>, call: &Call, role: String) -> Result<View> {
    gate::read(app, call, on(Action::ReadRole, role), async move |tx, scope| view(tx, scope).await)
        .await
}

/// Deletes a role with its rules and bindings; whoever held it by them holds it no more.
pub async fn delete(app: &Arc<App>, call: &Call, role: String) -> Result<()> {
    gate::write(app, call, on(Action::DeleteRole, role), async move |tx, scope| {
        let role = read_role(tx, scope).await?;
        role.check_changeable()?;
        tx.delete_role(&role.id).await
    })
    .await
}

/// Adds a rule. All who hold the role have it with their next call.
pub async fn create_rule(
    app: &Arc<App>,
    call: &Call,
    role: String,
    body: Result<CreateRuleRequest>,
) -> Result<Rule> {
    let shared = app.clone();
    gate::write(app, call, on(Action::CreateRule, role), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let rule = Rule::of_request(shared.clock.fresh_id("")?, body)?;
        let role = read_role(tx, scope).await?;
        role.check_changeable()?;
        check_held(scope, std::slice::from_ref(&rule), HandOn::Below)?;
        check_rules_fit(tx, &rule).await?;
        if tx.list_rules(&role.id).await?.len() >= limits::RULES_MAX {
            return Err(too_many("rules", limits::RULES_MAX));
        }
        tx.insert_rule(&role.id, &rule).await?;
        tx.touch_role(&role.id, shared.clock.now()).await?;
        tx.describe(describe_rule(&rule));
        Ok(rule)
    })
    .await
}

/// Takes a rule out of a role.
pub async fn delete_rule(app: &Arc<App>, call: &Call, role: String, rule: String) -> Result<()> {
    let shared = app.clone();
    gate::write(app, call, on(Action::DeleteRule, role), async move |tx, scope| {
        let role = read_role(tx, scope).await?;
        role.check_changeable()?;
        tx.delete_rule(&role.id, &rule).await?;
        tx.describe(format!("rule {}", shorten(&rule)));
        tx.touch_role(&role.id, shared.clock.now()).await
    })
    .await
}

/// Who holds a role.
pub async fn list_bindings(app: &Arc<App>, call: &Call, role: String) -> Result<Vec<Binding>> {
    gate::read(app, call, on(Action::ListBindings, role), async move |tx, scope| {
        tx.list_bindings(&scope.subject).await
    })
    .await
}

/// Gives a role to a user or a team, who have it with their next call.
pub async fn create_binding(
    app: &Arc<App>,
    call: &Call,
    role: String,
    body: Result<CreateBindingRequest>,
) -> Result<Binding> {
    let shared = app.clone();
    gate::write(app, call, on(Action::CreateBinding, role), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let name = body.name.as_deref().unwrap_or_default().trim();
        if name.chars().count() > limits::NAME_CHARS_MAX {
            return Err(Error::invalid("name", "is longer than 255 characters"));
        }
        let description = body.description.clone().unwrap_or_default();
        let labels = body.labels.clone().unwrap_or_default();
        let annotations = body.annotations.clone().unwrap_or_default();
        limits::check_description(&description)?;
        limits::check_labels(&labels)?;
        limits::check_annotations(&annotations)?;
        let scopes = Scopes::parse(body.scopes.as_deref().unwrap_or_default())?;
        let role = read_role(tx, scope).await?;
        check_held(scope, &rules_of(tx, &role).await?, HandOn::Below)?;
        let named = [&body.user_identity, &body.team_identity, &body.service_account_identity];
        let holder = find_holder(tx, named).await?;
        if tx.count_bindings_of((holder.0, &holder.1)).await? >= limits::ROLES_OF_ONE_MAX {
            return Err(too_many("roles of this principal", limits::ROLES_OF_ONE_MAX));
        }
        if tx.list_bindings(&role.id).await?.len() >= limits::BINDINGS_MAX {
            return Err(too_many("bindings", limits::BINDINGS_MAX));
        }
        let id = shared.clock.fresh_id("")?;
        let new = NewBinding {
            id: &id,
            role: &role.id,
            holder: (holder.0, &holder.1),
            name,
            description: &description,
            labels: &labels,
            annotations: &annotations,
            scopes: &scopes,
        };
        tx.insert_binding(&new, shared.clock.now()).await?;
        tx.describe(format!("binding {id} of {} {}", holder.0, holder.1));
        let made = tx.list_bindings(&role.id).await?.into_iter().find(|binding| binding.id == id);
        made.ok_or_else(|| Error::bug("a binding is not there after it was made"))
    })
    .await
}

/// Takes a role away from whoever a binding gave it to.
pub async fn delete_binding(
    app: &Arc<App>,
    call: &Call,
    role: String,
    binding: String,
) -> Result<()> {
    gate::write(app, call, on(Action::DeleteBinding, role), async move |tx, scope| {
        tx.delete_binding(&scope.subject, &binding).await?;
        tx.describe(format!("binding {}", shorten(&binding)));
        Ok(())
    })
    .await
}

/// The one principal that a request names (user, team, service account): its kind and identity.
pub(super) async fn find_holder(
    tx: &mut Tx,
    named: [&Option<String>; 3],
) -> Result<(&'static str, String)> {
    match named.map(|identity| identity.as_deref().filter(|text| !text.is_empty())) {
        [Some(user), None, None] => match tx.find_member_role(user).await? {
            Some(_) => Ok(("user", user.to_owned())),
            None => Err(Error::not_found("user")),
        },
        [None, Some(team), None] => {
            let team = tx.find_team(team).await?.ok_or(Error::not_found("team"))?;
            Ok(("team", team.id))
        }
        [None, None, Some(account)] => {
            let account = tx.find_service_account(account).await?;
            Ok(("service_account", account.ok_or(Error::not_found("service account"))?.id))
        }
        _ => Err(Error::invalid(
            "",
            "exactly one of `userIdentity`, `teamIdentity` and `serviceAccountIdentity` is needed",
        )),
    }
}

/// SECURITY: nobody gives away what they do not hold themselves (contract, section 14, 35).
pub(super) fn check_held(scope: &Scope, rules: &[Rule], reach: HandOn) -> Result<()> {
    check_held_by(&scope.caller.grants, rules, reach)
}

pub(super) fn check_held_by(grants: &[Grant], rules: &[Rule], reach: HandOn) -> Result<()> {
    check_comparable(rules, grants)?;
    match rules.iter().all(|rule| rule.is_held(grants, reach)) {
        true => Ok(()),
        false => Err(too_much()),
    }
}

pub(super) fn too_much() -> Error {
    Error::invalid("", "this would grant more than you hold yourself")
}

/// SECURITY: whoever comes to act for a principal holds its roles and its policies.
pub(super) async fn check_roles_held(
    tx: &mut Tx,
    scope: &Scope,
    principal: (&str, &str),
    now: i64,
) -> Result<()> {
    let by = (&scope.caller.principal, &scope.caller.grants[..]);
    check_roles_held_by(tx, by, principal, now).await
}

/// As [`check_roles_held`], for whoever is and holds this in the organisation.
pub(super) async fn check_roles_held_by(
    tx: &mut Tx,
    (by, held): (&Principal, &[Grant]),
    principal: (&str, &str),
    now: i64,
) -> Result<()> {
    for role in tx.list_roles_of(principal).await? {
        check_held_by(held, &rules_of(tx, &role).await?, HandOn::Below)?;
    }
    let mut of_projects: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    for policy in tx.list_policies_of(principal, now).await? {
        let rules = policy_rules(tx, &policy).await?;
        if check_held_by(held, &rules, policy.reach()).is_ok() {
            continue;
        }
        if !of_projects.contains_key(&policy.project) {
            if of_projects.len() >= limits::PROJECTS_COMPARED_MAX {
                let why =
                    "it holds policies of too many projects; this is for who holds it by a role";
                return Err(Error::invalid("", why));
            }
            let own = tx.list_policy_grants(by, &policy.project).await?.into_iter();
            let grants = own.map(|own| own.grant).chain(held.iter().cloned()).collect();
            of_projects.insert(policy.project.clone(), grants);
        }
        let grants = of_projects.get(&policy.project).map_or(held, Vec::as_slice);
        check_held_by(grants, &rules, policy.reach())?;
    }
    Ok(())
}

/// What a policy grants.
pub(super) async fn policy_rules(tx: &mut Tx, policy: &IamPolicy) -> Result<Vec<Rule>> {
    match policy.system {
        true => Ok(system_rules(&policy.slug, &policy.id)),
        false => tx.list_policy_rules(&policy.id).await,
    }
}

/// Refuses a rule for which an organisation has no room left: what its callers hold is kept in memory.
pub(super) async fn check_rules_fit(tx: &mut Tx, rule: &Rule) -> Result<()> {
    let more: usize = rule.identities.iter().map(|identity| identity.len() + 3).sum();
    let bytes = usize::try_from(tx.measure_rules().await?).unwrap_or(usize::MAX);
    match bytes.saturating_add(more) > limits::RULE_BYTES_MAX {
        true => Err(Error::invalid("", "the identities in all rules take 1 MiB at most")),
        false => Ok(()),
    }
}

/// A rule for the audit log.
pub(super) fn describe_rule(rule: &Rule) -> String {
    let list = |words: &[String]| words.iter().take(8).cloned().collect::<Vec<_>>().join(",");
    format!(
        "rule {}: {} on {} {}",
        rule.id,
        list(&rule.permissions),
        list(&rule.resources),
        list(&rule.identities)
    )
}

pub(super) async fn rules_of(tx: &mut Tx, role: &Role) -> Result<Vec<Rule>> {
    match role.system {
        true => Ok(system_rules(&role.slug, &role.id)),
        false => tx.list_rules(&role.id).await,
    }
}

/// The role that was authorised.
async fn read_role(tx: &mut Tx, scope: &Scope) -> Result<Role> {
    tx.find_role(&scope.subject).await?.ok_or(Error::not_found("role"))
}

async fn view(tx: &mut Tx, scope: &Scope) -> Result<View> {
    let role = read_role(tx, scope).await?;
    let contents = (rules_of(tx, &role).await?, tx.list_bindings(&role.id).await?);
    Ok(View { role, contents: Some(contents) })
}

pub(super) fn too_many(what: &str, most: impl std::fmt::Display) -> Error {
    Error::invalid("", format!("there are {most} {what} already, the most there may be"))
}
