//! What crosses the wire: request and response bodies, paths, identifiers and the error body.
//!
//! The server, the command line and later clients share these types; they are the compatibility promise.
//! Nothing here does IO, and nothing here decides.

#![warn(missing_docs)]

mod access_policy;
mod audit;
mod error_body;
mod explain;
mod federation;
mod iam;
mod identity;
mod invite;
mod kms;
mod kms_data;
mod me;
mod metering;
mod organisation;
mod path;
mod platform;
mod policy;
mod project;
mod quota;
mod region;
mod secret;
mod secret_text;
mod service_account;
mod time;
mod token;
mod unique_json;

pub use access_policy::{AccessPolicy, Condition, Hours, Statement};
pub use audit::{AuditContext, AuditEntry, AuditPage};
pub use error_body::ErrorBody;
pub use explain::{ExplainedGrant, ExplainedPolicy, ExplainedRule, Explanation};
pub use federation::{
    CreateFederatedIdentityRequest, CreateIdentityProviderRequest, FederatedIdentity,
    IdentityProvider, UpdateFederatedIdentityRequest, UpdateIdentityProviderRequest,
};
pub use iam::{
    CreateBindingRequest, CreateRoleRequest, CreateRuleRequest, CreateTeamMemberRequest,
    CreateTeamRequest, Holder, Member, Role, RoleBinding, RoleRule, Team, TeamMember,
    UpdateMemberRequest, UpdateTeamRequest,
};
pub use identity::{is_identity, slug_of};
pub use invite::{AcceptInviteRequest, AcceptedInvite, CreateInviteRequest, CreatedInvite, Invite};
pub use kms::{
    CreateKeyRequest, KmsKey, KmsKeyVersion, KmsSummary, KmsSummaryRegion, SetRotationRequest,
    WrappingKeyResponse,
};
pub use kms_data::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, ExportKeyRequest,
    ExportKeyResponse, GenerateDataKeyRequest, GenerateDataKeyResponse, HmacRequest, HmacResponse,
    KeyVersionText, PublicKeysResponse, RewrapRequest, SignRequest, SignResponse,
    VerifyHmacRequest, VerifyRequest, VerifyResponse,
};
pub use me::{CreateTokenRequest, CreatedToken, EffectivePermission, Me, PersonalAccessToken};
pub use metering::{MeteredVersions, VersionMetering};
pub use organisation::{AppUser, Membership, Organisation};
pub use path::{Directory, PATH_BYTES_MAX, PathError, SecretPath};
pub use platform::{
    CreateOrganisationRequest, CreatedOrganisation, DecideIncreaseRequest, Gates, GatesUpdate,
    PlatformAuditEntry, PlatformAuditPage, PlatformOrganisation, PlatformQuotaIncrease,
    PlatformRegion, UpdateOrganisationRequest, UpdateRegionRequest,
};
pub use policy::{
    AccessBinding, AccessBindings, CreateElevationRequest, CreatePolicyBindingRequest,
    CreatePolicyRequest, Elevation, IamPolicy, PolicyBinding, PolicyMember, PolicyMemberBinding,
    PolicySource, ReviewElevationRequest, UpdatePolicyBindingRequest, UpdatePolicyRequest,
};
pub use project::{CreateProjectRequest, ParentProject, Project, UpdateProjectRequest};
pub use quota::{CreateIncreaseRequest, Quota, QuotaIncrease};
pub use region::Region;
pub use secret::{
    BrowseResponse, CreateSecretRequest, GenerateSecret, GetSecretValueRequest,
    GetSecretValueResponse, PutSecretValueRequest, PutSecretValueResponse, Secret, SecretVersion,
    SetPolicyRequest, UpdateSecretRequest, Versions,
};
pub use secret_text::{KeyValues, SecretText};
pub use service_account::{
    AccessCredential, CreateAccessCredentialRequest, CreateServiceAccountRequest,
    CreatedAccessCredential, ServiceAccount, UpdateServiceAccountRequest,
};
pub use time::Time;
pub use token::{IssuerMetadata, PublicJwk, PublicJwks, TokenRefusal, TokenRequest, TokenResponse};

/// A map of labels or annotations.
pub type Map = std::collections::BTreeMap<String, String>;
