//! IAM policies of projects over HTTP (contract, section 4.6): what they grant, when, where and to whom.

use serde_json::{Value as Json, json};

use crate::world::{Asking, NOON, Person, World, base64};

const POLICIES: &str = "/v1/projects/iam/policies";
const REVEAL: &str = "/v1/secrets/nl-01/secret/app/a/value";
const HOUR: i64 = 3_600_000_000;

/// A world with the projects `top`, `below` (in it) and `other`, each with a secret `/app/a`.
async fn prepared() -> World {
    let world = World::new().await;
    for (name, parent) in [("top", ""), ("below", "top"), ("other", "")] {
        let body = json!({"name": name, "parentProjectIdentity": parent});
        world.post(&world.owner, "/v1/projects").json(body).expect(201).await;
        let key = world.post(&world.owner, "/v1/kms/nl-01/keys").project(name);
        let key = key.json(json!({"name": "k"})).expect(201).await.body;
        let secret = json!({
            "path": "/app/a", "kmsKeyIdentity": key["identity"], "secretString": base64(name)
        });
        let create = world.post(&world.owner, "/v1/secrets/nl-01/secrets").project(name);
        create.json(secret).expect(201).await;
    }
    world
}

async fn reveals(world: &World, by: &Person, project: &str) -> u16 {
    world.post(by, REVEAL).project(project).send().await.status
}

fn reader(name: &str) -> Json {
    json!({"name": name, "rules": [
        {"resources": ["secret"], "resourceIdentities": ["/app/*"], "permissions": ["getSecretValue"]}
    ]})
}

/// Makes a policy in `top`: its URL.
async fn policy(world: &World, by: &Person, body: Json) -> String {
    let made = world.post(by, POLICIES).project("top").json(body).expect(201).await;
    format!("{POLICIES}/{}", made.body["identity"].as_str().unwrap())
}

fn bind<'w>(world: &'w World, by: &Person, policy: &str, more: Json) -> Asking<'w> {
    world.post(by, &format!("{policy}/bindings")).project("top").json(more)
}

#[tokio::test]
async fn a_policy_is_made_changed_and_deleted() {
    let world = prepared().await;
    let body = json!({
        "name": "Prod Readers", "description": "d", "labels": {"a": "b"}, "annotations": {"c": "d"},
        "conditionals": {"allowed": [{"type": "ip", "ips": ["10.0.0.0/8"]}]}
    });
    let made = world.post(&world.owner, POLICIES).project("top").json(body.clone());
    let made = made.expect(201).await.body;
    assert_eq!((&made["slug"], &made["system"]), (&json!("prod-readers"), &json!(false)));
    assert_eq!((&made["isReadOnly"], &made["replicateToChildren"]), (&json!(false), &json!(false)));
    assert_eq!(made["conditionals"], body["conditionals"]);
    assert_eq!(made["project"]["slug"], "top");
    let url = format!("{POLICIES}/prod-readers");
    assert_eq!(world.get(&world.owner, &url).project("top").expect(200).await.body, made);
    world.get(&world.owner, &url).project("other").expect(404).await;
    world.post(&world.owner, POLICIES).project("top").json(body.clone()).expect(409).await;
    world.post(&world.owner, POLICIES).project("other").json(body).expect(201).await;
    let changed = world.put(&world.owner, &url).project("top");
    let changed =
        changed.json(json!({"description": "e", "name": "ignored"})).expect(200).await.body;
    assert_eq!((&changed["description"], &changed["name"]), (&json!("e"), &made["name"]));
    assert_eq!(changed["conditionals"], made["conditionals"]);
    let cleared = world.put(&world.owner, &url).project("top").json(json!({"conditionals": null}));
    assert!(cleared.expect(200).await.body.get("conditionals").is_none());
    let listed = world.get(&world.owner, POLICIES).project("top").expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 15, "the catalogue and this one");
    assert!(listed.as_array().unwrap().iter().all(|policy| policy.get("rules").is_none()));
    for bad in [
        json!({}),
        json!({"name": "resources"}),
        json!({"name": "x", "conditionals": {"allowed": [{"type": "moon"}]}}),
        json!({"name": "x", "conditionals": {"statements": [{"effect": "allow"}]}}),
        json!({"name": "x", "rules": [{"resources": ["secret"], "permissions": ["reveal"]}]}),
    ] {
        world.post(&world.owner, POLICIES).project("top").json(bad).expect(400).await;
    }
    world.delete(&world.owner, &url).project("top").expect(204).await;
    world.get(&world.owner, &url).project("top").expect(404).await;
}

