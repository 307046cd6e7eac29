//! Reads the sources: who imports whom, and what stands in one file only.

use std::fs;
use std::path::{Path, PathBuf};

/// The table of imports: a room and the rooms of this crate that it may use. Below the line stand the rooms
/// that everybody may use.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("http", &["auth", "secrets", "kms", "iam", "platform", "audit", "app", "load", "tls"]),
    ("jobs", &["secrets", "kms", "iam", "platform", "audit", "sinks", "gate", "app"]),
    ("sinks", &["gate", "app", "store", "proof", "egress", "custody"]),
    ("dev", &["platform", "kms", "gate", "app", "custody"]),
    ("proof", &["backup", "custody", "keyring", "store"]),
    ("backup", &["platform", "audit", "app", "custody", "keyring", "store"]),
    ("auth", &["gate", "app", "keyring"]),
    ("secrets", &["budget", "gate", "app", "store", "values"]),
    ("kms", &["budget", "gate", "app", "keyring", "lane", "store"]),
    ("iam", &["gate", "app", "store"]),
    ("platform", &["gate", "app", "store"]),
    ("audit", &["gate", "app", "keyring", "store"]),
    ("budget", &["gate", "app", "keyring", "store"]),
    ("gate", &["app", "directory", "keyring", "store"]),
    ("app", &["directory", "issuers", "keyring", "lane", "load", "store", "values"]),
    ("directory", &["store"]),
    ("values", &["store"]),
    ("issuers", &["egress"]),
    ("egress", &[]),
    ("keyring", &[]),
    ("lane", &[]),
    ("load", &[]),
    ("tls", &["custody"]),
    ("store", &[]),
    ("custody", &[]),
    ("memory", &[]),
    ("metrics", &[]),
    ("traces", &["egress"]),
    ("config", &[]),
    ("clock", &[]),
    ("model", &[]),
    ("error", &[]),
];
const EVERYBODY_MAY: &[&str] = &["model", "error", "clock", "config", "metrics", "traces"];
/// `model`, `error`, `clock` and `config` are below everything: they may use each other downwards only.
const LOWEST: &[(&str, &[&str])] = &[
    ("model", &["error"]),
    ("config", &["error"]),
    ("clock", &["error"]),
    ("error", &[]),
    ("custody", &["config"]),
    ("memory", &["config"]),
    ("metrics", &[]),
    ("traces", &["config", "egress"]),
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, files),
                false => files.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let name = |file: &PathBuf| file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let mut sources: Vec<_> =
        files.iter().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect();
    sources.sort();
    sources
}

/// The source without its tests and comments; nothing of a file that is `#![cfg(test)]` as a whole.
fn code(text: &str) -> String {
    let text = text.split("cfg(test)]").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    for (file, text) in sources() {
        let from = room(&file);
        if from == "cofferd" || from == "lib" {
            continue;
        }
        let find = |table: &[(&str, &'static [&'static str])]| {
            table.iter().find(|(room, _)| *room == from).map(|(_, rooms)| *rooms)
        };
        let allowed =
            find(MAY_IMPORT).unwrap_or_else(|| panic!("{file} is in no room of the table"));
        let everybody = if find(LOWEST).is_some() { &[] } else { EVERYBODY_MAY };
        let lowest = find(LOWEST).unwrap_or_default();
        for part in code(&text).split("crate::").skip(1) {
            let to: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let ok = to == from
                || allowed.contains(&&*to)
                || everybody.contains(&&*to)
                || lowest.contains(&&*to);
            assert!(ok, "{file} imports {to}, which `{from}` may not");
        }
    }
}

