//! Quotas (contract, sections 6.4 and 14, 47).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::world::{NOON, Person, World, base64};

const QUOTAS: &str = "/v1/quotas";
const SECRETS: &str = "/v1/secrets/nl-01/secrets";
const KEYS: &str = "/v1/kms/nl-01/keys";
const ACME: &str = "/v1/platform/organisations/acme";
const REQUESTS: &str = "/v1/platform/quota-increase-requests";

/// Counter and maximum of each quota, as the organisation reads them.
async fn usage(world: &World, by: &Person) -> BTreeMap<String, (i64, i64)> {
    let listed = world.get(by, QUOTAS).expect(200).await.body;
    let number = |one: &Json, field: &str| one[field].as_i64().unwrap();
    let entry = |one: &Json| {
        let counted = (number(one, "currentUsage"), number(one, "maxUsage"));
        (one["name"].as_str().unwrap().to_owned(), counted)
    };
    listed.as_array().unwrap().iter().map(entry).collect()
}

/// What there really is, counted in the database file.
fn real(world: &World, organisation: &str) -> BTreeMap<String, i64> {
    [
        ("secrets.count", "secrets", "1 = 1"),
        ("secrets.versions", "secret_versions", "destroyed_at IS NULL"),
        ("kms.keys", "kms_keys", "status <> 'deleted'"),
        ("iam.service-accounts", "service_accounts", "1 = 1"),
    ]
    .map(|(name, table, only)| {
        let sql = format!(
            "SELECT COUNT(*) FROM {table} WHERE organisation_id = '{organisation}' AND {only}"
        );
        (name.to_owned(), world.count(&sql))
    })
    .into()
}

async fn check_counters(world: &World, by: &Person) -> BTreeMap<String, i64> {
    let counted = usage(world, by).await;
    let counted: BTreeMap<_, _> = counted.into_iter().map(|(name, used)| (name, used.0)).collect();
    assert_eq!(counted, real(world, &by.organisation));
    counted
}

async fn set(world: &World, quota: &str, most: Json) {
    let administrator = world.administrator().await;
    world.patch(&administrator, ACME).json(json!({"quotas": {quota: most}})).expect(200).await;
}

fn secret(path: &str) -> Json {
    json!({"path": path, "kmsKeyIdentity": "default", "secretString": base64("v")})
}

