//! What every call has in common (contract, section 1): headers, limits, errors, shapes.

use coffer_crypto::token;
use coffer_server::model::scopes::Scopes;
use coffer_server::store::NewToken;
use serde_json::{Value as Json, json};

use crate::world::{Answer, NOON, Person, World, base64, project_row};

const KEYS: &str = "/v1/kms/nl-01/keys";

/// A further token of a person, dead from `expires_at` on.
async fn token_until(world: &World, person: &Person, expires_at: i64) -> String {
    let text = token::mint_pat().unwrap().to_string();
    let (hash, id) = (token::hash(&text), world.fresh_id("pat-"));
    let subject = person.subject.clone();
    world
        .write("", async move |tx| {
            let token = NewToken {
                id: &id,
                subject: &subject,
                name: "short",
                scopes: &Scopes::default(),
                expires_at: Some(expires_at),
            };
            tx.insert_token(&hash, &token, NOON).await
        })
        .await;
    text
}

#[tokio::test]
async fn both_schemes_are_taken_in_any_case() {
    let world = World::new().await;
    for scheme in ["Bearer", "bearer", "BEARER", "Token", "token", "tOkEn"] {
        let call = world.get(&world.owner, KEYS);
        call.header("authorization", &format!("{scheme} {}", world.owner.token)).expect(200).await;
    }
}

#[tokio::test]
async fn every_bad_credential_gets_the_same_401() {
    let world = World::new().await;
    let expired = token_until(&world, &world.owner, NOON).await;
    let revoked = token_until(&world, &world.owner, NOON + 1_000_000).await;
    world.sql(&format!(
        "DELETE FROM personal_access_tokens WHERE expires_at = {}",
        NOON + 1_000_000
    ));
    let good = &world.owner.token;
    let unknown = token::mint_pat().unwrap().to_string();
    let mut seen: Vec<(Json, String, String)> = Vec::new();
    for (what, headers) in [
        ("none", vec![]),
        ("empty", vec![String::new()]),
        ("scheme alone", vec!["Bearer".to_owned()]),
        ("scheme and a space", vec!["Bearer ".to_owned()]),
        ("no scheme", vec![good.clone()]),
        ("another scheme", vec![format!("Basic {}", base64("user:password"))]),
        ("an unknown scheme", vec![format!("Digest {good}")]),
        ("no token of ours", vec!["Bearer abc".to_owned()]),
        ("a long one", vec![format!("Bearer tc_pat_{}", "a".repeat(4000))]),
        ("a prefix alone", vec!["Bearer tc_pat_".to_owned()]),
        ("one character more", vec![format!("Bearer {good}x")]),
        ("another case", vec![format!("Bearer {}", good.to_uppercase())]),
        ("unknown", vec![format!("Bearer {unknown}")]),
        ("unknown, as Token", vec![format!("Token {unknown}")]),
        ("expired", vec![format!("Bearer {expired}")]),
        ("revoked", vec![format!("Bearer {revoked}")]),
        ("two", vec![format!("Bearer {good}"), format!("Bearer {good}")]),
        ("a good one and a bad one", vec![format!("Bearer {good}"), "Bearer x".to_owned()]),
    ] {
        let mut call = world.anonymous("GET", KEYS);
        call = call.header("x-organisation-identity", &world.acme.id);
        for header in &headers {
            call = call.add_header("authorization", header);
        }
        let answer = call.send().await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
        let shape = answer.header("content-type").to_owned();
        seen.push((answer.body.clone(), shape, what.to_owned()));
    }
    for (body, shape, what) in &seen {
        assert_eq!((body, shape), (&seen[0].0, &seen[0].1), "{what}");
        let fields: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["message"], "{what}");
    }
}

