//! Access elevations over HTTP (contract, section 4.6): asked for by one, granted by another, over in time.

use serde_json::{Value as Json, json};

use crate::world::{NOON, Person, World, base64};

const OWN: &str = "/v1/projects/iam/my-access-elevations";
const ALL: &str = "/v1/projects/iam/access-elevations";
const REVEAL: &str = "/v1/secrets/nl-01/secret/app/a/value";
const HOUR: i64 = 3_600_000_000;

/// A world with a project `p` with a secret, and somebody who may list there.
async fn prepared() -> (World, Person) {
    let world = World::new().await;
    world.post(&world.owner, "/v1/projects").json(json!({"name": "p"})).expect(201).await;
    let key = world.post(&world.owner, "/v1/kms/nl-01/keys").project("p");
    let key = key.json(json!({"name": "k"})).expect(201).await.body;
    let secret =
        json!({"path": "/app/a", "kmsKeyIdentity": key["identity"], "secretString": base64("x")});
    let create = world.post(&world.owner, "/v1/secrets/nl-01/secrets").project("p");
    create.json(secret).expect(201).await;
    let person = world.person_with("secret", &["/app/*"], &["read", "list"]).await;
    (world, person)
}

async fn ask(world: &World, by: &Person) -> Json {
    let body = json!({
        "policyIdentity": "secrets-full-access", "reason": "incident 4711", "duration": "2h",
        "labels": {"a": "b"}
    });
    world.post(by, OWN).project("p").json(body).expect(201).await.body
}

fn of(url: &str, request: &Json, verb: &str) -> String {
    format!("{url}/{}{verb}", request["identity"].as_str().unwrap())
}

async fn reveals(world: &World, by: &Person) -> u16 {
    world.post(by, REVEAL).project("p").send().await.status
}

#[tokio::test]
async fn access_is_asked_for_granted_and_over_in_time() {
    let (world, person) = prepared().await;
    let request = ask(&world, &person).await;
    assert_eq!(
        (&request["status"], &request["reason"]),
        (&json!("pending"), &json!("incident 4711"))
    );
    assert_eq!(request["requestedExpiresAt"], "2026-01-15T14:00:00Z");
    assert_eq!(request["principalIdentity"], *person.subject);
    assert_eq!(reveals(&world, &person).await, 403);
    let approve = world.post(&world.owner, &of(ALL, &request, "/approve")).project("p");
    let approved = approve.json(json!({"reviewNote": "go"})).expect(200).await.body;
    assert_eq!((&approved["status"], &approved["reviewNote"]), (&json!("approved"), &json!("go")));
    assert_eq!(approved["reviewedBy"], format!("user:{}", world.owner.subject));
    assert_eq!(reveals(&world, &person).await, 200);
    world.set_now(NOON + 2 * HOUR - 1);
    assert_eq!(reveals(&world, &person).await, 200);
    world.set_now(NOON + 2 * HOUR);
    assert_eq!(reveals(&world, &person).await, 403);
    let read = world.get(&person, &of(OWN, &request, "")).project("p").expect(200).await.body;
    assert_eq!(read["status"], "expired");
    let revoke = world.post(&world.owner, &of(ALL, &request, "/revoke")).project("p");
    revoke.expect(400).await;
}

#[tokio::test]
async fn what_was_granted_is_revoked_at_once() {
    let (world, person) = prepared().await;
    let request = ask(&world, &person).await;
    let post =
        async |by: &Person, url: String| world.post(by, &url).project("p").send().await.status;
    assert_eq!(post(&world.owner, of(ALL, &request, "/approve")).await, 200);
    assert_eq!(reveals(&world, &person).await, 200);
    assert_eq!(post(&world.owner, of(ALL, &request, "/revoke")).await, 200);
    assert_eq!(reveals(&world, &person).await, 403);
    let read = world.get(&world.owner, &of(ALL, &request, "")).project("p").expect(200).await.body;
    assert_eq!(read["status"], "revoked");
    for verb in ["/approve", "/reject", "/revoke"] {
        assert_eq!(post(&world.owner, of(ALL, &request, verb)).await, 400, "{verb}");
    }
}

