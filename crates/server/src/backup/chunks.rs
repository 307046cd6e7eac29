//! Chunks: a stream of bytes, cut and sealed so that a change, a gap, another order or a missing end is found.
//!
//! Each is `behind(1) ‖ length(4) ‖ seal[backup key](head, number, behind; bytes)`. `behind` is 1 for the last one.

use std::io::{Error, ErrorKind, Read, Result, Write};

use coffer_crypto::SecretBytes;
use coffer_crypto::aead::{NONCE_BYTES, TAG_BYTES};

use crate::keyring::{BackupKey, Behind, Place};

/// Bytes in a chunk, before it is sealed.
pub const CHUNK_BYTES: usize = 64 * 1024;
const SEALED_BYTES_MAX: usize = CHUNK_BYTES + NONCE_BYTES + TAG_BYTES;

/// Seals what is written to it.
pub struct Sealing<W> {
    out: W,
    key: BackupKey,
    head: Vec<u8>,
    chunk: i64,
    waiting: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    /// Writes the head, behind which the chunks come.
    pub fn begin(mut out: W, key: BackupKey, head: Vec<u8>) -> Result<Self> {
        out.write_all(&head)?;
        Ok(Self { out, key, head, chunk: 0, waiting: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Writes the last chunk. Whatever has no last one is no whole backup.
    pub fn finish(mut self) -> Result<W> {
        self.seal(Behind::Nothing)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn seal(&mut self, behind: Behind) -> Result<()> {
        let place = Place { chunk: self.chunk, behind };
        let sealed = self.key.seal(&self.head, place, &self.waiting).map_err(Error::other)?;
        let length = u32::try_from(sealed.len()).map_err(Error::other)?;
        self.out.write_all(&[u8::from(behind == Behind::Nothing)])?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.waiting.clear();
        self.chunk += 1;
        Ok(())
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        // A full chunk waits until there is more: it may be the last.
        if self.waiting.len() == CHUNK_BYTES {
            self.seal(Behind::Another)?;
        }
        let fits = bytes.len().min(CHUNK_BYTES - self.waiting.len());
        let (now, _) = bytes.split_at(fits);
        self.waiting.extend_from_slice(now);
        Ok(fits)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Opens what [`Sealing`] has sealed. Hands no byte on that was not sealed in its place.
pub struct Opening<R> {
    input: R,
    key: BackupKey,
    head: Vec<u8>,
    chunk: i64,
    behind: Behind,
    ready: SecretBytes,
    taken: usize,
}

impl<R: Read> Opening<R> {
    /// Begins behind the head.
    pub fn begin(input: R, key: BackupKey, head: Vec<u8>) -> Self {
        let ready = SecretBytes::new(Vec::new());
        Self { input, key, head, chunk: 0, behind: Behind::Another, ready, taken: 0 }
    }

    /// Makes sure that all was read, and that nothing stands behind it.
    pub fn finish(mut self) -> Result<()> {
        if self.read(&mut [0])? != 0 || self.input.read(&mut [0])? != 0 {
            return Err(damaged("something stands behind the end of the backup"));
        }
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        let mut front = [0; 5];
        self.input.read_exact(&mut front).map_err(ends_early)?;
        let [behind, length @ ..] = front;
        let behind = if behind == 1 { Behind::Nothing } else { Behind::Another };
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(Error::other)?;
        if front[0] > 1 || length > SEALED_BYTES_MAX {
            return Err(self.refused());
        }
        let mut sealed = vec![0; length];
        self.input.read_exact(&mut sealed).map_err(ends_early)?;
        let place = Place { chunk: self.chunk, behind };
        self.ready = self.key.open(&self.head, place, &sealed).map_err(|_| self.refused())?;
        (self.taken, self.behind) = (0, behind);
        self.chunk += 1;
        Ok(())
    }

    fn refused(&self) -> Error {
        damaged(&format!(
            "the backup is damaged or was changed: chunk {} does not open",
            self.chunk
        ))
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while self.taken == self.ready.len() && self.behind == Behind::Another {
            self.open()?;
        }
        let mut rest = self.ready.expose().get(self.taken..).unwrap_or_default();
        let read = rest.read(out)?;
        self.taken += read;
        Ok(read)
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn ends_early(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => damaged("the backup ends too early: a part is missing"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::Keyring;
    use coffer_crypto::RootKey;

    const HEAD: &[u8] = b"head";

    fn keyring() -> Keyring {
        Keyring::new(RootKey::parse(&RootKey::generate_text().unwrap()).unwrap(), Vec::new())
    }

    fn key(keyring: &Keyring, salt: &[u8]) -> BackupKey {
        keyring.backup_key(keyring.fingerprint(), salt).unwrap()
    }

    /// The chunks of bytes that were written in uneven pieces.
    fn sealed(keyring: &Keyring, salt: &[u8], bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut sealing = Sealing::begin(Vec::new(), key(keyring, salt), HEAD.to_vec()).unwrap();
        bytes.chunks(9973).for_each(|piece| sealing.write_all(piece).unwrap());
        let file = sealing.finish().unwrap();
        let mut rest = file.strip_prefix(HEAD).unwrap();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
            let (chunk, behind) = rest.split_at(5 + length);
            chunks.push(chunk.to_vec());
            rest = behind;
        }
        chunks
    }

    fn opened(keyring: &Keyring, head: &[u8], chunks: &[Vec<u8>]) -> Result<Vec<u8>> {
        let file = chunks.concat();
        let mut opening = Opening::begin(&file[..], key(keyring, b"salt"), head.to_vec());
        let mut bytes = Vec::new();
        opening.read_to_end(&mut bytes)?;
        opening.finish()?;
        Ok(bytes)
    }

    #[test]
    fn what_is_sealed_opens_whatever_its_length() {
        let keyring = keyring();
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let chunks = sealed(&keyring, b"salt", &bytes);
            assert_eq!(chunks.len(), length.div_ceil(CHUNK_BYTES).max(1));
            assert_eq!(opened(&keyring, HEAD, &chunks).unwrap(), bytes);
        }
    }

    /// All chunks hold the same, so that nothing but the seals can tell them apart.
    #[test]
    fn every_chunk_opens_in_its_own_place_only() {
        let keyring = keyring();
        let chunks = sealed(&keyring, b"salt", &vec![7; 5 * CHUNK_BYTES]);
        let others = sealed(&keyring, b"tlas", &vec![7; 5 * CHUNK_BYTES]);
        let refused = |what: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut changed = chunks.clone();
            change(&mut changed);
            assert!(opened(&keyring, HEAD, &changed).is_err(), "{what}");
        };
        refused("the first is gone", &|all| drop(all.remove(0)));
        refused("one is gone", &|all| drop(all.remove(2)));
        refused("the last is gone", &|all| drop(all.pop()));
        refused("one stands twice", &|all| all.insert(2, all[2].clone()));
        refused("the last stands twice", &|all| all.push(all[4].clone()));
        refused("two have changed places", &|all| all.swap(1, 2));
        refused("one is of another backup", &|all| all[1].clone_from(&others[1]));
        refused("an end before the end", &|all| {
            all.truncate(3);
            all[2][0] = 1;
        });
        refused("one more behind the end", &|all| {
            all[4][0] = 0;
            all.push(all[4].clone());
        });
        assert!(opened(&keyring, b"heaD", &chunks).is_err(), "another head");
        assert!(opened(&keyring, HEAD, &chunks).is_ok());
    }
}
