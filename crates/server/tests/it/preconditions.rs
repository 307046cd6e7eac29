//! Object versions, ETags, If-Match and If-None-Match (contract, 14.15, 15.3).

use serde_json::json;

use crate::metadata::{X, mutations, put, read};
use crate::world::{NOON, World};

#[tokio::test]
async fn every_mutation_moves_object_version_and_updated_at_and_a_reveal_neither() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    let lasting =
        mutations().into_iter().filter(|(method, url, _)| (*method, url.as_str()) != ("DELETE", X));
    let (mut version, mut second) = (2, 0);
    for (method, url, body) in lasting {
        (version, second) = (version + 1, second + 2);
        world.set_now(NOON + second * 1_000_000);
        let mut asking = world.ask(method, &world.owner, &url);
        if let Some(body) = body {
            asking = asking.json(body);
        }
        assert!([200, 204].contains(&asking.send().await.status), "{method} {url}");
        let changed = read(&world).await;
        assert_eq!(changed["objectVersion"], version, "{method} {url}");
        let expected = json!(format!("2026-01-15T12:00:{second:02}Z"));
        assert_eq!(changed["updatedAt"], expected, "{method} {url}");
        assert_eq!(changed["createdAt"], "2026-01-15T12:00:00Z");

        world.set_now(NOON + (second + 1) * 1_000_000);
        world.post(&world.owner, &format!("{X}/value")).expect(200).await;
        let revealed = read(&world).await;
        for field in ["objectVersion", "updatedAt"] {
            assert_eq!(revealed[field], changed[field], "{method} {url}");
        }
        assert_ne!(revealed["lastAccessedAt"], changed["lastAccessedAt"]);
    }
}

#[tokio::test]
async fn an_etag_is_the_object_version_and_spares_a_read() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    let found = world.get(&world.owner, X).expect(200).await;
    assert_eq!(found.header("etag"), "\"2\"");
    for (tags, status) in [
        ("\"2\"", 304),
        ("\"1\", \"2\"", 304),
        ("W/\"2\"", 304),
        ("*", 304),
        ("\"1\"", 200),
        ("\"3\"", 200),
        ("2", 200),
        ("\"nonsense\"", 200),
    ] {
        let asked = world.get(&world.owner, X).header("if-none-match", tags);
        let found = asked.expect(status).await;
        assert_eq!(found.text.is_empty(), status == 304, "{tags}");
    }
    put(&world, "three").await;
    let asked = world.get(&world.owner, X).header("if-none-match", "\"2\"").expect(200).await;
    assert_eq!(asked.header("etag"), "\"3\"");
    let person = world.nobody.clone();
    world.get(&person, X).header("if-none-match", "\"3\"").expect(403).await;
}

#[tokio::test]
async fn a_mutation_with_another_if_match_gets_412_and_changes_nothing() {
    let world = World::new().await;
    world.secret("/x", "one").await;
    put(&world, "two").await;
    let before = read(&world).await;
    for (method, url, body) in mutations() {
        for tags in ["\"1\"", "\"3\"", "W/\"2\"", "2", "\"x\"", "\"1\", \"3\""] {
            let mut asking = world.ask(method, &world.owner, &url).header("if-match", tags);
            if let Some(body) = &body {
                asking = asking.json(body.clone());
            }
            asking.expect(412).await;
        }
        assert_eq!(read(&world).await, before, "{method} {url}");
    }
}

#[tokio::test]
async fn a_mutation_with_the_present_if_match_passes_once() {
    for (method, url, body) in mutations() {
        for tags in ["\"2\"", "\"1\", \"2\"", "*"] {
            let world = World::new().await;
            world.secret("/x", "one").await;
            put(&world, "two").await;
            let asking = || {
                let asking = world.ask(method, &world.owner, &url).header("if-match", tags);
                match &body {
                    Some(body) => asking.json(body.clone()),
                    None => asking,
                }
            };
            assert!([200, 204].contains(&asking().send().await.status), "{method} {url} {tags}");
            if tags != "*" {
                let again = asking().send().await.status;
                assert!([412, 404].contains(&again), "{method} {url} {tags}: {again}");
            }
        }
    }
}
