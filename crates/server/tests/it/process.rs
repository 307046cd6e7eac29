//! Real processes: `cofferd dev`, `serve`, `bootstrap`, as an operator starts and kills them.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value as Json, json};

use crate::world::base64;

/// A server that is killed when the test ends, however it ends.
pub(crate) struct Server {
    pub child: Child,
    /// All it has printed until it listened.
    pub said: String,
    pub env: HashMap<String, String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn cofferd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferd"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts `cofferd dev` and waits until it listens.
pub(crate) fn dev(folder: &Path) -> Server {
    let data = folder.to_str().unwrap();
    started(&mut cofferd(&["dev", "--listen", "127.0.0.1:0", "--data", data]), folder)
}

/// Waits until a `cofferd dev` on this folder listens.
fn started(command: &mut Command, folder: &Path) -> Server {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = lines.next().transpose().unwrap() {
        said += &line;
        said.push('\n');
        if line.contains("Ctrl-C") {
            break;
        }
    }
    if !said.contains("Coffer listens on http://127.0.0.1:") {
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("{said}");
    }
    let env = fs::read_to_string(folder.join("dev.env")).unwrap();
    let env = env
        .lines()
        .map(|line| line.strip_prefix("export ").unwrap().split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Server { child, said, env }
}

impl Server {
    pub fn call(&self, http: &Client, method: &str, url: &str) -> RequestBuilder {
        let url = format!("{}{url}", self.env["COFFER_ENDPOINT"]);
        http.request(method.parse().unwrap(), url)
            .bearer_auth(&self.env["COFFER_TOKEN"])
            .header("X-Organisation-Identity", &self.env["COFFER_ORGANISATION"])
    }

    pub fn json(&self, http: &Client, method: &str, url: &str, body: Json) -> (u16, Json) {
        let request = self.call(http, method, url);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().unwrap();
        (answer.status().as_u16(), answer.json().unwrap_or_default())
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGTERM, and how it ended.
    pub fn stop(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.ended()
    }

    fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) fn run(arguments: &[&str]) -> (Output, String) {
    let output = cofferd(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

pub(crate) fn secret(server: &Server, path: &str, value: &str) -> Json {
    json!({
        "path": path, "kmsKeyIdentity": server.env["COFFER_KMS_KEY"], "secretString": base64(value)
    })
}

#[test]
fn dev_makes_everything_and_continues_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let first = dev(&data);
    let http = Client::new();
    for name in ["root.key", "dev.env", "coffer.db"] {
        let rights = fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(rights & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(first.env["COFFER_ORGANISATION"], "dev");
    assert_eq!(first.env["COFFER_REGION"], "nl-01");
    let token = first.env["COFFER_TOKEN"].clone();
    assert!(token.starts_with("tc_pat_") && !first.said.contains(&token));
    assert_eq!(first.said.matches("\n  curl ").count(), 4, "{}", first.said);
    assert!(first.said.contains("dev.env"));
    let body = secret(&first, "/app/kept", "hunter2");
    assert_eq!(first.json(&http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
    let (_, mine) = first.json(&http, "GET", "/v1/me/organisation-memberships", Json::Null);
    assert_eq!(mine[0]["role"], "OWNER");
    assert_eq!(mine[0]["organisation"]["slug"], "dev");
    let (code, errors) = first.stop();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!errors.contains(&token) && !errors.contains("hunter2"));

    let started = Instant::now();
    let second = dev(&data);
    let value = "/v1/secrets/nl-01/secret/app/kept/value";
    let (status, revealed) = second.json(&http, "POST", value, Json::Null);
    println!("first answer on existing data after {} ms", started.elapsed().as_millis());
    assert_eq!((status, revealed["secretString"].as_str()), (200, Some(&*base64("hunter2"))));
    assert_eq!(second.env["COFFER_TOKEN"], token, "the token is kept");
    assert_ne!(second.env["COFFER_ENDPOINT"], "http://127.0.0.1:0");
    drop(second);

    fs::remove_file(data.join("dev.env")).unwrap();
    let third = dev(&data);
    assert_ne!(third.env["COFFER_TOKEN"], token, "a lost token is replaced");
    assert_eq!(third.json(&http, "POST", value, Json::Null).0, 200);
}

#[test]
fn what_is_read_last_before_sigterm_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let http = Client::new();
    let server = dev(&folder.path().join("data"));
    let body = secret(&server, "/a", "x");
    assert_eq!(server.json(&http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
    assert_eq!(server.json(&http, "POST", "/v1/secrets/nl-01/secret/a/value", Json::Null).0, 200);
    assert_eq!(server.stop().0, Some(0));
    let server = dev(&folder.path().join("data"));
    let (_, metadata) = server.json(&http, "GET", "/v1/secrets/nl-01/secret/a", Json::Null);
    assert!(metadata["lastAccessedAt"].is_string(), "{metadata}");
}

#[test]
fn a_folder_that_cannot_be_trusted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = dev(&data);
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let refused = |expected: &str| {
        let (output, errors) = run(&arguments);
        assert!(!output.status.success() && errors.contains(expected), "{expected}: {errors}");
    };
    refused("in use by another cofferd");
    server.stop();
    for (name, mode, good, expected) in [
        ("root.key", 0o640, 0o600, "root.key can be read by others"),
        ("coffer.db", 0o644, 0o600, "coffer.db can be read by others"),
        ("", 0o755, 0o700, "can be read by others"),
    ] {
        let file = data.join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        refused(expected);
        fs::set_permissions(&file, fs::Permissions::from_mode(good)).unwrap();
    }
    let key = fs::read(data.join("root.key")).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    dev(&elsewhere).stop();
    fs::write(data.join("root.key"), fs::read(elsewhere.join("root.key")).unwrap()).unwrap();
    refused("this store needs root key");
    fs::write(data.join("root.key"), "junk").unwrap();
    refused("holds no root key");
    fs::remove_file(data.join("root.key")).unwrap();
    refused("put the root key back");
    fs::write(data.join("root.key"), key).unwrap();
    fs::set_permissions(data.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(dev(&data).stop().0, Some(0), "nothing was lost");
}

#[test]
fn bootstrap_and_serve_work_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("coffer.toml");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let data = folder.path().join("data");
    let text = format!(
        "listen = [\"127.0.0.1:{port}\"]\ndata = \"{}\"\n[[regions]]\nslug = \"de-01\"\n",
        data.display()
    );
    fs::write(&config, &text).unwrap();
    let file = config.to_str().unwrap();
    let (output, errors) = run(&["serve", "--config", file]);
    assert!(!output.status.success() && errors.contains("bootstrap"), "{errors}");
    let bootstrap =
        ["bootstrap", "--config", file, "--organisation", "acme", "--owner", "o@acme.invalid"];
    let (output, errors) = run(&bootstrap);
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).unwrap();
    let token = said.split("token ").nth(1).unwrap().trim().to_owned();
    let (output, errors) = run(&bootstrap);
    assert!(!output.status.success() && errors.contains("an organisation already"), "{errors}");

    let (output, errors) = run(&["owner-token", "--config", file, "--organisation", "acme"]);
    assert!(output.status.success(), "{errors}");
    let second = String::from_utf8(output.stdout).unwrap();
    assert!(second.starts_with("token tc_pat_") && !second.contains(&token), "a new one");
    let (output, errors) = run(&["owner-token", "--config", file, "--organisation", "other"]);
    assert!(!output.status.success() && errors.contains("organisation not found"), "{errors}");

    let administrator = an_administrator(file);

    let mut child = cofferd(&["serve", "--config", file]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(&port.to_string()), "{line}");
    let env = HashMap::from([
        ("COFFER_ENDPOINT".to_owned(), format!("http://127.0.0.1:{port}")),
        ("COFFER_TOKEN".to_owned(), token),
        ("COFFER_ORGANISATION".to_owned(), "acme".to_owned()),
    ]);
    let server = Server { child, said: line, env };
    let (status, regions) = server.json(&Client::new(), "GET", "/v1/regions", Json::Null);
    assert_eq!((status, regions[0]["slug"].as_str()), (200, Some("de-01")));
    let (output, errors) = run(&["admin-token", "--config", file, "--name", "late"]);
    assert!(!output.status.success() && errors.contains("in use by another cofferd"), "{errors}");
    let url = format!("{}/v1/platform/organisations", server.env["COFFER_ENDPOINT"]);
    let listed = Client::new().get(url).bearer_auth(&administrator).send().unwrap();
    assert_eq!(listed.json::<Json>().unwrap()[0]["slug"], "acme");
    a_gate_closes_an_open_connection(&server, &administrator);
    assert_eq!(server.stop().0, Some(0));

    fs::write(&config, text.replace("listen", "lisen")).unwrap();
    let (output, errors) = run(&["serve", "--config", file]);
    assert!(!output.status.success());
    assert!(errors.contains("unknown setting `lisen`; did you mean `listen`?"), "{errors}");
}

/// A gate is in effect with the next call, on a connection that was open before as well.
fn a_gate_closes_an_open_connection(server: &Server, administrator: &str) {
    let one_connection = Client::builder().pool_max_idle_per_host(1).build().unwrap();
    let keys = || server.json(&one_connection, "GET", "/v1/kms/de-01/keys", Json::Null).0;
    let url = format!("{}/v1/platform/organisations/acme", server.env["COFFER_ENDPOINT"]);
    assert_eq!(keys(), 200);
    for (on, status) in [(false, 403), (true, 200)] {
        let body = json!({"gates": {"kms": on}});
        let call = Client::new().patch(&url).bearer_auth(administrator).json(&body);
        assert_eq!(call.send().unwrap().status().as_u16(), 200);
        assert_eq!(keys(), status);
    }
}

/// Makes, lists and revokes administrators on a store without a server: the token of one that is left.
fn an_administrator(file: &str) -> String {
    let command = |arguments: &[&str]| {
        let (output, errors) = run(&[&["admin-token", "--config", file], arguments].concat());
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), errors)
    };
    for wrong in [
        &[][..],
        &["--name", "x", "--list"],
        &["--name", "x", "--revoke", "adm-x"],
        &["--list", "--expires", "1d"],
        &["--name", "x", "--expires", "tomorrow"],
        &["--revoke", "adm-none"],
    ] {
        let (success, said, errors) = command(wrong);
        assert!(!success && said.is_empty() && !errors.is_empty(), "{wrong:?}");
    }
    let made = |arguments: &[&str]| {
        let (success, said, errors) = command(arguments);
        assert!(success, "{errors}");
        let part = |from: &str| said.split(from).nth(1).unwrap().lines().next().unwrap().to_owned();
        assert!(part("token ").starts_with("tc_adm_") && !errors.contains("tc_adm_"));
        (part("administrator "), part("token "))
    };
    let (kept, token) = made(&["--name", "operator", "--expires", "90d"]);
    let (other, _) = made(&["--name", "other"]);
    let (_, said, _) = command(&["--list"]);
    assert!(said.contains(&kept) && said.contains(&other) && said.contains("operator"), "{said}");
    assert!(!said.contains(&token) && said.contains("expires never"), "{said}");
    assert!(command(&["--revoke", &other]).0);
    assert!(!command(&["--list"]).1.contains(&other));
    token
}

/// Each round: writers put values and remember what was acknowledged; the server is killed in the midst;
/// after the restart every acknowledged write is there, and nothing is half there.
#[test]
fn kill_9_under_load_loses_no_acknowledged_write() {
    const ROUNDS: u64 = 6;
    const WRITERS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let server = dev(&folder.path().join("data"));
    for writer in 0..WRITERS {
        let body = secret(&server, &format!("/load/{writer}"), "0");
        assert_eq!(server.json(&http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
    }
    server.kill();
    // The highest acknowledged version of each writer's secret.
    let acknowledged = Mutex::new(vec![1_i64; WRITERS]);
    for round in 0..ROUNDS {
        let server = dev(&folder.path().join("data"));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (server, http, done, acknowledged) = (&server, &http, &done, &acknowledged);
                scope.spawn(move || {
                    let url = format!("/v1/secrets/nl-01/secret/load/{writer}/versions");
                    while !done.load(Ordering::SeqCst) {
                        // A value that names its round, so that a mixed-up one would show.
                        let body = json!({"secretString": base64(format!("{writer}"))});
                        let sent = server.call(http, "POST", &url).json(&body).send();
                        let Ok(answer) = sent.and_then(|a| a.json::<Json>()) else { return };
                        let version = answer["version"].as_i64().unwrap();
                        let mut all = acknowledged.lock().unwrap();
                        assert!(version > all[writer]);
                        all[writer] = version;
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(120 + 70 * round));
            server.signal("-9");
            done.store(true, Ordering::SeqCst);
        });
        drop(server);

        let server = dev(&folder.path().join("data"));
        for (writer, highest) in acknowledged.lock().unwrap().iter().enumerate() {
            let url = format!("/v1/secrets/nl-01/secret/load/{writer}");
            let (_, metadata) =
                server.json(&http, "GET", &format!("{url}?includeVersions=true"), Json::Null);
            let current = metadata["currentVersion"].as_i64().unwrap();
            assert!(current >= *highest, "round {round}: {current} < {highest}");
            let numbers = metadata["versions"].as_array().unwrap().iter();
            let numbers: Vec<_> = numbers.map(|v| v["version"].as_i64().unwrap()).collect();
            assert_eq!(numbers, (1..=current).collect::<Vec<_>>(), "without a gap");
            for version in [*highest, current].into_iter().filter(|version| *version > 1) {
                let body = json!({"version": version});
                let (status, value) = server.json(&http, "POST", &format!("{url}/value"), body);
                assert_eq!(status, 200, "{value}");
                assert_eq!(value["secretString"], base64(format!("{writer}")));
            }
            let log = format!(
                "/v1/audit?limit=1&action=secrets.putSecretValue&resourceIdentity=/load/{writer}&responseStatus=200"
            );
            let (_, page) = server.json(&http, "GET", &log, Json::Null);
            assert_eq!(page["totalItems"].as_i64(), Some(current - 1), "a record for each version");
        }
        server.kill();
    }
    println!("acknowledged versions: {:?}", acknowledged.lock().unwrap());
}

#[test]
fn of_many_first_starts_one_wins_and_its_root_key_stays() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut children: Vec<_> = (0..6).map(|_| cofferd(&arguments).spawn().unwrap()).collect();
    // Whoever lost has ended by itself; the winner says that it listens.
    let mut winners = 0;
    for child in &mut children {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        winners += i32::from(line.contains("listens"));
    }
    for mut child in children {
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert_eq!(winners, 1);
    assert_eq!(dev(&data).stop().0, Some(0), "the store still belongs to its root key");
}

/// A file-size limit stands in for a full disk: no value without its record, nothing lost, and it recovers.
#[test]
fn a_full_disk_gives_503_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    dev(&data).stop();
    let limited = format!(
        "trap '' XFSZ; ulimit -f 1200; exec {} dev --listen 127.0.0.1:0 --data {}",
        env!("CARGO_BIN_EXE_cofferd"),
        data.display()
    );
    let mut command = Command::new("bash");
    command.args(["-c", &limited]).stdin(Stdio::null());
    let server = started(command.stdout(Stdio::piped()).stderr(Stdio::piped()), &data);
    let http = Client::new();
    let statuses: Vec<u16> = (0..400)
        .map(|n| {
            let body = secret(&server, &format!("/full/{n}"), &"x".repeat(4096));
            server.json(&http, "POST", "/v1/secrets/nl-01/secrets", body).0
        })
        .collect();
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert!(made > 0 && made < 400, "{made} fitted in");
    assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
    let value = "/v1/secrets/nl-01/secret/full/0/value";
    let (status, answer) = server.json(&http, "POST", value, Json::Null);
    assert!(status == 503 && answer["secretString"].is_null(), "no record, no value: {answer}");
    drop(server);

    let server = dev(&data);
    for (n, status) in statuses.iter().enumerate() {
        let url = format!("/v1/secrets/nl-01/secret/full/{n}");
        let expected = if *status == 201 { 200 } else { 404 };
        assert_eq!(server.json(&http, "GET", &url, Json::Null).0, expected, "{n}");
    }
    assert_eq!(server.json(&http, "POST", value, Json::Null).0, 200);
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_end() {
    use std::io::Write;

    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let server = dev(&folder.path().join("data"));
        let http = Client::new();
        let body = secret(&server, "/slow", "x");
        assert_eq!(server.json(&http, "POST", "/v1/secrets/nl-01/secrets", body).0, 201);
        drop(http);
        let address = server.env["COFFER_ENDPOINT"].strip_prefix("http://").unwrap().to_owned();
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST /v1/secrets/nl-01/secret/slow/value HTTP/1.1\r\nhost: x\r\n\
             authorization: Bearer {}\r\nx-organisation-identity: dev\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{",
            server.env["COFFER_TOKEN"]
        )
        .unwrap();
        // Answered on a connection that was opened later: the head above has been taken in.
        let healthy = Client::new().get(format!("http://{address}/healthz")).send().unwrap();
        assert!(healthy.status().is_success());
        server.signal(signal);
        while std::net::TcpStream::connect(&address).is_ok() {
            std::thread::yield_now();
        }
        stream.write_all(b"}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&base64("x")), "{answer}");
        assert_eq!(server.ended().0, Some(0), "{signal}");
    }
}

#[test]
fn no_core_is_ever_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = dev(&folder.path().join("data"));
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let bounds: Vec<_> = cores.split_whitespace().skip(4).take(2).collect();
    assert_eq!(bounds, ["0", "0"], "{cores}");
}
