//! Every setting: its name, what it is for, and where it comes from: the file, then the environment.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::Config;

/// Every name a file may hold, sections dotted, and what it means.
pub const SETTINGS: &[(&str, &str)] = &[
    ("listen", "addresses to serve the API on, each `address:port`"),
    ("data", "folder of the store and of the root key"),
    (
        "public_url",
        "URL under which clients reach this server, and the issuer of its tokens; without it, the first address",
    ),
    ("trusted_proxies", "CIDRs whose X-Forwarded-For and X-Real-IP are believed"),
    (
        "insecure_http",
        "serve plain HTTP at addresses other than loopback: only behind something that does TLS",
    ),
    ("memory_lock", "keep memory out of swap: `try`, `require` or `off`"),
    ("tls", "HTTPS: TLS 1.2 and 1.3"),
    ("tls.certificate", "file of the certificate and those that it leads to, PEM, from `data`"),
    ("tls.key", "file of its key, PEM, from `data`; others must not be able to read it"),
    (
        "tls.client_ca",
        "file of certificates, PEM, from `data`: clients must show one that these have signed",
    ),
    ("regions", "the regions of this server, at least one"),
    ("regions.slug", "name in URLs, for example `nl-01`"),
    ("regions.name", "name for people; without it, the slug"),
    ("regions.kms", "whether keys can be used there; `true` unless said otherwise"),
    (
        "root_keys",
        "where root keys are kept: the first wraps, the others only unwrap; see [Root keys](#root-keys)",
    ),
    ("root_keys.custody", "`file`, `credential`, `descriptor` or `pkcs11`"),
    ("root_keys.file", "file of the key, from `data`; of the sealed key `root.sealed`"),
    ("root_keys.credential", "name of the service manager's credential"),
    ("root_keys.descriptor", "number of the open file descriptor"),
    ("root_keys.module", "PKCS#11 module, a shared library"),
    ("root_keys.token", "label of the token"),
    (
        "root_keys.pin_file",
        "file of the token's user PIN, from `data`, readable by its owner alone",
    ),
    ("root_keys.key", "label of the sealing key in the token; without it `coffer-root`"),
    ("store", "the database; without it SQLite in `data`"),
    ("store.url", "`postgres://user@host,host/database`"),
    ("store.password_file", "file of the database user's password, from `data`"),
    (
        "store.ca_file",
        "certificates that the database's is checked against, from `data`; without it, the system's",
    ),
    ("store.connections", "connections for changes, and as many for reads"),
    ("federation", "tokens of other issuers"),
    (
        "federation.allow_private_issuers",
        "let issuers be reached over HTTP and at private addresses",
    ),
    ("limits", "bounds on what the server takes on"),
    ("limits.connections_max", "connections at once; others wait"),
    ("limits.in_flight_max", "calls under way at once; others get 503"),
    (
        "limits.in_flight_per_organisation_max",
        "calls of one organisation under way at once; its others get 429",
    ),
    (
        "limits.requests_per_second_per_credential",
        "calls of one credential in a second, 0 = no limit; more get 429",
    ),
    (
        "limits.requests_per_second_per_organisation",
        "calls of one organisation in a second, 0 = no limit; more get 429",
    ),
    (
        "limits.auth_failures_per_minute",
        "failed authentications of an address in a minute, 0 = no limit; more get 429",
    ),
    ("limits.header_seconds", "seconds a client has for its handshake, and for a request's head"),
    ("limits.body_seconds", "seconds a client has to send a request's body"),
    ("limits.drain_seconds", "seconds that calls under way have at shutdown"),
    ("limits.cache_mebibytes", "memory for sealed values that are revealed often"),
    (
        "quotas",
        "what an organisation may have, unless an administrator sets another maximum; 0 = no bound",
    ),
    ("quotas.secrets_count", "secrets"),
    ("quotas.secrets_versions", "versions that are not destroyed"),
    ("quotas.kms_keys", "keys that are not deleted"),
    ("quotas.iam_service_accounts", "service accounts"),
    ("audit", "the audit log"),
    ("audit.retention_days", "days that records are kept, 0 = for ever"),
    ("audit.sinks", "where records are sent to beside the log; see [audit.md](audit.md#sinks)"),
    ("audit.sinks.name", "name of the sink, of `a-z 0-9 -`; another name is another sink"),
    ("audit.sinks.kind", "`file`, `syslog` or `webhook`"),
    ("audit.sinks.path", "file that lines are appended to, from `data`"),
    (
        "audit.sinks.rotate_mebibytes",
        "size at which the file is rotated, 0 = never; without it `64`",
    ),
    ("audit.sinks.keep", "rotated files that are kept; without it `10`"),
    ("audit.sinks.address", "`host:port` of the syslog receiver"),
    ("audit.sinks.transport", "`tls`, or `tcp`, which is in clear; without it `tls`"),
    (
        "audit.sinks.ca_file",
        "certificates that the receiver's is checked against, from `data`; without it, the system's",
    ),
    ("audit.sinks.url", "`https://` URL that batches are posted to; `http://` on loopback only"),
    (
        "audit.sinks.secret_file",
        "file of the secret that batches are signed with, from `data`, at least 32 bytes",
    ),
    ("metrics", "figures for Prometheus"),
    (
        "metrics.listen",
        "address to serve `/metrics`, `/healthz` and `/readyz` on, over HTTP and to anybody who reaches it",
    ),
    ("traces", "traces by OpenTelemetry; none unless a collector is named"),
    (
        "traces.endpoint",
        "URL of the collector, OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`",
    ),
    (
        "traces.ratio",
        "of the traces that begin here, the part that is sent, from 0 to 1; others as their callers want it",
    ),
];

