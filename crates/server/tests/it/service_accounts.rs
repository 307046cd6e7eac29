//! Machines that call: service accounts, their credentials, Basic authentication (contract, sections 4.3 and 14,
//! 35, 37 to 39).

use serde_json::{Value as Json, json};

use crate::world::{Asking, NOON, Person, World, base64, text_of};

const ACCOUNTS: &str = "/v1/service-accounts";

/// A credential as a machine has it: what it sends, and how it is revoked.
struct Machine {
    basic: String,
    url: String,
    id: String,
}

impl Machine {
    fn asks<'w>(&self, call: Asking<'w>) -> Asking<'w> {
        call.header("authorization", &format!("Basic {}", self.basic))
    }
}

async fn account(world: &World, name: &str) -> String {
    let made = world.post(&world.owner, ACCOUNTS).json(json!({"name": name})).expect(201).await;
    format!("{ACCOUNTS}/{}", made.body["identity"].as_str().unwrap())
}

async fn credential(world: &World, account: &str, request: Json) -> Machine {
    let url = format!("{account}/access-credentials");
    let made = world.post(&world.owner, &url).json(request).expect(201).await.body;
    let (key, secret) =
        (made["accessKey"].as_str().unwrap(), made["accessSecret"].as_str().unwrap());
    assert!(key.starts_with("tc_ak_") && secret.starts_with("tc_sk_"), "{made}");
    let id = made["identity"].as_str().unwrap().to_owned();
    Machine { basic: base64(format!("{key}:{secret}")), url: format!("{url}/{id}"), id }
}

async fn bind(world: &World, role: &str, account: &str) {
    let body = json!({"name": "b", "serviceAccountIdentity": account.rsplit('/').next(),
        "userIdentity": null, "teamIdentity": null});
    let url = format!("/v1/iam/roles/{role}/bindings");
    let bound = world.post(&world.owner, &url).json(body).expect(201).await.body;
    assert!(account.ends_with(bound["serviceAccount"]["identity"].as_str().unwrap()), "{bound}");
}

#[tokio::test]
async fn an_account_is_made_changed_and_deleted() {
    let world = World::new().await;
    let made = world.post(&world.owner, ACCOUNTS).json(json!({
        "name": "CI Runner", "description": "d", "labels": {"a": "b"}, "annotations": {"c": "d"}
    }));
    let made = made.expect(201).await.body;
    assert!(made["identity"].as_str().unwrap().starts_with("sa-"), "{made}");
    assert_eq!((&made["slug"], &made["objectVersion"]), (&json!("ci-runner"), &json!(1)));
    assert_eq!(made["createdBy"]["subject"], world.owner.subject.as_str());
    let url = format!("{ACCOUNTS}/ci-runner");
    assert_eq!(world.get(&world.owner, &url).expect(200).await.body, made);
    world.post(&world.owner, ACCOUNTS).json(json!({"name": "ci-runner"})).expect(409).await;
    let changed = world.put(&world.owner, &url).json(json!({"name": "Robot", "labels": {}}));
    let changed = changed.expect(200).await.body;
    assert_eq!((&changed["name"], &changed["slug"]), (&json!("Robot"), &made["slug"]));
    assert_eq!((&changed["labels"], &changed["objectVersion"]), (&json!({}), &json!(2)));
    let listed = world.get(&world.owner, &format!("{ACCOUNTS}?slug=ci-runner")).expect(200).await;
    assert_eq!(listed.body, json!([changed]));
    world.get(&world.stranger, &url).expect(404).await;
    world.get(&world.nobody, &url).expect(403).await;
    world.delete(&world.owner, &url).expect(204).await;
    world.get(&world.owner, &url).expect(404).await;
}