#[tokio::test]
async fn quotas_are_listed_and_read_by_any_member() {
    let world = World::new().await;
    let used = usage(&world, &world.nobody).await;
    let expected = [
        ("iam.service-accounts", (0, 1000)),
        ("kms.keys", (1, 10_000)),
        ("secrets.count", (0, 1_000_000)),
        ("secrets.versions", (0, 10_000_000)),
    ];
    assert_eq!(used, expected.map(|(name, used)| (name.to_owned(), used)).into());
    let one = world.get(&world.nobody, "/v1/quotas/kms.keys").expect(200).await.body;
    assert_eq!((&one["service"], &one["quotaType"]), (&json!("kms"), &json!("count")));
    world.get(&world.nobody, "/v1/quotas/none").expect(404).await;
    let foreign = world.get(&world.stranger, QUOTAS);
    foreign.header("x-organisation-identity", &world.acme.id).expect(403).await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_refuses_and_names_itself() {
    let world = World::new().await;
    let accounts = "/v1/service-accounts";
    let account = |name: &str| json!({"name": name});
    let put = json!({"secretString": base64("w")});
    world.post(&world.owner, SECRETS).json(secret("/a")).expect(201).await;
    world.post(&world.owner, accounts).json(account("one")).expect(201).await;
    for quota in ["secrets.count", "secrets.versions", "kms.keys", "iam.service-accounts"] {
        set(&world, quota, json!(1)).await;
    }
    let versions = "/v1/secrets/nl-01/secret/a/versions";
    for (quota, url, body) in [
        ("secrets.count", SECRETS, secret("/b")),
        ("secrets.versions", versions, put.clone()),
        ("kms.keys", KEYS, json!({"name": "more"})),
        ("iam.service-accounts", accounts, account("two")),
    ] {
        let told = world.post(&world.owner, url).json(body.clone()).expect(403).await;
        let told = told.message().to_owned();
        assert!(told.contains(quota) && told.contains("at most "), "{told}");
        set(&world, quota, json!(0)).await;
        if quota == "secrets.count" {
            set(&world, "secrets.versions", json!(2)).await;
        }
        let status = if quota == "secrets.versions" { 200 } else { 201 };
        world.post(&world.owner, url).json(body).expect(status).await;
    }
    let refused = world.audit("responseStatus=403&action=secrets.create").await;
    assert!(refused[0]["description"].as_str().unwrap().contains("secrets.count"));
    check_counters(&world, &world.owner).await;
    // Less than there is already: nothing more, and what goes away still goes.
    set(&world, "secrets.count", json!(1)).await;
    world.post(&world.owner, SECRETS).json(secret("/c")).expect(403).await;
    world.delete(&world.owner, "/v1/secrets/nl-01/secret/a").expect(204).await;
    world.post(&world.owner, SECRETS).json(secret("/c")).expect(403).await;
    world.delete(&world.owner, "/v1/secrets/nl-01/secret/b").expect(204).await;
    world.post(&world.owner, SECRETS).json(secret("/c")).expect(201).await;
    // The configuration's again.
    set(&world, "secrets.count", Json::Null).await;
    assert_eq!(usage(&world, &world.owner).await["secrets.count"], (1, 1_000_000));
    check_counters(&world, &world.owner).await;
    world.post(&world.stranger, SECRETS).json(secret("/a")).expect(201).await;
}

#[tokio::test]
async fn the_configuration_bounds_whoever_has_no_maximum_of_their_own() {
    let world = World::with(|config| {
        config.quotas.secrets_count = 1;
        config.quotas.kms_keys = 0;
    })
    .await;
    world.post(&world.owner, SECRETS).json(secret("/a")).expect(201).await;
    world.post(&world.owner, SECRETS).json(secret("/b")).expect(403).await;
    world.post(&world.stranger, SECRETS).json(secret("/a")).expect(201).await;
    assert_eq!(usage(&world, &world.owner).await["kms.keys"], (1, 0));
    set(&world, "secrets.count", json!(2)).await;
    world.post(&world.owner, SECRETS).json(secret("/b")).expect(201).await;
    world.post(&world.stranger, SECRETS).json(secret("/b")).expect(403).await;
}

#[tokio::test]
async fn many_at_once_get_exactly_what_there_is() {
    let world = World::new().await;
    set(&world, "secrets.count", json!(7)).await;
    let calls = (0..30).map(|n| {
        let body = secret(&format!("/many/{n}"));
        world.post(&world.owner, SECRETS).json(body).send()
    });
    let answers = futures_util::future::join_all(calls).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(403)), (7, 23));
    check_counters(&world, &world.owner).await;
}

#[tokio::test]
async fn what_is_deleted_destroyed_or_purged_is_given_back() {
    let world = World::new().await;
    world.post(&world.owner, SECRETS).json(secret("/a")).expect(201).await;
    let url = "/v1/secrets/nl-01/secret/a";
    for _ in 0..3 {
        let put = json!({"secretString": base64("w")});
        world.post(&world.owner, &format!("{url}/versions")).json(put).expect(200).await;
    }
    assert_eq!(check_counters(&world, &world.owner).await["secrets.versions"], 4);
    for _ in 0..2 {
        world.delete(&world.owner, &format!("{url}/versions?version=2")).expect(204).await;
    }
    assert_eq!(check_counters(&world, &world.owner).await["secrets.versions"], 3);
    world.delete(&world.owner, url).expect(204).await;
    let none = check_counters(&world, &world.owner).await;
    assert_eq!((none["secrets.count"], none["secrets.versions"]), (0, 0));
    let key = world.key(&world.owner, "gone").await;
    world.delete(&world.owner, &format!("{KEYS}/{key}")).expect(200).await;
    assert_eq!(check_counters(&world, &world.owner).await["kms.keys"], 2, "it waits");
    world.set_now(NOON + 31 * 86_400_000_000);
    assert_eq!(coffer_server::kms::purge::purge_due(&world.app).await.unwrap(), 1);
    assert_eq!(check_counters(&world, &world.owner).await["kms.keys"], 1);
}

