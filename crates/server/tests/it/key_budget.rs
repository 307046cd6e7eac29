//! How often a key version seals is counted before it seals, and has an end (NIST SP 800-38D, section 8.3).

use std::sync::Arc;

use coffer_crypto::{Algorithm, Cipher};
use coffer_server::kms::rotate::rotate_due;
use coffer_server::model::key::VersionName;
use serde_json::json;

use crate::world::{World, base64};

const KEY: &str = "/v1/kms/nl-01/keys/default";

fn counted(world: &World, version: i64) -> i64 {
    let key = &world.acme.key;
    world.count(&format!(
        "SELECT seals FROM kms_key_versions WHERE key_id = '{key}' AND version = {version}"
    ))
}

fn set_count(world: &World, version: i64, seals: i64) {
    let key = &world.acme.key;
    world.sql(&format!(
        "UPDATE kms_key_versions SET seals = {seals} WHERE key_id = '{key}' AND version = {version}"
    ));
}

async fn encrypt(world: &World, version: Option<i64>, expected: u16) -> String {
    let mut body = json!({"plaintext": base64("x")});
    if let Some(version) = version {
        body["keyVersion"] = json!(version.to_string());
    }
    let call = world.post(&world.owner, &format!("{KEY}/encrypt")).json(body);
    call.expect(expected).await.message().to_owned()
}

#[tokio::test]
async fn seals_are_counted_in_blocks_before_they_are_made() {
    let mut world = World::new().await;
    assert_eq!(counted(&world, 1), 0);
    encrypt(&world, None, 200).await;
    assert_eq!(counted(&world, 1), 4096);
    for at in 0..20 {
        encrypt(&world, None, 200).await;
        world.secret(&format!("/s{at}"), "x").await;
    }
    world
        .post(&world.owner, &format!("{KEY}/generate-data-key"))
        .json(json!({"keyBytes": 32}))
        .expect(200)
        .await;
    assert_eq!(counted(&world, 1), 4096);
    // What a server leaves of its block is never given out again.
    world.restart(&[&world.root.clone()]).await.unwrap();
    assert_eq!(counted(&world, 1), 4096);
    world.secret("/after", "x").await;
    assert_eq!(counted(&world, 1), 8192);
    encrypt(&world, None, 200).await;
    assert_eq!(counted(&world, 1), 8192);
}

#[tokio::test]
async fn many_at_once_count_one_block() {
    let world = Arc::new(World::new().await);
    let calls = (0..64).map(|_| {
        let world = world.clone();
        tokio::spawn(async move { encrypt(&world, None, 200).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(counted(&world, 1), 4096);
}

#[tokio::test]
async fn nobody_is_turned_away_where_a_block_ends() {
    let world = Arc::new(World::new().await);
    encrypt(&world, None, 200).await;
    let block = world.app.keyring.allowance.block(&name(&world));
    for round in 1..=4 {
        while block.take().is_some() {}
        block.add(round);
        let calls = (0..64).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { encrypt(&world, None, 200).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        assert_eq!(counted(&world, 1), 4096 * (round + 1));
    }
}

fn name(world: &World) -> VersionName {
    VersionName {
        organisation: world.acme.id.clone(),
        region: String::new(),
        project: String::new(),
        key: world.acme.key.clone(),
        version: 1,
        algorithm: Algorithm::Aead(Cipher::Aes256Gcm),
    }
}

#[tokio::test]
async fn more_than_a_block_counts_another() {
    let world = World::new().await;
    encrypt(&world, None, 200).await;
    while world.app.keyring.allowance.block(&name(&world)).take().is_some() {}
    encrypt(&world, None, 200).await;
    assert_eq!(counted(&world, 1), 8192);
}

#[tokio::test]
async fn a_version_that_has_sealed_much_is_replaced_long_before_the_end() {
    let world = World::new().await;
    set_count(&world, 1, (1 << 30) - 1);
    assert_eq!(rotate_due(&world.app).await.unwrap(), 0);
    encrypt(&world, None, 200).await;
    assert_eq!(rotate_due(&world.app).await.unwrap(), 1);
    assert_eq!(rotate_due(&world.app).await.unwrap(), 0);
    let read = world.get(&world.owner, KEY).expect(200).await.body;
    assert_eq!(read["latestVersion"], 2);
    assert_eq!(read["keyRotationEnabled"], false);
    encrypt(&world, None, 200).await;
    assert_eq!(counted(&world, 2), 4096);
}

#[tokio::test]
async fn a_version_at_its_end_seals_no_more_but_opens() {
    let world = World::new().await;
    let sealed = world.post(&world.owner, &format!("{KEY}/encrypt"));
    let sealed = sealed.json(json!({"plaintext": base64("x")})).expect(200).await.body;
    world.secret("/a", "x").await;
    let mut world = world;
    world.restart(&[&world.root.clone()]).await.unwrap();
    set_count(&world, 1, 1 << 32);
    assert!(encrypt(&world, None, 400).await.contains("as often as is safe"));
    for (url, body) in [
        (format!("{KEY}/generate-data-key"), json!({"keyBytes": 32})),
        (format!("{KEY}/rewrap"), json!({"ciphertext": sealed["ciphertext"]})),
        ("/v1/secrets/nl-01/secret/a/versions".to_owned(), json!({"secretString": base64("y")})),
    ] {
        let refused = world.post(&world.owner, &url).json(body).expect(400).await;
        assert!(refused.message().contains("as often as is safe"), "{}", refused.text);
    }
    let opened = world.post(&world.owner, &format!("{KEY}/decrypt"));
    opened.json(json!({"ciphertext": sealed["ciphertext"]})).expect(200).await;
    world.post(&world.owner, "/v1/secrets/nl-01/secret/a/value").expect(200).await;
    assert_eq!(rotate_due(&world.app).await.unwrap(), 1);
    encrypt(&world, None, 200).await;
    encrypt(&world, Some(1), 400).await;
}
