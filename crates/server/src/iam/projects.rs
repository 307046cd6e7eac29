//! Projects (contract, section 6.1).

use std::sync::Arc;

use coffer_api::{CreateProjectRequest, UpdateProjectRequest};

use super::Filter;
use super::policy_bindings::check_room;
use super::roles::{check_held, policy_rules, too_many};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::HandOn;
use crate::model::limits;
use crate::model::policy::IamPolicy;
use crate::model::project::Project;
use crate::model::roles::SYSTEM_ROLES;
use crate::store::{NewPolicyBinding, Tx};

/// What the clients say for "no project".
const NO_PROJECT: &str = "root";
/// The policy that whoever makes a project is bound to.
const ADMIN: &str = "org-admin";

/// A project as an answer shows it, with the one above.
#[derive(Clone)]
pub struct View {
    pub project: Project,
    pub parent: Option<Project>,
}

fn on(action: Action, project: String) -> Ask {
    Ask { action, region: None, subject: Subject::Project(project) }
}

/// The projects that the caller holds anything in.
pub async fn list(app: &Arc<App>, call: &Call, filter: Result<Filter>) -> Result<Vec<View>> {
    let ask = Ask { action: Action::ListProjects, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let all = tx.list_projects().await?;
        let mut views = Vec::new();
        for project in &all {
            let names = [&*project.id, &*project.name, &*project.slug];
            if filter.matches(names, &project.labels) && is_seen(tx, scope, project).await? {
                let parent = all.iter().find(|other| other.id == project.parent).cloned();
                views.push(View { project: project.clone(), parent });
            }
        }
        Ok(views)
    })
    .await
}

/// Whoever holds anything in the organisation holds it in each project; others see those whose policies they hold.
async fn is_seen(tx: &mut Tx, scope: &Scope, project: &Project) -> Result<bool> {
    if !scope.member.grants.is_empty() {
        return Ok(true);
    }
    let held = tx.list_policy_grants(&scope.member.principal, &project.id).await?;
    Ok(!scope.member.within(&held, scope.arrival.at, scope.arrival.client).grants.is_empty())
}

/// Makes a project with its system policies, and binds whoever makes it to the one that grants all of it.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateProjectRequest>,
) -> Result<View> {
    let id = app.clock.fresh_id("prj-")?;
    let ask = Ask { action: Action::CreateProject, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let name = limits::check_name(&body.name)?;
        let slug = limits::check_slug(&name)?;
        if slug == NO_PROJECT {
            return Err(Error::invalid("name", "`root` stands for no project"));
        }
        let parent = body.parent_project_identity.as_deref().unwrap_or_default();
        let now = shared.clock.now();
        let project = Project {
            id: scope.subject.clone(),
            slug,
            name,
            description: body.description.clone().unwrap_or_default(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            parent: find_parent(tx, scope, parent).await?,
            created_at: now,
            updated_at: now,
            object_version: 1,
        };
        check(&project)?;
        if tx.list_projects().await?.len() >= limits::PROJECTS_MAX {
            return Err(too_many("projects", limits::PROJECTS_MAX));
        }
        tx.insert_project(&project).await?;
        insert_system_policies(&shared, tx, scope, &project).await?;
        view(tx, scope).await
    })
    .await
}

async fn insert_system_policies(
    app: &App,
    tx: &mut Tx,
    scope: &Scope,
    project: &Project,
) -> Result<()> {
    let none = coffer_api::Map::new();
    for (name, _, _) in SYSTEM_ROLES {
        let policy = IamPolicy {
            id: app.clock.fresh_id("pol-")?,
            project: project.id.clone(),
            slug: coffer_api::slug_of(name),
            name: (*name).to_owned(),
            description: String::new(),
            labels: none.clone(),
            annotations: none.clone(),
            system: true,
            replicate: false,
            conditionals: None,
            created_at: project.created_at,
            updated_at: project.created_at,
            object_version: 1,
        };
        tx.insert_policy(&policy).await?;
        if policy.slug == ADMIN {
            let binding = NewPolicyBinding {
                id: &app.clock.fresh_id("")?,
                policy: &policy.id,
                holder: scope.caller.principal.kind_and_id(),
                name: "",
                description: "made the project",
                labels: &none,
                annotations: &none,
                elevation: "",
                expires_at: None,
            };
            check_room(tx, binding.holder).await?;
            tx.insert_policy_binding(&binding, project.created_at).await?;
        }
    }
    Ok(())
}

