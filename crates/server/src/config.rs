//! Every setting: name, unit, default. What is not known is an error that names the nearest known name.

pub mod sinks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde::Deserialize;

/// Every name a file may hold, sections dotted.
pub const SETTINGS: &[(&str, &str)] = &[
    (
        "listen",
        "addresses to serve HTTP on, an array of `address:port`; default [\"127.0.0.1:8200\"]",
    ),
    ("data", "folder of the store and of the root key; default \"coffer-data\""),
    ("store", "the database; without it SQLite in `data`"),
    ("store.url", "`postgres://user@host,host/database`; default: SQLite"),
    ("store.password_file", "file of the database user's password, from `data`"),
    (
        "store.ca_file",
        "certificates that the database's is checked against, from `data`; default: the system's",
    ),
    ("store.connections", "connections for changes, and as many for reads; default 16"),
    (
        "root_keys",
        "where root keys are kept: the first wraps, the others only unwrap; default one file",
    ),
    ("root_keys.custody", "`file`, `credential`, `descriptor` or `pkcs11`"),
    (
        "root_keys.file",
        "file of the key from `data`; default \"root.key\"; of the sealed key \"root.sealed\"",
    ),
    ("root_keys.credential", "name of the service manager's credential"),
    ("root_keys.descriptor", "number of the open file descriptor"),
    ("root_keys.module", "PKCS#11 module, a shared library"),
    ("root_keys.token", "label of the token"),
    (
        "root_keys.pin_file",
        "file of the token's user PIN, from `data`, readable by its owner alone",
    ),
    ("root_keys.key", "label of the sealing key in the token; default \"coffer-root\""),
    (
        "public_url",
        "URL under which clients reach this server, the issuer of its tokens; default: http and the first address",
    ),
    ("federation", "tokens of other issuers"),
    (
        "federation.allow_private_issuers",
        "let issuers be reached over http and at private addresses; default false",
    ),
    ("memory_lock", "keep memory out of swap: \"try\", \"require\" or \"off\"; default \"try\""),
    ("trusted_proxies", "CIDRs whose X-Forwarded-For and X-Real-IP are believed; default none"),
    ("regions", "the regions of this server, at least one"),
    ("regions.slug", "name in URLs, for example \"nl-01\""),
    ("regions.name", "name for people; default: the slug"),
    ("regions.kms", "whether keys can be used there; default true"),
    ("limits", "bounds on what the server takes on"),
    ("limits.connections_max", "connections at once; default 10000"),
    ("limits.header_seconds", "seconds a client has to send a request's head; default 10"),
    ("limits.body_seconds", "seconds a client has to send a request's body; default 30"),
    ("limits.drain_seconds", "seconds that running requests have at shutdown; default 10"),
    ("limits.cache_mebibytes", "memory for sealed values that are revealed often; default 64"),
    (
        "limits.auth_failures_per_minute",
        "failed authentications per address and minute, 0 = no limit; default 120",
    ),
    (
        "quotas",
        "what an organisation may have, unless an administrator sets another maximum; 0 = no bound",
    ),
    ("quotas.secrets_count", "secrets; default 1000000"),
    ("quotas.secrets_versions", "versions that are not destroyed; default 10000000"),
    ("quotas.kms_keys", "keys that are not deleted; default 10000"),
    ("quotas.iam_service_accounts", "service accounts; default 1000"),
    ("metrics", "figures for Prometheus"),
    (
        "metrics.listen",
        "address to serve `/metrics` on, over HTTP and to anybody who reaches it; default: none",
    ),
    ("audit", "the audit log"),
    ("audit.retention_days", "days that records are kept, 0 = for ever; default 400"),
    ("audit.sinks", "where records are sent to, beside the log"),
    ("audit.sinks.name", "name of the sink, of `a-z 0-9 -`; another name is another sink"),
    ("audit.sinks.kind", "`file`, `syslog` or `webhook`"),
    ("audit.sinks.path", "file that lines are appended to, from `data`"),
    ("audit.sinks.rotate_mebibytes", "size at which the file is rotated, 0 = never; default 64"),
    ("audit.sinks.keep", "rotated files that are kept; default 10"),
    ("audit.sinks.address", "`host:port` of the syslog receiver"),
    ("audit.sinks.transport", "`tls` or `tcp`, which is in clear; default \"tls\""),
    (
        "audit.sinks.ca_file",
        "certificates that the receiver's is checked against, from `data`; default: the system's",
    ),
    ("audit.sinks.url", "`https://` URL that batches are posted to; `http://` on loopback only"),
    (
        "audit.sinks.secret_file",
        "file of the secret that batches are signed with, from `data`, at least 32 bytes",
    ),
];

