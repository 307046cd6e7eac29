//! Tokens of other issuers that stand for a service account (contract, section 5.3, 5.4 and 14, 41).

use coffer_api::Map;
use serde_json::Value as Json;

use super::identity::Maker;
use super::jwks::Claims;
use super::pattern::Pattern;
use super::scopes::Scopes;
use super::service_account::ServiceAccount;
use crate::error::{Error, Result};

pub const SUBJECT_CHARS_MAX: usize = 2048;
pub const URL_CHARS_MAX: usize = 2048;
const AUDIENCES_MAX: usize = 64;
const AUDIENCE_CHARS_MAX: usize = 1024;
const CONDITIONS_MAX: usize = 32;
const CONDITION_BYTES_MAX: usize = 4096;
/// Seconds that clocks may be apart.
const SKEW_SECONDS: f64 = 60.0;

/// Whether a provider or a federated identity is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    Inactive,
    /// For good; federated identities only.
    Revoked,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Revoked => "revoked",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Inactive, Self::Revoked].into_iter().find(|own| own.word() == word)
    }
}

/// Somebody else who issues tokens.
#[derive(Debug, Clone)]
pub struct Provider {
    pub id: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    /// Compared bytewise with `iss`.
    pub issuer: String,
    /// Empty where the issuer's own description says it.
    pub jwks_uri: String,
    /// Keys that were given; none are fetched then.
    pub local_jwks: Option<Json>,
    pub status: Status,
    pub created_by: Maker,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
    /// Tokens that say an earlier one have ended.
    pub generation: i64,
}

/// How the audiences of a token meet the trusted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudienceMode {
    /// The token has one, and it is trusted.
    Exact,
    /// One of the token's is trusted.
    Any,
    /// The token has every trusted one.
    All,
}

impl AudienceMode {
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Any => "any",
            Self::All => "all",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Exact, Self::Any, Self::All].into_iter().find(|mode| mode.word() == word)
    }
}

/// Which tokens of a provider stand for a service account.
#[derive(Debug, Clone)]
pub struct FederatedIdentity {
    pub id: String,
    pub name: String,
    pub description: String,
    pub labels: Map,
    pub annotations: Map,
    pub account: String,
    pub provider: String,
    /// A pattern.
    pub subject: String,
    /// None means that audiences are not looked at.
    pub audiences: Vec<String>,
    pub audience_mode: AudienceMode,
    /// What its tokens are good for at most.
    pub scopes: Scopes,
    /// Claim → what it must be.
    pub conditions: Claims,
    pub status: Status,
    pub created_by: Maker,
    pub created_at: i64,
    pub updated_at: i64,
    pub object_version: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
    /// Tokens that say an earlier one have ended.
    pub generation: i64,
}

/// A federated identity with both that it ties together.
#[derive(Debug, Clone)]
pub struct Federation {
    pub identity: FederatedIdentity,
    pub account: ServiceAccount,
    pub provider: Provider,
}