#[tokio::test]
async fn a_policy_grants_in_its_project_alone_and_at_once() {
    let world = prepared().await;
    let (nobody, url) = (&world.nobody, policy(&world, &world.owner, reader("readers")).await);
    assert_eq!(reveals(&world, nobody, "top").await, 404);
    let bound = bind(&world, &world.owner, &url, json!({"userIdentity": nobody.subject}));
    let bound = bound.expect(201).await.body;
    assert_eq!(bound["user"]["subject"], *nobody.subject);
    assert_eq!(reveals(&world, nobody, "top").await, 200);
    assert_eq!(reveals(&world, nobody, "other").await, 404);
    assert_eq!(reveals(&world, nobody, "below").await, 404);
    world.post(nobody, REVEAL).expect(403).await;
    world.get(nobody, "/v1/secrets/nl-01/secret/app/a").project("top").expect(403).await;
    let rules = format!("{url}/rules");
    let more = json!({"resources": ["secret"], "resourceIdentities": [], "permissions": ["read"]});
    let rule = world.post(&world.owner, &rules).project("top").json(more).expect(201).await.body;
    world.get(nobody, "/v1/secrets/nl-01/secret/app/a").project("top").expect(200).await;
    let rule = format!("{rules}/{}", rule["identity"].as_str().unwrap());
    world.delete(&world.owner, &rule).project("top").expect(204).await;
    world.get(nobody, "/v1/secrets/nl-01/secret/app/a").project("top").expect(403).await;
    let binding = format!("{url}/bindings/{}", bound["identity"].as_str().unwrap());
    world.delete(&world.owner, &binding).project("top").expect(204).await;
    assert_eq!(reveals(&world, nobody, "top").await, 404);
}

#[tokio::test]
async fn organisation_roles_and_policies_add_up() {
    let world = prepared().await;
    let person = world.person_with("secret", &["/app/*"], &["read"]).await;
    let url = policy(&world, &world.owner, reader("readers")).await;
    bind(&world, &world.owner, &url, json!({"userIdentity": person.subject})).expect(201).await;
    let metadata = "/v1/secrets/nl-01/secret/app/a";
    for (project, read, reveal) in [("top", 200, 200), ("other", 200, 403)] {
        world.get(&person, metadata).project(project).expect(read).await;
        assert_eq!(reveals(&world, &person, project).await, reveal);
    }
}

#[tokio::test]
async fn teams_and_service_accounts_hold_policies_too() {
    let world = prepared().await;
    let url = policy(&world, &world.owner, reader("readers")).await;
    let made = world.post(&world.owner, "/v1/teams").json(json!({"name": "t"})).expect(201).await;
    let team = made.body["identity"].as_str().unwrap().to_owned();
    let members = format!("/v1/teams/{team}/members");
    let add = json!({"userIdentity": world.nobody.subject});
    world.post(&world.owner, &members).json(add).expect(201).await;
    bind(&world, &world.owner, &url, json!({"teamIdentity": "t"})).expect(201).await;
    assert_eq!(reveals(&world, &world.nobody, "top").await, 200);
    let out = format!("{members}/{}", world.nobody.subject);
    world.delete(&world.owner, &out).expect(204).await;
    assert_eq!(reveals(&world, &world.nobody, "top").await, 404);
    let account = json!({"name": "ci"});
    world.post(&world.owner, "/v1/service-accounts").json(account).expect(201).await;
    let made = world.post(&world.owner, "/v1/service-accounts/ci/access-credentials");
    let made = made.json(json!({})).expect(201).await.body;
    bind(&world, &world.owner, &url, json!({"serviceAccountIdentity": "ci"})).expect(201).await;
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    let basic = base64(format!("{}:{}", text("accessKey"), text("accessSecret")));
    let reveal = |project: &str| {
        let asking = world.anonymous("POST", REVEAL).project(project);
        let asking = asking.header("authorization", &format!("Basic {basic}"));
        asking.header("x-organisation-identity", &world.acme.id)
    };
    reveal("top").expect(200).await;
    reveal("other").expect(404).await;
    world.delete(&world.owner, "/v1/service-accounts/ci").expect(204).await;
    reveal("top").expect(401).await;
    let left = world.get(&world.owner, &format!("{url}/bindings")).project("top").expect(200).await;
    assert_eq!(left.body.as_array().unwrap().len(), 1, "the team's");
    world.delete(&world.owner, &format!("/v1/teams/{team}")).expect(204).await;
    let left = world.get(&world.owner, &format!("{url}/bindings")).project("top").expect(200).await;
    assert_eq!(left.body, json!([]));
}