#[test]
fn one_thing_stands_in_one_file() {
    for (file, text) in sources() {
        let code = code(&text);
        for (word, home) in [
            ("StatusCode", "http/reply.rs"),
            ("SELECT ", "store/sql.rs"),
            ("INSERT INTO", "store/sql.rs"),
            ("UPDATE ", "store/sql.rs"),
            ("DELETE FROM", "store/sql.rs"),
            ("rusqlite::", "store/"),
            ("SecretPath::parse", "http/secret_url.rs secrets/mod.rs"),
            ("Timestamp::now", "clock.rs"),
            ("Caller::new", "directory.rs"),
            ("RootKey::", "custody.rs keyring.rs"),
            ("reqwest::", "egress"),
            ("lookup_host", "egress.rs"),
            ("TcpStream", "egress"),
            ("dangerous::", "model/jwks.rs"),
        ] {
            let at_home = home.split(' ').any(|home| file.starts_with(home));
            assert!(
                at_home || !code.contains(word),
                "`{word}` stands in {file}, not only in {home}"
            );
        }
    }
}

#[test]
fn the_guide_lists_the_settings_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let table = coffer_server::config::settings::as_markdown().unwrap();
    assert!(
        guide.contains(&table),
        "put what `cofferd config settings` prints into docs/operating.md"
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not begin with `//!`");
        // The list of statements is one list, however long.
        let is_list = file.ends_with("store/sql.rs");
        assert!(is_list || text.lines().count() <= 500, "{file} is longer than 500 lines");
    }
}

#[test]
fn secret_types_cannot_be_printed_or_copied() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, name) in [
        ("crypto/src/secret_bytes.rs", "pub struct SecretBytes"),
        ("crypto/src/root.rs", "pub struct RootKey"),
        ("crypto/src/aead.rs", "pub struct Key"),
        ("api/src/secret_text.rs", "pub struct SecretText"),
        ("api/src/secret_text.rs", "pub struct KeyValues"),
        ("server/src/model/secret.rs", "pub struct NewValue"),
        ("crypto/src/rsa.rs", "pub struct RsaKey"),
        ("crypto/src/ecdsa.rs", "pub struct EcdsaKey"),
        ("crypto/src/ed25519.rs", "pub struct Ed25519Key"),
        ("crypto/src/mac.rs", "pub struct MacKey"),
        ("crypto/src/algorithm.rs", "pub enum Ready"),
        ("server/src/keyring/material.rs", "pub struct Fresh"),
        ("server/src/keyring/signing.rs", "pub struct SigningKey"),
        ("server/src/keyring/backup.rs", "pub struct BackupKey"),
        ("server/src/auth/token_endpoint.rs", "pub struct Granted"),
        ("server/src/keyring/allowance.rs", "pub struct Permit"),
        ("server/src/secrets/value.rs", "pub struct Revealed"),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let before = text.split(name).next().unwrap();
        let attributes = before.rsplit("\n\n").next().unwrap();
        assert!(text.contains(name), "{file} has no `{name}`");
        assert!(!attributes.contains("#[derive"), "`{name}` derives something");
    }
}

/// Whether one may fail at will is for the tests to say: nothing else turns the feature on.
#[test]
fn no_server_is_built_with_faults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for manifest in ["Cargo.toml", "crates/server/Cargo.toml", "crates/cli/Cargo.toml"] {
        let text = fs::read_to_string(root.join(manifest)).unwrap();
        let (shipped, _) = text.split_once("[dev-dependencies]").unwrap_or((&text, ""));
        assert!(!shipped.contains("\"faults\"") && !shipped.contains("\ndefault = "), "{manifest}");
    }
}

#[test]
fn the_inner_crates_do_no_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (folder, words) in [
        (
            "api/src",
            &["std::fs", "std::io", "std::net", "std::env", "tokio", "async ", "unsafe"][..],
        ),
        (
            "crypto/src",
            &[
                "std::fs",
                "std::io",
                "std::net",
                "std::env",
                "tokio",
                "async ",
                "unsafe",
                "SystemTime",
                "Instant",
                ".unwrap()",
                ".expect(",
                "panic!",
                "rusqlite",
            ][..],
        ),
    ] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let code = code(&fs::read_to_string(&path).unwrap());
            for word in words {
                assert!(!code.contains(word), "{} has `{word}`", path.display());
            }
        }
    }
}
