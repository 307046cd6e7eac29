//! Reveal and put: versions, formats, keys, and when a value was last read (contract, 2.6 S6, S7).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

use crate::world::{Answer, NOON, World, base64, text_of};

pub const X: &str = "/v1/secrets/nl-01/secret/x";
const SECOND: i64 = 1_000_000;

async fn put(world: &World, body: Json) -> Answer {
    world.post(&world.owner, &format!("{X}/versions")).json(body).send().await
}

async fn reveal(world: &World, body: Json) -> Answer {
    world.post(&world.owner, &format!("{X}/value")).json(body).send().await
}

async fn read(world: &World) -> Json {
    world.get(&world.owner, &format!("{X}?includeVersions=true")).expect(200).await.body
}

/// A world with the secret `/x` whose versions 1 to 3 hold `one`, `two`, `three`.
pub async fn three_versions() -> World {
    let world = World::new().await;
    world.secret("/x", "one").await;
    for value in ["two", "three"] {
        assert_eq!(put(&world, json!({"secretString": base64(value)})).await.status, 200);
    }
    world
}

fn key(world: &World, operation: &str) -> String {
    format!("/v1/kms/nl-01/keys/{}{operation}", world.acme.key)
}

#[tokio::test]
async fn a_put_makes_the_next_version_and_answers_its_number_alone() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    for version in 2..5 {
        let answer = put(&world, json!({"secretString": base64(format!("v{version}"))})).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.body, json!({"path": "/x", "version": version}));
        let secret = read(&world).await;
        assert_eq!(secret["currentVersion"], version);
        let staged: Vec<_> = secret["versions"].as_array().unwrap().iter().collect();
        let staged = staged.into_iter().filter(|v| v.get("stage").is_some());
        assert!(
            staged.map(|v| (&v["version"], &v["stage"])).eq([(&json!(version), &json!("current"))])
        );
        assert_eq!(text_of(&reveal(&world, json!({})).await), format!("v{version}"));
    }
}

#[tokio::test]
async fn a_reveal_needs_no_body_and_no_content_type() {
    let world = three_versions().await;
    let revealed = world.post(&world.owner, &format!("{X}/value")).expect(200).await;
    assert_eq!(revealed.header("content-type"), "application/json");
    assert_eq!(revealed.header("cache-control"), "no-store");
    assert_eq!(
        revealed.body,
        json!({
            "path": "/x", "version": 3, "secretString": base64("three"),
            "kmsKeyIdentity": world.acme.key, "kmsKeyVersion": "1"
        })
    );
}

#[tokio::test]
async fn a_reveal_reads_the_version_it_names() {
    let world = three_versions().await;
    for (body, expected) in [
        (json!({}), "three"),
        (json!({"path": "/x"}), "three"),
        (json!({"version": 1}), "one"),
        (json!({"version": 2}), "two"),
        (json!({"version": 3}), "three"),
        (json!({"path": "/x", "version": 2}), "two"),
        (json!({"path": "/x", "version": null}), "three"),
    ] {
        let revealed = reveal(&world, body.clone()).await;
        assert_eq!(revealed.status, 200, "{body}: {}", revealed.text);
        assert_eq!(text_of(&revealed), expected, "{body}");
    }
}

#[tokio::test]
async fn a_reveal_of_a_version_that_is_none_is_refused() {
    let world = three_versions().await;
    for (body, status) in [
        (json!({"version": 4}), 404),
        (json!({"version": i64::MAX}), 404),
        (json!({"version": 0}), 400),
        (json!({"version": -1}), 400),
        (json!({"version": 1.5}), 400),
        (json!({"version": "1"}), 400),
        (json!({"version": true}), 400),
        (json!({"version": 1e30}), 400),
        (json!({"versions": 1}), 400),
        (json!({"path": "/y"}), 400),
        (json!({"path": 1}), 400),
        (json!([]), 400),
        (json!(1), 400),
    ] {
        let refused = reveal(&world, body.clone()).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(!refused.message().is_empty() && refused.body.get("secretString").is_none());
    }
    world.post(&world.owner, &format!("{X}/value")).raw(b"{").expect(400).await;
    for method in ["value", "versions"] {
        let missing = format!("/v1/secrets/nl-01/secret/missing/{method}");
        let body = match method {
            "value" => json!({}),
            _ => json!({"secretString": base64("v")}),
        };
        world.post(&world.owner, &missing).json(body).expect(404).await;
    }
}

