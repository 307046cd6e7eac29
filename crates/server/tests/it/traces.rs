//! Traces reach a collector, and nothing secret does.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value as Json, json};

use crate::custody::{Operator, is_kept};
use crate::world::base64;

/// A collector that takes all it gets: the bodies, and where it listens.
fn collector() -> (mpsc::Receiver<Vec<u8>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (bodies, taken) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            if bodies.send(body).is_err() {
                return;
            }
        }
    });
    (taken, url)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_is_a_span_below_that_of_its_caller() {
    let http = Client::new();
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&http);
    let (bodies, url) = collector();
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let config = format!("{config}\n[traces]\nendpoint = '{url}'\n");
    fs::write(operator.file("coffer.toml"), config).unwrap();
    let server = operator.serve();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let body = json!({"path": "/canary-path", "kmsKeyIdentity": "k", "secretString": base64("canary-value")});
    let made = server
        .call(&http, "POST", "/v1/secrets/nl-01/secrets?canary=query")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .header("X-Request-Id", "request-of-a-trace")
        .json(&body)
        .send()
        .unwrap();
    assert_eq!(made.status(), 201);
    is_kept(&server, &http);
    assert_eq!(server.json(&http, "GET", "/v1/canary-route", Json::Null).0, 404);
    // What has not been sent yet is sent at the end.
    assert_eq!(server.stop().0, Some(0));
    let all = std::iter::from_fn(|| bodies.recv_timeout(Duration::from_millis(500)).ok());
    let sent: Vec<u8> = all.flatten().collect();
    for part in [
        "POST /v1/secrets/{region}/secrets",
        "POST /v1/secrets/{region}/secret{*tail}",
        "secrets.create",
        "secrets.getSecretValue",
        "request-of-a-trace",
        "changes",
        "records",
        "cofferd",
    ] {
        assert!(holds(&sent, part.as_bytes()), "{part}");
    }
    let trace = u128::from_str_radix(trace, 16).unwrap().to_be_bytes();
    assert!(holds(&sent, &trace), "it is part of its caller's trace");
    for secret in ["canary", &operator.token, &base64("canary-value"), "hunter2", "/kept"] {
        assert!(!holds(&sent, secret.as_bytes()), "{secret}");
    }
}

#[test]
fn a_collector_that_is_gone_keeps_nobody_waiting() {
    let http = Client::new();
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&http);
    // Takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let url = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let config = format!("{config}\n[traces]\nendpoint = '{url}'\nratio = 1.0\n");
    fs::write(operator.file("coffer.toml"), config).unwrap();
    let server = operator.serve();
    let began = std::time::Instant::now();
    for _ in 0..200 {
        is_kept(&server, &http);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(server.stop().0, Some(0));
}
