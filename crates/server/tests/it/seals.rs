//! A stored value opens in its own place only, and callers at once lose nothing (contract, 2.1).

use std::collections::BTreeSet;
use std::sync::Arc;

use coffer_server::config::RegionConfig;
use serde_json::json;

use crate::world::{Person, World, base64, text_of};

const SECRETS: &str = "/v1/secrets/nl-01/secrets";
const CANARY: &str = "canary-4b2d";

async fn sealed_world() -> World {
    let region = RegionConfig { slug: "be-01".into(), name: None, kms: true };
    let world = World::with(|config| {
        config.regions.push(region);
        // What is changed behind the server's back is to be seen.
        config.limits.cache_mebibytes = 0;
    })
    .await;
    world.secret("/from", CANARY).await;
    // Opened once, so that the key stands ready in memory and only the seal itself can refuse.
    open(&world, &world.owner, "nl-01", "/from").await;
    world
}

async fn open(world: &World, by: &Person, region: &str, path: &str) {
    let url = format!("/v1/secrets/{region}/secret{path}/value");
    assert_eq!(text_of(&world.post(by, &url).expect(200).await), CANARY);
}

/// A reveal that must fail without a word about the value or the seal.
async fn never_opens(world: &World, by: &Person, url: &str, project: Option<&str>) {
    let mut asking = world.post(by, url);
    if let Some(project) = project {
        asking = asking.project(project);
    }
    let refused = asking.expect(500).await;
    assert!(refused.body.get("secretString").is_none(), "{}", refused.text);
    assert!(!refused.text.contains(CANARY) && !refused.text.contains(&base64(CANARY)));
}

/// Copies what is sealed in version 1 of `/from` of acme over a version of another secret.
fn graft(world: &World, columns: &str, to: &str) {
    world.sql(&format!(
        "UPDATE secret_versions SET ({columns}) = (SELECT {columns} FROM secret_versions v
         JOIN secrets s ON s.organisation_id = v.organisation_id AND s.secret_id = v.secret_id
         WHERE s.path = '/from' AND s.project_id = '' AND v.version = 1
         AND s.organisation_id = '{}')
         WHERE {to}",
        world.acme.id
    ));
}

fn of(path: &str, version: i64) -> String {
    format!(
        "version = {version} AND secret_id IN (SELECT secret_id FROM secrets WHERE path = '{path}')"
    )
}

#[tokio::test]
async fn a_sealed_value_copied_to_another_path_or_version_does_not_open() {
    let world = sealed_world().await;
    for columns in ["wrapped_data_key, sealed_value", "wrapped_data_key", "sealed_value"] {
        let path = format!("/to/{}", columns.len());
        world.secret(&path, "own").await;
        graft(&world, columns, &of(&path, 1));
        let url = format!("/v1/secrets/nl-01/secret{path}/value");
        never_opens(&world, &world.owner, &url, None).await;
    }
    let put = world.post(&world.owner, "/v1/secrets/nl-01/secret/from/versions");
    put.json(json!({"secretString": base64("second")})).expect(200).await;
    graft(&world, "wrapped_data_key, sealed_value", &of("/from", 2));
    never_opens(&world, &world.owner, "/v1/secrets/nl-01/secret/from/value", None).await;
    let first = world.post(&world.owner, "/v1/secrets/nl-01/secret/from/value");
    assert_eq!(text_of(&first.json(json!({"version": 1})).expect(200).await), CANARY);
}

#[tokio::test]
async fn a_sealed_value_copied_to_another_project_or_organisation_does_not_open() {
    let world = sealed_world().await;
    let project = world.project("shop").await;
    let key = world.post(&world.owner, "/v1/kms/nl-01/keys").project(&project);
    key.json(json!({"name": "default"})).expect(201).await;
    let body = json!({
        "path": "/from", "kmsKeyIdentity": "default", "secretString": base64("own")
    });
    world.post(&world.owner, SECRETS).project(&project).json(body.clone()).expect(201).await;
    world.post(&world.stranger, SECRETS).json(body).expect(201).await;
    let in_project = format!("project_id = '{project}'");
    let in_globex = format!("organisation_id = '{}'", world.globex.id);
    for place in [in_project, in_globex] {
        let to = format!("secret_id IN (SELECT secret_id FROM secrets WHERE {place})");
        graft(&world, "wrapped_data_key, sealed_value, key_version", &to);
    }
    let url = "/v1/secrets/nl-01/secret/from/value";
    never_opens(&world, &world.owner, url, Some(&project)).await;
    never_opens(&world, &world.stranger, url, None).await;
    open(&world, &world.owner, "nl-01", "/from").await;
}

