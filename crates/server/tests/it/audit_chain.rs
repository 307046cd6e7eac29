//! The log proves itself: whoever changes it in the database, or in an export, is found out, and the record is named.

use std::fs;
use std::time::Duration;

use reqwest::blocking::Client;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::{Value as Json, json};

use crate::custody::Operator;
use crate::process::Server;
use crate::world::{base64, select};

/// Where the log is.
enum Log<'o> {
    Sqlite(&'o Operator),
    Postgres(String),
}

const TABLES: [&str; 5] =
    ["audit_events", "audit_heads", "audit_bases", "audit_checkpoints", "audit_checkpoint_heads"];

impl Log<'_> {
    /// Does something to the database behind the server's back.
    fn run(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Postgres(url) => select(url, sql),
            Self::Sqlite(operator) => {
                let file = Connection::open(operator.file("data/coffer.db")).unwrap();
                let mut statement = file.prepare(sql).unwrap();
                let columns = statement.column_count();
                let mut rows = statement.query([]).unwrap();
                let mut found = Vec::new();
                while let Some(row) = rows.next().unwrap() {
                    let text = |at| match row.get(at).unwrap() {
                        Value::Integer(number) => number.to_string(),
                        Value::Text(text) => text,
                        other => format!("{other:?}"),
                    };
                    found.push((0..columns).map(text).collect());
                }
                found
            }
        }
    }

    fn keep(&self) {
        match self {
            Self::Sqlite(operator) => {
                self.run("PRAGMA wal_checkpoint(TRUNCATE)");
                fs::copy(operator.file("data/coffer.db"), operator.file("kept.db")).unwrap();
            }
            Self::Postgres(_) => {
                for table in TABLES {
                    self.run(&format!("CREATE TABLE kept_{table} AS TABLE {table}"));
                }
            }
        }
    }

    /// As it was when it was kept.
    fn put_back(&self) {
        match self {
            Self::Sqlite(operator) => {
                for log in ["data/coffer.db-wal", "data/coffer.db-shm"] {
                    let _ = fs::remove_file(operator.file(log));
                }
                fs::copy(operator.file("kept.db"), operator.file("data/coffer.db")).unwrap();
            }
            Self::Postgres(_) => {
                for table in TABLES {
                    self.run(&format!("DELETE FROM {table}"));
                    self.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}"));
                }
            }
        }
    }
}

impl Operator {
    fn log_verified(&self, more: &[&str]) -> String {
        let done = self.run(&[&["audit", "verify"], more].concat());
        assert!(done.well && done.said.is_empty(), "{}", done.log);
        done.log.lines().last().unwrap().to_owned()
    }

    /// The log is not whole, and this is said of it.
    #[track_caller]
    fn found_out(&self, more: &[&str], what: &str, expected: &str) {
        let output = self.command(&[&["audit", "verify"], more].concat()).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what} is not found out: {log}");
        assert!(log.contains(expected), "{what}: {expected:?} is not in {log:?}");
    }
}

