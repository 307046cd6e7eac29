//! Members of the organisation (contract, section 4.5).

use std::sync::Arc;

use coffer_api::UpdateMemberRequest;

use super::roles::check_held;
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{HandOn, Target, allows};
use crate::model::identity::MemberRole;
use crate::model::role::Rule;
use crate::model::team::Member;
use crate::store::Tx;

/// The members that the caller may list.
pub async fn list(app: &Arc<App>, call: &Call) -> Result<Vec<Member>> {
    let ask = Ask { action: Action::ListMembers, region: None, subject: Subject::None };
    gate::read(app, call, ask, async move |tx, scope| {
        let may = |member: &Member| {
            allows(&scope.caller.grants, Action::ListMembers, Target::One(&member.id))
        };
        Ok(tx.list_members().await?.into_iter().filter(may).collect())
    })
    .await
}

/// Makes a member an owner, or an owner a member.
pub async fn update(
    app: &Arc<App>,
    call: &Call,
    id: String,
    body: Result<UpdateMemberRequest>,
) -> Result<Member> {
    let ask = Ask { action: Action::UpdateMember, region: None, subject: Subject::New(id) };
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let role = MemberRole::from_word(&body.role)
            .ok_or_else(|| Error::invalid("role", "must be OWNER or MEMBER"))?;
        let member = read_member(tx, scope).await?;
        if role != member.role {
            check_owners(tx, scope, &member).await?;
            tx.set_member_role(&member.id, role).await?;
            tx.describe(format!("user {} as {}", member.user.subject, role.word()));
        }
        read_member(tx, scope).await
    })
    .await
}

/// Ends a membership, with every role and team the member had here.
pub async fn delete(app: &Arc<App>, call: &Call, id: String) -> Result<()> {
    let ask = Ask { action: Action::DeleteMember, region: None, subject: Subject::New(id) };
    gate::write(app, call, ask, async move |tx, scope| {
        let member = read_member(tx, scope).await?;
        if member.role == MemberRole::Owner {
            check_owners(tx, scope, &member).await?;
        }
        tx.delete_member(&member.user.subject).await?;
        tx.describe(format!("user {}", member.user.subject));
        Ok(())
    })
    .await
}

/// SECURITY: who becomes an owner or ceases to be one is for those alone who hold everything; and one owner stays.
async fn check_owners(tx: &mut Tx, scope: &Scope, member: &Member) -> Result<()> {
    let everything = Rule {
        resources: vec!["*".to_owned()],
        permissions: vec!["*".to_owned()],
        ..Rule::default()
    };
    check_held(scope, &[everything], HandOn::Below)?;
    match member.role == MemberRole::Owner && tx.count_owners().await? <= 1 {
        true => {
            Err(Error::invalid("", "the organisation needs an owner, and this is the last one"))
        }
        false => Ok(()),
    }
}

async fn read_member(tx: &mut Tx, scope: &Scope) -> Result<Member> {
    tx.find_member(&scope.subject).await?.ok_or(Error::not_found("membership"))
}
