//! Where root keys are kept: a file, a credential of the service manager, a PKCS#11 token.

mod files;
mod token;
mod unfinished;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use coffer_crypto::RootKey;
use zeroize::Zeroizing;

use crate::config::{Config, RootKeyConfig};

pub use files::read_private;
pub use unfinished::{Unfinished, WhenThere, remove_unfinished, sync_folder_of};

/// What to do when there is no root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenMissing {
    Make,
    Refuse,
}

/// Makes the data folder, readable by its owner alone, or checks that it is so.
pub fn prepare_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let rights = fs::metadata(folder)?.permissions().mode();
    ensure!(rights & 0o077 == 0, "{} can be read by others; chmod 700 it", folder.display());
    Ok(())
}

/// A place that keeps a root key.
pub struct Custody {
    /// The place for people, with nothing secret in it.
    pub place: String,
    /// Reads the key's text, if there is one.
    read: Box<dyn Fn() -> Result<Option<Zeroizing<String>>>>,
    /// Keeps a new key's text, where the place can; never in place of another one.
    keep: Option<Keep>,
}

type Keep = Box<dyn Fn(&str) -> Result<()>>;

impl Custody {
    /// The custody that the configuration names.
    pub fn new(config: &RootKeyConfig, data: &Path) -> Self {
        match config {
            RootKeyConfig::File { file } => files::file(&data.join(file)),
            RootKeyConfig::Credential { credential, folder } => {
                files::credential(folder.as_deref(), credential)
            }
            RootKeyConfig::Descriptor { descriptor } => files::descriptor(*descriptor),
            RootKeyConfig::Pkcs11(token) => token::custody(token, &data.join(&token.file)),
        }
    }

    /// The root key, if there is one.
    pub fn find(&self) -> Result<Option<RootKey>> {
        let text = (self.read)().with_context(|| self.place.clone())?;
        let key = text.map(|text| RootKey::parse(&text));
        key.transpose().with_context(|| format!("{} holds no root key", self.place))
    }

    /// Makes a root key there, and reads it back.
    pub fn make(&self) -> Result<RootKey> {
        let Some(keep) = &self.keep else {
            bail!("{} holds no root key, and cannot be given one from here", self.place);
        };
        let text = RootKey::generate_text().context("no randomness")?;
        keep(&text).with_context(|| self.place.clone())?;
        self.find()?.with_context(|| format!("{} has lost its new root key", self.place))
    }
}

/// Every root key of the configuration, the wrapping one first.
///
/// SECURITY: a store without its root key is never given a new one: that would be data loss made quiet.
pub fn root_keys(config: &Config, missing: WhenMissing) -> Result<(RootKey, Vec<RootKey>)> {
    let mut all = config.root_keys.iter().map(|key| Custody::new(key, &config.data));
    let first = all.next().context("`root_keys` is empty")?;
    let key = match first.find()? {
        Some(key) => key,
        None if config.data.join("coffer.db").exists() && config.root_keys.len() > 1 => {
            bail!("{} is missing; `cofferd root-key` makes it", first.place)
        }
        None if config.data.join("coffer.db").exists() => {
            bail!("{} is missing, but the store is there; put the root key back", first.place)
        }
        None if missing == WhenMissing::Refuse => {
            bail!("{} is missing; make a store with `cofferd bootstrap`", first.place)
        }
        None => first.make()?,
    };
    let mut others = Vec::new();
    for custody in all {
        match custody.find()? {
            Some(other) if other.fingerprint() == key.fingerprint() => {
                bail!("{} holds the same root key as {}", custody.place, first.place)
            }
            Some(other) => others.push(other),
            // Whether the store needs it is found out from the store.
            None => tracing::warn!("{} is missing", custody.place),
        }
    }
    Ok((key, others))
}

/// Makes what is missing of the configured root keys, as far as it can be made from here: a line on each.
pub fn complete_root_keys(config: &Config) -> Result<Vec<String>> {
    prepare_folder(&config.data)?;
    let mut lines = Vec::new();
    for root_key in &config.root_keys {
        let custody = Custody::new(root_key, &config.data);
        let place = &custody.place;
        lines.push(match custody.find() {
            Ok(Some(key)) => format!("root key {} is there: {place}", key.fingerprint()),
            Ok(None) if custody.keep.is_some() => {
                ensure!(
                    config.root_keys.len() > 1 || !config.data.join("coffer.db").exists(),
                    "{place} is missing, but the store is there; put the root key back"
                );
                format!("root key {} is made: {place}", custody.make()?.fingerprint())
            }
            Err(error) if custody.keep.is_some() => return Err(error),
            Ok(None) => format!("no root key, and none can be made from here: {place}"),
            Err(error) => format!("cannot be read from here: {error:#}"),
        });
    }
    Ok(lines)
}

/// Every root key of the configuration that is at hand, and what was found in each place, for people.
///
/// For opening a backup: unlike a server, that does with whichever key the backup is under.
pub fn look_for_root_keys(config: &Config) -> (Vec<RootKey>, Vec<String>) {
    let (mut keys, mut places) = (Vec::new(), Vec::new());
    for root_key in &config.root_keys {
        let custody = Custody::new(root_key, &config.data);
        let place = &custody.place;
        places.push(match custody.find() {
            Ok(Some(key)) => {
                let line = format!("{place} (root key {})", key.fingerprint());
                keys.push(key);
                line
            }
            Ok(None) => format!("{place} (nothing there)"),
            Err(error) => format!("{error:#}"),
        });
    }
    (keys, places)
}

/// Writes a file with rights 0600 so that a crash leaves the old one or the new one, whole.
pub fn write_private(file: &Path, bytes: &[u8], there: WhenThere) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let (unfinished, mut out) = Unfinished::file(file)?;
        out.write_all(bytes)?;
        unfinished.place(&out, file, there)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}
