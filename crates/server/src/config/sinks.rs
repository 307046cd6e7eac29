//! Settings of sinks: where the audit log is sent to.

use std::path::PathBuf;

use anyhow::ensure;
use serde::{Deserialize, Serialize, Serializer};

/// Bytes of a sink's name.
const NAME_BYTES_MAX: usize = 64;

/// Somewhere that records go to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SinkConfig {
    File(FileSink),
    Syslog(SyslogSink),
    Webhook(WebhookSink),
}

/// Lines in a file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    pub name: String,
    /// From the data folder.
    pub path: PathBuf,
    /// 0: never rotated.
    #[serde(default = "rotate_mebibytes")]
    pub rotate_mebibytes: u64,
    /// Files beside the one that is written.
    #[serde(default = "keep")]
    pub keep: u32,
}

/// Messages of RFC 5424 over TCP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogSink {
    pub name: String,
    /// `host:port`.
    pub address: String,
    #[serde(default)]
    pub transport: Transport,
    /// From the data folder; without it, the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How messages cross the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Tls,
    /// In clear.
    Tcp,
}

/// Signed batches over HTTPS.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSink {
    pub name: String,
    #[serde(serialize_with = "without_path")]
    pub url: String,
    /// From the data folder: what batches are signed with.
    pub secret_file: PathBuf,
    /// From the data folder; without it, the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl SinkConfig {
    pub fn name(&self) -> &str {
        match self {
            Self::File(file) => &file.name,
            Self::Syslog(syslog) => &syslog.name,
            Self::Webhook(webhook) => &webhook.name,
        }
    }
}

/// Whether every sink has a name, and no two the same one or the same file.
pub fn check(sinks: &[SinkConfig]) -> anyhow::Result<()> {
    for (at, sink) in sinks.iter().enumerate() {
        let name = sink.name();
        ensure!(
            coffer_api::slug_of(name) == *name && (1..=NAME_BYTES_MAX).contains(&name.len()),
            "sink name `{name}` must be of `a-z 0-9 -`"
        );
        ensure!(
            sinks.iter().skip(at + 1).all(|other| other.name() != name),
            "sink `{name}` stands twice"
        );
        let is_same_file = |other: &SinkConfig| match (sink, other) {
            (SinkConfig::File(one), SinkConfig::File(other)) => one.path == other.path,
            _ => false,
        };
        ensure!(
            !sinks.iter().skip(at + 1).any(is_same_file),
            "the file of sink `{name}` is another one's, too"
        );
    }
    Ok(())
}

/// SECURITY: the path of a hook may be all it takes to use it.
fn without_path<S: Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let host = host.split(['?', '#']).next().unwrap_or_default();
    to.serialize_str(&format!("{host}/(redacted)"))
}

fn rotate_mebibytes() -> u64 {
    64
}

fn keep() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn sinks_are_read_and_wrong_ones_are_refused() {
        let parse = |sinks: &str| Config::parse(&format!("[[regions]]\nslug = 'a'\n{sinks}"), &[]);
        let file = "[[audit.sinks]]\nname = 'a'\nkind = 'file'\npath = 'audit.jsonl'\n";
        let syslog = "[[audit.sinks]]\nname = 'b'\nkind = 'syslog'\naddress = 'siem:6514'\n";
        let webhook = "[[audit.sinks]]\nname = 'c-1'\nkind = 'webhook'\nurl = 'https://siem/token?token'\n\
                       secret_file = 'webhook.secret'\n";
        let config = parse(&format!("[audit]\nretention_days = 3\n{file}{syslog}{webhook}"));
        let config = config.unwrap();
        let names: Vec<_> = config.audit.sinks.iter().map(|sink| sink.name()).collect();
        assert_eq!((names, config.audit.retention_days), (vec!["a", "b", "c-1"], 3));
        let shown = toml::to_string(&config).unwrap();
        assert!(shown.contains("url = \"https://siem/(redacted)\"") && !shown.contains("token"));
        for (wrong, expected) in [
            (format!("{file}{file}"), "stands twice"),
            (file.replace("'a'", "'A b'"), "must be of"),
            (format!("{file}{}", file.replace("'a'", "'b'")), "is another one's, too"),
            (file.replace("'a'", "''"), "must be of"),
            (file.replace("'file'", "'pipe'"), "unknown variant"),
            (file.replace("path", "pat"), "did you mean `audit.sinks.path`"),
            (format!("{file}url = 'x'"), "unknown field"),
            (format!("{syslog}transport = 'udp'"), "unknown variant"),
            (webhook.replace("url", "#"), "missing field"),
        ] {
            let error = format!("{:#}", parse(&wrong).unwrap_err());
            assert!(error.contains(expected), "{wrong}: {error}");
        }
    }
}
