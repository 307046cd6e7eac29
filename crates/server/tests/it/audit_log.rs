//! The audit log (contract, sections 7 and 14, 17, 44, 49): what is recorded, who reads it, how.

use serde_json::{Value as Json, json};

use crate::world::{NOON, World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";
const SECRET: &str = "/v1/secrets/nl-01/secret/app/a";
const SECRETS: &str = "/v1/secrets/nl-01/secrets";

/// The numbers of records, of every organisation and of none.
fn count(world: &World) -> i64 {
    world.count("SELECT COUNT(*) FROM audit_events")
}

/// A field of each record.
fn each(records: &[Json], pointer: &str) -> Vec<String> {
    let text = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    records.iter().map(|record| record.pointer(pointer).map(text).unwrap_or_default()).collect()
}

#[tokio::test]
async fn each_operation_leaves_exactly_its_actions() {
    let world = World::new().await;
    let (key, made) = (world.acme.key.clone(), format!("{KEYS}/made"));
    let sealed = world.post(&world.owner, &format!("{KEYS}/default/encrypt"));
    let sealed = sealed.json(json!({"plaintext": "eA=="})).expect(200).await.body;
    let create = json!({"path": "/app/a", "kmsKeyIdentity": key, "secretString": base64("v")});
    let policy = json!({"accessPolicy": {"conditions":
        [{"type": "ip", "effect": "allow", "cidrs": ["127.0.0.0/8"]}]}});
    for (method, url, body, expected) in [
        ("POST", SECRETS, create, &["secrets.create", "kms.encrypt"][..]),
        ("GET", SECRET, json!(null), &["secrets.get"]),
        ("GET", "/v1/secrets/nl-01/secrets?path=/app", json!(null), &["secrets.list"]),
        ("GET", "/v1/secrets/nl-01/secrets?pathPrefix=/", json!(null), &["secrets.list"]),
        (
            "POST",
            &format!("{SECRET}/value"),
            json!(null),
            &["secrets.getSecretValue", "kms.decrypt"],
        ),
        (
            "POST",
            &format!("{SECRET}/versions"),
            json!({"secretString": base64("w")}),
            &["secrets.putSecretValue", "kms.encrypt"],
        ),
        ("PATCH", SECRET, json!({"description": "d"}), &["secrets.update"]),
        ("PUT", &format!("{SECRET}/policy"), policy, &["secrets.policy.update"]),
        (
            "PUT",
            &format!("{SECRET}/policy"),
            json!({"accessPolicy": null}),
            &["secrets.policy.clear"],
        ),
        (
            "PUT",
            &format!("{SECRET}/policy"),
            json!({"accessPolicy": {}}),
            &["secrets.policy.clear"],
        ),
        (
            "DELETE",
            &format!("{SECRET}/versions?version=1"),
            json!(null),
            &["secrets.version.destroy"],
        ),
        ("DELETE", SECRET, json!(null), &["secrets.delete"]),
        ("POST", KEYS, json!({"name": "made"}), &["kms.create"]),
        ("GET", KEYS, json!(null), &["kms.list"]),
        ("GET", &made, json!(null), &["kms.get"]),
        ("POST", &format!("{made}/encrypt"), json!({"plaintext": "eA=="}), &["kms.encrypt"]),
        (
            "POST",
            &format!("{KEYS}/default/decrypt"),
            json!({"ciphertext": sealed["ciphertext"]}),
            &["kms.decrypt"],
        ),
        ("POST", &format!("{made}/rotate"), json!(null), &["kms.rotate"]),
        ("POST", &format!("{made}/disable"), json!(null), &["kms.disable"]),
        ("POST", &format!("{made}/enable"), json!(null), &["kms.enable"]),
        ("GET", "/v1/kms/summary", json!(null), &["kms.summary"]),
    ] {
        let before = world.audit("").await.len();
        let call = world.ask(method, &world.owner, url);
        let answer = if body.is_null() { call } else { call.json(body) }.send().await;
        assert!(answer.status < 300, "{method} {url}: {}", answer.text);
        let records = world.audit("").await;
        // The search before left a record of its own.
        let new: Vec<_> = records[..records.len() - before - 1].iter().rev().cloned().collect();
        assert_eq!(each(&new, "/action"), expected, "{method} {url}");
        assert_eq!(new[0]["context"]["status"], answer.status, "{method} {url}");
        let identity = answer.body["identity"].as_str();
        for record in &new {
            let action = record["action"].as_str().unwrap();
            let kind = if action.starts_with("kms.") { "kms_key" } else { "secret" };
            assert_eq!(record["resourceType"], kind, "{action}");
            if kind == "secret" && action != "secrets.list" {
                assert_eq!(record["resourceIdentity"], "/app/a", "{action}");
            } else if let Some(identity) = identity {
                assert_eq!(record["resourceIdentity"], identity, "{action}");
            } else if kind == "kms_key" && url.starts_with("/v1/secrets") {
                assert_eq!(record["resourceIdentity"], key.as_str(), "{action}");
            }
            assert!(record.get("description").is_none(), "a success has no reason");
        }
    }
}

#[tokio::test]
async fn whom_an_organisation_trusts_is_recorded() {
    let world = World::new().await;
    let (providers, identities) = ("/v1/federated-identity-providers", "/v1/federated-identities");
    world.post(&world.owner, "/v1/service-accounts").json(json!({"name": "ci"})).expect(201).await;
    let request = json!({"name": "x", "providerIssuer": "https://issuer.example.com"});
    let provider = world.post(&world.owner, providers).json(request).expect(201).await.body;
    let request = json!({"name": "x", "serviceAccountIdentity": "ci",
        "providerIdentity": provider["identity"], "providerSubject": "s"});
    let identity = world.post(&world.owner, identities).json(request).expect(201).await.body;
    for (collection, made, kind) in
        [(identities, &identity, "federated_identity"), (providers, &provider, "identity_provider")]
    {
        let id = made["identity"].as_str().unwrap();
        let url = format!("{collection}/{id}");
        world.get(&world.owner, collection).expect(200).await;
        world.get(&world.owner, &url).expect(200).await;
        world.put(&world.owner, &url).json(json!({"status": "inactive"})).expect(200).await;
        world.delete(&world.owner, &url).expect(204).await;
        let found = world.audit(&format!("resourceIdentity={id}")).await;
        let named = |verb: &str| format!("iam.{}.{verb}", kind.replace('_', "-"));
        assert_eq!(each(&found, "/action"), ["delete", "update", "get", "create"].map(named));
        assert!(each(&found, "/resourceType").iter().all(|found| found == kind));
        let listed = world.audit(&format!("action={}", named("list"))).await;
        assert_eq!(listed.len(), 1);
    }
}

#[tokio::test]
async fn deleting_a_key_and_taking_it_back_are_recorded() {
    let world = World::new().await;
    let url = format!("{KEYS}/{}", world.acme.key);
    world.delete(&world.owner, &url).expect(200).await;
    world.delete(&world.owner, &format!("{url}/cancel-deletion")).expect(200).await;
    let found = world.audit(&format!("resourceIdentity={}", world.acme.key)).await;
    assert_eq!(each(&found, "/action"), ["kms.cancel-deletion", "kms.delete", "kms.create"]);
}

#[tokio::test]
async fn what_does_not_succeed_is_recorded_under_the_same_action() {
    let world = World::new().await;
    world.secret("/app/a", "v").await;
    world.secret("/app/office", "v").await;
    let policy = json!({"accessPolicy": {"conditions":
        [{"type": "ip", "effect": "allow", "cidrs": ["10.0.0.0/8"]}]}});
    let office = "/v1/secrets/nl-01/secret/app/office";
    world.put(&world.owner, &format!("{office}/policy")).json(policy).expect(200).await;
    let (owner, nobody) = (&world.owner, &world.nobody);
    let duplicate = json!({"path": "/app/a", "kmsKeyIdentity": "default",
        "secretString": base64("v")});
    for (call, status, action, resource, reason) in [
        (world.get(nobody, SECRET), 403, "secrets.get", "/app/a", "no grant for secrets.get"),
        (
            world.post(nobody, &format!("{SECRET}/value")),
            403,
            "secrets.getSecretValue",
            "/app/a",
            "no grant",
        ),
        (world.get(nobody, SECRETS), 403, "secrets.list", "/", "no grant"),
        (
            world.get(nobody, &format!("{KEYS}/default")),
            404,
            "kms.get",
            world.acme.key.as_str(),
            "no grant for kms.get",
        ),
        (world.get(nobody, "/v1/audit"), 403, "audit.list", "", "no grant"),
        (
            world.post(owner, &format!("{office}/value")),
            403,
            "secrets.getSecretValue",
            "/app/office",
            "",
        ),
        (
            world.get(owner, "/v1/secrets/nl-01/secret/app/none"),
            404,
            "secrets.get",
            "/app/none",
            "not found",
        ),
        (world.get(owner, &format!("{KEYS}/none")), 404, "kms.get", "none", "not found"),
        (
            world.get(owner, "/v1/secrets/fr-01/secret/app/a"),
            404,
            "secrets.get",
            "/app/a",
            "region not found",
        ),
        (world.get(owner, "/v1/secrets/nl-01/secret/app/"), 400, "secrets.get", "", ""),
        (world.post(owner, SECRETS).json(duplicate), 409, "secrets.create", "/app/a", "exists"),
        (
            world.post(owner, &format!("{SECRET}/versions")).raw(b"{"),
            400,
            "secrets.putSecretValue",
            "/app/a",
            "JSON",
        ),
        (
            world.delete(owner, SECRET).header("if-match", "\"9\""),
            412,
            "secrets.delete",
            "/app/a",
            "",
        ),
        (
            world.delete(owner, &format!("{KEYS}/default/cancel-deletion")),
            400,
            "kms.cancel-deletion",
            world.acme.key.as_str(),
            "",
        ),
        (world.get(owner, "/v1/kms/de-01/keys"), 503, "kms.list", "", ""),
    ] {
        let before = count(&world);
        call.expect(status).await;
        assert_eq!(count(&world), before + 1, "{action} {status}: one record");
        let newest = world.audit("").await.remove(0);
        assert_eq!(newest["action"], action, "{status}");
        assert_eq!(newest["context"]["status"], status, "{action}");
        assert_eq!(newest["resourceIdentity"].as_str().unwrap_or_default(), resource, "{action}");
        let told = newest["description"].as_str().unwrap_or_default();
        assert!(!told.is_empty() && told.contains(reason), "{action} {status}: {told}");
    }
}

#[tokio::test]
async fn a_gate_that_is_off_is_recorded() {
    let world = World::new().await;
    world.set_gates([false, false, true]).await;
    world.get(&world.owner, SECRET).expect(403).await;
    world.get(&world.owner, KEYS).expect(403).await;
    let found = world.audit("responseStatus=403").await;
    assert_eq!(each(&found, "/action"), ["kms.list", "secrets.get"]);
    assert!(each(&found, "/description").iter().all(|reason| reason.contains("not enabled")));
}

#[tokio::test]
async fn a_failed_authentication_is_recorded_without_an_organisation() {
    let world = World::new().await;
    let call = world.anonymous("POST", &format!("{SECRET}/value")).from("203.0.113.7");
    let call = call.header("x-organisation-identity", &world.acme.id);
    call.header("authorization", "Bearer tc_pat_wrong").expect(401).await;
    let sql =
        "SELECT organisation_id, principal_id, credential_id, outcome, client, url_path, reason
        FROM audit_events WHERE action = 'auth.failure'";
    let row: [String; 7] = world.select(sql).remove(0).try_into().unwrap();
    let [organisation, principal, credential, outcome, client, path, reason] = row;
    assert_eq!([organisation, principal, credential], ["", "", ""]);
    assert_eq!((&*outcome, &*client), ("unauthenticated", "203.0.113.7"));
    assert_eq!(path, format!("{SECRET}/value"));
    assert!(!reason.is_empty() && !reason.contains("tc_pat"), "{reason}");
    assert!(world.audit("action=auth.failure").await.is_empty(), "not in an organisation's log");
}

#[tokio::test]
async fn filters_narrow_a_search() {
    let world = World::new().await;
    world.secret("/app/a", "v").await;
    world.secret("/app/b", "v").await;
    world.post(&world.owner, &format!("{SECRET}/value")).expect(200).await;
    world.get(&world.nobody, SECRET).expect(403).await;
    world.get(&world.owner, "/v1/secrets/nl-01/secret/app/None").expect(404).await;
    world.sql(&format!(
        "INSERT INTO audit_events SELECT organisation_id, at, 'ev-z', '', 'system', 'clock',
         'kms.rotate', 'kms_key', 'kms-1', 'ok', '', '', '', '', '', '', '', '', 0, NULL, NULL, NULL
         FROM audit_events WHERE organisation_id = '{}' LIMIT 1",
        world.acme.id
    ));
    let (owner, nobody) = (&world.owner.subject, &world.nobody.subject);
    for (query, expected) in [
        ("action=secrets.create".to_owned(), 2),
        ("action=secrets.create,secrets.getSecretValue".into(), 3),
        ("action=secrets.create%2C%20secrets.getSecretValue".into(), 3),
        ("action=secrets".into(), 0),
        ("action=SECRETS.CREATE".into(), 0),
        ("resourceType=secret".into(), 5),
        ("resourceType=secret,kms_key".into(), 9),
        ("resourceType=secre".into(), 0),
        ("resourceIdentity=/app/a".into(), 3),
        ("resourceIdentity=%2Fapp%2Fa".into(), 3),
        ("resourceIdentity=/app".into(), 0),
        (format!("resourceType=secret&userIdentity={owner}"), 4),
        (format!("resourceType=secret&userIdentity={nobody}"), 1),
        ("resourceType=secret&userIdentity=usr-1".into(), 0),
        ("resourceType=secret&serviceAccount=sa-1".into(), 0),
        ("resourceType=secret&responseStatus=403".into(), 1),
        ("resourceType=secret&responseStatus=404".into(), 1),
        ("resourceType=secret&responseStatus=201".into(), 2),
        ("resourceType=secret&responseStatus=418".into(), 0),
        ("resourceType=secret&searchText=getsecretvalue".into(), 1),
        ("resourceType=secret&searchText=APP/NONE".into(), 1),
        ("resourceType=secret&searchText=app".into(), 5),
        ("resourceType=secret&searchText=%25".into(), 0),
        ("resourceType=secret&searchText=_pp".into(), 0),
        ("resourceType=secret&impersonatorIdentity=usr-1".into(), 0),
        (format!("resourceType=secret&organizationIdentity={}", world.acme.id), 5),
        ("resourceType=secret&organizationIdentity=acme".into(), 5),
        (format!("resourceType=secret&organizationIdentity={}", world.globex.id), 0),
        ("resourceIdentity=kms-1".into(), 0),
        ("resourceIdentity=kms-1&includeSystemServices=false".into(), 0),
        ("resourceIdentity=kms-1&includeSystemServices=true".into(), 1),
    ] {
        assert_eq!(world.audit(&query).await.len(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_search_is_paged_newest_first() {
    let world = World::new().await;
    for at in 0..5 {
        world.set_now(NOON + at * 1_000_000);
        world.secret(&format!("/app/{at}"), "v").await;
    }
    let mut found = Vec::new();
    for (page, items) in [(1, 2), (2, 2), (3, 1), (4, 0)] {
        let url = format!("/v1/audit?action=secrets.create&limit=2&page={page}");
        let answer = world.get(&world.owner, &url).expect(200).await.body;
        let mut rest = answer.clone();
        let got = rest["items"].take().as_array().unwrap().clone();
        assert_eq!(got.len(), items, "{page}");
        let totals = json!({"items": null, "totalItems": 5, "totalCount": 5, "page": page,
            "itemsPerPage": 2, "totalPages": 3});
        assert_eq!(rest, totals);
        found.extend(got);
    }
    let paths = each(&found, "/resourceIdentity");
    assert_eq!(paths, ["/app/4", "/app/3", "/app/2", "/app/1", "/app/0"]);
    assert!(each(&found, "/createdAt").is_sorted_by(|a, b| a >= b));
}

#[tokio::test]
async fn bounds_of_a_search() {
    let world = World::new().await;
    let plain = world.get(&world.owner, "/v1/audit").expect(200).await.body;
    assert_eq!((&plain["page"], &plain["itemsPerPage"]), (&json!(1), &json!(100)));
    for (query, expected) in [
        ("limit=1", 200),
        ("limit=500", 200),
        ("limit=0", 400),
        ("limit=501", 400),
        ("limit=-1", 400),
        ("limit=x", 400),
        ("page=1", 200),
        ("page=0", 400),
        ("page=-1", 400),
        ("page=x", 400),
        ("responseStatus=x", 400),
        ("includeSystemServices=maybe", 400),
        ("action=a&action=b", 400),
    ] {
        world.get(&world.owner, &format!("/v1/audit?{query}")).expect(expected).await;
    }
}

/// The log says what was given to whom: by identities, for as long as it is kept.
#[tokio::test]
async fn a_grant_is_told_in_full() {
    let world = World::new().await;
    let post = async |url: &str, body: Json| {
        world.post(&world.owner, url).json(body).expect(201).await.body["identity"].clone()
    };
    let newest = async || world.audit("").await[0]["description"].as_str().unwrap().to_owned();
    post("/v1/iam/roles", json!({"name": "r"})).await;
    let rule =
        json!({"resources": ["secret"], "resourceIdentities": ["/a/*"], "permissions": ["read"]});
    let rule = post("/v1/iam/roles/r/rules", rule).await;
    assert_eq!(newest().await, format!("rule {}: read on secret /a/*", rule.as_str().unwrap()));
    let somebody = &world.nobody.subject;
    let binding = post("/v1/iam/roles/r/bindings", json!({"userIdentity": somebody})).await;
    assert_eq!(newest().await, format!("binding {} of user {somebody}", binding.as_str().unwrap()));
    post("/v1/teams", json!({"name": "t"})).await;
    post("/v1/teams/t/members", json!({"userIdentity": somebody})).await;
    assert_eq!(newest().await, format!("user {somebody} as MEMBER"));
    post("/v1/service-accounts", json!({"name": "ci"})).await;
    let credential = post("/v1/service-accounts/ci/access-credentials", json!({})).await;
    assert_eq!(newest().await, format!("credential {}", credential.as_str().unwrap()));
    world.delete(&world.owner, &format!("/v1/teams/t/members/{somebody}")).expect(204).await;
    assert_eq!(newest().await, format!("user {somebody}"));
}

/// A user's token is good in each of the user's organisations, so each of them is told.
#[tokio::test]
async fn a_token_is_told_wherever_it_is_good() {
    let world = World::new().await;
    let (subject, member) = (world.owner.subject.clone(), world.fresh_id("m-"));
    world
        .write(&world.globex.id, async move |tx| {
            use coffer_server::model::identity::MemberRole::Member;
            tx.insert_member(&member, &subject, Member, NOON).await
        })
        .await;
    let tokens = "/v1/me/personal-access-tokens";
    let made = world.post(&world.owner, tokens).without("x-organisation-identity");
    let made = made.json(json!({"name": "quiet"})).expect(201).await.body["identity"].clone();
    let url = format!("{tokens}/{}", made.as_str().unwrap());
    world.delete(&world.owner, &url).expect(204).await;
    for by in [&world.owner, &world.stranger] {
        let query = "/v1/audit?action=iam.token.create,iam.token.delete";
        let found = world.get(by, query).expect(200).await.body["items"].clone();
        let actions: Vec<_> = found.as_array().unwrap().iter().map(|e| &e["action"]).collect();
        assert_eq!(actions, ["iam.token.delete", "iam.token.create"]);
        assert!(found.as_array().unwrap().iter().all(|e| e["resourceIdentity"] == made));
    }
}

#[tokio::test]
async fn invites_quotas_and_explanations_leave_their_actions() {
    let world = World::new().await;
    let explain = "/v1/secrets/nl-01/explain?permission=read&path=/app/a";
    let invite = json!({"email": "new@acme.example"});
    let more = json!({"name": "kms.keys", "newMaxUsage": 20_000});
    for (method, url, body, action, kind, resource) in [
        ("GET", explain, json!(null), "secrets.explain", "secret", "/app/a"),
        ("GET", "/v1/quotas", json!(null), "quotas.list", "organisation", ""),
        ("GET", "/v1/quotas/kms.keys", json!(null), "quotas.get", "organisation", "kms.keys"),
        (
            "POST",
            "/v1/quotas/increase-requests",
            more,
            "quotas.increase.create",
            "organisation",
            &*world.acme.id,
        ),
        ("GET", "/v1/invites", json!(null), "iam.invite.list", "membership", ""),
        ("POST", "/v1/invites", invite, "iam.invite.create", "membership", "inv-"),
    ] {
        let call = world.ask(method, &world.owner, url);
        let answer = if body.is_null() { call } else { call.json(body) }.send().await;
        assert!(answer.status < 300, "{method} {url}: {}", answer.text);
        let newest = world.audit("").await.remove(0);
        assert_eq!((&newest["action"], &newest["resourceType"]), (&json!(action), &json!(kind)));
        let about = newest["resourceIdentity"].as_str().unwrap_or_default();
        assert!(about == resource || (resource == "inv-" && about.starts_with("inv-")), "{about}");
    }
    for (call, status, action) in [
        (world.get(&world.nobody, explain), 403, "secrets.explain"),
        (world.get(&world.nobody, "/v1/invites"), 403, "iam.invite.list"),
        (world.delete(&world.owner, "/v1/invites/none"), 404, "iam.invite.delete"),
        (world.get(&world.owner, "/v1/quotas/none"), 404, "quotas.get"),
        (
            world.post(&world.owner, "/v1/quotas/increase-requests").json(json!({})),
            400,
            "quotas.increase.create",
        ),
    ] {
        let before = count(&world);
        call.expect(status).await;
        assert_eq!(count(&world), before + 1, "{action}: one record");
        let newest = world.audit("").await.remove(0);
        assert_eq!(
            (&newest["action"], &newest["context"]["status"]),
            (&json!(action), &json!(status))
        );
    }
}

#[tokio::test]
async fn a_nul_character_is_refused_and_recorded_on_either_store() {
    let world = World::new().await;
    let before = count(&world);
    world.get(&world.owner, &format!("{KEYS}/a%00b")).expect(400).await;
    let described = json!({"path": "/app/a", "kmsKeyIdentity": world.acme.key, "description": "a\0b",
        "secretString": base64("v")});
    world.post(&world.owner, SECRETS).json(described).expect(400).await;
    assert_eq!(count(&world), before + 2);
    let found = world.select("SELECT resource_id FROM audit_events WHERE action = 'kms.get'");
    assert!(found.concat().contains(&"a\u{fffd}b".to_owned()), "{found:?}");
}
