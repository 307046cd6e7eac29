//! Rows of service accounts and their credentials: hashes only.

use coffer_crypto::token::TokenHash;

use super::identity::read_maker;
use super::tx::{Columns, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::quota::Quota;
use crate::model::scopes::Scopes;
use crate::model::service_account::{AccessCredential, ServiceAccount};
use Value::{Bytes, Int, Text};

/// Whom a credential speaks for, and how far.
#[derive(Debug, Clone)]
pub struct CredentialHolder {
    pub id: String,
    pub organisation: String,
    pub account: String,
    pub slug: String,
    pub scopes: Scopes,
    pub expires_at: Option<i64>,
    /// Tokens that say another one have ended.
    pub generation: i64,
}

impl Tx {
    /// A conflict when the slug is taken.
    pub async fn insert_service_account(&mut self, account: &ServiceAccount) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&account.labels)?, to_json(&account.annotations)?);
        let values = [
            Text(&organisation),
            Text(&account.id),
            Text(&account.slug),
            Text(&account.name),
            Text(&account.description),
            Text(&labels),
            Text(&annotations),
            Text(&account.created_by.id),
            Int(account.created_at),
        ];
        match self.execute(sql::INSERT_ACCOUNT, &values).await? {
            1 => self.use_quota(Quota::ServiceAccounts, 1).await,
            _ => Err(Error::Conflict(format!(
                "a service account with the slug `{}` exists already",
                account.slug
            ))),
        }
    }

    /// Finds by identity or slug.
    pub async fn find_service_account(
        &mut self,
        reference: &str,
    ) -> Result<Option<ServiceAccount>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(reference)];
        self.row(sql::FIND_ACCOUNT, &values, read_account).await
    }

    /// All service accounts, in the order of their identities.
    pub async fn list_service_accounts(&mut self) -> Result<Vec<ServiceAccount>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_ACCOUNTS, &[Text(&organisation)], read_account).await
    }

    /// Sets everything but the slug.
    pub async fn set_service_account(&mut self, account: &ServiceAccount) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&account.labels)?, to_json(&account.annotations)?);
        let values = [
            Text(&organisation),
            Text(&account.id),
            Text(&account.name),
            Text(&account.description),
            Text(&labels),
            Text(&annotations),
            Int(account.updated_at),
        ];
        self.change_one(sql::SET_ACCOUNT, &values).await
    }

    /// Deletes a service account with its bindings, credentials and federated identities.
    pub async fn delete_service_account(&mut self, account: &str) -> Result<()> {
        self.use_quota(Quota::ServiceAccounts, -1).await?;
        self.delete_bindings(("service_account", account)).await?;
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(account)];
        self.execute(sql::DELETE_CREDENTIALS, &values).await?;
        self.execute(sql::DELETE_FEDERATIONS_OF_ACCOUNT, &values).await?;
        self.change_one(sql::DELETE_ACCOUNT, &values).await
    }

    pub async fn insert_credential(
        &mut self,
        hash: &TokenHash,
        account: &str,
        credential: &AccessCredential,
    ) -> Result<()> {
        let organisation = self.organisation();
        let scopes = to_json(&credential.scopes.words())?;
        let values = [
            Bytes(hash),
            Text(&organisation),
            Text(account),
            Text(&credential.id),
            Text(&credential.access_key),
            Text(&credential.name),
            Text(&credential.description),
            Text(&scopes),
            Int(credential.created_at),
            Value::int_or_null(credential.expires_at),
        ];
        self.change_one(sql::INSERT_CREDENTIAL, &values).await
    }

    /// Whom a credential speaks for, in whichever organisation.
    pub async fn find_credential(&mut self, hash: &TokenHash) -> Result<Option<CredentialHolder>> {
        self.row(sql::FIND_CREDENTIAL, &[Bytes(hash)], read_holder).await
    }

    /// Whom a credential speaks for, by its identity.
    pub async fn find_credential_holder(&mut self, id: &str) -> Result<Option<CredentialHolder>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(id)];
        self.row(sql::FIND_CREDENTIAL_HOLDER, &values, read_holder).await
    }

    pub async fn list_credentials(&mut self, account: &str) -> Result<Vec<AccessCredential>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_CREDENTIALS, &[Text(&organisation), Text(account)], |row| {
            Ok(AccessCredential {
                id: row.text()?,
                access_key: row.text()?,
                name: row.text()?,
                description: row.text()?,
                scopes: Scopes::stored(row.json()?),
                created_at: row.int()?,
                expires_at: row.int_or_null()?,
                last_used_at: row.int_or_null()?,
            })
        })
        .await
    }

    pub async fn delete_credential(&mut self, account: &str, id: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(account), Text(id)];
        match self.execute(sql::DELETE_CREDENTIAL, &values).await? {
            1 => Ok(()),
            _ => Err(Error::not_found("access credential")),
        }
    }

    /// Remembers when a credential was last used.
    pub async fn touch_credential(&mut self, id: &str, at: i64) -> Result<()> {
        self.execute(sql::TOUCH_CREDENTIAL, &[Text(id), Int(at)]).await.map(|_| ())
    }
}

pub(super) fn read_holder(row: &Columns<'_>) -> Result<CredentialHolder> {
    Ok(CredentialHolder {
        id: row.text()?,
        organisation: row.text()?,
        account: row.text()?,
        slug: row.text()?,
        scopes: Scopes::stored(row.json()?),
        expires_at: row.int_or_null()?,
        generation: row.int()?,
    })
}

fn read_account(row: &Columns<'_>) -> Result<ServiceAccount> {
    Ok(ServiceAccount {
        id: row.text()?,
        slug: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
        created_by: read_maker(row)?,
    })
}
