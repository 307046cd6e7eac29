//! Who may read the audit log and what an entry tells (contract, sections 7 and 14, 49).

use serde_json::{Value as Json, json};

use crate::world::{World, base64};

const SECRET: &str = "/v1/secrets/nl-01/secret/app/a";

#[tokio::test]
async fn reading_the_log_needs_list_or_read_on_it() {
    let world = World::new().await;
    let with = async |permission: &str| world.person_with("audit_log", &[], &[permission]).await;
    for (person, expected) in [
        (world.owner.clone(), 200),
        (world.person_as("org-admin").await, 200),
        (world.person_as("org-auditor").await, 200),
        (with("list").await, 200),
        (with("read").await, 200),
        (with("update").await, 403),
        (world.person_with("secret", &[], &["*"]).await, 403),
        (world.person_as("secrets-full-access").await, 403),
        (world.person_as("kms-full-access").await, 403),
        (world.nobody.clone(), 403),
    ] {
        world.get(&person, "/v1/audit").expect(expected).await;
    }
    let stranger = world.get(&world.stranger, "/v1/audit");
    stranger.header("x-organisation-identity", &world.acme.id).expect(403).await;
}

#[tokio::test]
async fn another_organisations_records_never_show() {
    let world = World::new().await;
    world.secret("/app/a", "v").await;
    world.get(&world.stranger, SECRET).header("x-organisation-identity", "acme").expect(403).await;
    world.get(&world.stranger, SECRET).expect(404).await;
    for query in ["", "&resourceIdentity=/app/a", "&searchText=app", "&organizationIdentity=acme"] {
        let url = format!("/v1/audit?includeSystemServices=true{query}");
        let found = world.get(&world.stranger, &url).expect(200).await.body;
        for entry in found["items"].as_array().unwrap() {
            assert_eq!(entry["organizationIdentity"], world.globex.id.as_str(), "{query}");
            assert_eq!(entry["userIdentity"], world.stranger.subject.as_str(), "{query}");
        }
    }
    let ours = world.audit("").await;
    let by_stranger = ours.iter().filter(|e| e["userIdentity"] == world.stranger.subject.as_str());
    assert_eq!(by_stranger.count(), 0);
    assert!(ours.iter().all(|entry| entry["organizationIdentity"] == world.acme.id.as_str()));
}

#[tokio::test]
async fn a_project_narrows_the_log() {
    let world = World::new().await;
    let project = world.project("shop").await;
    world.secret("/app/a", "v").await;
    world.get(&world.owner, SECRET).project("shop").expect(404).await;
    let inside = world.get(&world.owner, "/v1/audit").project("shop").expect(200).await.body;
    let items = inside["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["action"], "secrets.get");
    assert_eq!(items[0]["projectId"], project.as_str());
    assert_eq!(world.audit("action=secrets.get").await.len(), 1, "the organisation sees it too");
    assert!(world.audit("action=secrets.create").await[0].get("projectId").is_none());
    world.get(&world.owner, "/v1/audit").project("none").expect(404).await;
}

/// One reveal, and the entry it left.
async fn entry(world: &World) -> Json {
    world.secret("/app/a", "v").await;
    let call = world.post(&world.owner, &format!("{SECRET}/value")).from("203.0.113.9");
    let call =
        call.header("user-agent", "thalassa-cloud-cli/1.2").header("x-request-id", "build-7");
    call.header("referer", "https://example.invalid/").expect(200).await;
    world.audit("action=secrets.getSecretValue").await.remove(0)
}

#[tokio::test]
async fn an_entry_tells_who_what_and_how() {
    let world = World::new().await;
    let entry = entry(&world).await;
    assert!(!entry["eventID"].as_str().unwrap().is_empty());
    for (pointer, expected) in [
        ("/createdAt", json!("2026-01-15T12:00:00Z")),
        ("/userIdentity", json!(world.owner.subject)),
        ("/user/subject", json!(world.owner.subject)),
        ("/organizationIdentity", json!(world.acme.id)),
        ("/organization/slug", json!("acme")),
        ("/action", json!("secrets.getSecretValue")),
        ("/resourceType", json!("secret")),
        ("/resourceIdentity", json!("/app/a")),
        ("/context/client_ip", json!("203.0.113.9")),
        ("/context/user_agent", json!("thalassa-cloud-cli/1.2")),
        ("/context/method", json!("POST")),
        ("/context/path", json!(format!("{SECRET}/value"))),
        ("/context/status", json!(200)),
        ("/context/credentials_type", json!("personal_access_token")),
        ("/context/request_id", json!("build-7")),
    ] {
        assert_eq!(entry.pointer(pointer), Some(&expected), "{pointer}");
    }
    assert!(entry["context"]["duration"].is_number());
    let credential = entry["context"]["credentials_id"].as_str().unwrap();
    assert!(credential.starts_with("pat-") && !world.owner.token.contains(credential));
}

#[tokio::test]
async fn the_context_has_every_documented_field() {
    let world = World::new().await;
    let entry = entry(&world).await;
    for field in [
        "client_ip",
        "user_agent",
        "method",
        "path",
        "url",
        "status",
        "duration",
        "credentials_id",
        "credentials_type",
        "headers",
    ] {
        assert!(entry["context"].get(field).is_some(), "{field} is missing");
    }
}

#[tokio::test]
async fn entries_of_one_call_share_its_context() {
    let world = World::new().await;
    entry(&world).await;
    let both = world.audit("searchText=/value").await;
    assert_eq!(both.len(), 2);
    assert_eq!(both[0]["action"], "kms.decrypt");
    assert_eq!(both[0]["context"], both[1]["context"]);
    assert_ne!(both[0]["eventID"], both[1]["eventID"]);
}

#[tokio::test]
async fn records_cannot_be_changed_through_the_api() {
    let world = World::new().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        world.ask(method, &world.owner, "/v1/audit").expect(405).await;
    }
}

#[tokio::test]
async fn no_record_holds_a_value_or_a_token() {
    let world = World::new().await;
    world.secret("/app/a", "canary-4711").await;
    let put = world.post(&world.owner, &format!("{SECRET}/versions"));
    put.json(json!({"secretKeyValues": {"user": base64("canary-4711")}})).expect(200).await;
    world.post(&world.owner, &format!("{SECRET}/value")).expect(200).await;
    let log = world.get(&world.owner, "/v1/audit?limit=500").expect(200).await.text;
    for secret in ["canary-4711", &base64("canary-4711"), &world.owner.token] {
        assert!(!log.contains(secret), "{secret}");
    }
}
