//! Sign and verify (contract, sections 3.8 and 14, 20).

use std::sync::Arc;

use coffer_api::{SignRequest, VerifyRequest};
use coffer_crypto::ecdsa::Marshalling;
use coffer_crypto::rsa::Padding;
use coffer_crypto::{Algorithm, Digest, Hashing, Scheme, SecretBytes, Versioned};

use super::{Named, admitted_key, compute, decode, look_up, wanted_version};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gate;
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::key::{Key, Use};
use crate::model::limits::INPUT_BYTES_MAX;

/// Signs a message or a digest with the latest version, or the one that is named.
pub async fn sign(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<SignRequest>,
) -> Result<Versioned> {
    gate::work(app, call, named.ask(Action::Sign), async |scope| {
        let body = body?;
        if body.context.as_deref().is_some_and(|context| !context.is_empty()) {
            return Err(Error::invalid("context", "must be empty: no signature has a context"));
        }
        let input = decode(&body.input, "input", INPUT_BYTES_MAX)?;
        let key = admitted_key(&scope)?;
        let ways = [&body.signature_algorithm, &body.marshalling];
        let scheme = Wishes::new(&body.hash_algorithm, body.prehashed, ways).scheme(key, &input)?;
        let version = wanted_version(key, body.key_version);
        let with = look_up(app, &scope, Use::Sign, (version, "keyVersion")).await?;
        let (keyring, key) = (app.keyring.clone(), with.clone());
        let bytes = compute(app, &with, move || keyring.sign(&key, scheme, input.expose())).await?;
        Ok(Versioned { key_version: version, bytes })
    })
    .await
}

/// Whether a signature is the key's, and of which version it says it is.
pub async fn verify(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<VerifyRequest>,
) -> Result<(bool, i64)> {
    gate::work(app, call, named.ask(Action::Verify), async |scope| {
        let body = body?;
        let input = decode(&body.input, "input", INPUT_BYTES_MAX)?;
        let key = admitted_key(&scope)?;
        let ways = [&body.signature_algorithm, &body.marshalling];
        let scheme = Wishes::new(&body.hash_algorithm, body.prehashed, ways).scheme(key, &input)?;
        let signature =
            Versioned::parse_or_bare(&body.signature, key.latest_version).map_err(|_| {
                let why = "is neither thalassa:v<version>:<base64> nor base64";
                Error::invalid("signature", why)
            })?;
        let version = signature.key_version;
        let with = look_up(app, &scope, Use::Sign, (version, "signature")).await?;
        let valid = app.keyring.verifies(&with, scheme, input.expose(), &signature.bytes)?;
        Ok((valid, version))
    })
    .await
}

/// What a request says of the scheme; empty texts say nothing.
struct Wishes<'a> {
    digest: Option<&'a str>,
    prehashed: bool,
    padding: Option<&'a str>,
    marshalling: Option<&'a str>,
}

impl<'a> Wishes<'a> {
    fn new(
        digest: &'a Option<String>,
        prehashed: Option<bool>,
        [padding, marshalling]: [&'a Option<String>; 2],
    ) -> Self {
        Self {
            digest: digest.as_deref(),
            prehashed: prehashed.unwrap_or_default(),
            padding: padding.as_deref(),
            marshalling: marshalling.as_deref(),
        }
    }

    /// The scheme for a key. What the key's type has no use for is refused, but for the hash name of Ed25519,
    /// which is ignored.
    fn scheme(&self, key: &Key, input: &SecretBytes) -> Result<Scheme> {
        key.key_type.check(Use::Sign)?;
        let named = match key.algorithm() {
            Algorithm::Ed25519 => None,
            _ => named_digest("hashAlgorithm", self.digest)?,
        };
        let padding = word(
            "signatureAlgorithm",
            self.padding,
            [("pss", Padding::Pss), ("pkcs1v15", Padding::Pkcs1v15)],
        )?;
        let marshalling = word(
            "marshalling",
            self.marshalling,
            [("asn1", Marshalling::Asn1), ("jws", Marshalling::Jws)],
        )?;
        let only_for = |field: &str, types: &str| {
            Err(Error::invalid(field, format!("is for {types} keys only")))
        };
        let hashing = |own| self.hashing(named.unwrap_or(own), input);
        match key.algorithm() {
            Algorithm::Rsa(_) if marshalling.is_some() => only_for("marshalling", "ECDSA"),
            Algorithm::Rsa(_) => {
                Ok(Scheme::Rsa(padding.unwrap_or_default(), hashing(Digest::Sha256)?))
            }
            _ if padding.is_some() => only_for("signatureAlgorithm", "RSA"),
            Algorithm::Ecdsa(curve) => {
                Ok(Scheme::Ecdsa(marshalling.unwrap_or_default(), hashing(curve.digest())?))
            }
            _ if marshalling.is_some() => only_for("marshalling", "ECDSA"),
            _ if self.prehashed => {
                Err(Error::invalid("prehashed", "Ed25519 signs messages, not digests"))
            }
            _ => Ok(Scheme::Ed25519),
        }
    }

    fn hashing(&self, digest: Digest, input: &SecretBytes) -> Result<Hashing> {
        if self.prehashed && input.len() != digest.bytes() {
            let (bytes, name) = (digest.bytes(), digest.word());
            let why = format!("must be the {bytes} bytes of a {name} digest when `prehashed`");
            return Err(Error::invalid("input", why));
        }
        Ok(Hashing { digest, prehashed: self.prehashed })
    }
}

/// A hash function by its name.
pub(super) fn named_digest(field: &str, name: Option<&str>) -> Result<Option<Digest>> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    let digest = Digest::from_word(name);
    digest.map(Some).ok_or_else(|| Error::invalid(field, "must be sha256, sha384 or sha512"))
}

fn word<T>(field: &str, text: Option<&str>, known: [(&str, T); 2]) -> Result<Option<T>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let names = known.each_ref().map(|(name, _)| *name).join(" or ");
    let found = known.into_iter().find(|(name, _)| *name == text);
    let found = found.ok_or_else(|| Error::invalid(field, format!("must be {names}")))?;
    Ok(Some(found.1))
}
