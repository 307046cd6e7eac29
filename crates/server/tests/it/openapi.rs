//! The description of the API is the API: every route, every status class, every reference.

use std::collections::BTreeSet;

use coffer_server::http::{ROUTES, openapi::describe};
use serde_json::Value as Json;

use crate::world::World;

/// What `ANY …/secret…` stands for: method and the suffix of the path.
const SECRET_OPERATIONS: [(&str, &str); 7] = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("PUT", "/policy"),
    ("POST", "/versions"),
    ("POST", "/value"),
    ("DELETE", "/versions"),
];

/// Every operation of the document: method, path, description.
fn operations(document: &Json) -> Vec<(String, String, Json)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| {
            (method.to_uppercase(), path.clone(), operation.clone())
        })
    });
    methods.collect()
}

#[test]
fn what_is_described_is_what_is_served() {
    let mut served = BTreeSet::new();
    for (method, path) in ROUTES {
        if *method != "ANY" {
            served.insert(((*method).to_owned(), (*path).to_owned()));
            continue;
        }
        let path = path.replace("/secret{*tail}", "/secret/{path}");
        for (method, suffix) in SECRET_OPERATIONS {
            served.insert((method.to_owned(), format!("{path}{suffix}")));
        }
    }
    let described: BTreeSet<_> =
        operations(&describe()).into_iter().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(described, served);
}

#[tokio::test]
async fn the_document_is_served_as_it_is_described() {
    let world = World::new().await;
    let served = world.anonymous("GET", "/openapi.json").expect(200).await;
    assert_eq!(served.body, describe());
    assert!(served.body["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn every_operation_says_what_it_does_and_how_it_refuses() {
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&describe()) {
        let about = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 3), "{about}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{about}");
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id), "{about}: its operationId stands twice");
        if !path.starts_with("/v1/") {
            continue;
        }
        for status in ["400", "401", "403", "404", "429", "503"] {
            assert!(responses.contains_key(status), "{about}: {status}");
        }
        assert!(operation["security"][0].is_object(), "{about}: security");
        for (status, response) in responses.iter().filter(|(s, _)| s.as_str() >= "400") {
            let schema = &response["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/ErrorBody", "{about}: {status}");
        }
        if operation.get("requestBody").is_some() {
            for status in ["413", "415"] {
                assert!(responses.contains_key(status), "{about}: {status}");
            }
        }
    }
}

/// Whether a body has a schema or an example for JSON.
fn is_described(body: &Json) -> bool {
    let types = ["application/json", "application/x-www-form-urlencoded"];
    types.iter().any(|content| {
        let described = &body["content"][content];
        ["schema", "example", "examples"].iter().any(|field| described.get(*field).is_some())
    })
}

#[test]
fn every_body_has_a_schema_or_an_example() {
    for (method, path, operation) in operations(&describe()) {
        let about = format!("{method} {path}");
        if let Some(body) = operation.get("requestBody") {
            assert!(is_described(body), "{about}: request");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let bare = ["204", "304"].contains(&status.as_str()) || path == "/openapi.json";
            assert!(bare || is_described(response), "{about}: {status}");
        }
        let bodies = ["POST", "PUT", "PATCH"].contains(&method.as_str());
        let none =
            ["/rotate", "/disable", "/enable", "/cancel"].iter().any(|tail| path.ends_with(tail));
        assert_eq!(operation.get("requestBody").is_some(), bodies && !none, "{about}");
    }
}

#[test]
fn every_part_of_a_path_is_a_parameter() {
    for (method, path, operation) in operations(&describe()) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<_> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
            .collect();
        let parts: BTreeSet<_> =
            path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(named, parts, "{method} {path}");
        let by_query = path.contains("}/secret") && !path.contains("/secrets/{region}/secrets");
        if by_query && !path.contains("{path}") {
            let query = |p: &&Json| p["name"] == "path" && p["in"] == "query";
            let found = parameters.iter().find(query).unwrap();
            assert_eq!(found["required"], true, "{method} {path}");
        }
        let organisation =
            |p: &Json| p["name"] == "X-Organisation-Identity" && p["required"] == true;
        let needs = [
            "secrets",
            "kms",
            "iam",
            "teams",
            "memberships",
            "service-accounts",
            "federated-identities",
            "federated-identity-providers",
            "audit",
            "metering",
        ]
        .map(|part| format!("/v1/{part}"));
        let needs = needs.iter().any(|at| path.starts_with(at));
        let also = ["/v1/invites", "/v1/quotas"].iter().any(|at| path.starts_with(at));
        let needs = (needs || also) && path != "/v1/invites/accept";
        assert_eq!(parameters.iter().any(organisation), needs, "{method} {path}");
    }
}

#[test]
fn a_post_that_changes_something_takes_an_idempotency_key_and_tells_of_replays() {
    let (mut taking, mut once) = (0, BTreeSet::new());
    for (method, path, operation) in operations(&describe()) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        if !parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
            continue;
        }
        assert_eq!(method, "POST", "{path}");
        taking += 1;
        let responses = operation["responses"].as_object().unwrap();
        let (_, good) = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap();
        assert!(good["headers"]["Idempotency-Replayed"].is_object(), "{path}");
        assert!(responses.contains_key("409"), "{path}");
        let forms = &good["content"]["application/json"]["schema"]["anyOf"];
        if forms[1]["properties"]["identity"].is_object() {
            assert!(forms[0]["$ref"].as_str().unwrap().contains("/Created"), "{path}");
            once.insert(path);
        }
    }
    // A secret's path has two forms.
    assert_eq!(taking, crate::idempotency::posts_that_change().len() + 1);
    let paths: Vec<_> = once.iter().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/v1/invites",
            "/v1/me/personal-access-tokens",
            "/v1/platform/organisations",
            "/v1/service-accounts/{account}/access-credentials",
        ]
    );
}

fn check_references(document: &Json, json: &Json) {
    match json {
        Json::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Json::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} names nothing");
            }
            fields.values().for_each(|value| check_references(document, value));
        }
        Json::Array(items) => items.iter().for_each(|item| check_references(document, item)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves() {
    let document = describe();
    check_references(&document, &document);
}
