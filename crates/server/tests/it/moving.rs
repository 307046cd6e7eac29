//! Backups of a store on a PostgreSQL server, and moving from one kind of store to the other, with real processes. Left
//! out where the tests have no server.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use reqwest::blocking::Client;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::{Value as Json, json};

use crate::backup::{beside_writers, is_of_one_instant, put, without_key_versions};
use crate::backup_format::{contents, fill_every_table};
use crate::custody::{Operator, is_kept};
use crate::process::Server;
use crate::world::{base64, fresh_root, postgres, schema_of_its_own, select};

/// A database that nobody has used, by its URL.
pub(crate) fn database() -> Option<String> {
    let Some(url) = postgres() else {
        println!("left out: COFFER_TEST_POSTGRES names no server");
        return None;
    };
    schema_of_its_own(&url).now_or_never().unwrap().url
}

/// How much of Coffer is in a database: tables, and rows of `schema_versions` that say a restore is not finished.
fn found(url: &str) -> (usize, usize) {
    let tables = select(url, "SELECT 1 FROM pg_tables WHERE schemaname = current_schema()").len();
    let marked = match tables {
        0 => 0,
        _ => select(url, "SELECT 1 FROM schema_versions WHERE version = 0").len(),
    };
    (tables, marked)
}

impl Operator {
    /// Another machine with the same root key, whose store is the database of this URL.
    fn on(&self, url: &str) -> Self {
        let other = self.elsewhere();
        other.configure(&format!("[store]\nurl = '{url}'\nconnections = 4"));
        other
    }

    fn restored_into_database(&self, file: &Path) {
        let done = self.run(&["restore", file.to_str().unwrap()]);
        assert!(done.well && done.said.is_empty(), "{}", done.log);
        assert!(done.log.contains("restored the backup of 20"), "{}", done.log);
        assert_eq!(self.names("data"), ["root.key"]);
    }

    /// Does not restore, with this in the log.
    fn not_restored(&self, file: &Path, expected: &str) {
        let done = self.run(&["restore", file.to_str().unwrap()]);
        assert!(!done.well && done.log.contains(expected), "{expected}: {}", done.log);
    }