/// What the variables that stand for settings begin with.
const PREFIX: &str = "COFFER_";

/// The variable that stands for a setting: `limits.body_seconds` is `COFFER_LIMITS_BODY_SECONDS`.
pub fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "_").to_uppercase())
}

/// Whether a variable can stand for a setting: not for a section, nor for a part of one of several.
fn has_variable(name: &str) -> bool {
    let is_section = SETTINGS.iter().any(|(other, _)| is_within(other, name));
    let in_several = SEVERAL.iter().any(|several| is_within(name, several));
    SEVERAL.contains(&name) || !is_section && !in_several
}

/// Sections that stand several times.
const SEVERAL: [&str; 3] = ["regions", "root_keys", "audit.sinks"];

fn is_within(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// Puts what the environment says in the place of what the file says. A text stands as it is, everything else as in
/// TOML.
pub fn overlay(table: &mut Table, variables: &[(String, String)]) -> Result<()> {
    let defaults = defaults()?;
    for (name, _) in SETTINGS.iter().filter(|(name, _)| has_variable(name)) {
        let variable = variable(name);
        let Some((_, text)) = variables.iter().find(|(given, _)| *given == variable) else {
            continue;
        };
        let value = match find(&defaults, name) {
            None | Some(Value::String(_)) => Value::String(text.clone()),
            Some(_) => format!("value = {text}")
                .parse::<Table>()
                .ok()
                .and_then(|mut table| table.remove("value"))
                .with_context(|| format!("{variable} is no value as in TOML"))?,
        };
        set(table, name, value).with_context(|| variable.clone())?;
    }
    Ok(())
}

fn set(table: &mut Table, name: &str, value: Value) -> Result<()> {
    match name.split_once('.') {
        None => drop(table.insert(name.to_owned(), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            set(inner.as_table_mut().context("is no section in the file")?, rest, value)?;
        }
    }
    Ok(())
}

fn defaults() -> Result<Table> {
    Ok(Table::try_from(Config::default())?)
}

/// The value of a dotted name.
fn find<'t>(table: &'t Table, name: &str) -> Option<&'t Value> {
    match name.split_once('.') {
        None => table.get(name),
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
    }
}

