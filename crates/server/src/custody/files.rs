//! Root keys in files, credentials and descriptors.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use zeroize::Zeroizing;

use super::{Custody, WhenThere, write_private};

/// A file that only its owner can read.
pub fn file(path: &Path) -> Custody {
    let (read, kept) = (path.to_owned(), path.to_owned());
    Custody {
        place: path.display().to_string(),
        read: Box::new(move || read_private(&read, 0o077)),
        keep: Some(Box::new(move |text| write_private(&kept, text.as_bytes(), WhenThere::Refuse))),
    }
}

/// A credential that the service manager hands over in its folder (systemd: `LoadCredentialEncrypted=`).
pub fn credential(folder: Option<&Path>, name: &str) -> Custody {
    let path = folder.map(|folder| folder.join(name));
    Custody {
        place: format!("credential {name}"),
        read: Box::new(move || {
            let path = path.as_deref();
            let path = path.context("no CREDENTIALS_DIRECTORY: nobody hands credentials over")?;
            // The folder is closed to others; systemd lets the service's user in by an access control list,
            // which shows as rights of the group.
            read_private(path, 0o007)
        }),
        keep: None,
    }
}

/// An open file descriptor, read to its end once.
pub fn descriptor(number: i32) -> Custody {
    Custody {
        place: format!("file descriptor {number}"),
        read: Box::new(move || {
            // Taken over rather than opened again by name, which the user may have no right to.
            let own = pidfd_open(getpid(), PidfdFlags::empty())?;
            let taken = pidfd_getfd(own, number, PidfdGetfdFlags::empty());
            read_text(File::from(taken.context("is not open")?)).map(Some)
        }),
        keep: None,
    }
}

/// A file's text, if there is one.
///
/// SECURITY: refused when any of the `forbidden` rights is given.
pub fn read_private(path: &Path, forbidden: u32) -> Result<Option<Zeroizing<String>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let rights = file.metadata()?.permissions().mode();
    ensure!(rights & forbidden == 0, "{} can be read by others; chmod 600 it", path.display());
    read_text(file).with_context(|| path.display().to_string()).map(Some)
}

/// The text of a small file, in a buffer that never grows and so leaves no copies.
fn read_text(file: File) -> Result<Zeroizing<String>> {
    const BYTES_MAX: u64 = 4096;
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX as usize + 1));
    file.take(BYTES_MAX + 1).read_to_string(&mut text).context("cannot be read")?;
    ensure!(text.len() as u64 <= BYTES_MAX, "is longer than {BYTES_MAX} bytes");
    Ok(text)
}
