//! What is made under a name of its own first, so that its real name never stands for half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coffer_crypto::random;

/// Ends the names of what is still being made.
const UNFINISHED: &str = ".unfinished";

/// What to do with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenThere {
    Replace,
    Refuse,
}

/// A file or a folder that is still being made. It is removed when this is dropped; a crash leaves it.
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// A new file beside `target`, with rights 0600.
    pub fn file(target: &Path) -> Result<(Self, File)> {
        let fresh = fresh_name(target)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        Ok((Self(fresh), file))
    }

    /// A new folder beside `target`, with rights 0700.
    pub fn folder(target: &Path) -> Result<Self> {
        let fresh = fresh_name(target)?;
        fs::DirBuilder::new().mode(0o700).create(&fresh)?;
        Ok(Self(fresh))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the file its name, once it is on the disk.
    pub fn place(self, file: &File, target: &Path, there: WhenThere) -> Result<()> {
        file.sync_all()?;
        match there {
            WhenThere::Replace => fs::rename(&self.0, target)?,
            WhenThere::Refuse => name_once(&self.0, target)?,
        }
        drop(self);
        sync_folder_of(target)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What has its name by now is no longer there under this one.
        let _ = remove(&self.0);
    }
}

/// Gives a file a name that nothing has yet: in one step where there are hard links.
fn name_once(fresh: &Path, target: &Path) -> Result<()> {
    match fs::hard_link(fresh, target) {
        Err(error)
            if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) =>
        {
            match target.symlink_metadata() {
                Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(fresh, target),
            }
        }
        linked => linked,
    }
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes what a crash has left half-made, or under a second name.
pub fn remove_unfinished(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// A name that nobody else writes to.
fn fresh_name(target: &Path) -> Result<PathBuf> {
    let unique = random::array::<8>().map_err(Error::other)?;
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{:016x}{UNFINISHED}", u64::from_be_bytes(unique)));
    Ok(PathBuf::from(name))
}
