//! Who holds the IAM policies of a project (contract, section 4.6).

use std::sync::Arc;

use coffer_api::{CreatePolicyBindingRequest, UpdatePolicyBindingRequest};

use super::policies::{on, read_policy};
use super::roles::{check_held, find_holder, policy_rules, rules_of, too_many};
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::{Action, Permission, Permissions};
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::limits;
use crate::model::pattern::Pattern;
use crate::model::policy::{IamPolicy, PolicyBinding};
use crate::model::role::{Binding, Holder, Role, Rule};
use crate::model::term::read_end;
use crate::store::{NewPolicyBinding, Tx};

/// The longest that a binding with an end may last.
const DAYS_MAX: i64 = 3650;

/// Who holds a policy.
pub async fn list(app: &Arc<App>, call: &Call, policy: String) -> Result<Vec<PolicyBinding>> {
    let ask = on(Action::ListPolicyBindings, policy);
    gate::read(app, call, ask, async move |tx, scope| tx.list_policy_bindings(&scope.subject).await)
        .await
}

/// One binding.
pub async fn read(
    app: &Arc<App>,
    call: &Call,
    policy: String,
    binding: String,
) -> Result<PolicyBinding> {
    gate::read(app, call, on(Action::ReadPolicyBinding, policy), async move |tx, scope| {
        read_binding(tx, &scope.subject, &binding).await
    })
    .await
}

/// Gives a policy to a user, a team or a service account, who have it with their next call.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    policy: String,
    body: Result<CreatePolicyBindingRequest>,
) -> Result<PolicyBinding> {
    let shared = app.clone();
    gate::write(app, call, on(Action::CreatePolicyBinding, policy), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let name = check_name(body.name.as_deref())?;
        let description = body.description.clone().unwrap_or_default();
        let labels = body.labels.clone().unwrap_or_default();
        let annotations = body.annotations.clone().unwrap_or_default();
        limits::check_description(&description)?;
        limits::check_labels(&labels)?;
        limits::check_annotations(&annotations)?;
        let expires_at = read_end(body.expires_at, body.duration.as_deref(), now, DAYS_MAX)?;
        let policy = read_bindable(tx, scope).await?;
        let named = [&body.user_identity, &body.team_identity, &body.service_account_identity];
        let holder = find_holder(tx, named).await?;
        if tx.list_policy_bindings(&policy.id).await?.len() >= limits::BINDINGS_MAX {
            return Err(too_many("bindings", limits::BINDINGS_MAX));
        }
        check_room(tx, (holder.0, &holder.1)).await?;
        let id = shared.clock.fresh_id("")?;
        let new = NewPolicyBinding {
            id: &id,
            policy: &policy.id,
            holder: (holder.0, &holder.1),
            name: &name,
            description: &description,
            labels: &labels,
            annotations: &annotations,
            elevation: "",
            expires_at,
        };
        tx.insert_policy_binding(&new, now).await?;
        tx.describe(format!("binding {id} of {} {}", holder.0, holder.1));
        read_binding(tx, &policy.id, &id).await
    })
    .await
}

/// Changes what the request names; another end only for those who could bind anew.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    policy: String,
    binding: String,
    body: Result<UpdatePolicyBindingRequest>,
) -> Result<PolicyBinding> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdatePolicyBinding, policy), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let policy = read_bindable(tx, scope).await?;
        let before = read_binding(tx, &policy.id, &binding).await?;
        let end = read_end(body.expires_at, body.duration.as_deref(), now, DAYS_MAX)?;
        if end.is_some() && !before.elevation.is_empty() {
            return Err(Error::invalid("", "what an access elevation gave ends when it says"));
        }
        let old = before.binding;
        let name = match &body.name {
            None => old.name,
            Some(name) => check_name(Some(name))?,
        };
        let changed = PolicyBinding {
            binding: Binding {
                name,
                description: body.description.clone().unwrap_or(old.description),
                labels: body.labels.clone().unwrap_or(old.labels),
                annotations: body.annotations.clone().unwrap_or(old.annotations),
                ..old
            },
            expires_at: end.or(before.expires_at),
            updated_at: now,
            ..before
        };
        limits::check_description(&changed.binding.description)?;
        limits::check_labels(&changed.binding.labels)?;
        limits::check_annotations(&changed.binding.annotations)?;
        tx.set_policy_binding(&changed).await?;
        tx.describe(format!("binding {}", changed.binding.id));
        Ok(changed)
    })
    .await
}