#[tokio::test]
async fn a_secret_whose_row_is_moved_does_not_open_there() {
    let world = sealed_world().await;
    let project = world.project("shop").await;
    let moved = |column: &str, value: &str| {
        world.sql(&format!(
            "PRAGMA foreign_keys = OFF;
             UPDATE secrets SET {column} = {value} WHERE path LIKE '/from%'"
        ));
    };
    let region = |slug: &str| format!("(SELECT region_id FROM regions WHERE slug = '{slug}')");
    moved("path", "'/from/moved'");
    let url = "/v1/secrets/nl-01/secret/from/moved/value";
    never_opens(&world, &world.owner, url, None).await;
    moved("path", "'/from'");
    moved("project_id", &format!("'{project}'"));
    let url = "/v1/secrets/nl-01/secret/from/value";
    never_opens(&world, &world.owner, url, Some(&project)).await;
    moved("project_id", "''");
    moved("region_id", &region("be-01"));
    never_opens(&world, &world.owner, "/v1/secrets/be-01/secret/from/value", None).await;
    moved("region_id", &region("nl-01"));
    open(&world, &world.owner, "nl-01", "/from").await;
    // With its key and all: even then the organisation is part of every seal.
    let mut all = "PRAGMA foreign_keys = OFF;".to_owned();
    for table in ["secrets", "secret_versions", "kms_keys", "kms_key_versions"] {
        let (from, to) = (&world.acme.id, &world.globex.id);
        let slug = if table == "kms_keys" { ", slug = 'moved'" } else { "" };
        all.push_str(&format!(
            "UPDATE {table} SET organisation_id = '{to}'{slug} WHERE organisation_id = '{from}';"
        ));
    }
    world.sql(&all);
    never_opens(&world, &world.stranger, url, None).await;
}

#[tokio::test]
async fn a_seal_with_one_changed_bit_or_a_missing_byte_does_not_open() {
    let world = sealed_world().await;
    let url = "/v1/secrets/nl-01/secret/from/value";
    for column in ["wrapped_data_key", "sealed_value"] {
        let read = format!("SELECT {column} FROM secret_versions");
        let good = world.bytes(&read).remove(0);
        let write = |bytes: &[u8]| {
            let literal = world.literal(bytes);
            world.sql(&format!("UPDATE secret_versions SET {column} = {literal}"));
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            write(&bad);
            never_opens(&world, &world.owner, url, None).await;
        }
        for bad in
            [&good[1..], &good[..good.len() - 1], &good[..1], &[good.as_slice(), &[0]].concat()]
        {
            write(bad);
            never_opens(&world, &world.owner, url, None).await;
        }
        write(&good);
        open(&world, &world.owner, "nl-01", "/from").await;
    }
}

#[tokio::test]
async fn a_version_of_another_key_version_or_with_damaged_material_does_not_open() {
    let world = sealed_world().await;
    let url = "/v1/secrets/nl-01/secret/from/value";
    let key = format!("/v1/kms/nl-01/keys/{}", world.acme.key);
    world.post(&world.owner, &format!("{key}/rotate")).expect(200).await;
    world.sql("UPDATE secret_versions SET key_version = 2");
    never_opens(&world, &world.owner, url, None).await;
    world.sql("UPDATE secret_versions SET key_version = 1");
    open(&world, &world.owner, "nl-01", "/from").await;
    // A key that is disabled leaves the memory, so that its material is unwrapped anew.
    let other = world.key(&world.owner, "other").await;
    for to in ["disable", "enable"] {
        world.post(&world.owner, &format!("{key}/{to}")).expect(200).await;
    }
    let material = |key: &str, version: i64| -> Vec<u8> {
        let read = format!(
            "SELECT wrapped_material FROM kms_key_versions
            WHERE key_id = '{key}' AND version = {version}"
        );
        world.bytes(&read).remove(0)
    };
    let write = |bytes: &[u8]| {
        let (literal, key) = (world.literal(bytes), &world.acme.key);
        world.sql(&format!(
            "UPDATE kms_key_versions SET wrapped_material = {literal}
            WHERE key_id = '{key}' AND version = 1"
        ));
    };
    let good = material(&world.acme.key, 1);
    let mut damaged = vec![material(&world.acme.key, 2), material(&other, 1), Vec::new()];
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        damaged.push(bad);
    }
    for bad in damaged {
        write(&bad);
        never_opens(&world, &world.owner, url, None).await;
    }
    write(&good);
    open(&world, &world.owner, "nl-01", "/from").await;
}