#[tokio::test]
async fn a_binding_ends_when_it_says() {
    let world = prepared().await;
    let (nobody, url) = (&world.nobody, policy(&world, &world.owner, reader("readers")).await);
    let with = |more: Json| {
        let mut body = json!({"userIdentity": nobody.subject});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bind(&world, &world.owner, &url, body)
    };
    for bad in [
        json!({"duration": "soon"}),
        json!({"duration": "-1h"}),
        json!({"duration": "1h", "expiresAt": "2026-01-16T00:00:00Z"}),
        json!({"expiresAt": "2026-01-15T12:00:00Z"}),
        json!({"duration": "5000d"}),
        json!({"teamIdentity": "t"}),
    ] {
        with(bad).expect(400).await;
    }
    let bound = with(json!({"duration": "24h"})).expect(201).await.body;
    assert_eq!(bound["expiresAt"], "2026-01-16T12:00:00Z");
    world.set_now(NOON + 24 * HOUR - 1);
    assert_eq!(reveals(&world, nobody, "top").await, 200);
    world.set_now(NOON + 24 * HOUR);
    assert_eq!(reveals(&world, nobody, "top").await, 404);
    let one = format!("{url}/bindings/{}", bound["identity"].as_str().unwrap());
    let longer = world.put(&world.owner, &one).project("top").json(json!({"duration": "7d"}));
    assert_eq!(longer.expect(200).await.body["expiresAt"], "2026-01-23T12:00:00Z");
    assert_eq!(reveals(&world, nobody, "top").await, 200);
    let read = world.get(&world.owner, &one).project("top").expect(200).await.body;
    assert_eq!(read["expiresAt"], "2026-01-23T12:00:00Z");
}

#[tokio::test]
async fn conditions_decide_whether_a_policy_counts() {
    let world = prepared().await;
    let mut body = reader("office hours");
    body["conditionals"] = json!({
        "allowed": [{"type": "ip", "ips": ["10.0.0.0/8"]}],
        "denied": [{"type": "time", "time": {"startHour": 20, "endHour": 6, "timezone": "UTC"}}]
    });
    let url = policy(&world, &world.owner, body).await;
    bind(&world, &world.owner, &url, json!({"userIdentity": world.nobody.subject}))
        .expect(201)
        .await;
    let from = async |address: &str| {
        world.post(&world.nobody, REVEAL).project("top").from(address).send().await.status
    };
    assert_eq!(from("10.1.2.3").await, 200);
    assert_eq!(from("11.1.2.3").await, 404, "who holds nothing here learns of no project");
    world.set_now(NOON + 9 * HOUR);
    assert_eq!(from("10.1.2.3").await, 404);
    world.set_now(NOON);
    let open = world.put(&world.owner, &url).project("top").json(json!({"conditionals": {}}));
    open.expect(200).await;
    assert_eq!(from("11.1.2.3").await, 200);
}

