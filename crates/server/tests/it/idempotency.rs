//! Idempotency keys: what is asked for twice under one is done once (contract, section 15, 11).

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use coffer_server::model::action::Action;
use coffer_server::model::identity::MemberRole;
use coffer_server::platform::root_keys::rewrap;
use serde_json::{Value as Json, json};

use crate::calls::{all_calls, target};
use crate::process::{Server, dev, secret};
use crate::token_endpoint::Machine;
use crate::world::{Answer, Asking, NOON, Person, World, base64, fresh_root};

const SECRETS: &str = "/v1/secrets/nl-01/secrets";
const TOKENS: &str = "/v1/me/personal-access-tokens";
const SECRET: &str = "/v1/secrets/nl-01/secret/app/a";
const PUT: &str = "/v1/secrets/nl-01/secret/app/a/versions";
const ROTATE: &str = "/v1/kms/nl-01/keys/default/rotate";
const DAY: i64 = 86_400_000_000;

impl<'w> Asking<'w> {
    fn under(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }
}

impl Answer {
    fn is_replay(&self) -> bool {
        self.header("idempotency-replayed") == "true"
    }
}

fn value(text: &str) -> Json {
    json!({"secretString": base64(text)})
}

/// A world with the secret `/app/a`.
async fn prepared() -> World {
    let world = World::new().await;
    world.secret("/app/a", "first").await;
    world
}

/// Puts a value under a key: the answer.
async fn put(world: &World, by: &Person, key: &str, text: &str) -> Answer {
    world.post(by, PUT).json(value(text)).under(key).send().await
}

/// The number of the last version.
async fn version(world: &World) -> i64 {
    let secret = world.get(&world.owner, SECRET).expect(200).await;
    secret.body["currentVersion"].as_i64().unwrap()
}

/// Every row of every table, but for the audit log.
fn rows(world: &World) -> BTreeSet<String> {
    let tables = world
        .tables()
        .into_iter()
        .filter(|name| !["audit_events", "audit_heads"].contains(&&**name));
    let rows = |name: String| {
        let rows = world.select(&format!("SELECT * FROM {name}")).into_iter();
        rows.map(move |row| format!("{name} {row:?}"))
    };
    tables.flat_map(rows).collect()
}

/// Answers that show something once: it is shown by no replay.
const SHOWN_ONCE: [&str; 4] = [
    "iam.invite.create",
    "iam.access-credential.create",
    "iam.token.create",
    "platform.organisation.create",
];

/// POSTs that know no key: the token endpoint changes nothing, and a code of an invite is good once.
const WITHOUT: [&str; 2] = ["auth.failure", "iam.invite.accept"];

#[tokio::test]
async fn every_post_that_changes_something_is_done_once() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    let mut changing = BTreeSet::new();
    let calls = all_calls();
    let posts = calls.iter().filter(|call| call.method == "POST");
    for call in posts.filter(|call| !WITHOUT.contains(&call.action)) {
        let about = format!("{} {}", call.action, call.url);
        let platform = call.action.starts_with("platform.");
        let by = if platform { &administrator } else { &world.owner };
        let target = target(&world, call.action, by).await;
        let url = call.url(&target);
        let key = world.fresh_id("");
        let send = async || call.send(world.post(by, &url).under(&key), &target).await;
        let first = send().await;
        assert!(first.status < 300 && !first.is_replay(), "{about}: {}", first.text);
        let before = rows(&world);
        let second = send().await;
        let action = Action::ALL.iter().find(|action| action.rule().name == call.action).unwrap();
        assert_eq!(second.is_replay(), action.changes_state(), "{about}: {}", second.text);
        if !action.changes_state() {
            continue;
        }
        assert_eq!(rows(&world), before, "{about}");
        assert_eq!(second.status, first.status, "{about}");
        for header in ["etag", "content-type", "cache-control"] {
            assert_eq!(second.header(header), first.header(header), "{about}: {header}");
        }
        match SHOWN_ONCE.contains(&call.action) {
            true => assert_eq!(second.body, json!({"identity": first.body["identity"]}), "{about}"),
            false => assert_eq!(second.text, first.text, "{about}"),
        }
        changing.insert(call.action);
    }
    let posts = posts_that_change();
    assert_eq!(changing, posts);
}

/// Actions of POSTs that change something, as the table of actions says.
pub fn posts_that_change() -> BTreeSet<&'static str> {
    let changes =
        |name: &str| Action::ALL.iter().any(|a| a.rule().name == name && a.changes_state());
    let posts = all_calls().into_iter().filter(|call| call.method == "POST");
    let names = posts.map(|call| call.action).filter(|name| !WITHOUT.contains(name));
    let names: BTreeSet<_> = names.filter(|name| changes(name)).collect();
    assert!(names.len() > 25, "{names:?}");
    names
}

