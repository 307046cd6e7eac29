//! Backups as an operator takes them: real processes, beside a server, killed, on a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value as Json, json};

use crate::custody::{Ended, Operator, is_kept, keep};
use crate::process::{Server, cofferd};
use crate::world::base64;

impl Operator {
    fn back_up(&self, name: &str) -> Ended {
        self.run(&["backup", self.file(name).to_str().unwrap()])
    }

    pub fn backed_up(&self, name: &str) -> PathBuf {
        let done = self.back_up(name);
        assert!(done.well, "{}", done.log);
        assert!(done.said.is_empty(), "only data goes to stdout");
        assert!(done.log.contains("backup of 20") && done.log.contains(" rows, "), "{}", done.log);
        self.file(name)
    }

    pub fn verified(&self, file: &Path) -> Ended {
        self.run(&["backup", "--verify", file.to_str().unwrap()])
    }

    /// Another machine: a folder of its own with the same root key and nothing else, as the same operator.
    pub fn elsewhere(&self) -> Self {
        let mut other = Self::new();
        other.configure("");
        other.token.clone_from(&self.token);
        fs::create_dir(other.file("data")).unwrap();
        fs::set_permissions(other.file("data"), fs::Permissions::from_mode(0o700)).unwrap();
        let key = fs::read_to_string(self.file("data/root.key")).unwrap();
        other.write_private("data/root.key", &key);
        other
    }

    pub fn restored(&self, file: &Path) {
        let done = self.run(&["restore", file.to_str().unwrap()]);
        assert!(done.well && done.said.is_empty(), "{}", done.log);
        assert!(done.log.contains("restored the backup of 20"), "{}", done.log);
        assert_eq!(self.names("data"), ["coffer.db", "root.key"]);
    }

    /// What is in a folder, but for the file that locks it.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.file(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "lock");
        names.sort_unstable();
        names
    }
}

pub(crate) fn put(server: &Server, http: &Client, path: &str, value: &str) {
    let url = format!("/v1/secrets/nl-01/secret{path}/versions");
    let (status, told) = server.json(http, "POST", &url, json!({"secretString": base64(value)}));
    assert_eq!(status, 200, "{told}");
}

