//! Rows of identity providers and federated identities.

use super::identity::read_maker;
use super::service_accounts::{CredentialHolder, read_holder};
use super::tx::{Columns, from_json, to_json};
use super::{Tx, Value, sql};
use crate::error::{Error, Result};
use crate::model::federation::{AudienceMode, FederatedIdentity, Provider, Status};
use crate::model::scopes::Scopes;
use Value::{Int, Text};

impl Tx {
    /// A conflict when the issuer is known already.
    pub async fn insert_provider(&mut self, provider: &Provider) -> Result<()> {
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&provider.labels)?, to_json(&provider.annotations)?);
        let keys = provider.local_jwks.as_ref().map(ToString::to_string);
        let values = [
            Text(&organisation),
            Text(&provider.id),
            Text(&provider.name),
            Text(&provider.description),
            Text(&labels),
            Text(&annotations),
            Text(&provider.issuer),
            Text(&provider.jwks_uri),
            Value::text_or_null(keys.as_deref()),
            Text(provider.status.word()),
            Text(&provider.created_by.id),
            Int(provider.created_at),
        ];
        match self.execute(sql::INSERT_PROVIDER, &values).await? {
            1 => Ok(()),
            _ => {
                Err(Error::Conflict("an identity provider with this issuer exists already".into()))
            }
        }
    }

    pub async fn find_provider(&mut self, id: &str) -> Result<Option<Provider>> {
        let organisation = self.organisation();
        self.row(sql::FIND_PROVIDER, &[Text(&organisation), Text(id)], read_provider).await
    }

    /// The provider whose tokens say exactly this issuer.
    pub async fn find_provider_of_issuer(&mut self, issuer: &str) -> Result<Option<Provider>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(issuer)];
        self.row(sql::FIND_PROVIDER_OF_ISSUER, &values, read_provider).await
    }

    /// All providers, in the order of their identities.
    pub async fn list_providers(&mut self) -> Result<Vec<Provider>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_PROVIDERS, &[Text(&organisation)], read_provider).await
    }

    /// Sets everything but the issuer; ends the tokens given out before, if it is to.
    pub async fn set_provider(&mut self, provider: &Provider, ends_tokens: bool) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&provider.labels)?, to_json(&provider.annotations)?);
        let keys = provider.local_jwks.as_ref().map(ToString::to_string);
        let values = [
            Text(&organisation),
            Text(&provider.id),
            Text(&provider.name),
            Text(&provider.description),
            Text(&labels),
            Text(&annotations),
            Text(&provider.jwks_uri),
            Value::text_or_null(keys.as_deref()),
            Text(provider.status.word()),
            Int(provider.updated_at),
            ends_tokens.into(),
        ];
        self.change_one(sql::SET_PROVIDER, &values).await
    }

    /// Deletes a provider that no federated identity names.
    pub async fn delete_provider(&mut self, id: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        self.change_one(sql::DELETE_PROVIDER, &[Text(&organisation), Text(id)]).await
    }

    pub async fn insert_federation(&mut self, identity: &FederatedIdentity) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&identity.labels)?, to_json(&identity.annotations)?);
        let (audiences, scopes) =
            (to_json(&identity.audiences)?, to_json(&identity.scopes.words())?);
        let conditions = to_json(&identity.conditions)?;
        let values = [
            Text(&organisation),
            Text(&identity.id),
            Text(&identity.account),
            Text(&identity.provider),
            Text(&identity.name),
            Text(&identity.description),
            Text(&labels),
            Text(&annotations),
            Text(&identity.subject),
            Text(&audiences),
            Text(identity.audience_mode.word()),
            Text(&scopes),
            Text(&conditions),
            Text(identity.status.word()),
            Text(&identity.created_by.id),
            Int(identity.created_at),
            Value::int_or_null(identity.expires_at),
        ];
        self.change_one(sql::INSERT_FEDERATION, &values).await
    }

    pub async fn find_federation(&mut self, id: &str) -> Result<Option<FederatedIdentity>> {
        let organisation = self.organisation();
        self.row(sql::FIND_FEDERATION, &[Text(&organisation), Text(id)], read_federation).await
    }

    /// All federated identities, in the order of their identities.
    pub async fn list_federations(&mut self) -> Result<Vec<FederatedIdentity>> {
        let organisation = self.organisation();
        self.rows(sql::LIST_FEDERATIONS, &[Text(&organisation)], read_federation).await
    }

    pub async fn list_federations_of_provider(
        &mut self,
        provider: &str,
    ) -> Result<Vec<FederatedIdentity>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(provider)];
        self.rows(sql::LIST_FEDERATIONS_OF_PROVIDER, &values, read_federation).await
    }

    /// The federated identities of a service account at a provider.
    pub async fn list_federations_between(
        &mut self,
        account: &str,
        provider: &str,
    ) -> Result<Vec<FederatedIdentity>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(account), Text(provider)];
        self.rows(sql::LIST_FEDERATIONS_BETWEEN, &values, read_federation).await
    }

    /// Sets everything but account, provider and subject; ends the tokens given out before, if it is to.
    pub async fn set_federation(
        &mut self,
        identity: &FederatedIdentity,
        ends_tokens: bool,
    ) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        let (labels, annotations) = (to_json(&identity.labels)?, to_json(&identity.annotations)?);
        let (audiences, scopes) =
            (to_json(&identity.audiences)?, to_json(&identity.scopes.words())?);
        let conditions = to_json(&identity.conditions)?;
        let values = [
            Text(&organisation),
            Text(&identity.id),
            Text(&identity.name),
            Text(&identity.description),
            Text(&labels),
            Text(&annotations),
            Text(&audiences),
            Text(identity.audience_mode.word()),
            Text(&scopes),
            Text(&conditions),
            Text(identity.status.word()),
            Value::int_or_null(identity.expires_at),
            Int(identity.updated_at),
            ends_tokens.into(),
        ];
        self.change_one(sql::SET_FEDERATION, &values).await
    }

    pub async fn delete_federation(&mut self, id: &str) -> Result<()> {
        self.identities_changed();
        let organisation = self.organisation();
        self.change_one(sql::DELETE_FEDERATION, &[Text(&organisation), Text(id)]).await
    }

    /// Whom a federated identity speaks for, while it and its provider are in use.
    pub async fn find_federation_holder(&mut self, id: &str) -> Result<Option<CredentialHolder>> {
        let organisation = self.organisation();
        let values = [Text(&organisation), Text(id)];
        self.row(sql::FIND_FEDERATION_HOLDER, &values, read_holder).await
    }

    /// Remembers when a federated identity was last used.
    pub async fn touch_federation(&mut self, id: &str, at: i64) -> Result<()> {
        self.execute(sql::TOUCH_FEDERATION, &[Text(id), Int(at)]).await.map(|_| ())
    }
}

fn read_provider(row: &Columns<'_>) -> Result<Provider> {
    Ok(Provider {
        id: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        issuer: row.text()?,
        jwks_uri: row.text()?,
        local_jwks: row.text_or_null()?.map(|text| from_json(&text)).transpose()?,
        status: row.word(Status::from_word)?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
        generation: row.int()?,
        created_by: read_maker(row)?,
    })
}

fn read_federation(row: &Columns<'_>) -> Result<FederatedIdentity> {
    Ok(FederatedIdentity {
        id: row.text()?,
        name: row.text()?,
        description: row.text()?,
        labels: row.json()?,
        annotations: row.json()?,
        account: row.text()?,
        provider: row.text()?,
        subject: row.text()?,
        audiences: row.json()?,
        audience_mode: row.word(AudienceMode::from_word)?,
        scopes: Scopes::stored(row.json()?),
        conditions: row.json()?,
        status: row.word(Status::from_word)?,
        created_at: row.int()?,
        updated_at: row.int()?,
        object_version: row.int()?,
        expires_at: row.int_or_null()?,
        last_used_at: row.int_or_null()?,
        generation: row.int()?,
        created_by: read_maker(row)?,
    })
}
