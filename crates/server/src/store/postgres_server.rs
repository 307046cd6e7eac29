//! Where a PostgreSQL server is, and which of several takes changes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
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
/// How long a silence is held against the server that was thought to take changes.
const DOUBT: Duration = Duration::from_secs(60);

/// Where the database is.
pub(super) struct Server {
    /// One for each host.
    hosts: Vec<tokio_postgres::Config>,
    tls: MakeRustlsConnect,
    /// The highest one seen. What is on a lower one has been replaced, whatever it says of itself.
    timeline: AtomicU32,
    /// When a server last did not answer, and its timeline.
    silent: Mutex<Option<(Instant, u32)>>,
}

impl super::Store {
    /// What can be known of the settings without a database.
    pub fn check_settings(settings: &StoreConfig, folder: &Path) -> anyhow::Result<()> {
        settings.url.as_ref().map_or(Ok(()), |_| Server::new(settings, folder).map(drop))
    }
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
            // The group may: that is how clusters hand secrets over.
            ensure!(rights & 0o007 == 0, "{} can be read by others; chmod 600 it", file.display());
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
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
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
        let count = config.get_hosts().len().max(config.get_hostaddrs().len());
        let hosts = (0..count.max(1)).map(|host| only(&config, host)).collect();
        Ok(Self { hosts, tls, timeline: AtomicU32::new(0), silent: Mutex::new(None) })
    }

    /// Connects to the server that takes changes: asks all hosts at once, so that one that hangs keeps nobody from the
    /// others. The first that says it does is taken, unless a server has been silent: then there may be two that say
    /// so, and the one with the higher timeline has replaced the other.
    pub async fn connect(&self) -> Result<Connected> {
        let is_in_doubt = self.hosts.len() > 1 && self.is_in_doubt();
        let mut asked: FuturesUnordered<_> =
            self.hosts.iter().map(|host| self.greet_in_time(host)).collect();
        let (mut best, mut why): (Option<Connected>, _) = (None, None);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(other) => {
                    let is_replaced = self.has_left(other.timeline);
                    if best.as_ref().is_none_or(|best| other.timeline > best.timeline) {
                        best = Some(other);
                    }
                    if !is_in_doubt && !is_replaced {
                        break;
                    }
                }
                Err(error) => why = Some(error),
            }
        }
        let Some(best) = best else {
            return Err(why.unwrap_or_else(|| Error::unavailable("postgres: no host")));
        };
        let newest = self.timeline.fetch_max(best.timeline, Ordering::SeqCst);
        match best.timeline >= newest {
            true => Ok(best),
            false => Err(Error::unavailable("postgres: the server has been replaced")),
        }
    }

    /// Somebody has waited in vain for an answer of a server of this timeline.
    pub fn was_silent(&self, timeline: u32) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        *silent = Some((Instant::now(), timeline));
    }

    /// Whether the server that was thought to take changes was silent, and no later one is known.
    fn is_in_doubt(&self) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.is_some_and(|(at, timeline)| at.elapsed() < DOUBT && !self.has_left(timeline))
    }

    async fn greet_in_time(&self, host: &tokio_postgres::Config) -> Result<Connected> {
        // Twice what one address has: then it is silent behind an open port.
        let patience = host.get_connect_timeout().map_or(ANSWER, |timeout| *timeout * 2);
        match tokio::time::timeout(patience, self.greet(host)).await {
            Ok(greeted) => greeted.map_err(|error| unavailable(&error)),
            Err(_) => Err(Error::unavailable("postgres: no answer")),
        }
    }

    async fn greet(
        &self,
        host: &tokio_postgres::Config,
    ) -> std::result::Result<Connected, tokio_postgres::Error> {
        let (client, mut connection) = host.connect(self.tls.clone()).await?;
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

/// The settings of one host of several.
fn only(all: &tokio_postgres::Config, host: usize) -> tokio_postgres::Config {
    let mut one = tokio_postgres::Config::new();
    match all.get_hosts().get(host) {
        Some(Host::Tcp(name)) => {
            one.host(name);
        }
        Some(Host::Unix(folder)) => {
            one.host_path(folder);
        }
        None => {}
    }
    if let Some(address) = all.get_hostaddrs().get(host) {
        one.hostaddr(*address);
    }
    // One port is that of all hosts.
    if let Some(port) = all.get_ports().get(host).or(all.get_ports().first()) {
        one.port(*port);
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(name) = all.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(timeout) = all.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = all.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = all.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
    one.ssl_mode(all.get_ssl_mode()).ssl_negotiation(all.get_ssl_negotiation());
    one.channel_binding(all.get_channel_binding());
    one.target_session_attrs(all.get_target_session_attrs());
    one
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
            let made = server(url).ok().map(|server| server.hosts[0].get_ssl_mode());
            assert_eq!(made, mode, "{url}");
        }
    }

    #[test]
    fn each_host_has_the_settings_of_all() {
        let url = "postgres://c:p@a.example.com:1,b.example.com:2,10.0.0.3:3/coffer?options=-csearch_path%3Dx\
                   &connect_timeout=7&keepalives_retries=9&sslmode=require&sslnegotiation=direct";
        let together = server(url).unwrap();
        for (at, host) in ["a.example.com:1", "b.example.com:2", "10.0.0.3:3"].iter().enumerate() {
            let alone = url.replace("a.example.com:1,b.example.com:2,10.0.0.3:3", host);
            let mut alone = server(&alone).unwrap();
            let whole = tokio_postgres::Config::from_str(
                &url.replace("a.example.com:1,b.example.com:2,10.0.0.3:3", host),
            )
            .unwrap();
            assert_eq!(together.hosts[at], alone.hosts.remove(0));
            assert_eq!(together.hosts[at].get_options(), whole.get_options());
        }
        let one_port = server("postgres://c@a,b:5/coffer").unwrap();
        assert!(one_port.hosts.iter().map(|host| host.get_ports()).eq([[5432], [5]]));
        assert_eq!(
            server("user=c dbname=x host=/run,/tmp port=5").unwrap().hosts[1].get_ports(),
            [5]
        );
    }

    #[test]
    fn what_is_no_url_is_told_without_its_password() {
        let told = server("postgres://c:hunter2@[/coffer").err().map(|error| format!("{error:#}"));
        assert!(told.is_some_and(|told| told.contains("store.url") && !told.contains("hunter2")));
    }
}