fn used(server: &Server, http: &Client, from: usize) {
    for n in from..from + 6 {
        let body = json!({"path": format!("/app/{n}"), "kmsKeyIdentity": "k", "secretString": base64("v")});
        assert_eq!(server.json(http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
        let url = format!("/v1/secrets/nl-01/secret/app/{n}/value");
        assert_eq!(server.json(http, "POST", &url, Json::Null).0, 200);
        assert_eq!(
            server.json(http, "POST", "/v1/secrets/nl-01/secret/none/value", Json::Null).0,
            404
        );
    }
}

/// Serves twice, and ends the second time without a checkpoint: all that can stand in a log stands in this one.
fn fill(operator: &Operator) {
    let http = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let server = operator.serve();
    used(&server, &http, 0);
    operator.log_verified(&[]);
    assert_eq!(server.stop().0, Some(0));
    let server = operator.serve();
    used(&server, &http, 100);
    server.kill();
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

/// A stream that a checkpoint lists: organisation, stream, the first number that is listed.
fn listed_stream(log: &Log<'_>) -> (String, String, i64) {
    let found = log.run(
        "SELECT organisation_id, stream, MIN(number) FROM audit_checkpoint_heads
         WHERE organisation_id <> '' GROUP BY organisation_id, stream ORDER BY 3 DESC LIMIT 1",
    );
    (found[0][0].clone(), found[0][1].clone(), number(&found[0][2]))
}

/// A stream that has grown since it was listed, if it ever was: organisation, stream, last number.
fn grown_stream(log: &Log<'_>) -> (String, String, i64) {
    let found = log.run(
        "SELECT organisation_id, stream, number FROM audit_heads h WHERE stream <> 0 AND organisation_id <> ''
         AND NOT EXISTS (SELECT 1 FROM audit_checkpoint_heads c WHERE c.stream = h.stream AND c.number = h.number)
         ORDER BY number DESC LIMIT 1",
    );
    (found[0][0].clone(), found[0][1].clone(), number(&found[0][2]))
}

fn every_change_is_found_out(operator: &Operator, log: &Log<'_>) {
    operator.log_verified(&[]);
    log.keep();
    let (org, stream, last) = grown_stream(log);
    let (_, listed, listed_last) = listed_stream(log);
    assert!(last > 5, "{last}");
    let at = format!("WHERE organisation_id = '{org}' AND stream = {stream}");
    let listed_at = format!("WHERE organisation_id = '{org}' AND stream = {listed}");
    let third = format!("record 3 of stream {stream} of {org}");
    let mut changes: Vec<(String, Vec<String>, String)> = Vec::new();
    let mut add = |what: &str, sql: &[String], expected: String| {
        changes.push((what.to_owned(), sql.to_vec(), expected));
    };
    let texts = [
        "event_id",
        "project_id",
        "principal_kind",
        "principal_id",
        "action",
        "resource_type",
        "resource_id",
        "outcome",
        "reason",
        "credential_id",
        "credential_kind",
        "client",
        "user_agent",
        "method",
        "url_path",
        "request_id",
    ];
    for column in texts {
        let sql = format!("UPDATE audit_events SET {column} = {column} || 'x' {at} AND number = 3");
        add(column, &[sql], format!("{third}, "));
    }
    for (what, column) in [("backdated", "at"), ("made shorter", "duration")] {
        let sql =
            format!("UPDATE audit_events SET {column} = {column} - 1000000 {at} AND number = 3");
        add(what, &[sql], format!("{third}, "));
    }
    let drop = |number: i64| format!("DELETE FROM audit_events {at} AND number = {number}");
    let renumber = |from: i64, to: i64| {
        format!("UPDATE audit_events SET number = {to} {at} AND number = {from}")
    };
    add("dropped", &[drop(3)], format!("{third} is missing"));
    add(
        "the first one dropped",
        &[drop(1)],
        format!("record 1 of stream {stream} of {org} is missing"),
    );
    add(
        "dropped, and the gap closed",
        &std::iter::once(drop(3)).chain((4..=last).map(|n| renumber(n, n - 1))).collect::<Vec<_>>(),
        format!("{third}, "),
    );
    let tail = format!("record {last} of stream {stream} of {org} is missing");
    add("the tail cut", &[drop(last)], tail);
    add(
        "the tail cut, and the head put there",
        &[
            drop(last),
            format!(
                "UPDATE audit_heads SET number = {0}, link = (SELECT link FROM audit_events {at} AND number = {0}) {at}",
                last - 1
            ),
        ],
        format!("the head of stream {stream} of {org} was changed"),
    );
    add(
        "the head dropped",
        &[format!("DELETE FROM audit_heads {at}")],
        "without a head".to_owned(),
    );
    add("reordered", &[renumber(3, -1), renumber(4, 3), renumber(-1, 4)], format!("{third}, "));
    add(
        "put into another organisation",
        &[format!("UPDATE audit_events SET organisation_id = '' {at} AND number = 3")],
        format!("record 1 of stream {stream} of no organisation"),
    );
    let columns = format!("organisation_id, at, duration, {}", texts.join(", "));
    add(
        "slipped in",
        &[format!(
            "INSERT INTO audit_events ({columns}) SELECT {} FROM audit_events {at} AND number = 3",
            columns.replace("event_id", "event_id || 'x'")
        )],
        "is in no chain".to_owned(),
    );
    let copied = columns.replace("event_id", "event_id || 'x'");
    add(
        "added at the end",
        &[format!(
            "INSERT INTO audit_events ({columns}, stream, number, link)
             SELECT {copied}, stream, number + 1, link FROM audit_events {at} AND number = {last}"
        )],
        format!("record {} of stream {stream} of {org}, ", last + 1),
    );
    add(
        "a stream dropped that a checkpoint lists",
        &[
            format!("DELETE FROM audit_events {listed_at}"),
            format!("DELETE FROM audit_heads {listed_at}"),
        ],
        format!("record {listed_last} of stream {listed} of {org} is missing: checkpoint "),
    );
    add(
        "the beginning dropped as if it were old",
        &[
            format!("DELETE FROM audit_events {at} AND number = 1"),
            format!(
                "INSERT INTO audit_bases SELECT organisation_id, stream, 1, link, seal FROM audit_heads {at}"
            ),
        ],
        format!("the base of stream {stream} of {org} was changed"),
    );
    let checkpoint = format!("WHERE organisation_id = '{org}'");
    add(
        "a checkpoint backdated",
        &[format!("UPDATE audit_checkpoints SET at = at - 1 {checkpoint}")],
        format!("checkpoint 1 of {org} was changed"),
    );
    add(
        "a checkpoint that lists less",
        &[format!("DELETE FROM audit_checkpoint_heads {checkpoint}")],
        format!("checkpoint 1 of {org} was changed"),
    );
    add(
        "a checkpoint dropped",
        &[format!("DELETE FROM audit_checkpoints {checkpoint}")],
        format!("checkpoint 1 of {org}"),
    );
    for (what, sql, expected) in changes {
        for sql in sql {
            log.run(&sql);
        }
        operator.found_out(&[], &what, &expected);
        log.put_back();
    }
    operator.log_verified(&[]);
}

#[test]
fn whoever_changes_the_log_is_found_out() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    fill(&operator);
    every_change_is_found_out(&operator, &Log::Sqlite(&operator));
    // By the folder, too, as `cofferd dev` has made it.
    let data = operator.file("data");
    let done = crate::process::cofferd(&["audit", "verify", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn whoever_changes_the_log_on_postgresql_is_found_out() {
    let Some(url) = crate::moving::database() else { return };
    let mut operator = Operator::new();
    operator.configure(&format!("[store]\nurl = '{url}'\nconnections = 2"));
    operator.fill(&Client::new());
    fill(&operator);
    every_change_is_found_out(&operator, &Log::Postgres(url));
}

/// An export proves as much as the store, without it; each change to the file is found out.
#[test]
fn whoever_changes_an_export_is_found_out() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    fill(&operator);
    let file = operator.file("log.jsonl");
    let done = operator.run(&["audit", "export", file.to_str().unwrap()]);
    assert!(done.well && done.log.contains("exported: "), "{}", done.log);
    let more = ["--file", file.to_str().unwrap()];
    assert_eq!(operator.log_verified(&more), operator.log_verified(&[]));
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("\"record\"")).unwrap();
    let changed: [(&str, Vec<&str>, &str); 5] = [
        ("cut", lines[..lines.len() - 1].to_vec(), "missing"),
        ("a fork", [&lines[..=first], &lines[first..]].concat(), "is there twice"),
        ("a line dropped", [&lines[..first + 1], &lines[first + 2..]].concat(), "missing"),
        ("without its beginning", lines[1..].to_vec(), "line 1 is not where it belongs"),
        ("nothing", Vec::new(), "the file is empty"),
    ];
    for (what, lines, expected) in changed {
        fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        operator.found_out(&more, what, expected);
    }
    for (what, from, to) in [
        ("changed", r#""outcome":"ok""#, r#""outcome":"denied""#),
        ("a field more", r#""outcome":"#, r#""outcom":"x","outcome":"#),
        ("a field less", r#""reason":"","#, ""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{what}");
        fs::write(&file, changed).unwrap();
        operator.found_out(&more, what, "line ");
    }
    // One organisation's alone, which proves as much for it.
    fs::remove_file(&file).unwrap();
    let done = operator.run(&["audit", "export", file.to_str().unwrap(), "--organisation", "acme"]);
    assert!(done.well, "{}", done.log);
    assert_eq!(operator.log_verified(&more), operator.log_verified(&["--organisation", "acme"]));
    let done = operator.run(&["audit", "export", "-", "--organisation", "nobody"]);
    assert!(!done.well && done.log.contains("there is no organisation `nobody`"), "{}", done.log);
    // With another store's keys it proves nothing.
    let mut other = Operator::new();
    other.configure("");
    other.fill(&Client::new());
    other.found_out(&more, "another store's", "its seal is another one");
}
