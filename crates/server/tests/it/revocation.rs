//! What is taken away is gone with the very next request.

use coffer_server::error::Result;
use coffer_server::store::Tx;
use futures_util::FutureExt;
use serde_json::{Value as Json, json};

use crate::world::{Answer, NOON, Person, World, base64};

const SECRET: &str = "/v1/secrets/nl-01/secret/app/a";
const ENCRYPT: &str = "/v1/kms/nl-01/keys/default/encrypt";

/// The statuses of a reveal, a flat list, an encryption and a search of the log.
async fn statuses(world: &World, by: &Person) -> [u16; 4] {
    let encrypt = world.post(by, ENCRYPT).json(json!({"plaintext": "eA=="}));
    [
        world.post(by, &format!("{SECRET}/value")).send().await.status,
        world.get(by, "/v1/secrets/nl-01/secrets?pathPrefix=/").send().await.status,
        encrypt.send().await.status,
        world.get(by, "/v1/audit").send().await.status,
    ]
}

/// A world with a secret, and an administrator whose grants are known to the server already.
async fn prepared() -> (World, Person) {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let admin = world.person_as("org-admin").await;
    assert_eq!(statuses(&world, &admin).await, [200; 4]);
    (world, admin)
}

#[tokio::test]
async fn an_unbound_role_grants_nothing() {
    let (world, admin) = prepared().await;
    let (acme, subject) = (world.acme.id.clone(), admin.subject.clone());
    world.write(&acme, async move |tx| tx.delete_bindings(("user", &subject)).await).await;
    assert_eq!(statuses(&world, &admin).await, [403, 403, 404, 403]);
}

#[tokio::test]
async fn a_former_member_is_a_stranger() {
    let (world, admin) = prepared().await;
    let (acme, subject) = (world.acme.id.clone(), admin.subject.clone());
    world.write(&acme, async move |tx| tx.delete_member(&subject).await).await;
    assert_eq!(statuses(&world, &admin).await, [403; 4]);
}

#[tokio::test]
async fn a_member_who_comes_back_has_lost_the_roles() {
    let (world, admin) = prepared().await;
    let (acme, subject, id) = (world.acme.id.clone(), admin.subject.clone(), world.fresh_id("m-"));
    world
        .write(&acme, async move |tx| {
            use coffer_server::model::identity::MemberRole::Member;
            tx.delete_member(&subject).await?;
            tx.insert_member(&id, &subject, Member, NOON).await
        })
        .await;
    assert_eq!(statuses(&world, &admin).await, [403, 403, 404, 403]);
}

#[tokio::test]
async fn a_deleted_token_is_unknown() {
    let (world, admin) = prepared().await;
    let log = world.audit(&format!("userIdentity={}", admin.subject)).await;
    let token = log[0]["context"]["credentials_id"].as_str().unwrap().to_owned();
    world.delete(&admin, &format!("/v1/me/personal-access-tokens/{token}")).expect(204).await;
    assert_eq!(statuses(&world, &admin).await, [401; 4]);
    assert_eq!(statuses(&world, &world.owner).await, [200; 4], "others stay");
}

#[tokio::test]
async fn a_gate_that_is_turned_off_refuses_at_once() {
    let (world, admin) = prepared().await;
    for (gates, expected) in [
        ([false, true, true], [403, 403, 200, 200]),
        ([true, false, true], [403, 403, 403, 200]),
        ([false, false, true], [403, 403, 403, 200]),
        ([true, true, true], [200; 4]),
    ] {
        world.set_gates(gates).await;
        assert_eq!(statuses(&world, &admin).await, expected, "{gates:?}");
        assert_eq!(statuses(&world, &world.owner).await, expected, "{gates:?}");
    }
}

#[tokio::test]
async fn the_gates_say_which_one_is_off() {
    let (world, admin) = prepared().await;
    for (gates, words) in [
        ([false, true, true], "Secrets Manager is not enabled"),
        ([true, false, true], "KMS must be enabled"),
        ([false, false, true], "Secrets Manager is not enabled"),
    ] {
        world.set_gates(gates).await;
        let refused = world.get(&admin, SECRET).expect(403).await;
        assert!(refused.message().contains(words), "{gates:?}: {}", refused.message());
    }
}

