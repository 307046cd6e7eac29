//! Tenants, gates, projects, and the order of checks (contract, 2.2, 2.10, 14.8, 14.13).

use coffer_server::model::identity::MemberRole;
use serde_json::{Value as Json, json};

use crate::world::{Asking, Person, World, base64, text_of};

const SECRETS: &str = "/v1/secrets/nl-01/secrets";
const X: &str = "/v1/secrets/nl-01/secret/x";

fn value(text: &str) -> Json {
    json!({"secretString": base64(text)})
}

fn create_body(path: &str, text: &str) -> Json {
    json!({"path": path, "kmsKeyIdentity": "default", "secretString": base64(text)})
}

/// Every secrets call there is, on `/x` in a region.
pub fn every_call<'w>(world: &'w World, by: &Person, region: &str) -> Vec<Asking<'w>> {
    let secrets = format!("/v1/secrets/{region}/secrets");
    let x = format!("/v1/secrets/{region}/secret/x");
    vec![
        world.get(by, &format!("{secrets}?path=/")),
        world.get(by, &format!("{secrets}?pathPrefix=/")),
        world.post(by, &secrets).json(create_body("/x", "v")),
        world.get(by, &x),
        world.patch(by, &x).json(json!({})),
        world.put(by, &format!("{x}/policy")).json(json!({"accessPolicy": null})),
        world.post(by, &format!("{x}/versions")).json(value("v")),
        world.post(by, &format!("{x}/value")),
        world.delete(by, &format!("{x}/versions?version=1")),
        world.delete(by, &x),
    ]
}

/// A caller who names another organisation.
fn towards(person: &Person, organisation: &str) -> Person {
    Person { organisation: organisation.to_owned(), ..person.clone() }
}

#[tokio::test]
async fn without_valid_credentials_every_call_gets_401() {
    let world = World::new().await;
    let mut wrong = world.owner.clone();
    wrong.token.replace_range(8..9, if wrong.token[8..9] == *"a" { "b" } else { "a" });
    for asking in every_call(&world, &wrong, "nl-01") {
        let refused = asking.expect(401).await;
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    for asking in every_call(&world, &world.owner, "nl-01") {
        assert!(!asking.without("authorization").expect(401).await.message().is_empty());
    }
}

#[tokio::test]
async fn whoever_is_no_member_gets_403_for_every_call_as_if_nothing_were_there() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    let mut seen = std::collections::HashSet::new();
    let acme = &world.acme;
    for organisation in [&acme.id, &acme.slug, "no-such", "o-d5obcgg3fspc73f7vqpg"] {
        for asking in every_call(&world, &towards(&world.stranger, organisation), "nl-01") {
            seen.insert(asking.expect(403).await.text);
        }
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn an_organisation_is_named_by_identity_or_slug() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    for organisation in [&world.acme.id, &world.acme.slug] {
        let owner = towards(&world.owner, organisation);
        assert_eq!(text_of(&world.post(&owner, &format!("{X}/value")).expect(200).await), "v");
    }
}

#[tokio::test]
async fn a_gate_that_is_off_refuses_every_call_and_secrets_speaks_first() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    for (gates, first, never) in [
        ([false, true, true], "Secrets Manager is not enabled", "KMS must"),
        ([false, false, true], "Secrets Manager is not enabled", "KMS must"),
        ([true, false, true], "KMS must be enabled", "not enabled"),
    ] {
        world.set_gates(gates).await;
        for by in [&world.owner, &world.nobody] {
            for asking in every_call(&world, by, "nl-01") {
                let refused = asking.expect(403).await;
                assert!(refused.message().contains(first), "{gates:?}: {}", refused.text);
                assert!(!refused.message().contains(never), "{gates:?}: {}", refused.text);
            }
        }
        world.get(&world.stranger, SECRETS).expect(200).await;
    }
    world.set_gates([true, true, true]).await;
    world.post(&world.owner, &format!("{X}/value")).expect(200).await;
}

