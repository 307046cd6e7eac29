//! Nouns of the model → bodies of the contract.

use coffer_api as api;
use coffer_api::Time;

use crate::iam;
use crate::kms;
use crate::model::caller::{Caller, Principal, Standing};
use crate::model::decide::Grant;
use crate::model::event::Event;
use crate::model::federation::{Federation, Provider};
use crate::model::identity::{Organisation, PersonalToken, Region, User};
use crate::model::key::Key;
use crate::model::project::Project;
use crate::model::role::{Binding, Holder, Named, Rule};
use crate::model::secret::Version;
use crate::model::service_account::{AccessCredential, ServiceAccount};
use crate::model::team::{Member, TeamMember};
use crate::secrets;

pub fn time(micros: i64) -> Time {
    Time::from_micros(micros)
}

pub fn region(region: &Region) -> api::Region {
    api::Region {
        identity: region.id.clone(),
        name: region.name.clone(),
        slug: region.slug.clone(),
        description: region.description.clone(),
        created_at: time(region.created_at),
        updated_at: time(region.updated_at),
        object_version: region.object_version,
        labels: api::Map::new(),
        annotations: api::Map::new(),
        zones: Vec::new(),
    }
}

pub fn organisation(organisation: &Organisation) -> api::Organisation {
    api::Organisation {
        identity: organisation.id.clone(),
        name: organisation.name.clone(),
        slug: organisation.slug.clone(),
        description: organisation.description.clone(),
        labels: organisation.labels.clone(),
        annotations: organisation.annotations.clone(),
        created_at: time(organisation.created_at),
        updated_at: time(organisation.updated_at),
        object_version: organisation.object_version,
    }
}

pub fn user(user: &User) -> api::AppUser {
    api::AppUser {
        subject: user.subject.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        created_at: time(user.created_at),
    }
}

pub fn me(user: Option<&User>, caller: &Caller) -> api::Me {
    let permission = |grant: &Grant| api::EffectivePermission {
        role: grant.role.clone(),
        resources: grant.resources.clone().unwrap_or_else(|| vec!["*".to_owned()]),
        resource_identities: grant.patterns.iter().map(|p| p.as_str().to_owned()).collect(),
        permissions: grant.permissions.words().into_iter().map(str::to_owned).collect(),
        scopes: grant.scopes.words().to_vec(),
    };
    api::Me {
        user: user.map(self::user),
        organisation: match &caller.standing {
            Standing::Member(found) => Some(organisation(found)),
            Standing::Stranger | Standing::Unnamed => None,
        },
        service_account_identity: match &caller.principal {
            Principal::ServiceAccount { id, .. } => Some(id.clone()),
            Principal::User { .. } | Principal::Administrator { .. } | Principal::System { .. } => {
                None
            }
        },
        credential_identity: caller.credential.id.clone(),
        scopes: caller.credential.scopes.words().to_vec(),
        permissions: caller.grants.iter().map(permission).collect(),
    }
}

pub fn role(view: iam::roles::View) -> api::Role {
    let role = view.role;
    let (rules, bindings) = view.contents.unzip();
    api::Role {
        identity: role.id,
        name: role.name,
        slug: role.slug,
        description: role.description,
        labels: role.labels,
        annotations: role.annotations,
        created_at: time(role.created_at),
        updated_at: time(role.updated_at),
        object_version: role.object_version,
        is_read_only: role.system,
        system: role.system,
        rules: rules.map(|rules| rules.into_iter().map(rule).collect()),
        bindings: bindings.map(|bindings| bindings.into_iter().map(binding).collect()),
    }
}

pub fn rule(rule: Rule) -> api::RoleRule {
    api::RoleRule {
        identity: rule.id,
        resources: rule.resources,
        resource_identities: rule.identities,
        permissions: rule.permissions,
        note: rule.note,
    }
}

/// A holder in the place of its kind: user, team, service account.
pub(super) fn holder(
    holder: Holder,
) -> (Option<api::AppUser>, Option<api::Holder>, Option<api::Holder>) {
    let named = |named: Named| api::Holder {
        identity: named.id,
        name: named.name,
        slug: named.slug,
        created_at: time(named.created_at),
    };
    match holder {
        Holder::User(user) => (Some(self::user(&user)), None, None),
        Holder::Team(team) => (None, Some(named(team)), None),
        Holder::ServiceAccount(account) => (None, None, Some(named(account))),
    }
}