#[tokio::test]
async fn a_disabled_key_and_a_region_without_kms_refuse_at_once() {
    let (world, admin) = prepared().await;
    world.post(&world.owner, "/v1/kms/nl-01/keys/default/disable").expect(200).await;
    assert_eq!(statuses(&world, &admin).await, [400, 200, 400, 200]);
    world.post(&world.owner, "/v1/kms/nl-01/keys/default/enable").expect(200).await;
    assert_eq!(statuses(&world, &admin).await, [200; 4]);
    world.set_region_kms("nl-01", false).await;
    assert_eq!(statuses(&world, &admin).await, [503, 200, 503, 200]);
    world.set_region_kms("nl-01", true).await;
    assert_eq!(statuses(&world, &admin).await, [200; 4]);
}

#[tokio::test]
async fn a_new_policy_refuses_at_once() {
    let (world, admin) = prepared().await;
    for (policy, expected) in [
        (json!({"conditions": [{"type": "ip", "effect": "deny", "cidrs": ["127.0.0.0/8"]}]}), 403),
        (json!(null), 200),
    ] {
        let put = world.put(&world.owner, &format!("{SECRET}/policy"));
        put.json(json!({"accessPolicy": policy})).expect(200).await;
        world.post(&admin, &format!("{SECRET}/value")).expect(expected).await;
    }
}

#[tokio::test]
async fn a_deleted_secret_and_a_destroyed_version_are_gone_at_once() {
    let (world, admin) = prepared().await;
    world.delete(&world.owner, &format!("{SECRET}/versions?version=1")).expect(204).await;
    world.post(&admin, &format!("{SECRET}/value")).expect(400).await;
    let put = world.post(&world.owner, &format!("{SECRET}/versions"));
    put.json(json!({"secretString": base64("next")})).expect(200).await;
    world.post(&admin, &format!("{SECRET}/value")).expect(200).await;
    world.delete(&world.owner, SECRET).expect(204).await;
    world.post(&admin, &format!("{SECRET}/value")).expect(404).await;
}

/// The caller is known from the head; the body may take its time.
#[tokio::test]
async fn what_is_taken_away_while_the_body_comes_is_gone() {
    let (world, admin) = prepared().await;
    let reveal = || world.post(&admin, &format!("{SECRET}/value")).raw(b"{}");
    assert_eq!(reveal().send_after(async {}).await.status, 200);
    let (store, organisation) = (world.app.store.clone(), world.acme.id.clone());
    let subject = admin.subject.clone();
    let unbound = reveal().send_after(async move {
        let unbind = async move |tx: &mut Tx| tx.delete_bindings(("user", &subject)).await;
        store.write(&organisation, unbind).await.unwrap();
    });
    assert_eq!(unbound.await.status, 403);
}

/// Sends a call that changes something while the store is busy, and has something taken away ahead of it: by now
/// the call has been admitted, and waits for its turn. Only the embedded store has one thread that all changes wait for.
async fn overtaken(
    world: &World,
    call: impl Future<Output = Answer>,
    take_away: impl FnOnce(),
    write: impl AsyncFn(&mut Tx) -> Result<()> + Send + 'static,
) -> Answer {
    let (started, starts) = std::sync::mpsc::channel::<()>();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let block = async move |_: &mut Tx| {
        started.send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        Ok(())
    };
    let mut blocking = Box::pin(world.app.store.write(&world.acme.id, block));
    assert!((&mut blocking).now_or_never().is_none());
    starts.recv().unwrap();
    let mut writing = Box::pin(world.app.store.write(&world.acme.id, write));
    assert!((&mut writing).now_or_never().is_none());
    let mut calling = Box::pin(call);
    let waits = tokio::time::timeout(std::time::Duration::from_millis(200), &mut calling).await;
    assert!(waits.is_err(), "admitted, and waiting behind what is taken away");
    take_away();
    release.send(()).unwrap();
    blocking.await.unwrap();
    writing.await.unwrap();
    calling.await
}

