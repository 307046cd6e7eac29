//! Public keys of an issuer (RFC 7517), and which signatures are theirs (RFC 7515, RFC 8725).

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value as Json};

/// Keys in a set; an issuer has a few.
pub const KEYS_MAX: usize = 100;
/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Members of a key that only its owner may have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What a token says, once its signature is known to be good.
pub type Claims = Map<String, Json>;

/// The keys of a set that can verify.
pub struct KeySet(Vec<VerifyingKey>);

struct VerifyingKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// A token whose signature nobody has looked at: enough to find out whose it would have to be.
pub struct Unverified<'t> {
    text: &'t str,
    header: Header,
    /// The issuer it claims.
    pub issuer: String,
}

impl<'t> Unverified<'t> {
    /// Reads a token's head, which must be signed by an algorithm with a public key.
    ///
    /// SECURITY: neither `none` nor HMAC, whose key would be a public one. Keys that the token brings along or
    /// points to (`jwk`, `jku`, `x5u`) are never looked at; what it calls critical is not understood.
    pub fn read(text: &'t str) -> Result<Self, &'static str> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err("subject token longer than 16 KiB");
        }
        let header = decode_header(text).map_err(|_| "subject token is no signed JWT")?;
        if matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            return Err("subject token signed with a shared secret");
        }
        if header.crit.is_some() {
            return Err("subject token has critical headers");
        }
        let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(text)
            .map_err(|_| "subject token has no claims")?;
        match claims.get("iss").and_then(Json::as_str).filter(|issuer| !issuer.is_empty()) {
            Some(issuer) => Ok(Self { text, header, issuer: issuer.to_owned() }),
            None => Err("subject token without `iss`"),
        }
    }

    /// The name of the key that is said to have signed it.
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }
}

impl KeySet {
    /// Reads a set. Keys that cannot verify are passed over, as RFC 7517 asks; one must be left.
    pub fn parse(json: &Json) -> Result<Self, &'static str> {
        let keys = json.get("keys").and_then(Json::as_array).ok_or("has no array `keys`")?;
        if keys.len() > KEYS_MAX {
            return Err("has more than 100 keys");
        }
        let usable: Vec<_> = keys.iter().filter_map(VerifyingKey::read).collect();
        match usable.is_empty() {
            true => Err("has no public key that can verify a signature"),
            false => Ok(Self(usable)),
        }
    }

    /// Whether a set has private parts, which nobody should hand around.
    pub fn is_private(json: &Json) -> bool {
        let keys = json.get("keys").and_then(Json::as_array);
        keys.is_some_and(|keys| {
            keys.iter().any(|key| PRIVATE.iter().any(|member| key.get(member).is_some()))
        })
    }

    /// Whether a token's key is there. A token that names none may be of any.
    pub fn knows(&self, token: &Unverified<'_>) -> bool {
        self.candidates(token).next().is_some()
    }

    /// What the token says, when one of the keys has signed it. Its times are for the caller to look at: the
    /// library would ask the system's clock.
    pub fn verify(&self, token: &Unverified<'_>) -> Option<Claims> {
        let mut validation = Validation::new(token.header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let mut candidates = self.candidates(token);
        candidates.find_map(|key| {
            decode::<Claims>(token.text, &key.key, &validation).ok().map(|data| data.claims)
        })
    }

    /// Keys that fit the token's algorithm and the name it gives. A key without a name may have any.
    fn candidates(&self, token: &Unverified<'_>) -> impl Iterator<Item = &VerifyingKey> {
        let (wanted, algorithm) = (token.header.kid.clone(), token.header.alg);
        self.0.iter().filter(move |key| {
            let named = match (&wanted, &key.id) {
                (Some(wanted), Some(own)) => wanted == own,
                (None, _) | (_, None) => true,
            };
            named && key.algorithms.contains(&algorithm)
        })
    }
}

impl VerifyingKey {
    fn read(json: &Json) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|own| *own != PublicKeyUse::Signature) {
            return None;
        }
        let may_verify = |own: &Vec<KeyOperations>| own.contains(&KeyOperations::Verify);
        if common.key_operations.as_ref().is_some_and(|own| !may_verify(own)) {
            return None;
        }
        let mut algorithms = algorithms_of(&jwk)?;
        if let Some(own) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == own);
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let id = common.key_id.clone();
        (!algorithms.is_empty()).then_some(Self { id, algorithms, key })
    }
}

/// What a key's type and curve can verify.
fn algorithms_of(jwk: &Jwk) -> Option<Vec<Algorithm>> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match &jwk.algorithm {
        // Base64url of 2048 bits has 342 digits; the library refuses shorter keys, and longer ones than 8192.
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= 341 => {
            Some(vec![RS256, RS384, RS512, PS256, PS384, PS512])
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Some(vec![ES256])
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => {
            Some(vec![ES384])
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(vec![EdDSA])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_needs_a_public_key_that_verifies() {
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let with = |name: &str, value: Json| {
            let mut key = ed.clone();
            key[name] = value;
            json!({"keys": [key]})
        };
        assert!(KeySet::parse(&json!({"keys": [ed]})).is_ok());
        assert!(KeySet::parse(&with("use", json!("sig"))).is_ok());
        assert!(KeySet::parse(&with("alg", json!("EdDSA"))).is_ok());
        assert!(KeySet::parse(&with("key_ops", json!(["verify"]))).is_ok());
        for bad in [
            json!({}),
            json!([]),
            json!({"keys": []}),
            json!({"keys": {}}),
            json!({"keys": [1]}),
            with("use", json!("enc")),
            with("alg", json!("RS256")),
            with("key_ops", json!(["sign"])),
            with("crv", json!("P-256")),
            with("x", json!("!")),
            json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
            json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}),
            json!({"keys": vec![ed.clone(); 101]}),
        ] {
            assert!(KeySet::parse(&bad).is_err(), "{bad}");
        }
        assert!(KeySet::is_private(&with("d", json!("x"))));
        assert!(!KeySet::is_private(&json!({"keys": [ed]})));
    }
}
