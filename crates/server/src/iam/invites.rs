//! Invites: made by members, accepted by whoever has the code (contract, section 4.5).

use std::sync::Arc;

use coffer_api::{AcceptInviteRequest, CreateInviteRequest};
use coffer_crypto::token;
use zeroize::Zeroizing;

use super::roles::{
    check_held, check_held_by, check_roles_held, check_roles_held_by, rules_of, too_many, too_much,
};
use crate::app::App;
use crate::clock::DAY;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::{Call, Principal};
use crate::model::decide::{HandOn, Target, allows};
use crate::model::identity::{MemberRole, Organisation, User};
use crate::model::invite::{INVITE_DAYS, INVITE_DAYS_MAX, INVITES_MAX, Invite, check_email};
use crate::model::limits;
use crate::model::role::Role;
use crate::model::scopes::Scopes;
use crate::model::team::{Team, TeamRole};
use crate::model::term::read_end;
use crate::store::{NewBinding, NewToken, Tx};

pub use crate::gate::Guest;

/// An invite with what it names, as far as that is still there.
pub struct View {
    pub invite: Invite,
    pub invited_by: Option<User>,
    pub team: Option<Team>,
    pub role: Option<Role>,
}

/// A new member; a new user has a first token, shown this once.
pub struct Accepted {
    pub member: String,
    pub organisation: Organisation,
    pub user: User,
    pub role: MemberRole,
    pub token: Option<Zeroizing<String>>,
}

/// The invites that wait and that the caller may list.
pub async fn list(app: &Arc<App>, call: &Call) -> Result<Vec<View>> {
    let ask = Ask { action: Action::ListInvites, region: None, subject: Subject::None };
    let shared = app.clone();
    gate::read(app, call, ask, async move |tx, scope| {
        let now = shared.clock.now();
        let mut views = Vec::new();
        for invite in tx.list_invites().await? {
            let may = allows(&scope.caller.grants, Action::ListInvites, Target::One(&invite.id));
            if may && invite.expires_at > now {
                views.push(view(tx, invite).await?);
            }
        }
        Ok(views)
    })
    .await
}

/// Invites somebody; the code is shown this once.
pub async fn create(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateInviteRequest>,
) -> Result<(View, Zeroizing<String>)> {
    let id = app.clock.fresh_id("inv-")?;
    let code = token::mint_invite()?;
    let hash = token::hash(&code);
    let ask = Ask { action: Action::CreateInvite, region: None, subject: Subject::New(id) };
    let shared = app.clone();
    let made = gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let invite = new_invite(tx, scope, body, shared.clock.now()).await?;
        tx.delete_expired_invites(invite.created_at).await?;
        if tx.list_invites().await?.len() >= INVITES_MAX {
            return Err(too_many("invites", INVITES_MAX));
        }
        tx.insert_invite(&hash, &invite).await?;
        tx.describe(format!("{} {}{}", invite.email, invite.role.word(), gives(&invite)));
        view(tx, invite).await
    })
    .await?;
    Ok((made, code))
}

/// Takes an invite back.
pub async fn delete(app: &Arc<App>, call: &Call, id: String) -> Result<()> {
    let ask = Ask { action: Action::DeleteInvite, region: None, subject: Subject::New(id) };
    gate::write(app, call, ask, async move |tx, scope| tx.delete_invite(&scope.subject).await).await
}

