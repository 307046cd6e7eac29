//! Where a PostgreSQL server is, and which of several takes changes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::postgres::unavailable;
use super::sql;
use crate::config::StoreConfig;
use crate::error::{Error, Result};

/// What every connection is set to. Statements end before callers give up; a server that hangs within a transaction
/// keeps its rows from others for less than they wait.
const SETTINGS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '5s'; SET client_min_messages = 'warning'";
/// Longer than any statement may run. A server that is silent for so long hangs, is gone without a word, or waits for
/// another one to have what it is to commit, for which PostgreSQL knows no bound.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// How long a thread looks for the server that takes changes.
const SEARCH: Duration = Duration::from_secs(10);
const SEARCHES: usize = 8;
/// How long a silence is held against the server that was thought to take changes.
const DOUBT: Duration = Duration::from_secs(60);
/// How often it is asked then who does.
const LOOKS: usize = 6;

/// Where the database is.
pub(super) struct Server {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    /// The highest one seen. What is on a lower one has been replaced, whatever it says of itself.
    timeline: AtomicU32,
    /// When a server last did not answer.
    silent_at: Mutex<Option<Instant>>,
}

impl Server {
    /// Of the settings. Passwords cross no network in clear text: beyond this machine, TLS is a must.
    pub fn new(settings: &StoreConfig, folder: &Path) -> anyhow::Result<Self> {
        let url = settings.url.as_deref().context("no `store.url`")?;
        // The parser's own words could repeat the password.
        let mut config = tokio_postgres::Config::from_str(url).map_err(|_| {
            anyhow::anyhow!("`store.url` is no URL such as postgres://user@host/database")
        })?;
        if let Some(file) = &settings.password_file {
            let file = folder.join(file);
            let unreadable = || format!("{} cannot be read", file.display());
            let rights = file.metadata().with_context(unreadable)?.permissions().mode();
            ensure!(rights & 0o077 == 0, "{} can be read by others; chmod 600 it", file.display());
            let password = std::fs::read_to_string(&file).with_context(unreadable)?;
            config.password(password.trim_end_matches('\n'));
        }
        let is_here = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => ["localhost", "127.0.0.1", "::1"].contains(&name.as_str()),
        };
        if !config.get_hosts().iter().all(is_here) {
            ensure!(
                config.get_ssl_mode() != SslMode::Disable,
                "`store.url` turns TLS off, and the database is on another machine"
            );
            config.ssl_mode(SslMode::Require);
        }
        config.application_name("cofferd");
        // Of several hosts, the one that takes changes; each time in another order, so that one that hangs keeps nobody
        // from the others.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.load_balance_hosts(LoadBalanceHosts::Random);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(2));
        }
        // A machine that is gone without a word is noticed within seconds, not within hours.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(10));
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_idle(Duration::from_secs(5));
            config.keepalives_interval(Duration::from_secs(2));
            config.keepalives_retries(3);
        }
        let tls = MakeRustlsConnect::new(tls(settings.ca_file.as_deref(), folder)?);
        Ok(Self { config, tls, timeline: AtomicU32::new(0), silent_at: Mutex::new(None) })
    }

    /// Connects to the server that takes changes. After a silence there may be two that say they do, and which of them
    /// is asked first is chance: the one with the higher timeline has replaced the other.
    pub async fn connect(&self) -> Result<Connected> {
        let known = self.timeline.load(Ordering::SeqCst);
        let mut best = self.find().await?;
        if self.config.get_hosts().len() > 1 && self.is_in_doubt() {
            for _ in 1..LOOKS {
                if best.timeline > known {
                    break;
                }
                best = match self.find().await {
                    Ok(other) if other.timeline > best.timeline => other,
                    _ => best,
                };
            }
        }
        Ok(best)
    }

    /// Somebody has waited for an answer in vain.
    pub fn was_silent(&self) {
        *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_in_doubt(&self) -> bool {
        let silent_at = self.silent_at.lock().unwrap_or_else(PoisonError::into_inner);
        silent_at.is_some_and(|at| at.elapsed() < DOUBT)
    }

    /// Finds a server that says it takes changes, and that none is known to have replaced.
    async fn find(&self) -> Result<Connected> {
        // Twice what one address has: then it is silent behind an open port.
        let patience = self.config.get_connect_timeout().map_or(ANSWER, |timeout| *timeout * 2);
        let started = Instant::now();
        let mut why = Error::unavailable("postgres: no answer");
        for _ in 0..SEARCHES {
            match tokio::time::timeout(patience, self.greet()).await {
                Ok(Ok(connected)) => {
                    let newest = self.timeline.fetch_max(connected.timeline, Ordering::SeqCst);
                    if connected.timeline >= newest {
                        return Ok(connected);
                    }
                    why = Error::unavailable("postgres: the server has been replaced");
                }
                // Every host was asked.
                Ok(Err(error)) => return Err(unavailable(&error)),
                Err(_) => {}
            }
            if started.elapsed() > SEARCH {
                break;
            }
        }
        Err(why)
    }

    async fn greet(&self) -> std::result::Result<Connected, tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let hears = warned.clone();
        let drive = std::future::poll_fn(move |context| {
            loop {
                match ready!(connection.poll_message(context)) {
                    Some(Ok(AsyncMessage::Notice(_))) => hears.store(true, Ordering::SeqCst),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
        });
        #[expect(clippy::disallowed_methods, reason = "it ends with the client, on this thread")]
        tokio::spawn(drive);
        client.batch_execute(SETTINGS).await?;
        let timeline = match client.simple_query(sql::FIND_TIMELINE).await {
            Ok(messages) => messages.iter().find_map(timeline_of).unwrap_or_default(),
            // Engines that speak the protocol may not have it.
            Err(error) if error.code().is_some() => 0,
            Err(error) => return Err(error),
        };
        Ok(Connected { client, warned, timeline })
    }
}

fn timeline_of(message: &SimpleQueryMessage) -> Option<u32> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    u32::from_str_radix(row.get(0)?.get(..8)?, 16).ok()
}