/// Takes a policy away from whoever a binding gave it to.
pub async fn delete(app: &Arc<App>, call: &Call, policy: String, binding: String) -> Result<()> {
    gate::write(app, call, on(Action::DeletePolicyBinding, policy), async move |tx, scope| {
        let policy = read_policy(tx, scope).await?;
        check_own(&policy, scope)?;
        tx.delete_policy_binding(&policy.id, &binding).await?;
        tx.describe(format!("binding {}", shorten(&binding)));
        Ok(())
    })
    .await
}

/// A principal with the bindings by which it holds policies of the project.
pub struct Member {
    pub holder: Holder,
    pub bindings: Vec<(IamPolicy, PolicyBinding)>,
}

/// Who holds policies that hold in the project.
pub async fn list_members(app: &Arc<App>, call: &Call) -> Result<Vec<Member>> {
    let ask = Ask { action: Action::ListPolicyMembers, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let mut members: Vec<Member> = Vec::new();
        for policy in tx.list_policies(&scope.project).await? {
            let may = Target::One(&policy.id);
            if !allows(&scope.caller.grants, Action::ListPolicyMembers, may) {
                continue;
            }
            for bound in live_bindings(tx, scope, &policy).await? {
                let id = bound.binding.holder.kind_and_id();
                let entry = (policy.clone(), bound.clone());
                match members.iter_mut().find(|member| member.holder.kind_and_id() == id) {
                    Some(member) => member.bindings.push(entry),
                    None => members.push(Member {
                        holder: bound.binding.holder.clone(),
                        bindings: vec![entry],
                    }),
                }
            }
        }
        Ok(members)
    })
    .await
}

/// What a search for access asks.
#[derive(Debug, Default, Clone)]
pub struct AccessQuery {
    pub resource: String,
    pub identity: String,
    /// Words; empty for any.
    pub permissions: Vec<String>,
    /// `iam_policy`, `organisation_role`; empty for both.
    pub kinds: Vec<String>,
}

/// A rule and a binding that reach what was asked for.
pub struct Access {
    pub kind: &'static str,
    pub binding: String,
    /// Identity of the policy or role.
    pub of: String,
    pub principal: (&'static str, String),
    pub permissions: Vec<String>,
}

/// Who has access to a resource in the project, by its policies and by the organisation's roles. Owners hold
/// everything and are not listed.
pub async fn list_access(
    app: &Arc<App>,
    call: &Call,
    query: Result<AccessQuery>,
) -> Result<Vec<Access>> {
    let ask = Ask { action: Action::ListAccessBindings, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let query = query.as_ref().map_err(Clone::clone)?;
        let asks_for = |kind: &str| query.kinds.is_empty() || query.kinds.iter().any(|k| k == kind);
        let mut found = Vec::new();
        if asks_for("iam_policy") {
            for policy in tx.list_policies(&scope.project).await? {
                let may = Target::One(&policy.id);
                if allows(&scope.caller.grants, Action::ListAccessBindings, may) {
                    let rules = policy_rules(tx, &policy).await?;
                    let bound = live_bindings(tx, scope, &policy).await?;
                    let bindings = bound.into_iter().map(|bound| bound.binding);
                    query.collect("iam_policy", &policy.id, &rules, bindings, &mut found);
                }
            }
        }
        if asks_for("organisation_role") {
            // SECURITY: who holds the organisation's roles is not told by a policy of a project.
            let may = |role: &Role| {
                allows(&scope.member.grants, Action::ListBindings, Target::One(&role.id))
            };
            for role in tx.list_roles().await?.into_iter().filter(may) {
                let rules = rules_of(tx, &role).await?;
                let bindings = tx.list_bindings(&role.id).await?;
                query.collect("organisation_role", &role.id, &rules, bindings, &mut found);
            }
        }
        Ok(found)
    })
    .await
}

