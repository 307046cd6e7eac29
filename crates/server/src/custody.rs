//! Where root keys are kept: a file, a credential of the service manager, a PKCS#11 token.

mod files;
mod token;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use coffer_crypto::RootKey;
use zeroize::Zeroizing;

use crate::config::{Config, RootKeyConfig};

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
    let mut keys = Vec::new();
    for root_key in &config.root_keys {
        let custody = Custody::new(root_key, &config.data);
        keys.push(match custody.find()? {
            Some(key) => key,
            None if config.data.join("coffer.db").exists() => bail!(
                "{} is missing, but the store is there; put the root key back, or make a further one \
                 with `cofferd root-key`",
                custody.place
            ),
            None if missing == WhenMissing::Refuse => {
                bail!("{} is missing; make a store with `cofferd bootstrap`", custody.place)
            }
            None => custody.make()?,
        });
    }
    let mut keys = keys.into_iter();
    let first = keys.next().context("`root_keys` is empty")?;
    Ok((first, keys.collect()))
}

/// Makes what is missing of the configured root keys, beside one at least that is there: place, fingerprint
/// and whether it is new.
pub fn complete_root_keys(config: &Config) -> Result<Vec<(String, String, bool)>> {
    let all: Vec<_> = config.root_keys.iter().map(|key| Custody::new(key, &config.data)).collect();
    let found = all.iter().map(Custody::find).collect::<Result<Vec<_>>>()?;
    ensure!(
        found.iter().any(Option::is_some) || !config.data.join("coffer.db").exists(),
        "no root key of the store is there; put one back before a further one is made"
    );
    let completed = all.iter().zip(found).map(|(custody, key)| {
        let is_new = key.is_none();
        let key = key.map_or_else(|| custody.make(), Ok)?;
        Ok((custody.place.clone(), key.fingerprint().to_owned(), is_new))
    });
    completed.collect()
}

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenThere {
    Replace,
    Refuse,
}

/// Writes a file with rights 0600 so that a crash leaves the old one or the new one, whole.
pub fn write_private(file: &Path, bytes: &[u8], there: WhenThere) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let fresh = file.with_extension("fresh");
        // Left from a crash, it may be another name of the file itself: unlinked, never written through.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        match there {
            WhenThere::Replace => fs::rename(&fresh, file)?,
            WhenThere::Refuse => {
                fs::hard_link(&fresh, file)?;
                fs::remove_file(&fresh)?;
            }
        }
        match file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}
