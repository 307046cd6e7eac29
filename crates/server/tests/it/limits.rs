//! Bounds on what is taken in (contract, section 14, 12), and the shapes that clients depend on.

use serde_json::{Value as Json, json};

use crate::world::{World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";

#[tokio::test]
async fn a_body_may_have_256_kib() {
    const MAX: usize = 256 * 1024;
    let world = World::new().await;
    for (at, (bytes, announced, expected)) in
        [(MAX, false, 201), (MAX, true, 201), (MAX + 1, false, 413), (MAX + 1, true, 413)]
            .into_iter()
            .enumerate()
    {
        let mut body = json!({"name": format!("key-{at}")}).to_string().into_bytes();
        body.resize(bytes, b' ');
        let mut call = world.post(&world.owner, KEYS).raw(&body);
        if announced {
            call = call.header("content-length", &bytes.to_string());
        }
        call.expect(expected).await;
    }
}

#[tokio::test]
async fn a_url_may_have_4_kib_and_a_header_block_16() {
    let world = World::new().await;
    for (bytes, expected) in [(4096, 200), (4097, 414), (60_000, 414)] {
        let url = "/v1/regions?x=".to_owned();
        let url = format!("{url}{}", "x".repeat(bytes - url.len()));
        world.get(&world.owner, &url).expect(expected).await;
        world.anonymous("GET", &url).expect(if expected == 200 { 401 } else { 414 }).await;
    }
    for (bytes, expected) in [(15_000, 200), (16_384, 431)] {
        let call = world.get(&world.owner, "/v1/regions").header("x-filler", &"x".repeat(bytes));
        call.expect(expected).await;
    }
    let mut call = world.get(&world.owner, "/v1/regions");
    for at in 0..2000 {
        call = call.add_header(&format!("x-filler-{at}"), "x");
    }
    call.expect(431).await;
}

#[tokio::test]
async fn a_body_is_json_by_its_content_type() {
    let world = World::new().await;
    for (at, (content_type, expected)) in [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ]
    .into_iter()
    .enumerate()
    {
        let call = world.post(&world.owner, KEYS).json(json!({"name": format!("key-{at}")}));
        call.header("content-type", content_type).expect(expected).await;
    }
    let bare = world.post(&world.owner, KEYS).json(json!({"name": "bare"}));
    bare.without("content-type").expect(415).await;
    world.post(&world.owner, "/v1/kms/nl-01/keys/default/rotate").expect(200).await;
}

#[tokio::test]
async fn json_may_be_16_deep() {
    let world = World::new().await;
    for (depth, too_deep) in [(16, false), (17, true), (100_000, true)] {
        for (open, close) in [("[", "]"), (r#"{"name":"#, "}")] {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            let body = format!("{open}1{close}");
            let answer = world.post(&world.owner, KEYS).raw(body.as_bytes()).send().await;
            let expected = if body.len() > 256 * 1024 { 413 } else { 400 };
            assert_eq!(answer.status, expected, "{depth}");
            let told = answer.message().contains("nested deeper than 16");
            assert_eq!(told, too_deep && expected == 400, "{depth}: {}", answer.text);
        }
    }
    let quoted = json!({"name": "deep", "description": "[{".repeat(100)});
    world.post(&world.owner, KEYS).json(quoted).expect(201).await;
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let world = World::new().await;
    for body in ["", "{", "{}x", "[]", "null", "\"name\"", "{\"name\":\"a\"}{}", "\u{feff}{}"] {
        world.post(&world.owner, KEYS).raw(body.as_bytes()).expect(400).await;
    }
    let twice = br#"{"name": "a", "name": "b"}"#;
    world.post(&world.owner, KEYS).raw(twice).expect(400).await;
    world.post(&world.owner, KEYS).raw(b"{\"name\": \"\xff\"}").expect(400).await;
}

#[tokio::test]
async fn who_fails_to_authenticate_too_often_is_turned_away() {
    let world = World::with(|config| config.limits.auth_failures_per_minute = 3).await;
    let bad = || world.anonymous("GET", KEYS).header("authorization", "Bearer tc_pat_x");
    for _ in 0..3 {
        bad().from("203.0.113.7").expect(401).await;
    }
    let refused = bad().from("203.0.113.7").expect(429).await;
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.header("content-type"), "application/json");
    bad().from("203.0.113.8").expect(401).await;
    world.get(&world.owner, KEYS).from("203.0.113.9").expect(200).await;
}

#[tokio::test]
async fn a_doubled_leading_slash_is_forgiven() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    for url in ["//v1/regions", "//v1/secrets/nl-01/secret/app/a", "//v1/kms/nl-01/keys?name=x"] {
        world.get(&world.owner, url).expect(200).await;
    }
    world.anonymous("GET", "//healthz").expect(200).await;
    world.get(&world.owner, "/v1//regions").expect(404).await;
}

#[tokio::test]
async fn an_empty_list_is_an_empty_array() {
    let world = World::new().await;
    let (subject, acme) = (world.nobody.subject.clone(), world.acme.id.clone());
    world.write(&acme, async move |tx| tx.delete_member(&subject).await).await;
    world.project("empty").await;
    let memberships = world.get(&world.nobody, "/v1/me/organisation-memberships");
    assert_eq!(memberships.without("x-organisation-identity").expect(200).await.text, "[]");
    for url in [KEYS, "/v1/secrets/nl-01/secrets?pathPrefix=/"] {
        let answer = world.get(&world.owner, url).project("empty").expect(200).await;
        assert_eq!(answer.text, "[]", "{url}");
    }
    let level = world.get(&world.owner, "/v1/secrets/nl-01/secrets?path=/none").expect(200).await;
    assert_eq!(level.body, json!({"path": "/none/", "prefixes": [], "secrets": []}));
    let log = world.get(&world.owner, "/v1/audit?action=nothing").expect(200).await;
    assert_eq!(log.body["items"], json!([]));
}