#[tokio::test]
async fn a_machine_does_what_its_roles_grant_and_is_named_in_the_log() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let url = account(&world, "ci").await;
    let machine = credential(&world, &url, json!({"name": ""})).await;
    let reveal = || machine.asks(world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value"));
    reveal().expect(403).await;
    bind(&world, "secrets-full-access", &url).await;
    assert_eq!(text_of(&reveal().expect(200).await), "hunter2");
    let me = machine.asks(world.get(&world.owner, "/v1/me")).expect(200).await.body;
    let id = url.rsplit('/').next().unwrap();
    assert_eq!(
        (&me["serviceAccountIdentity"], &me["credentialIdentity"]),
        (&json!(id), &json!(machine.id))
    );
    assert!(me.get("user").is_none(), "{me}");
    let log = world.audit(&format!("serviceAccount={id}")).await;
    assert_eq!(log.len(), 4, "denied, revealed with its key, me: {log:#?}");
    assert!(log.iter().all(|entry| entry["serviceAccountIdentity"] == id));
    assert_eq!(log[0]["context"]["credentials_type"], "access_credential");
    // It is no person.
    let tokens = "/v1/me/personal-access-tokens";
    machine.asks(world.post(&world.owner, tokens)).json(json!({"name": "x"})).expect(403).await;
    machine.asks(world.get(&world.owner, "/v1/me/organisation-memberships")).expect(403).await;
    // Nor is it known in another organisation.
    let elsewhere = machine.asks(world.get(&world.stranger, "/v1/secrets/nl-01/secrets"));
    elsewhere.expect(403).await;
}

#[tokio::test]
async fn access_policies_may_name_a_machine() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let (one, two) = (account(&world, "one").await, account(&world, "two").await);
    let (first, second) =
        (credential(&world, &one, json!({})).await, credential(&world, &two, json!({})).await);
    for url in [&one, &two] {
        bind(&world, "secrets-full-access", url).await;
    }
    let id = one.rsplit('/').next().unwrap();
    for named in ["one", id] {
        let statement = json!({"effect": "Allow", "actions": ["read"],
            "principals": [format!("serviceAccount:{named}")]});
        let policy = json!({"accessPolicy": {"statements": [statement]}});
        let put = world.put(&world.owner, "/v1/secrets/nl-01/secret/app/a/policy");
        put.json(policy).expect(200).await;
        let value = "/v1/secrets/nl-01/secret/app/a/value";
        first.asks(world.post(&world.owner, value)).expect(200).await;
        second.asks(world.post(&world.owner, value)).expect(403).await;
        world.post(&world.owner, value).expect(403).await;
    }
}

#[tokio::test]
async fn what_is_revoked_or_over_is_refused_with_the_next_call() {
    let world = World::new().await;
    let url = account(&world, "ci").await;
    bind(&world, "secrets-read-access", &url).await;
    let list = "/v1/secrets/nl-01/secrets";
    let works =
        async |machine: &Machine| machine.asks(world.get(&world.owner, list)).send().await.status;
    let (one, two) =
        (credential(&world, &url, json!({})).await, credential(&world, &url, json!({})).await);
    assert_eq!((works(&one).await, works(&two).await), (200, 200));
    world.delete(&world.owner, &one.url).expect(204).await;
    world.delete(&world.owner, &one.url).expect(404).await;
    assert_eq!((works(&one).await, works(&two).await), (401, 200));
    let short =
        credential(&world, &url, json!({"expiresAt": "2026-01-15T12:00:01Z", "name": "s"})).await;
    assert_eq!(works(&short).await, 200);
    world.set_now(NOON + 1_000_000);
    assert_eq!((works(&short).await, works(&two).await), (401, 200));
    world.delete(&world.owner, &url).expect(204).await;
    assert_eq!(works(&two).await, 401);
    // A later account of that name has none of its roles or credentials.
    let again = account(&world, "ci").await;
    let fresh = credential(&world, &again, json!({})).await;
    assert_eq!((works(&fresh).await, works(&two).await), (403, 401));
}

