//! Why somebody may do something with a secret, or may not (contract, section 15, 10). Never a value.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Named, address, stored_policy};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Scope};
use crate::model::access_policy::{AccessPolicy, Circumstances};
use crate::model::action::Action;
use crate::model::caller::{Call, Principal, Team};
use crate::model::decide::{Grant, Target, decide};
use crate::model::role::{Holder, Rule};
use crate::model::roles;
use crate::model::secret::Secret;
use crate::store::Tx;

/// What is asked, beside the path.
#[derive(Debug, Clone)]
pub struct Question {
    pub action: Action,
    /// `user:<subject>`, `serviceAccount:<identity or slug>`, or the caller.
    pub principal: Option<String>,
}

/// The permissions that can be asked about, and what they are needed for.
pub const ACTIONS: [(&str, Action); 7] = [
    ("create", Action::CreateSecret),
    ("read", Action::ReadSecret),
    ("update", Action::UpdateSecret),
    ("delete", Action::DeleteSecret),
    ("list", Action::ListSecrets),
    ("getSecretValue", Action::GetSecretValue),
    ("putSecretValue", Action::PutSecretValue),
];

/// The decision, and what made it.
pub struct Explained {
    pub path: String,
    pub action: Action,
    pub principal: String,
    pub allowed: bool,
    pub reason: String,
    pub grant: Option<Source>,
    pub policy: Option<PolicySays>,
}

/// The grant that allows, and where it comes from as far as that can be told: a role of the organisation, or an
/// IAM policy of the project.
pub struct Source {
    pub grant: Grant,
    pub role: Option<String>,
    pub policy: Option<String>,
    pub rule: Option<String>,
    pub binding: Option<String>,
}

/// What the secret's access policy says.
pub struct PolicySays {
    pub allowed: bool,
    /// Both for those alone who may read the secret.
    pub reason: Option<String>,
    pub condition: Option<String>,
}

/// Whom the question is about.
struct Who {
    principal: Principal,
    teams: Vec<Team>,
    /// What the organisation's roles grant.
    grants: Vec<Grant>,
    /// What the project's policies grant, now and for the caller's address: the policy's identity and its grant.
    by_policy: Vec<(String, Grant)>,
    is_caller: bool,
}

impl Who {
    fn circumstances(&self, scope: &Scope, now: i64) -> Circumstances<'_> {
        let client = scope.arrival.client;
        Circumstances { principal: &self.principal, teams: &self.teams, client, now }
    }
}

/// Explains what the gate and the access policy would decide.
pub async fn explain(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    question: Result<Question>,
) -> Result<Explained> {
    let shared = app.clone();
    gate::read(app, call, named.ask(Action::ExplainSecret), async move |tx, scope| {
        let question = question.clone()?;
        let mut who = find_principal(tx, scope, question.principal.as_deref()).await?;
        if !scope.project.is_empty() {
            let held = tx.list_policy_grants(&who.principal, &scope.project).await?;
            let circumstances = who.circumstances(scope, shared.clock.now());
            let counts = held.into_iter().filter(|held| held.counts(&circumstances));
            who.by_policy = counts.map(|held| (held.policy, held.grant)).collect();
        }
        let (action, path) = (question.action, scope.subject.as_str());
        let in_scope = !who.is_caller || scope.caller.credential.scopes.allow(action);
        let everything: Vec<_> = who
            .grants
            .iter()
            .chain(who.by_policy.iter().map(|(_, grant)| grant))
            .cloned()
            .collect();
        let grant = decided(&everything, action, path).filter(|_| in_scope).cloned();
        let policy = ask_policy(&shared, tx, scope, &who, (action, grant.is_some())).await?;
        let reason = match &grant {
            None if !in_scope => "the scopes of the credential do not allow this".to_owned(),
            None => "nothing that is held here grants it".to_owned(),
            Some(grant) => match policy.as_ref().is_none_or(|policy| policy.allowed) {
                true => format!("{} grants it", name_of(grant)),
                false => format!(
                    "{} grants it, and the secret's access policy refuses it",
                    name_of(grant)
                ),
            },
        };
        let allowed = grant.is_some() && policy.as_ref().is_none_or(|policy| policy.allowed);
        let source = match grant {
            Some(grant) => Some(find_source(tx, scope, &who, (grant, shared.clock.now())).await?),
            None => None,
        };
        Ok(Explained {
            path: path.to_owned(),
            action,
            principal: text_of(&who.principal),
            allowed,
            reason,
            grant: source,
            policy,
        })
    })
    .await
}

