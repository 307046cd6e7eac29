//! Public keys of other issuers: fetched through the guard, kept ten minutes, asked for once a minute at most.

use std::sync::Arc;

use quick_cache::sync::Cache;
use serde_json::Value as Json;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::Config;
use crate::egress::{Egress, Reach, TIME_MAX};
use crate::model::federation::Provider;
use crate::model::jwks::{KeySet, Unverified};

/// Microseconds that fetched keys are good for.
const FRESH: i64 = 600_000_000;
/// Microseconds between two fetches, whatever came of the first.
const PAUSE: i64 = 60_000_000;
/// Providers that are remembered.
const PROVIDERS_MAX: usize = 10_000;

/// The issuers' keys, by organisation and provider: no organisation fetches for another.
pub struct Issuers {
    egress: Egress,
    known: Cache<(String, String), Arc<Mutex<Known>>>,
}

/// What is known of one provider. Held while its keys are fetched, so that one fetch serves all who wait.
#[derive(Default)]
struct Known {
    keys: Option<Fetched>,
    /// When a fetch was last begun.
    tried_at: Option<i64>,
}

struct Fetched {
    keys: Arc<KeySet>,
    at: i64,
    /// The provider's: where the keys are may have changed with it, or which they are.
    generation: i64,
}

impl Issuers {
    pub fn new(config: &Config) -> Self {
        let reach = match config.federation.allow_private_issuers {
            true => Reach::Anywhere,
            false => Reach::Public,
        };
        Self { egress: Egress::new(reach), known: Cache::new(PROVIDERS_MAX) }
    }

    /// Whether an issuer or a place of keys may be named.
    pub fn check(&self, url: &str) -> Result<(), &'static str> {
        self.egress.check(url).map(|_| ())
    }

    /// The keys with which a token of this provider may be verified, with the one it names where that can be
    /// had.
    pub async fn read_keys(
        &self,
        organisation: &str,
        provider: &Provider,
        token: &Unverified<'_>,
        now: i64,
    ) -> Result<Arc<KeySet>, &'static str> {
        if let Some(given) = &provider.local_jwks {
            return KeySet::parse(given).map(Arc::new);
        }
        let place = (organisation.to_owned(), provider.id.clone());
        let known = match self
            .known
            .get_or_insert_with(&place, || Ok::<_, std::convert::Infallible>(Arc::default()))
        {
            Ok(known) => known,
            Err(never) => match never {},
        };
        // Whoever waits here finds what the one before has fetched, or that it was in vain.
        let mut known = known.lock_owned().await;
        let fresh = known
            .keys
            .as_ref()
            .filter(|fetched| now - fetched.at < FRESH && fetched.generation == provider.generation)
            .map(|fetched| fetched.keys.clone());
        if let Some(keys) = fresh.clone().filter(|keys| keys.knows(token)) {
            return Ok(keys);
        }
        // SECURITY: tokens with invented key names must not make us flood somebody.
        if known.tried_at.is_some_and(|at| now - at < PAUSE) {
            return fresh.ok_or("the issuer's keys could not be read less than a minute ago");
        }
        known.tried_at = Some(now);
        // SECURITY: goes on when its caller goes away. One who asks and leaves, minute by minute, would otherwise
        // keep everybody from the keys.
        #[expect(clippy::disallowed_methods, reason = "ends by itself, after seconds")]
        let fetching = tokio::spawn(renew(self.egress.clone(), provider.clone(), known, now));
        fetching.await.unwrap_or(Err("the issuer's keys could not be read"))
    }
}

/// Fetches the keys of a provider and keeps them; whoever else wants them waits so long.
async fn renew(
    egress: Egress,
    provider: Provider,
    mut known: OwnedMutexGuard<Known>,
    now: i64,
) -> Result<Arc<KeySet>, &'static str> {
    let fetched = tokio::time::timeout(TIME_MAX, fetch(&egress, &provider)).await;
    let keys = Arc::new(fetched.unwrap_or(Err("the issuer did not answer in 5 seconds"))?);
    known.keys = Some(Fetched { keys: keys.clone(), at: now, generation: provider.generation });
    Ok(keys)
}

async fn fetch(egress: &Egress, provider: &Provider) -> Result<KeySet, &'static str> {
    let discovered;
    let place = match provider.jwks_uri.is_empty() {
        false => &provider.jwks_uri,
        true => {
            discovered = discover(egress, &provider.issuer).await?;
            &discovered
        }
    };
    let body = egress.get(place).await.map_err(|why| {
        tracing::warn!(provider = provider.id, why, "an issuer's keys cannot be read");
        "the issuer's keys cannot be read"
    })?;
    let json: Json = serde_json::from_slice(&body).map_err(|_| "the issuer's keys are no JSON")?;
    KeySet::parse(&json).map_err(|_| "the issuer has no key that can verify")
}

/// Where an issuer says its keys are (OpenID Connect Discovery 1.0, section 4).
async fn discover(egress: &Egress, issuer: &str) -> Result<String, &'static str> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = format!("{base}/.well-known/openid-configuration");
    let body = egress.get(&url).await.map_err(|why| {
        tracing::warn!(why, "an issuer's description cannot be read");
        "the issuer's description cannot be read"
    })?;
    let json: Json =
        serde_json::from_slice(&body).map_err(|_| "the issuer's description is no JSON")?;
    // SECURITY: one that describes another issuer would sign in that one's name.
    if json.get("issuer").and_then(Json::as_str) != Some(issuer) {
        return Err("the issuer's description is of another issuer");
    }
    let place = json.get("jwks_uri").and_then(Json::as_str);
    place.map(str::to_owned).ok_or("the issuer's description names no keys")
}
