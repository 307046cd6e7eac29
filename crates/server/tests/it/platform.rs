//! Administration of the platform (contract, sections 14, 46 and 15, 7).

use coffer_server::config::RegionConfig;
use coffer_server::platform;
use serde_json::{Value as Json, json};

use crate::calls::{all_calls, platform_calls, target};
use crate::world::{NOON, Person, World, base64};

const ORGANISATIONS: &str = "/v1/platform/organisations";
const ACME: &str = "/v1/platform/organisations/acme";
const REGIONS: &str = "/v1/platform/regions";
const NL: &str = "/v1/platform/regions/nl-01";

#[tokio::test]
async fn an_administrator_may_call_the_platform_and_nothing_else() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    let platform: Vec<_> = platform_calls().iter().map(|call| call.route).collect();
    for call in all_calls() {
        let target = target(&world, call.action, &world.owner).await;
        let about = format!("{} {}", call.method, call.url);
        for organisation in [&world.acme.id, ""] {
            let asking = world.ask(call.method, &administrator, &call.url(&target));
            let asking = asking.header("x-organisation-identity", organisation);
            let answer = call.send(asking, &target).await;
            if platform.contains(&call.route) {
                let again = organisation.is_empty() && call.method == "POST";
                assert!(answer.status < 300 || (again && answer.status == 409), "{about}");
            } else if call.route.1.starts_with("/v1/") {
                assert_eq!(answer.status, 401, "{about}: {}", answer.text);
                assert_eq!(answer.message(), "credentials are missing or not valid", "{about}");
            }
        }
    }
}

#[tokio::test]
async fn every_other_credential_gets_the_same_401() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    let good = &administrator.token;
    let mut seen = Vec::new();
    for header in [
        String::new(),
        format!("Bearer {}", world.owner.token),
        format!("Token {}", world.owner.token),
        format!("Basic {}", base64(format!("{good}:{good}"))),
        format!("Basic {good}"),
        format!("Bearer {good}x"),
        format!("Bearer {}", good.to_uppercase()),
        "Bearer tc_adm_".to_owned(),
        good.clone(),
    ] {
        let answer = world.anonymous("GET", ORGANISATIONS).header("authorization", &header);
        let answer = answer.expect(401).await;
        seen.push((answer.body.clone(), answer.header("www-authenticate").to_owned()));
    }
    let none = world.anonymous("GET", ORGANISATIONS).expect(401).await;
    seen.push((none.body.clone(), none.header("www-authenticate").to_owned()));
    let twice = world.get(&administrator, ORGANISATIONS);
    let twice = twice.add_header("authorization", &format!("Bearer {good}")).expect(401).await;
    seen.push((twice.body.clone(), twice.header("www-authenticate").to_owned()));
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    for scheme in ["Bearer", "token"] {
        let call = world.anonymous("GET", ORGANISATIONS);
        call.header("authorization", &format!("{scheme} {good}")).expect(200).await;
    }
}

#[tokio::test]
async fn a_token_ends_by_its_date_and_by_being_revoked() {
    let world = World::new().await;
    let (made, text) =
        platform::administrators::create(&world.app, "short", Some("1h")).await.unwrap();
    assert!(text.starts_with("tc_adm_") && text.len() == 47);
    let short = Person { subject: made.id, token: text.to_string(), organisation: String::new() };
    let other = world.administrator().await;
    world.get(&short, REGIONS).expect(200).await;
    world.set_now(NOON + 3_600_000_000);
    world.get(&short, REGIONS).expect(401).await;
    world.get(&other, REGIONS).expect(200).await;
    coffer_server::jobs::flush_last_use(&world.app).await.unwrap();
    let known = platform::administrators::list(&world.app).await.unwrap();
    let used: Vec<_> = known.iter().map(|one| one.last_used_at).collect();
    assert!(used.contains(&Some(NOON)) && used.contains(&Some(NOON + 3_600_000_000)), "{used:?}");
    platform::administrators::delete(&world.app, &other.subject).await.unwrap();
    world.get(&other, REGIONS).expect(401).await;
    for bad in ["", "tomorrow", "0d", "-1d", "2020-01-01T00:00:00Z"] {
        assert!(
            platform::administrators::create(&world.app, "x", Some(bad)).await.is_err(),
            "{bad}"
        );
    }
    assert!(platform::administrators::create(&world.app, " ", None).await.is_err());
    assert!(platform::administrators::delete(&world.app, "adm-none").await.is_err());
}

