//! Paths: which are taken, and which operation a URL means (contract, 2.3, 14.1, 14.2).

use serde_json::json;

use crate::world::{Answer, World, base64, text_of};

const SECRETS: &str = "/v1/secrets/nl-01/secrets";

fn at(tail: &str) -> String {
    format!("/v1/secrets/nl-01/secret{tail}")
}

/// A path as Go's encoder writes it into a query.
fn in_query(path: &str) -> String {
    path.replace('/', "%2F").replace('+', "%2B")
}

/// What is no path, as it stands after decoding, and what the message says of it.
fn refused() -> Vec<(String, &'static str)> {
    let mut table: Vec<_> = [
        ("", "empty"),
        ("app/db", "begin with `/`"),
        ("a", "begin with `/`"),
        ("/", "end with `/`"),
        ("/app/", "end with `/`"),
        ("//", "`//`"),
        ("//app", "`//`"),
        ("/app//db", "`//`"),
        ("/app/db//", "`//`"),
        ("/.", "`..`"),
        ("/..", "`..`"),
        ("/./app", "`..`"),
        ("/app/./db", "`..`"),
        ("/app/../db", "`..`"),
        ("/app/db/.", "`..`"),
        ("/app/db/..", "`..`"),
        ("/app/%2e%2e/db", "only"),
        ("/app/%2Fdb", "only"),
        ("/app db", "only"),
        (" /app", "begin with `/`"),
        ("/app\t", "only"),
        ("/app\0", "only"),
        ("/app\\db", "only"),
        ("/äpp", "only"),
        ("/app*", "only"),
        ("/app?x", "only"),
        ("/app#x", "only"),
        ("/app;x", "only"),
        ("/app:x", "only"),
        ("/~app", "only"),
    ]
    .map(|(path, word)| (path.to_owned(), word))
    .into();
    table.push((format!("/{}", "a".repeat(512)), "512"));
    table
}

/// Every byte percent-encoded, but for slashes and what needs no encoding.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    path.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

async fn exists(world: &World, path: &str) -> bool {
    let url = format!("{}?path={}", at(""), in_query(path));
    let found = world.get(&world.owner, &url).send().await;
    assert!([200, 404].contains(&found.status), "{path}: {}", found.text);
    found.status == 200
}

fn says(answer: &Answer, status: u16, word: &str, about: &str) {
    assert_eq!(answer.status, status, "{about}: {}", answer.text);
    assert!(answer.message().contains(word), "{about}: {}", answer.text);
}

#[tokio::test]
async fn every_path_of_the_alphabet_can_be_created_read_put_revealed_and_deleted() {
    let world = World::new().await;
    let long = format!("/{}", "a".repeat(511));
    for path in [
        "/a",
        "/app/production/db/password",
        "/A-Z/a_z/0.9/+",
        "/a+b+c",
        "/...",
        "/..a/.b/c..",
        "/-",
        "/x/value",
        "/x/versions",
        "/x/policy",
        "/value",
        "/versions",
        "/policy",
        "/value/versions/policy",
        "/secret/secrets",
        &long,
    ] {
        let made = world.secret(path, "one").await;
        assert_eq!(made["path"], path);
        for url in [at(path), format!("{}?path={}", at(""), in_query(path))] {
            let found = world.get(&world.owner, &url).expect(200).await;
            assert_eq!(found.body["path"], path, "{url}");
        }
        let put = world.post(&world.owner, &at(&format!("{path}/versions")));
        let put = put.json(json!({"secretString": base64("two")})).expect(200).await;
        assert_eq!(put.body, json!({"path": path, "version": 2}));
        let by_query = format!("{}?path={}", at("/value"), in_query(path));
        for url in [at(&format!("{path}/value")), by_query] {
            let revealed = world.post(&world.owner, &url).expect(200).await;
            assert_eq!((text_of(&revealed), &revealed.body["path"]), ("two".into(), &json!(path)));
        }
        let url = format!("{}?path={}", at(""), in_query(path));
        world.delete(&world.owner, &url).expect(204).await;
        assert!(!exists(&world, path).await, "{path}");
    }
}