#[tokio::test]
async fn another_request_under_the_same_key_is_a_conflict() {
    let world = prepared().await;
    world.secret("/app/b", "first").await;
    let project = world.project("inner").await;
    let ask = |url: &str, body: Json| world.post(&world.owner, url).json(body).under("k");
    ask(PUT, value("next")).expect(200).await;
    let before = rows(&world);
    for other in [
        ask(PUT, value("another")),
        ask("/v1/secrets/nl-01/secret/app/b/versions", value("next")),
        ask("/v1/secrets/nl-01/secret/versions?path=/app/a", value("next")),
        ask(&format!("{PUT}?x=1"), value("next")),
        ask(PUT, value("next")).project(&project),
        ask(PUT, value("next")).raw(format!("{} ", value("next")).as_bytes()),
        ask(PUT, value("next")).raw(b""),
        ask(PUT, value("next")).header("content-type", "text/plain"),
        ask(ROTATE, json!({})),
    ] {
        let refused = other.expect(409).await;
        assert!(refused.message().contains("idempotency key") && !refused.is_replay());
    }
    assert_eq!(rows(&world), before);
    let again = ask(PUT, value("next")).header("x-request-id", "other").header("accept", "*/*");
    assert!(again.expect(200).await.is_replay(), "the first one is still kept");
    let same = ask(PUT, value("next")).header("x-organisation-identity", &world.acme.slug);
    assert!(same.expect(200).await.is_replay(), "the organisation by its other name");
}

#[tokio::test]
async fn each_credential_has_keys_of_its_own_in_each_organisation() {
    let world = prepared().await;
    let other = world.person_with("secret", &["/app/*"], &["putSecretValue"]).await;
    for (by, made) in [(&world.owner, 2), (&other, 3), (&world.owner, 2), (&other, 3)] {
        assert_eq!(put(&world, by, "k", "next").await.body["version"], made);
    }
    let tokens = world.post(&world.owner, TOKENS);
    let second = tokens.json(json!({"name": "second"})).expect(201).await;
    let token = second.body["token"].as_str().unwrap().to_owned();
    let second = Person { token, ..world.owner.clone() };
    assert_eq!(put(&world, &second, "k", "next").await.body["version"], 4, "another token");
    // The same credential in another organisation.
    let (member, subject) = (world.fresh_id("m-"), world.owner.subject.clone());
    world
        .write(&world.globex.id, async move |tx| {
            tx.insert_member(&member, &subject, MemberRole::Owner, NOON).await
        })
        .await;
    let there = Person { organisation: world.globex.id.clone(), ..world.owner.clone() };
    let role = json!({"name": "r"});
    let made = |by: Person| {
        let asking = world.post(&by, "/v1/iam/roles").json(role.clone()).under("r");
        async move { asking.expect(201).await }
    };
    let (here, elsewhere) = (made(world.owner.clone()).await, made(there.clone()).await);
    assert!(!here.is_replay() && !elsewhere.is_replay());
    assert_ne!(here.body["identity"], elsewhere.body["identity"]);
    assert_eq!(made(there).await.body["identity"], elsewhere.body["identity"]);
}

