//! Lists: levels, flat lists, what a reader sees of them (contract, 2.6 S1, S2, 14.3, 14.11).

use serde_json::{Value as Json, json};

use crate::world::{Answer, Person, World, base64};

pub const SECRETS: &str = "/v1/secrets/nl-01/secrets";

/// A world with acme's secrets at these paths. The first is made through HTTP, the others are
/// copies of its row: lists look at metadata alone, and thousands of commits take their time.
pub async fn world_of<P: AsRef<str>>(paths: &[P]) -> World {
    let world = World::new().await;
    world.secret(paths[0].as_ref(), "v").await;
    insert(&world, paths[0].as_ref(), &paths[1..]);
    world
}

/// Copies the row of the secret at `from` to more paths.
pub fn insert<P: AsRef<str>>(world: &World, from: &str, paths: &[P]) {
    let mut sql = String::from("BEGIN;");
    for path in paths.iter().map(AsRef::as_ref) {
        sql.push_str(&format!(
            "INSERT INTO secrets (organisation_id, region_id, project_id, path, secret_id, key_id,
             description, labels, annotations, current_version, latest_version, object_version,
             created_at, updated_at)
             SELECT organisation_id, region_id, project_id, '{path}', 'copy-{path}', key_id,
             description, labels, annotations, current_version, latest_version, object_version,
             created_at, updated_at FROM secrets WHERE path = '{from}';"
        ));
    }
    world.sql(&format!("{sql} COMMIT;"));
}

fn paths_of(secrets: &Json) -> Vec<String> {
    secrets.as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap().to_owned()).collect()
}

pub fn texts(list: &Json) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

pub async fn list(world: &World, by: &Person, query: &str) -> Answer {
    world.get(by, &format!("{SECRETS}?{query}")).expect(200).await
}

/// The paths of a flat list.
pub async fn flat(world: &World, by: &Person, prefix: &str) -> Vec<String> {
    paths_of(&list(world, by, &format!("pathPrefix={prefix}")).await.body)
}

/// Directories and secrets of one level.
pub async fn level(world: &World, by: &Person, path: &str) -> [Vec<String>; 2] {
    let found = list(world, by, &format!("path={path}")).await;
    [texts(&found.body["prefixes"]), paths_of(&found.body["secrets"])]
}

/// All pages of a list, cursor by cursor: directories and secrets; a flat list has secrets alone.
pub async fn pages(world: &World, by: &Person, query: &str, limit: usize) -> [Vec<String>; 2] {
    let (mut prefixes, mut secrets, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = list(world, by, &format!("{query}&limit={limit}{cursor}")).await;
        let before = prefixes.len() + secrets.len();
        if page.body.is_array() {
            secrets.extend(paths_of(&page.body));
        } else {
            prefixes.extend(texts(&page.body["prefixes"]));
            secrets.extend(paths_of(&page.body["secrets"]));
        }
        assert!(prefixes.len() + secrets.len() - before <= limit, "{query}: {}", page.text);
        let next = page.header("x-next-cursor");
        assert_eq!(next.is_empty(), page.header("link").is_empty());
        if next.is_empty() {
            return [prefixes, secrets];
        }
        cursor = format!("&cursor={next}");
    }
}

const TREE: [&str; 14] = [
    "/app",
    "/app/a",
    "/app/x",
    "/app/x+1",
    "/app/x-1",
    "/app/x-1/deep",
    "/app/x.y",
    "/app/x/b/c",
    "/app/x/z",
    "/app/x0",
    "/app/x_",
    "/app/y/1",
    "/app-1/z",
    "/application/q",
];

#[tokio::test]
async fn a_level_shows_its_directories_and_its_own_secrets_in_bytewise_order() {
    let world = world_of(&TREE).await;
    for (path, prefixes, secrets) in [
        ("/", &["/app-1/", "/app/", "/application/"][..], &["/app"][..]),
        (
            "/app/",
            &["/app/x-1/", "/app/x/", "/app/y/"],
            &["/app/a", "/app/x", "/app/x+1", "/app/x-1", "/app/x.y", "/app/x0", "/app/x_"],
        ),
        ("/app/x/", &["/app/x/b/"], &["/app/x/z"]),
        ("/app/x/b/", &[], &["/app/x/b/c"]),
        ("/app/x-1/", &[], &["/app/x-1/deep"]),
        ("/app/x0/", &[], &[]),
        ("/none/", &[], &[]),
        ("/ap/", &[], &[]),
    ] {
        let found = list(&world, &world.owner, &format!("path={path}")).await;
        assert_eq!(found.body["path"], path);
        assert_eq!(texts(&found.body["prefixes"]), prefixes, "{path}");
        assert_eq!(paths_of(&found.body["secrets"]), secrets, "{path}");
    }
}

