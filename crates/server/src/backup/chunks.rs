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
