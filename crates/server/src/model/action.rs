//! Every action: its name in the audit log, the permission it needs, the gates before it. One table.

use std::fmt;

use crate::error::Outcome;

pub use super::permission::{Permission, Permissions};

/// What kind of thing an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Secret,
    KmsKey,
    AuditLog,
    Region,
    Organisation,
    /// Of the platform; no rule may name it.
    Administrator,
    Caller,
    Role,
    Team,
    Membership,
    ServiceAccount,
    Project,
    IamPolicy,
    PolicyBinding,
    AccessElevation,
    IdentityProvider,
    FederatedIdentity,
}

impl Resource {
    pub const ALL: [Self; 16] = [
        Self::Secret,
        Self::KmsKey,
        Self::AuditLog,
        Self::Region,
        Self::Organisation,
        Self::Caller,
        Self::Role,
        Self::Team,
        Self::Membership,
        Self::ServiceAccount,
        Self::Project,
        Self::IamPolicy,
        Self::PolicyBinding,
        Self::AccessElevation,
        Self::IdentityProvider,
        Self::FederatedIdentity,
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// The name in rules and in the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::KmsKey => "kms_key",
            Self::AuditLog => "audit_log",
            Self::Region => "region",
            Self::Organisation => "organisation",
            Self::Administrator => "administrator",
            Self::Caller => "caller",
            Self::Role => "iam_role",
            Self::Team => "team",
            Self::Membership => "membership",
            Self::ServiceAccount => "service_account",
            Self::Project => "project",
            Self::IamPolicy => "iam_policy",
            Self::PolicyBinding => "iam_policy_binding",
            Self::AccessElevation => "access_elevation",
            Self::IdentityProvider => "identity_provider",
            Self::FederatedIdentity => "federated_identity",
        }
    }

    /// Whether it lies in the project that a call names, so that the project's policies count for it.
    ///
    /// SECURITY: all else is the organisation's. A policy that grants everything grants nothing of that.
    pub fn is_in_projects(self) -> bool {
        self.needs_project() || matches!(self, Self::Secret | Self::KmsKey | Self::AuditLog)
    }

    /// Whether it lies in projects only.
    pub fn needs_project(self) -> bool {
        matches!(self, Self::IamPolicy | Self::PolicyBinding | Self::AccessElevation)
    }
}

/// A feature that an organisation has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Secrets,
    Kms,
    Projects,
}

/// Who may call, before any grant is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anyone with a valid credential, no organisation named.
    Authenticated,
    /// Members of the named organisation.
    Members,
    /// Members with one of the permissions.
    Holders(&'static [Permission]),
    /// Members who may read every role: what they are told of a decision, they could have read themselves.
    RoleReaders,
    /// Administrators of the platform, and no organisation's caller.
    Administrators,
}

/// How a missing grant is told: secrets say so, KMS hides the key (contract, section 13, D6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Denied,
    NotFound,
}

/// One row of the table.
pub struct Rule {
    pub name: &'static str,
    pub resource: Resource,
    pub audience: Audience,
    pub features: &'static [Feature],
    pub refusal: Refusal,
    pub success: Outcome,
}

impl Rule {
    /// Whether what a project's policies grant counts.
    ///
    /// SECURITY: reading every role is the organisation's, whatever it is needed for.
    pub fn counts_policies(&self) -> bool {
        self.resource.is_in_projects() && self.audience != Audience::RoleReaders
    }
}

macro_rules! actions {
    ($($action:ident $name:literal $resource:ident $audience:expr, $features:ident, $refusal:ident, $success:ident;)*) => {
        /// Everything that can be asked of the service; each route maps to exactly one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($action,)* }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            pub fn rule(self) -> &'static Rule {
                match self { $(Self::$action => &Rule {
                    name: $name,
                    resource: Resource::$resource,
                    audience: $audience,
                    features: $features,
                    refusal: Refusal::$refusal,
                    success: Outcome::$success,
                },)* }
            }
        }
    };
}

use Audience::{Administrators, Authenticated, Holders, Members, RoleReaders};
use Permission::{
    Create, Decrypt, Delete, Encrypt, Export, GetSecretValue, Hmac, List, PutSecretValue, Read,
    Rotate, Sign, Update, Verify, VerifyHmac,
};

const NONE: &[Feature] = &[];
const KMS: &[Feature] = &[Feature::Kms];
const PROJECTS: &[Feature] = &[Feature::Projects];
/// INVARIANT: `secrets` comes first, so that its message wins when both gates are off (section 9).
const SECRETS: &[Feature] = &[Feature::Secrets, Feature::Kms];