/// What grants it. A list shows a secret to whoever may list anything and read that secret.
fn decided<'a>(grants: &'a [Grant], action: Action, path: &str) -> Option<&'a Grant> {
    match action {
        Action::ListSecrets => {
            let listing = decide(grants, action, Target::Some);
            listing.filter(|_| decide(grants, Action::ReadSecret, Target::One(path)).is_some())
        }
        _ => decide(grants, action, Target::One(path)),
    }
}

async fn find_principal(tx: &mut Tx, scope: &Scope, named: Option<&str>) -> Result<Who> {
    let Some(named) = named else {
        let caller = &scope.caller;
        return Ok(Who {
            principal: caller.principal.clone(),
            teams: caller.teams.clone(),
            grants: caller.grants.clone(),
            by_policy: Vec::new(),
            is_caller: true,
        });
    };
    match named.split_once(':') {
        Some(("user", subject)) => {
            tx.find_member_role(subject).await?.ok_or(Error::not_found("user"))?;
            Ok(Who {
                principal: Principal::User { subject: subject.to_owned() },
                teams: tx.list_teams_of(subject).await?,
                grants: tx.list_held_by(("user", subject)).await?,
                by_policy: Vec::new(),
                is_caller: false,
            })
        }
        Some(("serviceAccount", account)) => {
            let found = tx.find_service_account(account).await?;
            let account = found.ok_or(Error::not_found("service account"))?;
            Ok(Who {
                teams: Vec::new(),
                grants: tx.list_held_by(("service_account", &account.id)).await?,
                by_policy: Vec::new(),
                principal: Principal::ServiceAccount { id: account.id, slug: account.slug },
                is_caller: false,
            })
        }
        _ => Err(Error::invalid("principal", "must be `user:…` or `serviceAccount:…`")),
    }
}

/// What the access policy would say for the caller's address, now.
///
/// SECURITY: whether there is a secret at all is told to those alone who may read it, and to callers who ask
/// about themselves what they could as well try.
async fn ask_policy(
    app: &App,
    tx: &mut Tx,
    scope: &Scope,
    who: &Who,
    (action, granted): (Action, bool),
) -> Result<Option<PolicySays>> {
    let asks_about_self = who.is_caller && granted;
    let may_read =
        decide(&scope.caller.grants, Action::ReadSecret, Target::One(&scope.subject)).is_some();
    let is_gated = [Action::GetSecretValue, Action::PutSecretValue].contains(&action);
    if !is_gated || !(may_read || asks_about_self) {
        return Ok(None);
    }
    let Some(secret) = tx.find_secret(&address(scope)?).await? else { return Ok(None) };
    let Some((json, policy)) = stored_policy(&secret)? else { return Ok(None) };
    let circumstances = who.circumstances(scope, app.clock.now());
    let said = policy.check(action, &circumstances);
    let allowed = said.is_ok();
    let passes = |policy: &AccessPolicy| policy.check(action, &circumstances).is_ok();
    let reason = match said {
        Ok(()) => "nothing in the access policy is against it".to_owned(),
        Err(error) => error.reason(),
    };
    let condition = may_read.then(|| deciding(&secret, json, allowed, passes)).flatten();
    Ok(Some(PolicySays { allowed, reason: may_read.then_some(reason), condition }))
}

/// The place of the condition or statement that decides by itself: one that denies, or one that lets pass.
fn deciding(
    secret: &Secret,
    policy: &Json,
    allowed: bool,
    passes: impl Fn(&AccessPolicy) -> bool,
) -> Option<String> {
    for group in ["conditions", "allowed", "denied", "statements"] {
        for (at, item) in policy[group].as_array().into_iter().flatten().enumerate() {
            let alone = Secret { access_policy: Some(json!({group: [item]})), ..secret.clone() };
            let Ok(Some((_, alone))) = stored_policy(&alone) else { continue };
            let effect = item["effect"].as_str().unwrap_or_default();
            let denies = group == "denied" || effect.eq_ignore_ascii_case("deny");
            let decides = match allowed {
                // A statement about something else lets pass too, and decides nothing.
                true => !denies && group != "statements" && passes(&alone),
                false => denies && !passes(&alone),
            };
            if decides {
                return Some(format!("{group}[{at}]"));
            }
        }
    }
    None
}