#[tokio::test]
async fn a_request_is_decided_once() {
    let (world, person) = prepared().await;
    for (verb, status) in [("/reject", "rejected"), ("/cancel", "cancelled")] {
        let request = ask(&world, &person).await;
        let (by, url) = if verb == "/cancel" { (&person, OWN) } else { (&world.owner, ALL) };
        let done = world.post(by, &of(url, &request, verb)).project("p").expect(200).await.body;
        assert_eq!(done["status"], status);
        let approve = world.post(&world.owner, &of(ALL, &request, "/approve")).project("p");
        let refused = approve.expect(400).await;
        assert!(refused.message().contains(status), "{}", refused.text);
        assert_eq!(reveals(&world, &person).await, 403);
    }
    let request = ask(&world, &person).await;
    let url = of(ALL, &request, "/approve");
    let approve = || world.post(&world.owner, &url).project("p").send();
    let (one, other) = tokio::join!(approve(), approve());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[tokio::test]
async fn nobody_decides_for_themselves_or_over_what_they_lack() {
    let (world, person) = prepared().await;
    let request = ask(&world, &person).await;
    for verb in ["/approve", "/reject", "/revoke"] {
        world.post(&person, &of(ALL, &request, verb)).project("p").expect(403).await;
    }
    let reviewer = world.person_with("access_elevation", &[], &["*"]).await;
    let approve = world.post(&reviewer, &of(ALL, &request, "/approve")).project("p");
    let refused = approve.expect(400).await;
    assert_eq!(refused.message(), "this would grant more than you hold yourself");
    let own = ask(&world, &world.owner).await;
    let approve = world.post(&world.owner, &of(ALL, &own, "/approve")).project("p");
    assert_eq!(approve.expect(403).await.message(), "nobody approves their own request");
    // Nobody reads or cancels what somebody else asked for.
    world.get(&person, &of(OWN, &own, "")).project("p").expect(404).await;
    world.post(&person, &of(OWN, &own, "/cancel")).project("p").expect(404).await;
    let listed = world.get(&person, OWN).project("p").expect(200).await.body;
    assert_eq!(listed, json!([request]));
    world.get(&person, ALL).project("p").expect(403).await;
    world.post(&world.nobody, OWN).project("p").json(json!({})).expect(404).await;
}

#[tokio::test]
async fn bad_requests_are_told() {
    let (world, person) = prepared().await;
    for (body, status) in [
        (json!({"policyIdentity": "org-admin", "reason": "r"}), 400),
        (json!({"policyIdentity": "org-admin", "reason": " ", "duration": "1h"}), 400),
        (json!({"policyIdentity": "org-admin", "reason": "r", "duration": "31d"}), 400),
        (json!({"policyIdentity": "org-admin", "reason": "r", "duration": "0h"}), 400),
        (json!({"policyIdentity": "no-such", "reason": "r", "duration": "1h"}), 404),
        (json!({"reason": "r", "duration": "1h"}), 400),
    ] {
        world.post(&person, OWN).project("p").json(body).expect(status).await;
    }
    for _ in 0..20 {
        ask(&world, &person).await;
    }
    let body = json!({"policyIdentity": "org-admin", "reason": "r", "duration": "1h"});
    let refused = world.post(&person, OWN).project("p").json(body).expect(400).await;
    assert!(refused.message().contains("pending"), "{}", refused.text);
}

#[tokio::test]
async fn whoever_has_left_is_granted_nothing() {
    let (world, person) = prepared().await;
    let request = ask(&world, &person).await;
    let (acme, subject) = (world.acme.id.clone(), person.subject.clone());
    world.write(&acme, async move |tx| tx.delete_member(&subject).await).await;
    world.post(&world.owner, &of(ALL, &request, "/approve")).project("p").expect(400).await;
}

/// A policy of a project above would be bound above, for everything below it.
#[tokio::test]
async fn a_policy_from_above_is_asked_for_above() {
    let (world, person) = prepared().await;
    let below = json!({"name": "below", "parentProjectIdentity": "p"});
    world.post(&world.owner, "/v1/projects").json(below).expect(201).await;
    let rule = json!({"resources": ["secret"], "permissions": ["*"]});
    let policy = json!({"name": "everywhere", "replicateToChildren": true, "rules": [rule]});
    world
        .post(&world.owner, "/v1/projects/iam/policies")
        .project("p")
        .json(policy)
        .expect(201)
        .await;
    let asked = json!({"policyIdentity": "everywhere", "reason": "r", "duration": "1h"});
    let refused = world.post(&person, OWN).project("below").json(asked.clone()).expect(400).await;
    assert_eq!(refused.message(), "the policy is of a project above; ask for it there");
    world.post(&person, OWN).project("p").json(asked).expect(201).await;
}
