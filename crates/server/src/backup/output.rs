//! Where a backup or an export is written to and read from: a file that is whole or not there, or a pipe.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Result, Stdout, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::custody::{Unfinished, WhenThere};

/// The name that stands for stdin and stdout.
pub const PIPE: &str = "-";
const BUFFER_BYTES: usize = 128 * 1024;

/// What is being written.
pub enum Output {
    Pipe(Stdout),
    File { unfinished: Unfinished, out: BufWriter<File>, target: PathBuf },
}

impl Output {
    /// SECURITY: the file is its owner's alone from its first moment.
    pub fn begin(target: &Path) -> anyhow::Result<Self> {
        if target == Path::new(PIPE) {
            return Ok(Self::Pipe(stdout()));
        }
        ensure!(target.symlink_metadata().is_err(), "{} is there already", target.display());
        let made = Unfinished::file(target);
        let (unfinished, file) =
            made.with_context(|| format!("cannot write {}", target.display()))?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self::File { unfinished, out, target: target.to_owned() })
    }

    /// Gives the file its name, once it is on the disk.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Pipe(mut out) => out.flush().context("cannot write to stdout"),
            Self::File { unfinished, out, target } => {
                let place = || {
                    let file = out.into_inner()?;
                    unfinished.place(&file, &target, WhenThere::Refuse)
                };
                place().with_context(|| format!("cannot write {}", target.display()))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Pipe(out) => out.write(bytes),
            Self::File { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Pipe(out) => out.flush(),
            Self::File { out, .. } => out.flush(),
        }
    }
}

/// Counts what goes through.
pub struct Counted<T> {
    pub inner: T,
    pub bytes: u64,
}

impl<T> Counted<T> {
    pub fn new(inner: T) -> Self {
        Self { inner, bytes: 0 }
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(out)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// What is to be read.
pub type Input = BufReader<Counted<Box<dyn Read>>>;

pub fn input(from: &Path) -> anyhow::Result<Input> {
    let open = || File::open(from).with_context(|| format!("cannot read {}", from.display()));
    let input: Box<dyn Read> = match from == Path::new(PIPE) {
        true => Box::new(stdin()),
        false => Box::new(open()?),
    };
    Ok(BufReader::with_capacity(BUFFER_BYTES, Counted::new(input)))
}
