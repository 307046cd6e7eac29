//! What a server runs with: a file, and the environment. What is not known is an error that names the nearest name.

pub mod settings;
pub mod sinks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

/// What a server runs with.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
    pub data: PathBuf,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<IpNet>,
    /// Plain HTTP at addresses other than loopback.
    pub insecure_http: bool,
    pub memory_lock: MemoryLock,
    pub tls: Option<TlsConfig>,
    pub regions: Vec<RegionConfig>,
    /// The first wraps, the others only unwrap.
    pub root_keys: Vec<RootKeyConfig>,
    pub store: StoreConfig,
    pub federation: Federation,
    pub limits: Limits,
    pub quotas: Quotas,
    pub audit: Audit,
    pub metrics: MetricsConfig,
    pub traces: TracesConfig,
}

/// HTTPS. Files are PEM.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    pub certificate: PathBuf,
    pub key: PathBuf,
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// Figures for Prometheus.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct MetricsConfig {
    pub listen: Option<SocketAddr>,
}

/// Traces by OpenTelemetry.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct TracesConfig {
    pub endpoint: Option<String>,
    /// From 0 to 1.
    pub ratio: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: None, ratio: 1.0 }
    }
}

/// The audit log.
#[derive(Debug, Clone, Deserialize, Serialize)]
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
#[derive(Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct StoreConfig {
    /// May hold a password.
    #[serde(serialize_with = "without_password")]
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
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Federation {
    pub allow_private_issuers: bool,
}

/// Where a root key is kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
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
#[derive(Debug, Clone, Deserialize, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryLock {
    /// As far as the system allows; told when it does not.
    #[default]
    Try,
    /// No start without.
    Require,
    Off,
}

/// SECURITY: what is shown of the database's URL holds no password.
#[expect(clippy::ref_option, reason = "what serde hands over")]
fn without_password<S: Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    let user = |url: &str| url.split_once("//")?.1.split_once('@').map(|(user, _)| user.to_owned());
    match url {
        Some(url)
            if url.contains("password") || user(url).is_some_and(|user| user.contains(':')) =>
        {
            to.serialize_some("redacted: holds a password")
        }
        url => url.serialize(to),
    }
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

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct RegionConfig {
    pub slug: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default = "yes")]
    pub kms: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct Limits {
    pub connections_max: usize,
    pub in_flight_max: usize,
    pub in_flight_per_organisation_max: usize,
    pub requests_per_second_per_credential: u32,
    pub requests_per_second_per_organisation: u32,
    pub auth_failures_per_minute: u32,
    pub header_seconds: u64,
    pub body_seconds: u64,
    pub drain_seconds: u64,
    pub cache_mebibytes: u64,
}

/// What an organisation may have at most; 0 is no bound.
#[derive(Debug, Clone, Deserialize, Serialize)]
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
            in_flight_max: 2048,
            in_flight_per_organisation_max: 1536,
            requests_per_second_per_credential: 0,
            requests_per_second_per_organisation: 0,
            auth_failures_per_minute: 120,
            header_seconds: 10,
            body_seconds: 30,
            drain_seconds: 10,
            cache_mebibytes: 64,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8200))],
            data: PathBuf::from("coffer-data"),
            public_url: None,
            trusted_proxies: Vec::new(),
            insecure_http: false,
            memory_lock: MemoryLock::default(),
            tls: None,
            regions: Vec::new(),
            root_keys: vec![RootKeyConfig::File { file: root_key_file() }],
            store: StoreConfig::default(),
            federation: Federation::default(),
            limits: Limits::default(),
            quotas: Quotas::default(),
            audit: Audit::default(),
            metrics: MetricsConfig::default(),
            traces: TracesConfig::default(),
        }
    }
}

impl Config {
    /// What `cofferd dev` runs with: one region `nl-01` with KMS on.
    pub fn dev(listen: SocketAddr, data: PathBuf) -> Self {
        let region = RegionConfig { slug: "nl-01".into(), name: None, kms: true };
        Self { listen: vec![listen], data, regions: vec![region], ..Self::default() }
    }

    /// Reads a TOML file, if there is one, and what the environment says besides.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let text = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?,
            None => String::new(),
        };
        let place = || file.map_or("the environment".to_owned(), |file| file.display().to_string());
        Self::parse(&text, &environment()).with_context(place)
    }

    /// Reads the text of a TOML file, and variables of the environment, which win.
    pub fn parse(text: &str, variables: &[(String, String)]) -> Result<Self> {
        let mut table: toml::Table = text.parse()?;
        settings::overlay(&mut table, variables)?;
        settings::check_names("", &table)?;
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
        config.check_exposure()?;
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

    /// SECURITY: tokens and values do not go over a network as they are, unless somebody has said so.
    pub fn check_exposure(&self) -> Result<()> {
        let exposed = self.listen.iter().find(|address| !address.ip().is_loopback());
        match exposed {
            Some(address) if self.tls.is_none() && !self.insecure_http => bail!(
                "at {address} others could read tokens and values on their way: give the server a certificate \
                 ([tls]), or set `insecure_http = true` where something in front of it does TLS"
            ),
            _ => Ok(()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "settings come from here")]
fn environment() -> Vec<(String, String)> {
    let text = |name: std::ffi::OsString| name.into_string().ok();
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
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
            let error = Config::parse(text, &[]).unwrap_err().to_string();
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
            &[],
        )
        .unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.public_url.as_deref(), Some("https://a.test"));
        assert!(config.regions.iter().map(|r| r.kms).eq([true, false]));
        assert_eq!((config.limits.drain_seconds, config.limits.header_seconds), (3, 10));
        assert_eq!((config.quotas.kms_keys, config.quotas.iam_service_accounts), (0, 1000));
    }

    #[test]
    fn plain_http_stays_on_loopback_unless_told() {
        let region = "[[regions]]\nslug = 'a'\n";
        for (exposed, is_taken) in [
            ("listen = ['127.9.9.9:1', '[::1]:1']\n", true),
            ("listen = ['192.0.2.1:1']\n", false),
            ("listen = ['192.0.2.1:1']\ninsecure_http = true\n", true),
            ("listen = ['192.0.2.1:1']\ntls = {certificate = 'a', key = 'b'}\n", true),
        ] {
            let text = format!("{exposed}{region}");
            assert_eq!(Config::parse(&text, &[]).is_ok(), is_taken, "{text}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        for (url, is_shown) in [
            ("postgres://coffer@db/coffer", true),
            ("postgres://coffer:canary@db/coffer", false),
            ("postgres://db/coffer?user=coffer&password=canary", false),
            ("host=db user=coffer password=canary", false),
            ("postgres://coffer@db:5432,db2:5432/coffer", true),
        ] {
            let store = StoreConfig { url: Some(url.to_owned()), ..StoreConfig::default() };
            let shown = toml::to_string(&Config { store, ..Config::default() }).unwrap();
            assert!(!shown.contains("canary"), "{shown}");
            assert_eq!(shown.contains(url), is_shown, "{shown}");
        }
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
            "listen = ['0.0.0.0:8200']\n[[regions]]\nslug = 'a'",
            "listen = ['127.0.0.1:1', '[::]:1']\n[[regions]]\nslug = 'a'",
            "[[regions]]\nslug = 'a'\n[tls]\ncertificate = 'a'",
        ] {
            assert!(Config::parse(text, &[]).is_err(), "{text}");
        }
    }
}