#[tokio::test]
async fn no_table_holds_a_value_in_the_clear() {
    let world = sealed_world().await;
    if !world.is_embedded() {
        return;
    }
    world.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    for name in ["coffer.db", "coffer.db-wal", "coffer.db-shm"] {
        let bytes = std::fs::read(world.folder.path().join(name)).unwrap_or_default();
        for canary in [CANARY.to_owned(), base64(CANARY)] {
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary.as_bytes()),
                "{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_puts_at_once_make_versions_2_to_201_without_a_gap() {
    let world = Arc::new(World::new().await);
    world.secret("/x", "first").await;
    let url = "/v1/secrets/nl-01/secret/x";
    let puts: Vec<_> = (0..200)
        .map(|number| {
            let world = world.clone();
            tokio::spawn(async move {
                let body = json!({"secretString": base64(format!("value {number}"))});
                let put = world.post(&world.owner, &format!("{url}/versions")).json(body);
                (number, put.expect(200).await.body["version"].as_i64().unwrap())
            })
        })
        .collect();
    let mut versions = BTreeSet::new();
    for put in puts {
        let (number, version) = put.await.unwrap();
        assert!(versions.insert(version), "version {version} was given twice");
        let reveal = world.post(&world.owner, &format!("{url}/value"));
        let reveal = reveal.json(json!({"version": version})).expect(200).await;
        assert_eq!(text_of(&reveal), format!("value {number}"));
    }
    assert!(versions.into_iter().eq(2..=201));
    let secret = world.get(&world.owner, &format!("{url}?includeVersions=true")).expect(200).await;
    assert_eq!(secret.body["currentVersion"], 201);
    assert_eq!(secret.body["objectVersion"], 201);
    assert_eq!(secret.body["versions"].as_array().unwrap().len(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_creates_of_one_path_at_once_one_wins() {
    let world = Arc::new(World::new().await);
    let creates: Vec<_> = (0..200)
        .map(|number| {
            let world = world.clone();
            tokio::spawn(async move {
                let body = json!({
                    "path": "/x", "kmsKeyIdentity": "default",
                    "secretString": base64(format!("value {number}"))
                });
                let made = world.post(&world.owner, SECRETS).json(body).send().await;
                (number, made.status)
            })
        })
        .collect();
    let (mut winners, mut taken) = (Vec::new(), 0);
    for create in creates {
        match create.await.unwrap() {
            (number, 201) => winners.push(number),
            (_, 409) => taken += 1,
            (number, status) => panic!("create {number} got {status}"),
        }
    }
    assert_eq!((winners.len(), taken), (1, 199));
    let url = "/v1/secrets/nl-01/secret/x/value";
    let revealed = world.post(&world.owner, url).expect(200).await;
    assert_eq!(text_of(&revealed), format!("value {}", winners[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_changes_at_once_with_the_same_if_match_one_passes() {
    let world = Arc::new(World::new().await);
    world.secret("/x", "v").await;
    let changes: Vec<_> = (0..50)
        .map(|number| {
            let world = world.clone();
            tokio::spawn(async move {
                let body = json!({"description": format!("change {number}")});
                let change = world.patch(&world.owner, "/v1/secrets/nl-01/secret/x").json(body);
                change.header("if-match", "\"1\"").send().await.status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for change in changes {
        statuses.push(change.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[412; 49][..]));
}

#[tokio::test]
async fn a_value_whose_format_was_changed_in_the_database_does_not_open() {
    let world = World::new().await;
    world.secret("/x", "hunter2").await;
    world.sql("UPDATE secret_versions SET format = 'keyValue'");
    let url = "/v1/secrets/nl-01/secret/x/value";
    let refused = world.post(&world.owner, url).expect(500).await;
    assert!(refused.body.get("secretKeyValues").is_none(), "{}", refused.text);
}
