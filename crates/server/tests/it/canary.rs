//! A canary sent through every door is found nowhere it should not be (contract, section 7).

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use crate::key_import::Customer;
use crate::world::{Answer, Asking, Person, World, base64};

const CANARY: &str = "canary:7f3a9c:do-not-leak:4711";
/// A text that may be seen, to show that the search finds what is there.
const MARKER: &str = "marker-that-may-be-seen";

/// What must not be found: the canary and its base64, wherever it begins in a longer text.
fn needles() -> Vec<String> {
    let mut needles = vec![CANARY.to_owned(), base64(CANARY)];
    for shift in 1..3 {
        let shifted = base64(format!("{}{CANARY}", "x".repeat(shift)));
        needles.push(shifted[4..shifted.len() - 4].to_owned());
    }
    needles
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(needle)
}

/// Every file of the data folder, by name.
fn files(world: &World) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(world.folder.path()).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// Looks through the audit log and every file; `needles` must be nowhere, the marker must be found.
async fn check_stored(world: &World, needles: &[String]) {
    let log = world.get(&world.owner, "/v1/audit?limit=500&includeSystemServices=true");
    let log = log.expect(200).await.text;
    let mut places = vec![("the audit log".to_owned(), log.into_bytes())];
    places.extend(files(world));
    places.push(("the database".to_owned(), world.everything().into_bytes()));
    for name in ["coffer.db", "coffer.db-wal", "coffer.db-shm"] {
        assert!(!world.is_embedded() || places.iter().any(|(place, _)| place == name), "{name}");
    }
    assert!(places.iter().any(|(_, bytes)| contains(bytes, MARKER)), "the search finds nothing");
    for (place, bytes) in &places {
        for needle in needles {
            assert!(!contains(bytes, needle), "{needle} in {place}");
        }
    }
}

fn check_answer(about: &str, answer: &Answer, needles: &[String]) {
    let headers = format!("{:?}", answer.headers);
    for needle in needles {
        assert!(!answer.text.contains(needle), "{about}: {needle} in {}", answer.text);
        assert!(!headers.contains(needle), "{about}: {needle} in {headers}");
    }
}

/// A log in memory, of every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Collects what this thread logs until the guard is dropped.
    fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn check(&self, needles: &[String]) {
        let bytes = self.0.lock().unwrap();
        assert!(!bytes.is_empty(), "nothing was logged");
        needles.iter().for_each(|needle| assert!(!contains(&bytes, needle), "{needle} in the log"));
    }
}

const SECRETS: &str = "/v1/secrets/nl-01/secrets";
const SECRET: &str = "/v1/secrets/nl-01/secret/app/a";
const KEY: &str = "/v1/kms/nl-01/keys/default";

