//! Sinks: every record arrives, in order, however badly whoever takes them behaves, and nobody waits for it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_server::app::App;
use coffer_server::audit;
use coffer_server::backup::Progress;
use coffer_server::config::sinks::SinkConfig;
use coffer_server::store::{Store, lock};
use coffer_server::{jobs, platform, sinks};
use reqwest::blocking::Client;
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::custody::{Operator, is_kept, keep};
use crate::process::Server;
use crate::sink_receivers::{Manner, Syslog, Webhook};
use crate::world::{NOON, World, keyring, postgres};

const DAY: i64 = 86_400_000_000;
const SECRET: &str = "whsec-0123456789abcdef0123456789abcdef";
const REVEAL: &str = "/v1/secrets/nl-01/secret/app/a/value";
/// A test that waits longer fails.
const PATIENCE: Duration = Duration::from_secs(40);

/// A world with sinks, each given as settings are written.
async fn world(sinks: &[&str]) -> World {
    let read = |text: &&str| toml::from_str::<SinkConfig>(text).unwrap();
    let sinks = sinks.iter().map(read).collect();
    let world = World::with(|config| {
        config.audit.sinks = sinks;
        config.audit.retention_days = 10;
        let file = config.data.join("webhook.secret");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    })
    .await;
    world.secret("/app/a", "hunter2").await;
    world
}

fn file_sink(name: &str) -> String {
    format!("kind = 'file'\nname = '{name}'\npath = '{name}.jsonl'")
}

fn webhook_sink(hook: &Webhook) -> String {
    format!("kind = 'webhook'\nname = 'hook'\nurl = '{}'\nsecret_file = 'webhook.secret'", hook.url)
}

/// What gives the sinks of a server their records.
struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = jobs::start_sinks(app, sinks::open(&app.config).unwrap(), &stopped);
        Self { stop, tasks }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn reveal(world: &World, count: usize) {
    for _ in 0..count {
        world.post(&world.owner, REVEAL).expect(200).await;
    }
}

/// Records and checkpoints of the log, as an export has them, by where they stand.
fn exported(world: &World) -> HashMap<(String, i64, i64), String> {
    world.write_root_key(&world.app.config.data);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("export");
    let export =
        || coffer_server::proof::export(&world.app.config, None, &out, &Progress::default());
    // It has a runtime of its own.
    std::thread::scope(|scope| scope.spawn(export).join().unwrap()).unwrap();
    let text = fs::read_to_string(out).unwrap();
    text.lines().filter_map(|line| Some((place(line)?, line.to_owned()))).collect()
}

/// Organisation, stream and number of a record or a checkpoint.
fn place(line: &str) -> Option<(String, i64, i64)> {
    let line: Json = serde_json::from_str(line).unwrap_or_else(|_| panic!("not whole: {line}"));
    let text = |text: &Json| text.as_str().unwrap().to_owned();
    if let Some(record) = line.get("record") {
        let stream = record["chain"]["stream"].as_str()?.parse().unwrap();
        let number = record["chain"]["number"].as_i64().unwrap();
        return Some((text(&record["organisation_id"]), stream, number));
    }
    let checkpoint = line.get("checkpoint")?;
    Some((text(&checkpoint["organisation"]), 0, checkpoint["number"].as_i64().unwrap()))
}

/// How many lines have arrived twice. All others are as the export has them, in the order of their streams.
fn check_all(world: &World, lines: &[String]) -> usize {
    let (all, mut seen) = (exported(world), HashMap::<(String, i64), i64>::new());
    let mut twice = 0;
    for line in lines {
        let place = place(line).unwrap_or_else(|| panic!("no record: {line}"));
        assert_eq!(Some(line), all.get(&place), "{place:?}");
        let (organisation, stream, number) = place;
        let last = seen.entry((organisation, stream)).or_default();
        match number {
            number if number == *last + 1 => *last = number,
            number => {
                assert!(number <= *last, "{number} behind {last} of {stream}");
                twice += 1;
            }
        }
    }
    assert_eq!(lines.len(), all.len() + twice, "something is missing");
    twice
}

