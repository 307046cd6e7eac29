//! Rotation settings, rotation by the clock, and the end of a key (contract, sections 3.13, 3.14 and 14, 29–30).

use std::sync::Arc;

use coffer_server::kms::purge::purge_due;
use coffer_server::kms::rotate::rotate_due;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use crate::world::{Answer, NOON, Person, World, base64, text_of};

const KEYS: &str = "/v1/kms/nl-01/keys";
const DAY: i64 = 86_400_000_000;

#[tokio::test]
async fn rotation_settings_change_field_by_field() {
    let world = World::new().await;
    let url = format!("{KEYS}/default/rotation");
    let set = async |body: Json, expected| {
        world.patch(&world.owner, &url).json(body).expect(expected).await.body
    };
    let shown = |key: &Json| {
        (
            key["keyRotationEnabled"].as_bool().unwrap(),
            key["rotationPeriodInDays"].as_i64(),
            key["objectVersion"].as_i64().unwrap(),
        )
    };
    assert_eq!(shown(&set(json!({}), 200).await), (false, None, 1), "nothing changes");
    set(json!({"keyRotationEnabled": true}), 400).await;
    for days in [0, -1, 3651] {
        set(json!({"rotationPeriodInDays": days}), 400).await;
    }
    set(json!({"rotationPeriodInDays": "30"}), 400).await;
    set(json!({"rotation": true}), 400).await;
    let on = set(json!({"keyRotationEnabled": true, "rotationPeriodInDays": 90}), 200).await;
    assert_eq!(shown(&on), (true, Some(90), 2));
    assert!(on["versions"].is_array(), "{on}");
    assert_eq!(shown(&set(json!({"rotationPeriodInDays": 30}), 200).await), (true, Some(30), 3));
    assert_eq!(shown(&set(json!({}), 200).await), (true, Some(30), 3));
    assert_eq!(shown(&set(json!({"keyRotationEnabled": false}), 200).await), (false, Some(30), 4));
    assert_eq!(shown(&set(json!({"keyRotationEnabled": true}), 200).await), (true, Some(30), 5));
    let stale = world.patch(&world.owner, &url).header("if-match", "\"4\"");
    stale.json(json!({"rotationPeriodInDays": 7})).expect(412).await;
    let fresh = world.patch(&world.owner, &url).header("if-match", "\"5\"");
    fresh.json(json!({"rotationPeriodInDays": 7})).expect(200).await;

    world.set_now(NOON + 7 * DAY - 1);
    assert_eq!(rotate_due(&world.app).await.unwrap(), 0);
    world.set_now(NOON + 7 * DAY);
    assert_eq!(rotate_due(&world.app).await.unwrap(), 1);
}

#[tokio::test]
async fn rotation_settings_of_a_key_that_is_going_stay() {
    let world = World::new().await;
    let key = world.key(&world.owner, "going").await;
    let url = format!("{KEYS}/{key}");
    world.delete(&world.owner, &url).expect(200).await;
    let on = json!({"keyRotationEnabled": true, "rotationPeriodInDays": 90});
    world.patch(&world.owner, &format!("{url}/rotation")).json(on).expect(400).await;
    world.patch(&world.owner, &format!("{url}/rotation")).json(json!({})).expect(200).await;
}

#[tokio::test]
async fn two_servers_rotate_a_key_once() {
    let world = World::new().await;
    for (name, key_type) in [("aes", "aes256-gcm96"), ("ed", "ed25519"), ("rsa", "rsa-2048")] {
        let body = json!({"name": name, "keyType": key_type, "keyRotationEnabled": true,
            "rotationPeriodInDays": 1});
        world.key_of(&world.owner, body).await;
    }
    world.set_now(NOON + DAY);
    let other = world.server(&[&world.root]);
    let (one, two) = tokio::join!(rotate_due(&world.app), rotate_due(&other));
    assert_eq!(one.unwrap() + two.unwrap(), 3);
    for name in ["aes", "ed", "rsa"] {
        let read = world.get(&world.owner, &format!("{KEYS}/{name}")).expect(200).await.body;
        assert_eq!(read["latestVersion"], 2, "{name}");
    }
    let query = "action=kms.rotate.scheduled&includeSystemServices=true";
    assert_eq!(world.audit(query).await.len(), 3);
}

/// A key with a secret and a ciphertext under it, whose deletion is pending since noon.
async fn going(world: &World) -> (String, Json) {
    let key = world.key(&world.owner, "going").await;
    let url = format!("{KEYS}/{key}");
    let body = json!({"path": "/kept", "kmsKeyIdentity": key, "secretString": base64("hunter2")});
    world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(body).expect(201).await;
    let sealed = world.post(&world.owner, &format!("{url}/encrypt"));
    let sealed = sealed.json(json!({"plaintext": base64("x")})).expect(200).await.body;
    world.delete(&world.owner, &url).expect(200).await;
    (url, json!({"ciphertext": sealed["ciphertext"]}))
}