/// Makes `/app/a` with the canary and reveals it; the canary is in three versions and in a ciphertext.
async fn use_the_canary(world: &World, needles: &[String]) {
    let owner = &world.owner;
    let value = json!({"secretString": base64(CANARY)});
    let values = json!({"secretKeyValues": {"user": base64(CANARY), "b": base64("xx")}});
    let made = json!({"path": "/app/a", "kmsKeyIdentity": "default", "description": MARKER,
        "secretString": base64(CANARY)});
    // Clients make keys of what they send.
    let keyed = |url: &str, body: &Json| {
        world.post(owner, url).json(body.clone()).header("idempotency-key", CANARY)
    };
    let mut answers = vec![keyed(SECRETS, &made).expect(201).await];
    answers.push(keyed(SECRETS, &made).expect(201).await);
    answers.push(keyed(SECRETS, &values).expect(400).await);
    answers.push(keyed(&format!("{SECRET}/versions"), &value).expect(409).await);
    let kv = json!({"path": "/app/kv", "kmsKeyIdentity": "default",
        "secretKeyValues": {"user": base64(CANARY)}});
    answers.push(world.post(owner, SECRETS).json(kv).expect(201).await);
    let versions = format!("{SECRET}/versions");
    answers.push(world.post(owner, &versions).json(value.clone()).expect(200).await);
    answers.push(world.post(owner, &versions).json(values).expect(200).await);
    let by_query = "/v1/secrets/nl-01/secret/versions?path=/app/a";
    answers.push(world.post(owner, by_query).json(value).expect(200).await);
    for context in [json!(null), json!(base64(CANARY))] {
        let mut body = json!({"plaintext": base64(CANARY)});
        if context.is_string() {
            body["context"] = context;
        }
        let sealed = world.post(owner, &format!("{KEY}/encrypt")).json(body.clone()).expect(200);
        let sealed = sealed.await;
        body.as_object_mut().unwrap().remove("plaintext");
        body["ciphertext"] = sealed.body["ciphertext"].clone();
        let opened = world.post(owner, &format!("{KEY}/decrypt")).json(body).expect(200).await;
        assert_eq!(opened.body["plaintext"], base64(CANARY));
        answers.push(sealed);
    }
    answers.extend(use_keys(world).await);
    for version in [1, 2, 3, 4] {
        let revealed = world.post(owner, &format!("{SECRET}/value"));
        let revealed = revealed.json(json!({"version": version})).expect(200).await;
        assert!(revealed.text.contains(&base64(CANARY)), "{version}");
    }
    let described = world.patch(owner, SECRET).json(json!({"labels": {"note": MARKER}}));
    answers.push(described.expect(200).await);
    for url in [SECRET, SECRETS, "/v1/secrets/nl-01/secrets?pathPrefix=/", KEY] {
        answers.push(world.get(owner, url).expect(200).await);
    }
    answers.push(world.get(owner, &format!("{SECRET}?includeVersions=true")).expect(200).await);
    for answer in &answers {
        check_answer("a good call", answer, needles);
    }
}

/// Signs the canary, computes its HMAC, and imports key material that is the canary.
async fn use_keys(world: &World) -> Vec<Answer> {
    let owner = &world.owner;
    let keys = "/v1/kms/nl-01/keys";
    let mut answers = Vec::new();
    for (key_type, operation, verify, field) in
        [("ed25519", "sign", "verify", "signature"), ("hmac", "hmac", "verify-hmac", "hmac")]
    {
        world.key_of(owner, json!({"name": key_type, "keyType": key_type})).await;
        let mut body = json!({"input": base64(CANARY)});
        let url = format!("{keys}/{key_type}");
        let made = world.post(owner, &format!("{url}/{operation}")).json(body.clone());
        let made = made.expect(200).await;
        body[field] = made.body[field].clone();
        answers.push(world.post(owner, &format!("{url}/{verify}")).json(body).expect(200).await);
        answers.push(made);
    }
    let material = format!("{CANARY}xx");
    let customer = Customer::new(world, "nl-01").await;
    let blob = customer.wrapped(&aws_lc_rs::rsa::OAEP_SHA256_MGF1SHA256, material.as_bytes());
    let body = json!({"name": "mine", "exportAllowed": true, "importKeyMaterial": base64(blob)});
    answers.push(world.post(owner, keys).json(body).expect(201).await);
    let exported = world.post(owner, &format!("{keys}/mine/export")).expect(200).await;
    assert_eq!(exported.body["keyMaterial"], base64(material));
    answers
}