/// What a server runs with.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
    pub data: PathBuf,
    pub store: StoreConfig,
    /// The first wraps, the others only unwrap.
    pub root_keys: Vec<RootKeyConfig>,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    pub federation: Federation,
    pub memory_lock: MemoryLock,
    pub trusted_proxies: Vec<IpNet>,
    pub regions: Vec<RegionConfig>,
    pub limits: Limits,
    pub quotas: Quotas,
    pub audit: Audit,
    pub metrics: MetricsConfig,
}

/// Figures for Prometheus.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MetricsConfig {
    pub listen: Option<SocketAddr>,
}

/// The audit log.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Audit {
    /// 0: for ever.
    pub retention_days: u32,
    pub sinks: Vec<sinks::SinkConfig>,
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_days: 400, sinks: Vec::new() }
    }
}

/// The database.
#[derive(Clone, Deserialize)]
#[serde(default)]
pub struct StoreConfig {
    /// May hold a password.
    pub url: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub connections: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: None, password_file: None, ca_file: None, connections: 16 }
    }
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.url.is_some() { "postgres" } else { "sqlite" };
        f.debug_struct("StoreConfig").field("kind", &kind).finish_non_exhaustive()
    }
}

/// Tokens of other issuers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Federation {
    pub allow_private_issuers: bool,
}

/// Where a root key is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "custody", rename_all = "lowercase", deny_unknown_fields)]
pub enum RootKeyConfig {
    File {
        #[serde(default = "root_key_file")]
        file: PathBuf,
    },
    Credential {
        credential: String,
        /// The service manager's folder, from the environment.
        #[serde(skip)]
        folder: Option<PathBuf>,
    },
    Descriptor {
        descriptor: i32,
    },
    Pkcs11(Pkcs11Config),
}

/// A token and its key that seals a root key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Config {
    pub module: PathBuf,
    pub token: String,
    pub pin_file: PathBuf,
    #[serde(default = "sealing_key")]
    pub key: String,
    #[serde(default = "sealed_file")]
    pub file: PathBuf,
}

/// Whether memory must stay out of swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryLock {
    /// As far as the system allows; told when it does not.
    #[default]
    Try,
    /// No start without.
    Require,
    Off,
}

fn root_key_file() -> PathBuf {
    PathBuf::from("root.key")
}

fn sealed_file() -> PathBuf {
    PathBuf::from("root.sealed")
}

fn sealing_key() -> String {
    "coffer-root".to_owned()
}

#[derive(Debug, Clone, Deserialize)]
pub struct RegionConfig {
    pub slug: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default = "yes")]
    pub kms: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub connections_max: usize,
    pub header_seconds: u64,
    pub body_seconds: u64,
    pub drain_seconds: u64,
    pub cache_mebibytes: u64,
    pub auth_failures_per_minute: u32,
}

/// What an organisation may have at most; 0 is no bound.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Quotas {
    pub secrets_count: u32,
    pub secrets_versions: u32,
    pub kms_keys: u32,
    pub iam_service_accounts: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            secrets_count: 1_000_000,
            secrets_versions: 10_000_000,
            kms_keys: 10_000,
            iam_service_accounts: 1000,
        }
    }
}

fn yes() -> bool {
    true
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_seconds: 10,
            body_seconds: 30,
            drain_seconds: 10,
            cache_mebibytes: 64,
            auth_failures_per_minute: 120,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8200))],
            data: PathBuf::from("coffer-data"),
            store: StoreConfig::default(),
            root_keys: vec![RootKeyConfig::File { file: root_key_file() }],
            public_url: None,
            federation: Federation::default(),
            memory_lock: MemoryLock::default(),
            trusted_proxies: Vec::new(),
            regions: Vec::new(),
            limits: Limits::default(),
            quotas: Quotas::default(),
            audit: Audit::default(),
            metrics: MetricsConfig::default(),
        }
    }
}

impl Config {
    /// What `cofferd dev` runs with: one region `nl-01` with KMS on.
    pub fn dev(listen: SocketAddr, data: PathBuf) -> Self {
        let region = RegionConfig { slug: "nl-01".into(), name: None, kms: true };
        Self { listen: vec![listen], data, regions: vec![region], ..Self::default() }
    }