/// Every setting with its default and its variable, as Markdown.
pub fn as_markdown() -> Result<String> {
    let defaults = defaults()?;
    let mut text = "| setting | default | |\n| --- | --- | --- |\n".to_owned();
    for (name, about) in SETTINGS {
        let default = match find(&defaults, name) {
            None | Some(Value::Table(_)) => String::new(),
            Some(value) => format!("`{value}`"),
        };
        text += &format!("| `{name}` | {default} | {about} |\n");
    }
    Ok(text)
}

/// Fails on a name that no setting has, and tells the nearest.
pub fn check_names(section: &str, table: &Table) -> Result<()> {
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
            Value::Table(inner) => check_names(&full, inner)?,
            Value::Array(items) => items
                .iter()
                .filter_map(Value::as_table)
                .try_for_each(|inner| check_names(&full, inner))?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting, with a value that is not its default.
    const EVERYTHING: &str = include_str!("../../tests/everything.toml");

    #[test]
    fn every_setting_is_listed_and_every_listed_one_is_a_setting() {
        let config = Config::parse(EVERYTHING, &[]).unwrap();
        let shown = Table::try_from(&config).unwrap();
        check_names("", &shown).unwrap();
        for (name, _) in SETTINGS.iter().filter(|(name, _)| has_variable(name)) {
            let value = find(&shown, name).unwrap_or_else(|| panic!("{name} is read by nobody"));
            assert_ne!(find(&defaults().unwrap(), name), Some(value), "{name} is read by nobody");
        }
    }

    #[test]
    fn the_environment_says_the_same_as_the_file() {
        let file: Table = EVERYTHING.parse().unwrap();
        let variables: Vec<_> = SETTINGS
            .iter()
            .filter(|(name, _)| has_variable(name))
            .map(|(name, _)| (variable(name), find(&file, name).unwrap()))
            .map(|(name, value)| (name, value.as_str().map_or(value.to_string(), str::to_owned)))
            .collect();
        let show = |config: Config| toml::to_string(&config).unwrap();
        let from_environment = Config::parse("", &variables).unwrap();
        assert_eq!(show(from_environment), show(Config::parse(EVERYTHING, &[]).unwrap()));
    }

    #[test]
    fn the_environment_comes_second_and_wins() {
        let of = |name: &str, text: &str| {
            let text = [(name.to_owned(), text.to_owned()), ("COFFER_LOG".into(), "x".into())];
            Config::parse("[[regions]]\nslug = 'a'\n[limits]\nbody_seconds = 1\n", &text)
        };
        assert_eq!(of("COFFER_LIMITS_BODY_SECONDS", "7").unwrap().limits.body_seconds, 7);
        assert_eq!(of("COFFER_LIMITS_HEADER_SECONDS", "7").unwrap().limits.body_seconds, 1);
        assert_eq!(of("COFFER_DATA", "/x = 1").unwrap().data.to_str(), Some("/x = 1"));
        assert_eq!(of("COFFER_REGIONS", "[{slug = 'b'}]").unwrap().regions[0].slug, "b");
        for (name, text) in [
            ("COFFER_LIMITS_BODY_SECONDS", "seven"),
            ("COFFER_LIMITS_BODY_SECONDS", "7\nx = 1\n[y"),
            ("COFFER_LIMITS_BODY_SECONDS", ""),
            ("COFFER_LISTEN", "127.0.0.1:1"),
            ("COFFER_REGIONS", "[{slog = 'b'}]"),
        ] {
            let error = of(name, text).unwrap_err().to_string();
            assert!(error.contains(name) || error.contains("regions.slog"), "{error}");
        }
    }

    #[test]
    fn no_two_settings_have_one_variable() {
        let mut variables: Vec<_> = SETTINGS.iter().map(|(name, _)| variable(name)).collect();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), SETTINGS.len());
    }
}