#[tokio::test]
async fn a_replicated_policy_holds_below_and_is_changed_at_its_source() {
    let world = prepared().await;
    let mut body = reader("everywhere");
    body["replicateToChildren"] = json!(true);
    let url = policy(&world, &world.owner, body).await;
    bind(&world, &world.owner, &url, json!({"userIdentity": world.nobody.subject}))
        .expect(201)
        .await;
    let all = async |expected: [u16; 3]| {
        for (project, status) in ["top", "below", "other"].into_iter().zip(expected) {
            assert_eq!(reveals(&world, &world.nobody, project).await, status, "{project}");
        }
    };
    all([200, 200, 404]).await;
    let seen = world.get(&world.owner, &format!("{POLICIES}/everywhere")).project("below");
    let seen = seen.expect(200).await.body;
    assert_eq!((&seen["isReadOnly"], &seen["project"]["slug"]), (&json!(true), &json!("top")));
    assert_eq!(seen["source"]["policyIdentity"], seen["identity"]);
    let below = |method, url: &str, body: Json| {
        world.ask(method, &world.owner, url).project("below").json(body)
    };
    below("PUT", &url, json!({"description": "x"})).expect(400).await;
    below("POST", &format!("{url}/rules"), reader("x")["rules"][0].clone()).expect(400).await;
    let somebody = json!({"userIdentity": world.owner.subject});
    below("POST", &format!("{url}/bindings"), somebody).expect(400).await;
    world.delete(&world.owner, &url).project("below").expect(400).await;
    // A project's own policy of the same slug comes first there.
    let own =
        world.post(&world.owner, POLICIES).project("below").json(json!({"name": "everywhere"}));
    let own = own.expect(201).await.body;
    let seen = world.get(&world.owner, &format!("{POLICIES}/everywhere")).project("below");
    assert_eq!(seen.expect(200).await.body["identity"], own["identity"]);
    let moved = json!({"parentProjectIdentity": "top"});
    world.put(&world.owner, "/v1/projects/other").json(moved).expect(200).await;
    all([200, 200, 200]).await;
    let moved = json!({"parentProjectIdentity": ""});
    world.put(&world.owner, "/v1/projects/below").json(moved).expect(200).await;
    all([200, 404, 200]).await;
    world.delete(&world.owner, &url).project("top").expect(204).await;
    all([404, 404, 404]).await;
}

/// A person who administers policies in `top` and may reveal there.
async fn delegate(world: &World) -> Person {
    let person = world.person().await;
    let mut body = reader("delegates");
    let rules = body["rules"].as_array_mut().unwrap();
    rules.push(json!({"resources": ["iam_policy", "iam_policy_binding"], "permissions": ["*"]}));
    let url = policy(world, &world.owner, body).await;
    bind(world, &world.owner, &url, json!({"userIdentity": person.subject})).expect(201).await;
    person
}

#[tokio::test]
async fn nobody_grants_by_a_policy_what_they_do_not_hold() {
    let world = prepared().await;
    let person = delegate(&world).await;
    let url = policy(&world, &person, reader("mine")).await;
    bind(&world, &person, &url, json!({"userIdentity": world.nobody.subject})).expect(201).await;
    assert_eq!(reveals(&world, &world.nobody, "top").await, 200);
    let says = "this would grant more than you hold yourself";
    let refused = async |asking: Asking<'_>| {
        let answer = asking.project("top").expect(400).await;
        assert_eq!(answer.message(), says);
    };
    let rules = format!("{url}/rules");
    for (resource, identities, word) in [
        ("secret", json!(["/app/*"]), "putSecretValue"),
        ("secret", json!([]), "getSecretValue"),
        ("secret", json!(["/*"]), "getSecretValue"),
        ("kms_key", json!([]), "read"),
        ("*", json!(["/app/*"]), "getSecretValue"),
        ("secret", json!(["/app/*"]), "*"),
    ] {
        let rule = json!({"resources": [resource], "resourceIdentities": identities, "permissions": [word]});
        refused(world.post(&person, &rules).json(rule)).await;
    }
    let admin = format!("{POLICIES}/org-admin/bindings");
    refused(world.post(&person, &admin).json(json!({"userIdentity": person.subject}))).await;
    // What holds below as well is for those alone whose own grants do.
    let mut below = reader("below");
    below["replicateToChildren"] = json!(true);
    refused(world.post(&person, POLICIES).json(below.clone())).await;
    world.post(&world.owner, POLICIES).project("top").json(below).expect(201).await;
    let bind_below = world.post(&person, &format!("{POLICIES}/below/bindings"));
    refused(bind_below.json(json!({"userIdentity": person.subject}))).await;
    // A system policy is changed by nobody.
    let system = format!("{POLICIES}/org-admin");
    for asking in [
        world.put(&world.owner, &system).json(json!({"description": "x"})),
        world.delete(&world.owner, &system),
        world.post(&world.owner, &format!("{system}/rules")).json(reader("x")["rules"][0].clone()),
    ] {
        let answer = asking.project("top").expect(400).await;
        assert_eq!(answer.message(), "a system policy is read-only");
    }
}

