//! The head of a backup, in clear: what somebody needs to know before anything can be opened.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::store::SCHEMA_VERSION;

/// Begins every backup; the number of the format follows.
const MAGIC: &str = "coffer-backup-";
const FORMAT: &str = "1";
/// A line has less.
const LINE_BYTES_MAX: u64 = 4096;
const SALT_BYTES: usize = 32;

/// What stands in the second line, as JSON.
///
/// SECURITY: the bytes of both lines are bound into every chunk, so that what was changed here opens nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The version of the server that made it.
    pub coffer: String,
    /// How many migrations had run on the store.
    pub schema: usize,
    pub taken_at: String,
    /// Fingerprints: the first is the one that the backup is sealed under, each is needed for what is in it.
    pub root_keys: Vec<String>,
    /// The salt of the backup's key, base64.
    salt: String,
}

impl Head {
    /// Of a backup that is sealed under the first of these root keys.
    pub fn new(schema: usize, taken_at: String, root_keys: Vec<String>) -> Result<Self> {
        let salt = coffer_crypto::random::array::<SALT_BYTES>().context("no randomness")?;
        let coffer = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Self { coffer, schema, taken_at, root_keys, salt: STANDARD.encode(salt) })
    }

    /// The two lines.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(format!("{MAGIC}{FORMAT}\n{}\n", serde_json::to_string(self)?).into_bytes())
    }

    /// Reads the two lines of a backup that can be read here, and the same as bytes.
    pub fn read(input: &mut impl BufRead) -> Result<(Self, Vec<u8>)> {
        let first = line(input)?;
        let format = first.strip_prefix(MAGIC.as_bytes()).and_then(|rest| rest.strip_suffix(b"\n"));
        let format = format.context("this is no backup of Coffer")?;
        ensure!(
            format == FORMAT.as_bytes(),
            "the backup has another format than {FORMAT}, which this cofferd reads; use a newer cofferd"
        );
        let second = line(input)?;
        let head = serde_json::from_slice::<Self>(&second);
        let Some(head) = head.ok().filter(Self::names_root_keys) else {
            bail!("the head of the backup is damaged");
        };
        ensure!(
            head.schema <= SCHEMA_VERSION,
            "the backup has schema {}, this cofferd knows {SCHEMA_VERSION}; use a newer cofferd",
            head.schema
        );
        Ok((head, [first, second].concat()))
    }

    /// What is told to people before anything is proven must be what it should be.
    fn names_root_keys(&self) -> bool {
        let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_hexdigit());
        !self.root_keys.is_empty() && self.root_keys.iter().all(is_name)
    }

    /// The fingerprint of the root key that the backup is sealed under.
    pub fn sealed_under(&self) -> &str {
        self.root_keys.first().map_or("", String::as_str)
    }

    pub fn salt(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.salt).context("the head of the backup is damaged")
    }
}

/// A line with its end; what there is of one where there is no end.
fn line(input: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    read.context("the backup cannot be read")?;
    Ok(line)
}