#[tokio::test]
async fn an_unknown_region_gets_404_for_every_call_and_a_region_has_two_names() {
    let world = World::new().await;
    for region in ["xx-99", "NL-01", "nl-01%20"] {
        for asking in every_call(&world, &world.owner, region) {
            let refused = asking.expect(404).await;
            assert!(refused.message().contains("region"), "{}", refused.text);
        }
    }
    let made = world.secret("/x", "v").await;
    let identity = made["region"]["identity"].as_str().unwrap();
    let url = format!("/v1/secrets/{identity}/secret/x");
    assert_eq!(world.get(&world.owner, &url).expect(200).await.body["path"], "/x");
}

#[tokio::test]
async fn an_earlier_check_speaks_before_a_later_one() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    let owner = &world.owner;
    let foreign = towards(&world.stranger, "acme");
    let (value_url, versions) = (format!("{X}/value"), format!("{X}/versions"));
    let (bad, nowhere) = (json!({"unknown": 1}), "/v1/secrets/xx-99/secret/x");
    let bad_path = "/v1/secrets/nl-01/secret/a//b";

    // Authentication, then membership.
    world.get(&foreign, X).without("authorization").expect(401).await;
    // Membership, then the gates.
    let before = world.get(&foreign, X).expect(403).await;
    world.set_gates([false, false, true]).await;
    assert_eq!(world.get(&foreign, X).expect(403).await.text, before.text);
    // The gates, then the region.
    let refused = world.get(owner, nowhere).expect(403).await;
    assert!(refused.message().contains("Secrets Manager"));
    world.set_gates([true, false, true]).await;
    let refused = world.get(owner, nowhere).expect(403).await;
    assert!(refused.message().contains("KMS must"));
    world.set_gates([true, true, true]).await;
    // The region, then the project.
    let refused = world.get(owner, nowhere).project("no-such").expect(404).await;
    assert!(refused.message().contains("region"), "{}", refused.text);
    // The project, then the path.
    let refused = world.get(owner, bad_path).project("no-such").expect(404).await;
    assert!(refused.message().contains("project"), "{}", refused.text);
    let create = world.post(owner, SECRETS).json(create_body("no-slash", "v"));
    create.project("no-such").expect(404).await;
    // The path, then the permission.
    world.get(&world.nobody, bad_path).expect(400).await;
    world.post(&world.nobody, SECRETS).json(create_body("no-slash", "v")).expect(400).await;
    // The permission, then whether the secret exists, then the body.
    world.get(&world.nobody, "/v1/secrets/nl-01/secret/y").expect(403).await;
    world.post(&world.nobody, SECRETS).json(create_body("/x", "v")).expect(403).await;
    for (method, url) in [("POST", &versions), ("POST", &value_url), ("PATCH", &X.to_owned())] {
        world.ask(method, &world.nobody, url).json(bad.clone()).expect(403).await;
        let missing = url.replace("/x", "/y");
        world.ask(method, owner, &missing).json(bad.clone()).expect(404).await;
        world.ask(method, owner, url).json(bad.clone()).expect(400).await;
    }
    let missing = world.put(owner, "/v1/secrets/nl-01/secret/y/policy").json(bad.clone());
    missing.expect(404).await;
    world.delete(owner, "/v1/secrets/nl-01/secret/y/versions?version=0").expect(404).await;
}

