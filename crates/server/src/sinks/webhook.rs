//! Batches that are posted to a URL, each signed.

use std::path::Path;

use anyhow::{Context, Result};
use coffer_crypto::mac::MacKey;
use coffer_crypto::{Digest, Hasher, SecretBytes};

use super::Line;
use crate::config::sinks::WebhookSink;
use crate::custody;
use crate::egress::own::Hook;

pub struct Receiver {
    hook: Hook,
    secret: MacKey,
}

impl Receiver {
    pub fn new(data: &Path, settings: &WebhookSink) -> Result<Self> {
        let ca_file = settings.ca_file.as_ref().map(|file| data.join(file));
        let hook = Hook::new(&settings.url, ca_file.as_deref()).context("`url`")?;
        let file = data.join(&settings.secret_file);
        let text = custody::read_private(&file, 0o007)?;
        let text = text.with_context(|| format!("{} is missing", file.display()))?;
        let secret = SecretBytes::new(text.trim_end().as_bytes().to_vec());
        let secret = MacKey::of_secret(Digest::Sha256, &secret).ok();
        let secret = secret.with_context(|| {
            format!("{} holds less than {} bytes", file.display(), Digest::Sha256.bytes())
        })?;
        Ok(Self { hook, secret })
    }

    pub async fn post(&self, lines: &[Line], now: i64) -> Result<()> {
        let body: String = lines.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect();
        let seconds = now / 1_000_000;
        let signature = self.secret.sign(format!("{seconds}.{body}").as_bytes());
        let headers = [
            ("content-type", "application/x-ndjson".to_owned()),
            // The same for the same batch, whenever it comes again.
            ("coffer-delivery", digest(&body)),
            ("coffer-signature", format!("t={seconds},v1={}", hex(&signature))),
        ];
        self.hook.post(&headers, body).await
    }
}

fn digest(text: &str) -> String {
    let mut hasher = Hasher::new(Digest::Sha256);
    hasher.update(text.as_bytes());
    hex(&hasher.finish())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