/// One project.
pub async fn read(app: &Arc<App>, call: &Call, project: String) -> Result<View> {
    let ask = on(Action::ReadProject, project);
    gate::read(app, call, ask, async move |tx, scope| view(tx, scope).await).await
}

/// Changes what the request names. The slug stays.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    project: String,
    body: Result<UpdateProjectRequest>,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdateProject, project), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = read_project(tx, scope).await?;
        let parent = match body.parent_project_identity.as_deref() {
            None => before.parent.clone(),
            Some(parent) => find_parent(tx, scope, parent).await?,
        };
        // Seen in the same transaction that writes it: no two changes make a circle between them.
        if !parent.is_empty() && tx.list_line(&parent).await?.contains(&before.id) {
            return Err(Error::invalid("parentProjectIdentity", "lies below the project itself"));
        }
        if parent != before.parent {
            check_replicated(tx, scope, &parent).await?;
            tx.describe(format!("moved from `{}` to `{parent}`", before.parent));
        }
        let project = Project {
            name: body.name.as_deref().map_or(Ok(before.name), limits::check_name)?,
            description: body.description.clone().unwrap_or(before.description),
            labels: body.labels.clone().unwrap_or(before.labels),
            annotations: body.annotations.clone().unwrap_or(before.annotations),
            parent,
            updated_at: shared.clock.now(),
            ..before
        };
        check(&project)?;
        tx.set_project(&project).await?;
        view(tx, scope).await
    })
    .await
}

/// Deletes a project in which nothing is left, with its policies.
pub async fn delete(app: &Arc<App>, call: &Call, project: String) -> Result<()> {
    gate::write(app, call, on(Action::DeleteProject, project), async move |tx, scope| {
        let project = read_project(tx, scope).await?;
        let left = tx.count_dependents(&project.id).await?;
        if left.projects + left.keys + left.secrets > 0 {
            return Err(Error::invalid(
                "",
                format!(
                    "the project has dependent resources: {} secrets, {} keys, {} projects below it",
                    left.secrets, left.keys, left.projects
                ),
            ));
        }
        tx.delete_project(&project.id).await
    })
    .await
}

/// The identity of the project above that a request names: one that the caller sees. Empty for the top.
async fn find_parent(tx: &mut Tx, scope: &Scope, reference: &str) -> Result<String> {
    if reference.is_empty() {
        return Ok(String::new());
    }
    let missing = Error::invalid("parentProjectIdentity", "there is no such project");
    match tx.find_project(reference).await? {
        Some(parent) if is_seen(tx, scope, &parent).await? => Ok(parent.id),
        _ => Err(missing),
    }
}

/// SECURITY: whoever moves a project opens it to all who hold the replicated policies of its new place.
async fn check_replicated(tx: &mut Tx, scope: &Scope, parent: &str) -> Result<()> {
    if parent.is_empty() {
        return Ok(());
    }
    for policy in tx.list_policies(parent).await?.iter().filter(|policy| policy.replicate) {
        check_held(scope, &policy_rules(tx, policy).await?, HandOn::Below)?;
    }
    Ok(())
}

fn check(project: &Project) -> Result<()> {
    limits::check_description(&project.description)?;
    limits::check_labels(&project.labels)?;
    limits::check_annotations(&project.annotations)
}

/// The project that was authorised.
async fn read_project(tx: &mut Tx, scope: &Scope) -> Result<Project> {
    tx.find_project(&scope.subject).await?.ok_or(Error::not_found("project"))
}

async fn view(tx: &mut Tx, scope: &Scope) -> Result<View> {
    let project = read_project(tx, scope).await?;
    let parent = match project.parent.is_empty() {
        true => None,
        false => tx.find_project(&project.parent).await?,
    };
    Ok(View { project, parent })
}