/// A connection to the server that takes changes.
pub(super) struct Connected {
    pub client: Client,
    /// The server has warned of something.
    pub warned: Arc<AtomicBool>,
    /// 0 where there is none.
    pub timeline: u32,
}

impl Server {
    /// Whether a connection of this timeline leads to a server that another one has replaced.
    pub fn has_left(&self, timeline: u32) -> bool {
        timeline < self.timeline.load(Ordering::SeqCst)
    }
}

fn tls(ca_file: Option<&Path>, folder: &Path) -> anyhow::Result<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    match ca_file.map(|file| folder.join(file)) {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = || format!("{} holds no certificates", file.display());
            for certificate in CertificateDer::pem_file_iter(&file).with_context(unreadable)? {
                roots.add(certificate.with_context(unreadable)?)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> anyhow::Result<Server> {
        let settings = StoreConfig { url: Some(url.to_owned()), ..StoreConfig::default() };
        Server::new(&settings, Path::new("/nowhere"))
    }

    #[test]
    fn nothing_crosses_a_network_in_clear_text() {
        for (url, mode) in [
            ("postgres://c@db.example.com/coffer", Some(SslMode::Require)),
            ("postgres://c@db.example.com/coffer?sslmode=prefer", Some(SslMode::Require)),
            ("postgres://c@db.example.com/coffer?sslmode=disable", None),
            ("postgres://c@127.0.0.1,10.0.0.1/coffer?sslmode=disable", None),
            ("postgres://c@127.0.0.1/coffer?sslmode=disable", Some(SslMode::Disable)),
            ("postgres://c@localhost/coffer", Some(SslMode::Prefer)),
            ("postgres:///coffer?host=/run/postgresql&user=c", Some(SslMode::Prefer)),
        ] {
            let made = server(url).ok().map(|server| server.config.get_ssl_mode());
            assert_eq!(made, mode, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_told_without_its_password() {
        let told = server("postgres://c:hunter2@[/coffer").err().map(|error| format!("{error:#}"));
        assert!(told.is_some_and(|told| told.contains("store.url") && !told.contains("hunter2")));
    }
}
