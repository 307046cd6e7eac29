//! Who may not use a key, and where none can be used (contract, sections 3.6, 3.15 and 14, 31–32).

use serde_json::{Value as Json, json};

use crate::world::{Person, World};

const KEYS: &str = "/v1/kms/nl-01/keys";

/// Every call on one key: method, tail, body.
fn calls_on_a_key() -> Vec<(&'static str, &'static str, Json)> {
    vec![
        ("GET", "", json!(null)),
        ("POST", "/encrypt", json!({"plaintext": "eA=="})),
        ("POST", "/decrypt", json!({"ciphertext": "thalassa:v1:AAAA"})),
        ("POST", "/rotate", json!(null)),
        ("POST", "/disable", json!(null)),
        ("POST", "/enable", json!(null)),
        ("DELETE", "", json!(null)),
        ("DELETE", "/cancel-deletion", json!(null)),
    ]
}

async fn send(world: &World, by: &Person, call: (&'static str, &str, Json)) -> (u16, String) {
    let (method, url, body) = call;
    let call = world.ask(method, by, url);
    let answer = if body.is_null() { call } else { call.json(body) }.send().await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn who_lacks_the_permission_cannot_tell_a_key_from_none() {
    let world = World::new().await;
    for (method, tail, body) in calls_on_a_key() {
        let url = |key: &str| format!("{KEYS}/{key}{tail}");
        let there = (method, &*url("default"), body.clone());
        let nowhere = (method, &*url("kms-d5obcgg3fspc73f7vqpg"), body.clone());
        let refused = send(&world, &world.nobody, there.clone()).await;
        assert_eq!(refused.0, 404, "{method} {tail}: {}", refused.1);
        assert_eq!(refused, send(&world, &world.nobody, nowhere.clone()).await, "{method} {tail}");
        assert_eq!(refused, send(&world, &world.owner, nowhere).await, "{method} {tail}");
    }
    for call in [("GET", KEYS, json!(null)), ("POST", KEYS, json!({"name": "mine"}))] {
        assert_eq!(send(&world, &world.nobody, call).await.0, 404);
    }
}

#[tokio::test]
async fn a_rule_for_one_key_opens_that_key_alone() {
    let world = World::new().await;
    let other = world.key(&world.owner, "other").await;
    let key = world.acme.key.as_str();
    let some = world.person_with("kms_key", &[key], &["encrypt", "list", "read"]).await;
    for (reference, expected) in [(key, 200), ("default", 200), (&*other, 404), ("other", 404)] {
        let body = json!({"plaintext": "eA=="});
        world.post(&some, &format!("{KEYS}/{reference}/encrypt")).json(body).expect(expected).await;
        world.get(&some, &format!("{KEYS}/{reference}")).expect(expected).await;
    }
    let listed = world.get(&some, KEYS).expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["identity"], key);
}

#[tokio::test]
async fn without_kms_in_the_region_only_the_summary_answers() {
    let world = World::new().await;
    let mut calls = vec![("GET", String::new(), json!(null))];
    calls.push(("POST", String::new(), json!({"name": "k"})));
    let on_a_key = calls_on_a_key().into_iter();
    calls.extend(on_a_key.map(|(method, tail, body)| (method, format!("/default{tail}"), body)));
    for (method, tail, body) in calls {
        let url = format!("/v1/kms/de-01/keys{tail}");
        assert_eq!(send(&world, &world.owner, (method, &url, body.clone())).await.0, 503, "{url}");
        let url = format!("/v1/kms/fr-01/keys{tail}");
        assert_eq!(send(&world, &world.owner, (method, &url, body)).await.0, 404, "{url}");
    }
}

#[tokio::test]
async fn the_summary_counts_by_region_and_state() {
    let world = World::new().await;
    let (off, gone) = (world.key(&world.owner, "a").await, world.key(&world.owner, "b").await);
    world.key(&world.owner, "c").await;
    world.post(&world.owner, &format!("{KEYS}/{off}/disable")).expect(200).await;
    world.delete(&world.owner, &format!("{KEYS}/{gone}")).expect(200).await;
    for caller in [&world.owner, &world.nobody] {
        let summary = world.get(caller, "/v1/kms/summary").expect(200).await.body;
        assert_eq!(summary["featureEnabled"], true);
        for (at, slug, available, counts) in
            [(0, "de-01", false, [0, 0, 0, 0]), (1, "nl-01", true, [4, 2, 1, 1])]
        {
            let region = &summary["regions"][at];
            assert_eq!(
                (&region["slug"], &region["kmsAvailable"]),
                (&json!(slug), &json!(available))
            );
            assert!(region["identity"].is_string() && region["name"].is_string());
            let fields = ["totalKeys", "activeKeys", "disabledKeys", "pendingDeletionKeys"];
            assert_eq!(fields.map(|field| region[field].as_i64().unwrap()), counts, "{slug}");
        }
    }
}

#[tokio::test]
async fn with_the_gate_off_only_the_summary_answers() {
    let world = World::new().await;
    world.set_gates([true, false, true]).await;
    let summary = world.get(&world.nobody, "/v1/kms/summary").expect(200).await.body;
    assert_eq!(summary["featureEnabled"], false);
    assert!(summary["regions"].as_array().is_none_or(Vec::is_empty));
    for call in [("GET", KEYS, json!(null)), ("POST", KEYS, json!({"name": "k"}))] {
        assert_eq!(send(&world, &world.owner, call).await.0, 403);
    }
    for (method, tail, body) in calls_on_a_key() {
        let url = format!("{KEYS}/default{tail}");
        assert_eq!(
            send(&world, &world.owner, (method, &url, body)).await.0,
            403,
            "{method} {tail}"
        );
    }
}
