//! Figures for Prometheus: on a listener of their own, and without anything of which there is no end.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};

use reqwest::blocking::Client;
use serde_json::{Value as Json, json};

use crate::custody::{Operator, is_kept};
use crate::process::Server;
use crate::world::base64;

/// A server with figures, and where they are.
fn observed() -> (Operator, Server, String) {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let listen = format!("{config}\n[metrics]\nlisten = '127.0.0.1:0'\n");
    fs::write(operator.file("coffer.toml"), listen).unwrap();
    let mut child = operator.command(&["serve"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |start: &str| lines.next().unwrap().strip_prefix(start).unwrap().to_owned();
    let (endpoint, figures) = (next("Coffer listens on "), next("Figures are at "));
    let env = HashMap::from([
        ("COFFER_ENDPOINT".to_owned(), endpoint.clone()),
        ("COFFER_TOKEN".to_owned(), operator.token.clone()),
        ("COFFER_ORGANISATION".to_owned(), "acme".to_owned()),
    ]);
    (operator, Server { child, said: endpoint, env }, figures)
}

/// The number of a figure.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn figures_tell_what_a_server_does() {
    let http = Client::new();
    let (operator, server, url) = observed();
    let get = || http.get(&url).send().unwrap();
    for _ in 0..3 {
        is_kept(&server, &http);
    }
    let body = json!({"path": "/canary-path", "kmsKeyIdentity": "k", "secretString": base64("canary-value")});
    assert_eq!(server.json(&http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
    assert_eq!(server.json(&http, "GET", "/v1/canary-route", Json::Null).0, 404);
    assert_eq!(server.call(&http, "CANARY", "/v1/me").send().unwrap().status(), 405);
    let answer = get();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let requests =
        |labels: &str| figure(&text, &format!("coffer_request_duration_seconds_count{{{labels}}}"));
    let reveal = r#"method="POST",route="/v1/secrets/{region}/secret{*tail}",status="200""#;
    assert_eq!(requests(reveal), 3.0);
    assert_eq!(requests(r#"method="POST",route="/v1/secrets/{region}/secrets",status="201""#), 1.0);
    assert_eq!(requests(r#"method="GET",route="",status="404""#), 1.0);
    assert_eq!(requests(r#"method="other",route="",status="405""#), 1.0);
    for (action, outcome, count) in [
        ("secrets.getSecretValue", "ok", 3.0),
        ("kms.decrypt", "ok", 3.0),
        ("secrets.create", "created", 1.0),
        ("kms.encrypt", "ok", 1.0),
    ] {
        let name = format!("coffer_operations_total{{action=\"{action}\",outcome=\"{outcome}\"}}");
        assert_eq!(figure(&text, &name), count, "{action}");
    }
    assert_eq!(figure(&text, "coffer_values_hits_total"), 2.0);
    assert_eq!(figure(&text, "coffer_values_misses_total"), 1.0);
    assert!(figure(&text, "coffer_values_memory_bytes") > 100.0);
    assert!(figure(&text, "coffer_callers_hits_total") >= 3.0);
    assert!(figure(&text, "coffer_commit_batch_count") >= 4.0);
    assert_eq!(figure(&text, r#"coffer_queue{name="changes"}"#), 0.0);
    for part in ["store", "kms"] {
        assert_eq!(figure(&text, &format!("coffer_ready{{name=\"{part}\"}}")), 1.0);
    }
    assert_eq!(figure(&text, r#"coffer_stored{name="secrets.count"}"#), 2.0);
    assert_eq!(figure(&text, r#"coffer_stored{name="secrets.versions"}"#), 2.0);
    // Nothing of which there is no end, and nothing that is a secret.
    for canary in ["canary", "acme", "kept", &operator.token] {
        assert!(!text.to_lowercase().contains(canary), "{canary} in {text}");
    }
    // Each listener has its own.
    assert_eq!(server.json(&http, "GET", "/metrics", Json::Null).0, 404);
    let me =
        http.get(url.replace("/metrics", "/v1/me")).bearer_auth(&operator.token).send().unwrap();
    assert_eq!(me.status(), 404);
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn logs_are_for_people_or_for_machines() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    let logged = |format: &str, filter: &str| {
        let mut command = operator.command(&["serve"]);
        let server =
            operator.started(command.env("COFFER_LOG_FORMAT", format).env("COFFER_LOG", filter));
        let (code, log) = server.stop();
        assert_eq!(code, Some(0), "{log}");
        log
    };
    let log = logged("json", "info");
    let lines: Vec<Json> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["message"] == "stopping" && line["level"] == "INFO"),
        "{log}"
    );
    assert!(logged("human", "info").contains(" INFO stopping"));
    assert!(!logged("human", "error").contains("stopping"));
    for (format, filter, expected) in
        [("xml", "info", "xml"), ("human", "=x=", "--log is no filter")]
    {
        let mut command = operator.command(&["serve"]);
        let done =
            command.env("COFFER_LOG_FORMAT", format).env("COFFER_LOG", filter).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && said.contains(expected), "{said}");
    }
}
