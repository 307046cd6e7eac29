//! Keys as things: create, list, read, scopes (contract, sections 3.4 and 3.5).

use serde_json::{Map, Value as Json, json};

use crate::world::World;

const KEYS: &str = "/v1/kms/nl-01/keys";

#[tokio::test]
async fn a_new_key_has_the_documented_defaults() {
    let world = World::new().await;
    let made = world.post(&world.owner, KEYS).json(json!({"name": "Orders"})).expect(201).await;
    let key = made.body.as_object().unwrap();
    let identity = key["identity"].as_str().unwrap();
    assert!(identity.starts_with("kms-") && identity.len() == 24, "{identity}");
    for (field, expected) in [
        ("name", json!("Orders")),
        ("slug", json!("orders")),
        ("keyType", json!("aes256-gcm96")),
        ("status", json!("active")),
        ("exportAllowed", json!(false)),
        ("keyRotationEnabled", json!(false)),
        ("latestVersion", json!(1)),
        ("minDecryptionVersion", json!(1)),
        ("objectVersion", json!(1)),
        ("createdAt", json!("2026-01-15T12:00:00Z")),
        ("updatedAt", json!("2026-01-15T12:00:00Z")),
    ] {
        assert_eq!(key[field], expected, "{field}");
    }
    let absent = ["description", "labels", "annotations", "projectId", "imported"];
    for field in absent.iter().chain(&["rotationPeriodInDays", "deletionScheduledAt"]) {
        assert!(!key.contains_key(*field), "{field}");
    }
    for reference in [identity, "orders"] {
        let read = world.get(&world.owner, &format!("{KEYS}/{reference}")).expect(200).await;
        assert_eq!(read.body, made.body, "create and read agree");
        let version = json!({"version": 1, "status": "active", "createdAt": key["createdAt"]});
        assert_eq!(read.body["versions"], json!([version]));
    }
    let listed = world.get(&world.owner, &format!("{KEYS}?slug=orders")).expect(200).await.body;
    assert!(listed[0].get("versions").is_none(), "lists leave versions out");
}

#[tokio::test]
async fn what_is_given_is_kept() {
    let world = World::new().await;
    let given = json!({
        "name": "Orders", "description": "of the shop", "labels": {"env": "prod"},
        "annotations": {"note": "n"}, "keyType": "chacha20-poly1305", "exportAllowed": true,
        "keyRotationEnabled": true, "rotationPeriodInDays": 90
    });
    let made = world.post(&world.owner, KEYS).json(given.clone()).expect(201).await.body;
    for (field, expected) in given.as_object().unwrap() {
        assert_eq!(made[field], *expected, "{field}");
    }
}

/// `count` entries with the given lengths of key and value.
fn map(count: usize, key: usize, value: usize) -> Json {
    let entry = |at| (format!("{at:0>key$}"), json!("v".repeat(value)));
    Json::Object((0..count).map(entry).collect::<Map<_, _>>())
}

