//! The life of a key (contract, sections 3.14 and 14, 25–27) and preconditions (section 15, 3).

use coffer_server::kms::rotate::rotate_due;
use serde_json::{Value as Json, json};

use crate::world::{NOON, World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";
const DAY: i64 = 86_400_000_000;

/// A new key in a state, and a ciphertext of it.
async fn key_in(world: &World, state: &str, name: &str) -> (String, Json) {
    let url = format!("{KEYS}/{}", world.key(&world.owner, name).await);
    let body = json!({"plaintext": base64("hunter2")});
    let sealed = world.post(&world.owner, &format!("{url}/encrypt")).json(body).expect(200).await;
    match state {
        "disabled" => world.post(&world.owner, &format!("{url}/disable")).expect(200).await,
        "pending_deletion" => world.delete(&world.owner, &url).expect(200).await,
        _ => world.get(&world.owner, &url).expect(200).await,
    };
    (url, json!({"ciphertext": sealed.body["ciphertext"]}))
}

#[tokio::test]
async fn every_operation_in_every_state() {
    const ACTIVE: &str = "active";
    const DISABLED: &str = "disabled";
    const PENDING: &str = "pending_deletion";
    let world = World::new().await;
    for (at, (state, operation, expected, after)) in [
        (ACTIVE, "read", 200, ACTIVE),
        (ACTIVE, "encrypt", 200, ACTIVE),
        (ACTIVE, "decrypt", 200, ACTIVE),
        (ACTIVE, "rotate", 200, ACTIVE),
        (ACTIVE, "disable", 200, DISABLED),
        (ACTIVE, "enable", 200, ACTIVE),
        (ACTIVE, "delete", 200, PENDING),
        (ACTIVE, "cancel-deletion", 400, ACTIVE),
        (DISABLED, "read", 200, DISABLED),
        (DISABLED, "encrypt", 400, DISABLED),
        (DISABLED, "decrypt", 400, DISABLED),
        (DISABLED, "rotate", 400, DISABLED),
        (DISABLED, "disable", 200, DISABLED),
        (DISABLED, "enable", 200, ACTIVE),
        (DISABLED, "delete", 200, PENDING),
        (DISABLED, "cancel-deletion", 400, DISABLED),
        (PENDING, "read", 200, PENDING),
        (PENDING, "encrypt", 400, PENDING),
        (PENDING, "decrypt", 400, PENDING),
        (PENDING, "rotate", 400, PENDING),
        (PENDING, "disable", 400, PENDING),
        (PENDING, "enable", 400, PENDING),
        (PENDING, "delete", 200, PENDING),
        (PENDING, "cancel-deletion", 200, ACTIVE),
    ]
    .into_iter()
    .enumerate()
    {
        let about = format!("{operation} of a key that is {state}");
        let (url, ciphertext) = key_in(&world, state, &format!("key-{at}")).await;
        let below = format!("{url}/{operation}");
        let call = match operation {
            "read" => world.get(&world.owner, &url),
            "delete" => world.delete(&world.owner, &url),
            "cancel-deletion" => world.delete(&world.owner, &below),
            "encrypt" => world.post(&world.owner, &below).json(json!({"plaintext": "eA=="})),
            "decrypt" => world.post(&world.owner, &below).json(ciphertext),
            _ => world.post(&world.owner, &below),
        };
        let answer = call.send().await;
        assert_eq!(answer.status, expected, "{about}: {}", answer.text);
        if expected == 200 && !operation.ends_with("crypt") {
            assert_eq!(answer.body["status"], after, "{about}");
            let read = world.get(&world.owner, &url).expect(200).await;
            assert_eq!(answer.body, read.body, "{about}: the answer is the key as it is");
        }
        let key = world.get(&world.owner, &url).expect(200).await.body;
        assert_eq!(key["status"], after, "{about}");
        assert_eq!(key["deletionScheduledAt"].is_string(), after == PENDING, "{about}");
        let listed = world.get(&world.owner, &format!("{KEYS}?name=key-{at}")).expect(200).await;
        assert_eq!(listed.body[0]["status"], after, "{about}: it stays listed");
    }
}

#[tokio::test]
async fn a_key_that_is_active_again_opens_what_it_sealed() {
    let world = World::new().await;
    for (state, method, back) in
        [("disabled", "POST", "enable"), ("pending_deletion", "DELETE", "cancel-deletion")]
    {
        let (url, ciphertext) = key_in(&world, state, state).await;
        world.ask(method, &world.owner, &format!("{url}/{back}")).expect(200).await;
        let opened = world.post(&world.owner, &format!("{url}/decrypt")).json(ciphertext);
        assert_eq!(opened.expect(200).await.body["plaintext"], base64("hunter2"));
    }
}

#[tokio::test]
async fn a_disabled_key_comes_back_active_from_a_cancelled_deletion() {
    let world = World::new().await;
    let (url, _) = key_in(&world, "disabled", "orders").await;
    world.delete(&world.owner, &url).expect(200).await;
    let back = world.delete(&world.owner, &format!("{url}/cancel-deletion")).expect(200).await;
    assert_eq!(back.body["status"], "active");
    assert!(back.body.get("deletionScheduledAt").is_none());
}

#[tokio::test]
async fn deletion_is_30_days_ahead_and_the_date_stays() {
    let world = World::new().await;
    let url = format!("{KEYS}/{}", world.acme.key);
    let first = world.delete(&world.owner, &url).expect(200).await;
    assert_eq!(first.body["deletionScheduledAt"], "2026-02-14T12:00:00Z");
    world.set_now(NOON + DAY);
    let second = world.delete(&world.owner, &url).expect(200).await;
    assert_eq!(second.body, first.body, "the same answer, the same date");
    world.set_now(NOON + 30 * DAY + 1);
    let late = world.delete(&world.owner, &format!("{url}/cancel-deletion")).send().await;
    assert!([400, 404].contains(&late.status), "its material is gone: {}", late.text);
}

#[tokio::test]
async fn a_scheduled_deletion_frees_the_slug_and_a_cancelled_one_takes_it_back() {
    let world = World::new().await;
    for (name, taken, expected) in [
        ("alone", vec![], "alone"),
        ("taken", vec!["taken"], "taken-2"),
        ("twice", vec!["twice", "twice-2"], "twice-3"),
    ] {
        let identity = world.key(&world.owner, name).await;
        let (by_id, by_slug) = (format!("{KEYS}/{identity}"), format!("{KEYS}/{name}"));
        world.delete(&world.owner, &by_slug).expect(200).await;
        world.get(&world.owner, &by_slug).expect(404).await;
        world.get(&world.owner, &by_id).expect(200).await;
        for name in taken {
            world.key(&world.owner, name).await;
        }
        let back =
            world.delete(&world.owner, &format!("{by_id}/cancel-deletion")).expect(200).await;
        assert_eq!((&back.body["slug"], &back.body["name"]), (&json!(expected), &json!(name)));
        let read = world.get(&world.owner, &format!("{KEYS}/{expected}")).expect(200).await;
        assert_eq!(read.body["identity"], identity.as_str());
    }
}

#[tokio::test]
async fn two_keys_of_one_slug_can_wait_for_their_deletion() {
    let world = World::new().await;
    for _ in 0..3 {
        let key = world.key(&world.owner, "orders").await;
        world.delete(&world.owner, &format!("{KEYS}/{key}")).expect(200).await;
    }
    let waiting = format!("{KEYS}?slug=orders&status=pending_deletion");
    let listed = world.get(&world.owner, &waiting).expect(200).await;
    assert_eq!(listed.body.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_bound_key_can_be_scheduled_and_its_secrets_wait_with_it() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let key = format!("{KEYS}/{}", world.acme.key);
    let secret = "/v1/secrets/nl-01/secret/app/a";
    world.delete(&world.owner, &key).expect(200).await;
    world.post(&world.owner, &format!("{secret}/value")).expect(400).await;
    let read = world.get(&world.owner, secret).expect(200).await;
    assert_eq!(read.body["kmsKey"]["status"], "pending_deletion");
    world.delete(&world.owner, &format!("{key}/cancel-deletion")).expect(200).await;
    world.post(&world.owner, &format!("{secret}/value")).expect(200).await;
}

#[tokio::test]
async fn a_mutation_heeds_if_match() {
    let world = World::new().await;
    for (at, (state, method, tail)) in [
        ("active", "POST", "/rotate"),
        ("active", "POST", "/disable"),
        ("disabled", "POST", "/enable"),
        ("active", "DELETE", ""),
        ("pending_deletion", "DELETE", "/cancel-deletion"),
    ]
    .into_iter()
    .enumerate()
    {
        for (form, expected) in [
            ("\"99\"", 412),
            ("99", 412),
            ("junk", 412),
            ("W/\"TAG\"", 412),
            ("\"TAG\"", 200),
            ("\"98\", \"TAG\"", 200),
            ("*", 200),
        ] {
            let name = format!("key-{at}-{}", world.fresh_id("").split_off(10));
            let (url, _) = key_in(&world, state, &name).await;
            let before = world.get(&world.owner, &url).expect(200).await;
            let tag = before.body["objectVersion"].to_string();
            assert_eq!(before.header("etag"), format!("\"{tag}\""));
            let call = world.ask(method, &world.owner, &format!("{url}{tail}"));
            let answer = call.header("if-match", &form.replace("TAG", &tag)).send().await;
            assert_eq!(answer.status, expected, "{method} {tail} {form}: {}", answer.text);
            let after = world.get(&world.owner, &url).expect(200).await;
            assert_eq!(after.body == before.body, expected == 412, "{method} {tail} {form}");
        }
    }
}

#[tokio::test]
async fn an_unchanged_key_is_not_sent_again() {
    let world = World::new().await;
    let url = format!("{KEYS}/default");
    for (tag, expected) in
        [("\"1\"", 304), ("W/\"1\"", 304), ("*", 304), ("\"0\", \"1\"", 304), ("\"2\"", 200)]
    {
        let read =
            world.get(&world.owner, &url).header("if-none-match", tag).expect(expected).await;
        assert_eq!(read.text.is_empty(), expected == 304, "{tag}");
    }
    world.post(&world.owner, &format!("{url}/rotate")).expect(200).await;
    let read = world.get(&world.owner, &url).header("if-none-match", "\"1\"").expect(200).await;
    assert_eq!((read.header("etag"), &read.body["objectVersion"]), ("\"2\"", &json!(2)));
}

#[tokio::test]
async fn each_mutation_counts_the_object_version_and_moves_the_time() {
    let world = World::new().await;
    let url = format!("{KEYS}/{}", world.acme.key);
    for (at, (method, tail)) in [
        ("POST", "/rotate"),
        ("POST", "/disable"),
        ("POST", "/enable"),
        ("DELETE", ""),
        ("DELETE", "/cancel-deletion"),
    ]
    .into_iter()
    .enumerate()
    {
        world.set_now(NOON + (i64::try_from(at).unwrap() + 1) * 1_000_000);
        let answer = world.ask(method, &world.owner, &format!("{url}{tail}")).expect(200).await;
        assert_eq!(answer.body["objectVersion"], at + 2, "{tail}");
        assert_eq!(answer.body["updatedAt"], format!("2026-01-15T12:00:0{}Z", at + 1), "{tail}");
        assert_eq!(answer.body["createdAt"], "2026-01-15T12:00:00Z");
    }
}

#[tokio::test]
async fn a_key_rotates_by_the_clock_once_in_its_period() {
    const DAY: i64 = 86_400_000_000;
    let world = World::new().await;
    let rotating = json!({"name": "r", "keyRotationEnabled": true, "rotationPeriodInDays": 90});
    let made = world.post(&world.owner, "/v1/kms/nl-01/keys").json(rotating).expect(201).await;
    let id = made.body["identity"].as_str().unwrap();
    let disabled = json!({"name": "d", "keyRotationEnabled": true, "rotationPeriodInDays": 1});
    world.post(&world.owner, "/v1/kms/nl-01/keys").json(disabled).expect(201).await;
    world.post(&world.owner, "/v1/kms/nl-01/keys/d/disable").expect(200).await;
    for (days, rotated, latest) in [(89, 0, 1), (90, 1, 2), (90, 0, 2), (179, 0, 2), (180, 1, 3)] {
        world.set_now(NOON + days * DAY);
        assert_eq!(rotate_due(&world.app).await.unwrap(), rotated, "day {days}");
        let key = world.get(&world.owner, "/v1/kms/nl-01/keys/r").expect(200).await;
        assert_eq!(key.body["latestVersion"], latest, "day {days}");
    }
    let both = tokio::join!(rotate_due(&world.app), rotate_due(&world.app));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (0, 0));
    world.set_now(NOON + 400 * DAY);
    let both = tokio::join!(rotate_due(&world.app), rotate_due(&world.app));
    assert_eq!(both.0.unwrap() + both.1.unwrap(), 1, "two at once rotate it once");
    let records = world.audit("action=kms.rotate.scheduled&includeSystemServices=true").await;
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record["resourceIdentity"] == id));
    assert!(world.audit("action=kms.rotate.scheduled").await.is_empty(), "system work is left out");
}