#[tokio::test]
async fn an_earlier_check_of_values_speaks_before_a_later_one() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    let owner = &world.owner;
    let key = format!("/v1/kms/nl-01/keys/{}", world.acme.key);
    let (value_url, versions) = (format!("{X}/value"), format!("{X}/versions"));
    let bad = json!({"version": 0});
    world.set_region_kms("nl-01", false).await;
    // The secret, then KMS.
    world.post(owner, "/v1/secrets/nl-01/secret/y/value").expect(404).await;
    let put = world.post(owner, "/v1/secrets/nl-01/secret/y/versions").json(value("v"));
    put.expect(404).await;
    // The body, then a taken path, then KMS.
    let mut taken = create_body("/x", "v");
    taken["unknown"] = json!(1);
    world.post(owner, SECRETS).json(taken).expect(400).await;
    world.post(owner, SECRETS).json(create_body("/x", "v")).expect(409).await;
    world.post(owner, &value_url).json(bad.clone()).expect(400).await;
    world.post(owner, &versions).json(bad).expect(400).await;
    // KMS, then whether the key exists, then its state.
    let mut no_key = create_body("/z", "v");
    no_key["kmsKeyIdentity"] = json!("no-such-key");
    world.post(owner, SECRETS).json(no_key.clone()).expect(503).await;
    world.set_region_kms("nl-01", true).await;
    world.post(owner, &format!("{key}/disable")).expect(200).await;
    world.post(owner, SECRETS).json(no_key).expect(404).await;
    world.set_region_kms("nl-01", false).await;
    world.post(owner, &value_url).expect(503).await;
    world.post(owner, &versions).json(value("v")).expect(503).await;
    world.post(owner, SECRETS).json(create_body("/z", "v")).expect(503).await;
    world.set_region_kms("nl-01", true).await;
    // The key's state, then the access policy.
    let deny = json!({"accessPolicy": {"statements": [{"effect": "deny", "actions": ["*"]}]}});
    world.put(owner, &format!("{X}/policy")).json(deny).expect(200).await;
    world.post(owner, &value_url).expect(400).await;
    world.post(owner, &versions).json(value("v")).expect(400).await;
    world.post(owner, &format!("{key}/enable")).expect(200).await;
    // The access policy, then the seal.
    world.sql(&format!("UPDATE secret_versions SET sealed_value = {}", world.literal(&[0])));
    world.post(owner, &value_url).expect(403).await;
    world.post(owner, &versions).json(value("v")).expect(403).await;
    // The permission comes before the policy, and has words of its own.
    let refused = world.post(&world.nobody, &value_url).expect(403).await;
    assert!(!refused.message().contains("policy"), "{}", refused.text);
}

#[tokio::test]
async fn a_path_may_exist_once_at_organisation_level_and_once_in_each_project() {
    let world = World::new().await;
    let owner = &world.owner;
    let projects = [world.project("shop").await, world.project("bank").await];
    world.secret("/x", "of acme").await;
    for project in &projects {
        let key = world.post(owner, "/v1/kms/nl-01/keys").json(json!({"name": "default"}));
        key.project(project).expect(201).await;
        let body = create_body("/x", &format!("of {project}"));
        let made = world.post(owner, SECRETS).json(body.clone()).project(project).expect(201).await;
        assert_eq!(made.body["kmsKey"]["projectId"], json!(project));
        world.post(owner, SECRETS).json(body).project(project).expect(409).await;
    }
    let body = create_body("/only/shop", "v");
    world.post(owner, SECRETS).json(body).project("shop").expect(201).await;
    let url = format!("{X}/value");
    assert_eq!(text_of(&world.post(owner, &url).expect(200).await), "of acme");
    for (name, project) in [(projects[0].as_str(), 0), ("shop", 0), (&projects[1], 1), ("bank", 1)]
    {
        let expected = format!("of {}", projects[project]);
        let revealed = world.post(owner, &url).project(name).expect(200).await;
        assert_eq!(text_of(&revealed), expected);
        let revealed = world.post(owner, &format!("{url}?project={name}")).expect(200).await;
        assert_eq!(text_of(&revealed), expected);
    }
    let only = "/v1/secrets/nl-01/secret/only/shop";
    world.get(owner, only).project("shop").expect(200).await;
    for asking in [world.get(owner, only), world.get(owner, only).project("bank")] {
        asking.expect(404).await;
    }
    for (listed, count) in [
        (world.get(owner, &format!("{SECRETS}?pathPrefix=/")), 1),
        (world.get(owner, &format!("{SECRETS}?pathPrefix=/")).project("shop"), 2),
        (world.get(owner, &format!("{SECRETS}?pathPrefix=/")).project("bank"), 1),
    ] {
        assert_eq!(listed.expect(200).await.body.as_array().unwrap().len(), count);
    }
    world.delete(owner, X).project("shop").expect(204).await;
    world.get(owner, X).project("shop").expect(404).await;
    world.get(owner, X).project("bank").expect(200).await;
    world.get(owner, X).expect(200).await;
}