#[tokio::test]
async fn a_level_may_be_named_without_its_slash_and_the_root_not_at_all() {
    let world = world_of(&TREE).await;
    for (query, same) in [
        ("path=/app", "path=/app/"),
        ("path=%2Fapp%2F", "path=/app/"),
        ("path=/app/x%2B1", "path=/app/x%2B1/"),
        ("", "path=/"),
    ] {
        let found = list(&world, &world.owner, query).await.body;
        assert_eq!(found, list(&world, &world.owner, same).await.body, "{query}");
    }
}

#[tokio::test]
async fn a_flat_list_is_a_directory_never_a_bare_string_prefix() {
    let mut sorted = TREE.map(str::to_owned);
    sorted.sort();
    let world = world_of(&TREE).await;
    for prefix in
        ["/", "/app", "/app/", "/app/x", "/app/x/", "/app/x-1", "/ap", "/none/", "/app/x0/", "/a"]
    {
        let directory =
            if prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
        let inside = |path: &&String| path.starts_with(&directory) || **path == prefix;
        let expected: Vec<_> = sorted.iter().filter(inside).cloned().collect();
        assert_eq!(flat(&world, &world.owner, prefix).await, expected, "{prefix}");
    }
}

#[tokio::test]
async fn entries_are_metadata_without_versions_and_values() {
    let world = World::new().await;
    world.secret("/app/db", "canary-11").await;
    world.post(&world.owner, "/v1/secrets/nl-01/secret/app/db/value").expect(200).await;
    let read = world.get(&world.owner, "/v1/secrets/nl-01/secret/app/db").expect(200).await;
    let flat = list(&world, &world.owner, "pathPrefix=/").await;
    assert_eq!(flat.body, json!([read.body]));
    let level = list(&world, &world.owner, "path=/app/").await;
    assert_eq!(level.body, json!({"path": "/app/", "prefixes": [], "secrets": [read.body]}));
    for answer in [flat, level] {
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(!answer.text.contains(&base64("canary-11")));
    }
}

#[tokio::test]
async fn nothing_to_show_is_empty_arrays() {
    let world = World::new().await;
    for path in ["/", "/none/"] {
        let found = list(&world, &world.owner, &format!("path={path}")).await;
        assert_eq!(found.body, json!({"path": path, "prefixes": [], "secrets": []}));
        let found = list(&world, &world.owner, &format!("pathPrefix={path}")).await;
        assert_eq!(found.body, json!([]));
    }
}

#[tokio::test]
async fn a_list_that_is_asked_wrongly_gets_400() {
    let world = world_of(&TREE).await;
    let long = format!("path=/{}", "a".repeat(512));
    for query in [
        "path=/app/&pathPrefix=/app/",
        "path=/&pathPrefix=/",
        "path=/app/&path=/app/",
        "path=app/",
        "path=/app//",
        "path=//",
        "path=/../",
        "path=/app/./",
        "path=/app%20x/",
        "path=/app/*",
        "path=/app%00/",
        "path=%252F",
        &long,
        "pathPrefix=app",
        "pathPrefix=/app//x",
        "pathPrefix=/app/..",
        "pathPrefix=/app/*",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "cursor=!!!",
        "cursor=a",
        "cursor=YQ%3D%3D",
        "cursor=_w",
        "cursor=AA",
        "cursor=L2E&cursor=L2E",
    ] {
        let refused = world.get(&world.owner, &format!("{SECRETS}?{query}")).expect(400).await;
        assert!(!refused.message().is_empty(), "{query}");
    }
}

#[tokio::test]
async fn a_list_needs_list_and_shows_what_may_be_read() {
    let world = world_of(&TREE).await;
    let all = ["create", "read", "update", "delete", "getSecretValue", "putSecretValue"];
    let blind = world.person_with("secret", &[], &["list"]).await;
    assert_eq!(flat(&world, &blind, "/").await, [""; 0]);
    assert_eq!(level(&world, &blind, "/").await, [vec![], vec![]] as [Vec<String>; 2]);
    for person in [&world.nobody, &world.person_with("secret", &[], &all).await] {
        for query in ["", "?path=/app/", "?pathPrefix=/app/"] {
            world.get(person, &format!("{SECRETS}{query}")).expect(403).await;
        }
    }
    // `list` on any pattern at all opens every list; what is in it is decided by `read`.
    let reader = world.person_with("secret", &["/elsewhere/*"], &["list"]).await;
    world.grant(&reader, "secret", &["/app/x/*", "/application/*"], &["read"]).await;
    assert_eq!(flat(&world, &reader, "/").await, ["/app/x/b/c", "/app/x/z", "/application/q"]);
    let expected = [vec!["/app/".to_owned(), "/application/".to_owned()], vec![]];
    assert_eq!(level(&world, &reader, "/").await, expected);
    assert_eq!(level(&world, &reader, "/app/").await, [vec!["/app/x/".to_owned()], vec![]]);
    assert_eq!(flat(&world, &reader, "/app-1/").await, [""; 0]);
    let keys = world.person_with("kms_key", &[], &["list", "read"]).await;
    world.get(&keys, SECRETS).expect(403).await;
}