#[tokio::test]
async fn each_version_keeps_its_own_format() {
    let world = World::new().await;
    world.secret("/x", "text").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let map = json!({"user": base64("app"), "blob": base64(&bytes), "A.b-c_9": base64("x")});
    assert_eq!(put(&world, json!({"secretKeyValues": map})).await.body["version"], 2);
    let made = put(&world, json!({"generateSecret": {"byteLength": 48}})).await;
    assert_eq!(made.body, json!({"path": "/x", "version": 3}));
    assert_eq!(put(&world, json!({"secretString": base64(&bytes)})).await.body["version"], 4);

    let shape = |answer: &Answer| {
        (answer.body.get("secretString").is_some(), answer.body.get("secretKeyValues").is_some())
    };
    let one = reveal(&world, json!({"version": 1})).await;
    assert_eq!((shape(&one), text_of(&one)), ((true, false), "text".to_owned()));
    let two = reveal(&world, json!({"version": 2})).await;
    assert_eq!((shape(&two), &two.body["secretKeyValues"]), ((false, true), &map));
    let three = reveal(&world, json!({"version": 3})).await;
    let generated = STANDARD.decode(three.body["secretString"].as_str().unwrap()).unwrap();
    assert_eq!((shape(&three), generated.len()), ((true, false), 48));
    assert_eq!(reveal(&world, json!({"version": 4})).await.body["secretString"], base64(&bytes));
    let versions = read(&world).await["versions"].clone();
    let formats = versions.as_array().unwrap().iter().map(|v| v["valueFormat"].as_str().unwrap());
    assert!(formats.eq(["string", "keyValue", "string", "string"]), "{versions}");
}

#[tokio::test]
async fn generated_values_differ_and_are_never_in_the_answer_of_the_put() {
    let world = World::new().await;
    world.secret("/x", "text").await;
    let mut seen = std::collections::HashSet::new();
    for bytes in [16, 32, 4096, 32] {
        let made = put(&world, json!({"generateSecret": {"byteLength": bytes}})).await;
        let revealed = reveal(&world, json!({})).await;
        let value = revealed.body["secretString"].as_str().unwrap().to_owned();
        assert_eq!(STANDARD.decode(&value).unwrap().len(), bytes);
        assert!(!made.text.contains(&value));
        assert!(seen.insert(value));
    }
}

#[tokio::test]
async fn a_put_keeps_the_rules_of_create() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    let many = |count: usize, bytes: usize| -> Json {
        (0..count).map(|at| (format!("k{at}"), json!(base64(vec![1; bytes])))).collect()
    };
    for (body, word) in [
        (json!({}), "exactly one"),
        (json!({"path": "/x"}), "exactly one"),
        (json!({"secretString": base64("v"), "generateSecret": {"byteLength": 16}}), "exactly one"),
        (json!({"secretString": ""}), "secretString"),
        (json!({"secretString": base64(vec![1; 4097])}), "4096"),
        (json!({"secretString": "not base64"}), "base64"),
        (json!({"secretKeyValues": {}}), "secretKeyValues"),
        (json!({"secretKeyValues": many(257, 1)}), "256"),
        (json!({"secretKeyValues": many(17, 4096)}), "65536"),
        (json!({"secretKeyValues": {"a b": base64("v")}}), "secretKeyValues"),
        (json!({"generateSecret": {"byteLength": 15}}), "16 to 4096"),
        (json!({"generateSecret": {"byteLength": 4097}}), "16 to 4096"),
        (json!({"generateSecret": {"byteLength": 0}}), "16 to 4096"),
        (json!({"secretString": base64("v"), "kmsKeyIdentity": "default"}), "kmsKeyIdentity"),
        (json!({"secretString": base64("v"), "accessPolicy": null}), "accessPolicy"),
        (json!({"secretString": base64("v"), "description": "d"}), "description"),
        (json!({"secretString": base64("v"), "path": "/y"}), "path"),
        (json!([]), ""),
    ] {
        let refused = put(&world, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        assert!(refused.message().contains(word), "{body}: {}", refused.text);
    }
    world.post(&world.owner, &format!("{X}/versions")).expect(400).await;
    world.post(&world.owner, &format!("{X}/versions")).raw(b"{").expect(400).await;
    let secret = read(&world).await;
    assert_eq!((&secret["currentVersion"], &secret["objectVersion"]), (&json!(1), &json!(1)));
    for fits in [
        json!({"secretKeyValues": many(256, 256)}),
        json!({"secretString": base64(vec![1; 4096])}),
        json!({"path": "/x", "generateSecret": {"byteLength": 4096}}),
    ] {
        assert_eq!(put(&world, fits).await.status, 200);
    }
}