#[tokio::test]
async fn limits_of_a_new_key() {
    let world = World::new().await;
    let empty_key = json!({"": "v"});
    for (at, (field, value, expected)) in [
        ("name", json!("n".repeat(255)), 201),
        ("name", json!("n".repeat(256)), 400),
        ("name", json!(""), 400),
        ("name", json!("   "), 400),
        ("name", json!("!!!"), 400),
        ("name", json!(null), 400),
        ("name", json!(7), 400),
        ("description", json!("d".repeat(1024)), 201),
        ("description", json!("ü".repeat(1024)), 201),
        ("description", json!("d".repeat(1025)), 400),
        ("labels", map(64, 3, 1), 201),
        ("labels", map(65, 3, 1), 400),
        ("labels", map(1, 128, 256), 201),
        ("labels", map(1, 129, 1), 400),
        ("labels", map(1, 3, 257), 400),
        ("labels", empty_key.clone(), 400),
        ("labels", json!({"a": 1}), 400),
        ("labels", json!([]), 400),
        ("annotations", map(64, 3, 1), 201),
        ("annotations", map(65, 3, 1), 400),
        ("annotations", map(1, 128, 4096), 201),
        ("annotations", map(1, 129, 1), 400),
        ("annotations", map(1, 3, 4097), 400),
        ("annotations", empty_key, 400),
        ("keyType", json!("aes128-gcm96"), 201),
        ("keyType", json!("aes256-gcm96"), 201),
        ("keyType", json!("chacha20-poly1305"), 201),
        ("keyType", json!("AES256-GCM96"), 400),
        ("keyType", json!("aes192-gcm96"), 400),
        ("keyType", json!("ec-p256"), 400),
        ("keyType", json!("hmac-sha384"), 400),
        ("exportAllowed", json!("yes"), 400),
        ("keyRotationEnabled", json!(true), 400),
        ("keyRotationEnabled", json!("true"), 400),
        ("rotationPeriodInDays", json!(1), 201),
        ("rotationPeriodInDays", json!(3650), 201),
        ("rotationPeriodInDays", json!(0), 400),
        ("rotationPeriodInDays", json!(-1), 400),
        ("rotationPeriodInDays", json!(3651), 400),
        ("rotationPeriodInDays", json!("90"), 400),
        ("rotationPeriodInDays", json!(1.5), 400),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = json!({"name": format!("limit-{at}")});
        body[field] = value;
        let answer = world.post(&world.owner, KEYS).json(body).send().await;
        assert_eq!(answer.status, expected, "{at} {field}: {}", answer.text);
    }
    let both =
        |on, days| json!({"name": "r", "keyRotationEnabled": on, "rotationPeriodInDays": days});
    world.post(&world.owner, KEYS).json(both(true, 0)).expect(400).await;
    world.post(&world.owner, KEYS).json(both(true, 3651)).expect(400).await;
    let off = world.post(&world.owner, KEYS).json(both(false, 30)).expect(201).await;
    assert_eq!(off.body["keyRotationEnabled"], false);
}

#[tokio::test]
async fn an_unknown_field_is_named_and_refused() {
    let world = World::new().await;
    for field in ["keytype", "Name", "projectId", "slug", "status"] {
        let mut body = json!({"name": "orders"});
        body[field] = json!("x");
        let answer = world.post(&world.owner, KEYS).json(body).expect(400).await;
        assert!(answer.message().contains(field), "{}", answer.message());
    }
    world.post(&world.owner, KEYS).json(json!({})).expect(400).await;
}

#[tokio::test]
async fn a_slug_is_made_from_the_name_and_stands_once() {
    let world = World::new().await;
    for (name, expected) in [
        ("secrets:ReadAccess", "secrets-read-access"),
        ("tf-acc-kms-1234", "tf-acc-kms-1234"),
        ("DNSSEC example.com", "dnssec-example-com"),
        ("My Signing Key", "my-signing-key"),
        ("  edge  ", "edge"),
    ] {
        let made = world.post(&world.owner, KEYS).json(json!({"name": name})).expect(201).await;
        assert_eq!(made.body["slug"], expected, "{name}");
    }
    for name in ["my-signing-key", "My Signing Key", "my signing key", "default"] {
        world.post(&world.owner, KEYS).json(json!({"name": name})).expect(409).await;
    }
    world.set_region_kms("de-01", true).await;
    let elsewhere = world.post(&world.owner, "/v1/kms/de-01/keys").json(json!({"name": "default"}));
    elsewhere.expect(201).await;
}

#[tokio::test]
async fn a_name_that_would_read_as_an_identity_is_refused() {
    let world = World::new().await;
    let of_another = world.acme.key.clone();
    for name in [
        "kms-d5obcgg3fspc73f7vqpg",
        "kms d5obcgg3fspc73f7vqpg",
        "d6m0b0ngt9dc739sdrn0",
        of_another.as_str(),
        &of_another.replace('-', ":"),
        &format!(" {of_another} "),
    ] {
        world.post(&world.owner, KEYS).json(json!({"name": name})).expect(400).await;
    }
}