/// Chance that is the same at every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Random calls by owner and outsider, good and bad; after each dozen the counters are what there is.
#[tokio::test]
async fn counters_are_what_there_is_after_any_calls() {
    for seed in 1..=3 {
        let world = World::new().await;
        let mut chance = Chance(seed);
        set(&world, "secrets.count", json!(4)).await;
        set(&world, "secrets.versions", json!(9)).await;
        set(&world, "kms.keys", json!(4)).await;
        set(&world, "iam.service-accounts", json!(3)).await;
        let mut statuses = BTreeMap::new();
        for round in 0..25 {
            let mut calls = Vec::new();
            for _ in 0..8 {
                let by = match chance.below(8) {
                    0 => &world.nobody,
                    1 => &world.stranger,
                    _ => &world.owner,
                };
                let name = format!("n{}", chance.below(6));
                let version = chance.below(4) + 1;
                let at = format!("/v1/secrets/nl-01/secret/{name}");
                let (method, url, body) = match chance.below(12) {
                    0..=2 => ("POST", SECRETS.to_owned(), secret(&format!("/{name}"))),
                    3..=4 => {
                        ("POST", format!("{at}/versions"), json!({"secretString": base64("w")}))
                    }
                    5 => ("POST", format!("{at}/versions"), json!({"secretString": "*"})),
                    6 => ("DELETE", format!("{at}/versions?version={version}"), Json::Null),
                    7 => ("DELETE", at, Json::Null),
                    8 => ("POST", KEYS.to_owned(), json!({"name": name})),
                    9 => ("DELETE", format!("{KEYS}/{name}"), Json::Null),
                    10 => ("POST", "/v1/service-accounts".to_owned(), json!({"name": name})),
                    _ => ("DELETE", format!("/v1/service-accounts/{name}"), Json::Null),
                };
                let call = world.ask(method, by, &url);
                calls.push(if body.is_null() { call } else { call.json(body) }.send());
            }
            for answer in futures_util::future::join_all(calls).await {
                assert!(answer.status < 500, "{}", answer.text);
                *statuses.entry(answer.status).or_insert(0) += 1;
            }
            if round % 5 == 4 {
                world.set_now(NOON + i64::from(round) * 7 * 86_400_000_000);
                coffer_server::kms::purge::purge_due(&world.app).await.unwrap();
            }
            check_counters(&world, &world.owner).await;
            check_counters(&world, &world.stranger).await;
        }
        for status in [200, 201, 204, 400, 403, 404, 409] {
            assert!(statuses.contains_key(&status), "{status} never came: {statuses:?}");
        }
    }
}

async fn ask_for(world: &World, by: &Person, name: &str, most: i64) -> crate::world::Answer {
    let body = json!({"name": name, "newMaxUsage": most, "reason": "a new team"});
    world.post(by, "/v1/quotas/increase-requests").json(body).send().await
}