#[tokio::test]
async fn only_a_reveal_that_succeeds_is_remembered_on_the_secret_and_the_version() {
    let world = three_versions().await;
    let accessed = async || {
        let secret = read(&world).await;
        let versions = secret["versions"].as_array().unwrap().clone();
        let of = |json: &Json| json.get("lastAccessedAt").and_then(Json::as_str).map(str::to_owned);
        (of(&secret), versions.iter().map(of).collect::<Vec<_>>())
    };
    let never = (None, vec![None, None, None]);
    assert_eq!(accessed().await, never);

    world.set_now(NOON + SECOND);
    world.get(&world.owner, X).expect(200).await;
    world.get(&world.owner, "/v1/secrets/nl-01/secrets").expect(200).await;
    world.get(&world.owner, "/v1/secrets/nl-01/secrets?pathPrefix=/").expect(200).await;
    world.post(&world.nobody, &format!("{X}/value")).expect(403).await;
    assert_eq!(reveal(&world, json!({"version": 9})).await.status, 404);
    assert_eq!(reveal(&world, json!({"version": 0})).await.status, 400);
    world.post(&world.owner, &key(&world, "/disable")).expect(200).await;
    assert_eq!(reveal(&world, json!({})).await.status, 400);
    world.post(&world.owner, &key(&world, "/enable")).expect(200).await;
    assert_eq!(accessed().await, never);

    let at = |second: u32| Some(format!("2026-01-15T12:00:0{second}Z"));
    world.set_now(NOON + 2 * SECOND);
    assert_eq!(reveal(&world, json!({"version": 1})).await.status, 200);
    assert_eq!(accessed().await, (at(2), vec![at(2), None, None]));
    world.set_now(NOON + 3 * SECOND);
    assert_eq!(reveal(&world, json!({})).await.status, 200);
    assert_eq!(accessed().await, (at(3), vec![at(2), None, at(3)]));
    for url in ["/v1/secrets/nl-01/secrets", "/v1/secrets/nl-01/secrets?pathPrefix=/"] {
        let listed = world.get(&world.owner, url).expect(200).await;
        assert!(listed.text.contains(r#""lastAccessedAt":"2026-01-15T12:00:03Z""#), "{url}");
    }
    coffer_server::jobs::flush_last_access(&world.app).await.unwrap();
    assert_eq!(accessed().await, (at(3), vec![at(2), None, at(3)]));
    world.set_now(NOON + 4 * SECOND);
    assert_eq!(reveal(&world, json!({"version": 1})).await.status, 200);
    assert_eq!(accessed().await, (at(4), vec![at(4), None, at(3)]));
}

#[tokio::test]
async fn a_rotated_key_seals_new_versions_and_opens_old_ones() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    for (rotation, value) in [(2, "two"), (3, "three")] {
        let rotated = world.post(&world.owner, &key(&world, "/rotate")).expect(200).await;
        assert_eq!(rotated.body["latestVersion"], rotation);
        assert_eq!(put(&world, json!({"secretString": base64(value)})).await.status, 200);
    }
    for (version, value) in [(1, "one"), (2, "two"), (3, "three")] {
        let revealed = reveal(&world, json!({"version": version})).await;
        assert_eq!(text_of(&revealed), value);
        assert_eq!(revealed.body["kmsKeyVersion"], json!(version.to_string()));
        assert_eq!(revealed.body["kmsKeyIdentity"], json!(world.acme.key));
    }
}

#[tokio::test]
async fn a_destroyed_version_gets_400_and_the_others_stay() {
    let world = three_versions().await;
    world.delete(&world.owner, &format!("{X}/versions?version=3")).expect(204).await;
    let refused = reveal(&world, json!({"version": 3})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.message().contains("destroyed"));
    assert_eq!(text_of(&reveal(&world, json!({})).await), "two");
    for version in [1, 2] {
        world.delete(&world.owner, &format!("{X}/versions?version={version}")).expect(204).await;
    }
    let refused = world.post(&world.owner, &format!("{X}/value")).expect(400).await;
    assert!(refused.message().contains("destroyed"), "{}", refused.text);
    assert_eq!(put(&world, json!({"secretString": base64("four")})).await.body["version"], 4);
    assert_eq!(text_of(&reveal(&world, json!({})).await), "four");
}

#[tokio::test]
async fn a_key_that_is_not_active_gets_400_for_reveal_and_put_until_it_is_again() {
    let world = three_versions().await;
    let value = json!({"secretString": base64("more")});
    for (method, stop, back, word, back_method) in [
        ("POST", "/disable", "/enable", "disabled", "POST"),
        ("DELETE", "", "/cancel-deletion", "deletion", "DELETE"),
    ] {
        world.ask(method, &world.owner, &key(&world, stop)).expect(200).await;
        for refused in [reveal(&world, json!({})).await, put(&world, value.clone()).await] {
            assert_eq!(refused.status, 400, "{}", refused.text);
            assert!(refused.message().contains(word), "{}", refused.text);
        }
        world.ask(back_method, &world.owner, &key(&world, back)).expect(200).await;
        assert_eq!(reveal(&world, json!({"version": 1})).await.status, 200);
        assert_eq!(put(&world, value.clone()).await.status, 200);
    }
}

#[tokio::test]
async fn reveal_and_put_without_kms_in_the_region_get_503() {
    let world = three_versions().await;
    world.set_region_kms("nl-01", false).await;
    let value = json!({"secretString": base64("more")});
    for refused in [reveal(&world, json!({})).await, put(&world, value.clone()).await] {
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.message().contains("KMS") && refused.body.get("secretString").is_none());
    }
    world.set_region_kms("nl-01", true).await;
    assert_eq!(text_of(&reveal(&world, json!({})).await), "three");
    assert_eq!(put(&world, value).await.body["version"], 4);
}

