//! A file of lines, rotated: what stands in it is whole and on the disk before anybody is told.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::Line;
use crate::config::sinks::FileSink;

/// Bytes that the end of a file is looked through at a time.
const CHUNK: u64 = 64 * 1024;

pub struct RotatedFile {
    place: Arc<Place>,
}

struct Place {
    path: PathBuf,
    /// 0: never rotated.
    rotate_bytes: u64,
    keep: u32,
}

impl RotatedFile {
    pub fn new(data: &Path, settings: &FileSink) -> Result<Self> {
        let path = data.join(&settings.path);
        ensure!(path.file_name().is_some(), "`{}` is no path of a file", settings.path.display());
        let rotate_bytes = settings.rotate_mebibytes.saturating_mul(1 << 20);
        Ok(Self { place: Arc::new(Place { path, rotate_bytes, keep: settings.keep }) })
    }

    /// Appends lines; they are on the disk then.
    pub async fn append(&self, lines: &[Line]) -> Result<()> {
        let mut text = String::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
        for line in lines {
            text.push_str(&line.text);
            text.push('\n');
        }
        let place = self.place.clone();
        tokio::task::spawn_blocking(move || place.append(text.as_bytes())).await?
    }
}

impl Place {
    fn append(&self, text: &[u8]) -> Result<()> {
        let told = || self.path.display().to_string();
        let mut file = self.open().with_context(told)?;
        let mut length = whole(&mut file).with_context(told)?;
        let size = length.saturating_add(text.len() as u64);
        if self.rotate_bytes > 0 && length > 0 && size > self.rotate_bytes {
            self.rotate().context("cannot rotate").with_context(told)?;
            file = self.open().with_context(told)?;
            length = whole(&mut file).with_context(told)?;
        }
        let written = file.write_all(text).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // No half of a line stays; where that fails as well, the next try cuts it off.
            let _ = file.set_len(length).and_then(|()| file.sync_all());
            return Err(error).with_context(told);
        }
        Ok(())
    }

    /// SECURITY: a new file is its owner's alone. Rights that the operator has given one stay.
    fn open(&self) -> Result<File> {
        let there = fs::metadata(&self.path);
        if let Ok(there) = &there {
            // Of a pipe nobody reads, opening it would not come back.
            ensure!(there.is_file(), "is no file");
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        // Somebody else who appends here would have us cut off what they are writing.
        ensure!(file.try_lock().is_ok(), "somebody else is writing to it");
        if there.is_err() {
            self.sync_folder()?;
        }
        Ok(file)
    }

    /// `NAME` becomes `NAME.1`, and so on; the last is dropped.
    fn rotate(&self) -> Result<()> {
        let missing_is_fine = |done: std::io::Result<()>| match done {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        match self.keep {
            0 => fs::remove_file(&self.path)?,
            keep => {
                for number in (1..keep).rev() {
                    missing_is_fine(fs::rename(self.rotated(number), self.rotated(number + 1)))?;
                }
                fs::rename(&self.path, self.rotated(1))?;
            }
        }
        self.sync_folder()
    }

    fn rotated(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn sync_folder(&self) -> Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

/// Cuts off what is left of a line whose writing was broken off; the length of the file.
fn whole(file: &mut File) -> Result<u64> {
    let length = file.metadata()?.len();
    let mut from = length;
    while from > 0 {
        let until = from;
        from = from.saturating_sub(CHUNK);
        let mut chunk = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&*file).take(until - from).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
            from += at as u64 + 1;
            break;
        }
    }
    if from < length {
        file.set_len(from)?;
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place(folder: &Path, keep: u32) -> Place {
        Place { path: folder.join("audit.jsonl"), rotate_bytes: 100, keep }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path(), 1);
        for (there, expected) in [
            ("", "new\n"),
            ("a\nb\n", "a\nb\nnew\n"),
            ("a\nb", "a\nnew\n"),
            ("half", "new\n"),
            ("\n", "\nnew\n"),
        ] {
            fs::write(&place.path, there).unwrap();
            place.append(b"new\n").unwrap();
            assert_eq!(fs::read_to_string(&place.path).unwrap(), expected, "{there:?}");
        }
        let long = "x".repeat(200_000);
        fs::write(&place.path, format!("a\n{long}")).unwrap();
        place.append(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "a\nnew\n");
        assert_eq!(names(folder.path()), ["audit.jsonl"]);
    }

    #[test]
    fn a_file_is_rotated_before_it_is_too_large() {
        for (keep, expected) in [
            (0, &["audit.jsonl"][..]),
            (1, &["audit.jsonl", "audit.jsonl.1"]),
            (3, &["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let place = place(folder.path(), keep);
            for number in 0..10 {
                place.append(format!("{number}{}\n", "x".repeat(48)).as_bytes()).unwrap();
            }
            assert_eq!(names(folder.path()), expected);
            let first = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
            let first = |name: &&str| first(name).split('x').next().unwrap().to_owned();
            let firsts: Vec<_> = expected.iter().map(first).collect();
            assert_eq!(firsts, ["8", "6", "4", "2"][..expected.len()]);
            let rights = fs::metadata(&place.path).unwrap().permissions().mode();
            assert_eq!(rights & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { path: "/dev/full".into(), ..place(folder.path(), 1) };
        let error = format!("{:#}", place.append(b"new\n").unwrap_err());
        assert_eq!(error, "/dev/full: is no file");
    }
}