/// SECURITY: nobody hands out by an invite what they could not hand out by hand.
async fn new_invite(
    tx: &mut Tx,
    scope: &Scope,
    body: &CreateInviteRequest,
    now: i64,
) -> Result<Invite> {
    let inviter = match &scope.caller.principal {
        Principal::User { subject } => ("user".to_owned(), subject.clone()),
        Principal::ServiceAccount { id, .. } => ("service_account".to_owned(), id.clone()),
        Principal::Administrator { .. } | Principal::System { .. } => {
            return Err(Error::bug("an invite of nobody in the organisation"));
        }
    };
    let role = match body.role.as_deref() {
        None | Some("") => MemberRole::Member,
        Some(word) => MemberRole::from_word(word)
            .ok_or_else(|| Error::invalid("role", "must be OWNER or MEMBER"))?,
    };
    let named = |reference: &Option<String>| reference.clone().filter(|text| !text.is_empty());
    let mut invite = Invite {
        organisation: scope.organisation.clone(),
        id: scope.subject.clone(),
        email: check_email("email", &body.email)?,
        role,
        inviter,
        team: String::new(),
        bound_role: String::new(),
        created_at: now,
        expires_at: read_end(body.expires_at, body.duration.as_deref(), now, INVITE_DAYS_MAX)?
            .unwrap_or(now + INVITE_DAYS * DAY),
    };
    if let Some(team) = named(&body.join_team_on_accept) {
        let team = tx.find_team(&team).await?.ok_or(Error::not_found("team"))?;
        check_roles_held(tx, scope, ("team", &team.id), now).await?;
        invite.team = team.id;
    }
    if let Some(role) = named(&body.rolebinding_on_accept) {
        let role = tx.find_role(&role).await?.ok_or(Error::not_found("role"))?;
        check_held(scope, &rules_of(tx, &role).await?, HandOn::Below)?;
        invite.bound_role = role.id;
    }
    check_inviter(tx, &invite, now).await?;
    Ok(invite)
}

/// Refuses an invite that its inviter may not make, now: an OWNER may make any, others hand out what they hold.
///
/// SECURITY: asked again when the invite is accepted, so that none outlives the power it was made with.
async fn check_inviter(tx: &mut Tx, invite: &Invite, now: i64) -> Result<()> {
    let inviter = (invite.inviter.0.as_str(), invite.inviter.1.as_str());
    let by = match inviter {
        ("user", subject) => match tx.find_member_role(subject).await?.ok_or_else(too_much)? {
            MemberRole::Owner => return Ok(()),
            MemberRole::Member => Principal::User { subject: subject.to_owned() },
        },
        (_, account) => {
            let account = tx.find_service_account(account).await?.ok_or_else(too_much)?;
            Principal::ServiceAccount { id: account.id, slug: account.slug }
        }
    };
    let held = tx.list_held_by(inviter).await?;
    if invite.role == MemberRole::Owner
        || !allows(&held, Action::CreateInvite, Target::One(&invite.id))
    {
        return Err(too_much());
    }
    if !invite.team.is_empty() {
        if !allows(&held, Action::AddTeamMember, Target::One(&invite.team)) {
            return Err(too_much());
        }
        check_roles_held_by(tx, (&by, &held), ("team", &invite.team), now).await?;
    }
    if !invite.bound_role.is_empty()
        && let Some(role) = tx.find_role(&invite.bound_role).await?
    {
        if !allows(&held, Action::CreateBinding, Target::One(&role.id)) {
            return Err(too_much());
        }
        check_held_by(&held, &rules_of(tx, &role).await?, HandOn::Below)?;
    }
    Ok(())
}

/// Makes whoever has the code a member: the user who calls, or a new one with a first token.
pub async fn accept(
    app: &Arc<App>,
    guest: Guest,
    body: Result<AcceptInviteRequest>,
) -> Result<Accepted> {
    // The code goes no farther than this: what is looked up is its hash.
    let body = body.map(|body| (token::hash(body.invite_code.as_text()), body.name));
    let shown = body.clone();
    let (finding, shared) = (app.clone(), app.clone());
    let text = token::mint_pat()?;
    let hash = token::hash(&text);
    let mut accepted = gate::welcome(
        app,
        guest,
        Action::AcceptInvite,
        async move |tx: &mut Tx| {
            let (code, _) = shown.as_ref().map_err(Clone::clone)?;
            let invite = tx.find_invite(code).await?;
            let invite = invite.filter(|invite| invite.expires_at > finding.clock.now());
            Ok(invite.map(|invite| (invite.organisation.clone(), invite.id.clone(), invite)))
        },
        async move |tx, principal, invite| {
            let (_, name) = body.as_ref().map_err(Clone::clone)?;
            let ended = Error::Unauthenticated { cause: "the inviter may no longer do this" };
            check_inviter(tx, &invite, shared.clock.now()).await.map_err(|error| match error {
                Error::Invalid { .. } => ended,
                other => other,
            })?;
            join(tx, &shared, principal, &invite, (name.as_deref(), &hash)).await
        },
    )
    .await?;
    // Minted before the door, and told only where it was put into the store.
    accepted.token = accepted.token.map(|_| text);
    Ok(accepted)
}