fn lines_of(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Records and checkpoints in the store.
fn total(world: &World) -> usize {
    let checkpoints = "(SELECT COUNT(*) FROM audit_checkpoints)";
    let count = world.count(&format!("SELECT COUNT(*) + {checkpoints} FROM audit_events"));
    usize::try_from(count).unwrap()
}

async fn figure(app: &Arc<App>, name: &str) -> String {
    let text = app.metrics.text(&platform::figures(app).await);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or("none").to_owned()
}

async fn until_lag(app: &Arc<App>, sink: &str, expected: &str) {
    let (name, started) = (format!("coffer_sink_lag_seconds{{sink=\"{sink}\"}}"), Instant::now());
    while figure(app, &name).await != expected {
        assert!(started.elapsed() < PATIENCE, "{sink}: {}", figure(app, &name).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_record_arrives_in_a_file_once_and_in_order() {
    let world = world(&[&file_sink("all")]).await;
    // What was there before, and what comes while it goes on.
    audit::checkpoint_all(&world.app).await.unwrap();
    let running = Running::start(&world.app);
    for _ in 0..10 {
        let reveals = (0..40).map(|_| world.post(&world.owner, REVEAL).expect(200));
        futures_util::future::join_all(reveals).await;
        world.get(&world.stranger, "/v1/kms/nl-01/keys").expect(200).await;
    }
    audit::checkpoint_all(&world.app).await.unwrap();
    let (file, all) = (world.folder.path().join("all.jsonl"), total(&world));
    assert!(all > 800, "{all}");
    until("all records", || lines_of(&file).len() >= all).await;
    running.stop().await;
    assert_eq!(check_all(&world, &lines_of(&file)), 0);
    let rights = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(rights & 0o777, 0o600);
    assert_eq!(figure(&world.app, "coffer_sink_lag_seconds{sink=\"all\"}").await, "0.0");
    let taken = figure(&world.app, "coffer_sink_records_total{sink=\"all\"}").await;
    assert_eq!(taken, all.to_string());
    assert_eq!(figure(&world.app, "coffer_sink_failures_total{sink=\"all\"}").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_rotated_and_nothing_is_lost_with_it() {
    let sink = format!("{}\nrotate_mebibytes = 1\nkeep = 20", file_sink("all"));
    let world = world(&[&sink]).await;
    reveal(&world, 100).await;
    let long = "x".repeat(20_000);
    world.sql(&format!("UPDATE audit_events SET user_agent = '{long}'"));
    let running = Running::start(&world.app);
    let folder = world.folder.path().to_owned();
    let lines = || {
        let rotated = (1..=20).rev().map(|number| folder.join(format!("all.jsonl.{number}")));
        let files = rotated.chain([folder.join("all.jsonl")]).filter(|file| file.exists());
        files.map(|file| lines_of(&file)).collect::<Vec<_>>()
    };
    let all = total(&world);
    until("all records", || lines().concat().len() >= all).await;
    running.stop().await;
    assert!(lines().len() >= 4, "{}", lines().len());
    let sizes = lines().iter().map(|file| file.iter().map(String::len).sum()).collect::<Vec<_>>();
    assert!(sizes.iter().all(|size: &usize| *size <= 1 << 20), "{sizes:?}");
    assert_eq!(check_all(&world, &lines().concat()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_goes_on_where_it_was() {
    let world = world(&[&file_sink("all")]).await;
    let file = world.folder.path().join("all.jsonl");
    for round in 0..4 {
        let running = Running::start(&world.app);
        reveal(&world, 10).await;
        // What is left is given at the end.
        running.stop().await;
        assert_eq!(lines_of(&file).len(), total(&world), "{round}");
        reveal(&world, 10).await;
    }
    Running::start(&world.app).stop().await;
    assert_eq!(check_all(&world, &lines_of(&file)), 0);
}

/// A certificate for `localhost`, and who speaks TLS with it.
fn certified(folder: &Path) -> TlsAcceptor {
    let (key, certificate) = (folder.join("syslog.key"), folder.join("syslog.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    openssl.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=CA:FALSE",
    ]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        );
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_syslog_receiver_gets_every_message_in_clear_or_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    for tls in [None, Some(certified(folder.path()))] {
        let transport = match &tls {
            None => "transport = 'tcp'".to_owned(),
            Some(_) => format!("ca_file = '{}/syslog.pem'", folder.path().display()),
        };
        let syslog = Syslog::new(2, tls).await;
        let sink =
            format!("kind = 'syslog'\nname = 's'\naddress = '{}'\n{transport}", syslog.address);
        let world = world(&[&sink]).await;
        reveal(&world, 30).await;
        audit::checkpoint_all(&world.app).await.unwrap();
        let running = Running::start(&world.app);
        let all = total(&world);
        until("all messages", || syslog.messages().len() >= all).await;
        running.stop().await;
        // What it broke off has come again.
        assert!(syslog.is_reliable());
        let messages = syslog.messages();
        for message in &messages {
            assert_eq!(message.at, "2026-01-15T12:00:00Z");
            assert!(message.text.starts_with(&format!("{{\"{}\":", message.kind)), "{message:?}");
        }
        let lines: Vec<_> = messages.into_iter().map(|message| message.text).collect();
        assert_eq!(check_all(&world, &lines), 0);
        let failures = figure(&world.app, "coffer_sink_failures_total{sink=\"s\"}").await;
        assert_eq!(failures, "2");
    }
}

/// Whoever has another certificate than the settings name gets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_syslog_receiver_without_the_right_certificate_gets_nothing() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certified(other.path());
    let syslog = Syslog::new(0, Some(certified(folder.path()))).await;
    let ca_file = other.path().join("syslog.pem");
    let address = &syslog.address;
    let sink = format!(
        "kind = 'syslog'\nname = 's'\naddress = '{address}'\nca_file = '{}'",
        ca_file.display()
    );
    let world = world(&[&sink]).await;
    Running::start(&world.app).stop().await;
    assert!(syslog.messages().is_empty());
    assert_eq!(figure(&world.app, "coffer_sink_failures_total{sink=\"s\"}").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_gets_signed_batches() {
    let hook = Webhook::new(Manner::Failing).await;
    let world = world(&[&webhook_sink(&hook)]).await;
    reveal(&world, 600).await;
    let running = Running::start(&world.app);
    until("a second try", || hook.batches().len() >= 2).await;
    hook.answers(Manner::Redirecting);
    until("a third try", || hook.batches().iter().any(|b| !b.is_taken) && hook.calls() >= 3).await;
    hook.answers(Manner::Well);
    let all = total(&world);
    until("all records", || hook.lines().len() >= all).await;
    running.stop().await;
    assert_eq!(check_all(&world, &hook.lines()), 0);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let batches = hook.batches();
    for batch in &batches {
        let signed = format!("{}.{}", NOON / 1_000_000, batch.body);
        let expected = hex(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref());
        let time = NOON / 1_000_000;
        assert_eq!(batch.header("coffer-signature"), format!("t={time},v1={expected}"));
        assert_eq!(batch.header("content-type"), "application/x-ndjson");
        assert!(batch.body.len() < 300_000 && batch.body.lines().count() <= 500);
    }
    // The same batch has the same name, and no other one has.
    let name = |at: usize| (batches[at].header("coffer-delivery"), &batches[at].body);
    assert_eq!(name(0), name(1));
    let mut names: Vec<_> = (0..batches.len()).map(name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), batches.iter().filter(|batch| batch.is_taken).count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_webhook_that_hangs_keeps_nobody_waiting_and_loses_nothing() {
    let hook = Webhook::new(Manner::Silent).await;
    let world = world(&[&webhook_sink(&hook), &file_sink("beside")]).await;
    let timed = async || {
        let started = Instant::now();
        reveal(&world, 100).await;
        started.elapsed()
    };
    let before = timed().await;
    let running = Running::start(&world.app);
    until("a call", || hook.calls() > 0).await;
    let during = timed().await;
    assert!(during < before * 3 + Duration::from_secs(1), "{during:?} instead of {before:?}");
    let file = world.folder.path().join("beside.jsonl");
    until("the other sink", || lines_of(&file).len() == total(&world)).await;
    // By now it lags, and the other one does not.
    world.set_now(NOON + 30_000_000);
    until_lag(&world.app, "hook", "30.0").await;
    until_lag(&world.app, "beside", "0.0").await;
    assert_eq!(figure(&world.app, "coffer_sink_records_total{sink=\"hook\"}").await, "none");
    hook.answers(Manner::Well);
    let all = total(&world);
    until("all records", || hook.lines().len() >= all).await;
    running.stop().await;
    assert_eq!(check_all(&world, &hook.lines()), 0);
    assert_eq!(figure(&world.app, "coffer_sink_lag_seconds{sink=\"hook\"}").await, "0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_never_answered_is_made_again() {
    let hook = Webhook::new(Manner::SilentOnce).await;
    let world = world(&[&webhook_sink(&hook)]).await;
    let running = Running::start(&world.app);
    let all = total(&world);
    until("all records", || hook.lines().len() >= all).await;
    assert_eq!(check_all(&world, &hook.lines()), 0);
    assert_eq!(figure(&world.app, "coffer_sink_failures_total{sink=\"hook\"}").await, "1");
    // A server that is asked to stop does not wait for who does not answer.
    hook.answers(Manner::Silent);
    let calls = hook.calls();
    reveal(&world, 1).await;
    until("one more call", || hook.calls() > calls).await;
    let started = Instant::now();
    running.stop().await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sink_has_not_got_is_not_dropped_however_old_it_is() {
    let hook = Webhook::new(Manner::Failing).await;
    let world = world(&[&webhook_sink(&hook)]).await;
    for day in 0..20 {
        world.set_now(NOON + day * DAY);
        reveal(&world, 2).await;
        audit::checkpoint_all(&world.app).await.unwrap();
    }
    let all = total(&world);
    for _ in 0..12 {
        assert_eq!(audit::expire(&world.app).await.unwrap(), 0);
    }
    assert_eq!(total(&world), all);
    let everything = exported(&world);
    // A sink that is called otherwise is another one, and holds nothing back.
    hook.answers(Manner::Well);
    let running = Running::start(&world.app);
    until("all records", || hook.lines().len() >= all).await;
    running.stop().await;
    assert!(hook.lines().iter().all(|line| everything[&place(line).unwrap()] == *line));
    let positions = "SELECT COUNT(*) FROM audit_sink_positions";
    let before = world.count(positions);
    for _ in 0..12 {
        audit::expire(&world.app).await.unwrap();
    }
    let oldest = world.count("SELECT MIN(at) FROM audit_events");
    assert!(oldest >= NOON + 8 * DAY, "{oldest}");
    world.verify_log().unwrap();
    // Of streams that are gone nothing is kept.
    assert!(world.count(positions) <= before);
    let kept =
        "SELECT COUNT(*) FROM audit_sink_positions p JOIN audit_bases b ON b.stream = p.stream
        AND b.organisation_id = p.organisation_id WHERE p.number <= b.number";
    assert_eq!(world.count(kept), 0);
    // What was dropped is not looked for; what comes next is given.
    let (had, left) = (hook.lines().len(), total(&world));
    reveal(&world, 5).await;
    Running::start(&world.app).stop().await;
    let more = hook.lines().len() - had;
    assert!(more >= 10 && more < left, "{more}");
}

/// One more server with connections and memory of its own on the store of a world.
async fn another(world: &World) -> (Arc<App>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = world.app.config.clone();
    let store = Store::connect(&config.store, folder.path(), lock(folder.path()).unwrap()).unwrap();
    let app = App::new(store, keyring(&[&world.root]), world.app.clock.clone(), config);
    coffer_server::prepare(&app).await.unwrap();
    (app, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_servers_one_gives_and_the_other_takes_over() {
    if postgres().is_none() {
        return;
    }
    let hook = Webhook::new(Manner::Well).await;
    let world = world(&[&webhook_sink(&hook)]).await;
    let (second, _folder) = another(&world).await;
    let first_runs = Running::start(&world.app);
    until("a record", || !hook.lines().is_empty()).await;
    let second_runs = Running::start(&second);
    let servers = [world.app.clone(), second.clone()];
    let calls = async |count: usize| {
        for n in 0..count {
            let call = world.post(&world.owner, REVEAL).send_to(servers[n % 2].clone());
            assert_eq!(call.await.status, 200);
        }
    };
    calls(60).await;
    // Those of the other server as well, within a few seconds.
    let started = Instant::now();
    until("all records", || hook.lines().len() >= total(&world)).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(check_all(&world, &hook.lines()), 0);
    let lag = "coffer_sink_lag_seconds{sink=\"hook\"}";
    assert_eq!([figure(&world.app, lag).await, figure(&second, lag).await], ["0.0", "none"]);
    // The first one goes away without a word; its time is over later.
    for task in &first_runs.tasks {
        task.abort();
    }
    drop(first_runs);
    calls(20).await;
    world.set_now(NOON + 60_000_000);
    until("all records", || hook.lines().len() >= total(&world)).await;
    check_all(&world, &hook.lines());
    assert_eq!(figure(&second, lag).await, "0.0");
    second_runs.stop().await;
    // Whoever stops well leaves it to the others at once.
    let again = Running::start(&world.app);
    calls(20).await;
    until("all records", || hook.lines().len() >= total(&world)).await;
    again.stop().await;
    check_all(&world, &hook.lines());
    second.store.close();
}

/// What one server's settings do not name, another one may tend.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_of_another_server_holds_records_back_as_well() {
    if postgres().is_none() {
        return;
    }
    let hook = Webhook::new(Manner::Failing).await;
    let mut world = world(&[&webhook_sink(&hook)]).await;
    reveal(&world, 5).await;
    Running::start(&world.app).stop().await;
    let (without, _folder) = {
        let mut config = world.app.config.clone();
        config.audit.sinks.clear();
        let folder = tempfile::tempdir().unwrap();
        let lock = lock(folder.path()).unwrap();
        let store = Store::connect(&config.store, folder.path(), lock).unwrap();
        let app = App::new(store, keyring(&[&world.root]), world.app.clock.clone(), config);
        coffer_server::prepare(&app).await.unwrap();
        (app, folder)
    };
    world.set_now(NOON + 20 * DAY);
    // Its server has tended it today.
    Running::start(&world.app).stop().await;
    assert_eq!(audit::expire(&without).await.unwrap(), 0);
    // Nobody has for two days.
    world.set_now(NOON + 22 * DAY);
    assert!(audit::expire(&without).await.unwrap() > 0);
    let first = std::mem::replace(&mut world.app, without);
    first.store.close();
}

/// An operator's server with a file sink and figures on the real clock, under a file-size limit.
fn limited(operator: &Operator, bytes: u64) -> Server {
    let run = format!(
        "trap '' XFSZ; ulimit -S -f {}; exec {} serve --config {}",
        bytes / 1024,
        env!("CARGO_BIN_EXE_cofferd"),
        operator.file("coffer.toml").display()
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &run]).stdin(std::process::Stdio::null());
    bash.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    operator.started(&mut bash)
}

/// A file-size limit stands in for a full disk: the file was long before, so that the store still has room.
#[test]
fn a_file_on_a_full_disk_holds_whole_lines_and_goes_on_when_there_is_room() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.bootstrap();
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let sink = "[[audit.sinks]]\nname = 'all'\nkind = 'file'\npath = 'all.jsonl'\n";
    fs::write(operator.file("coffer.toml"), format!("{config}\n{sink}")).unwrap();
    let file = operator.file("data/all.jsonl");
    let filler = "{\"before\":true}\n".repeat(2 << 20);
    fs::write(&file, &filler).unwrap();
    let limit = (filler.len() + 40 * 1024) as u64;
    let server = limited(&operator, limit);
    keep(&server, &http);
    for _ in 0..60 {
        is_kept(&server, &http);
    }
    let length = || fs::metadata(&file).unwrap().len();
    let tail = || {
        let text = fs::read_to_string(&file).unwrap();
        text[filler.len()..].to_owned()
    };
    // Whatever it tries for two seconds, no half of a line is there between two tries, and the service goes on.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        is_kept(&server, &http);
        assert!(length() <= limit);
    }
    assert!(tail().lines().all(|line| serde_json::from_str::<Json>(line).is_ok()));
    let pid = server.child.id().to_string();
    let more = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(more.unwrap().success());
    let deadline = Instant::now();
    while tail().lines().filter(|line| line.contains("secrets.getSecretValue")).count() < 61 {
        assert!(deadline.elapsed() < PATIENCE, "{}", tail().lines().count());
        std::thread::sleep(Duration::from_millis(50));
    }
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("records do not get to a sink").count(), 1, "{log}");
    assert_eq!(log.matches("records get to a sink again").count(), 1, "{log}");
    assert!(log.contains("File too large"), "{log}");
    // All of it, whole and once.
    let tail = tail();
    let mut places: Vec<_> = tail.lines().map(|line| place(line).unwrap()).collect();
    let count = places.len();
    places.sort();
    places.dedup();
    let database = rusqlite::Connection::open(operator.file("data/coffer.db")).unwrap();
    let all = "SELECT COUNT(*) + (SELECT COUNT(*) FROM audit_checkpoints) FROM audit_events";
    let all: i64 = database.query_row(all, [], |row| row.get(0)).unwrap();
    assert_eq!((places.len(), count), (usize::try_from(all).unwrap(), count));
    assert_eq!(count, places.len(), "some came twice");
}

/// Killed at any time, a server goes on behind the last line that is whole.
#[test]
fn a_server_that_is_killed_loses_nothing() {
    let mut operator = Operator::new();
    let http = Client::new();
    operator.configure("");
    operator.bootstrap();
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let sink = "[[audit.sinks]]\nname = 'all'\nkind = 'file'\npath = 'all.jsonl'\n";
    fs::write(operator.file("coffer.toml"), format!("{config}\n{sink}")).unwrap();
    let file = operator.file("data/all.jsonl");
    for round in 0..5 {
        let server = operator.serve();
        if round == 0 {
            keep(&server, &http);
        }
        for _ in 0..30 + 10 * round {
            is_kept(&server, &http);
        }
        server.kill();
        // As if it had been in the middle of one.
        let mut text = fs::read_to_string(&file).unwrap_or_default();
        text.push_str("{\"record\":{\"at\":17");
        fs::write(&file, text).unwrap();
    }
    assert_eq!(operator.serve().stop().0, Some(0));
    let mut places: Vec<_> = lines_of(&file).iter().map(|line| place(line).unwrap()).collect();
    places.sort();
    places.dedup();
    let database = rusqlite::Connection::open(operator.file("data/coffer.db")).unwrap();
    let all = "SELECT COUNT(*) + (SELECT COUNT(*) FROM audit_checkpoints) FROM audit_events";
    let all: i64 = database.query_row(all, [], |row| row.get(0)).unwrap();
    assert_eq!(places.len(), usize::try_from(all).unwrap());
}

#[test]
fn a_server_does_not_start_with_a_sink_that_cannot_be() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.bootstrap();
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let hook = "name = 'h'\nkind = 'webhook'\nsecret_file = '../secret'\nurl";
    operator.write_private("secret", &"x".repeat(31));
    for (sink, expected) in [
        (format!("{hook} = 'https://localhost/'"), "holds less than 32 bytes"),
        (format!("{hook} = 'http://siem.example.com/'"), "must begin with `https://`"),
        (format!("{hook} = 'https://localhost/'\nca_file = 'none'"), "none holds no certificates"),
        (format!("{hook} = 'https://localhost/'").replace("../secret", "none"), "none is missing"),
        ("name = 's'\nkind = 'syslog'\naddress = 'siem'".to_owned(), "is not `host:port`"),
        ("name = 'f'\nkind = 'file'\npath = '..'".to_owned(), "is no path of a file"),
    ] {
        let text = format!("{config}\n[[audit.sinks]]\n{sink}\n");
        fs::write(operator.file("coffer.toml"), text).unwrap();
        operator.refused(expected);
    }
    operator.write_private("secret", SECRET);
    fs::set_permissions(operator.file("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("{config}\n[[audit.sinks]]\n{hook} = 'https://localhost/'\n");
    fs::write(operator.file("coffer.toml"), text).unwrap();
    operator.refused("can be read by others");
}