actions! {
    ListSecrets     "secrets.list"            Secret   Holders(&[List]),             SECRETS, Denied, Ok;
    CreateSecret    "secrets.create"          Secret   Holders(&[Create]),           SECRETS, Denied, Created;
    ReadSecret      "secrets.get"             Secret   Holders(&[Read]),             SECRETS, Denied, Ok;
    UpdateSecret    "secrets.update"          Secret   Holders(&[Update]),           SECRETS, Denied, Ok;
    SetPolicy       "secrets.policy.update"   Secret   Holders(&[Update]),           SECRETS, Denied, Ok;
    ClearPolicy     "secrets.policy.clear"    Secret   Holders(&[Update]),           SECRETS, Denied, Ok;
    PutSecretValue  "secrets.putSecretValue"  Secret   Holders(&[PutSecretValue]),   SECRETS, Denied, Ok;
    GetSecretValue  "secrets.getSecretValue"  Secret   Holders(&[GetSecretValue]),   SECRETS, Denied, Ok;
    DestroyVersion  "secrets.version.destroy" Secret   Holders(&[Delete]),           SECRETS, Denied, Done;
    DeleteSecret    "secrets.delete"          Secret   Holders(&[Delete]),           SECRETS, Denied, Done;
    ExplainSecret   "secrets.explain"         Secret   RoleReaders,                  SECRETS, Denied, Ok;

    KmsSummary      "kms.summary"             KmsKey   Members,                      NONE, NotFound, Ok;
    ListKeys        "kms.list"                KmsKey   Holders(&[List]),             KMS, NotFound, Ok;
    CreateKey       "kms.create"              KmsKey   Holders(&[Create]),           KMS, NotFound, Created;
    ReadKey         "kms.get"                 KmsKey   Holders(&[Read]),             KMS, NotFound, Ok;
    Encrypt         "kms.encrypt"             KmsKey   Holders(&[Encrypt, Update]),  KMS, NotFound, Ok;
    Decrypt         "kms.decrypt"             KmsKey   Holders(&[Decrypt, Update]),  KMS, NotFound, Ok;
    GenerateDataKey "kms.generate-data-key"   KmsKey   Holders(&[Encrypt, Update]),  KMS, NotFound, Ok;
    Rewrap          "kms.rewrap"              KmsKey   Holders(&[Encrypt, Update]),  KMS, NotFound, Ok;
    Sign            "kms.sign"                KmsKey   Holders(&[Sign, Update]),     KMS, NotFound, Ok;
    Verify          "kms.verify"              KmsKey   Holders(&[Verify, Update]),   KMS, NotFound, Ok;
    Hmac            "kms.hmac"                KmsKey   Holders(&[Hmac, Update]),     KMS, NotFound, Ok;
    VerifyHmac      "kms.verify-hmac"         KmsKey   Holders(&[VerifyHmac, Update]), KMS, NotFound, Ok;
    ReadPublicKey   "kms.public-key"          KmsKey   Holders(&[Read]),             KMS, NotFound, Ok;
    Export          "kms.export"              KmsKey   Holders(&[Export, Update]),   KMS, NotFound, Ok;
    ReadWrappingKey "kms.wrapping-key"        KmsKey   Holders(&[Create]),           KMS, NotFound, Ok;
    SetRotation     "kms.rotation"            KmsKey   Holders(&[Update]),           KMS, NotFound, Ok;
    RotateScheduled "kms.rotate.scheduled"    KmsKey   Authenticated,                KMS, NotFound, Ok;
    PurgeKey        "kms.purge"               KmsKey   Authenticated,                KMS, NotFound, Ok;
    RotateKey       "kms.rotate"              KmsKey   Holders(&[Rotate, Update]),   KMS, NotFound, Ok;
    DisableKey      "kms.disable"             KmsKey   Holders(&[Delete]),           KMS, NotFound, Ok;
    EnableKey       "kms.enable"              KmsKey   Holders(&[Delete]),           KMS, NotFound, Ok;
    DeleteKey       "kms.delete"              KmsKey   Holders(&[Delete]),           KMS, NotFound, Ok;
    CancelDeletion  "kms.cancel-deletion"     KmsKey   Holders(&[Delete]),           KMS, NotFound, Ok;

    ExpireAudit     "audit.expire"            AuditLog Authenticated,                NONE, Denied, Ok;
    ListAudit       "audit.list"              AuditLog Holders(&[List, Read]),       NONE, Denied, Ok;
    ListRegions     "regions.list"            Region   Authenticated,                NONE, Denied, Ok;
    ReadRegion      "regions.get"             Region   Authenticated,                NONE, Denied, Ok;
    ListRoles       "iam.role.list"           Role     Holders(&[List]),             NONE, Denied, Ok;
    CreateRole      "iam.role.create"         Role     Holders(&[Create]),           NONE, Denied, Created;
    ReadRole        "iam.role.get"            Role     Holders(&[Read]),             NONE, Denied, Ok;
    DeleteRole      "iam.role.delete"         Role     Holders(&[Delete]),           NONE, Denied, Done;
    CreateRule      "iam.rule.create"         Role     Holders(&[Update]),           NONE, Denied, Created;
    DeleteRule      "iam.rule.delete"         Role     Holders(&[Update]),           NONE, Denied, Done;
    ListBindings    "iam.binding.list"        Role     Holders(&[Read]),             NONE, Denied, Ok;
    CreateBinding   "iam.binding.create"      Role     Holders(&[Update]),           NONE, Denied, Created;
    DeleteBinding   "iam.binding.delete"      Role     Holders(&[Update]),           NONE, Denied, Done;
    ListTeams       "iam.team.list"           Team     Holders(&[List]),             NONE, Denied, Ok;
    CreateTeam      "iam.team.create"         Team     Holders(&[Create]),           NONE, Denied, Created;
    ReadTeam        "iam.team.get"            Team     Holders(&[Read]),             NONE, Denied, Ok;
    UpdateTeam      "iam.team.update"         Team     Holders(&[Update]),           NONE, Denied, Ok;
    DeleteTeam      "iam.team.delete"         Team     Holders(&[Delete]),           NONE, Denied, Done;
    AddTeamMember   "iam.team-member.create"  Team     Holders(&[Update]),           NONE, Denied, Created;
    DropTeamMember  "iam.team-member.delete"  Team     Holders(&[Update]),           NONE, Denied, Done;
    ListMembers     "iam.membership.list"     Membership Holders(&[List]),           NONE, Denied, Ok;
    UpdateMember    "iam.membership.update"   Membership Holders(&[Update]),         NONE, Denied, Ok;
    DeleteMember    "iam.membership.delete"   Membership Holders(&[Delete]),         NONE, Denied, Done;

    ListInvites     "iam.invite.list"         Membership Holders(&[List]),           NONE, Denied, Ok;
    CreateInvite    "iam.invite.create"       Membership Holders(&[Create]),         NONE, Denied, Created;
    DeleteInvite    "iam.invite.delete"       Membership Holders(&[Delete]),         NONE, Denied, Done;
    AcceptInvite    "iam.invite.accept"       Membership Authenticated,              NONE, Denied, Created;

    MeterVersions   "metering.secret-versions" Organisation Holders(&[Read]),        NONE, Denied, Ok;
    ListQuotas      "quotas.list"             Organisation Members,                  NONE, Denied, Ok;
    ReadQuota       "quotas.get"              Organisation Members,                  NONE, Denied, Ok;
    RequestIncrease "quotas.increase.create" Organisation Holders(&[Update]), NONE, Denied, Created;

    ListAccounts    "iam.service-account.list"   ServiceAccount Holders(&[List]),    NONE, Denied, Ok;
    CreateAccount   "iam.service-account.create" ServiceAccount Holders(&[Create]),  NONE, Denied, Created;
    ReadAccount     "iam.service-account.get"    ServiceAccount Holders(&[Read]),    NONE, Denied, Ok;
    UpdateAccount   "iam.service-account.update" ServiceAccount Holders(&[Update]),  NONE, Denied, Ok;
    DeleteAccount   "iam.service-account.delete" ServiceAccount Holders(&[Delete]),  NONE, Denied, Done;
    ListCredentials "iam.access-credential.list" ServiceAccount Holders(&[Read]),    NONE, Denied, Ok;
    CreateCredential "iam.access-credential.create" ServiceAccount Holders(&[Update]), NONE, Denied, Created;
    DeleteCredential "iam.access-credential.delete" ServiceAccount Holders(&[Update]), NONE, Denied, Done;

    ListProjects    "iam.project.list"        Project  Members,                      PROJECTS, Denied, Ok;
    CreateProject   "iam.project.create"      Project  Holders(&[Create]),           PROJECTS, Denied, Created;
    ReadProject     "iam.project.get"         Project  Members,                      PROJECTS, Denied, Ok;
    UpdateProject   "iam.project.update"      Project  Holders(&[Update]),           PROJECTS, Denied, Ok;
    DeleteProject   "iam.project.delete"      Project  Holders(&[Delete]),           PROJECTS, Denied, Done;
    ListPolicies    "iam.policy.list"         IamPolicy Holders(&[List]),            PROJECTS, Denied, Ok;
    CreatePolicy    "iam.policy.create"       IamPolicy Holders(&[Create]),          PROJECTS, Denied, Created;
    ReadPolicy      "iam.policy.get"          IamPolicy Holders(&[Read]),            PROJECTS, Denied, Ok;
    UpdatePolicy    "iam.policy.update"       IamPolicy Holders(&[Update]),          PROJECTS, Denied, Ok;
    DeletePolicy    "iam.policy.delete"       IamPolicy Holders(&[Delete]),          PROJECTS, Denied, Done;
    CreatePolicyRule "iam.policy-rule.create" IamPolicy Holders(&[Update]),          PROJECTS, Denied, Created;
    DeletePolicyRule "iam.policy-rule.delete" IamPolicy Holders(&[Update]),          PROJECTS, Denied, Done;
    ListAssignable  "iam.policy.resources"    IamPolicy Holders(&[List]),            PROJECTS, Denied, Ok;
    ListPolicyMembers "iam.policy.members"    PolicyBinding Holders(&[List]),        PROJECTS, Denied, Ok;
    ListPolicyBindings "iam.policy-binding.list" PolicyBinding Holders(&[List]),     PROJECTS, Denied, Ok;
    CreatePolicyBinding "iam.policy-binding.create" PolicyBinding Holders(&[Create]), PROJECTS, Denied, Created;
    ReadPolicyBinding "iam.policy-binding.get" PolicyBinding Holders(&[Read]),       PROJECTS, Denied, Ok;
    UpdatePolicyBinding "iam.policy-binding.update" PolicyBinding Holders(&[Update]), PROJECTS, Denied, Ok;
    DeletePolicyBinding "iam.policy-binding.delete" PolicyBinding Holders(&[Delete]), PROJECTS, Denied, Done;
    ListAccessBindings "iam.access-binding.list" PolicyBinding Holders(&[List]),     PROJECTS, Denied, Ok;
    ListOwnElevations "iam.own-elevation.list" AccessElevation Members,              PROJECTS, Denied, Ok;
    RequestElevation "iam.own-elevation.create" AccessElevation Members,             PROJECTS, Denied, Created;
    ReadOwnElevation "iam.own-elevation.get"  AccessElevation Members,               PROJECTS, Denied, Ok;
    CancelElevation "iam.own-elevation.cancel" AccessElevation Members,              PROJECTS, Denied, Ok;
    ListElevations  "iam.elevation.list"      AccessElevation Holders(&[List]),      PROJECTS, Denied, Ok;
    ReadElevation   "iam.elevation.get"       AccessElevation Holders(&[Read]),      PROJECTS, Denied, Ok;
    ApproveElevation "iam.elevation.approve"  AccessElevation Holders(&[Update]),    PROJECTS, Denied, Ok;
    RejectElevation "iam.elevation.reject"    AccessElevation Holders(&[Update]),    PROJECTS, Denied, Ok;
    RevokeElevation "iam.elevation.revoke"    AccessElevation Holders(&[Update]),    PROJECTS, Denied, Ok;

    ListProviders   "iam.identity-provider.list" IdentityProvider Holders(&[List]),  NONE, Denied, Ok;
    CreateProvider  "iam.identity-provider.create" IdentityProvider Holders(&[Create]), NONE, Denied, Created;
    ReadProvider    "iam.identity-provider.get"  IdentityProvider Holders(&[Read]),  NONE, Denied, Ok;
    UpdateProvider  "iam.identity-provider.update" IdentityProvider Holders(&[Update]), NONE, Denied, Ok;
    DeleteProvider  "iam.identity-provider.delete" IdentityProvider Holders(&[Delete]), NONE, Denied, Done;
    ListFederations "iam.federated-identity.list" FederatedIdentity Holders(&[List]), NONE, Denied, Ok;
    CreateFederation "iam.federated-identity.create" FederatedIdentity Holders(&[Create]), NONE, Denied, Created;
    ReadFederation  "iam.federated-identity.get" FederatedIdentity Holders(&[Read]), NONE, Denied, Ok;
    UpdateFederation "iam.federated-identity.update" FederatedIdentity Holders(&[Update]), NONE, Denied, Ok;
    DeleteFederation "iam.federated-identity.delete" FederatedIdentity Holders(&[Delete]), NONE, Denied, Done;

    IssueToken      "auth.token.issue"        Caller   Members,                      NONE, Denied, Ok;
    ExchangeToken   "auth.token.exchange"     Caller   Members,                      NONE, Denied, Ok;
    ReadMe          "me.get"                  Caller   Authenticated,                NONE, Denied, Ok;
    ListMemberships "me.memberships.list"     Caller   Authenticated,                NONE, Denied, Ok;
    ListTokens      "iam.token.list"          Caller   Authenticated,                NONE, Denied, Ok;
    CreateToken     "iam.token.create"        Caller   Authenticated,                NONE, Denied, Created;
    DeleteToken     "iam.token.delete"        Caller   Authenticated,                NONE, Denied, Done;
    FailAuth        "auth.failure"            Caller   Authenticated,                NONE, Denied, Ok;
    Bootstrap       "platform.bootstrap"      Organisation Authenticated,            NONE, Denied, Created;
    RotateRootKey   "platform.root-key.rotate" Organisation Authenticated,           NONE, Denied, Ok;
    Restore         "platform.restore"        Organisation Authenticated,            NONE, Denied, Ok;
    MintOwnerToken  "platform.owner-token"    Organisation Authenticated,            NONE, Denied, Created;
    CreateAdministrator "platform.administrator.create" Administrator Administrators, NONE, Denied, Created;
    DeleteAdministrator "platform.administrator.delete" Administrator Administrators, NONE, Denied, Done;
    ListOrganisations "platform.organisation.list" Organisation Administrators,      NONE, Denied, Ok;
    CreateOrganisation "platform.organisation.create" Organisation Administrators,   NONE, Denied, Created;
    ReadOrganisation "platform.organisation.get" Organisation Administrators,        NONE, Denied, Ok;
    UpdateOrganisation "platform.organisation.update" Organisation Administrators,   NONE, Denied, Ok;
    ListRegionSwitches "platform.region.list" Region   Administrators,               NONE, Denied, Ok;
    SwitchRegion    "platform.region.update"  Region   Administrators,               NONE, Denied, Ok;
    ListIncreases   "platform.quota-increase-request.list" Organisation Administrators, NONE, Denied, Ok;
    ApproveIncrease "platform.quota-increase-request.approve" Organisation Administrators, NONE, Denied, Ok;
    DenyIncrease    "platform.quota-increase-request.deny" Organisation Administrators, NONE, Denied, Ok;
    ListPlatformAudit "platform.audit.list"   AuditLog Administrators,               NONE, Denied, Ok;
}

