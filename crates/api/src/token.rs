//! The token endpoint (RFC 6749, RFC 8693; contract, sections 5.1 and 5.2) and what clients read of the issuer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::SecretText;

/// What a client sends, as a form.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({"grant_type": "client_credentials", "scope": "api:read"})))]
pub struct TokenRequest {
    /// `client_credentials` or `urn:ietf:params:oauth:grant-type:token-exchange`.
    pub grant_type: String,
    /// Scopes with spaces between them: at most those of the credential.
    pub scope: Option<String>,
    /// The access key, when it does not stand in the header.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<String>,
    /// Exchange: a token of another issuer.
    pub subject_token: Option<String>,
    /// Exchange: `urn:ietf:params:oauth:token-type:jwt` or `…:id_token`.
    pub subject_token_type: Option<String>,
    /// Exchange: identity or slug of the organisation.
    pub organisation_id: Option<String>,
    /// Exchange: identity or slug of the service account.
    pub service_account_id: Option<String>,
    /// Seconds, or a duration such as `1h30m`: from a minute to 24 hours; without it an hour.
    pub access_token_lifetime: Option<String>,
}

/// An access token.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// Goes behind `Bearer`.
    #[schema(value_type = String)]
    pub access_token: SecretText,
    /// `Bearer`
    pub token_type: String,
    /// Seconds.
    pub expires_in: i64,
    /// What it is good for; absent means no restriction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Of an exchange (RFC 8693, section 2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
}

/// Why there is no token (RFC 6749, section 5.2).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenRefusal {
    /// For programs, for example `invalid_client`.
    pub error: String,
    /// For people.
    pub error_description: String,
}

/// The public keys of our tokens (RFC 7517).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicJwks {
    /// Empty before the first token was given out.
    pub keys: Vec<PublicJwk>,
}

/// An Ed25519 key (RFC 8037).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicJwk {
    /// `OKP`
    pub kty: String,
    /// `Ed25519`
    pub crv: String,
    /// The key, base64url.
    pub x: String,
    /// Its name.
    pub kid: String,
    /// `EdDSA`
    pub alg: String,
    /// `sig`
    #[serde(rename = "use")]
    pub public_key_use: String,
}

/// What the issuer says of itself (RFC 8414; OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuerMetadata {
    /// What its tokens say as `iss` and as `aud`.
    pub issuer: String,
    /// Where tokens are had.
    pub token_endpoint: String,
    /// Where its public keys are.
    pub jwks_uri: String,
    /// The two grants.
    pub grant_types_supported: Vec<String>,
    /// None: nobody logs in here with a browser.
    pub response_types_supported: Vec<String>,
    /// How a client shows its credentials.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// The scopes there are.
    pub scopes_supported: Vec<String>,
    /// `public`
    pub subject_types_supported: Vec<String>,
    /// `EdDSA`
    pub id_token_signing_alg_values_supported: Vec<String>,
}
