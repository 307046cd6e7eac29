//! Replacing the root key while the server serves: stopped anywhere, nothing is lost.

use coffer_server::platform::root_keys::{in_use, rewrap};
use serde_json::json;

use crate::world::{World, base64, fresh_root, text_of};

const KEYS: &str = "/v1/kms/nl-01/keys";

/// How many key versions and wrapping keys are under each root key.
fn under(world: &World) -> Vec<(String, i64)> {
    let sql = "SELECT root_key, COUNT(*) FROM (SELECT root_key FROM kms_key_versions
        WHERE wrapped_material IS NOT NULL UNION ALL SELECT root_key FROM wrapping_keys) AS used
        GROUP BY root_key ORDER BY COUNT(*)";
    let rows = world.select(sql).into_iter();
    rows.map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

async fn works(world: &World) {
    let value = world.post(&world.owner, "/v1/secrets/nl-01/secret/kept/value");
    assert_eq!(text_of(&value.expect(200).await), "hunter2");
    let sign = world.post(&world.owner, &format!("{KEYS}/ed/sign"));
    sign.json(json!({"input": base64("x"), "keyVersion": "1"})).expect(200).await;
    world.get(&world.owner, "/v1/kms/nl-01/wrapping-key").expect(200).await;
    world.anonymous("GET", "/readyz").expect(200).await;
}

/// 2 keys `default`, 1 more with 600 versions, and a wrapping key: 603 in all.
async fn full() -> World {
    let world = World::new().await;
    world.secret("/kept", "hunter2").await;
    world.key_of(&world.owner, json!({"name": "ed", "keyType": "ed25519"})).await;
    for _ in 0..599 {
        world.post(&world.owner, &format!("{KEYS}/ed/rotate")).expect(200).await;
    }
    works(&world).await;
    world
}

#[tokio::test]
async fn everything_moves_to_the_new_root_key_while_the_server_serves() {
    let mut world = full().await;
    let (old, new) = (world.root.clone(), fresh_root());
    let before = world.app.keyring.fingerprint().to_owned();
    assert_eq!(under(&world), [(before.clone(), 603)]);
    world.restart(&[&new, &old]).await.unwrap();
    let after = world.app.keyring.fingerprint().to_owned();
    assert_ne!(before, after);
    works(&world).await;
    // Nothing is under the new one yet, so that there is a way back.
    assert_eq!(in_use(&world.app).await.unwrap(), std::slice::from_ref(&before));
    world.restart(&[&old]).await.unwrap();
    world.restart(&[&new, &old]).await.unwrap();
    world.key(&world.owner, "made in between").await;
    let mut both = vec![before.clone(), after.clone()];
    both.sort_unstable();
    assert_eq!(in_use(&world.app).await.unwrap(), both);
    assert!(world.restart(&[&old]).await.is_err());

    let server = world.app.clone();
    let (moved, ()) = tokio::join!(rewrap(&server), works(&world));
    assert_eq!(moved.unwrap(), 604);
    assert_eq!(under(&world), [(after.clone(), 604)]);
    assert_eq!(in_use(&world.app).await.unwrap(), [after]);
    works(&world).await;
    assert_eq!(rewrap(&world.app).await.unwrap(), 0, "nothing is left to do");

    world.restart(&[&new]).await.unwrap();
    works(&world).await;
    assert!(world.restart(&[&old]).await.is_err());
    assert!(world.restart(&[&fresh_root()]).await.is_err());
    let query = "SELECT COUNT(*) FROM audit_events WHERE action = 'platform.root-key.rotate'";
    assert_eq!(world.count(query), 1);
}

#[tokio::test]
async fn a_move_that_was_stopped_goes_on() {
    let mut world = full().await;
    let (old, new) = (world.root.clone(), fresh_root());
    world.restart(&[&new, &old]).await.unwrap();
    let after = world.app.keyring.fingerprint().to_owned();
    let server = world.app.clone();
    let moving = tokio::spawn(async move { rewrap(&server).await });
    while under(&world).len() == 1 {
        tokio::task::yield_now().await;
    }
    moving.abort();
    let _ = moving.await;
    works(&world).await;
    let half = under(&world);
    assert!(half.len() == 2, "{half:?}");
    assert!(world.restart(&[&new]).await.is_err(), "the old key is still needed");
    world.restart(&[&new, &old]).await.unwrap();
    assert!(rewrap(&world.app).await.unwrap() < 603);
    assert_eq!(under(&world), [(after, 603)]);
    world.restart(&[&new]).await.unwrap();
    works(&world).await;
}

