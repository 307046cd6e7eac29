//! Metadata, PATCH, destroy, delete: what changes (contract, 2.6 S4, S8, S9, 14.5, 15.1).

use serde_json::{Value as Json, json};

use crate::world::{NOON, World, base64, text_of};

const SECRETS: &str = "/v1/secrets/nl-01/secrets";
pub const X: &str = "/v1/secrets/nl-01/secret/x";

pub async fn read(world: &World) -> Json {
    world.get(&world.owner, &format!("{X}?includeVersions=true")).expect(200).await.body
}

pub async fn put(world: &World, value: &str) -> i64 {
    let body = json!({"secretString": base64(value)});
    let put = world.post(&world.owner, &format!("{X}/versions")).json(body).expect(200).await;
    put.body["version"].as_i64().unwrap()
}

async fn destroy(world: &World, version: i64) {
    let url = format!("{X}/versions?version={version}");
    let destroyed = world.delete(&world.owner, &url).expect(204).await;
    assert_eq!(destroyed.text, "");
}

/// Each version's status and, on the current one, its stage.
fn stages(secret: &Json) -> Vec<String> {
    let stage = |version: &Json| {
        let stage = version.get("stage").map(|stage| format!(" {}", stage.as_str().unwrap()));
        format!("{}{}", version["status"].as_str().unwrap(), stage.unwrap_or_default())
    };
    secret["versions"].as_array().unwrap().iter().map(stage).collect()
}

#[tokio::test]
async fn versions_come_only_when_they_are_asked_for() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    for query in ["", "?includeVersions=false"] {
        let secret = world.get(&world.owner, &format!("{X}{query}")).expect(200).await;
        assert!(secret.body.get("versions").is_none(), "{query}");
    }
    world.get(&world.owner, &format!("{X}?includeVersions=maybe")).expect(400).await;
    let secret = read(&world).await;
    assert_eq!(
        secret["versions"],
        json!([{
            "version": 1, "status": "active", "stage": "current", "valueFormat": "string",
            "createdAt": "2026-01-15T12:00:00Z"
        }])
    );
    assert_eq!(secret["kmsKey"]["identity"], json!(world.acme.key));
    for listed in [SECRETS.to_owned(), format!("{SECRETS}?pathPrefix=/")] {
        let listed = world.get(&world.owner, &listed).expect(200).await;
        assert!(!listed.text.contains("\"versions\""));
    }
}

#[tokio::test]
async fn metadata_of_a_missing_secret_gets_404_and_without_read_403() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    world.get(&world.owner, "/v1/secrets/nl-01/secret/y").expect(404).await;
    world.get(&world.owner, "/v1/secrets/nl-01/secret/x/y").expect(404).await;
    world.get(&world.owner, "/v1/secrets/de-01/secret/x").expect(404).await;
    let others = ["list", "update", "delete", "create", "getSecretValue", "putSecretValue"];
    let person = world.person_with("secret", &[], &others).await;
    world.get(&person, X).expect(403).await;
    world.get(&world.person_as("secrets-read-access").await, X).expect(200).await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_leaves_the_rest() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    for (body, description, labels, annotations) in [
        (json!({"description": "d"}), json!("d"), json!(null), json!(null)),
        (
            json!({"labels": {"a": "1", "b": "2"}}),
            json!("d"),
            json!({"a": "1", "b": "2"}),
            json!(null),
        ),
        (
            json!({"annotations": {"n": "v"}}),
            json!("d"),
            json!({"a": "1", "b": "2"}),
            json!({"n": "v"}),
        ),
        (json!({"labels": {"c": "3"}}), json!("d"), json!({"c": "3"}), json!({"n": "v"})),
        (json!({}), json!("d"), json!({"c": "3"}), json!({"n": "v"})),
        (
            json!({"description": "e", "labels": {}, "annotations": {}}),
            json!("e"),
            json!(null),
            json!(null),
        ),
        (json!({"description": ""}), json!(null), json!(null), json!(null)),
    ] {
        let changed = world.patch(&world.owner, X).json(body.clone()).expect(200).await;
        assert_eq!(changed.body["description"], description, "{body}");
        assert_eq!(changed.body["labels"], labels, "{body}");
        assert_eq!(changed.body["annotations"], annotations, "{body}");
        assert_eq!(world.get(&world.owner, X).expect(200).await.body, changed.body, "{body}");
        assert_eq!(changed.body["currentVersion"], 1);
    }
}