/// What grants, in words.
fn name_of(grant: &Grant) -> String {
    match grant.role.starts_with("policy ") {
        true => format!("IAM {}", grant.role),
        false => format!("role `{}`", grant.role),
    }
}

/// Where a grant comes from: role or policy, rule, binding.
async fn find_source(
    tx: &mut Tx,
    scope: &Scope,
    who: &Who,
    (grant, now): (Grant, i64),
) -> Result<Source> {
    let of_policy = |(_, own): &&(String, Grant)| own.role == grant.role;
    if let Some((policy, _)) = who.by_policy.iter().find(of_policy) {
        return find_policy_source(tx, scope, who, policy, (grant, now)).await;
    }
    let Some(role) = tx.find_role(&grant.role).await? else {
        return Ok(Source { grant, role: None, policy: None, rule: None, binding: None });
    };
    let rules = match role.system {
        true => roles::system_rules(&role.slug, &role.id),
        false => tx.list_rules(&role.id).await?,
    };
    let rule = rules.into_iter().find(|rule| is_of(rule, &grant)).map(|rule| rule.id);
    let mut bindings = tx.list_bindings(&role.id).await?.into_iter();
    let binding = bindings.find(|b| b.scopes == grant.scopes && is_theirs(who, &b.holder));
    let binding = binding.map(|binding| binding.id);
    Ok(Source { grant, role: Some(role.id), policy: None, rule, binding })
}

async fn find_policy_source(
    tx: &mut Tx,
    scope: &Scope,
    who: &Who,
    policy: &str,
    (grant, now): (Grant, i64),
) -> Result<Source> {
    let found = tx.find_policy(&scope.project, policy).await?;
    let policy = found.ok_or_else(|| Error::bug("a grant of no policy"))?;
    let rules = match policy.system {
        true => roles::system_rules(&policy.slug, &policy.id),
        false => tx.list_policy_rules(&policy.id).await?,
    };
    let rule = rules.into_iter().find(|rule| is_of(rule, &grant)).map(|rule| rule.id);
    let mut bindings = tx.list_policy_bindings(&policy.id).await?.into_iter();
    let holds = |end: Option<i64>| end.is_none_or(|at| at > now);
    let binding =
        bindings.find(|held| holds(held.expires_at) && is_theirs(who, &held.binding.holder));
    let binding = binding.map(|held| held.binding.id);
    Ok(Source { grant, role: None, policy: Some(policy.id), rule, binding })
}

fn is_theirs(who: &Who, holder: &Holder) -> bool {
    match (holder, &who.principal) {
        (Holder::User(user), Principal::User { subject }) => user.subject == *subject,
        (Holder::Team(team), _) => who.teams.iter().any(|own| own.id == team.id),
        (Holder::ServiceAccount(account), Principal::ServiceAccount { id, .. }) => {
            account.id == *id
        }
        _ => false,
    }
}

fn is_of(rule: &Rule, grant: &Grant) -> bool {
    let lists = [&rule.resources, &rule.identities, &rule.permissions];
    let [resources, identities, permissions] =
        lists.map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
    let compiled = roles::compile(&grant.role, &resources, &identities, &permissions);
    compiled.resources == grant.resources
        && compiled.permissions == grant.permissions
        && grant.patterns.iter().map(|pattern| pattern.as_str()).eq(identities)
}

fn text_of(principal: &Principal) -> String {
    match principal {
        Principal::User { subject } => format!("user:{subject}"),
        Principal::ServiceAccount { id, .. } => format!("serviceAccount:{id}"),
        Principal::Administrator { id } => format!("administrator:{id}"),
        Principal::System { .. } => "system".to_owned(),
    }
}