#[tokio::test]
async fn what_is_taken_away_while_a_change_waits_is_gone() {
    let (world, admin) = prepared().await;
    if !world.is_embedded() {
        return;
    }
    let put = || {
        let put = world.post(&admin, &format!("{SECRET}/versions"));
        put.json(json!({"secretString": base64("next")})).send()
    };
    assert_eq!(put().await.status, 200);
    let subject = admin.subject.clone();
    let unbind = async move |tx: &mut Tx| tx.delete_bindings(("user", &subject)).await;
    assert_eq!(overtaken(&world, put(), || (), unbind).await.status, 403);
    let records = world.audit(&format!("userIdentity={}", admin.subject)).await;
    assert_eq!(records[0]["action"], "secrets.putSecretValue");
    assert_eq!(records[0]["context"]["status"], 403);
}

/// What ends by itself ends for a change that waits, too; so does what a project's gate let through.
#[tokio::test]
async fn what_ends_while_a_change_waits_is_over() {
    let (world, _) = prepared().await;
    if !world.is_embedded() {
        return;
    }
    let person = world.person().await;
    let post = async |url: &str, body: Json| {
        world.post(&world.owner, url).project("p").json(body).expect(201).await;
    };
    world.post(&world.owner, "/v1/projects").json(json!({"name": "p"})).expect(201).await;
    let keys = "/v1/kms/nl-01/keys";
    post(keys, json!({"name": "k"})).await;
    let binding = json!({"userIdentity": person.subject, "duration": "1h"});
    let bindings = "/v1/projects/iam/policies/kms-full-access/bindings";
    post(bindings, binding).await;
    let rotate = || world.post(&person, &format!("{keys}/k/rotate")).project("p").send();
    assert_eq!(rotate().await.status, 200);
    let later = || world.set_now(NOON + 2 * 3_600_000_000);
    assert_eq!(overtaken(&world, rotate(), later, async |_| Ok(())).await.status, 404);
    let owner = || world.post(&world.owner, &format!("{keys}/k/rotate")).project("p").send();
    let acme = world.acme.id.clone();
    let off = async move |tx: &mut Tx| tx.set_gates(&acme, [true, true, false], NOON).await;
    assert_eq!(overtaken(&world, owner(), || (), off).await.status, 403);
}

#[tokio::test]
async fn an_invite_is_not_accepted_with_a_token_that_was_revoked_meanwhile() {
    let (world, _) = prepared().await;
    if !world.is_embedded() {
        return;
    }
    let invite = json!({"email": "guest@acme.example"});
    let made = world.post(&world.owner, "/v1/invites").json(invite).expect(201).await.body;
    let accept = world.post(&world.stranger, "/v1/invites/accept");
    let accept = accept.without("x-organisation-identity");
    let accept = accept.json(json!({"inviteCode": made["inviteCode"]})).send();
    let subject = world.stranger.subject.clone();
    let revoke = async move |tx: &mut Tx| {
        for token in tx.list_tokens(&subject).await? {
            tx.delete_token(&subject, &token.id).await?;
        }
        Ok(())
    };
    assert_eq!(overtaken(&world, accept, || (), revoke).await.status, 401);
}

/// What fails changes nothing of who may do what, and so makes nobody be looked up anew.
#[tokio::test]
async fn a_deletion_that_misses_leaves_the_memory_alone() {
    let (world, admin) = prepared().await;
    // With other servers on the store, the number may move on at any time.
    if !world.is_embedded() {
        return;
    }
    let before = world.app.store.identity_epoch();
    world.delete(&world.nobody, "/v1/me/personal-access-tokens/pat-none").expect(404).await;
    world.delete(&world.owner, "/v1/iam/roles/org-admin/bindings/none").expect(404).await;
    world
        .post(&world.owner, "/v1/me/personal-access-tokens")
        .json(json!({"name": "n"}))
        .expect(201)
        .await;
    assert_eq!(world.app.store.identity_epoch(), before);
    assert_eq!(statuses(&world, &admin).await, [200; 4]);
}