    /// Reads a TOML file.
    pub fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    pub fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse()?;
        check_names("", &table)?;
        let mut config: Self = table.try_into()?;
        ensure!(!config.root_keys.is_empty(), "`root_keys` needs at least one [[root_keys]]");
        for root_key in &mut config.root_keys {
            match root_key {
                #[expect(clippy::disallowed_methods, reason = "the service manager's own way")]
                RootKeyConfig::Credential { folder, .. } => {
                    *folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
                }
                RootKeyConfig::Pkcs11(token) => token.pin_file = config.data.join(&token.pin_file),
                RootKeyConfig::File { .. } | RootKeyConfig::Descriptor { .. } => {}
            }
        }
        if let Some(url) = &mut config.public_url {
            *url = url.trim_end_matches('/').to_owned();
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            ensure!(
                rest.is_some_and(|rest| !rest.is_empty()
                    && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#@\"\\".contains(&b))),
                "`public_url` must be a URL such as \"https://coffer.example.com\""
            );
        }
        sinks::check(&config.audit.sinks)?;
        ensure!(!config.listen.is_empty(), "`listen` needs at least one address");
        ensure!(
            !config.regions.is_empty(),
            "`regions` needs at least one [[regions]] with a `slug`"
        );
        for (at, region) in config.regions.iter().enumerate() {
            let slug = &region.slug;
            ensure!(
                coffer_api::slug_of(slug) == *slug
                    && !slug.is_empty()
                    && !coffer_api::is_identity(slug),
                "region slug `{slug}` must be of `a-z 0-9 -`"
            );
            ensure!(
                config.regions.iter().skip(at + 1).all(|other| other.slug != *slug),
                "region `{slug}` stands twice"
            );
        }
        Ok(config)
    }
}

fn check_names(section: &str, table: &toml::Table) -> Result<()> {
    for (name, value) in table {
        let full = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        if !SETTINGS.iter().any(|(known, _)| *known == full) {
            let nearest = SETTINGS
                .iter()
                .map(|(known, _)| *known)
                .max_by(|a, b| {
                    strsim::jaro_winkler(a, &full).total_cmp(&strsim::jaro_winkler(b, &full))
                })
                .unwrap_or_default();
            bail!("unknown setting `{full}`; did you mean `{nearest}`?");
        }
        match value {
            toml::Value::Table(inner) => check_names(&full, inner)?,
            toml::Value::Array(items) => items
                .iter()
                .filter_map(toml::Value::as_table)
                .try_for_each(|inner| check_names(&full, inner))?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        for (text, expected) in [
            ("lisen = []", "unknown setting `lisen`; did you mean `listen`?"),
            ("[limits]\nconnection_max = 1", "did you mean `limits.connections_max`?"),
            ("[[regions]]\nslug = 'a'\nksm = true", "did you mean `regions.kms`?"),
            ("trusted_proxy = []", "did you mean `trusted_proxies`?"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = Config::parse(
            "listen = ['127.0.0.1:1', '[::1]:1']\ndata = '/var/lib/coffer'\n\
             trusted_proxies = ['10.0.0.0/8']\npublic_url = 'https://a.test/'\n\
             [[regions]]\nslug = 'nl-01'\n[[regions]]\nslug = 'de-01'\nkms = false\n\
             [limits]\ndrain_seconds = 3\n[quotas]\nkms_keys = 0\n",
        )
        .unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.public_url.as_deref(), Some("https://a.test"));
        assert!(config.regions.iter().map(|r| r.kms).eq([true, false]));
        assert_eq!((config.limits.drain_seconds, config.limits.header_seconds), (3, 10));
        assert_eq!((config.quotas.kms_keys, config.quotas.iam_service_accounts), (0, 1000));
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in [
            "",
            "[[regions]]\nslug = 'NL 01'",
            "[[regions]]\nslug = 'a'\n[[regions]]\nslug = 'a'",
            "listen = []\n[[regions]]\nslug = 'a'",
            "listen = ['localhost']\n[[regions]]\nslug = 'a'",
            "trusted_proxies = ['10.0.0.0/40']\n[[regions]]\nslug = 'a'",
            "public_url = 'coffer.example.com'\n[[regions]]\nslug = 'a'",
            "public_url = 'https://'\n[[regions]]\nslug = 'a'",
            "public_url = 'https://a/?b'\n[[regions]]\nslug = 'a'",
            "[[regions]]\nslug = 'a'\n[quotas]\nkms_keys = -1",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }
}