    /// Begins a restore that gets half of the file and waits for the rest.
    fn half_restored(&self, url: &str, file: &Path) -> (Child, Vec<u8>) {
        let mut bytes = fs::read(file).unwrap();
        let rest = bytes.split_off(bytes.len() / 2);
        let mut command = self.command(&["restore", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
        let started = Instant::now();
        while found(url).1 == 0 {
            assert!(started.elapsed().as_secs() < 60, "nothing is marked");
            std::thread::sleep(Duration::from_millis(20));
        }
        (child, rest)
    }
}

/// The root key that a backup is sealed under.
fn root_key_of(file: &Path) -> String {
    let bytes = fs::read(file).unwrap();
    let head = String::from_utf8_lossy(&bytes).lines().nth(1).unwrap().to_owned();
    let head: Json = serde_json::from_str(&head).unwrap();
    head["rootKeys"][0].as_str().unwrap().to_owned()
}

/// A store on SQLite with a secret in it, and more rows than go at once.
fn filled(rows: u32) -> (Operator, PathBuf) {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    let database = Connection::open(operator.file("data/coffer.db")).unwrap();
    let more = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO audit_events SELECT '', i, 'ev-' || i, '', '', '', 'auth.failure', 'caller', '',
             'unauthenticated', '', '', '', '', '', '', '', '', 0, NULL, NULL, NULL FROM n"
    );
    database.execute_batch(&more).unwrap();
    drop(database);
    let file = operator.backed_up("backup");
    (operator, file)
}

/// The rows of a store on SQLite without what restores leave in it: their records, and seals nobody has counted.
fn without_restores(folder: &Path, restores: i64) -> BTreeMap<String, Vec<Vec<Value>>> {
    let mut all = contents(folder);
    let is_of_restore = |row: &Vec<Value>| row.contains(&Value::Text("platform.restore".into()));
    let streams: Vec<_> = all["audit_events"]
        .iter()
        .filter(|row| is_of_restore(row))
        .map(|row| row[19].clone())
        .collect();
    all.get_mut("audit_events").unwrap().retain(|row| !is_of_restore(row));
    all.get_mut("audit_heads").unwrap().retain(|row| !streams.contains(&row[1]));
    for value in all.get_mut("kms_key_versions").unwrap().iter_mut().flatten() {
        if let Value::Integer(number) = value
            && (restores << 30..1 << 40).contains(number)
        {
            *number -= restores << 30;
        }
    }
    all
}

#[test]
fn every_row_goes_to_postgresql_and_back() {
    let Some(url) = database() else { return };
    let (operator, file) = filled(3);
    let data = operator.file("data");
    fill_every_table(&data, &root_key_of(&file));
    let before = without_restores(&data, 0);
    assert!(before.len() > 20 && before.values().all(|rows| !rows.is_empty()));
    let first = operator.backed_up("full");
    let there = operator.on(&url);
    there.restored_into_database(&first);
    for (table, rows) in contents(&data) {
        let count = select(&url, &format!("SELECT COUNT(*) FROM {table}"));
        let more = if ["audit_events", "audit_heads"].contains(&&*table) { 2 } else { 0 };
        assert!(count[0][0] == (rows.len() + more).to_string(), "{table}: {count:?}");
    }
    // Two of the same rows have the same behind their heads, but for what seals it.
    let (second, third) = (there.backed_up("second"), there.backed_up("third"));
    let length = |file: &Path| {
        let bytes = fs::read(file).unwrap();
        bytes.splitn(3, |byte| *byte == b'\n').last().unwrap().len()
    };
    assert_eq!(length(&second), length(&third));
    let rows = |file: &Path| {
        let log = there.verified(file).log;
        let rows = log.split(": ").last().unwrap().split(" rows").next().unwrap();
        rows.replace(',', "").parse::<usize>().unwrap()
    };
    assert_eq!(rows(&second), rows(&first) + 4, "what the restore has recorded");
    let back = operator.elsewhere();
    back.restored(&second);
    let after = without_restores(&back.file("data"), 2);
    for (table, rows) in &before {
        assert_eq!(rows, &after[table], "{table}");
    }
    assert_eq!(before.len(), after.len());
}

/// What somebody sees of a store.
struct Seen {
    answers: Vec<(u16, Json)>,
    values: Vec<(u16, Json)>,
}

/// Every record of the log.
fn log(server: &Server, http: &Client) -> Vec<Json> {
    let log = "/v1/audit?limit=500&includeSystemServices=true";
    let (status, page) = server.json(http, "GET", log, Json::Null);
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap_or_else(|| page.as_array().unwrap()).clone()
}

/// An answer without what looking at it changes, and what the clock changes after a restore.
fn lasting(answer: Json) -> Json {
    fn walk(part: &mut Json) {
        match part {
            Json::Object(fields) => {
                fields.remove("lastAccessedAt");
                fields.values_mut().for_each(walk);
            }
            Json::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    let mut answer = without_key_versions(answer);
    walk(&mut answer);
    answer
}

fn see(server: &Server, http: &Client, known: &Known) -> Seen {
    let reads = [
        "/v1/me/organisation-memberships",
        "/v1/regions",
        "/v1/secrets/nl-01/secrets",
        "/v1/secrets/nl-01/secret/kept?includeVersions=true",
        "/v1/kms/nl-01/keys/k",
        "/v1/iam/roles",
        "/v1/memberships",
        "/v1/service-accounts",
        "/v1/quotas",
    ];
    let read = |url: &&str| server.json(http, "GET", url, Json::Null);
    let answers: Vec<_> = reads.iter().map(read).collect();
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    let answers = answers.into_iter().map(|(status, told)| (status, lasting(told))).collect();
    let value = "/v1/secrets/nl-01/secret/kept/value";
    let mut values: Vec<_> = (1..=6)
        .map(|version| server.json(http, "POST", value, json!({"version": version})))
        .collect();
    let refused = (values[0].0, values[1].0, values[5].0);
    assert_eq!(refused, (200, 400, 200), "the second was destroyed: {values:?}");
    let sealed = known.sealed.clone();
    values.push(server.json(http, "POST", "/v1/kms/nl-01/keys/k/decrypt", sealed));
    for (method, url, authorization) in
        [("POST", value, &known.machine), ("GET", "/v1/me", &known.member)]
    {
        let url = format!("{}{url}", server.env["COFFER_ENDPOINT"]);
        let call =
            http.request(method.parse().unwrap(), url).header("authorization", authorization);
        let answer = call.header("x-organisation-identity", "acme").send().unwrap();
        values.push((answer.status().as_u16(), answer.json().unwrap()));
    }
    assert!(values[6..].iter().all(|(status, _)| *status == 200), "{values:?}");
    Seen { answers, values }
}

/// What somebody has of a store: a machine's credential, a member's token, and what a key has sealed.
struct Known {
    machine: String,
    member: String,
    sealed: Json,
}

/// A secret with a policy and versions of which one is destroyed, a rotated key, a service account, a second member.
fn lived_in(server: &Server, http: &Client) -> Known {
    let ok = |method: &str, url: &str, body: Json| {
        let (status, told) = server.json(http, method, url, body);
        assert!((200..300).contains(&status), "{method} {url}: {status} {told}");
        told
    };
    let sealed =
        ok("POST", "/v1/kms/nl-01/keys/k/encrypt", json!({"plaintext": base64("sealed before")}));
    for n in 0..5 {
        put(server, http, "/kept", &format!("value {n}"));
        if n == 2 {
            ok("POST", "/v1/kms/nl-01/keys/k/rotate", Json::Null);
        }
    }
    ok("DELETE", "/v1/secrets/nl-01/secret/kept/versions?version=2", Json::Null);
    let policy =
        json!({"conditions": [{"type": "ip", "effect": "allow", "cidrs": ["127.0.0.1/32"]}]});
    ok("PUT", "/v1/secrets/nl-01/secret/kept/policy", json!({"accessPolicy": policy}));
    ok("POST", "/v1/service-accounts", json!({"name": "ci"}));
    let bind = json!({"name": "b", "serviceAccountIdentity": "ci", "userIdentity": null, "teamIdentity": null});
    ok("POST", "/v1/iam/roles/secrets-full-access/bindings", bind);
    let made = ok("POST", "/v1/service-accounts/ci/access-credentials", json!({"name": "c"}));
    let pair = [&made["accessKey"], &made["accessSecret"]].map(|part| part.as_str().unwrap());
    let invited = ok("POST", "/v1/invites", json!({"email": "new@acme.invalid"}));
    let accept = format!("{}/v1/invites/accept", server.env["COFFER_ENDPOINT"]);
    let accept = http.post(accept).json(&json!({"inviteCode": invited["inviteCode"]}));
    let accepted: Json = accept.send().unwrap().json().unwrap();
    Known {
        machine: format!("Basic {}", base64(pair.join(":"))),
        member: format!("Bearer {}", accepted["token"].as_str().unwrap()),
        sealed: json!({"ciphertext": sealed["ciphertext"]}),
    }
}

#[test]
fn a_store_moves_to_postgresql_and_back_and_answers_the_same() {
    let Some(url) = database() else { return };
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.fill(&http);
    let server = operator.serve();
    let known = lived_in(&server, &http);
    let create = |server: &Server| {
        let body = json!({"path": "/once", "kmsKeyIdentity": "k", "secretString": base64("x")});
        let call = server.call(&http, "POST", "/v1/secrets/nl-01/secrets").json(&body);
        let answer = call.header("idempotency-key", "only-once").send().unwrap();
        let replayed = answer.headers().contains_key("idempotency-replayed");
        (answer.status().as_u16(), replayed, answer.json::<Json>().unwrap())
    };
    let first = create(&server);
    assert_eq!((first.0, first.1), (201, false));
    let records = log(&server, &http);
    assert!(records.len() > 20);
    // While it serves; what comes after is not in it.
    let file = operator.backed_up("online");
    let before = see(&server, &http, &known);
    put(&server, &http, "/kept", "since the backup");
    server.kill();

    let there = operator.on(&url);
    there.restored_into_database(&file);
    let same = |server: &Server| {
        let after = see(server, &http, &known);
        assert_eq!(after.answers, before.answers);
        assert_eq!(after.values, before.values);
        let now = log(server, &http);
        for record in &records {
            assert!(now.contains(record), "{record}");
        }
        now.iter().filter(|one| one.to_string().contains("\"platform.restore\"")).count()
    };
    let server = there.serve();
    assert_eq!(same(&server), 1);
    assert_eq!(create(&server), (201, true, first.2.clone()), "answered as before");
    // A used database is refused, and nothing happens to it.
    operator.on(&url).not_restored(&file, "never overwritten");
    let second = there.backed_up("from-postgresql");
    put(&server, &http, "/kept", "since the second backup");
    assert_eq!(server.stop().0, Some(0));
    there.not_restored(&file, "never overwritten");

    let back = operator.elsewhere();
    back.restored(&second);
    let server = back.serve();
    assert_eq!(same(&server), 2);
    assert_eq!(create(&server), (201, true, first.2));
    put(&server, &http, "/kept", "on SQLite again");
    drop(server);
    // From one database to another, too.
    let Some(other) = database() else { return };
    let other = operator.on(&other);
    other.restored_into_database(&second);
    assert_eq!(same(&other.serve()), 2);
}

/// Writers put values while backups are taken: each holds one instant, versions without a gap and a record for each.
#[test]
fn a_backup_from_postgresql_under_load_is_of_one_instant() {
    let Some(url) = database() else { return };
    let (operator, file) = filled(20_000);
    let http = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let there = operator.on(&url);
    there.restored_into_database(&file);
    let server = there.serve();
    let whole: Vec<_> = beside_writers(&server, &http, || {
        (0..3).map(|n| there.backed_up(&format!("whole-{n}"))).collect()
    });
    drop(server);
    for file in whole {
        let back = operator.elsewhere();
        back.restored(&file);
        let server = back.serve();
        is_kept(&server, &http);
        is_of_one_instant(&server, &http);
    }
}

#[test]
fn nobody_serves_on_a_database_while_a_restore_is_at_work_on_it() {
    let Some(url) = database() else { return };
    let (operator, file) = filled(20_000);
    let there = operator.on(&url);
    let (mut child, rest) = there.half_restored(&url, &file);
    let other = operator.on(&url);
    other.refused("was not finished, or is still at work");
    other.not_restored(&file, "was not finished, or is still at work");
    let backup = other.run(&["backup", other.file("none").to_str().unwrap()]);
    assert!(!backup.well && backup.log.contains("was not finished"), "{}", backup.log);
    // None of them has disturbed it.
    child.stdin.take().unwrap().write_all(&rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    is_kept(&other.serve(), &Client::new());
}

#[test]
fn a_restore_that_is_killed_leaves_a_database_that_no_server_starts_on() {
    let Some(url) = database() else { return };
    let (operator, file) = filled(20_000);
    let there = operator.on(&url);
    let (mut child, _) = there.half_restored(&url, &file);
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..2 {
        there.refused("drop the database, make it anew and restore again");
        there.not_restored(&file, "drop the database, make it anew and restore again");
    }
    assert_eq!(found(&url), (1, 1), "the rows were one transaction");
    // At any moment: nothing has happened yet, or the mark is there, or all is.
    let mut marked = 0;
    for round in 0..12_u64 {
        let Some(url) = database() else { return };
        let there = operator.on(&url);
        let mut child = there.command(&["restore", file.to_str().unwrap()]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 * round));
        let _ = child.kill();
        child.wait().unwrap();
        match found(&url) {
            (0, 0) => there.restored_into_database(&file),
            (_, 1) => {
                marked += 1;
                there.refused("drop the database, make it anew and restore again");
                continue;
            }
            _ => {}
        }
        is_kept(&there.serve(), &Client::new());
    }
    println!("{marked} of 12 were killed at work");
}

#[test]
fn a_restore_that_fails_leaves_the_database_as_it_was() {
    let Some(url) = database() else { return };
    let (operator, file) = filled(20_000);
    let there = operator.on(&url);
    let empty = |what: &str| assert_eq!(found(&url), (0, 0), "{what}");
    let bytes = fs::read(&file).unwrap();
    let spoilt = operator.file("spoilt");
    let mut changed = bytes.clone();
    let last = changed.len() - 9;
    changed[last] ^= 1;
    for (what, bytes) in [("cut off", &bytes[..bytes.len() - 1]), ("changed", &changed)] {
        fs::write(&spoilt, bytes).unwrap();
        there.not_restored(&spoilt, "the backup");
        empty(what);
    }
    let stranger = operator.on(&url);
    stranger.write_private("data/root.key", &fresh_root());
    stranger.not_restored(&file, "needs root key");
    empty("another root key");

    // Told to stop.
    let (mut child, rest) = there.half_restored(&url, &file);
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(200));
    let _ = child.stdin.take().unwrap().write_all(&rest);
    let ended = child.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && log.contains("stopped"), "{log}");
    empty("stopped");

    // What PostgreSQL cannot keep.
    let database = Connection::open(operator.file("data/coffer.db")).unwrap();
    let nul = "UPDATE secrets SET description = 'a' || char(0) || 'b' WHERE path = '/kept'";
    assert_eq!(database.execute(nul, []).unwrap(), 1);
    drop(database);
    let with_nul = operator.backed_up("with-nul");
    for expected in ["description in a row of table secrets", "path \"/kept\"", "NUL character"] {
        there.not_restored(&with_nul, expected);
    }
    empty("a NUL character");
    operator.elsewhere().restored(&with_nul);

    // A table of somebody else is neither taken nor dropped.
    select(&url, "CREATE TABLE meta (theirs BIGINT)");
    there.not_restored(&file, "already exists");
    assert_eq!(
        select(&url, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"),
        [["meta"]]
    );
    select(&url, "DROP TABLE meta");
    there.restored_into_database(&file);
    is_kept(&there.serve(), &Client::new());
}

/// A store of the first schema with a key under this root key, in the place of the one that is there.
fn age(data: &Path, root_key: &str) {
    for name in ["coffer.db", "coffer.db-wal", "coffer.db-shm"] {
        let _ = fs::remove_file(data.join(name));
    }
    let old = Connection::open(data.join("coffer.db")).unwrap();
    old.execute_batch(include_str!("../../migrations/0001_foundation.sql")).unwrap();
    old.execute_batch(&format!(
        "INSERT INTO meta VALUES ('root_key', '{root_key}');
         INSERT INTO organisations VALUES ('o', 'o', 'o', '', '{{}}', '{{}}', 0, 1, 0, 1, 1, 1);
         INSERT INTO regions VALUES ('r', 'nl-01', 'r', '', 1, 1, 1, 1);
         INSERT INTO kms_keys VALUES ('o', 'k', 'r', '', 'k', 'k', '', '{{}}', '{{}}', 'aes256-gcm96', 'active', 0, 0,
             NULL, 1, 1, NULL, 1, 1, 1);
         INSERT INTO kms_key_versions VALUES ('o', 'k', 1, 'active', x'00', 1);
         PRAGMA user_version = 1; PRAGMA journal_mode = WAL"
    ))
    .unwrap();
}

/// Which root keys an old store needs is known once it is migrated: by then its rows are committed.
#[test]
fn what_only_the_last_steps_find_out_leaves_nothing_either() {
    let Some(url) = database() else { return };
    let mut operator = Operator::new();
    operator.configure("");
    operator.bootstrap();
    let root_key = root_key_of(&operator.backed_up("new"));
    let there = operator.on(&url);
    age(&operator.file("data"), "0123456789abcdef");
    let file = operator.backed_up("of-another");
    there.not_restored(&file, "needs root key 0123456789abcdef");
    assert_eq!(found(&url), (0, 0));
    age(&operator.file("data"), &root_key);
    there.restored_into_database(&operator.backed_up("of-this"));
    let seals = "SELECT seals, root_key FROM kms_key_versions";
    let restored = ((1_u64 << 24) + (1 << 30)).to_string();
    assert_eq!(select(&url, seals), [[restored, root_key]], "migrated, and told of the restore");
    assert_eq!(there.serve().stop().0, Some(0));
}