#[tokio::test]
async fn a_revocation_while_the_body_comes_is_heeded() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    let (app, id) = (world.app.clone(), administrator.subject.clone());
    let late = world.patch(&administrator, ACME).json(json!({"gates": {"kms": false}}));
    let revoked = async move { platform::administrators::delete(&app, &id).await.unwrap() };
    assert_eq!(late.send_after(revoked).await.status, 401);
    world.get(&world.owner, "/v1/kms/nl-01/keys").expect(200).await;
}

#[tokio::test]
async fn failures_count_against_the_address() {
    let world = World::with(|config| config.limits.auth_failures_per_minute = 3).await;
    for _ in 0..3 {
        world.anonymous("GET", REGIONS).from("203.0.113.9").expect(401).await;
    }
    world.anonymous("GET", REGIONS).from("203.0.113.9").expect(429).await;
    world.get(&world.administrator().await, REGIONS).from("203.0.113.9").expect(200).await;
}

#[tokio::test]
async fn an_organisation_is_made_with_its_owner() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    let body = json!({"name": "New Corp", "ownerEmail": "o@new.example", "ownerName": "Olga"});
    let made = world.post(&administrator, ORGANISATIONS).json(body.clone()).expect(201).await.body;
    assert_eq!((&made["slug"], &made["name"]), (&json!("new-corp"), &json!("New Corp")));
    assert_eq!(made["gates"], json!({"secrets": true, "kms": true, "projects": true}));
    assert_eq!(made["owner"]["name"], "Olga");
    assert_eq!(made["quotas"].as_array().unwrap().len(), 4);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    let owner = Person {
        subject: String::new(),
        token: text("token"),
        organisation: "new-corp".to_owned(),
    };
    world.key(&owner, "default").await;
    let roles = world.get(&owner, "/v1/iam/roles").expect(200).await.body;
    assert!(roles.as_array().unwrap().len() > 10, "system roles");
    let mine = world.get(&owner, "/v1/me/organisation-memberships").expect(200).await.body;
    assert_eq!((&mine[0]["role"], mine.as_array().unwrap().len()), (&json!("OWNER"), 1));
    world
        .get(&owner, "/v1/kms/nl-01/keys")
        .header("x-organisation-identity", &world.acme.id)
        .expect(403)
        .await;
    world.post(&administrator, ORGANISATIONS).json(body).expect(409).await;
    for (field, bad) in [
        ("slug", json!("Not A Slug")),
        ("slug", json!(world.acme.id)),
        ("slug", json!("acme/x")),
        ("name", json!("")),
        ("name", json!("---")),
        ("ownerEmail", json!("nobody")),
        ("unknown", json!(1)),
    ] {
        let mut body = json!({"name": "Other", "ownerEmail": "o@other.example"});
        body[field] = bad;
        let told = world.post(&administrator, ORGANISATIONS).json(body.clone()).expect(400).await;
        assert!(!told.message().is_empty(), "{body}");
    }
    let listed = world.get(&administrator, ORGANISATIONS).expect(200).await.body;
    let slugs: Vec<_> = listed.as_array().unwrap().iter().map(|one| &one["slug"]).collect();
    assert_eq!(slugs.len(), 3, "{slugs:?}");
    for reference in ["new-corp", &text("identity")] {
        let url = format!("{ORGANISATIONS}/{reference}");
        let read = world.get(&administrator, &url).expect(200).await.body;
        assert_eq!(
            (&read["identity"], &read["quotas"][0]["name"]),
            (&made["identity"], &json!("iam.service-accounts"))
        );
    }
    world.get(&administrator, &format!("{ORGANISATIONS}/none")).expect(404).await;
    let log = world.get(&owner, "/v1/audit?action=platform.organisation.create").expect(200).await;
    assert_eq!(log.body["totalItems"], 1, "in the new organisation's own log");
}

