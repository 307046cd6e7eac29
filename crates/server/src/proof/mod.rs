//! What the audit log proves, to whoever holds the root key: verified in the store, exported, verified in an export.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `lines` | the log as lines: bases, heads, checkpoints, records |
//! | `verify` | makes every link again, checks every seal and signature |

pub mod lines;
mod verify;

use std::io::{BufRead, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::backup::{self, Counted, Output, Progress};
use crate::clock::Clock;
use crate::config::Config;
use crate::custody::{self, WhenMissing};
use crate::keyring::Keyring;
use crate::model::key::{SigningPurpose, Wrapped};
use crate::store::Snapshot;
use lines::{Export, Line};
pub use verify::Older;
use verify::{Counts, Verifier};

/// Bytes of the longest line of an export.
const LINE_MAX: u64 = 64 << 20;

/// Verifies the log in the store, whether a server serves on it or not: what there is to say of it.
pub fn verify(
    config: &Config,
    organisation: Option<&str>,
    older: Older,
    progress: &Progress,
) -> Result<String> {
    let check = || progress.check();
    let snapshot = backup::open(config, &check)?;
    let organisation = organisation.map(|name| identity_of(&snapshot, name)).transpose()?;
    let mut verifier = verifier(config, &snapshot, older)?;
    progress.begin("verifying");
    lines::of_store(&snapshot, organisation.as_deref(), |line| {
        progress.row()?;
        verifier.take(line)
    })?;
    Ok(told(&verifier.finish()?))
}

/// Verifies an export, with the keys of the store that it was taken from.
pub fn verify_file(
    config: &Config,
    from: &Path,
    older: Older,
    progress: &Progress,
) -> Result<String> {
    let check = || progress.check();
    let mut verifier = verifier(config, &backup::open(config, &check)?, older)?;
    let (mut input, mut text, mut number) = (backup::input(from)?, String::new(), 0_u64);
    progress.begin("verifying");
    loop {
        text.clear();
        number += 1;
        if input.by_ref().take(LINE_MAX).read_line(&mut text)? == 0 {
            break;
        }
        progress.row()?;
        let line: Line = serde_json::from_str(&text)
            .with_context(|| format!("line {number} is none of an export"))?;
        match (number, &line) {
            (1, Line::Export(_)) | (2.., Line::Base(_) | Line::Head(_)) => {}
            (2.., Line::Checkpoint(_) | Line::Record(_)) => {}
            _ => bail!("line {number} is not where it belongs"),
        }
        verifier.take(line).with_context(|| format!("line {number}"))?;
    }
    ensure!(number > 1, "the file is empty");
    Ok(told(&verifier.finish()?))
}

/// Writes the log as JSON Lines, that of one organisation or all of it, with what proves that it is whole.
pub fn export(
    config: &Config,
    organisation: Option<&str>,
    out: &Path,
    progress: &Progress,
) -> Result<String> {
    let check = || progress.check();
    let snapshot = backup::open(config, &check)?;
    let organisation = organisation.map(|name| identity_of(&snapshot, name)).transpose()?;
    let mut out = Counted::new(Output::begin(out)?);
    let at = jiff::Timestamp::from_microsecond(Clock::System.now())?.to_string();
    let mut write = |line: &Line| -> Result<()> {
        let written = serde_json::to_writer(&mut out, line).map_err(anyhow::Error::from);
        written.and_then(|()| Ok(out.write_all(b"\n")?)).context("cannot write the export")
    };
    progress.begin("exporting");
    write(&Line::Export(Export::new(organisation.clone(), at)))?;
    let mut lines = 0;
    lines::of_store(&snapshot, organisation.as_deref(), |line| {
        lines += 1;
        progress.row()?;
        write(&line)
    })?;
    let done = progress.finish(lines, out.bytes);
    out.inner.finish()?;
    Ok(format!("exported: {done}"))
}

fn told(counts: &Counts) -> String {
    let Counts { records, streams, checkpoints, unlinked } = counts;
    let unlinked = match unlinked {
        0 => String::new(),
        count => format!("; {count} records are older than that, and only counted"),
    };
    format!("whole: {records} records in {streams} streams, {checkpoints} checkpoints{unlinked}")
}

/// With the keys that are in the store.
fn verifier(config: &Config, snapshot: &Snapshot<'_>, older: Older) -> Result<Verifier> {
    let (first, others) = custody::root_keys(config, WhenMissing::Refuse)?;
    let keyring = Keyring::new(first, others);
    let told = |error: crate::error::Error| anyhow::anyhow!("{}", error.cause());
    let (id, wrapped) = own_key(snapshot, SigningPurpose::AuditChain)?
        .context("the store has no key of the log's chains; nothing was ever recorded")?;
    let key = keyring.open_chain_key(&id, &wrapped).map_err(told)?;
    let signer = own_key(snapshot, SigningPurpose::AuditCheckpoints)?;
    let signer = signer.map(|(id, wrapped)| keyring.open_signer(&id, &wrapped).map_err(told));
    Ok(Verifier::new(key, signer.transpose()?, older))
}

fn own_key(snapshot: &Snapshot<'_>, purpose: SigningPurpose) -> Result<Option<(String, Wrapped)>> {
    let mut found = None;
    lines::rows(snapshot, "signing_keys", |row| {
        if row.text("purpose")? == purpose.word() {
            let wrapped =
                Wrapped { root_key: row.text("root_key")?, bytes: row.bytes("wrapped_material")? };
            found = Some((row.text("key_id")?, wrapped));
        }
        Ok(())
    })?;
    Ok(found)
}

/// The identity of an organisation by that or its slug.
fn identity_of(snapshot: &Snapshot<'_>, name: &str) -> Result<String> {
    let mut found = None;
    lines::rows(snapshot, "organisations", |row| {
        let id = row.text("organisation_id")?;
        if id == name || row.text("slug")? == name {
            found = Some(id);
        }
        Ok(())
    })?;
    found.with_context(|| format!("there is no organisation `{name}`"))
}