#[tokio::test]
async fn a_patch_that_breaks_a_rule_gets_400_and_changes_nothing() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    let before = read(&world).await;
    let many: Json = (0..65).map(|at| (format!("k{at}"), json!("v"))).collect();
    for (body, word) in [
        (json!({"description": "d".repeat(1025)}), "1024"),
        (json!({"description": "d", "labels": many}), "64"),
        (json!({"description": "d", "labels": {"k": "v".repeat(257)}}), "256"),
        (json!({"description": "d", "labels": {"": "v"}}), "128"),
        (json!({"annotations": {"k": "v".repeat(4097)}}), "4096"),
        (json!({"annotations": {"k".repeat(129): "v"}}), "128"),
        (json!({"description": "d", "path": "/y"}), "path"),
        (json!({"accessPolicy": null}), "accessPolicy"),
        (json!({"kmsKeyIdentity": "default"}), "kmsKeyIdentity"),
        (json!({"label": {}}), "label"),
        (json!({"description": 1}), "description"),
        (json!([]), ""),
    ] {
        let refused = world.patch(&world.owner, X).json(body.clone()).expect(400).await;
        assert!(refused.message().contains(word), "{body}: {}", refused.text);
    }
    world.patch(&world.owner, X).raw(b"{").expect(400).await;
    assert_eq!(read(&world).await, before);
    let body = json!({"description": "d"});
    let missing = "/v1/secrets/nl-01/secret/y";
    world.patch(&world.owner, missing).json(body.clone()).expect(404).await;
    let others = ["read", "list", "delete", "create", "getSecretValue", "putSecretValue"];
    let person = world.person_with("secret", &[], &others).await;
    world.patch(&person, X).json(body.clone()).expect(403).await;
    let updater = world.person_with("secret", &["/x"], &["update"]).await;
    world.patch(&updater, X).json(body).expect(200).await;
}

#[tokio::test]
async fn the_current_version_is_the_highest_active_one_and_numbers_are_never_reused() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    put(&world, "three").await;
    let check = async |current: i64, expected: &[&str]| {
        let secret = read(&world).await;
        assert_eq!(secret["currentVersion"], current);
        assert_eq!(stages(&secret), expected);
    };
    check(3, &["active", "active", "active current"]).await;
    destroy(&world, 2).await;
    check(3, &["active", "destroyed", "active current"]).await;
    destroy(&world, 3).await;
    check(1, &["active current", "destroyed", "destroyed"]).await;
    destroy(&world, 1).await;
    check(0, &["destroyed", "destroyed", "destroyed"]).await;
    assert_eq!(put(&world, "four").await, 4);
    check(4, &["destroyed", "destroyed", "destroyed", "active current"]).await;
    destroy(&world, 4).await;
    assert_eq!(put(&world, "five").await, 5);
    check(5, &["destroyed", "destroyed", "destroyed", "destroyed", "active current"]).await;
}

#[tokio::test]
async fn a_destroyed_version_stays_in_the_history_without_its_ciphertext() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    world.set_now(NOON + 1_000_000);
    destroy(&world, 1).await;
    world.set_now(NOON + 2_000_000);
    destroy(&world, 1).await;
    let versions = read(&world).await["versions"].clone();
    assert_eq!(versions[0]["destroyedAt"], "2026-01-15T12:00:01Z");
    assert_eq!(versions[0]["createdAt"], "2026-01-15T12:00:00Z");
    assert!(versions[1].get("destroyedAt").is_none());
    let erased = "SELECT COUNT(*) FROM secret_versions
        WHERE version = 1 AND sealed_value IS NULL AND wrapped_data_key IS NULL";
    assert_eq!(world.count(erased), 1);
    let revealed = world.post(&world.owner, &format!("{X}/value")).expect(200).await;
    assert_eq!(text_of(&revealed), "two");
}

#[tokio::test]
async fn destroying_twice_gets_204_and_the_second_time_changes_nothing() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    destroy(&world, 1).await;
    let before = read(&world).await;
    world.set_now(NOON + 5_000_000);
    destroy(&world, 1).await;
    assert_eq!(read(&world).await, before);
}

#[tokio::test]
async fn destroying_what_is_no_version_is_refused() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    for (url, status) in [
        (format!("{X}/versions?version=2"), 404),
        (format!("{X}/versions?version=9223372036854775807"), 404),
        ("/v1/secrets/nl-01/secret/y/versions?version=1".to_owned(), 404),
        (format!("{X}/versions"), 400),
        (format!("{X}/versions?version="), 400),
        (format!("{X}/versions?version=0"), 400),
        (format!("{X}/versions?version=-1"), 400),
        (format!("{X}/versions?version=one"), 400),
        (format!("{X}/versions?version=99999999999999999999"), 400),
    ] {
        world.delete(&world.owner, &url).expect(status).await;
    }
    let others = ["read", "list", "update", "create", "getSecretValue", "putSecretValue"];
    let person = world.person_with("secret", &[], &others).await;
    world.delete(&person, &format!("{X}/versions?version=1")).expect(403).await;
    world.delete(&person, X).expect(403).await;
    assert_eq!(read(&world).await["objectVersion"], 1);
}

