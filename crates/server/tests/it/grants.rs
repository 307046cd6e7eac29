//! Who may do what, and what the denied are told (contract, 2.9, 14.8, 14.11, 14.17).

use serde_json::json;

use crate::scopes::every_call;
use crate::values::{X, three_versions};
use crate::world::{World, base64};

#[tokio::test]
async fn built_in_roles_hold_what_they_are_called_after() {
    for (role, statuses) in [
        ("secrets-read-access", [200, 200, 403, 200, 403, 403, 403, 403, 403, 403]),
        ("secrets-full-access", [200, 200, 409, 200, 200, 200, 200, 200, 204, 204]),
        ("org-auditor", [200, 200, 403, 200, 403, 403, 403, 403, 403, 403]),
        ("org-admin", [200, 200, 409, 200, 200, 200, 200, 200, 204, 204]),
        ("kms-full-access", [403; 10]),
        ("kms-decrypt", [403; 10]),
    ] {
        let world = World::new().await;
        world.secret("/x", "v").await;
        let person = world.person_as(role).await;
        for (at, asking) in every_call(&world, &person, "nl-01").into_iter().enumerate() {
            assert_eq!(asking.send().await.status, statuses[at], "{role}, call {at}");
        }
    }
}

#[tokio::test]
async fn a_denied_call_is_audited_under_its_own_action_with_its_reason() {
    let world = World::new().await;
    for asking in every_call(&world, &world.nobody, "nl-01") {
        asking.expect(403).await;
    }
    let query = format!("responseStatus=403&userIdentity={}", world.nobody.subject);
    let records = world.audit(&query).await;
    let actions: Vec<_> = records.iter().rev().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "secrets.list",
            "secrets.list",
            "secrets.create",
            "secrets.get",
            "secrets.update",
            "secrets.policy.clear",
            "secrets.putSecretValue",
            "secrets.getSecretValue",
            "secrets.version.destroy",
            "secrets.delete"
        ]
    );
    for (at, record) in records.iter().rev().enumerate() {
        assert!(!record["description"].as_str().unwrap().is_empty(), "{record}");
        if at >= 2 {
            assert_eq!(record["resourceIdentity"], "/x");
        }
    }
}

#[tokio::test]
async fn a_grant_of_other_resources_or_with_other_patterns_opens_nothing() {
    let world = World::new().await;
    world.secret("/app/db", "v").await;
    let url = "/v1/secrets/nl-01/secret/app/db/value";
    for (resource, patterns, permissions, status) in [
        ("secret", &["/app/*"][..], &["getSecretValue"][..], 200),
        ("secret", &[], &["getSecretValue"], 200),
        ("*", &["/app/db"], &["*"], 200),
        ("secret", &["*/db"], &["getSecretValue"], 200),
        ("secret", &["/a*b"], &["getSecretValue"], 200),
        ("secret", &["/app/d"], &["getSecretValue"], 403),
        ("secret", &["/app"], &["getSecretValue"], 403),
        ("secret", &["/app/"], &["getSecretValue"], 403),
        ("secret", &["/app/db/*"], &["getSecretValue"], 403),
        ("secret", &["/App/*"], &["getSecretValue"], 403),
        ("secret", &["/app/d?"], &["getSecretValue"], 403),
        ("secret", &["app/*"], &["getSecretValue"], 403),
        ("secret", &["/app/*"], &["getsecretvalue"], 403),
        ("kms_key", &[], &["*"], 403),
        ("secrets", &[], &["*"], 403),
    ] {
        let person = world.person_with(resource, patterns, permissions).await;
        let revealed = world.post(&person, url).send().await;
        assert_eq!(revealed.status, status, "{resource} {patterns:?} {permissions:?}");
    }
}

#[tokio::test]
async fn reveal_and_put_need_each_their_own_permission_on_the_path() {
    let world = three_versions().await;
    let value = json!({"secretString": base64("more")});
    for (permissions, revealed, was_put) in [
        (&["getSecretValue"][..], 200, 403),
        (&["putSecretValue"], 403, 200),
        (&["read", "list", "create", "update", "delete"], 403, 403),
        (&["*"], 200, 200),
    ] {
        let person = world.person_with("secret", &["/x"], permissions).await;
        world.post(&person, &format!("{X}/value")).expect(revealed).await;
        world.post(&person, &format!("{X}/versions")).json(value.clone()).expect(was_put).await;
        let elsewhere = world.person_with("secret", &["/x/*", "/y"], permissions).await;
        world.post(&elsewhere, &format!("{X}/value")).expect(403).await;
        world.post(&elsewhere, &format!("{X}/versions")).json(value.clone()).expect(403).await;
    }
}

#[tokio::test]
async fn who_lacks_the_permission_cannot_tell_whether_a_secret_exists() {
    let world = three_versions().await;
    for (method, tail) in [
        ("GET", ""),
        ("PATCH", ""),
        ("PUT", "/policy"),
        ("POST", "/versions"),
        ("POST", "/value"),
        ("DELETE", "/versions?version=1"),
        ("DELETE", ""),
    ] {
        let there = world.ask(method, &world.nobody, &format!("{X}{tail}")).expect(403).await;
        let missing = format!("/v1/secrets/nl-01/secret/y{tail}");
        let missing = world.ask(method, &world.nobody, &missing).expect(403).await;
        assert_eq!(there.text, missing.text, "{method} {tail}");
    }
}