#[tokio::test]
async fn nothing_is_told_before_authentication() {
    let world = World::new().await;
    let big = "x".repeat(300_000);
    for (what, method, url, headers, body) in [
        ("a foreign organisation", "GET", KEYS, vec![("x-organisation-identity", "globex")], ""),
        ("an unknown region", "GET", "/v1/kms/fr-01/keys", vec![], ""),
        ("an unknown key", "GET", "/v1/kms/nl-01/keys/none", vec![], ""),
        ("a path that is none", "GET", "/v1/secrets/nl-01/secret/a//b", vec![], ""),
        ("an unknown project", "GET", KEYS, vec![("x-project-identity", "none")], ""),
        ("a bad body", "POST", KEYS, vec![], "{"),
        ("a big body", "POST", KEYS, vec![], &*big),
        ("a bad query", "GET", "/v1/audit?limit=0", vec![], ""),
    ] {
        let mut call = world.anonymous(method, url).header("authorization", "Bearer tc_pat_x");
        for (name, value) in &headers {
            call = call.add_header(name, value);
        }
        let call = if body.is_empty() { call } else { call.raw(body.as_bytes()) };
        let answer = call.send().await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_doubled_header_is_told_only_to_who_has_authenticated() {
    let world = World::new().await;
    for name in ["x-organisation-identity", "x-project-identity"] {
        for (call, expected) in
            [(world.anonymous("GET", KEYS), 401), (world.get(&world.owner, KEYS), 400)]
        {
            let call = call.header(name, "acme").add_header(name, "acme");
            let answer = call.send().await;
            assert_eq!(answer.status, expected, "{name}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_token_dies_at_its_minute() {
    let world = World::new().await;
    let text = token_until(&world, &world.owner, NOON + 60_000_000).await;
    for (now, expected) in [(NOON, 200), (NOON + 59_999_999, 200), (NOON + 60_000_000, 401)] {
        world.set_now(now);
        let call = world.get(&world.owner, KEYS).header("authorization", &format!("Bearer {text}"));
        assert_eq!(call.send().await.status, expected, "{}", now - NOON);
    }
}

#[tokio::test]
async fn the_organisation_is_named_by_identity_or_slug() {
    let world = World::new().await;
    let (acme, globex) = (&world.acme, &world.globex);
    let foreign = world.get(&world.owner, KEYS).header("x-organisation-identity", &globex.id);
    let foreign = foreign.expect(403).await.body;
    for (reference, expected) in [
        (acme.id.as_str(), 200),
        (acme.slug.as_str(), 200),
        ("", 400),
        ("nowhere", 403),
        ("o-d5obcgg3fspc73f7vqpg", 403),
        (globex.id.as_str(), 403),
        (globex.slug.as_str(), 403),
        ("ACME", 403),
        ("acme%20", 403),
    ] {
        let call = world.get(&world.owner, KEYS).header("x-organisation-identity", reference);
        let answer = call.expect(expected).await;
        if expected == 403 {
            assert_eq!(answer.body, foreign, "{reference}");
        }
    }
    let none = world.get(&world.owner, KEYS).without("x-organisation-identity").expect(400).await;
    assert!(none.message().contains("X-Organisation-Identity"), "{}", none.message());
    for second in [&acme.id, &globex.id] {
        let call = world.get(&world.owner, KEYS).add_header("x-organisation-identity", second);
        call.expect(400).await;
    }
}

#[tokio::test]
async fn the_project_is_named_by_header_or_query() {
    let world = World::new().await;
    let (one, two) = (world.project("one").await, world.project("two").await);
    let key = world.post(&world.owner, KEYS).project(&one).json(json!({"name": "inside"}));
    let key = key.expect(201).await.body["identity"].clone();
    let (foreign, acme) = (world.fresh_id("prj-"), world.acme.id.clone());
    let (made, globex) = (foreign.clone(), world.globex.id.clone());
    world.write(&globex, async move |tx| tx.insert_project(&project_row(&made, "far")).await).await;
    assert_ne!(acme, globex);
    for (header, query, expected) in [
        (Some(one.as_str()), None, Some(1)),
        (Some("one"), None, Some(1)),
        (None, Some(one.as_str()), Some(1)),
        (None, Some("one"), Some(1)),
        (Some("one"), Some("two"), Some(1)),
        (Some("two"), Some("one"), Some(0)),
        (Some(two.as_str()), None, Some(0)),
        (Some("three"), None, None),
        (None, Some("three"), None),
        (Some(foreign.as_str()), None, None),
        (Some("far"), None, None),
    ] {
        let url = query.map_or(KEYS.to_owned(), |query| format!("{KEYS}?project={query}"));
        let mut call = world.get(&world.owner, &url);
        if let Some(header) = header {
            call = call.project(header);
        }
        let answer = call.send().await;
        let found = answer.body.as_array().map(Vec::len);
        assert_eq!(found, expected, "{header:?} {query:?}: {}", answer.text);
        assert_eq!(answer.status, if expected.is_some() { 200 } else { 404 });
    }
    let outside = world.get(&world.owner, &format!("{KEYS}/{}", key.as_str().unwrap()));
    outside.expect(404).await;
    let twice = world.get(&world.owner, KEYS).project("one").add_header("x-project-identity", &two);
    twice.expect(400).await;
}

/// What is wrong with a body, told in `{"message": …}` and nothing else.
fn check_refusal(what: &str, answer: &Answer) {
    let fields: Vec<_> = answer.body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["message"], "{what}: {}", answer.text);
    assert!(!answer.message().is_empty(), "{what}");
}

#[tokio::test]
async fn every_body_is_json_and_never_stored_by_caches() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let (owner, long) = (&world.owner, "x".repeat(4200));
    let big = base64(vec![b'x'; 300_000]);
    let create = json!({"path": "/app/a", "kmsKeyIdentity": "default", "generateSecret":
        {"byteLength": 16}});
    for (expected, call) in [
        (200, world.get(owner, "/v1/regions")),
        (200, world.get(owner, "/v1/secrets/nl-01/secrets?pathPrefix=/")),
        (200, world.get(owner, "/v1/secrets/nl-01/secrets?pathPrefix=/&limit=1")),
        (200, world.get(owner, "/v1/secrets/nl-01/secret/app/a")),
        (200, world.post(owner, "/v1/secrets/nl-01/secret/app/a/value")),
        (200, world.get(owner, "/v1/audit")),
        (200, world.anonymous("GET", "/openapi.json")),
        (201, world.post(owner, KEYS).json(json!({"name": "made"}))),
        (400, world.post(owner, KEYS).raw(b"{")),
        (400, world.get(owner, "/v1/audit?limit=0")),
        (401, world.anonymous("GET", KEYS)),
        (403, world.get(&world.nobody, "/v1/audit")),
        (404, world.get(owner, "/v1/nowhere")),
        (404, world.get(owner, "/nowhere")),
        (404, world.get(owner, "/v1/kms/nl-01/keys/none")),
        (404, world.get(owner, "/v1/secrets/nl-01/secretive")),
        (405, world.post(owner, "/v1/regions")),
        (405, world.put(owner, "/v1/secrets/nl-01/secret/app/a")),
        (409, world.post(owner, "/v1/secrets/nl-01/secrets").json(create)),
        (412, world.delete(owner, "/v1/secrets/nl-01/secret/app/a").header("if-match", "\"9\"")),
        (413, world.post(owner, KEYS).json(json!({"name": big}))),
        (414, world.get(owner, &format!("/v1/regions?x={long}"))),
        (415, world.post(owner, KEYS).raw(b"{}").header("content-type", "text/plain")),
        (431, world.get(owner, "/v1/regions").header("x-filler", &"x".repeat(17_000))),
        (503, world.get(owner, "/v1/kms/de-01/keys")),
    ] {
        let answer = call.expect(expected).await;
        assert_eq!(answer.header("content-type"), "application/json", "{expected}");
        assert_eq!(answer.header("cache-control"), "no-store", "{expected}");
        assert!(!answer.header("x-request-id").is_empty(), "{expected}");
        assert!(answer.body != Json::Null, "{expected}: {}", answer.text);
        if expected >= 400 {
            check_refusal(&expected.to_string(), &answer);
        }
    }
}

#[tokio::test]
async fn a_url_that_is_not_text_is_refused_in_json() {
    let world = World::new().await;
    for (method, url) in [
        ("GET", "/v1/kms/%ff/keys"),
        ("GET", "/v1/kms/nl-01/keys/%ff"),
        ("POST", "/v1/kms/nl-01/keys/%ff/rotate"),
        ("GET", "/v1/regions/%ff"),
        ("GET", "/v1/secrets/%ff/secrets"),
        ("GET", "/v1/secrets/%ff/secret/app/a"),
        ("GET", "/v1/secrets/nl-01/secret/%ff"),
    ] {
        let answer = world.ask(method, &world.owner, url).send().await;
        assert!([400, 404].contains(&answer.status), "{url}: {}", answer.status);
        assert_eq!(answer.header("content-type"), "application/json", "{method} {url}");
        check_refusal(url, &answer);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let world = World::new().await;
    for (method, url, allowed) in [
        ("POST", "/v1/regions", vec!["GET"]),
        ("DELETE", KEYS, vec!["GET", "POST"]),
        ("PUT", "/v1/kms/nl-01/keys/default", vec!["GET", "DELETE"]),
        ("GET", "/v1/kms/nl-01/keys/default/encrypt", vec!["POST"]),
        ("GET", "/v1/kms/nl-01/keys/default/cancel-deletion", vec!["DELETE"]),
        ("POST", "/v1/audit", vec!["GET"]),
        ("PUT", "/v1/secrets/nl-01/secrets", vec!["GET", "POST"]),
        ("PUT", "/v1/secrets/nl-01/secret/app/a", vec!["GET", "PATCH", "DELETE"]),
        ("PUT", "/v1/secrets/nl-01/secret/app/a/value", vec!["GET", "POST", "PATCH", "DELETE"]),
        ("POST", "/v1/secrets/nl-01/secret/app/a/policy", vec!["GET", "PUT", "PATCH", "DELETE"]),
        ("POST", "/v1/secrets/nl-01/secret?path=/app/a", vec!["GET", "PATCH", "DELETE"]),
    ] {
        let answer = world.ask(method, &world.owner, url).expect(405).await;
        let header = answer.header("allow");
        let given: Vec<_> = header.split(',').map(str::trim).filter(|m| *m != "HEAD").collect();
        assert_eq!(given, allowed, "{method} {url}");
    }
}

#[tokio::test]
async fn a_request_id_is_kept_or_made() {
    let world = World::new().await;
    for (sent, kept) in [
        ("build-42", true),
        ("a.b_c-D9", true),
        (&*"x".repeat(128), true),
        (&*"x".repeat(129), false),
        ("", false),
        ("two words", false),
        ("<script>", false),
        ("a\"b", false),
    ] {
        let call = world.get(&world.owner, "/v1/regions").header("x-request-id", sent);
        let answer = call.expect(200).await;
        assert_eq!(answer.header("x-request-id") == sent, kept, "{sent}");
        assert!(!answer.header("x-request-id").is_empty());
    }
    let (one, two) =
        (world.anonymous("GET", "/healthz").send(), world.anonymous("GET", "/healthz").send());
    assert_ne!(one.await.header("x-request-id"), two.await.header("x-request-id"));
}