/// Every endpoint that takes a body: method, URL, fields whose value a mistake may fill with the canary.
const ENDPOINTS: [(&str, &str, &[&str]); 25] = [
    (
        "POST",
        SECRETS,
        &[
            "path",
            "kmsKeyIdentity",
            "secretString",
            "secretKeyValues",
            "generateSecret",
            "accessPolicy",
        ],
    ),
    ("PATCH", SECRET, &["labels", "annotations"]),
    ("PUT", "/v1/secrets/nl-01/secret/app/a/policy", &["accessPolicy"]),
    (
        "POST",
        "/v1/secrets/nl-01/secret/app/a/versions",
        &["path", "secretString", "secretKeyValues", "generateSecret"],
    ),
    ("POST", "/v1/secrets/nl-01/secret/app/a/value", &["path", "version"]),
    ("POST", "/v1/secrets/nl-01/secret/versions?path=/app/a", &["path", "secretString"]),
    ("POST", "/v1/secrets/nl-01/secret/value?path=/app/a", &["path", "version"]),
    (
        "POST",
        "/v1/kms/nl-01/keys",
        &[
            "labels",
            "annotations",
            "keyType",
            "exportAllowed",
            "keyRotationEnabled",
            "rotationPeriodInDays",
            "importKeyMaterial",
            "hashFunction",
            "allowRotation",
        ],
    ),
    ("PATCH", "/v1/kms/nl-01/keys/default/rotation", &["keyRotationEnabled"]),
    ("POST", "/v1/kms/nl-01/keys/default/generate-data-key", &["keyBytes", "context"]),
    ("POST", "/v1/kms/nl-01/keys/default/rewrap", &["ciphertext", "context"]),
    (
        "POST",
        "/v1/kms/nl-01/keys/ed25519/sign",
        &["keyVersion", "hashAlgorithm", "signatureAlgorithm", "marshalling", "context"],
    ),
    ("POST", "/v1/kms/nl-01/keys/ed25519/verify", &["input", "signature", "prehashed"]),
    ("POST", "/v1/kms/nl-01/keys/hmac/hmac", &["input", "algorithm", "hashAlgorithm"]),
    ("POST", "/v1/kms/nl-01/keys/hmac/verify-hmac", &["input", "hmac"]),
    ("POST", "/v1/kms/nl-01/keys/mine/export", &["keyVersion"]),
    ("POST", "/v1/kms/nl-01/keys/default/export", &["keyVersion"]),
    ("POST", "/v1/kms/nl-01/keys/default/encrypt", &["plaintext", "keyVersion", "context"]),
    ("POST", "/v1/kms/nl-01/keys/default/decrypt", &["ciphertext", "context"]),
    ("POST", "/v1/secrets/nl-01/secret/app/none/versions", &["secretString"]),
    ("POST", "/v1/federated-identity-providers", &["localJwks", "providerIssuer", "status"]),
    ("POST", "/v1/federated-identities", &["conditions", "allowedScopes", "providerSubject"]),
    ("POST", "/v1/invites", &["role", "joinTeamOnAccept", "rolebindingOnAccept", "duration"]),
    ("POST", "/v1/invites/accept", &["inviteCode"]),
    ("POST", "/v1/quotas/increase-requests", &["name", "newMaxUsage"]),
];

/// Bodies that are wrong in every way, with the canary inside.
fn bad_bodies(field: &str) -> Vec<Vec<u8>> {
    let mut bodies = vec![
        format!("{{\"{field}\":\"{CANARY}"),
        format!("{{\"{field}\":\"{}\"", base64(CANARY)),
        format!("{{\"{field}\":\"{CANARY}\"}}{CANARY}"),
        format!("{{\"{field}\":\"{CANARY}\",\"{field}\":\"{CANARY}\"}}"),
        format!("{{\"{field}\":{CANARY}}}"),
        format!("\"{CANARY}\""),
        CANARY.to_owned(),
        base64(CANARY),
        format!("{{\"{field}\":\"\\u{CANARY}\"}}"),
        format!("{}\"{CANARY}\"{}", "[".repeat(20), "]".repeat(20)),
        format!("{{\"{field}\":\"{}\"}}", CANARY.repeat(10_000)),
        format!("{{\"{field}\":\"{}\"}}", base64(CANARY.repeat(2500))),
        format!("{{\"{field}\":\"{}\"}}", base64(CANARY.repeat(200))),
    ];
    for value in [
        json!(CANARY),
        json!(format!("{}*", base64(CANARY))),
        json!([CANARY]),
        json!({"user": CANARY}),
        json!({"user": {"name": CANARY}}),
        json!({"byteLength": CANARY}),
        json!({"byteLength": 32, "other": CANARY}),
        json!({"conditions": [{"type": CANARY, "effect": "allow"}]}),
        json!({"conditions": CANARY}),
        json!({"statements": [{"effect": CANARY, "actions": ["read"]}]}),
    ] {
        bodies.push(json!({field: value}).to_string());
    }
    bodies.push(json!({"unknownField": CANARY}).to_string());
    bodies.push(json!({field: null, "unknownField": {"deeper": base64(CANARY)}}).to_string());
    let mut bodies: Vec<_> = bodies.into_iter().map(String::into_bytes).collect();
    bodies.push([b"{\"", field.as_bytes(), b"\":\"\xff", CANARY.as_bytes(), b"\"}"].concat());
    bodies
}