async fn join(
    tx: &mut Tx,
    app: &App,
    principal: Option<&Principal>,
    invite: &Invite,
    (name, hash): (Option<&str>, &token::TokenHash),
) -> Result<Accepted> {
    let (now, clock) = (app.clock.now(), &app.clock);
    let (user, is_new) = match principal {
        None => (insert_user(tx, app, invite, name, hash).await?, true),
        Some(Principal::User { subject }) => {
            let user = tx.find_user(subject).await?.ok_or(Error::not_found("user"))?;
            (user, false)
        }
        Some(_) => return Err(Error::denied("only users accept invites")),
    };
    if tx.find_member_role(&user.subject).await?.is_some() {
        return Err(Error::Conflict("you are a member of this organisation already".to_owned()));
    }
    // Whoever comes second finds none: one invite, one member.
    tx.delete_invite(&invite.id).await?;
    tx.describe(format!("user {} as {}{}", user.subject, invite.role.word(), gives(invite)));
    let member = clock.fresh_id("m-")?;
    tx.insert_member(&member, &user.subject, invite.role, now).await?;
    if !invite.team.is_empty() && tx.find_team(&invite.team).await?.is_some() {
        if tx.list_team_members(&invite.team).await?.len() >= limits::TEAM_MEMBERS_MAX {
            return Err(too_many("members", limits::TEAM_MEMBERS_MAX));
        }
        tx.insert_team_member(&invite.team, &user.subject, TeamRole::default(), now).await?;
    }
    if !invite.bound_role.is_empty() && tx.find_role(&invite.bound_role).await?.is_some() {
        if tx.list_bindings(&invite.bound_role).await?.len() >= limits::BINDINGS_MAX {
            return Err(too_many("bindings", limits::BINDINGS_MAX));
        }
        let binding = clock.fresh_id("")?;
        let holder = ("user", user.subject.as_str());
        let new = NewBinding::between(&binding, &invite.bound_role, holder);
        tx.insert_binding(&new, now).await?;
    }
    let found = tx.find_organisation(&invite.organisation).await?;
    let organisation = found.ok_or_else(|| Error::bug("an invite of no organisation"))?;
    let token = is_new.then(Zeroizing::default);
    Ok(Accepted { member, organisation, user, role: invite.role, token })
}

/// A new user with a first token.
///
/// SECURITY: never one who is there already with the same address, which nobody has proven to own.
async fn insert_user(
    tx: &mut Tx,
    app: &App,
    invite: &Invite,
    name: Option<&str>,
    hash: &token::TokenHash,
) -> Result<User> {
    let user = User {
        subject: app.clock.fresh_id("usr-")?,
        name: match name.filter(|name| !name.trim().is_empty()) {
            Some(name) => limits::check_name(name)?,
            None => invite.email.clone(),
        },
        email: invite.email.clone(),
        created_at: app.clock.now(),
    };
    tx.insert_user(&user).await?;
    let token = NewToken {
        id: &app.clock.fresh_id("pat-")?,
        subject: &user.subject,
        name: "first",
        scopes: &Scopes::default(),
        expires_at: None,
    };
    tx.insert_token(hash, &token, app.clock.now()).await?;
    Ok(user)
}

/// What an invite gives besides the membership, for the records.
fn gives(invite: &Invite) -> String {
    let [team, role] = [&invite.team, &invite.bound_role];
    let told = |word: &str, id: &str| match id {
        "" => String::new(),
        id => format!(", {word} {id}"),
    };
    told("team", team) + &told("role", role)
}

async fn view(tx: &mut Tx, invite: Invite) -> Result<View> {
    let invited_by = match invite.inviter.0.as_str() {
        "user" => tx.find_user(&invite.inviter.1).await?,
        _ => None,
    };
    let team = match invite.team.as_str() {
        "" => None,
        team => tx.find_team(team).await?,
    };
    let role = match invite.bound_role.as_str() {
        "" => None,
        role => tx.find_role(role).await?,
    };
    Ok(View { invite, invited_by, team, role })
}