impl FederatedIdentity {
    /// What it is at `now`: also `expired`, which nobody sets.
    pub fn status_at(&self, now: i64) -> &'static str {
        match self.expires_at.is_some_and(|at| at <= now) && self.status == Status::Active {
            true => "expired",
            false => self.status.word(),
        }
    }

    /// Whether a token with these claims stands for it; its issuer, signature and times are good.
    pub fn accepts(&self, claims: &Claims, now: i64) -> bool {
        let subject = claims.get("sub").and_then(Json::as_str).unwrap_or_default();
        self.status_at(now) == "active"
            && Pattern::new(&self.subject).matches(subject)
            && self.trusts_audience(claims)
            && self
                .conditions
                .iter()
                .all(|(name, required)| claims.get(name).is_some_and(|own| meets(own, required)))
    }

    fn trusts_audience(&self, claims: &Claims) -> bool {
        if self.audiences.is_empty() {
            return true;
        }
        let own: Vec<&str> = match claims.get("aud") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(many)) if many.iter().all(Json::is_string) => {
                many.iter().filter_map(Json::as_str).collect()
            }
            _ => return false,
        };
        let trusted = |audience: &&str| self.audiences.iter().any(|one| one == audience);
        match self.audience_mode {
            AudienceMode::Exact => own.len() == 1 && own.iter().all(trusted),
            AudienceMode::Any => own.iter().any(trusted),
            AudienceMode::All => self.audiences.iter().all(|one| own.contains(&one.as_str())),
        }
    }

    /// Checks what a request may get wrong.
    pub fn check(&self) -> Result<()> {
        if !(1..=SUBJECT_CHARS_MAX).contains(&self.subject.chars().count()) {
            return Err(Error::invalid("providerSubject", "must have 1 to 2048 characters"));
        }
        let fits = |text: &String| (1..=AUDIENCE_CHARS_MAX).contains(&text.chars().count());
        if self.audiences.len() > AUDIENCES_MAX || !self.audiences.iter().all(fits) {
            let why = "must be at most 64 audiences of 1 to 1024 characters";
            return Err(Error::invalid("trustedAudiences", why));
        }
        if self.conditions.len() > CONDITIONS_MAX {
            return Err(Error::invalid("conditions", "has more than 32 entries"));
        }
        for (name, required) in &self.conditions {
            let scalar = |json: &Json| json.is_string() || json.is_number() || json.is_boolean();
            let known = match required {
                Json::Array(many) => !many.is_empty() && many.iter().all(scalar),
                one => scalar(one),
            };
            if name.is_empty() || !known || required.to_string().len() > CONDITION_BYTES_MAX {
                let why = "must map claims to texts, numbers, flags, or lists of them";
                return Err(Error::invalid("conditions", why));
            }
        }
        Ok(())
    }
}

/// Whether a claim is what is required: equal, or one of a list where either is one.
fn meets(own: &Json, required: &Json) -> bool {
    let list = |json: &Json| json.as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
    let own = list(own);
    list(required).iter().any(|required| own.iter().any(|own| is(own, required)))
}

/// GitLab writes flags as texts: `"true"` is what `true` requires.
fn is(own: &Json, required: &Json) -> bool {
    match (own, required) {
        (Json::String(text), Json::Bool(_) | Json::Number(_)) => {
            let written = required.to_string();
            *text == written
        }
        _ => own == required,
    }
}