#[tokio::test]
async fn patterns_decide_path_by_path() {
    let world = world_of(&TREE).await;
    for (patterns, expected) in [
        (&["/app"][..], &["/app"][..]),
        (&["/app/*"], &TREE[1..12]),
        (&["/app*"], &TREE),
        (&["/app/x"], &["/app/x"]),
        (&["/app/x/*"], &["/app/x/b/c", "/app/x/z"]),
        (&["/app/x-*"], &["/app/x-1", "/app/x-1/deep"]),
        (&["/APP/*"], &[]),
        (&["/app/"], &[]),
        (&["*/z"], &["/app-1/z", "/app/x/z"]),
        (&["*1*"], &["/app-1/z", "/app/x+1", "/app/x-1", "/app/x-1/deep", "/app/y/1"]),
        (&["/app/*/c"], &["/app/x/b/c"]),
        (&["/a*/q", "/app/*p"], &["/app/x-1/deep", "/application/q"]),
        (&["/app/x/*", "/app/x/b/*", "/app/x/z"], &["/app/x/b/c", "/app/x/z"]),
        (&["*"], &TREE),
    ] {
        let reader = world.person_with("secret", patterns, &["read", "list"]).await;
        let mut expected: Vec<_> = expected.iter().map(|path| (*path).to_owned()).collect();
        expected.sort();
        assert_eq!(flat(&world, &reader, "/").await, expected, "{patterns:?}");
        for path in TREE {
            let status = if expected.contains(&path.to_owned()) { 200 } else { 403 };
            let url = format!("/v1/secrets/nl-01/secret{path}");
            world.get(&reader, &url).expect(status).await;
        }
    }
}

#[tokio::test]
async fn a_directory_that_several_patterns_reach_stands_once() {
    let world = world_of(&["/app/a/1", "/app/b/1", "/app/c/1/deep", "/app/c/2/deep"]).await;
    let patterns = ["/app/a/*", "/app/b/*", "/app/c/1/*", "/app/c/2/*"];
    let reader = world.person_with("secret", &patterns, &["read", "list"]).await;
    let directories = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    assert_eq!(level(&world, &reader, "/").await[0], directories(&["/app/"]));
    let expected = directories(&["/app/a/", "/app/b/", "/app/c/"]);
    assert_eq!(level(&world, &reader, "/app/").await[0], expected);
    for limit in 1..4 {
        assert_eq!(pages(&world, &reader, "path=/", limit).await[0], directories(&["/app/"]));
        assert_eq!(pages(&world, &reader, "path=/app/", limit).await[0], expected, "{limit}");
    }
}

#[tokio::test]
async fn labels_narrow_a_flat_list() {
    let world = World::new().await;
    for (path, labels) in [
        ("/a", json!({"env": "prod", "team": "x"})),
        ("/b", json!({"env": "prod"})),
        ("/c/d", json!({"env": "dev", "team": "x"})),
        ("/e", json!({})),
    ] {
        let body = json!({
            "path": path, "kmsKeyIdentity": "default", "secretString": base64("v"), "labels": labels
        });
        world.post(&world.owner, SECRETS).json(body).expect(201).await;
    }
    for (labels, expected) in [
        ("matchLabels[env]=prod", &["/a", "/b"][..]),
        ("matchLabels%5Bteam%5D=x", &["/a", "/c/d"]),
        ("matchLabels[env]=prod&matchLabels[team]=x", &["/a"]),
        ("matchLabels[env]=PROD", &[]),
        ("matchLabels[none]=prod", &[]),
        ("matchLabels[env]=", &["/a", "/b", "/c/d", "/e"]),
    ] {
        let query = format!("pathPrefix=/&{labels}");
        let found = paths_of(&list(&world, &world.owner, &query).await.body);
        assert_eq!(found, expected, "{labels}");
        assert_eq!(pages(&world, &world.owner, &query, 1).await[1], expected, "{labels}");
    }
}

#[tokio::test]
async fn a_list_leaves_one_record_however_long_it_is() {
    let world = world_of(&TREE).await;
    flat(&world, &world.owner, "/").await;
    world.get(&world.nobody, SECRETS).expect(403).await;
    let records = world.audit("action=secrets.list").await;
    let statuses: Vec<_> = records.iter().map(|e| e["context"]["status"].clone()).collect();
    assert_eq!(statuses, [403, 200]);
}
