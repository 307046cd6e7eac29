//! Access tokens: what one says, and how it says it as a JSON Web Token (RFC 9068).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::scopes::Scopes;
use crate::error::{Error, Result};

const SECOND: i64 = 1_000_000;

/// What a token says. It counts for nothing by itself: the directory looks up whether it still holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessToken {
    pub id: String,
    pub organisation: String,
    /// Identity of the service account.
    pub account: String,
    /// Identity of the access credential or federated identity that it was given for.
    pub credential: String,
    /// None means no restriction.
    pub scopes: Scopes,
    /// Of what federates the account, when it was given out; 0 for an access credential.
    pub generation: i64,
    /// Microseconds since 1970, whole seconds.
    pub issued_at: i64,
    pub expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    client_id: String,
    organisation: String,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    generation: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The first part of every token that a key signs.
///
/// INVARIANT: ours say nothing else there, so the header of a token is compared and never read.
pub fn header(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","kid":"{key}","typ":"at+jwt"}}"#))
}

impl AccessToken {
    /// The second part, as `issuer` says it.
    pub fn payload(&self, issuer: &str) -> Result<String> {
        let claims = Claims {
            iss: issuer.to_owned(),
            aud: issuer.to_owned(),
            sub: self.account.clone(),
            client_id: self.credential.clone(),
            organisation: self.organisation.clone(),
            iat: self.issued_at / SECOND,
            exp: self.expires_at / SECOND,
            jti: self.id.clone(),
            scope: self.scopes.words().join(" "),
            generation: self.generation,
        };
        let json = serde_json::to_vec(&claims).map_err(|error| Error::bug(error.to_string()))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads the second part, when it was said by `issuer` and is meant for it. Only what is signed gets here.
    pub fn parse(payload: &str, issuer: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Claims = serde_json::from_slice(&json).ok()?;
        if claims.iss != issuer || claims.aud != issuer {
            return None;
        }
        Some(Self {
            id: claims.jti,
            organisation: claims.organisation,
            account: claims.sub,
            credential: claims.client_id,
            scopes: Scopes::of_text(&claims.scope),
            generation: claims.generation,
            issued_at: claims.iat.checked_mul(SECOND)?,
            expires_at: claims.exp.checked_mul(SECOND)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_its_issuer_alone() {
        for (scope, generation) in [("", 0), ("api:read", 1), ("api:read api:write", 7)] {
            let token = AccessToken {
                id: "at-1".into(),
                organisation: "o-1".into(),
                account: "sa-1".into(),
                credential: "ac-1".into(),
                scopes: Scopes::of_text(scope),
                generation,
                issued_at: 7 * SECOND,
                expires_at: 3607 * SECOND,
            };
            let payload = token.payload("https://one.test").unwrap();
            assert_eq!(AccessToken::parse(&payload, "https://one.test"), Some(token));
            assert_eq!(AccessToken::parse(&payload, "https://two.test"), None);
            assert_eq!(AccessToken::parse(&payload, "https://one.test/"), None);
        }
        assert_eq!(AccessToken::parse("", ""), None);
    }
}