/// An answer without what the clock changes after a restore: keys have one more version.
pub(crate) fn without_key_versions(mut answer: Json) -> Json {
    fn walk(part: &mut Json) {
        match part {
            Json::Object(fields) => {
                let is_key = fields.contains_key("minDecryptionVersion");
                for name in ["latestVersion", "updatedAt", "objectVersion", "versions"] {
                    if is_key {
                        fields.remove(name);
                    }
                }
                fields.values_mut().for_each(walk);
            }
            Json::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut answer);
    answer
}

#[test]
fn a_restored_store_answers_as_the_one_before() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.fill(&http);
    let server = operator.serve();
    for n in 0..5 {
        put(&server, &http, "/kept", &format!("value {n}"));
    }
    let key = json!({"name": "signs", "keyType": "ed25519"});
    assert_eq!(server.json(&http, "POST", "/v1/kms/nl-01/keys", key).0, 201);
    let sealed = json!({"plaintext": base64("sealed before")});
    let (_, sealed) = server.json(&http, "POST", "/v1/kms/nl-01/keys/k/encrypt", sealed);
    let sealed = json!({"ciphertext": sealed["ciphertext"]});
    let reads = [
        "/v1/me/organisation-memberships",
        "/v1/regions",
        "/v1/secrets/nl-01/secrets",
        "/v1/secrets/nl-01/secret/kept?includeVersions=true",
        "/v1/kms/nl-01/keys/k",
        "/v1/kms/nl-01/keys/signs/public-key",
        "/v1/iam/roles",
        "/v1/quotas",
        "/v1/memberships",
    ];
    let read = |server: &Server| -> Vec<(u16, Json)> {
        let read = |url: &&str| server.json(&http, "GET", url, Json::Null);
        let answers =
            reads.iter().map(read).inspect(|(status, told)| assert_eq!(*status, 200, "{told}"));
        answers.map(|(status, told)| (status, without_key_versions(told))).collect()
    };
    let values = |server: &Server| -> Vec<(u16, Json)> {
        let value = "/v1/secrets/nl-01/secret/kept/value";
        let versions = (1..=6).map(|version| json!({"version": version}));
        let mut all: Vec<_> =
            versions.map(|body| server.json(&http, "POST", value, body)).collect();
        let decrypt = "/v1/kms/nl-01/keys/k/decrypt";
        all.push(server.json(&http, "POST", decrypt, sealed.clone()));
        assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
        all
    };
    let log = |server: &Server| -> Vec<Json> {
        let url = "/v1/audit?limit=500&includeSystemServices=true";
        let (status, page) = server.json(&http, "GET", url, Json::Null);
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().unwrap_or_else(|| page.as_array().unwrap()).clone()
    };
    let (answers, records) = (read(&server), log(&server));
    let file = operator.backed_up("online");
    let revealed = values(&server);
    put(&server, &http, "/kept", "since the backup");
    server.kill();

    let other = operator.elsewhere();
    assert!(other.verified(&file).log.contains("whole: backup of 20"));
    other.restored(&file);
    let server = other.serve();
    assert_eq!(read(&server), answers);
    assert_eq!(values(&server), revealed);
    let after = log(&server);
    assert!(records.len() > 10);
    for record in &records {
        assert!(after.contains(record), "{record}");
    }
    let restores: Vec<_> =
        after.iter().filter(|one| one.to_string().contains("\"platform.restore\"")).collect();
    assert_eq!(restores.len(), 1);
    let head = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
    let taken_at = head.split("takenAt\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(restores[0].to_string().contains(taken_at), "{}", restores[0]);
    // Symmetric keys are replaced: nobody knows how often they have sealed since.
    let latest = |key: &str| {
        server.json(&http, "GET", &format!("/v1/kms/nl-01/keys/{key}"), Json::Null).1["latestVersion"]
            .as_i64()
            .unwrap()
    };
    let started = std::time::Instant::now();
    while latest("k") == 1 {
        assert!(started.elapsed().as_secs() < 30, "the clock does nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((latest("k"), latest("signs")), (2, 1));
    put(&server, &http, "/kept", "after the restore");
    assert_eq!(values(&server).len(), 7);
    // And once more, with nobody on it, after a crash.
    server.kill();
    let file = other.backed_up("offline");
    let third = other.elsewhere();
    third.restored(&file);
    assert_eq!(values(&third.serve()).len(), 7);
}

/// Lets the writers of a test end, however it ends.
pub(crate) struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Writers that put values while a backup is taken, each into a secret of its own.
const WRITERS: usize = 4;

/// Does something beside them.
pub(crate) fn beside_writers<T>(server: &Server, http: &Client, work: impl FnOnce() -> T) -> T {
    for writer in 0..WRITERS {
        let body = json!({"path": format!("/load/{writer}"), "kmsKeyIdentity": "k",
            "secretString": base64("0")});
        assert_eq!(server.json(http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for writer in 0..WRITERS {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    put(server, http, &format!("/load/{writer}"), &format!("{writer}"));
                }
            });
        }
        work()
    })
}

/// What was put meanwhile is there as it was at one instant: versions without a gap, a record for each.
pub(crate) fn is_of_one_instant(server: &Server, http: &Client) {
    for writer in 0..WRITERS {
        let url = format!("/v1/secrets/nl-01/secret/load/{writer}");
        let (_, told) =
            server.json(http, "GET", &format!("{url}?includeVersions=true"), Json::Null);
        let current = told["currentVersion"].as_i64().unwrap();
        let numbers = told["versions"].as_array().unwrap().iter();
        let numbers: Vec<_> = numbers.map(|v| v["version"].as_i64().unwrap()).collect();
        assert_eq!(numbers, (1..=current).collect::<Vec<_>>(), "without a gap");
        let log = format!(
            "/v1/audit?limit=1&action=secrets.putSecretValue&resourceIdentity=/load/{writer}&responseStatus=200"
        );
        let (_, page) = server.json(http, "GET", &log, Json::Null);
        assert_eq!(page["totalItems"].as_i64(), Some(current - 1), "a record for each version");
        let (status, value) = server.json(http, "POST", &format!("{url}/value"), Json::Null);
        let last = base64(if current > 1 { format!("{writer}") } else { "0".to_owned() });
        assert_eq!((status, &value["secretString"]), (200, &json!(last)));
    }
}

/// Each round: writers put values while a backup is taken and killed; under its name is nothing or a whole one. A
/// whole one holds one instant: versions without a gap, a record for each.
#[test]
fn a_backup_under_load_is_of_one_instant_and_kill_9_leaves_none() {
    let mut operator = Operator::new();
    let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    operator.configure("");
    operator.fill(&http);
    let server = operator.serve();
    let whole: Vec<_> = beside_writers(&server, &http, || {
        let mut killed = 0;
        for round in 0..12_u64 {
            let file = operator.file(&format!("killed-{round}"));
            let mut child = operator.command(&["backup", file.to_str().unwrap()]).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(7 * round));
            let _ = child.kill();
            child.wait().unwrap();
            match file.exists() {
                true => assert!(operator.verified(&file).well, "half a backup has its name"),
                false => killed += 1,
            }
        }
        assert!(killed > 2, "{killed} were killed in time");
        (0..3).map(|n| operator.backed_up(&format!("whole-{n}"))).collect()
    });
    drop(server);
    for file in whole {
        let other = operator.elsewhere();
        other.restored(&file);
        let server = other.serve();
        is_kept(&server, &http);
        is_of_one_instant(&server, &http);
    }
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_that_a_server_starts_on() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.fill(&http);
    let file = operator.backed_up("backup");
    let other = operator.elsewhere();
    let mut killed = 0;
    for round in 0..60_u64 {
        let mut child = other.command(&["restore", file.to_str().unwrap()]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(2 * round));
        let _ = child.kill();
        child.wait().unwrap();
        if other.file("data/coffer.db").exists() {
            break;
        }
        killed += 1;
        if round % 10 == 3 {
            other.refused("holds no store");
            assert_eq!(other.names("data"), ["root.key"], "a start clears what was left");
        }
    }
    assert!(killed > 2, "{killed} were killed in time");
    if !other.file("data/coffer.db").exists() {
        other.restored(&file);
    }
    is_kept(&other.serve(), &http);
}