#[tokio::test]
async fn a_project_that_is_unknown_foreign_or_out_of_sight_gets_404() {
    let world = World::new().await;
    let project = world.project("shop").await;
    let foreign = "prj-d5obcgg3fspc73f7vqpg";
    world
        .write(&world.globex.id, async move |tx| {
            tx.insert_project(&crate::world::project_row(foreign, "vault")).await
        })
        .await;
    let mut seen = std::collections::HashSet::new();
    for name in ["no-such", foreign, "vault"] {
        for asking in every_call(&world, &world.owner, "nl-01") {
            seen.insert(asking.project(name).expect(404).await.text);
        }
    }
    // Who holds nothing at all is not told that a project exists.
    for asking in every_call(&world, &world.nobody, "nl-01") {
        seen.insert(asking.project(&project).expect(404).await.text);
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn two_organisations_with_the_same_names_never_meet() {
    let world = World::new().await;
    world.secret("/x", "of acme").await;
    let stranger = &world.stranger;
    world.post(stranger, SECRETS).json(create_body("/x", "of globex")).expect(201).await;
    for path in ["/only/globex", "/unasked"] {
        world.post(stranger, SECRETS).json(create_body(path, "v")).expect(201).await;
    }
    let both = world.member(&world.globex.id, MemberRole::Owner).await;
    let subject = both.subject.clone();
    world
        .write(&world.acme.id, async move |tx| {
            tx.insert_member("m-both", &subject, MemberRole::Owner, crate::world::NOON).await
        })
        .await;
    let url = format!("{X}/value");
    for (person, expected) in [
        (&world.owner, "of acme"),
        (stranger, "of globex"),
        (&towards(&both, "acme"), "of acme"),
        (&towards(&both, "globex"), "of globex"),
    ] {
        assert_eq!(text_of(&world.post(person, &url).expect(200).await), expected);
    }
    for person in [towards(stranger, "acme"), towards(&world.owner, "globex")] {
        world.post(&person, &url).expect(403).await;
        world.get(&person, SECRETS).expect(403).await;
    }
    world.get(&world.owner, "/v1/secrets/nl-01/secret/only/globex").expect(404).await;
    let listed = world.get(&world.owner, &format!("{SECRETS}?pathPrefix=/")).expect(200).await;
    assert_eq!(listed.body.as_array().unwrap().len(), 1);
    world.delete(stranger, X).expect(204).await;
    assert_eq!(text_of(&world.post(&world.owner, &url).expect(200).await), "of acme");
    for record in world.audit("").await {
        let text = record.to_string();
        assert!(!text.contains("unasked") && !text.contains(&world.globex.id), "{text}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let world = World::new().await;
    let long = format!("{SECRETS}?path=/&x={}", "a".repeat(4096));
    world.get(&world.owner, &long).expect(414).await;
    let padded = format!("{SECRETS}?path=/&x={}", "a".repeat(4096 - SECRETS.len() - 10));
    assert_eq!(padded.len(), 4096);
    world.get(&world.owner, &padded).expect(200).await;
    let header = "a".repeat(16 * 1024);
    world.get(&world.owner, SECRETS).header("x-padding", &header).expect(431).await;
}