/// Whether the claims every token needs are there and hold at `now`, in microseconds.
pub fn check_claims(claims: &Claims, issuer: &str, now: i64) -> Result<(), &'static str> {
    let now = now as f64 / 1e6;
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or(()));
    if claims.get("iss").and_then(Json::as_str) != Some(issuer) {
        return Err("subject token of another issuer");
    }
    let subject = claims.get("sub").and_then(Json::as_str).unwrap_or_default();
    if subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX {
        return Err("subject token without a `sub` of 1 to 2048 characters");
    }
    match time("exp") {
        Some(Ok(until)) if now < until + SKEW_SECONDS => {}
        Some(Ok(_)) => return Err("subject token has expired"),
        _ => return Err("subject token without `exp`"),
    }
    match time("nbf") {
        None => Ok(()),
        Some(Ok(from)) if from <= now + SKEW_SECONDS => Ok(()),
        Some(_) => Err("subject token does not hold yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_000_000_000;

    fn identity(changes: impl FnOnce(&mut FederatedIdentity)) -> FederatedIdentity {
        let mut identity = FederatedIdentity {
            id: "fi-1".into(),
            name: String::new(),
            description: String::new(),
            labels: Map::new(),
            annotations: Map::new(),
            account: "sa-1".into(),
            provider: "idp-1".into(),
            subject: "repo:acme/*:ref:refs/heads/main".into(),
            audiences: Vec::new(),
            audience_mode: AudienceMode::Any,
            scopes: Scopes::default(),
            conditions: Claims::new(),
            status: Status::Active,
            created_by: Maker::default(),
            created_at: 0,
            updated_at: 0,
            object_version: 1,
            expires_at: None,
            last_used_at: None,
            generation: 0,
        };
        changes(&mut identity);
        identity
    }

    fn accepts(identity: &FederatedIdentity, claims: &Json) -> bool {
        let mut claims = claims.as_object().unwrap().clone();
        claims.entry("sub").or_insert(json!("repo:acme/app:ref:refs/heads/main"));
        identity.accepts(&claims, NOW)
    }

    #[test]
    fn subjects_match_as_patterns() {
        let identity = identity(|_| {});
        for (subject, expected) in [
            ("repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/app:ref:refs/heads/mainx", false),
            ("repo:acme-evil/app:ref:refs/heads/main", false),
            ("REPO:acme/app:ref:refs/heads/main", false),
            ("", false),
        ] {
            assert_eq!(accepts(&identity, &json!({"sub": subject})), expected, "{subject}");
        }
        assert!(!accepts(&identity, &json!({"sub": 1})));
    }

    #[test]
    fn audiences_meet_in_three_ways() {
        let two = ["one", "two"].map(str::to_owned).to_vec();
        for (mode, audience, expected) in [
            ("any", json!("one"), true),
            ("any", json!(["x", "two"]), true),
            ("any", json!("x"), false),
            ("any", json!([]), false),
            ("any", json!(null), false),
            ("any", json!(["one", 1]), false),
            ("exact", json!("two"), true),
            ("exact", json!(["two"]), true),
            ("exact", json!(["one", "two"]), false),
            ("exact", json!([]), false),
            ("exact", json!("x"), false),
            ("all", json!(["two", "one", "x"]), true),
            ("all", json!(["one"]), false),
            ("all", json!("one"), false),
        ] {
            let identity = identity(|identity| {
                identity.audiences.clone_from(&two);
                identity.audience_mode = AudienceMode::from_word(mode).unwrap();
            });
            assert_eq!(
                accepts(&identity, &json!({"aud": audience})),
                expected,
                "{mode} {audience}"
            );
            assert!(!accepts(&identity, &json!({})), "an audience is needed");
        }
        assert!(accepts(&identity(|_| {}), &json!({"aud": "whatever"})));
    }

    #[test]
    fn conditions_are_equality_or_membership() {
        for (required, claim, expected) in [
            (json!("main"), json!("main"), true),
            (json!("main"), json!("Main"), false),
            (json!("main"), json!(["dev", "main"]), true),
            (json!(["main", "dev"]), json!("dev"), true),
            (json!(["main", "dev"]), json!("x"), false),
            (json!(["a", "b"]), json!(["b", "c"]), true),
            (json!(["a"]), json!([]), false),
            (json!(true), json!(true), true),
            (json!(true), json!("true"), true),
            (json!(true), json!("false"), false),
            (json!("true"), json!(true), false),
            (json!(7), json!("7"), true),
            (json!(1), json!(true), false),
            (json!("x"), json!(null), false),
        ] {
            let identity = identity(|identity| {
                identity.conditions.insert("c".into(), required.clone());
            });
            assert_eq!(accepts(&identity, &json!({"c": claim})), expected, "{required} {claim}");
            assert!(!accepts(&identity, &json!({})), "an absent claim never matches");
        }
    }

    #[test]
    fn times_are_looked_at_with_a_minute_of_skew() {
        let now = 1000;
        for (claims, expected) in [
            (json!({"exp": 1100}), true),
            (json!({"exp": 941}), true),
            (json!({"exp": 940}), false),
            (json!({"exp": "1100"}), false),
            (json!({}), false),
            (json!({"exp": 1100, "nbf": 1060}), true),
            (json!({"exp": 1100, "nbf": 1061}), false),
            (json!({"exp": 1100, "nbf": "0"}), false),
            (json!({"exp": 1100, "iss": "other"}), false),
            (json!({"exp": 1100, "sub": ""}), false),
            (json!({"exp": 1100, "sub": "s".repeat(2049)}), false),
            (json!({"exp": 1100.5}), true),
        ] {
            let mut all = claims.as_object().unwrap().clone();
            all.entry("iss").or_insert(json!("issuer"));
            all.entry("sub").or_insert(json!("s"));
            let held = check_claims(&all, "issuer", now * 1_000_000).is_ok();
            assert_eq!(held, expected, "{claims}");
        }
    }

    #[test]
    fn an_identity_ends_at_its_time() {
        let ends = identity(|identity| identity.expires_at = Some(NOW));
        assert_eq!((ends.status_at(NOW - 1), ends.status_at(NOW)), ("active", "expired"));
        assert!(!accepts(&ends, &json!({})));
        let revoked = identity(|identity| identity.status = Status::Revoked);
        assert!(!accepts(&revoked, &json!({})) && revoked.status_at(NOW) == "revoked");
    }
}