fn material(world: &World, url: &str) -> Vec<Vec<u8>> {
    world.bytes(&format!(
        "SELECT wrapped_material FROM kms_key_versions WHERE key_id = '{}'
        AND wrapped_material IS NOT NULL",
        url.rsplit('/').next().unwrap()
    ))
}

#[tokio::test]
async fn a_key_is_purged_after_thirty_days() {
    let world = World::new().await;
    let (url, ciphertext) = going(&world).await;
    let value = "/v1/secrets/nl-01/secret/kept/value";
    world.set_now(NOON + 30 * DAY - 1);
    assert_eq!(purge_due(&world.app).await.unwrap(), 0);
    world.post(&world.owner, &format!("{url}/enable")).expect(400).await;
    world.delete(&world.owner, &format!("{url}/cancel-deletion")).expect(200).await;
    assert_eq!(text_of(&world.post(&world.owner, value).expect(200).await), "hunter2");
    world.delete(&world.owner, &url).expect(200).await;
    world.set_now(NOON + 60 * DAY - 1);
    let before = material(&world, &url);
    assert_eq!(before.len(), 1);

    assert_eq!(purge_due(&world.app).await.unwrap(), 1);
    assert_eq!(purge_due(&world.app).await.unwrap(), 0, "once");
    assert_eq!(material(&world, &url), Vec::<Vec<u8>>::new());
    for (method, tail, body) in [
        ("GET", "", Json::Null),
        ("DELETE", "", Json::Null),
        ("DELETE", "/cancel-deletion", Json::Null),
        ("POST", "/enable", Json::Null),
        ("POST", "/decrypt", ciphertext),
    ] {
        let call = world.ask(method, &world.owner, &format!("{url}{tail}"));
        let call = if body.is_null() { call } else { call.json(body) };
        call.expect(404).await;
    }
    let listed = world.get(&world.owner, KEYS).expect(200).await;
    assert!(!listed.text.contains("going"), "{}", listed.text);
    let summary = world.get(&world.owner, "/v1/kms/summary").expect(200).await.body;
    assert_eq!(summary["regions"][1]["totalKeys"], 1, "{summary}");

    let put = json!({"secretString": base64("new")});
    for (tail, body) in [("value", Json::Null), ("versions", put)] {
        let call = world.post(&world.owner, &format!("/v1/secrets/nl-01/secret/kept/{tail}"));
        let call = if body.is_null() { call } else { call.json(body) };
        let refused = call.expect(400).await;
        assert!(refused.message().contains("KMS key has been deleted"), "{}", refused.text);
    }
    let metadata = world.get(&world.owner, "/v1/secrets/nl-01/secret/kept").expect(200).await.body;
    assert_eq!(metadata["kmsKey"]["status"], "deleted", "{metadata}");
    world.get(&world.owner, "/v1/secrets/nl-01/secrets?pathPrefix=/").expect(200).await;
    let new = json!({"path": "/new", "kmsKeyIdentity": url.rsplit('/').next(),
        "secretString": base64("x")});
    world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(new).expect(404).await;
    world.delete(&world.owner, "/v1/secrets/nl-01/secret/kept").expect(204).await;
    let purged = world.audit("action=kms.purge&includeSystemServices=true").await;
    assert_eq!(purged.len(), 1, "{purged:#?}");
    // The name is free, as it was since the deletion was scheduled.
    world.key(&world.owner, "going").await;
}

#[tokio::test]
async fn purged_material_is_in_no_file() {
    let world = World::new().await;
    if !world.is_embedded() {
        return;
    }
    let (url, _) = going(&world).await;
    let wrapped = material(&world, &url).remove(0);
    let is_there = || {
        let files = std::fs::read_dir(world.folder.path()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(wrapped.len()).any(|window| window == wrapped))
    };
    assert!(is_there());
    world.set_now(NOON + 30 * DAY);
    assert_eq!(purge_due(&world.app).await.unwrap(), 1);
    assert!(!is_there(), "what was erased can still be read in a file");
}

#[tokio::test]
async fn a_key_has_a_last_version() {
    let world = World::new().await;
    let on = json!({"keyRotationEnabled": true, "rotationPeriodInDays": 1});
    world.patch(&world.owner, &format!("{KEYS}/default/rotation")).json(on).expect(200).await;
    world.sql(
        "PRAGMA foreign_keys = OFF; UPDATE kms_keys SET latest_version = 10000 WHERE slug = 'default';
         UPDATE kms_key_versions SET version = 10000 WHERE version = 1",
    );
    let refused = world.post(&world.owner, &format!("{KEYS}/default/rotate")).expect(400).await;
    assert!(refused.message().contains("10000 versions"), "{}", refused.text);
    world.set_now(NOON + 2 * DAY);
    assert_eq!(rotate_due(&world.app).await.unwrap(), 0);
}