impl AccessQuery {
    /// Refuses a search that names no resource, or words that mean nothing.
    pub fn check(&self) -> Result<()> {
        if self.resource.is_empty() || self.identity.is_empty() {
            return Err(Error::invalid("", "`resourceType` and `resourceIdentity` are needed"));
        }
        if self.permissions.iter().any(|word| Permission::from_word(word).is_none()) {
            return Err(Error::invalid("permissions", "holds a word that means nothing here"));
        }
        let kinds = ["iam_policy", "organisation_role"];
        match self.kinds.iter().all(|kind| kinds.contains(&kind.as_str())) {
            true => Ok(()),
            false => {
                Err(Error::invalid("bindingTypes", "must be of iam_policy, organisation_role"))
            }
        }
    }

    fn collect(
        &self,
        kind: &'static str,
        of: &str,
        rules: &[Rule],
        bindings: impl IntoIterator<Item = Binding>,
        into: &mut Vec<Access>,
    ) {
        let reaching: Vec<_> = rules.iter().filter(|rule| self.is_reached_by(rule)).collect();
        for binding in bindings.into_iter().filter(|_| !reaching.is_empty()) {
            let (principal_kind, id) = binding.holder.kind_and_id();
            into.extend(reaching.iter().map(|rule| Access {
                kind,
                binding: binding.id.clone(),
                of: of.to_owned(),
                principal: (principal_kind, id.to_owned()),
                permissions: rule.permissions.clone(),
            }));
        }
    }

    fn is_reached_by(&self, rule: &Rule) -> bool {
        let names = |resource: &String| resource == "*" || *resource == self.resource;
        let matches = |pattern: &String| Pattern::new(pattern).matches(&self.identity);
        let words = Permissions::from_words(rule.permissions.iter().map(String::as_str));
        let asked = Permissions::from_words(self.permissions.iter().map(String::as_str));
        rule.resources.iter().any(names)
            && (rule.identities.is_empty() || rule.identities.iter().any(matches))
            && (self.permissions.is_empty() || words.meets(asked))
    }
}

/// Refuses one more binding of whoever has too many: their grants are kept in memory, and compared.
pub(super) async fn check_room(tx: &mut Tx, holder: (&str, &str)) -> Result<()> {
    match tx.count_policy_bindings_of(holder).await? >= limits::POLICIES_OF_ONE_MAX {
        true => Err(too_many("policies of one principal", limits::POLICIES_OF_ONE_MAX)),
        false => Ok(()),
    }
}

async fn live_bindings(
    tx: &mut Tx,
    scope: &Scope,
    policy: &IamPolicy,
) -> Result<Vec<PolicyBinding>> {
    let bound = tx.list_policy_bindings(&policy.id).await?.into_iter();
    Ok(bound.filter(|bound| bound.expires_at.is_none_or(|at| at > scope.arrival.at)).collect())
}

/// The policy that was authorised, where the caller may bind it: in its own project, holding what it grants.
async fn read_bindable(tx: &mut Tx, scope: &Scope) -> Result<IamPolicy> {
    let policy = read_policy(tx, scope).await?;
    check_own(&policy, scope)?;
    check_held(scope, &policy_rules(tx, &policy).await?, policy.reach())?;
    Ok(policy)
}

fn check_own(policy: &IamPolicy, scope: &Scope) -> Result<()> {
    match policy.project == scope.project {
        true => Ok(()),
        false => Err(Error::invalid("", "the policy is of a project above; it is bound there")),
    }
}

fn check_name(name: Option<&str>) -> Result<String> {
    let name = name.unwrap_or_default().trim();
    match name.chars().count() > limits::NAME_CHARS_MAX {
        true => Err(Error::invalid("name", "is longer than 255 characters")),
        false => Ok(name.to_owned()),
    }
}

async fn read_binding(tx: &mut Tx, policy: &str, id: &str) -> Result<PolicyBinding> {
    let bindings = tx.list_policy_bindings(policy).await?;
    let found = bindings.into_iter().find(|bound| bound.binding.id == id);
    found.ok_or(Error::not_found("binding"))
}