#[tokio::test]
async fn filters_narrow_a_list() {
    let world = World::new().await;
    let (one, two) = (world.key(&world.owner, "One").await, world.key(&world.owner, "Two").await);
    world.post(&world.owner, &format!("{KEYS}/{two}/disable")).expect(200).await;
    let default = world.acme.key.clone();
    for (query, expected) in [
        (String::new(), vec![&default, &one, &two]),
        (format!("?identity={one}"), vec![&one]),
        ("?name=One".into(), vec![&one]),
        ("?name=one".into(), vec![]),
        ("?slug=one".into(), vec![&one]),
        ("?slug=One".into(), vec![]),
        ("?status=active".into(), vec![&default, &one]),
        ("?status=disabled".into(), vec![&two]),
        ("?status=pending_deletion".into(), vec![]),
        ("?status=active&slug=two".into(), vec![]),
        ("?name=One&slug=one&status=active".into(), vec![&one]),
        ("?name=%25".into(), vec![]),
        ("?identity=".into(), vec![&default, &one, &two]),
    ] {
        let listed = world.get(&world.owner, &format!("{KEYS}{query}")).expect(200).await.body;
        let mut found: Vec<_> =
            listed.as_array().unwrap().iter().map(|k| k["identity"].as_str().unwrap()).collect();
        found.sort_unstable();
        let mut expected: Vec<_> = expected.into_iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_is_paged() {
    let world = World::new().await;
    for at in 0..6 {
        world.key(&world.owner, &format!("key-{at}")).await;
    }
    let whole = world.get(&world.owner, KEYS).expect(200).await;
    assert_eq!(whole.header("x-next-cursor"), "");
    for (limit, expected) in [(1, 7), (3, 3), (7, 1), (1000, 1)] {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut url = format!("{KEYS}?status=active&limit={limit}");
        loop {
            let page = world.get(&world.owner, &url).expect(200).await;
            found.extend(page.body.as_array().unwrap().clone());
            pages += 1;
            let (cursor, link) = (page.header("x-next-cursor"), page.header("link"));
            if cursor.is_empty() {
                assert_eq!(link, "");
                break;
            }
            url = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
            assert!(link.ends_with(r#">; rel="next""#) && url.contains(cursor), "{link}");
        }
        assert_eq!((pages, Json::Array(found)), (expected, whole.body.clone()), "{limit}");
    }
    for bad in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "cursor=%21%21"]
    {
        world.get(&world.owner, &format!("{KEYS}?{bad}")).expect(400).await;
    }
}

#[tokio::test]
async fn a_cursor_survives_what_comes_and_goes() {
    let world = World::new().await;
    for at in 0..4 {
        world.key(&world.owner, &format!("key-{at}")).await;
    }
    let active = format!("{KEYS}?status=active&limit=2");
    let page = world.get(&world.owner, &active).expect(200).await;
    let seen = page.body[1]["identity"].as_str().unwrap();
    world.delete(&world.owner, &format!("{KEYS}/{seen}")).expect(200).await;
    let rest = format!("{active}0&cursor={}", page.header("x-next-cursor"));
    let rest = world.get(&world.owner, &rest).expect(200).await;
    assert_eq!(rest.body.as_array().unwrap().len(), 3);
    assert!(rest.body.as_array().unwrap().iter().all(|key| key["identity"] != seen));
}

#[tokio::test]
async fn keys_of_a_project_and_of_the_organisation_are_apart() {
    let world = World::new().await;
    let project = world.project("shop").await;
    let inside = world.post(&world.owner, KEYS).project("shop").json(json!({"name": "default"}));
    let inside = inside.expect(201).await.body;
    assert_eq!(inside["projectId"], project.as_str());
    let (inside, outside) = (inside["identity"].as_str().unwrap(), world.acme.key.as_str());
    world.project("other").await;
    for (scope, reference, expected) in [
        (None, outside, Some(outside)),
        (None, "default", Some(outside)),
        (None, inside, None),
        (Some("shop"), inside, Some(inside)),
        (Some("shop"), "default", Some(inside)),
        (Some("shop"), outside, None),
        (Some("other"), inside, None),
        (Some("other"), outside, None),
        (Some("other"), "default", None),
    ] {
        for (method, tail) in [("GET", ""), ("POST", "/rotate")] {
            let mut call = world.ask(method, &world.owner, &format!("{KEYS}/{reference}{tail}"));
            if let Some(scope) = scope {
                call = call.project(scope);
            }
            let answer = call.expect(if expected.is_some() { 200 } else { 404 }).await;
            assert_eq!(answer.body["identity"].as_str(), expected, "{scope:?} {reference}");
        }
    }
    let listed = world.get(&world.owner, KEYS).project("shop").expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
}