impl Action {
    /// Whether it changes what is stored, other than by its record and the last access (contract, section 14, 37).
    pub fn changes_state(self) -> bool {
        !matches!(
            self,
            Self::ListSecrets
                | Self::ReadSecret
                | Self::GetSecretValue
                | Self::KmsSummary
                | Self::ListKeys
                | Self::ReadKey
                | Self::Encrypt
                | Self::Decrypt
                | Self::GenerateDataKey
                | Self::Rewrap
                | Self::Sign
                | Self::Verify
                | Self::Hmac
                | Self::VerifyHmac
                | Self::ReadPublicKey
                | Self::Export
                | Self::ReadWrappingKey
                | Self::ListAudit
                | Self::ListRegions
                | Self::ReadRegion
                | Self::ListRoles
                | Self::ReadRole
                | Self::ListBindings
                | Self::ListTeams
                | Self::ReadTeam
                | Self::ListMembers
                | Self::ListAccounts
                | Self::ListProjects
                | Self::ReadProject
                | Self::ListPolicies
                | Self::ReadPolicy
                | Self::ListAssignable
                | Self::ListPolicyMembers
                | Self::ListPolicyBindings
                | Self::ReadPolicyBinding
                | Self::ListAccessBindings
                | Self::ListOwnElevations
                | Self::ReadOwnElevation
                | Self::ListElevations
                | Self::ReadElevation
                | Self::ReadAccount
                | Self::ListCredentials
                | Self::ListProviders
                | Self::ReadProvider
                | Self::ListFederations
                | Self::ReadFederation
                | Self::IssueToken
                | Self::ExchangeToken
                | Self::ReadMe
                | Self::ListMemberships
                | Self::ListTokens
                | Self::ExplainSecret
                | Self::ListInvites
                | Self::MeterVersions
                | Self::ListQuotas
                | Self::ReadQuota
                | Self::ListOrganisations
                | Self::ReadOrganisation
                | Self::ListRegionSwitches
                | Self::ListIncreases
                | Self::ListPlatformAudit
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule().name)
    }
}