#[tokio::test]
async fn a_gate_is_in_effect_with_the_next_call() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    world.secret("/app/a", "v").await;
    let value = "/v1/secrets/nl-01/secret/app/a/value";
    let keys = "/v1/kms/nl-01/keys";
    for (gates, secrets, kms, told) in [
        (json!({}), 200, 200, ""),
        (json!({"secrets": false}), 403, 200, "Secrets Manager is not enabled"),
        (json!({"kms": false}), 403, 403, "Secrets Manager is not enabled"),
        (json!({"secrets": true}), 403, 403, "KMS must be enabled"),
        (json!({"kms": true, "projects": false}), 200, 200, ""),
    ] {
        let changed = world.patch(&administrator, ACME).json(json!({"gates": gates}));
        let changed = changed.expect(200).await.body;
        for (gate, on) in gates.as_object().unwrap() {
            assert_eq!(changed["gates"][gate], *on);
        }
        let revealed = world.post(&world.owner, value).expect(secrets).await;
        assert!(revealed.message().contains(told), "{gates}: {}", revealed.text);
        world.get(&world.owner, keys).expect(kms).await;
        world.get(&world.stranger, keys).expect(200).await;
    }
    for bad in [
        json!({"gates": {"secret": false}}),
        json!({"gates": {"kms": "off"}}),
        json!({"gate": {"kms": false}}),
        json!({"quotas": {"secrets": 1}}),
        json!({"quotas": {"kms.keys": -1}}),
        json!({"gates": {"kms": false}, "quotas": {"kms.keys": 1.5}}),
    ] {
        world.patch(&administrator, ACME).json(bad).expect(400).await;
    }
    world.get(&world.owner, keys).expect(200).await;
}

fn region<'j>(listed: &'j Json, slug: &str) -> &'j Json {
    listed.as_array().unwrap().iter().find(|region| region["slug"] == slug).unwrap()
}

#[tokio::test]
async fn a_region_is_switched_over_the_configuration() {
    let mut world = World::new().await;
    let administrator = world.administrator().await;
    world.secret("/app/a", "v").await;
    let value = "/v1/secrets/nl-01/secret/app/a/value";
    let off = world.patch(&administrator, NL).json(json!({"kms": false})).expect(200).await.body;
    assert_eq!(
        (&off["kms"], &off["kmsConfigured"], &off["kmsSwitch"]),
        (&json!(false), &json!(true), &json!(false))
    );
    world.post(&world.owner, value).expect(503).await;
    let root = world.root.clone();
    let configured = world.app.config.regions.clone();
    for _ in 0..2 {
        world.restart(&[&root]).await.unwrap();
        platform::configure_regions(&world.app, &configured).await.unwrap();
        world.post(&world.owner, value).expect(503).await;
    }
    let de = world.patch(&administrator, "/v1/platform/regions/de-01").json(json!({"kms": true}));
    assert_eq!(de.expect(200).await.body["kms"], true);
    platform::configure_regions(&world.app, &configured).await.unwrap();
    world.get(&world.owner, "/v1/kms/de-01/keys").expect(200).await;
    // Back to what the configuration says, which may have changed by now.
    for slug in ["nl-01", "de-01"] {
        let url = format!("{REGIONS}/{slug}");
        world.patch(&administrator, &url).json(json!({"kms": null})).expect(200).await;
    }
    world.post(&world.owner, value).expect(200).await;
    world.get(&world.owner, "/v1/kms/de-01/keys").expect(503).await;
    for (bad, status) in
        [(json!({}), 400), (json!({"kms": "on"}), 400), (json!({"kms": true, "x": 1}), 400)]
    {
        world.patch(&administrator, NL).json(bad).expect(status).await;
    }
    let none = format!("{REGIONS}/none");
    world.patch(&administrator, &none).json(json!({"kms": true})).expect(404).await;
}