#[tokio::test]
async fn a_body_with_a_path_that_breaks_a_rule_gets_400_and_makes_nothing() {
    let world = World::new().await;
    for (path, word) in refused() {
        let made = world
            .post(&world.owner, SECRETS)
            .json(json!({
                "path": path, "kmsKeyIdentity": world.acme.key, "secretString": base64("x")
            }))
            .send()
            .await;
        says(&made, 400, word, &format!("{path:?}"));
    }
    let all = world.get(&world.owner, &format!("{SECRETS}?pathPrefix=/")).expect(200).await;
    assert_eq!(all.body, json!([]));
}

#[tokio::test]
async fn a_url_with_a_path_that_breaks_a_rule_gets_400_in_both_forms() {
    let world = World::new().await;
    world.secret("/app/db", "x").await;
    world.secret("/db", "x").await;
    for (path, word) in refused() {
        let url = format!("{}?path={}", at(""), encoded(&path));
        says(&world.get(&world.owner, &url).send().await, 400, word, &url);
        says(&world.delete(&world.owner, &url).send().await, 400, word, &url);
        let url = format!("{}?path={}", at("/value"), encoded(&path));
        says(&world.post(&world.owner, &url).send().await, 400, word, &url);
        // A path without its slash cannot stand in a URL: that would be another route.
        if path.starts_with('/') {
            let url = at(&encoded(&path));
            says(&world.get(&world.owner, &url).send().await, 400, word, &url);
        }
    }
    assert!(exists(&world, "/app/db").await && exists(&world, "/db").await);
}

#[tokio::test]
async fn a_url_is_decoded_once_and_nothing_is_normalised() {
    let world = World::new().await;
    for path in ["/app/db", "/db", "/a+b", "/ab"] {
        world.secret(path, path).await;
    }
    for (tail, expected) in [
        ("/app/db", Some("/app/db")),
        ("/app%2Fdb", Some("/app/db")),
        ("%2Fapp%2Fdb", Some("/app/db")),
        ("/%61pp/d%62", Some("/app/db")),
        ("/a+b", Some("/a+b")),
        ("/a%2Bb", Some("/a+b")),
        ("/a%2bb", Some("/a+b")),
        ("/a%20b", None),
        ("/a%252Bb", None),
        ("/app/../db", None),
        ("/app/%2e%2e/db", None),
        ("/app/%2E%2E/db", None),
        ("/app/.%2e/db", None),
        ("/app/%2e/db", None),
        ("/app%2F..%2Fdb", None),
        ("/app/%252e%252e/db", None),
        ("/app%252Fdb", None),
        ("/app//db", None),
        ("/app%2F%2Fdb", None),
        ("/app/db/", None),
        ("/app/db%2F", None),
        ("/app/db%00", None),
        ("/app/db%0a", None),
        ("/app/%ff", None),
        ("/%C3%A4", None),
        ("?path=/app/db", Some("/app/db")),
        ("?path=%2Fapp%2Fdb", Some("/app/db")),
        ("?path=/a%2Bb", Some("/a+b")),
        // In a query a bare plus is a space, which no path has.
        ("?path=/a+b", None),
        ("?path=%252Fapp%252Fdb", None),
        ("?path=/app/%2e%2e/db", None),
    ] {
        let found = world.get(&world.owner, &at(tail)).send().await;
        assert_eq!(found.status, if expected.is_some() { 200 } else { 400 }, "{tail}");
        assert_eq!(found.body["path"].as_str(), expected, "{tail}");
    }
}

#[tokio::test]
async fn paths_are_told_apart_by_case() {
    let world = World::new().await;
    world.secret("/App", "upper").await;
    world.secret("/app", "lower").await;
    for (path, expected) in [("/App", "upper"), ("/app", "lower")] {
        let revealed = world.post(&world.owner, &at(&format!("{path}/value"))).expect(200).await;
        assert_eq!(text_of(&revealed), expected);
    }
    world.get(&world.owner, &at("/APP")).expect(404).await;
}