#[tokio::test]
async fn a_credential_is_listed_without_its_secret_and_with_its_last_use() {
    let world = World::new().await;
    let url = account(&world, "ci").await;
    let machine = credential(
        &world,
        &url,
        json!({"name": "runner", "description": "d", "scopes": ["api:read"]}),
    )
    .await;
    let credentials = format!("{url}/access-credentials");
    let listed = async || world.get(&world.owner, &credentials).expect(200).await;
    let shown = listed().await;
    assert!(!shown.text.contains("tc_sk_"), "{}", shown.text);
    let one = &shown.body[0];
    assert_eq!((&one["name"], &one["scopes"]), (&json!("runner"), &json!(["api:read"])));
    assert!(one.get("lastUsedAt").is_none() && one["accessKey"].is_string(), "{one}");
    world.set_now(NOON + 5_000_000);
    machine.asks(world.get(&world.owner, "/v1/me")).expect(200).await;
    assert_eq!(listed().await.body[0]["lastUsedAt"], "2026-01-15T12:00:05Z");
    coffer_server::jobs::flush_last_use(&world.app).await.unwrap();
    assert!(world.app.last_use.find(&machine.id).is_none());
    assert_eq!(listed().await.body[0]["lastUsedAt"], "2026-01-15T12:00:05Z");
    // Its scopes hold for it as for any credential.
    bind(&world, "secrets-full-access", &url).await;
    machine.asks(world.get(&world.owner, "/v1/secrets/nl-01/secrets")).expect(200).await;
    let put = machine.asks(world.post(&world.owner, "/v1/secrets/nl-01/secrets"));
    put.json(json!({"path": "/a"})).expect(403).await;
    for bad in [
        json!({"scopes": ["admin"]}),
        json!({"expiresAt": "2026-01-15T12:00:00Z"}),
        json!({"name": "x".repeat(256)}),
    ] {
        world.post(&world.owner, &credentials).json(bad).expect(400).await;
    }
}

#[tokio::test]
async fn nobody_becomes_a_machine_that_may_do_more() {
    let world = World::new().await;
    let keeper = world.person_with("service_account", &[], &["*"]).await;
    let (weak, strong) = (account(&world, "weak").await, account(&world, "strong").await);
    bind(&world, "org-admin", &strong).await;
    let make = async |by: &Person, url: &str| {
        let call = world.post(by, &format!("{url}/access-credentials")).json(json!({}));
        call.send().await.status
    };
    assert_eq!((make(&keeper, &weak).await, make(&keeper, &strong).await), (201, 400));
    assert_eq!(make(&world.owner, &strong).await, 201);
    assert_eq!(make(&world.nobody, &weak).await, 403);
    // A role that a machine gets later comes to it by whoever may give it.
    let to = json!({"serviceAccountIdentity": "weak"});
    let url = "/v1/iam/roles/org-admin/bindings";
    world.post(&keeper, url).json(to).expect(403).await;
}

#[tokio::test]
async fn no_other_basic_credential_is_taken() {
    let world = World::new().await;
    let url = account(&world, "ci").await;
    let machine = credential(&world, &url, json!({})).await;
    let swapped = {
        use ::base64::{Engine, engine::general_purpose::STANDARD};
        let text = String::from_utf8(STANDARD.decode(&machine.basic).unwrap()).unwrap();
        let (key, secret) = text.split_once(':').unwrap();
        [
            base64(format!("{secret}:{key}")),
            base64(format!("{key}:{secret}x")),
            base64(format!("{key}:")),
            base64(format!("{key}:tc_sk_{}", "x".repeat(40))),
            base64(format!(":{secret}")),
            base64(secret),
            base64(format!("{}:", world.owner.token)),
            base64(format!("x:{}", world.owner.token)),
            "!!!".to_owned(),
        ]
    };
    let good = machine.asks(world.get(&world.owner, "/v1/me")).expect(200).await;
    assert!(good.body["serviceAccountIdentity"].is_string());
    let mut texts = Vec::new();
    for basic in swapped {
        let call =
            world.get(&world.owner, "/v1/me").header("authorization", &format!("Basic {basic}"));
        texts.push(call.expect(401).await.text);
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all: {texts:?}");
    // The secret alone is no token.
    let call = world.get(&world.owner, "/v1/me");
    call.header("authorization", &format!("Bearer {}", machine.basic)).expect(401).await;
}