#[tokio::test]
async fn a_region_that_is_no_longer_configured_stays_off() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    world.patch(&administrator, NL).json(json!({"kms": true})).expect(200).await;
    let only = [RegionConfig { slug: "de-01".into(), name: None, kms: false }];
    platform::configure_regions(&world.app, &only).await.unwrap();
    world.get(&world.owner, "/v1/kms/nl-01/keys").expect(503).await;
    let listed = world.get(&administrator, REGIONS).expect(200).await.body;
    let nl = region(&listed, "nl-01");
    assert_eq!((&nl["configured"], &nl["kms"]), (&json!(false), &json!(false)));
    world.patch(&administrator, NL).json(json!({"kms": true})).expect(409).await;
    world.get(&world.owner, "/v1/kms/nl-01/keys").expect(503).await;
    platform::configure_regions(&world.app, &world.app.config.regions).await.unwrap();
    world.get(&world.owner, "/v1/kms/nl-01/keys").expect(200).await;
}

#[tokio::test]
async fn what_administrators_do_is_recorded_for_both() {
    let world = World::new().await;
    let administrator = world.administrator().await;
    world.patch(&administrator, ACME).json(json!({"gates": {"projects": false}})).expect(200).await;
    world.patch(&administrator, ACME).json(json!({"gates": {"x": false}})).expect(400).await;
    world.get(&administrator, ACME).expect(200).await;
    world.patch(&administrator, NL).json(json!({"kms": true})).expect(200).await;
    world.anonymous("GET", REGIONS).expect(401).await;
    let theirs = world.audit("action=platform.organisation.update,platform.organisation.get").await;
    let statuses: Vec<_> = theirs.iter().map(|one| &one["context"]["status"]).collect();
    assert_eq!(statuses, [400, 200], "what changes them, in their own log");
    assert_eq!(theirs[0]["context"]["credentials_type"], "administrator_token");
    let log = world.get(&administrator, "/v1/platform/audit").expect(200).await.body;
    let ours: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            (text("principalKind"), text("action"), one["context"]["status"].as_i64().unwrap())
        })
        .collect();
    let by = |kind: &str, action: &str, status| (kind.to_owned(), action.to_owned(), status);
    assert_eq!(
        ours[..6],
        [
            by("", "auth.failure", 401),
            by("administrator", "platform.region.update", 200),
            by("administrator", "platform.organisation.get", 200),
            by("administrator", "platform.organisation.update", 400),
            by("administrator", "platform.organisation.update", 200),
            by("system", "platform.administrator.create", 201),
        ]
    );
    let one = world.get(&administrator, "/v1/platform/audit?limit=1&action=platform.region.update");
    let one = one.expect(200).await.body;
    assert_eq!(
        (&one["totalItems"], &one["items"][0]["resourceIdentity"]),
        (&json!(1), &json!("nl-01"))
    );
    assert_eq!(one["items"][0]["principalIdentity"], *administrator.subject);
    for (query, status, total) in [
        ("responseStatus=418", 200, json!(0)),
        ("responseStatus=400", 200, json!(1)),
        ("resourceIdentity=acme&responseStatus=200", 200, json!(2)),
        ("limit=0", 400, Json::Null),
    ] {
        let url = format!("/v1/platform/audit?{query}");
        let found = world.get(&administrator, &url).expect(status).await.body;
        assert_eq!(found["totalItems"], total, "{query}");
    }
}
