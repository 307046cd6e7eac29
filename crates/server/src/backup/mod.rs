//! Backups: the whole store in one sealed stream, and a new store out of one.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `head` | two lines in clear: format, versions, time, root keys |
//! | `chunks` | the stream, cut and sealed |
//! | `records` | what is in it: tables, rows, a manifest |
//! | `restore` | a new store out of it |
//! | `output`, `progress` | files and pipes; how far it is |
//!
//! The rows are read through the schema and not copied with the file, so that another store can be filled with them: one
//! in a folder out of one on a PostgreSQL server, and the other way round.

mod chunks;
mod head;
mod output;
mod progress;
mod records;
mod restore;

use std::io::{IsTerminal, Read, stdout};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::Clock;
use crate::config::Config;
use crate::custody::{self, WhenMissing};
use crate::keyring::{BackupKey, Keyring};
use crate::store::{Check, Snapshot};
use chunks::{Opening, Sealing};
use head::Head;

use records::Manifest;

pub use output::{Counted, Output, PIPE, input};
pub use progress::Progress;
pub use restore::restore;

/// Writes a backup of the store to `out`, whether a server serves on it or not: what there is to say of it.
pub fn make(config: &Config, out: &Path, progress: &Progress) -> Result<String> {
    let (first, others) = custody::root_keys(config, WhenMissing::Refuse)?;
    let keyring = Keyring::new(first, others);
    let is_shown = out == Path::new(PIPE) && stdout().is_terminal();
    ensure!(!is_shown, "a backup is nothing to look at; name a file");
    let mut output = Counted::new(Output::begin(out)?);
    progress.begin("reading");
    let (head, manifest) = write(config, &keyring, &mut output, progress)?;
    let done = progress.finish(manifest.rows(), output.bytes);
    output.inner.finish()?;
    Ok(format!("backup of {}, {}: {done}", head.taken_at, needed(&head)))
}

/// Checks a backup from its first byte to its last: what there is to say of it.
pub fn verify(config: &Config, from: &Path, progress: &Progress) -> Result<String> {
    let mut input = input(from)?;
    let (head, head_bytes) = Head::read(&mut input)?;
    let keyring = keyring_for(&head, config)?;
    progress.begin("checking");
    let manifest = read(&mut input, &keyring, (&head, head_bytes), |_| progress.row())?;
    let done = progress.finish(manifest.rows(), input.get_ref().bytes);
    Ok(format!("whole: backup of {}, {}: {done}", head.taken_at, needed(&head)))
}

#[expect(clippy::disallowed_methods, reason = "this is the room that reads whole tables")]
/// Reads the store as it is now.
pub fn open<'c>(config: &Config, check: Check<'c>) -> Result<Snapshot<'c>> {
    match config.store.url {
        None => Snapshot::open(&config.data),
        Some(_) => Snapshot::connect(&config.store, &config.data, check),
    }
}

fn write(
    config: &Config,
    keyring: &Keyring,
    output: &mut Counted<Output>,
    progress: &Progress,
) -> Result<(Head, Manifest)> {
    let check = || progress.check();
    let snapshot = open(config, &check)?;
    let taken_at = jiff::Timestamp::from_microsecond(Clock::System.now())?.to_string();
    let mut root_keys = snapshot.root_keys()?;
    root_keys.retain(|name| name != keyring.fingerprint());
    root_keys.insert(0, keyring.fingerprint().to_owned());
    let head = Head::new(snapshot.schema(), taken_at, root_keys)?;
    let bytes = head.bytes()?;
    let key = keyring.backup_key(head.sealed_under(), &head.salt()?)?;
    let mut sealing = Sealing::begin(output, key, bytes.clone())?;
    let manifest = records::write(&snapshot, &bytes, &mut sealing, &|| progress.row());
    // The database can let go of what was erased since, however long the rest takes.
    drop(snapshot);
    let manifest = manifest.context("the backup is not finished")?;
    sealing.finish().context("the backup is not finished")?;
    Ok((head, manifest))
}

/// Reads all that is behind the head.
fn read(
    input: impl Read,
    keyring: &Keyring,
    (head, bytes): (&Head, Vec<u8>),
    each: impl FnMut(records::Record<'_>) -> Result<()>,
) -> Result<Manifest> {
    let key: BackupKey = keyring.backup_key(head.sealed_under(), &head.salt()?)?;
    let mut opening = Opening::begin(input, key, bytes.clone());
    let manifest = records::read(&mut opening, &bytes, each)?;
    opening.finish()?;
    Ok(manifest)
}

/// The root keys that are at hand, if all that a backup needs are among them.
fn keyring_for(head: &Head, config: &Config) -> Result<Keyring> {
    let (keys, places) = custody::look_for_root_keys(config);
    let is_there = |name: &String| keys.iter().any(|key| key.fingerprint() == name);
    let missing = head.root_keys.iter().filter(|name| !is_there(name)).map(String::as_str);
    let missing: Vec<_> = missing.collect();
    let mut keys = keys.into_iter();
    match (keys.next(), missing.is_empty()) {
        (Some(first), true) => Ok(Keyring::new(first, keys.collect())),
        _ => bail!(
            "this backup needs root key {}; looked at: {}. Put it there, or name its place under `root_keys` in \
             the configuration; without it nobody can open the backup",
            missing.join(" and "),
            places.join(", ")
        ),
    }
}

fn needed(head: &Head) -> String {
    let keys = if head.root_keys.len() == 1 { "root key" } else { "root keys" };
    format!("which needs {keys} {}", head.root_keys.join(" and "))
}