/// Labels and annotations are shown to readers, so a canary that is well-formed there is no leak.
fn is_metadata(field: &str, body: &[u8]) -> bool {
    let all_text = |json: Json| {
        let entries = json[field].as_object().cloned();
        json.as_object().is_some_and(|fields| fields.len() == 1)
            && entries.is_some_and(|entries| entries.values().all(Json::is_string))
    };
    ["labels", "annotations"].contains(&field) && serde_json::from_slice(body).is_ok_and(all_text)
}

#[tokio::test]
async fn no_answer_record_log_or_file_repeats_a_value() {
    let log = Log::default();
    let _guard = log.collect();
    let (world, needles) = (World::new().await, needles());
    tracing::info!("the log is on");
    use_the_canary(&world, &needles).await;
    let mut sent = 0;
    for (method, url, fields) in ENDPOINTS {
        for field in fields {
            for body in bad_bodies(field).iter().filter(|body| !is_metadata(field, body)) {
                let about = format!("{method} {url} {field}");
                for by in [&world.owner, &world.nobody] {
                    let mut asking: Vec<Asking<'_>> = vec![world.ask(method, by, url).raw(body)];
                    if by.subject == world.owner.subject && body.len() > 5000 {
                        let announced = world.ask(method, by, url).raw(body);
                        let length = body.len().to_string();
                        asking.push(announced.header("content-length", &length));
                        let plain = world.ask(method, by, url).raw(body);
                        asking.push(plain.header("content-type", "text/plain"));
                    }
                    for asking in asking {
                        let answer = asking.send().await;
                        let good = answer.status < 300;
                        assert!(answer.status < 500, "{about}: {}", answer.text);
                        assert!(!good || answer.status == 200, "{about}: {}", answer.text);
                        check_answer(&about, &answer, &needles);
                        sent += 1;
                    }
                }
            }
        }
    }
    assert!(sent > 1000, "{sent}");
    check_stored(&world, &needles).await;
    world.delete(&world.owner, &format!("{SECRET}/versions?version=1")).expect(204).await;
    world.delete(&world.owner, SECRET).expect(204).await;
    check_stored(&world, &needles).await;
    log.check(&needles);
}

#[tokio::test]
async fn a_damaged_row_tells_nothing_of_its_value() {
    let log = Log::default();
    let _guard = log.collect();
    let (world, needles) = (World::new().await, needles());
    use_the_canary(&world, &needles).await;
    world.sql("UPDATE secret_versions SET sealed_value = wrapped_data_key");
    let answer = world.post(&world.owner, &format!("{SECRET}/value")).send().await;
    assert_eq!(answer.status, 500);
    check_answer("a damaged row", &answer, &needles);
    check_stored(&world, &needles).await;
    log.check(&needles);
}

