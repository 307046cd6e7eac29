//! Calls to what the operator has named in the settings: at any address, bounded in time, never redirected.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Url, redirect};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::literal;

/// For name, connection, TLS, what is sent and the answer together.
pub const TIME_MAX: Duration = Duration::from_secs(10);

/// A URL that is posted to.
pub struct Hook {
    client: Client,
    url: Url,
}

impl Hook {
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self> {
        let url = check(url)?;
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .timeout(TIME_MAX)
            .tls_backend_preconfigured(trust(ca_file)?)
            .build()?;
        Ok(Self { client, url })
    }

    /// Posts a body; well when that is answered with any 2xx.
    pub async fn post(&self, headers: &[(&'static str, String)], body: String) -> Result<()> {
        let mut request = self.client.post(self.url.clone());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        // SECURITY: whoever has the URL of a hook may have all it takes to use it.
        let answer = request.body(body).send().await.map_err(reqwest::Error::without_url)?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => bail!("it answered {status}"),
        }
    }
}

/// https anywhere; http only to this host itself.
fn check(text: &str) -> Result<Url> {
    let url = Url::parse(text).context("is no URL")?;
    let host = url.host_str().unwrap_or_default();
    let is_here = host == "localhost" || literal(host).is_some_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => bail!("must begin with `https://`, but for an address of this host itself"),
        _ => bail!("must begin with `https://`"),
    }
    ensure!(
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none(),
        "must have neither credentials nor a fragment"
    );
    Ok(url)
}

/// A host and a port, with TLS or without.
pub struct Peer {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Peer {
    /// At `host:port`, in clear.
    pub fn in_clear(address: &str) -> Result<Self> {
        let parts = address.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?))
        });
        let (host, port) = parts.with_context(|| format!("`{address}` is not `host:port`"))?;
        ensure!(!host.is_empty(), "`{address}` is not `host:port`");
        Ok(Self { host, port, tls: None })
    }

    /// At `host:port`, with TLS.
    pub fn with_tls(address: &str, ca_file: Option<&Path>) -> Result<Self> {
        let peer = Self::in_clear(address)?;
        let name = ServerName::try_from(peer.host.clone())
            .with_context(|| format!("`{}` is no name of a host", peer.host))?;
        let connector = TlsConnector::from(Arc::new(trust(ca_file)?));
        Ok(Self { tls: Some((connector, name)), ..peer })
    }

    /// Sends all of it on a connection of its own, says that it is all, and waits until the other side has read to
    /// that and closes.
    pub async fn send(&self, bytes: &[u8]) -> Result<()> {
        match tokio::time::timeout(TIME_MAX, self.exchange(bytes)).await {
            Ok(sent) => sent,
            Err(_) => bail!("it did not take everything in {} seconds", TIME_MAX.as_secs()),
        }
    }

    async fn exchange(&self, bytes: &[u8]) -> Result<()> {
        let connection = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(connection),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), connection).await?),
        };
        stream.write_all(bytes).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut said = [0; 1024];
        loop {
            match stream.read(&mut said).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // Many close without the word of TLS that they do.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The certificates of a file, or those of the system.
fn trust(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    match ca_file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = || format!("{} holds no certificates", file.display());
            for certificate in CertificateDer::pem_file_iter(file).with_context(unreadable)? {
                roots.add(certificate.with_context(unreadable)?)?;
            }
            ensure!(!roots.is_empty(), unreadable());
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_posted_in_clear_beyond_this_host() {
        for (url, is_good) in [
            ("https://siem.example.com/hook?a=b", true),
            ("https://10.0.0.1:8443/", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://siem.example.com/", false),
            ("http://localhost.example.com/", false),
            ("https://a:b@siem.example.com/", false),
            ("https://siem.example.com/#x", false),
            ("ftp://siem.example.com/", false),
            ("siem.example.com", false),
            ("", false),
        ] {
            assert_eq!(check(url).is_ok(), is_good, "{url}");
        }
    }

    #[test]
    fn a_peer_has_a_host_and_a_port() {
        for (address, expected) in [
            ("siem:6514", Some(("siem", 6514))),
            ("[::1]:514", Some(("::1", 514))),
            ("10.0.0.1:1", Some(("10.0.0.1", 1))),
            ("siem", None),
            (":514", None),
            ("siem:", None),
            ("siem:99999", None),
            ("/dev/log", None),
        ] {
            let peer = Peer::in_clear(address).ok();
            let parts = peer.as_ref().map(|peer| (peer.host.as_str(), peer.port));
            assert_eq!(parts, expected, "{address}");
        }
    }
}