#[tokio::test]
async fn more_is_asked_for_and_decided() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    set(&world, "secrets.count", json!(1)).await;
    world.post(&world.owner, SECRETS).json(secret("/a")).expect(201).await;
    world.post(&world.owner, SECRETS).json(secret("/b")).expect(403).await;
    let admin = world.person_as("org-admin").await;
    let asked = ask_for(&world, &admin, "secrets.count", 2).await;
    assert_eq!((asked.status, &asked.body["decision"]), (201, &json!("pending")));
    assert_eq!(asked.body["newMaxUsageRequested"], 2);
    assert_eq!(ask_for(&world, &world.owner, "secrets.count", 3).await.status, 409);
    world.post(&world.owner, SECRETS).json(secret("/b")).expect(403).await;
    let waiting = world.get(&administrator, &format!("{REQUESTS}?decision=pending"));
    let waiting = waiting.expect(200).await.body;
    assert_eq!(
        (&waiting[0]["identity"], &waiting[0]["organisation"]["slug"]),
        (&asked.body["identity"], &json!("acme"))
    );
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    let url = format!("{REQUESTS}/{}", asked.body["identity"].as_str().unwrap());
    let decided = world.post(&administrator, &format!("{url}/approve"));
    let decided = decided.json(json!({"reason": "as agreed"})).expect(200).await.body;
    assert_eq!(
        (&decided["decision"], &decided["decisionReason"]),
        (&json!("approved"), &json!("as agreed"))
    );
    world.post(&world.owner, SECRETS).json(secret("/b")).expect(201).await;
    world.post(&world.owner, SECRETS).json(secret("/c")).expect(403).await;
    for verb in ["approve", "deny"] {
        world.post(&administrator, &format!("{url}/{verb}")).expect(409).await;
        world.post(&administrator, &format!("{REQUESTS}/none/{verb}")).expect(404).await;
    }
    let own = world.audit("action=platform.quota-increase-request.approve").await;
    assert_eq!(own[0]["context"]["status"], 409, "found by the organisation too");

    let asked = ask_for(&world, &world.owner, "secrets.count", 9).await.body;
    let url = format!("{REQUESTS}/{}", asked["identity"].as_str().unwrap());
    let denied = world.post(&administrator, &format!("{url}/deny")).expect(200).await.body;
    assert_eq!(denied["decision"], "denied");
    world.post(&world.owner, SECRETS).json(secret("/c")).expect(403).await;
    let read = world.get(&world.nobody, "/v1/quotas/secrets.count").expect(200).await.body;
    let decisions: Vec<_> = read["increaseRequests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["decision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(decisions.len(), 2);
    assert!(decisions.contains(&"approved".to_owned()), "{decisions:?}");
    assert_eq!(read["maxUsage"], 2);
    let theirs = world.get(&world.stranger, "/v1/quotas/secrets.count").expect(200).await.body;
    assert!(theirs.get("increaseRequests").is_none());
}

#[tokio::test]
async fn an_approval_never_lowers_a_maximum() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    for (now, expected) in [(json!(50), 50), (json!(0), 0), (json!(2), 10)] {
        set(&world, "kms.keys", json!(5)).await;
        let asked = ask_for(&world, &world.owner, "kms.keys", 10).await.body;
        set(&world, "kms.keys", now).await;
        let url = format!("{REQUESTS}/{}/approve", asked["identity"].as_str().unwrap());
        world.post(&administrator, &url).expect(200).await;
        assert_eq!(usage(&world, &world.owner).await["kms.keys"].1, expected);
    }
}

#[tokio::test]
async fn who_may_ask_for_more_and_for_what() {
    let world = World::new().await;
    let holder = world.person_with("organisation", &[], &["update"]).await;
    let named = world.person_with("organisation", &[&world.acme.id], &["update"]).await;
    let other = world.person_with("organisation", &[&world.globex.id], &["update"]).await;
    let auditor = world.person_as("org-auditor").await;
    for (by, quota, most, status) in [
        (&world.nobody, "kms.keys", 20_000, 403),
        (&auditor, "kms.keys", 20_000, 403),
        (&other, "kms.keys", 20_000, 403),
        (&holder, "kms.keys", 20_000, 201),
        (&named, "secrets.count", 2_000_000, 201),
        (&holder, "secrets.versions", 10_000_000, 400),
        (&holder, "secrets.versions", 0, 400),
        (&holder, "secrets.versions", -5, 400),
        (&holder, "secrets.versions", i64::MAX, 400),
        (&holder, "none", 20_000, 404),
    ] {
        let answer = ask_for(&world, by, quota, most).await;
        assert_eq!(answer.status, status, "{quota} {most}: {}", answer.text);
    }
    set(&world, "iam.service-accounts", json!(0)).await;
    assert_eq!(ask_for(&world, &holder, "iam.service-accounts", 5).await.status, 400);
    let long = json!({"name": "secrets.versions", "newMaxUsage": 20_000_000,
        "reason": "x".repeat(1025)});
    world.post(&holder, "/v1/quotas/increase-requests").json(long).expect(400).await;
}