pub fn binding(binding: Binding) -> api::RoleBinding {
    let (user, team, service_account) = holder(binding.holder);
    api::RoleBinding {
        identity: binding.id,
        slug: api::slug_of(&binding.name),
        name: binding.name,
        description: binding.description,
        labels: binding.labels,
        annotations: binding.annotations,
        scopes: binding.scopes.words().to_vec(),
        created_at: time(binding.created_at),
        updated_at: time(binding.created_at),
        object_version: 1,
        user,
        team,
        service_account,
    }
}

pub fn project(view: iam::projects::View) -> api::Project {
    let project = view.project;
    api::Project {
        identity: project.id,
        name: project.name,
        slug: project.slug,
        description: project.description,
        labels: project.labels,
        annotations: project.annotations,
        parent_project: view.parent.as_ref().map(project_name),
        created_at: time(project.created_at),
        updated_at: time(project.updated_at),
        object_version: project.object_version,
    }
}

pub(super) fn project_name(project: &Project) -> api::ParentProject {
    api::ParentProject {
        identity: project.id.clone(),
        name: project.name.clone(),
        slug: project.slug.clone(),
    }
}

pub fn team(view: iam::teams::View) -> api::Team {
    let team = view.team;
    api::Team {
        identity: team.id,
        name: team.name,
        slug: team.slug,
        description: team.description,
        labels: team.labels,
        annotations: team.annotations,
        created_at: time(team.created_at),
        updated_at: time(team.updated_at),
        members: view.members.iter().map(team_member).collect(),
    }
}

pub fn team_member(member: &TeamMember) -> api::TeamMember {
    api::TeamMember {
        identity: member.user.subject.clone(),
        role: member.role.word().to_owned(),
        user: user(&member.user),
        created_at: time(member.created_at),
        updated_at: time(member.created_at),
    }
}

pub fn member(member: Member) -> api::Member {
    api::Member {
        identity: member.id,
        created_at: time(member.created_at),
        user: user(&member.user),
        role: member.role.word().to_owned(),
    }
}

pub fn service_account(account: ServiceAccount) -> api::ServiceAccount {
    api::ServiceAccount {
        identity: account.id,
        name: account.name,
        slug: account.slug,
        description: account.description,
        labels: account.labels,
        annotations: account.annotations,
        created_at: time(account.created_at),
        updated_at: time(account.updated_at),
        object_version: account.object_version,
        created_by: account.created_by.user.as_ref().map(user),
    }
}

pub fn credential(credential: AccessCredential) -> api::AccessCredential {
    api::AccessCredential {
        identity: credential.id,
        access_key: credential.access_key,
        name: credential.name,
        description: credential.description,
        scopes: credential.scopes.words().to_vec(),
        created_at: time(credential.created_at),
        expires_at: credential.expires_at.map(time),
        last_used_at: credential.last_used_at.map(time),
    }
}

pub fn provider(provider: Provider) -> api::IdentityProvider {
    api::IdentityProvider {
        identity: provider.id,
        name: provider.name,
        description: provider.description,
        labels: provider.labels,
        annotations: provider.annotations,
        created_at: time(provider.created_at),
        updated_at: time(provider.updated_at),
        object_version: provider.object_version,
        provider_issuer: provider.issuer,
        provider_jwks_uri: provider.jwks_uri,
        local_jwks: provider.local_jwks,
        status: provider.status.word().to_owned(),
        created_by: provider.created_by.user.as_ref().map(user),
    }
}