#[tokio::test]
async fn an_access_token_has_the_keys_of_its_credential() {
    let world = prepared().await;
    let machine = Machine::new(&world, "secrets-full-access", json!({"name": "ci"})).await;
    let basic = format!("Basic {}", base64(format!("{}:{}", machine.key, machine.secret)));
    let shown = [basic, format!("Bearer {}", machine.token(&world).await)];
    let mut replays = Vec::new();
    for header in &shown {
        let put = world.post(&world.owner, PUT).header("authorization", header).under("k");
        replays.push(put.json(value("next")).expect(200).await.is_replay());
    }
    assert_eq!(replays, [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_at_once_one_is_done_and_all_have_its_answer() {
    let world = Arc::new(prepared().await);
    // A key takes a while to make, and is made ahead of the transaction.
    for (url, body, field) in
        [(PUT, value("next"), "version"), (ROTATE, json!({}), "latestVersion")]
    {
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let (world, body) = (world.clone(), body.clone());
                tokio::spawn(async move {
                    let by = &world.owner;
                    world.post(by, url).json(body).under(url).header("if-match", "*").send().await
                })
            })
            .collect();
        let (mut done, mut busy) = (0, 0);
        for call in calls {
            let answer = call.await.unwrap();
            match answer.status {
                200 => {
                    assert_eq!(answer.body[field], 2, "{url}");
                    done += i32::from(!answer.is_replay());
                }
                // Of keys that are made slowly, few may wait.
                429 if url == ROTATE => busy += 1,
                status => panic!("{url}: {status}"),
            }
        }
        assert!(done == 1 && busy < 200, "{url}: {done} done, {busy} turned away");
    }
    assert_eq!(version(&world).await, 2);
    let records = world.audit("action=secrets.putSecretValue&responseStatus=200").await;
    assert_eq!(records.len(), 200, "each call has a record");
}

#[tokio::test]
async fn after_24_hours_a_key_is_new() {
    let world = prepared().await;
    for (at, version, replay) in
        [(0, 2, false), (DAY - 1, 2, true), (DAY, 3, false), (2 * DAY - 1, 3, true)]
    {
        world.set_now(NOON + at);
        let answer = put(&world, &world.owner, "k", "next").await;
        assert_eq!((answer.body["version"].as_i64(), answer.is_replay()), (Some(version), replay));
    }
    world.set_now(NOON + 2 * DAY);
    assert_eq!(put(&world, &world.owner, "k", "another").await.body["version"], 4, "or another");
}

#[tokio::test]
async fn what_does_not_succeed_is_not_kept() {
    let world = World::new().await;
    assert_eq!(put(&world, &world.owner, "k", "next").await.status, 404);
    world.secret("/app/a", "first").await;
    let bad = world.post(&world.owner, PUT).json(json!({"secretString": "?"})).under("k");
    bad.expect(400).await;
    world.set_region_kms("nl-01", false).await;
    assert_eq!(put(&world, &world.owner, "k", "next").await.status, 503);
    assert_eq!(put(&world, &world.nobody, "k", "next").await.status, 403);
    world.set_region_kms("nl-01", true).await;
    let stale = world.post(&world.owner, PUT).json(value("next")).header("if-match", "\"9\"");
    stale.under("k").expect(412).await;
    let answer = put(&world, &world.owner, "k", "next").await;
    assert!(answer.body["version"] == 2 && !answer.is_replay(), "{}", answer.text);
    // What was done once is answered so, whatever has become of it.
    let stale = world.post(&world.owner, PUT).json(value("next")).header("if-match", "\"1\"");
    assert!(stale.under("k").expect(200).await.is_replay());
    world.delete(&world.owner, SECRET).expect(204).await;
    assert!(put(&world, &world.owner, "k", "next").await.is_replay());
}

#[tokio::test]
async fn a_replay_is_for_those_only_who_may_still_do_it() {
    let world = prepared().await;
    let writer = world.person_with("secret", &["/app/*"], &["putSecretValue"]).await;
    let rotator = world.person_with("kms_key", &[], &["rotate"]).await;
    let rotate = || world.post(&rotator, ROTATE).under("k");
    assert_eq!(put(&world, &writer, "k", "next").await.status, 200);
    rotate().expect(200).await;
    assert!(put(&world, &writer, "k", "next").await.is_replay());
    assert!(rotate().expect(200).await.is_replay());
    world.set_gates([false, true, true]).await;
    assert_eq!(put(&world, &writer, "k", "next").await.status, 403);
    world.set_gates([true, true, true]).await;
    let (app, subject) = (world.app.clone(), writer.subject.clone());
    let acme = world.acme.id.clone();
    // Taken away while the body comes.
    let late = world.post(&writer, PUT).json(value("next")).under("k").send_after(async move {
        let taken =
            app.store.write(&acme, async move |tx| tx.delete_bindings(("user", &subject)).await);
        taken.await.unwrap();
    });
    assert_eq!(late.await.status, 403);
    assert_eq!(put(&world, &writer, "k", "next").await.status, 403);
    let subject = rotator.subject.clone();
    world.write(&world.acme.id, async move |tx| tx.delete_bindings(("user", &subject)).await).await;
    rotate().expect(404).await;
    let subject = rotator.subject.clone();
    world.write(&world.acme.id, async move |tx| tx.delete_member(&subject).await).await;
    rotate().expect(403).await;
    assert_eq!(version(&world).await, 2);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = prepared().await;
    let administrator = world.administrator().await;
    let long = "k".repeat(129);
    let new = json!({"name": "New", "ownerEmail": "o@example.invalid"});
    for bad in ["", "   ", &long, "a\tb", "caf\u{e9}"] {
        for (by, url, body) in [
            (&world.owner, PUT, value("next")),
            (&world.owner, &*format!("{SECRET}/value"), json!({})),
            (&world.owner, "/v1/kms/nl-01/keys/default/encrypt", json!({"plaintext": "eA=="})),
            (&administrator, "/v1/platform/organisations", new.clone()),
        ] {
            let answer = world.post(by, url).json(body).under(bad).expect(400).await;
            assert!(answer.message().contains("idempotency-key"), "{bad}: {}", answer.text);
        }
    }
    let twice = world.post(&world.owner, PUT).json(value("next")).under("a");
    twice.add_header("idempotency-key", "b").expect(400).await;
    assert_eq!(version(&world).await, 1);
    assert_eq!(world.audit("action=secrets.putSecretValue&responseStatus=400").await.len(), 6);
    let good = "k".repeat(128);
    assert!(!put(&world, &world.owner, &good, "next").await.is_replay());
    assert!(put(&world, &world.owner, &good, "next").await.is_replay());
    // Other methods have no use for one.
    let twice = world.get(&world.owner, SECRET).under("").add_header("idempotency-key", "b");
    twice.expect(200).await;
    world.patch(&world.owner, SECRET).json(json!({"description": "d"})).under("").expect(200).await;
}

#[tokio::test]
async fn every_call_has_its_record_and_a_replay_says_that_it_is_one() {
    let world = prepared().await;
    let make = |name: &str| {
        let body = json!({"name": name});
        world.post(&world.owner, "/v1/kms/nl-01/keys").json(body).under("k")
    };
    let made = make("made").expect(201).await;
    assert_eq!(make("made").expect(201).await.body["identity"], made.body["identity"]);
    make("another").expect(409).await;
    let record = |record: &Json| {
        let fields = ["resourceIdentity", "description"];
        let [subject, description] =
            fields.map(|name| record[name].as_str().unwrap_or_default().to_owned());
        (record["context"]["status"].as_i64().unwrap(), subject, description)
    };
    let records = world.audit("action=kms.create").await;
    let id = made.body["identity"].as_str().unwrap();
    let [conflict, replay, first] = [0, 1, 2].map(|at| record(&records[at]));
    assert_eq!((first.0, &*first.1, &*first.2), (201, id, ""));
    assert_eq!((replay.0, &*replay.1), (201, id), "not of a key that is nowhere");
    assert!(replay.2.starts_with("answered as before"), "{}", replay.2);
    assert!(conflict.0 == 409 && conflict.2.contains("another request"), "{conflict:?}");
    // What a change implies is done once.
    for _ in 0..3 {
        assert_eq!(put(&world, &world.owner, "k2", "next").await.status, 200);
    }
    assert_eq!(world.audit("action=secrets.putSecretValue").await.len(), 3);
    assert_eq!(
        world.audit("action=kms.encrypt").await.len(),
        2,
        "the first version's and this one"
    );
}

/// Where the store keeps how much is kept.
fn room(world: &World) -> Vec<String> {
    rows(world).into_iter().filter(|row| row.starts_with("kept_answer_room")).collect()
}

#[tokio::test]
async fn expired_answers_are_dropped_and_their_room_is_free_again() {
    let world = prepared().await;
    for number in 0..300 {
        put(&world, &world.owner, &format!("k{number}"), "next").await;
    }
    world.set_now(NOON + DAY - 1);
    put(&world, &world.owner, "late", "next").await;
    let kept = || rows(&world).iter().filter(|row| row.starts_with("kept_answers")).count();
    coffer_server::jobs::forget_answers(&world.app).await.unwrap();
    assert_eq!(kept(), 301);
    world.set_now(NOON + DAY);
    // One that has expired and was not dropped gives its room to the next.
    put(&world, &world.owner, "k0", "next").await;
    assert!(room(&world)[0].contains("\"301\""), "{:?}", room(&world));
    coffer_server::jobs::forget_answers(&world.app).await.unwrap();
    assert_eq!(kept(), 2);
    assert!(room(&world)[0].contains("\"2\""), "{:?}", room(&world));
    assert!(put(&world, &world.owner, "late", "next").await.is_replay());
}

#[tokio::test]
async fn an_organisation_that_has_used_its_room_up_waits_or_goes_without() {
    let world = prepared().await;
    put(&world, &world.owner, "kept", "next").await;
    world.sql("UPDATE kept_answer_room SET kib = 262143");
    let before = version(&world).await;
    assert_eq!(put(&world, &world.owner, "fits", "next").await.status, 200);
    let refused = put(&world, &world.owner, "k", "next").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "3600"));
    assert_eq!(version(&world).await, before + 1, "what was refused was not done");
    assert!(put(&world, &world.owner, "kept", "next").await.is_replay());
    world.post(&world.owner, PUT).json(value("next")).expect(200).await;
    let role = json!({"name": "r"});
    let elsewhere = world.post(&world.stranger, "/v1/iam/roles").json(role).under("k");
    elsewhere.expect(201).await;
}

