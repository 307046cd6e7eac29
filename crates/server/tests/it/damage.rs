//! A store's file that is cut off or overwritten is told at start, in words that help, and left as it is.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::process::{cofferd, dev};

/// What `cofferd dev` says of a folder on which it does not start.
fn refusal(folder: &Path) -> String {
    let data = folder.to_str().unwrap();
    let ended = cofferd(&["dev", "--listen", "127.0.0.1:0", "--data", data]).output().unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_damaged_file_is_told_at_start() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("data");
    dev(&folder).stop();
    let file = folder.join("coffer.db");
    let whole = fs::read(&file).unwrap();
    let pages = whole.len() as u64 / 4096;
    for (what, damage) in [
        (
            "cut off",
            &(|| OpenOptions::new().write(true).open(&file)?.set_len(pages / 2 * 4096))
                as &dyn Fn() -> std::io::Result<()>,
        ),
        ("no database", &|| {
            overwrite(&file, 0, b"nothing of SQLite");
            Ok(())
        }),
        ("a torn page", &|| {
            (pages / 4..pages / 2).for_each(|page| overwrite(&file, page * 4096, &[0xa5; 512]));
            Ok(())
        }),
        ("empty pages", &|| {
            (pages / 2..pages).for_each(|page| overwrite(&file, page * 4096, &[0; 4096]));
            Ok(())
        }),
    ] {
        damage().unwrap();
        let damaged = fs::read(&file).unwrap();
        let said = refusal(&folder);
        assert!(
            said.contains("coffer.db is damaged") && said.contains("restore a backup"),
            "{what}: {said}"
        );
        let left = fs::read(&file).unwrap();
        let differs = left.iter().zip(&damaged).position(|(left, damaged)| left != damaged);
        let lengths = (left.len(), damaged.len());
        assert!(left == damaged, "{what}: it is not left as it is, {lengths:?}, {differs:?}");
        fs::write(&file, &whole).unwrap();
    }
    dev(&folder).stop();
}