#[tokio::test]
async fn what_is_held_for_a_while_or_under_conditions_is_not_handed_on() {
    let world = prepared().await;
    let person = world.person().await;
    let both = json!({"name": "both", "rules": [
        {"resources": ["iam_policy", "iam_policy_binding"], "permissions": ["*"]}
    ]});
    let keeper = policy(&world, &world.owner, both).await;
    bind(&world, &world.owner, &keeper, json!({"userIdentity": person.subject})).expect(201).await;
    let readers = policy(&world, &world.owner, reader("readers")).await;
    let short = json!({"userIdentity": person.subject, "duration": "1h"});
    bind(&world, &world.owner, &readers, short).expect(201).await;
    assert_eq!(reveals(&world, &person, "top").await, 200);
    world.post(&person, POLICIES).project("top").json(reader("mine")).expect(400).await;
    bind(&world, &person, &readers, json!({"userIdentity": person.subject})).expect(400).await;
    let longer = world.get(&world.owner, &format!("{readers}/bindings")).project("top");
    let longer = longer.expect(200).await.body[0]["identity"].as_str().unwrap().to_owned();
    let longer = world.put(&person, &format!("{readers}/bindings/{longer}")).project("top");
    longer.json(json!({"duration": "365d"})).expect(400).await;
}

#[tokio::test]
async fn whoever_comes_to_act_for_a_principal_holds_its_policies() {
    let world = prepared().await;
    let keeper = world.person_with("service_account", &[], &["*"]).await;
    world.grant(&keeper, "team", &[], &["*"]).await;
    world.post(&world.owner, "/v1/service-accounts").json(json!({"name": "ci"})).expect(201).await;
    world.post(&world.owner, "/v1/teams").json(json!({"name": "t"})).expect(201).await;
    let credentials = "/v1/service-accounts/ci/access-credentials";
    let join = json!({"userIdentity": keeper.subject});
    world.post(&keeper, credentials).json(json!({})).expect(201).await;
    world.post(&keeper, "/v1/teams/t/members").json(join.clone()).expect(201).await;
    world.delete(&keeper, &format!("/v1/teams/t/members/{}", keeper.subject)).expect(204).await;
    let url = policy(&world, &world.owner, reader("readers")).await;
    bind(&world, &world.owner, &url, json!({"serviceAccountIdentity": "ci"})).expect(201).await;
    bind(&world, &world.owner, &url, json!({"teamIdentity": "t"})).expect(201).await;
    world.post(&keeper, credentials).json(json!({})).expect(400).await;
    world.post(&keeper, "/v1/teams/t/members").json(join.clone()).expect(400).await;
    bind(&world, &world.owner, &url, json!({"userIdentity": keeper.subject})).expect(201).await;
    world.post(&keeper, credentials).json(json!({})).expect(201).await;
    world.post(&keeper, "/v1/teams/t/members").json(join).expect(201).await;
}