#[tokio::test]
async fn secrets_called_like_operations_live_beside_the_one_above() {
    let world = World::new().await;
    for path in ["/x", "/x/value", "/x/versions", "/x/policy"] {
        world.secret(path, path).await;
    }
    for path in ["/x", "/x/value", "/x/versions", "/x/policy"] {
        let revealed = world.post(&world.owner, &at(&format!("{path}/value"))).expect(200).await;
        assert_eq!(text_of(&revealed), path);
    }
    let policy = json!({"accessPolicy": {"denied": [{"type": "ip", "ips": ["192.0.2.1"]}]}});
    let set = world.put(&world.owner, &at("/x/policy")).json(policy.clone()).expect(200).await;
    assert_eq!(set.body["path"], "/x");
    let set = world.put(&world.owner, &at("/x/policy/policy")).json(policy).expect(200).await;
    assert_eq!(set.body["path"], "/x/policy");
    let change = json!({"description": "d"});
    let changed = world.patch(&world.owner, &at("/x/policy")).json(change).expect(200).await;
    assert_eq!(changed.body["path"], "/x/policy");
    world.delete(&world.owner, &at("/x/versions/versions?version=1")).expect(204).await;
    world.post(&world.owner, &at("/x/versions/value")).expect(400).await;
    for path in ["/x/value", "/x/policy"] {
        world.delete(&world.owner, &at(path)).expect(204).await;
        assert!(!exists(&world, path).await);
    }
    assert!(exists(&world, "/x").await && exists(&world, "/x/versions").await);
    world.delete(&world.owner, &at("?path=/x/versions")).expect(204).await;
    assert!(exists(&world, "/x").await && !exists(&world, "/x/versions").await);
}

#[tokio::test]
async fn a_delete_with_a_forgotten_suffix_or_version_never_deletes() {
    let world = World::new().await;
    for path in ["/x", "/x/value", "/x/versions", "/x/policy"] {
        world.secret(path, "kept").await;
    }
    for (tail, words) in [
        ("/x?version=1", &["versions"][..]),
        ("/x/value?version=1", &["versions"]),
        ("/x/policy?version=1", &["versions"]),
        ("?path=/x&version=1", &["versions"]),
        ("/policy?path=/x&version=1", &["versions"]),
        ("/x/versions", &["?version=N", "?path="]),
        ("/x/versions/versions", &["?version=N", "?path="]),
        ("/versions?path=/x", &["?version=N", "?path="]),
        ("/x?version=", &["version"]),
        ("/x?version=1&version=2", &["version"]),
        ("/x/versions?version=1&version=2", &["version"]),
        ("/x/versions?version=", &["version"]),
        ("/x/versions?version=0", &["version"]),
        ("/x/versions?version=-1", &["version"]),
        ("/x/versions?version=one", &["version"]),
        ("/x/versions?version=1.0", &["version"]),
    ] {
        let refused = world.delete(&world.owner, &at(tail)).send().await;
        for word in words {
            says(&refused, 400, word, tail);
        }
    }
    for path in ["/x", "/x/value", "/x/versions", "/x/policy"] {
        let revealed = world.post(&world.owner, &at(&format!("{path}/value"))).expect(200).await;
        assert_eq!(text_of(&revealed), "kept");
    }
}

#[tokio::test]
async fn paths_of_url_query_and_body_that_differ_get_400() {
    let world = World::new().await;
    world.secret("/a", "of a").await;
    world.secret("/b", "of b").await;
    let put = |path: &str| json!({"path": path, "secretString": base64("other")});
    for (method, tail, body) in [
        ("GET", "/a?path=/b", None),
        ("GET", "/a?path=", None),
        ("GET", "/a?path=/a&path=/b", None),
        ("GET", "?path=/a&path=/a", None),
        ("DELETE", "/a?path=/b", None),
        ("DELETE", "/a/versions?path=/b&version=1", None),
        ("PATCH", "/a?path=/b", Some(json!({}))),
        ("PUT", "/a/policy?path=/b", Some(json!({"accessPolicy": null}))),
        ("POST", "/a/value?path=/b", None),
        ("POST", "/a/value?path=/a/value", None),
        ("POST", "/a/value", Some(json!({"path": "/b"}))),
        ("POST", "/a/value", Some(json!({"path": "a"}))),
        ("POST", "/a/value", Some(json!({"path": "/a/"}))),
        ("POST", "/a/value", Some(json!({"path": "/%61"}))),
        ("POST", "/a/value", Some(json!({"path": "/A"}))),
        ("POST", "/value?path=/a", Some(json!({"path": "/b"}))),
        ("POST", "/a/versions?path=/b", Some(put("/a"))),
        ("POST", "/a/versions", Some(put("/b"))),
        ("POST", "/versions?path=/a", Some(put("/b"))),
    ] {
        let mut asking = world.ask(method, &world.owner, &at(tail));
        if let Some(body) = &body {
            asking = asking.json(body.clone());
        }
        says(&asking.send().await, 400, "path", &format!("{method} {tail} {body:?}"));
    }
    for (path, expected) in [("/a", "of a"), ("/b", "of b")] {
        let revealed = world.post(&world.owner, &at(&format!("{path}/value"))).expect(200).await;
        assert_eq!((text_of(&revealed), &revealed.body["version"]), (expected.into(), &json!(1)));
    }
}