#[tokio::test]
async fn keys_outlive_a_restart_and_the_root_key() {
    let mut world = prepared().await;
    let (old, new) = (world.root.clone(), fresh_root());
    put(&world, &world.owner, "k", "next").await;
    for roots in [vec![&*old], vec![&*new, &*old], vec![&*new]] {
        world.restart(&roots).await.unwrap();
        rewrap(&world.app).await.unwrap();
        assert!(put(&world, &world.owner, "k", "next").await.is_replay());
        assert_eq!(put(&world, &world.owner, "k", "another").await.status, 409);
    }
    assert_eq!(version(&world).await, 2);
}

/// Whether a file of the data folder has these bytes.
fn is_stored(world: &World, needle: &[u8]) -> bool {
    let mut files = std::fs::read_dir(world.folder.path()).unwrap();
    files.any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn no_file_has_a_key_a_value_a_token_or_a_plain_hash_of_one() {
    const PIN: &str = "pin-that-is-short-4711";
    let world = World::new().await;
    if !world.is_embedded() {
        return;
    }
    let made = json!({"path": "/app/a", "kmsKeyIdentity": "default", "description": "to-be-found",
        "secretString": base64(PIN)});
    let (body, new) = (value(PIN), json!({"name": "t"}));
    // As a client that makes its keys of what it sends.
    let hash = |text: &str| digest(&SHA256, text.as_bytes()).as_ref().to_vec();
    let hex = |text: &str| hash(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = hex(PIN);
    let mut shown = Vec::new();
    for _ in 0..2 {
        world.post(&world.owner, SECRETS).json(made.clone()).under(&key).expect(201).await;
        world.post(&world.owner, PUT).json(body.clone()).under(PIN).expect(200).await;
        let token = world.post(&world.owner, TOKENS).json(new.clone()).under("t").expect(201).await;
        shown.extend(token.body["token"].as_str().map(str::to_owned));
    }
    assert_eq!(shown.len(), 1, "a token is shown once");
    let texts = [PIN.to_owned(), base64(PIN), made.to_string(), body.to_string(), key];
    for text in texts.iter().chain(&shown) {
        assert!(!is_stored(&world, text.as_bytes()), "{text}");
        let hashes = [hex(text).into_bytes(), base64(hash(text)).into_bytes(), hash(text)];
        for (at, hash) in hashes.iter().enumerate() {
            // A token is found by its hash.
            let is_known = at == 2 && shown.contains(text);
            assert_eq!(is_stored(&world, hash), is_known, "a hash of {text}");
        }
    }
    assert!(is_stored(&world, b"to-be-found"), "the search finds what is there");
}

/// Sends a put under a key on a connection of its own, and waits for no answer.
fn send_put(server: &Server, key: &str, body: &Json) -> TcpStream {
    let address = server.env["COFFER_ENDPOINT"].strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let (token, body) = (&server.env["COFFER_TOKEN"], body.to_string());
    write!(
        stream,
        "POST {PUT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         x-organisation-identity: dev\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

/// Each round: a put is sent and the server is killed before it has answered; asked for again under its key it is
/// there once, whether it was done before or not.
#[test]
fn a_retry_after_kill_9_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let http =
        reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let (mut server, mut done_before) = (dev(&data), 0);
    assert_eq!(server.json(&http, "POST", SECRETS, secret(&server, "/app/a", "first")).0, 201);
    let current = |server: &Server| {
        let (_, secret) = server.json(&http, "GET", SECRET, Json::Null);
        secret["currentVersion"].as_i64().unwrap()
    };
    for round in 0..12_u64 {
        let (key, body) = (format!("round {round}"), value("next"));
        let before = current(&server);
        let stream = send_put(&server, &key, &body);
        std::thread::sleep(Duration::from_micros(150 * round));
        server.signal("-9");
        drop((stream, server));
        server = dev(&data);
        let was_done = current(&server) == before + 1;
        done_before += i32::from(was_done);
        let retry = server.call(&http, "POST", PUT).header("idempotency-key", &key).json(&body);
        let answer = retry.send().unwrap();
        let is_replay = answer.headers().contains_key("idempotency-replayed");
        assert_eq!((answer.status().as_u16(), is_replay), (200, was_done), "round {round}");
        assert_eq!(answer.json::<Json>().unwrap()["version"], before + 1, "round {round}");
        assert_eq!(current(&server), before + 1, "round {round}");
    }
    println!("done before the kill: {done_before} of 12");
    server.kill();
}