#[tokio::test]
async fn members_and_access_say_who_reaches_what() {
    let world = prepared().await;
    let url = policy(&world, &world.owner, reader("readers")).await;
    let bound = bind(&world, &world.owner, &url, json!({"userIdentity": world.nobody.subject}));
    let bound = bound.expect(201).await.body;
    let members = format!("{POLICIES}/members");
    let members = world.get(&world.owner, &members).project("top").expect(200).await.body;
    let members = members.as_array().unwrap();
    assert_eq!(members.len(), 2, "the maker and the reader");
    let nobody = members.iter().find(|m| m["principalIdentity"] == *world.nobody.subject).unwrap();
    assert_eq!(nobody["bindings"][0]["source"], "iam_policy");
    assert_eq!(nobody["bindings"][0]["bindingIdentity"], bound["identity"]);
    let access = async |query: &str| {
        let url = format!("/v1/projects/iam/access-bindings?{query}");
        world.get(&world.owner, &url).project("top").expect(200).await.body
    };
    let who = |found: &Json| {
        let found = found["bindings"].as_array().unwrap().iter();
        let mut who: Vec<_> =
            found.map(|b| b["principalIdentity"].as_str().unwrap().to_owned()).collect();
        who.sort();
        who
    };
    let mut both = vec![world.nobody.subject.clone(), world.owner.subject.clone()];
    both.sort();
    let found =
        access("resourceType=secret&resourceIdentity=/app/a&permissions=getSecretValue").await;
    assert_eq!((&found["resourceIdentity"], who(&found)), (&json!("/app/a"), both));
    let found =
        access("resourceType=secret&resourceIdentity=/other&permissions=getSecretValue").await;
    assert_eq!(who(&found), [world.owner.subject.as_str()]);
    let found =
        access("resourceType=secret&resourceIdentity=/app/a&bindingTypes=organisation_role").await;
    assert_eq!(found["bindings"], json!([]));
    let auditor = world.person_as("org-auditor").await;
    let found =
        access("resourceType=secret&resourceIdentity=/app/a&bindingTypes=organisation_role").await;
    assert_eq!(who(&found), [auditor.subject.as_str()]);
    for bad in ["", "resourceType=secret", "resourceType=secret&resourceIdentity=/a&permissions=x"]
    {
        let url = format!("/v1/projects/iam/access-bindings?{bad}");
        world.get(&world.owner, &url).project("top").expect(400).await;
    }
    let types = world.get(&world.owner, &format!("{POLICIES}/resources")).project("top");
    let types = types.expect(200).await.body;
    assert!(types.as_array().unwrap().contains(&json!("secret")));
}

/// The explanation names the policy, its rule and its binding; conditions and ends count in it.
#[tokio::test]
async fn an_explanation_knows_policies_of_the_project() {
    let world = prepared().await;
    let person = world.person().await;
    let policy = policy(&world, &world.owner, reader("readers")).await;
    let more = json!({"userIdentity": person.subject, "duration": "2h"});
    let binding = bind(&world, &world.owner, &policy, more).expect(201).await.body;
    let url = format!(
        "/v1/secrets/nl-01/explain?path=/app/a&permission=getSecretValue&principal=user:{}",
        person.subject
    );
    let explain = async |world: &World, project: &str| {
        world.get(&world.owner, &url).project(project).expect(200).await.body
    };
    let told = explain(&world, "top").await;
    assert_eq!(
        (&told["allowed"], &told["grant"]["role"]),
        (&json!(true), &json!("policy readers"))
    );
    assert_eq!(told["grant"]["policyIdentity"], policy.rsplit('/').next().unwrap());
    assert_eq!(told["grant"]["binding"], binding["identity"]);
    assert_eq!(told["grant"]["rule"]["resourceIdentities"], json!(["/app/*"]));
    assert!(told["grant"]["rule"]["identity"].is_string(), "{told}");
    assert_eq!(explain(&world, "below").await["allowed"], false);
    // Whoever holds everything in the project reads no roles of the organisation.
    let admin = world.person().await;
    let everything = json!({"userIdentity": admin.subject});
    bind(&world, &world.owner, &format!("{POLICIES}/org-admin"), everything).expect(201).await;
    assert_eq!(reveals(&world, &admin, "top").await, 200);
    world.get(&admin, &url).project("top").expect(403).await;
    world.set_now(NOON + 3 * HOUR);
    assert_eq!(explain(&world, "top").await["allowed"], false);
}

