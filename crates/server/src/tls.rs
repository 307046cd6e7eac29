//! HTTPS: the certificate that the server shows, taken anew when its files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use crate::config::TlsConfig;
use crate::custody;

/// What the server is known by.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    shown: RwLock<Shown>,
}

/// What new connections get.
struct Shown {
    files: Files,
    /// Seconds since 1970.
    expires_at: i64,
    config: Arc<ServerConfig>,
}

/// The files as they were read.
#[derive(PartialEq)]
struct Files {
    certificate: Vec<u8>,
    key: Zeroizing<String>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files that the settings name, relative to `folder`.
    pub fn open(settings: &TlsConfig, folder: &Path) -> Result<Self> {
        let certificate = folder.join(&settings.certificate);
        let key = folder.join(&settings.key);
        let client_ca = settings.client_ca.as_ref().map(|file| folder.join(file));
        let shown = Files::read(&certificate, &key, client_ca.as_deref())?.shown()?;
        Ok(Self { certificate, key, client_ca, shown: RwLock::new(shown) })
    }

    /// Takes the files anew; whether they have changed. What new ones are not good for, the old ones go on doing.
    pub fn renew(&self) -> Result<bool> {
        let files = Files::read(&self.certificate, &self.key, self.client_ca.as_deref())?;
        if self.shown.read().unwrap_or_else(PoisonError::into_inner).files == files {
            return Ok(false);
        }
        let shown = files.shown()?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(true)
    }

    /// Does the handshake of one more connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(shown.config.clone())
    }

    /// When the certificate ends, in seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).expires_at
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self> {
        let read = |file: &Path| {
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
        };
        // The group may: that is how service managers and clusters hand keys over.
        let text = custody::read_private(key, 0o007)
            .with_context(|| format!("the key of the certificate, {}", key.display()))?;
        Ok(Self {
            certificate: read(certificate)?,
            key: text.with_context(|| format!("there is no {}", key.display()))?,
            client_ca: client_ca.map(read).transpose()?,
        })
    }

    fn shown(self) -> Result<Shown> {
        let chain = certificates(&self.certificate).context("`tls.certificate`")?;
        let first = chain.first().context("`tls.certificate` holds no certificate")?;
        let parsed = x509_cert::Certificate::from_der(first)
            .map_err(|error| anyhow::anyhow!("`tls.certificate`: {error}"))?;
        let until = parsed.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .ok()
            .context("`tls.key` holds no private key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(pem).context("`tls.client_ca`")? {
                    roots.add(root).context("`tls.client_ca`")?;
                }
                ensure!(!roots.is_empty(), "`tls.client_ca` holds no certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .context("`tls.certificate` and `tls.key` do not go together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let expires_at = i64::try_from(until).unwrap_or(i64::MAX);
        Ok(Shown { files: self, expires_at, config: Arc::new(config) })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok().context("is no PEM")
}
