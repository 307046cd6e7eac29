//! Create: every row of the request, every limit on both sides (contract, 2.6 S3, 14.12, 14.16).

use serde_json::{Map, Value as Json, json};

use crate::world::{Answer, World, base64};

pub const SECRETS: &str = "/v1/secrets/nl-01/secrets";
pub const CANARY: &str = "canary-7c1e";

/// A body that would do, with `changes` laid over it; `null` takes a field away.
pub fn body(world: &World, path: &str, changes: Json) -> Json {
    let mut body = json!({
        "path": path, "kmsKeyIdentity": world.acme.key, "secretString": base64("value")
    });
    let fields = body.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Json::Null => fields.remove(name),
            value => fields.insert(name.clone(), value.clone()),
        };
    }
    body
}

/// The fields of a create with another input than `secretString`.
pub fn input(name: &str, value: Json) -> Json {
    json!({"secretString": null, name: value})
}

pub async fn create(world: &World, body: Json) -> Answer {
    world.post(&world.owner, SECRETS).json(body).send().await
}

/// 201, or the status and a word of the message.
type Expected = Result<(), (u16, &'static str)>;

/// Tries each create on a path of its own: 201, or a refusal with the word in its message that
/// leaves nothing behind.
async fn check(world: &World, cases: Vec<(Json, Expected)>) {
    for (number, (changes, expected)) in cases.into_iter().enumerate() {
        let path = format!("/checked/{number}");
        let about: String = changes.to_string().chars().take(120).collect();
        let made = create(world, body(world, &path, changes)).await;
        let (status, word) = expected.err().unwrap_or((201, ""));
        assert_eq!(made.status, status, "{about}: {}", made.text);
        assert!(made.message().contains(word), "{about}: {}", made.text);
        let url = format!("/v1/secrets/nl-01/secret{path}");
        world.get(&world.owner, &url).expect(if status == 201 { 200 } else { 404 }).await;
    }
}

fn values(count: usize, bytes: usize) -> Json {
    let value = Json::String(base64(vec![7; bytes]));
    Json::Object((0..count).map(|at| (format!("k{at}"), value.clone())).collect())
}

#[tokio::test]
async fn the_answer_is_the_whole_secret_without_a_value() {
    let world = World::new().await;
    let policy = json!({"denied": [{"type": "ip", "ips": ["192.0.2.9"]}]});
    let all = json!({
        "description": "primary", "labels": {"env": "prod"}, "annotations": {"owner": "team"},
        "accessPolicy": policy, "secretString": base64(CANARY),
    });
    let made = create(&world, body(&world, "/app/db", all)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    for header in [("content-type", "application/json"), ("etag", "\"1\"")] {
        assert_eq!(made.header(header.0), header.1);
    }
    for (field, expected) in [
        ("path", json!("/app/db")),
        ("description", json!("primary")),
        ("labels", json!({"env": "prod"})),
        ("annotations", json!({"owner": "team"})),
        ("accessPolicy", policy),
        ("currentVersion", json!(1)),
        ("objectVersion", json!(1)),
        ("createdAt", json!("2026-01-15T12:00:00Z")),
        ("updatedAt", json!("2026-01-15T12:00:00Z")),
    ] {
        assert_eq!(made.body[field], expected, "{field}");
    }
    assert_eq!(made.body["kmsKey"]["identity"], json!(world.acme.key));
    assert_eq!(made.body["kmsKey"]["status"], "active");
    assert_eq!(made.body["region"]["slug"], "nl-01");
    assert!(!made.text.contains(CANARY) && !made.text.contains(&base64(CANARY)));
    for absent in ["versions", "lastAccessedAt", "secretString", "value"] {
        assert!(made.body.get(absent).is_none(), "{absent}");
    }
    let read = world.get(&world.owner, "/v1/secrets/nl-01/secret/app/db").expect(200).await;
    assert_eq!(read.body, made.body);
}

#[tokio::test]
async fn what_is_empty_is_left_out_of_the_answer() {
    let world = World::new().await;
    let changes = json!({"description": "", "labels": {}, "annotations": {}, "accessPolicy": {}});
    let made = create(&world, body(&world, "/plain", changes)).await;
    assert_eq!(made.status, 201);
    for absent in ["description", "labels", "annotations", "accessPolicy", "lastAccessedAt"] {
        assert!(made.body.get(absent).is_none(), "{absent}: {}", made.text);
    }
}

#[tokio::test]
async fn exactly_one_value_input_is_taken() {
    let world = World::new().await;
    let inputs = [
        ("secretString", json!(base64("v"))),
        ("secretKeyValues", json!({"k": base64("v")})),
        ("generateSecret", json!({"byteLength": 32})),
    ];
    let mut cases = Vec::new();
    for chosen in 0..8_u32 {
        let mut changes = json!({"secretString": null});
        for (at, (name, value)) in inputs.iter().enumerate() {
            if chosen & (1 << at) != 0 {
                changes[*name] = value.clone();
            }
        }
        let one = chosen.count_ones() == 1;
        cases.push((changes, if one { Ok(()) } else { Err((400, "exactly one")) }));
    }
    check(&world, cases).await;
}

#[tokio::test]
async fn a_string_has_1_to_4096_bytes_of_standard_base64() {
    let world = World::new().await;
    let string = |text: &str| json!({"secretString": text});
    let mut cases: Vec<_> = [(1, true), (4095, true), (4096, true), (4097, false)]
        .map(|(bytes, fits)| {
            let changes = string(&base64(vec![0xff; bytes]));
            (changes, if fits { Ok(()) } else { Err((400, "4096")) })
        })
        .into();
    cases.push((string(""), Err((400, "secretString"))));
    for bad in ["hunter2!", "aGk", "aGk=\n", " aGk=", "aG k=", "_-_-", "aGk==", "a===", "=", "ä"] {
        cases.push((string(bad), Err((400, "base64"))));
    }
    for wrong in [json!(1), json!(true), json!({}), json!(["aGk="])] {
        cases.push((json!({"secretString": wrong}), Err((400, "secretString"))));
    }
    check(&world, cases).await;
}

#[tokio::test]
async fn key_values_keep_every_limit() {
    let world = World::new().await;
    let of = |map: Json| input("secretKeyValues", map);
    let named = |name: &str| of(json!({name: base64("v")}));
    let mut seventeen = values(16, 4096);
    seventeen["one-more"] = json!(base64("x"));
    let bad = |word| Err((400, word));
    let mut cases = vec![
        (of(values(1, 1)), Ok(())),
        (of(values(256, 1)), Ok(())),
        (of(values(257, 1)), bad("256")),
        (of(json!({})), bad("secretKeyValues")),
        (of(values(1, 4096)), Ok(())),
        (of(values(1, 4097)), bad("4096")),
        (of(json!({"k": ""})), bad("secretKeyValues")),
        (of(values(16, 4096)), Ok(())),
        (of(seventeen), bad("65536")),
        (of(values(256, 256)), Ok(())),
        (of(json!({"good": base64("v"), "k": "not base64"})), bad("base64")),
        (of(json!({"k": 1})), bad("secretKeyValues")),
        (of(json!({"k": null})), bad("secretKeyValues")),
        (of(json!({"k": {"v": base64("v")}})), bad("secretKeyValues")),
        (of(json!([base64("v")])), bad("secretKeyValues")),
        (of(json!(base64("v"))), bad("secretKeyValues")),
        (named("A.b-c_9"), Ok(())),
        (named("."), Ok(())),
        (named(&"n".repeat(128)), Ok(())),
        (named(&"n".repeat(129)), bad("128")),
    ];
    for name in ["", "a b", "a/b", "a+b", "ä", "a:b", "a\0", "$a", "a\n"] {
        cases.push((named(name), bad("secretKeyValues")));
    }
    check(&world, cases).await;
}

#[tokio::test]
async fn generated_values_have_16_to_4096_bytes() {
    let world = World::new().await;
    let of = |value: Json| input("generateSecret", value);
    let length = |bytes: Json| of(json!({"byteLength": bytes}));
    let bad = |word| Err((400, word));
    let mut cases = vec![
        (length(json!(16)), Ok(())),
        (length(json!(17)), Ok(())),
        (length(json!(4096)), Ok(())),
        (of(json!({})), bad("byteLength")),
        (of(json!({"byteLength": 32, "charset": "hex"})), bad("charset")),
    ];
    for wrong in [json!(0), json!(1), json!(15), json!(4097), json!(-16), json!(1_i64 << 40)] {
        cases.push((length(wrong), bad("16 to 4096")));
    }
    for wrong in [json!(16.5), json!("32"), json!(true), json!([32])] {
        cases.push((length(wrong), bad("byteLength")));
    }
    for wrong in [json!(32), json!("32"), json!(true)] {
        cases.push((of(wrong), bad("generateSecret")));
    }
    check(&world, cases).await;
}

#[tokio::test]
async fn fields_that_are_missing_unknown_or_of_the_wrong_type_are_named() {
    let world = World::new().await;
    let bad = |word| Err((400, word));
    check(
        &world,
        vec![
            (json!({"kmsKeyIdentity": null}), bad("kmsKeyIdentity")),
            (json!({"accesPolicy": {}}), bad("accesPolicy")),
            (json!({"AccessPolicy": {}}), bad("AccessPolicy")),
            (json!({"name": "x"}), bad("name")),
            (json!({"version": 1}), bad("version")),
            (json!({"accessPolicy": {"condition": []}}), bad("condition")),
            (json!({"kmsKeyIdentity": 1}), bad("kmsKeyIdentity")),
            (json!({"description": 1}), bad("description")),
            (json!({"labels": []}), bad("labels")),
            (json!({"labels": {"a": 1}}), bad("labels")),
            (json!({"annotations": "x"}), bad("annotations")),
            (json!({"annotations": {"a": {}}}), bad("annotations")),
            (json!({"accessPolicy": "none"}), bad("accessPolicy")),
        ],
    )
    .await;
    for (changes, word) in [(json!({"path": null}), "path"), (json!({"path": 1}), "path")] {
        let refused = create(&world, body(&world, "/x", changes)).await;
        assert_eq!(refused.status, 400);
        assert!(refused.message().contains(word), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_gets_400() {
    let world = World::new().await;
    let good = body(&world, "/x", json!({})).to_string();
    let twice = good.replacen('{', "{\"path\":\"/y\",", 1);
    let deep = good.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(17), "]".repeat(17)), 1);
    for raw in [
        "",
        "null",
        "[]",
        "\"/x\"",
        "1",
        "{",
        &good[..good.len() - 1],
        "not json",
        &twice,
        &deep,
        &format!("{good}{good}"),
        &format!("{good} x"),
        "\u{feff}{}",
    ] {
        let refused = world.post(&world.owner, SECRETS).raw(raw.as_bytes()).send().await;
        assert_eq!(refused.status, 400, "{raw}: {}", refused.text);
        assert!(!refused.message().is_empty());
    }
    world.post(&world.owner, SECRETS).expect(400).await;
    world.get(&world.owner, "/v1/secrets/nl-01/secret/x").expect(404).await;
}

#[tokio::test]
async fn an_array_in_place_of_an_object_gets_400() {
    let world = World::new().await;
    let (key, value) = (world.acme.key.as_str(), base64("v"));
    let mut taken = Vec::new();
    for raw in [
        json!(["/x", key, value, null, null, null, null, null, null]),
        body(&world, "/x", json!({"accessPolicy": []})),
        body(&world, "/x", json!({"accessPolicy": [[]]})),
        body(&world, "/x", json!({"accessPolicy": {"conditions": [["ip", "deny", ["1.2.3.4"]]]}})),
        body(&world, "/x", json!({"accessPolicy": {"statements": [["deny", ["read"], ["*"]]]}})),
        body(&world, "/x", input("generateSecret", json!([32]))),
    ] {
        let made = create(&world, raw.clone()).await;
        if made.status != 400 {
            taken.push((raw.to_string(), made.status));
        }
        world.delete(&world.owner, "/v1/secrets/nl-01/secret/x").send().await;
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

#[tokio::test]
async fn a_body_has_at_most_256_kib() {
    let world = World::new().await;
    let good = body(&world, "/x", json!({})).to_string();
    let padded = |size: usize| format!("{good}{}", " ".repeat(size - good.len()));
    let over = padded(256 * 1024 + 1);
    world.post(&world.owner, SECRETS).raw(over.as_bytes()).expect(413).await;
    let full = padded(256 * 1024);
    world.post(&world.owner, SECRETS).raw(full.as_bytes()).expect(201).await;
}

#[tokio::test]
async fn description_labels_and_annotations_keep_their_limits() {
    let world = World::new().await;
    let mut cases = Vec::new();
    let mut case =
        |field: &str, value: Json, expected| cases.push((json!({field: value}), expected));
    case("description", json!("ä".repeat(1024)), Ok(()));
    case("description", json!("ä".repeat(1025)), Err((400, "1024")));
    for (field, chars) in [("labels", 256), ("annotations", 4096)] {
        let entries = |count: usize| -> Map<String, Json> {
            (0..count).map(|at| (format!("k{at}"), json!("v"))).collect()
        };
        let key = |length: usize| json!({"k".repeat(length): "v"});
        let limit = if field == "labels" { "256" } else { "4096" };
        case(field, json!(entries(64)), Ok(()));
        case(field, json!(entries(65)), Err((400, "64")));
        case(field, key(1), Ok(()));
        case(field, key(128), Ok(()));
        case(field, key(129), Err((400, "128")));
        case(field, key(0), Err((400, "128")));
        case(field, json!({"k": "ä".repeat(chars)}), Ok(()));
        case(field, json!({"k": "ä".repeat(chars + 1)}), Err((400, limit)));
        case(field, json!({"k": ""}), Ok(()));
    }
    check(&world, cases).await;
}
