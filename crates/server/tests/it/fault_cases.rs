//! Faults of the database beside those of one change: of records, of the move to another root key, of two at once.

use std::collections::BTreeSet;
use std::time::Duration;

use coffer_server::error::Error;
use coffer_server::platform::root_keys;
use coffer_server::store::{Fault, Tx};
use serde_json::json;

use crate::faults::{Difference, Eye};
use crate::world::{World, base64, fresh_root, project_row, text_of};

/// Stopped at any statement, the move to another root key goes on where it was.
#[tokio::test]
async fn a_root_key_is_replaced_however_often_that_fails() {
    let mut world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    world.get(&world.owner, "/v1/kms/nl-01/wrapping-key").expect(200).await;
    let moved = "SELECT COUNT(*) FROM audit_events WHERE action = 'platform.root-key.rotate'";
    for fault in [Fault::Refuse, Fault::Lose, Fault::LoseAnswer] {
        for nth in 1.. {
            let (old, new) = (world.root.clone(), fresh_root());
            world.restart(&[&new, &old]).await.unwrap();
            let before = world.count(moved);
            world.app.store.faults().arm(fault, nth);
            let first = root_keys::rewrap(&world.app).await;
            let happened = world.app.store.faults().disarm();
            root_keys::rewrap(&world.app).await.unwrap();
            let mut root_keys_left = root_keys::in_use(&world.app).await.unwrap();
            root_keys_left.retain(|root_key| root_key != world.app.keyring.fingerprint());
            assert!(root_keys_left.is_empty(), "{fault:?} at {nth}: {root_keys_left:?}");
            assert_eq!(world.count(moved), before + 1, "{fault:?} at {nth}");
            world.root = new.clone();
            world.restart(&[&new]).await.unwrap();
            let shown = world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value");
            assert_eq!(text_of(&shown.expect(200).await), "hunter2", "{fault:?} at {nth}");
            if !happened {
                assert!(first.is_ok() && nth > 3, "{fault:?} at {nth}");
                break;
            }
        }
    }
}

/// Two changes whose turn comes at once: whatever happens to one, the other is there or its caller knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_nobody_elses() {
    let world = World::new().await;
    let faults = world.app.store.faults();
    for path in ["/app/a", "/app/b"] {
        world.secret(path, "0").await;
    }
    let last = |path: &str| {
        world.count(&format!("SELECT current_version FROM secrets WHERE path = '{path}'"))
    };
    for fault in [Fault::Refuse, Fault::Lose, Fault::LoseAnswer] {
        let mut seen = BTreeSet::new();
        for nth in 1.. {
            let before = [last("/app/a"), last("/app/b")];
            let told = together(&world, || faults.arm(fault, nth)).await;
            let happened = faults.disarm();
            let after = [last("/app/a"), last("/app/b")];
            for at in 0..2 {
                let about = format!("{fault:?} at {nth}: {told:?}, {before:?} to {after:?}");
                let made = after[at] - before[at];
                match told[at] {
                    200 => assert_eq!(made, 1, "{about}"),
                    500 | 503 if fault == Fault::LoseAnswer => assert!(made < 2, "{about}"),
                    500 | 503 => assert_eq!(made, 0, "{about}"),
                    status => panic!("{about}: {status}"),
                }
            }
            seen.insert(told.map(|status| status < 300));
            if !happened {
                assert_eq!(told, [200, 200], "{fault:?} at {nth}");
                break;
            }
        }
        if world.is_embedded() {
            let both = seen.contains(&[false, false]);
            assert!(both, "{fault:?}: a commit that fails is nobody's: {seen:?}");
            let one = seen.contains(&[true, false]) && seen.contains(&[false, true]);
            assert!(one || fault != Fault::Refuse, "a refusal is one change's: {seen:?}");
        }
    }
}

/// Puts two values in one commit, as far as the store knows batches.
async fn together(world: &World, arm: impl FnOnce()) -> [u16; 2] {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let hold = async {
        if world.is_embedded() {
            // The fault may be this one's, too.
            let hold = async move |_: &mut Tx| Ok(wait.lock().unwrap().recv().is_ok());
            let _ = world.app.store.write("", hold).await;
        }
    };
    let put = async |path: &str, millis| {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let url = format!("/v1/secrets/nl-01/secret{path}/versions");
        let value = json!({"secretString": base64("next")});
        world.post(&world.owner, &url).json(value).send().await.status
    };
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        arm();
        drop(go);
    };
    let (first, second) = (put("/app/a", 10), put("/app/b", 20));
    let ((), (), first, second) = tokio::join!(hold, release, first, second);
    [first, second]
}