#[tokio::test]
async fn two_servers_move_the_same_rows_without_harm() {
    let mut world = full().await;
    let (old, new) = (world.root.clone(), fresh_root());
    world.restart(&[&new, &old]).await.unwrap();
    let other = world.server(&[&new, &old]);
    let (one, two) = tokio::join!(rewrap(&world.app), rewrap(&other));
    one.unwrap();
    two.unwrap();
    assert_eq!(under(&world), [(world.app.keyring.fingerprint().to_owned(), 603)]);
    works(&world).await;
}

#[tokio::test]
async fn what_does_not_open_keeps_the_old_root_key_in_use() {
    let mut world = World::new().await;
    world.secret("/kept", "hunter2").await;
    world.key(&world.owner, "damaged").await;
    let damaged = world.literal(&[0]);
    world.sql(&format!(
        "UPDATE kms_key_versions SET wrapped_material = {damaged} WHERE key_id = (SELECT key_id
         FROM kms_keys WHERE slug = 'damaged')"
    ));
    world.key(&world.owner, "mistyped").await;
    world.sql("UPDATE kms_keys SET key_type = 'aes512' WHERE slug = 'mistyped'");
    world.get(&world.owner, "/v1/kms/nl-01/wrapping-key").expect(200).await;
    world.sql(&format!("UPDATE wrapping_keys SET wrapped_material = {damaged}"));
    let (old, new) = (world.root.clone(), fresh_root());
    world.restart(&[&new, &old]).await.unwrap();
    rewrap(&world.app).await.unwrap();
    assert_eq!(in_use(&world.app).await.unwrap().len(), 2);
    let left: Vec<_> = under(&world).into_iter().map(|(_, count)| count).collect();
    assert_eq!(left, [2, 3], "the two good ones and the wrapping key apart");
    let value = world.post(&world.owner, "/v1/secrets/nl-01/secret/kept/value");
    assert_eq!(text_of(&value.expect(200).await), "hunter2");
}

#[tokio::test]
async fn a_server_that_still_wraps_with_the_old_key_strands_nothing() {
    let mut world = World::new().await;
    let (old, new) = (world.root.clone(), fresh_root());
    let late = world.server(&[&old, &new]);
    world.secret("/kept", "hunter2").await;
    world.restart(&[&new, &old]).await.unwrap();
    assert_eq!(rewrap(&world.app).await.unwrap(), 3);
    let early = world.app.clone();
    // The other server has not been told yet, and makes a key.
    world.continue_with(late);
    world.key(&world.owner, "late").await;
    let body = json!({"path": "/late", "kmsKeyIdentity": "late", "secretString": base64("x")});
    world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(body).expect(201).await;
    assert!(world.restart(&[&new]).await.is_err(), "the old key is needed again");
    world.continue_with(early);
    assert_eq!(rewrap(&world.app).await.unwrap(), 1);
    world.restart(&[&new]).await.unwrap();
    let value = world.post(&world.owner, "/v1/secrets/nl-01/secret/late/value");
    assert_eq!(text_of(&value.expect(200).await), "x");
}

#[tokio::test]
async fn a_third_root_key_may_come_before_the_second_has_everything() {
    let mut world = full().await;
    let (a, b, c) = (world.root.clone(), fresh_root(), fresh_root());
    world.restart(&[&b, &a]).await.unwrap();
    let server = world.app.clone();
    let moving = tokio::spawn(async move { rewrap(&server).await });
    while under(&world).len() == 1 {
        tokio::task::yield_now().await;
    }
    moving.abort();
    let _ = moving.await;
    assert!(world.restart(&[&c, &b]).await.is_err());
    world.restart(&[&c, &b, &a]).await.unwrap();
    works(&world).await;
    assert_eq!(rewrap(&world.app).await.unwrap(), 604);
    world.restart(&[&c]).await.unwrap();
    works(&world).await;
}