#[tokio::test]
async fn paths_of_url_query_and_body_that_agree_are_taken() {
    let world = World::new().await;
    world.secret("/a+b/c", "v").await;
    for tail in ["/a+b/c/value?path=/a%2Bb/c", "/a%2Bb%2Fc/value", "/value?path=%2Fa%2Bb%2Fc"] {
        let body = json!({"path": "/a+b/c"});
        let revealed = world.post(&world.owner, &at(tail)).json(body).expect(200).await;
        assert_eq!(text_of(&revealed), "v", "{tail}");
    }
    let body = json!({"path": "/a+b/c", "secretString": base64("w")});
    let put = world.post(&world.owner, &at("/versions?path=/a%2Bb/c")).json(body);
    assert_eq!(put.expect(200).await.body["version"], 2);
    let policy = json!({"accessPolicy": {}});
    world.put(&world.owner, &at("/policy?path=/a%2Bb/c")).json(policy).expect(200).await;
    world.patch(&world.owner, &at("?path=/a%2Bb/c")).json(json!({})).expect(200).await;
    world.delete(&world.owner, &at("/versions?path=/a%2Bb/c&version=1")).expect(204).await;
    world.delete(&world.owner, &at("?path=/a%2Bb/c")).expect(204).await;
}

#[tokio::test]
async fn a_method_that_fits_no_operation_gets_405_and_hears_which_would() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    for (method, url, allowed) in [
        ("POST", at("/x"), &["GET", "PATCH", "DELETE"][..]),
        ("PUT", at("/x"), &["GET", "PATCH", "DELETE"]),
        ("OPTIONS", at("/x"), &["GET", "PATCH", "DELETE"]),
        ("PUT", at("/x/value"), &["GET", "POST", "PATCH", "DELETE"]),
        ("PUT", at("/x/versions"), &["GET", "POST", "PATCH", "DELETE"]),
        ("POST", at("/x/policy"), &["GET", "PUT", "PATCH", "DELETE"]),
        ("POST", at("?path=/x"), &["GET", "PATCH", "DELETE"]),
        ("PUT", at("?path=/x"), &["GET", "PATCH", "DELETE"]),
        ("PUT", SECRETS.to_owned(), &["GET", "POST"]),
        ("PATCH", SECRETS.to_owned(), &["GET", "POST"]),
        ("DELETE", SECRETS.to_owned(), &["GET", "POST"]),
        ("DELETE", format!("{SECRETS}?path=/x"), &["GET", "POST"]),
    ] {
        let refused = world.ask(method, &world.owner, &url).expect(405).await;
        let listed: Vec<_> = refused.header("allow").split(',').map(str::trim).collect();
        assert!(allowed.iter().all(|method| listed.contains(method)), "{url}: {listed:?}");
        assert!(!listed.contains(&method), "{url}: {listed:?}");
        assert!(!refused.message().is_empty(), "{url}");
    }
    assert!(exists(&world, "/x").await);
}

#[tokio::test]
async fn the_path_that_is_authorised_is_the_one_looked_up_and_audited() {
    let world = World::new().await;
    world.secret("/app/db", "v").await;
    world.secret("/other", "v").await;
    let reader = world.person_with("secret", &["/app/*"], &["*"]).await;
    for tail in ["/app/../other", "/app/%2e%2e/other", "/app%2F..%2Fother", "?path=/app/../other"] {
        world.get(&reader, &at(tail)).expect(400).await;
        world.delete(&reader, &at(tail)).expect(400).await;
    }
    world.get(&reader, &at("/other")).expect(403).await;
    world.delete(&reader, &at("/other?path=/app/db")).expect(400).await;
    world.get(&reader, &at("%2Fapp%2Fd%62")).expect(200).await;
    let records = world.audit("action=secrets.get&responseStatus=200").await;
    assert_eq!(records[0]["resourceIdentity"], "/app/db");
    assert!(exists(&world, "/other").await);
}
