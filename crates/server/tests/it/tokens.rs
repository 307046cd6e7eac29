//! A user's own tokens, and what they may be used for (contract, sections 14, 37 and 39, and 15, 4).

use serde_json::{Value as Json, json};

use crate::world::{NOON, Person, World, base64, text_of};

const TOKENS: &str = "/v1/me/personal-access-tokens";
const DAY: i64 = 86_400_000_000;

/// The same person with another token.
async fn with_token(world: &World, by: &Person, request: Json) -> (Person, String) {
    let made = world.post(by, TOKENS).json(request).expect(201).await.body;
    let token = made["token"].as_str().unwrap().to_owned();
    (Person { token, ..by.clone() }, made["identity"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_is_shown_once_and_listed_without_its_text() {
    let world = World::new().await;
    let made = world.post(&world.owner, TOKENS).json(json!({
        "name": " laptop ", "scopes": ["api:read"], "expiresAt": "2026-03-01T00:00:00Z"
    }));
    let made = made.expect(201).await.body;
    let text = made["token"].as_str().unwrap();
    assert!(text.starts_with("tc_pat_") && text.len() == 47, "{made}");
    assert_eq!(made["name"], "laptop");
    let listed = world.get(&world.owner, TOKENS).expect(200).await;
    assert!(!listed.text.contains(text) && !listed.text.contains("token\""));
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("token");
    let all = listed.body.as_array().unwrap();
    assert!(all.contains(&expected), "{expected} {}", listed.text);
    assert_eq!(all.len(), 2);
    // Nobody else sees it.
    assert_eq!(
        world.get(&world.nobody, TOKENS).expect(200).await.body.as_array().unwrap().len(),
        1
    );
    assert!(!world.everything().contains(text));
}

#[tokio::test]
async fn bad_requests_are_told() {
    let world = World::new().await;
    for (body, says) in [
        (json!({}), "name"),
        (json!({"name": "  "}), "name"),
        (json!({"name": "x".repeat(256)}), "name"),
        (json!({"name": "x", "scopes": ["admin"]}), "scopes"),
        (json!({"name": "x", "scopes": "api:read"}), "scopes"),
        (json!({"name": "x", "scopes": ["api:read", "api:read"]}), "scopes"),
        (json!({"name": "x", "expiresAt": "2026-01-15T12:00:00Z"}), "expiresAt"),
        (json!({"name": "x", "expiresAt": "tomorrow"}), "expiresAt"),
        (json!({"name": "x", "expiresAt": ""}), "expiresAt"),
    ] {
        let refused = world.post(&world.owner, TOKENS).json(body.clone()).expect(400).await;
        assert!(refused.message().contains(says), "{body}: {}", refused.text);
    }
    // As everywhere in IAM, what nobody knows is ignored.
    world.post(&world.owner, TOKENS).json(json!({"name": "x", "color": "red"})).expect(201).await;
    for _ in 0..98 {
        world.post(&world.owner, TOKENS).json(json!({"name": "x"})).expect(201).await;
    }
    let refused = world.post(&world.owner, TOKENS).json(json!({"name": "x"})).expect(400).await;
    assert!(refused.message().contains("100 tokens"), "{}", refused.text);
}

#[tokio::test]
async fn a_revoked_token_is_refused_with_the_next_call() {
    let world = World::new().await;
    let (laptop, id) = with_token(&world, &world.owner, json!({"name": "laptop"})).await;
    world.get(&laptop, "/v1/me").expect(200).await;
    let url = format!("{TOKENS}/{id}");
    world.delete(&world.nobody, &url).expect(404).await;
    world.get(&laptop, "/v1/me").expect(200).await;
    world.delete(&world.owner, &url).expect(204).await;
    let refused = world.get(&laptop, "/v1/me").expect(401).await;
    let unknown = Person { token: format!("tc_pat_{}", "x".repeat(40)), ..laptop.clone() };
    assert_eq!(refused.text, world.get(&unknown, "/v1/me").expect(401).await.text);
    world.delete(&world.owner, &url).expect(404).await;
    for odd in ["", "%20", "..", "pat-none", "%2e%2e"] {
        let status = world.delete(&world.owner, &format!("{TOKENS}/{odd}")).send().await.status;
        assert!([404, 405].contains(&status), "{odd}: {status}");
    }
}

#[tokio::test]
async fn a_token_dies_at_its_time() {
    let world = World::new().await;
    let (short, _) = with_token(
        &world,
        &world.owner,
        json!({"name": "short", "expiresAt": "2026-01-15T12:00:01Z"}),
    )
    .await;
    world.set_now(NOON + 999_999);
    world.get(&short, "/v1/me").expect(200).await;
    world.set_now(NOON + 1_000_000);
    world.get(&short, "/v1/me").expect(401).await;
}

#[tokio::test]
async fn scopes_bound_what_a_token_is_for() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let key = format!("/v1/kms/nl-01/keys/{}", world.acme.key);
    let secret = "/v1/secrets/nl-01/secret/app/a";
    for (scopes, reads, writes) in [
        (json!([]), true, true),
        (json!(["api:read"]), true, false),
        (json!(["api:write"]), true, true),
        (json!(["kubernetes"]), false, false),
    ] {
        let (by, _) =
            with_token(&world, &world.owner, json!({"name": "x", "scopes": scopes})).await;
        for (call, changes) in [
            (world.post(&by, &format!("{secret}/value")), false),
            (world.get(&by, secret), false),
            (world.get(&by, "/v1/me"), false),
            (world.post(&by, &format!("{key}/encrypt")).json(json!({"plaintext": "eA=="})), false),
            (world.patch(&by, secret).json(json!({"description": "d"})), true),
            (world.post(&by, &format!("{key}/rotate")), true),
            (world.delete(&by, &format!("{TOKENS}/pat-none")), true),
        ] {
            let answer = call.send().await;
            let may = if changes { writes } else { reads };
            assert_eq!(answer.status != 403, may, "{scopes}: {}", answer.text);
            assert!(may || answer.message().contains("scopes"), "{}", answer.text);
        }
    }
    let denied = world.audit("responseStatus=403").await;
    assert!(denied.iter().any(|entry| entry["description"].as_str().unwrap().contains("scopes")));
}

#[tokio::test]
async fn no_token_makes_one_that_can_do_more_or_lives_longer() {
    let world = World::new().await;
    let soon = "2026-01-16T12:00:00Z";
    let (writer, _) =
        with_token(&world, &world.owner, json!({"name": "w", "scopes": ["api:write"]})).await;
    for (scopes, expected) in [
        (json!(["api:write"]), 201),
        (json!(["api:read"]), 201),
        (json!([]), 400),
        (json!(null), 400),
        (json!(["api:write", "kubernetes"]), 400),
    ] {
        let body = json!({"name": "x", "scopes": scopes});
        world.post(&writer, TOKENS).json(body).expect(expected).await;
    }
    let (short, _) =
        with_token(&world, &world.owner, json!({"name": "s", "expiresAt": soon})).await;
    for (until, expected) in [
        (json!(null), 400),
        (json!("2026-01-16T12:00:00.000001Z"), 400),
        (json!(soon), 201),
        (json!("2026-01-16T11:00:00+00:00"), 201),
    ] {
        let body = json!({"name": "x", "expiresAt": until});
        world.post(&short, TOKENS).json(body).expect(expected).await;
    }
}

#[tokio::test]
async fn the_last_use_is_shown_at_once_and_kept() {
    let world = World::new().await;
    let (laptop, id) = with_token(&world, &world.owner, json!({"name": "laptop"})).await;
    let last_used = async || {
        let listed = world.get(&world.owner, TOKENS).expect(200).await.body;
        let token = listed.as_array().unwrap().iter().find(|token| token["identity"] == *id);
        token.unwrap()["lastUsedAt"].clone()
    };
    assert!(last_used().await.is_null());
    world.set_now(NOON + DAY);
    world.get(&laptop, "/v1/me").expect(200).await;
    assert_eq!(last_used().await, "2026-01-16T12:00:00Z");
    coffer_server::jobs::flush_last_use(&world.app).await.unwrap();
    assert!(world.app.last_use.find(&id).is_none(), "written");
    assert_eq!(last_used().await, "2026-01-16T12:00:00Z");
}

#[tokio::test]
async fn a_caller_sees_what_it_may_do() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let person =
        world.person_with("secret", &["/app/*"], &["read", "getSecretValue", "list"]).await;
    let me = world.get(&person, "/v1/me").expect(200).await.body;
    assert_eq!(me["user"]["subject"], person.subject.as_str());
    assert_eq!(me["organisation"]["identity"], world.acme.id.as_str());
    assert_eq!(me["permissions"][0]["resources"], json!(["secret"]));
    assert_eq!(me["permissions"][0]["resourceIdentities"], json!(["/app/*"]));
    assert_eq!(me["permissions"][0]["permissions"], json!(["read", "list", "getSecretValue"]));
    let value = world.post(&person, "/v1/secrets/nl-01/secret/app/a/value").expect(200).await;
    assert_eq!(text_of(&value), "hunter2");

    let owner = world.get(&world.owner, "/v1/me").expect(200).await.body;
    assert_eq!(owner["permissions"][0]["role"], "OWNER");
    assert_eq!(owner["permissions"][0]["permissions"], json!(["*"]));
    for without in [
        world.get(&person, "/v1/me").without("x-organisation-identity"),
        world.get(&world.stranger, "/v1/me").header("x-organisation-identity", &world.acme.id),
        world.get(&person, "/v1/me").header("x-organisation-identity", "nowhere"),
    ] {
        let me = without.expect(200).await.body;
        assert!(me.get("organisation").is_none(), "{me}");
        assert_eq!(me["permissions"], json!([]));
    }
    assert_eq!(base64("x"), "eA==");
}