#[tokio::test]
async fn no_record_log_or_file_has_an_invite_or_an_administrators_token() {
    let log = Log::default();
    let _guard = log.collect();
    let world = World::new().await;
    tracing::info!("the log is on");
    let made = json!({"path": "/app/a", "kmsKeyIdentity": "default", "description": MARKER,
        "secretString": base64("v")});
    world.post(&world.owner, SECRETS).json(made).expect(201).await;
    let administrator = world.administrator().await;
    let mut needles = vec![administrator.token.clone()];
    for name in ["used", "waiting"] {
        let invite = json!({"email": format!("{name}@example.invalid")});
        let made = world.post(&world.owner, "/v1/invites").json(invite).expect(201).await.body;
        needles.push(made["inviteCode"].as_str().unwrap().to_owned());
    }
    let accept = json!({"inviteCode": needles[1]});
    let member = world.anonymous("POST", "/v1/invites/accept").json(accept.clone());
    let member = member.expect(201).await.body["token"].as_str().unwrap().to_owned();
    let new = json!({"name": "New", "ownerEmail": "o@example.invalid"});
    let new = world.post(&administrator, "/v1/platform/organisations").json(new);
    let new = new.expect(201).await.body["token"].as_str().unwrap().to_owned();
    needles.extend([member, new]);
    let with_token = |token: &str| Person { token: token.to_owned(), ..administrator.clone() };
    let wrong = with_token(&format!("tc_adm_{}", "G".repeat(40)));
    needles.push(wrong.token.clone());
    let mut twice = accept.clone();
    twice["other"] = accept["inviteCode"].clone();
    for answer in [
        world.anonymous("POST", "/v1/invites/accept").json(twice).expect(401).await,
        world.anonymous("POST", "/v1/invites/accept").json(json!(needles[2])).expect(400).await,
        world.post(&world.owner, "/v1/invites").json(accept).expect(400).await,
        world.get(&world.owner, "/v1/invites").expect(200).await,
        world.get(&wrong, "/v1/platform/regions").expect(401).await,
        world.get(&administrator, SECRETS).expect(401).await,
        world.get(&administrator, "/v1/platform/organisations").expect(200).await,
        world.get(&administrator, "/v1/platform/audit?limit=500").expect(200).await,
    ] {
        check_answer("an answer", &answer, &needles);
    }
    check_stored(&world, &needles).await;
    log.check(&needles);
}

#[tokio::test]
async fn no_answer_record_log_or_file_repeats_a_token() {
    let log = Log::default();
    let _guard = log.collect();
    let world = World::new().await;
    tracing::info!("the log is on");
    let made = json!({"path": "/app/a", "kmsKeyIdentity": "default", "description": MARKER,
        "secretString": base64("v")});
    world.post(&world.owner, SECRETS).json(made).expect(201).await;
    let guessed = format!("tc_pat_{}", "G".repeat(40));
    let people = [&world.owner, &world.stranger, &world.nobody];
    let mut needles: Vec<String> = people.map(|person| person.token.clone()).to_vec();
    needles.push(guessed.clone());
    needles.extend(needles.clone().iter().map(base64));
    let basic = base64(format!("{guessed}:{}", world.owner.token));
    needles.push(basic.clone());
    for url in [SECRET, SECRETS, KEY, "/v1/audit", "/v1/me/organisation-memberships"] {
        for person in people {
            let answer = world.get(person, url).send().await;
            check_answer(url, &answer, &needles);
        }
        for header in [
            format!("Bearer {guessed}"),
            format!("Token {guessed}"),
            format!("Basic {basic}"),
            guessed.clone(),
            format!("Bearer {} {guessed}", world.owner.token),
            format!("Bearer {}x", world.owner.token),
        ] {
            let answer = world.get(&world.owner, url).header("authorization", &header);
            check_answer(url, &answer.expect(401).await, &needles);
        }
        let twice = world.get(&world.owner, url).add_header("authorization", &guessed);
        check_answer(url, &twice.expect(401).await, &needles);
        let query = format!("{url}?token={}", world.owner.token);
        check_answer(url, &world.get(&world.owner, &query).send().await, &needles);
    }
    check_stored(&world, &needles).await;
    log.check(&needles);
}