/// Keeps every thread that makes RSA keys busy until the senders are dropped.
fn keep_busy(world: &World) -> Vec<std::sync::mpsc::Sender<()>> {
    let cores = std::thread::available_parallelism().unwrap().get();
    let job = |number| {
        let (open, gate) = std::sync::mpsc::channel();
        let app = world.app.clone();
        tokio::spawn(async move {
            let wait = move || Ok(gate.recv().is_ok());
            app.lanes.making.run(&format!("busy {number}"), wait).await
        });
        open
    };
    (0..(cores / 2).max(1)).map(job).collect()
}

/// Sends a call and lets it run until it waits for a thread that makes RSA keys.
async fn waiting(
    world: &Arc<World>,
    by: &Person,
    name: &str,
    already: usize,
) -> JoinHandle<Answer> {
    let (of, by, name) = (world.clone(), by.clone(), name.to_owned());
    let call = tokio::spawn(async move {
        let body = json!({"name": name, "keyType": "rsa-2048"});
        of.post(&by, KEYS).json(body).send().await
    });
    while world.app.lanes.making.count(&world.acme.id) == already {
        tokio::task::yield_now().await;
    }
    call
}

#[tokio::test]
async fn an_organisation_waits_for_four_slow_keys_at_most() {
    let world = Arc::new(World::new().await);
    let busy = keep_busy(&world);
    let mut calls = Vec::new();
    for already in 0..4 {
        calls.push(waiting(&world, &world.owner, &format!("slow {already}"), already).await);
    }
    let body = json!({"name": "fifth", "keyType": "rsa-2048"});
    let refused = world.post(&world.owner, KEYS).json(body).expect(429).await;
    assert_ne!(refused.header("retry-after"), "");
    // Told at once, without a key being made for it: a name that is taken, a version that is not the present one.
    let taken = json!({"name": "default", "keyType": "rsa-2048"});
    world.post(&world.owner, KEYS).json(taken).expect(409).await;
    let stale = world.post(&world.owner, &format!("{KEYS}/default/rotate"));
    stale.header("if-match", "\"7\"").expect(412).await;
    // Other keys wait for nobody.
    world.key_of(&world.owner, json!({"name": "quick", "keyType": "ed25519"})).await;
    drop(busy);
    for call in calls {
        assert_eq!(call.await.unwrap().status, 201);
    }
    assert_eq!(world.audit("action=kms.create&responseStatus=429").await.len(), 1);
}

#[tokio::test]
async fn what_is_taken_away_while_a_call_waits_is_missed_by_it() {
    let world = Arc::new(World::new().await);
    let admin = world.person_as("kms-full-access").await;
    for (at, (expected, take)) in
        [(404, "binding"), (503, "region"), (403, "gate")].into_iter().enumerate()
    {
        let busy = keep_busy(&world);
        let by = if take == "binding" { &admin } else { &world.owner };
        let call = waiting(&world, by, &format!("tardy {at}"), 0).await;
        match take {
            "binding" => {
                let (acme, subject) = (world.acme.id.clone(), admin.subject.clone());
                let unbind = async move |tx: &mut coffer_server::store::Tx| {
                    tx.delete_bindings(("user", &subject)).await
                };
                world.write(&acme, unbind).await;
            }
            "region" => world.set_region_kms("nl-01", false).await,
            _ => world.set_gates([true, false, true]).await,
        }
        drop(busy);
        let answer = call.await.unwrap();
        assert_eq!(answer.status, expected, "{take}: {}", answer.text);
        world.set_region_kms("nl-01", true).await;
        world.set_gates([true; 3]).await;
        while world.app.lanes.making.count(&world.acme.id) > 0 {
            tokio::task::yield_now().await;
        }
    }
    let listed = world.get(&world.owner, KEYS).expect(200).await;
    assert!(!listed.text.contains("tardy"), "{}", listed.text);
}

#[tokio::test]
async fn a_cancelled_deletion_is_never_purged() {
    let world = World::new().await;
    let (url, _) = going(&world).await;
    world.delete(&world.owner, &format!("{url}/cancel-deletion")).expect(200).await;
    world.set_now(NOON + 400 * DAY);
    assert_eq!(purge_due(&world.app).await.unwrap(), 0);
    world.get(&world.owner, &url).expect(200).await;
}