/// Moving a project opens it to all who hold the replicated policies of its new place.
#[tokio::test]
async fn nobody_moves_a_project_to_where_others_get_what_they_do_not_hold() {
    let world = prepared().await;
    let mut body = reader("everywhere");
    body["replicateToChildren"] = json!(true);
    policy(&world, &world.owner, body).await;
    let mover = world.person_with("project", &[], &["read", "update"]).await;
    let moved = json!({"parentProjectIdentity": "top"});
    let refused = world.put(&mover, "/v1/projects/other").json(moved.clone()).expect(400).await;
    assert_eq!(refused.message(), "this would grant more than you hold yourself");
    world.put(&mover, "/v1/projects/other").json(json!({"description": "d"})).expect(200).await;
    world.grant(&mover, "secret", &["/app/*"], &["getSecretValue"]).await;
    world.put(&mover, "/v1/projects/other").json(moved).expect(200).await;
    let told = world.audit("action=iam.project.update").await[0]["description"].clone();
    assert!(told.as_str().unwrap().starts_with("moved from `` to `prj-"), "{told}");
}

#[tokio::test]
async fn a_member_who_comes_back_has_lost_the_policies() {
    let world = prepared().await;
    let person = world.person().await;
    let url = policy(&world, &world.owner, reader("readers")).await;
    bind(&world, &world.owner, &url, json!({"userIdentity": person.subject})).expect(201).await;
    assert_eq!(reveals(&world, &person, "top").await, 200);
    let asked = json!({"policyIdentity": "readers", "reason": "r", "duration": "1h"});
    let own = "/v1/projects/iam/my-access-elevations";
    world.post(&person, own).project("top").json(asked).expect(201).await;
    let (subject, id) = (person.subject.clone(), world.fresh_id("m-"));
    world
        .write(&world.acme.id, async move |tx| {
            use coffer_server::model::identity::MemberRole::Member;
            tx.delete_member(&subject).await?;
            tx.insert_member(&id, &subject, Member, NOON).await
        })
        .await;
    assert_eq!(reveals(&world, &person, "top").await, 404);
    let left = world.get(&world.owner, &format!("{url}/bindings")).project("top").expect(200).await;
    assert_eq!(left.body, json!([]));
    let all = world.get(&world.owner, "/v1/projects/iam/access-elevations").project("top");
    assert_eq!(all.expect(200).await.body[0]["status"], "cancelled");
}

/// Who holds the organisation's roles is the organisation's to tell.
#[tokio::test]
async fn a_project_tells_nothing_of_the_organisations_roles() {
    let world = prepared().await;
    world.person_as("org-auditor").await;
    let admin = world.person().await;
    let url = format!("{POLICIES}/org-admin");
    bind(&world, &world.owner, &url, json!({"userIdentity": admin.subject})).expect(201).await;
    let query = "resourceType=secret&resourceIdentity=/app/a&bindingTypes=organisation_role";
    let url = format!("/v1/projects/iam/access-bindings?{query}");
    let found = async |by: &Person| {
        let found = world.get(by, &url).project("top").expect(200).await.body;
        found["bindings"].as_array().unwrap().len()
    };
    assert_eq!((found(&world.owner).await, found(&admin).await), (1, 0));
    // Nor does its log, whatever project the call has named.
    let bound = json!({"userIdentity": world.nobody.subject});
    let role = world.post(&world.owner, "/v1/iam/roles/secrets-read-access/bindings");
    role.project("top").json(bound).expect(201).await;
    world.get(&admin, "/v1/projects/top").expect(200).await;
    let log = world.get(&admin, "/v1/audit").project("top").expect(200).await.body;
    let actions: Vec<_> = log["items"].as_array().unwrap().iter().map(|e| &e["action"]).collect();
    assert!(actions.contains(&&json!("iam.project.get")), "{actions:?}");
    assert!(!actions.contains(&&json!("iam.binding.create")), "{actions:?}");
    assert_eq!(world.audit("action=iam.binding.create").await[0]["action"], "iam.binding.create");
}