#[tokio::test]
async fn a_deleted_secret_is_gone_at_once_and_its_path_starts_anew() {
    let world = World::new().await;
    world.secret("/x", "old").await;
    world.secret("/x/below", "stays").await;
    put(&world, "older").await;
    world.post(&world.owner, &format!("{X}/value")).expect(200).await;
    let deleted = world.delete(&world.owner, X).expect(204).await;
    assert_eq!(deleted.text, "");
    world.delete(&world.owner, X).expect(404).await;
    world.get(&world.owner, X).expect(404).await;
    world.post(&world.owner, &format!("{X}/value")).expect(404).await;
    world.get(&world.owner, "/v1/secrets/nl-01/secret/x/below").expect(200).await;

    world.set_now(NOON + 1_000_000);
    let made = world.secret("/x", "new").await;
    assert_eq!((&made["currentVersion"], &made["objectVersion"]), (&json!(1), &json!(1)));
    assert_eq!(made["createdAt"], "2026-01-15T12:00:01Z");
    assert!(made.get("lastAccessedAt").is_none());
    assert_eq!(read(&world).await["versions"].as_array().unwrap().len(), 1);
    let revealed = world.post(&world.owner, &format!("{X}/value")).expect(200).await;
    assert_eq!(text_of(&revealed), "new");
    let second = world.post(&world.owner, &format!("{X}/value")).json(json!({"version": 2}));
    second.expect(404).await;
}

/// Every mutation of `/x`, each possible on a fresh secret with the versions 1 and 2.
pub fn mutations() -> Vec<(&'static str, String, Option<Json>)> {
    vec![
        ("POST", format!("{X}/versions"), Some(json!({"secretString": base64("v")}))),
        ("PUT", format!("{X}/policy"), Some(json!({"accessPolicy": {"denied": []}}))),
        ("PUT", format!("{X}/policy"), Some(json!({"accessPolicy": null}))),
        ("PATCH", X.to_owned(), Some(json!({"description": "changed"}))),
        ("DELETE", format!("{X}/versions?version=1"), None),
        ("DELETE", X.to_owned(), None),
    ]
}

#[tokio::test]
async fn all_but_values_works_whatever_becomes_of_the_key_and_the_regions_kms() {
    let world = World::new().await;
    let key = format!("/v1/kms/nl-01/keys/{}", world.acme.key);
    for (at, stop) in ["disabled", "pending_deletion", "no kms"].into_iter().enumerate() {
        world.secret("/x", "one").await;
        put(&world, "two").await;
        match at {
            0 => drop(world.post(&world.owner, &format!("{key}/disable")).expect(200).await),
            1 => drop(world.delete(&world.owner, &key).expect(200).await),
            _ => world.set_region_kms("nl-01", false).await,
        }
        let status = if at == 2 { "active" } else { stop };
        assert_eq!(read(&world).await["kmsKey"]["status"], status);
        for url in [SECRETS.to_owned(), format!("{SECRETS}?pathPrefix=/")] {
            let listed = world.get(&world.owner, &url).expect(200).await;
            assert!(listed.text.contains(r#""path":"/x""#), "{stop}");
        }
        for (method, url, body) in
            mutations().into_iter().filter(|(method, _, _)| *method != "POST")
        {
            let mut asking = world.ask(method, &world.owner, &url);
            if let Some(body) = body {
                asking = asking.json(body);
            }
            let answer = asking.send().await;
            assert!([200, 204].contains(&answer.status), "{stop} {url}: {}", answer.text);
        }
        world.get(&world.owner, X).expect(404).await;
        match at {
            0 => drop(world.post(&world.owner, &format!("{key}/enable")).expect(200).await),
            1 => drop(
                world.delete(&world.owner, &format!("{key}/cancel-deletion")).expect(200).await,
            ),
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_metadata_operation_leaves_its_own_record() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    read(&world).await;
    world.patch(&world.owner, X).json(json!({"description": "d"})).expect(200).await;
    destroy(&world, 1).await;
    world.delete(&world.owner, X).expect(204).await;
    for (action, status) in [
        ("secrets.get", 200),
        ("secrets.update", 200),
        ("secrets.version.destroy", 204),
        ("secrets.delete", 204),
    ] {
        let records = world.audit(&format!("action={action}")).await;
        assert_eq!(records.len(), 1, "{action}");
        assert_eq!(records[0]["resourceIdentity"], "/x");
        assert_eq!(records[0]["resourceType"], "secret");
        assert_eq!(records[0]["context"]["status"], status);
        assert_eq!(records[0]["userIdentity"], json!(world.owner.subject));
    }
}