#[tokio::test]
async fn every_reveal_and_put_is_audited_with_its_key_operation() {
    let world = three_versions().await;
    reveal(&world, json!({})).await;
    reveal(&world, json!({"version": 9})).await;
    world.post(&world.nobody, &format!("{X}/value")).expect(403).await;
    let statuses = async |action: &str| {
        let records = world.audit(&format!("action={action}")).await;
        records.iter().map(|e| e["context"]["status"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(statuses("secrets.getSecretValue").await, [403, 404, 200]);
    assert_eq!(statuses("kms.decrypt").await, [200]);
    assert_eq!(statuses("secrets.putSecretValue").await, [200, 200]);
    assert_eq!(statuses("kms.encrypt").await, [200, 200, 200]);
    let log = json!(world.audit("").await).to_string();
    for value in ["one", "two", "three"] {
        assert!(!log.contains(&base64(value)), "{value}");
    }
}

#[tokio::test]
async fn an_array_in_place_of_a_body_gets_400() {
    let world = three_versions().await;
    let mut taken = Vec::new();
    for (method, tail, body) in [
        ("POST", "/value", json!(["/x", 1])),
        ("POST", "/value", json!([null, 1])),
        ("POST", "/versions", json!([null, base64("v"), null, null])),
        ("PATCH", "", json!(["changed", null, null])),
        ("PUT", "/policy", json!([null])),
    ] {
        let asked = world.ask(method, &world.owner, &format!("{X}{tail}")).json(body.clone());
        let status = asked.send().await.status;
        if status != 400 {
            taken.push(format!("{method} {tail} {body}: {status}"));
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

#[tokio::test]
async fn what_is_destroyed_does_not_stay_in_memory() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value").expect(200).await;
    world.app.values.forget_stale();
    assert!(world.app.values.bytes() > 0, "what holds is kept");
    world
        .delete(&world.owner, "/v1/secrets/nl-01/secret/app/a/versions?version=1")
        .expect(204)
        .await;
    world.app.values.forget_stale();
    assert_eq!(world.app.values.bytes(), 0);
}