/// A call that is refused after it has begun: undoing it may fail, too.
#[tokio::test]
async fn a_refusal_changes_nothing_where_it_fails() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let (eye, faults) = (Eye::new(&world).await, world.app.store.faults());
    for fault in [Fault::Refuse, Fault::Lose, Fault::LoseAnswer] {
        for nth in 1.. {
            let before = eye.look(&world).await;
            let put = world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/versions");
            let put = put.json(json!({"secretString": base64("next")}));
            faults.arm(fault, nth);
            let answer = put.header("if-match", "\"9\"").send().await;
            let happened = faults.disarm();
            let told = format!("{fault:?} at {nth}: {}", answer.text);
            assert_eq!(eye.difference(&world, &before).await, Difference::new(), "{told}");
            if !happened {
                assert!(answer.status == 412 && nth > 1, "{told}");
                break;
            }
            assert!([412, 500, 503].contains(&answer.status), "{told}");
        }
    }
}

#[tokio::test]
async fn no_record_no_value() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let (eye, faults) = (Eye::new(&world).await, world.app.store.faults());
    let reveal = || world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value").send();
    assert_eq!(reveal().await.status, 200);
    for fault in [Fault::Refuse, Fault::Lose, Fault::LoseAnswer] {
        for nth in 1.. {
            let before = eye.look(&world).await;
            faults.arm(fault, nth);
            let answer = reveal().await;
            let happened = faults.disarm();
            let about = format!("{fault:?} at {nth}: {}", answer.text);
            let records = eye.difference(&world, &before).await;
            let records = records.get("audit_events").map_or(0, |rows| rows[1]);
            match answer.status {
                200 => {
                    assert_eq!(text_of(&answer), "hunter2");
                    // One of the reveal, one of the decryption that it implies.
                    assert_eq!(records, 2, "{about}");
                    // A record is written again where its connection was lost.
                    let again = fault == Fault::Lose && !world.is_embedded();
                    assert!(!happened || again, "{about}");
                }
                503 => {
                    assert!(!answer.text.contains(&base64("hunter2")), "{about}");
                    assert!(records == 0 || fault == Fault::LoseAnswer, "{about}");
                }
                _ => panic!("{about}"),
            }
            if !happened {
                // On a server, a record alone needs no commit.
                let commits = world.is_embedded() || fault != Fault::LoseAnswer;
                assert!(answer.status == 200 && (nth > 1 || !commits), "{about}");
                break;
            }
        }
    }
}

/// Its commit was done, and its effects were not: whoever uses the key is refused all the same.
#[tokio::test]
async fn a_key_that_was_disabled_unheard_is_used_by_nobody() {
    let world = World::new().await;
    let url = format!("/v1/kms/nl-01/keys/{}", world.acme.key);
    let seal = || {
        let seal = world.post(&world.owner, &format!("{url}/encrypt"));
        seal.json(json!({"plaintext": base64("x")}))
    };
    seal().expect(200).await;
    world.app.store.faults().arm(Fault::LoseAnswer, 1);
    world.post(&world.owner, &format!("{url}/disable")).expect(503).await;
    assert!(world.app.store.faults().disarm());
    let refused = seal().send().await;
    assert!((400..500).contains(&refused.status), "{}", refused.text);
}

/// On a server, what comes behind a statement that failed does so only after the operation knows.
#[tokio::test]
async fn what_goes_on_behind_a_failed_statement_is_not_done() {
    let world = World::new().await;
    if world.is_embedded() {
        return;
    }
    let eye = Eye::new(&world).await;
    let before = eye.look(&world).await;
    let id = world.fresh_id("prj-");
    let operation = async move |tx: &mut Tx| {
        tx.insert_project(&project_row(&id, "made")).await?;
        let unheard = tx.list_regions().await;
        assert!(unheard.is_err(), "this is what has failed");
        Ok(())
    };
    // Behind the beginning and the row.
    world.app.store.faults().arm(Fault::Refuse, 3);
    let told = world.app.store.write(&world.acme.id, operation).await;
    assert!(world.app.store.faults().disarm());
    let told: Error = told.unwrap_err();
    assert!(told.cause().contains("an operation has gone on"), "{}", told.cause());
    assert_eq!(eye.difference(&world, &before).await, Difference::new());
}