pub fn federation(found: Federation, now: i64) -> api::FederatedIdentity {
    let identity = found.identity;
    api::FederatedIdentity {
        status: identity.status_at(now).to_owned(),
        identity: identity.id,
        name: identity.name,
        description: identity.description,
        labels: identity.labels,
        annotations: identity.annotations,
        created_at: time(identity.created_at),
        updated_at: time(identity.updated_at),
        object_version: identity.object_version,
        service_account_identity: identity.account,
        service_account: service_account(found.account),
        provider_identity: identity.provider,
        // Lists of a thousand would carry its keys a thousand times.
        provider: provider(Provider { local_jwks: None, ..found.provider }),
        provider_subject: identity.subject,
        trusted_audiences: identity.audiences,
        audience_match_mode: identity.audience_mode.word().to_owned(),
        allowed_scopes: identity.scopes.words().to_vec(),
        conditions: identity.conditions,
        expires_at: identity.expires_at.map(time),
        last_used_at: identity.last_used_at.map(time),
        created_by: identity.created_by.user.as_ref().map(user),
    }
}

pub fn token(token: PersonalToken) -> api::PersonalAccessToken {
    api::PersonalAccessToken {
        identity: token.id,
        name: token.name,
        scopes: token.scopes.words().to_vec(),
        created_at: time(token.created_at),
        expires_at: token.expires_at.map(time),
        last_used_at: token.last_used_at.map(time),
    }
}

pub fn key(key: Key) -> api::KmsKey {
    api::KmsKey {
        identity: key.id,
        name: key.name,
        slug: key.slug,
        description: key.description,
        labels: key.labels,
        annotations: key.annotations,
        project_id: Some(key.project).filter(|project| !project.is_empty()),
        key_type: key.key_type.word().to_owned(),
        status: key.status.word().to_owned(),
        export_allowed: key.export_allowed,
        imported: key.imported,
        allow_rotation: key.imported.then_some(key.allow_rotation),
        hash_function: key.digest.map(|digest| digest.word().to_owned()),
        key_rotation_enabled: key.rotation_enabled,
        rotation_period_in_days: key.rotation_period_days,
        latest_version: key.latest_version,
        min_decryption_version: key.min_decryption_version,
        versions: None,
        deletion_scheduled_at: key.deletion_scheduled_at.map(time),
        created_at: time(key.created_at),
        updated_at: time(key.updated_at),
        object_version: key.object_version,
    }
}

pub fn key_view(view: kms::View) -> api::KmsKey {
    let versions = view.versions.map(|versions| {
        let version = |version: crate::model::key::KeyVersion| api::KmsKeyVersion {
            version: version.version,
            status: version.status,
            created_at: time(version.created_at),
        };
        versions.into_iter().map(version).collect()
    });
    api::KmsKey { versions, ..key(view.key) }
}

pub fn secret(view: secrets::View) -> api::Secret {
    let secret = view.secret;
    let current = secret.current_version;
    api::Secret {
        path: secret.path,
        description: secret.description,
        labels: secret.labels,
        annotations: secret.annotations,
        created_at: time(secret.created_at),
        updated_at: time(secret.updated_at),
        kms_key: key(secret.key),
        current_version: current,
        object_version: secret.object_version,
        last_accessed_at: secret.last_accessed_at.map(time),
        region: region(&view.region),
        access_policy: secret.access_policy,
        versions: view
            .versions
            .map(|versions| versions.into_iter().map(|v| secret_version(&v, current)).collect()),
    }
}

fn secret_version(version: &Version, current: i64) -> api::SecretVersion {
    let status = if version.destroyed_at.is_some() { "destroyed" } else { "active" };
    api::SecretVersion {
        version: version.version,
        status: status.to_owned(),
        stage: (version.version == current).then(|| "current".to_owned()),
        value_format: version.format.word().to_owned(),
        created_at: time(version.created_at),
        last_accessed_at: version.last_accessed_at.map(time),
        destroyed_at: version.destroyed_at.map(time),
    }
}

pub fn audit_context(event: Event, status: u16) -> api::AuditContext {
    api::AuditContext {
        client_ip: event.arrival.client.map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: event.arrival.user_agent.clone(),
        method: event.arrival.method,
        url: event.arrival.path.clone(),
        headers: [
            ("User-Agent", &event.arrival.user_agent),
            ("X-Request-Id", &event.arrival.request_id),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into(),
        path: event.arrival.path,
        status,
        duration: event.duration,
        credentials_id: event.credential_id,
        credentials_type: event.credential_kind,
        request_id: event.arrival.request_id.clone(),
    }
}
