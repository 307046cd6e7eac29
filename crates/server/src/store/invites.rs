//! Rows of invites: hashes of codes only.

use coffer_crypto::token::TokenHash;

use super::session::Columns;
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::decide::Grant;
use crate::model::identity::MemberRole;
use crate::model::invite::Invite;
use crate::model::roles;
use Value::{Bytes, Int, Text};

impl Tx {
    pub async fn insert_invite(&mut self, hash: &TokenHash, new: &Invite) -> Result<()> {
        let organisation = self.organisation();
        let values = [
            Text(&organisation),
            Text(&new.id),
            Bytes(hash),
            Text(&new.email),
            Text(new.role.word()),
            Text(&new.inviter.0),
            Text(&new.inviter.1),
            Text(&new.team),
            Text(&new.bound_role),
            Int(new.created_at),
            Int(new.expires_at),
        ];
        self.change_one(sql::INSERT_INVITE, &values).await
    }

    /// By its code, in whichever organisation.
    pub async fn find_invite(&mut self, hash: &TokenHash) -> Result<Option<Invite>> {
        self.row(sql::FIND_INVITE, &[Bytes(hash)], read_invite).await
    }

    /// All of them, in the order of their identities.
    pub async fn list_invites(&mut self) -> Result<Vec<Invite>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_INVITES, &[Text(&organisation)], read_invite).await
    }

    pub async fn delete_invite(&mut self, id: &str) -> Result<()> {
        let organisation = self.organisation();
        match self.execute(sql::DELETE_INVITE, &[Text(&organisation), Text(id)]).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("invite")),
        }
    }

    /// Those that are of no use any more.
    pub async fn delete_expired_invites(&mut self, now: i64) -> Result<()> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Int(now)];
        self.execute(sql::DELETE_EXPIRED_INVITES, &values).await.map(|_| ())
    }

    /// What a principal holds now: an owner everything, others what roles give, a user who is no member nothing.
    pub async fn list_held_by(&mut self, principal: (&str, &str)) -> Result<Vec<Grant>> {
        let owner = match principal {
            ("user", subject) => match self.find_member_role(subject).await? {
                Some(role) => role == MemberRole::Owner,
                None => return Ok(Vec::new()),
            },
            _ => false,
        };
        let mut grants = self.list_grants_of(principal).await?;
        if owner {
            grants.splice(0..0, roles::owner_grants());
        }
        Ok(grants)
    }
}

fn read_invite(row: &Columns<'_>) -> Result<Invite> {
    Ok(Invite {
        organisation: row.text()?,
        id: row.text()?,
        email: row.text()?,
        role: row.word(MemberRole::from_word)?,
        inviter: (row.text()?, row.text()?),
        team: row.text()?,
        bound_role: row.text()?,
        created_at: row.int()?,
        expires_at: row.int()?,
    })
}
