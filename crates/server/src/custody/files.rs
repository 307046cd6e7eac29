//! Root keys in files, credentials and descriptors.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use zeroize::Zeroizing;

use super::{Custody, WhenThere, write_private};

/// A file that only its owner can read.
pub fn file(path: &Path) -> Custody {
    let (read, kept) = (path.to_owned(), path.to_owned());
    Custody {
        place: path.display().to_string(),
        read: Box::new(move || read_private(&read)),
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
            read_private(path.context("no CREDENTIALS_DIRECTORY: nobody hands credentials over")?)
        }),
        keep: None,
    }
}

/// An open file descriptor, read to its end once.
pub fn descriptor(number: u32) -> Custody {
    Custody {
        place: format!("file descriptor {number}"),
        read: Box::new(move || {
            let text = fs::read_to_string(format!("/dev/fd/{number}")).map(Zeroizing::new);
            text.map(Some).context("cannot be read")
        }),
        keep: None,
    }
}

/// A file's text, if there is one.
///
/// SECURITY: refused when others can read it, or write it.
pub fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>> {
    let text = match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let rights = fs::metadata(path)?.permissions().mode();
    ensure!(rights & 0o077 == 0, "{} can be read by others; chmod 600 it", path.display());
    Ok(Some(text))
}
