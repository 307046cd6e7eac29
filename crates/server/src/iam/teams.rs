//! Teams and who is in them (contract, section 4.4).

use std::sync::Arc;

use coffer_api::{CreateTeamMemberRequest, CreateTeamRequest, UpdateTeamRequest};

use super::Filter;
use super::roles::{check_roles_held, too_many};
use crate::app::App;
use crate::error::{Error, Result, shorten};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{Target, allows};
use crate::model::limits;
use crate::model::team::{Team, TeamMember, TeamRole};
use crate::store::Tx;

/// A team with who is in it.
#[derive(Clone)]
pub struct View {
    pub team: Team,
    pub members: Vec<TeamMember>,
}

fn on(action: Action, team: String) -> Ask {
    Ask { action, region: None, subject: Subject::Team(team) }
}

/// The teams that the caller may list.
pub async fn list(app: &Arc<App>, call: &Call, filter: Result<Filter>) -> Result<Vec<View>> {
    let ask = Ask { action: Action::ListTeams, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let filter = filter.as_ref().map_err(Clone::clone)?;
        let mut members = tx.list_team_members("").await?;
        let mut views = Vec::new();
        for team in tx.list_teams().await? {
            let may = allows(&scope.caller.grants, Action::ListTeams, Target::One(&team.id));
            if may && filter.matches([&team.id, &team.name, &team.slug], &team.labels) {
                let own = members.extract_if(.., |member| member.team == team.id).collect();
                views.push(View { team, members: own });
            }
        }
        Ok(views)
    })
    .await
}

/// Makes a team of nobody.
pub async fn create(app: &Arc<App>, call: &Call, body: Result<CreateTeamRequest>) -> Result<View> {
    let id = app.clock.fresh_id("team-")?;
    let ask = Ask { action: Action::CreateTeam, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let name = limits::check_name(&body.name)?;
        let now = shared.clock.now();
        let team = Team {
            id: scope.subject.clone(),
            slug: limits::check_slug(&name)?,
            name,
            description: body.description.clone().unwrap_or_default(),
            labels: body.labels.clone().unwrap_or_default(),
            annotations: body.annotations.clone().unwrap_or_default(),
            created_at: now,
            updated_at: now,
        };
        check(&team)?;
        if tx.list_teams().await?.len() >= limits::TEAMS_MAX {
            return Err(too_many("teams", limits::TEAMS_MAX));
        }
        tx.insert_team(&team).await?;
        view(tx, scope).await
    })
    .await
}

/// One team.
pub async fn read(app: &Arc<App>, call: &Call, team: String) -> Result<View> {
    gate::read(app, call, on(Action::ReadTeam, team), async move |tx, scope| view(tx, scope).await)
        .await
}

/// Changes what the request names. The slug stays: access policies may name it.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    team: String,
    body: Result<UpdateTeamRequest>,
) -> Result<View> {
    let shared = app.clone();
    gate::write(app, call, on(Action::UpdateTeam, team), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let before = read_team(tx, scope).await?;
        let team = Team {
            name: body.name.as_deref().map_or(Ok(before.name), limits::check_name)?,
            description: body.description.clone().unwrap_or(before.description),
            labels: body.labels.clone().unwrap_or(before.labels),
            annotations: body.annotations.clone().unwrap_or(before.annotations),
            updated_at: shared.clock.now(),
            ..before
        };
        check(&team)?;
        tx.set_team(&team).await?;
        view(tx, scope).await
    })
    .await
}

/// Deletes a team; what its members held by it they hold no more.
pub async fn delete(app: &Arc<App>, call: &Call, team: String) -> Result<()> {
    gate::write(app, call, on(Action::DeleteTeam, team), async move |tx, scope| {
        let team = read_team(tx, scope).await?;
        tx.delete_team(&team.id).await
    })
    .await
}

/// Puts a member of the organisation into a team, or changes what the member is there.
///
/// SECURITY: whoever is in a team holds its roles, so nobody puts in whom they could not give them to.
pub async fn add_member(
    app: &Arc<App>,
    call: &Call,
    team: String,
    body: Result<CreateTeamMemberRequest>,
) -> Result<TeamMember> {
    let shared = app.clone();
    gate::write(app, call, on(Action::AddTeamMember, team), async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let role = match body.role.as_deref() {
            None | Some("") => TeamRole::default(),
            Some(word) => TeamRole::from_word(word)
                .ok_or_else(|| Error::invalid("role", "must be OWNER, ADMIN or MEMBER"))?,
        };
        let subject = &body.user_identity;
        tx.find_member_role(subject).await?.ok_or(Error::not_found("user"))?;
        let team = read_team(tx, scope).await?;
        let now = shared.clock.now();
        check_roles_held(tx, scope, ("team", &team.id), now).await?;
        let before = tx.list_team_members(&team.id).await?;
        let is_in = before.iter().any(|member| member.user.subject == *subject);
        if !is_in && before.len() >= limits::TEAM_MEMBERS_MAX {
            return Err(too_many("members", limits::TEAM_MEMBERS_MAX));
        }
        tx.insert_team_member(&team.id, subject, role, now).await?;
        tx.describe(format!("user {subject} as {}", role.word()));
        let members = tx.list_team_members(&team.id).await?;
        let added = members.into_iter().find(|member| member.user.subject == *subject);
        added.ok_or_else(|| Error::bug("a member is not there after being put in"))
    })
    .await
}

/// Takes somebody out of a team.
pub async fn drop_member(app: &Arc<App>, call: &Call, team: String, subject: String) -> Result<()> {
    gate::write(app, call, on(Action::DropTeamMember, team), async move |tx, scope| {
        tx.delete_team_member(&scope.subject, &subject).await?;
        tx.describe(format!("user {}", shorten(&subject)));
        Ok(())
    })
    .await
}

fn check(team: &Team) -> Result<()> {
    limits::check_description(&team.description)?;
    limits::check_labels(&team.labels)?;
    limits::check_annotations(&team.annotations)
}

/// The team that was authorised.
async fn read_team(tx: &mut Tx, scope: &Scope) -> Result<Team> {
    tx.find_team(&scope.subject).await?.ok_or(Error::not_found("team"))
}

async fn view(tx: &mut Tx, scope: &Scope) -> Result<View> {
    let team = read_team(tx, scope).await?;
    let members = tx.list_team_members(&team.id).await?;
    Ok(View { team, members })
}
