//! IAM policies of projects and their rules (contract, section 4.6).

use std::sync::Arc;

use coffer_api::{CreatePolicyRequest, CreateRuleRequest, UpdatePolicyRequest};

use super::Filter;
use super::roles::{check_held, check_rules_fit, describe_rule, policy_rules, too_many};
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::{Action, Resource};
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::limits;
use crate::model::policy::{IamPolicy, PolicyBinding, check_conditionals};
use crate::model::project::Project;
use crate::model::role::Rule;
use crate::store::Tx;

/// A policy as an answer shows it.
#[derive(Clone)]
pub struct View {
    pub policy: IamPolicy,
    /// The project it was made in.
    pub project: Project,
    /// Whether it is of the project of the call, not of one above.
    pub is_own: bool,
    /// On single reads.
    pub contents: Option<(Vec<Rule>, Vec<PolicyBinding>)>,
}

/// Endpoints beside the policies: as slugs they could not be reached.
const RESERVED: [&str; 2] = ["resources", "members"];

pub(super) fn on(action: Action, policy: String) -> Ask {
    Ask { action, region: None, subject: Subject::Policy(policy) }
}

/// The policies that hold in the project, as far as the caller may list them.
pub async fn list(app: &Arc<App>, call: &Call, filter: Result<Filter>) -> Result<Vec<View>> {
    let ask = Ask { action: Action::ListPolicies, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let projects = tx.list_projects().await?;
        let mut views = Vec::new();
        for policy in tx.list_policies(&scope.project).await? {
            let may = allows(&scope.caller.grants, Action::ListPolicies, Target::One(&policy.id));
            let matches = filter.matches([&policy.id, &policy.name, &policy.slug], &policy.labels);
            let project = projects.iter().find(|project| project.id == policy.project);
            if let Some(project) = project.filter(|_| may && matches) {
                let is_own = project.id == scope.project;
                views.push(View { policy, project: project.clone(), is_own, contents: None });
            }
        }
        Ok(views)
    })
    .await
}

/// Types of resources that rules may name.
pub async fn list_assignable(app: &Arc<App>, call: &Call) -> Result<Vec<&'static str>> {
    let ask = Ask { action: Action::ListAssignable, region: None, subject: Subject::None };
    gate::read(app, call, ask, async |_, _| {
        let in_projects = Resource::ALL.into_iter().filter(|resource| resource.is_in_projects());
        Ok(in_projects.chain([Resource::Project]).map(Resource::name).collect())
    })
    .await
}

/// Makes a policy, with rules if the request has any.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreatePolicyRequest>,
) -> Result<View> {
    let id = app.clock.fresh_id("pol-")?;
    let ask = Ask { action: Action::CreatePolicy, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let (name, now) = (limits::check_name(&body.name)?, shared.clock.now());
        let conditionals = body.conditionals.as_ref().map(check_conditionals).transpose()?;
        let policy = IamPolicy {
            id: scope.subject.clone(),
            project: scope.project.clone(),
            slug: limits::check_slug(&name)?,
            name,
            description: body.description.clone().unwrap_or_default(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            system: false,
            replicate: body.replicate_to_children.unwrap_or_default(),
            conditionals: conditionals.flatten(),
            created_at: now,
            updated_at: now,
            object_version: 1,
        };
        check(&policy)?;
        if RESERVED.contains(&policy.slug.as_str()) {
            return Err(Error::invalid("name", "is the name of an endpoint"));
        }
        if tx.list_policies(&scope.project).await?.len() >= limits::POLICIES_MAX {
            return Err(too_many("policies", limits::POLICIES_MAX));
        }
        tx.insert_policy(&policy).await?;
        let rules = body.rules.as_deref().unwrap_or_default();
        if rules.len() > limits::RULES_MAX {
            return Err(too_many("rules", limits::RULES_MAX));
        }
        for rule in rules {
            insert_rule(&shared, tx, scope, &policy, rule).await?;
        }
        view(tx, scope).await
    })
    .await
}

/// One policy with its rules and bindings.
pub async fn read(app: &Arc<App>, call: &Call, policy: String) -> Result<View> {
    let ask = on(Action::ReadPolicy, policy);
    gate::read(app, call, ask, async move |tx, scope| view(tx, scope).await).await
}

