//! Where the root key is kept: a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use coffer_crypto::RootKey;
use zeroize::Zeroizing;

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

/// Reads `root.key` in the data folder.
///
/// SECURITY: a store without its root key is never given a new one: that would be data loss made quiet.
pub fn root_key(folder: &Path, missing: WhenMissing) -> Result<RootKey> {
    let file = folder.join("root.key");
    let text = match fs::read_to_string(&file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if folder.join("coffer.db").exists() {
                bail!(
                    "{} is missing, but the store is there; put the root key back",
                    file.display()
                );
            }
            if missing == WhenMissing::Refuse {
                bail!("{} is missing; make a store with `cofferd bootstrap`", file.display());
            }
            let text = RootKey::generate_text().context("no randomness")?;
            // SECURITY: never in place of a key that has appeared since.
            write_private(&file, text.as_bytes(), WhenThere::Refuse)?;
            text
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let rights = fs::metadata(&file)?.permissions().mode();
    ensure!(rights & 0o077 == 0, "{} can be read by others; chmod 600 it", file.display());
    RootKey::parse(&text).with_context(|| format!("{} holds no root key", file.display()))
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