/// Calls `check` with each field of a JSON text, however deep.
fn each_field(json: &Json, check: &mut impl FnMut(&str, &Json)) {
    match json {
        Json::Object(fields) => fields.iter().for_each(|(name, value)| {
            check(name, value);
            each_field(value, check);
        }),
        Json::Array(items) => items.iter().for_each(|item| each_field(item, check)),
        _ => {}
    }
}

/// `2026-01-15T12:00:00Z`, with or without a fraction.
fn is_utc_time(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((whole, fraction)) =
        text.strip_suffix('Z').map(|text| text.split_once('.').unwrap_or((text, "0")))
    else {
        return false;
    };
    let form: String = whole.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form == "0000-00-00T00:00:00" && digits(fraction)
}

#[tokio::test]
async fn times_are_utc_and_versions_have_their_types() {
    const NUMBERS: [&str; 5] =
        ["version", "currentVersion", "objectVersion", "latestVersion", "minDecryptionVersion"];
    const TEXTS: [&str; 2] = ["keyVersion", "kmsKeyVersion"];
    let world = World::new().await;
    world.set_now(crate::world::NOON + 250_000);
    world.secret("/app/a", "hunter2").await;
    let owner = &world.owner;
    let encrypted = world.post(owner, &format!("{KEYS}/default/encrypt"));
    let encrypted = encrypted.json(json!({"plaintext": base64("x")})).expect(200).await.body;
    let mut answers = vec![encrypted.clone()];
    for (method, url, body) in [
        ("POST", "/v1/secrets/nl-01/secret/app/a/value", json!(null)),
        ("POST", "/v1/secrets/nl-01/secret/app/a/versions", json!({"secretString": base64("b")})),
        ("GET", "/v1/secrets/nl-01/secret/app/a?includeVersions=true", json!(null)),
        ("GET", "/v1/regions", json!(null)),
        ("GET", "/v1/me/organisation-memberships", json!(null)),
        ("GET", "/v1/audit", json!(null)),
        ("GET", "/v1/kms/nl-01/keys/default", json!(null)),
        (
            "POST",
            "/v1/kms/nl-01/keys/default/decrypt",
            json!({"ciphertext":
            encrypted["ciphertext"]}),
        ),
        ("DELETE", "/v1/kms/nl-01/keys/default", json!(null)),
    ] {
        let call = world.ask(method, owner, url);
        let call = if body.is_null() { call } else { call.json(body) };
        answers.push(call.expect(200).await.body);
    }
    let (mut times, mut numbers, mut texts) = (0, 0, 0);
    for answer in &answers {
        each_field(answer, &mut |name, value| {
            if name.ends_with("At") {
                assert!(value.as_str().is_some_and(is_utc_time), "{name}: {value}");
                times += 1;
            } else if NUMBERS.contains(&name) {
                assert!(value.is_i64(), "{name}: {value}");
                numbers += 1;
            } else if TEXTS.contains(&name) {
                assert_eq!(value, "1", "{name}");
                texts += 1;
            }
        });
    }
    assert!(times > 20 && numbers > 10 && texts == 3, "{times} {numbers} {texts}");
}

#[tokio::test]
async fn regions_are_listed_and_read_by_identity_or_slug() {
    let world = World::new().await;
    let listed = world.get(&world.owner, "/v1/regions").expect(200).await.body;
    let slugs: Vec<_> = listed.as_array().unwrap().iter().map(|r| r["slug"].clone()).collect();
    assert_eq!(slugs, ["de-01", "nl-01"]);
    let bare = world.get(&world.owner, "/v1/regions").without("x-organisation-identity");
    assert_eq!(bare.expect(200).await.body, listed);
    let region = &listed[1];
    for reference in [region["identity"].as_str().unwrap(), "nl-01"] {
        let read = world.get(&world.owner, &format!("/v1/regions/{reference}")).expect(200).await;
        assert_eq!(read.body, *region);
    }
    for unknown in ["fr-01", "NL-01", "r-d5obcgg3fspc73f7vqpg", "nl-01%20"] {
        world.get(&world.owner, &format!("/v1/regions/{unknown}")).expect(404).await;
    }
}

#[tokio::test]
async fn memberships_need_no_organisation() {
    let world = World::new().await;
    let call = world.get(&world.owner, "/v1/me/organisation-memberships");
    let listed = call.without("x-organisation-identity").expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let membership = &listed[0];
    assert_eq!(membership["role"], "OWNER");
    assert_eq!(membership["organisation"]["identity"], world.acme.id.as_str());
    assert_eq!(membership["organisation"]["slug"], "acme");
    assert_eq!(membership["user"]["subject"], world.owner.subject.as_str());
    assert!(membership["identity"].is_string() && membership["createdAt"].is_string());
    let member = world.get(&world.nobody, "/v1/me/organisation-memberships").expect(200).await;
    assert_eq!(member.body[0]["role"], "MEMBER");
}

#[tokio::test]
async fn health_answers_anybody() {
    let world = World::new().await;
    for url in ["/healthz", "/readyz", "/openapi.json"] {
        world.anonymous("GET", url).expect(200).await;
    }
    world.sql("UPDATE kms_key_versions SET root_key = 'another'");
    world.anonymous("GET", "/healthz").expect(200).await;
    world.anonymous("GET", "/readyz").expect(503).await;
}
