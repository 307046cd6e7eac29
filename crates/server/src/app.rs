//! What requests share: the store, the keyring, the directory, the clock.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffer_crypto::token::TokenHash;
use ipnet::IpNet;
use quick_cache::sync::Cache;

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::issuers::Issuers;
use crate::keyring::Keyring;
use crate::lane::Lanes;
use crate::load::Load;
use crate::metrics::{LoadFigures, Metrics};
use crate::model::access_policy::canonical_net;
use crate::model::access_token::AccessToken;
use crate::store::Store;
use crate::values::Values;

/// Everything a request needs, behind one pointer.
pub struct App {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    pub directory: Directory,
    pub values: Values,
    pub clock: Clock,
    pub config: Config,
    /// The keys of other issuers.
    pub issuers: Issuers,
    pub verified: Verified,
    /// Whether clients reach the server over HTTPS.
    pub is_https: bool,
    /// The address that is listened on, where the settings leave the port open.
    listening: OnceLock<SocketAddr>,
    /// Held by whoever makes a region's wrapping key.
    pub making_wrapping_key: tokio::sync::Mutex<()>,
    pub lanes: Lanes,
    pub last_access: LastAccess,
    pub metrics: Metrics,
    pub last_use: LastUse,
    pub load: Load,
    pub load_figures: LoadFigures,
    /// Those of the configuration, IPv4 within IPv6 made IPv4.
    pub trusted_proxies: Vec<IpNet>,
}

/// The last reveals that are not yet in the store. Written once a second and at shutdown, so that a read
/// costs no write of its own; until then, metadata answers take them from here.
#[derive(Default)]
pub struct LastAccess(Mutex<HashMap<String, Accesses>>);

/// One secret's last reveals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accesses {
    pub organisation: String,
    /// Version → when.
    pub versions: BTreeMap<i64, i64>,
}

impl LastAccess {
    pub fn touch(&self, organisation: &str, secret: &str, version: i64, at: i64) {
        let mut waiting = self.lock();
        let accesses = waiting.entry(secret.to_owned()).or_default();
        organisation.clone_into(&mut accesses.organisation);
        accesses.versions.insert(version, at);
    }

    /// What waits for one secret.
    pub fn find(&self, secret: &str) -> Option<Accesses> {
        self.lock().get(secret).cloned()
    }

    /// All that waits; it stays until it is [`LastAccess::written`].
    pub fn waiting(&self) -> HashMap<String, Accesses> {
        self.lock().clone()
    }

    /// Forgets what has been written, unless it has been touched again since.
    pub fn written(&self, written: &[(String, Accesses)]) {
        let mut waiting = self.lock();
        for (secret, accesses) in written {
            if waiting.get(secret) == Some(accesses) {
                waiting.remove(secret);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Accesses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When tokens were last used, as far as that is not in the store yet; as [`LastAccess`].
#[derive(Default)]
pub struct LastUse(Mutex<HashMap<String, i64>>);

impl LastUse {
    pub fn touch(&self, token: &str, at: i64) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(token) {
            Some(last) => *last = at,
            None => drop(waiting.insert(token.to_owned(), at)),
        }
    }

    pub fn find(&self, token: &str) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).copied()
    }

    /// All that waits; it stays until it is [`LastUse::written`].
    pub fn waiting(&self) -> HashMap<String, i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what has been written, unless it has been used again since.
    pub fn written(&self, written: &[(String, i64)]) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, at) in written {
            if waiting.get(token) == Some(at) {
                waiting.remove(token);
            }
        }
    }
}

/// Access tokens whose signature was found good, by the hash of their text. Whether they still hold is looked up at
/// every call.
pub struct Verified(Cache<TokenHash, Arc<AccessToken>>);

impl Verified {
    /// Tokens kept in memory.
    const ENTRIES_MAX: usize = 10_000;

    pub fn find(&self, token: &TokenHash) -> Option<Arc<AccessToken>> {
        self.0.get(token)
    }

    pub fn keep(&self, token: TokenHash, says: Arc<AccessToken>) {
        self.0.insert(token, says);
    }

    pub fn forget(&self, token: &TokenHash) {
        self.0.remove(token);
    }
}

impl App {
    /// Puts an application together around an open store.
    pub fn new(store: Store, keyring: Keyring, clock: Clock, config: Config) -> Arc<Self> {
        let directory = Directory::new(store.clone());
        let load_figures = LoadFigures::default();
        let values = Values::new(store.clone(), config.limits.cache_mebibytes << 20);
        Arc::new(Self {
            metrics: Metrics::new(
                store.figures(),
                &values.figures,
                &directory.figures,
                &load_figures,
            ),
            directory,
            values,
            issuers: Issuers::new(&config),
            verified: Verified(Cache::new(Verified::ENTRIES_MAX)),
            is_https: match &config.public_url {
                Some(url) => url.starts_with("https://"),
                None => config.tls.is_some(),
            },
            listening: OnceLock::new(),
            store,
            keyring: Arc::new(keyring),
            making_wrapping_key: tokio::sync::Mutex::default(),
            lanes: Lanes::default(),
            clock,
            last_access: LastAccess::default(),
            last_use: LastUse::default(),
            load: Load::new(&config.limits, load_figures.clone()),
            load_figures,
            trusted_proxies: config.trusted_proxies.iter().map(|net| canonical_net(*net)).collect(),
            config,
        })
    }

    /// Tells which address is listened on, for the issuer where the settings name none.
    pub fn listens_on(&self, address: SocketAddr) {
        let _ = self.listening.set(address);
    }

    /// Who issues our tokens: the URL under which clients reach this server.
    pub fn issuer(&self) -> String {
        match &self.config.public_url {
            Some(url) => url.clone(),
            None => {
                let first = || self.config.listen.first().copied();
                let address = self.listening.get().copied().or_else(first);
                let scheme = if self.config.tls.is_some() { "https" } else { "http" };
                address.map(|address| format!("{scheme}://{address}")).unwrap_or_default()
            }
        }
    }
}