/// Changes what the request names.
///
/// SECURITY: other conditions let others in, so they are for those alone who hold what the policy grants.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    policy: String,
    body: Result<UpdatePolicyRequest>,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdatePolicy, policy), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = read_own(tx, scope).await?;
        let conditionals = match &body.conditionals {
            None => before.conditionals.clone(),
            Some(sent) => {
                check_held(scope, &policy_rules(tx, &before).await?, before.reach())?;
                sent.as_ref().map(check_conditionals).transpose()?.flatten()
            }
        };
        let policy = IamPolicy {
            description: body.description.clone().unwrap_or(before.description),
            labels: body.labels.clone().unwrap_or(before.labels),
            annotations: body.annotations.clone().unwrap_or(before.annotations),
            conditionals,
            updated_at: shared.clock.now(),
            ..before
        };
        check(&policy)?;
        tx.set_policy_about(&policy).await?;
        if body.conditionals.is_some() {
            let now = if policy.conditionals.is_some() { "set" } else { "removed" };
            tx.describe(format!("conditionals {now}"));
        }
        view(tx, scope).await
    })
    .await
}

/// Deletes a policy with its rules, bindings and elevations.
pub async fn delete(app: &Arc<App>, call: &Call, policy: String) -> Result<()> {
    gate::write(app, call, on(Action::DeletePolicy, policy), async move |tx, scope| {
        let policy = read_own(tx, scope).await?;
        tx.delete_policy(&policy.id).await
    })
    .await
}

/// Adds a rule. All who hold the policy have it with their next call.
pub async fn create_rule(
    app: &Arc<App>,
    call: &Call,
    policy: String,
    body: Result<CreateRuleRequest>,
) -> Result<Rule> {
    let shared = app.clone();
    gate::write(app, call, on(Action::CreatePolicyRule, policy), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let policy = read_own(tx, scope).await?;
        if tx.list_policy_rules(&policy.id).await?.len() >= limits::RULES_MAX {
            return Err(too_many("rules", limits::RULES_MAX));
        }
        let rule = insert_rule(&shared, tx, scope, &policy, body).await?;
        tx.touch_policy(&policy.id, shared.clock.now()).await?;
        tx.describe(describe_rule(&rule));
        Ok(rule)
    })
    .await
}

/// Takes a rule out of a policy.
pub async fn delete_rule(app: &Arc<App>, call: &Call, policy: String, rule: String) -> Result<()> {
    let shared = app.clone();
    gate::write(app, call, on(Action::DeletePolicyRule, policy), async move |tx, scope| {
        let policy = read_own(tx, scope).await?;
        tx.delete_policy_rule(&policy.id, &rule).await?;
        tx.describe(format!("rule {}", shorten(&rule)));
        tx.touch_policy(&policy.id, shared.clock.now()).await
    })
    .await
}

async fn insert_rule(
    app: &App,
    tx: &mut Tx,
    scope: &Scope,
    policy: &IamPolicy,
    body: &CreateRuleRequest,
) -> Result<Rule> {
    let rule = Rule::of_request(app.clock.fresh_id("")?, body)?;
    check_held(scope, std::slice::from_ref(&rule), policy.reach())?;
    check_rules_fit(tx, &rule).await?;
    tx.insert_policy_rule(&policy.id, &rule).await?;
    Ok(rule)
}

fn check(policy: &IamPolicy) -> Result<()> {
    limits::check_description(&policy.description)?;
    limits::check_labels(&policy.labels)?;
    limits::check_annotations(&policy.annotations)
}

/// The policy that was authorised.
pub(super) async fn read_policy(tx: &mut Tx, scope: &Scope) -> Result<IamPolicy> {
    let found = tx.find_policy(&scope.project, &scope.subject).await?;
    found.ok_or(Error::not_found("IAM policy"))
}

/// The same, where it can be changed.
async fn read_own(tx: &mut Tx, scope: &Scope) -> Result<IamPolicy> {
    let policy = read_policy(tx, scope).await?;
    policy.check_changeable(&scope.project)?;
    Ok(policy)
}

async fn view(tx: &mut Tx, scope: &Scope) -> Result<View> {
    let policy = read_policy(tx, scope).await?;
    let project = tx.find_project(&policy.project).await?.ok_or(Error::not_found("project"))?;
    let contents = (policy_rules(tx, &policy).await?, tx.list_policy_bindings(&policy.id).await?);
    let is_own = policy.project == scope.project;
    Ok(View { policy, project, is_own, contents: Some(contents) })
}