#[test]
fn a_backup_that_is_asked_to_stop_leaves_nothing() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    // Rows that take a while.
    let database = rusqlite::Connection::open(operator.file("data/coffer.db")).unwrap();
    database
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
             INSERT INTO audit_events SELECT '', i, 'ev-' || i, '', '', '', 'auth.failure', 'caller', '',
                 'unauthenticated', '', '', '', '', '', '', '', '', 0, NULL, NULL, NULL FROM n",
        )
        .unwrap();
    drop(database);
    let file = operator.file("kept/backup");
    fs::create_dir(operator.file("kept")).unwrap();
    let child = operator.command(&["backup", file.to_str().unwrap()]).spawn().unwrap();
    while operator.names("kept").is_empty() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && log.contains("stopped"), "{log}");
    assert!(operator.names("kept").is_empty());
}

#[test]
fn a_backup_goes_through_a_pipe() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.fill(&http);
    let other = operator.elsewhere();
    let mut backup = operator.command(&["backup", "-"]).spawn().unwrap();
    let mut restore = other.command(&["restore", "-"]);
    let restored = restore.stdin(backup.stdout.take().unwrap()).output().unwrap();
    assert!(backup.wait().unwrap().success() && restored.status.success(), "{restored:?}");
    is_kept(&other.serve(), &http);
    let file = operator.backed_up("backup");
    let mut check = operator.command(&["backup", "--verify", "-"]);
    let checked = check.stdin(fs::File::open(&file).unwrap()).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    for (arguments, expected) in [
        (&["backup"][..], "required"),
        (&["backup", "a", "--verify", "b"], "cannot be used with"),
        (&["backup", "/nowhere/backup"], "cannot write /nowhere/backup"),
        (&["restore", "/nowhere/backup"], "is there already"),
    ] {
        let ended = operator.run(arguments);
        assert!(!ended.well && ended.log.contains(expected), "{arguments:?}: {}", ended.log);
    }
    let nobody = Operator::new();
    nobody.configure("");
    let ended = nobody.run(&["backup", nobody.file("backup").to_str().unwrap()]);
    assert!(!ended.well && ended.log.contains("root.key is missing"), "{}", ended.log);
    let ended = nobody.run(&["restore", file.to_str().unwrap()]);
    assert!(!ended.well && ended.log.contains("needs root key"), "{}", ended.log);
    assert!(!nobody.file("data").exists() && !nobody.file("backup").exists());
}

/// A file-size limit stands in for a full disk.
#[test]
fn a_full_disk_leaves_no_file() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    let file = operator.backed_up("backup");
    let limited = |operator: &Operator, blocks: u64, command: &str, file: &Path| {
        let run = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec {} {command} --config {} {}",
            env!("CARGO_BIN_EXE_cofferd"),
            operator.file("coffer.toml").display(),
            file.display()
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &run]).stdin(Stdio::null());
        let ended = bash.output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    fs::create_dir(operator.file("full")).unwrap();
    let blocks = fs::metadata(&file).unwrap().len() / 1024;
    // Beside a server: without one, the backup needs some space in the data folder, too.
    let server = operator.serve();
    for blocks in [0, 1, blocks / 2, blocks - 1] {
        let log = limited(&operator, blocks, "backup", &operator.file("full/backup"));
        assert!(log.contains("too large"), "{log}");
        assert!(operator.names("full").is_empty());
    }
    drop(server);
    let other = operator.elsewhere();
    for blocks in [0, 10, 100, 300] {
        limited(&other, blocks, "restore", &file);
        assert_eq!(other.names("data"), ["root.key"], "{blocks}");
    }
    other.restored(&file);
}

#[test]
fn no_output_and_no_backup_repeats_a_secret() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.bootstrap();
    let server = operator.serve();
    keep(&server, &http);
    let ended = operator.back_up("backup");
    let said = ended.said + &ended.log + &operator.verified(&operator.file("backup")).log;
    let root = fs::read_to_string(operator.file("data/root.key")).unwrap();
    let root = root.trim().split_once(':').unwrap().1;
    let bytes = fs::read(operator.file("backup")).unwrap();
    let file = String::from_utf8_lossy(&bytes);
    for secret in ["hunter2", &base64("hunter2"), root, &operator.token] {
        assert!(!said.contains(secret) && !file.contains(secret), "{secret}");
    }
    // What the database shows in clear, a backup does not.
    for name in ["/kept", "acme", "o@acme.invalid"] {
        assert!(!file.contains(name), "{name}");
    }
    let help = String::from_utf8(cofferd(&["backup", "--help"]).output().unwrap().stdout).unwrap();
    assert!(help.contains("--verify"), "{help}");
}
