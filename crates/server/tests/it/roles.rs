//! Roles, rules and bindings over HTTP (contract, sections 4.1, 4.2 and 14, 33–35 and 40).

use serde_json::{Value as Json, json};

use coffer_server::model::team::TeamRole;

use crate::world::{Person, World, base64, team};

const ROLES: &str = "/v1/iam/roles";

async fn role(world: &World, by: &Person, name: &str) -> String {
    let made = world.post(by, ROLES).json(json!({"name": name})).expect(201).await;
    format!("{ROLES}/{}", made.body["identity"].as_str().unwrap())
}

fn rule(resource: &str, identities: &[&str], permissions: &[&str]) -> Json {
    json!({"resources": [resource], "resourceIdentities": identities, "permissions": permissions})
}

/// A member of acme who holds a new role with one rule, made over HTTP.
async fn holder(world: &World, name: &str, rule: Json) -> (Person, String, String) {
    let person = world.person().await;
    let url = role(world, &world.owner, name).await;
    world.post(&world.owner, &format!("{url}/rules")).json(rule).expect(201).await;
    let bind = json!({"name": "b", "userIdentity": person.subject, "teamIdentity": null});
    let bound = world.post(&world.owner, &format!("{url}/bindings")).json(bind).expect(201).await;
    let binding = bound.body["identity"].as_str().unwrap().to_owned();
    (person, url, binding)
}

#[tokio::test]
async fn a_role_is_made_shown_and_deleted() {
    let world = World::new().await;
    let made = world.post(&world.owner, ROLES).json(json!({
        "name": "prod:ReadOnly", "description": "d", "labels": {"team": "a"}, "annotations": {"x": "y"},
        "color": "ignored"
    }));
    let made = made.expect(201).await.body;
    assert_eq!(made["slug"], "prod-read-only");
    assert_eq!((&made["system"], &made["isReadOnly"]), (&json!(false), &json!(false)));
    assert_eq!((&made["rules"], &made["bindings"]), (&json!([]), &json!([])));
    for reference in [made["identity"].as_str().unwrap(), "prod-read-only"] {
        let read = world.get(&world.owner, &format!("{ROLES}/{reference}")).expect(200).await;
        assert_eq!(read.body, made);
    }
    let taken = world.post(&world.owner, ROLES).json(json!({"name": "Prod Read-Only"}));
    taken.expect(409).await;
    for (query, count) in [
        ("slug=prod-read-only", 1),
        ("name=prod:ReadOnly", 1),
        ("matchLabels[team]=a", 1),
        ("matchLabels[team]=b", 0),
        ("slug=org-admin", 1),
    ] {
        let listed = world.get(&world.owner, &format!("{ROLES}?{query}")).expect(200).await.body;
        assert_eq!(listed.as_array().unwrap().len(), count, "{query}");
        assert!(listed.as_array().unwrap().iter().all(|role| role.get("rules").is_none()));
    }
    world.delete(&world.owner, &format!("{ROLES}/prod-read-only")).expect(204).await;
    world.get(&world.owner, &format!("{ROLES}/prod-read-only")).expect(404).await;
    for (body, says) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "!!!"}), "name"),
        (json!({"name": "d6m0b0ngt9dc739sdrn0"}), "identity"),
        (json!({"name": "x", "description": "x".repeat(1025)}), "description"),
        (json!({"name": "x", "labels": {"": "x"}}), "labels"),
    ] {
        let refused = world.post(&world.owner, ROLES).json(body.clone()).expect(400).await;
        assert!(refused.message().contains(says), "{body}: {}", refused.text);
    }
}

#[tokio::test]
async fn rules_come_and_go_with_effect_at_once() {
    let world = World::new().await;
    world.secret("/app/production/db", "p").await;
    world.secret("/infra/dns", "i").await;
    let words = ["read", "list", "getSecretValue"];
    let (person, url, binding) =
        holder(&world, "production", rule("secret", &["/app/production/*"], &words)).await;
    let reveal = async |path: &str| {
        let url = format!("/v1/secrets/nl-01/secret{path}/value");
        world.post(&person, &url).send().await.status
    };
    assert_eq!((reveal("/app/production/db").await, reveal("/infra/dns").await), (200, 403));
    let infra = rule("secret", &["/infra/*"], &words);
    let added = world.post(&world.owner, &format!("{url}/rules")).json(infra).expect(201).await;
    assert_eq!((reveal("/app/production/db").await, reveal("/infra/dns").await), (200, 200));
    let listed = world.get(&person, "/v1/secrets/nl-01/secrets?pathPrefix=/").expect(200).await;
    assert_eq!(listed.body.as_array().unwrap().len(), 2);
    let gone = format!("{url}/rules/{}", added.body["identity"].as_str().unwrap());
    world.delete(&world.owner, &gone).expect(204).await;
    world.delete(&world.owner, &gone).expect(404).await;
    assert_eq!((reveal("/app/production/db").await, reveal("/infra/dns").await), (200, 403));
    let read = world.get(&world.owner, &url).expect(200).await.body;
    assert_eq!(read["objectVersion"], 4, "made, two rules, one less");
    assert_eq!(read["rules"].as_array().unwrap().len(), 1);
    assert_eq!(read["bindings"][0]["user"]["subject"], person.subject.as_str());
    world.delete(&world.owner, &format!("{url}/bindings/{binding}")).expect(204).await;
    assert_eq!(reveal("/app/production/db").await, 403);
    let again = json!({"userIdentity": person.subject, "name": ""});
    world.post(&world.owner, &format!("{url}/bindings")).json(again).expect(201).await;
    assert_eq!(reveal("/app/production/db").await, 200);
    world.delete(&world.owner, &url).expect(204).await;
    assert_eq!(reveal("/app/production/db").await, 403);
}

#[tokio::test]
async fn a_binding_names_exactly_one_who_is_there() {
    let world = World::new().await;
    let url = role(&world, &world.owner, "r").await;
    let user = &world.nobody.subject;
    for (body, expected) in [
        (json!({}), 400),
        (json!({"userIdentity": null, "teamIdentity": null, "serviceAccountIdentity": null}), 400),
        (json!({"userIdentity": user, "teamIdentity": "platform"}), 400),
        (json!({"userIdentity": world.stranger.subject}), 404),
        (json!({"userIdentity": "usr-none"}), 404),
        (json!({"teamIdentity": "none"}), 404),
        (json!({"serviceAccountIdentity": "sa-none"}), 404),
        (json!({"userIdentity": user, "scopes": ["admin"]}), 400),
        (json!({"userIdentity": user, "name": "x".repeat(256)}), 400),
        (json!({"userIdentity": user, "teamIdentity": "", "scopes": null, "name": "n"}), 201),
    ] {
        let answer = world.post(&world.owner, &format!("{url}/bindings")).json(body.clone());
        let answer = answer.send().await;
        assert_eq!(answer.status, expected, "{body}: {}", answer.text);
    }
    let listed = world.get(&world.owner, &format!("{url}/bindings")).expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["name"], &listed[0]["slug"]), (&json!("n"), &json!("n")));
}

#[tokio::test]
async fn a_team_holds_a_role_for_its_members() {
    let world = World::new().await;
    world.secret("/app/a", "x").await;
    let person = world.person().await;
    let member = person.subject.clone();
    world
        .write(&world.acme.id, async move |tx| {
            tx.insert_team(&team("team-1", "platform", 0)).await?;
            tx.insert_team_member("team-1", &member, TeamRole::default(), 0).await
        })
        .await;
    let url = role(&world, &world.owner, "readers").await;
    let read = rule("secret", &[], &["read"]);
    world.post(&world.owner, &format!("{url}/rules")).json(read).expect(201).await;
    world.get(&person, "/v1/secrets/nl-01/secret/app/a").expect(403).await;
    let bound = world.post(&world.owner, &format!("{url}/bindings"));
    let bound = bound.json(json!({"teamIdentity": "platform"})).expect(201).await.body;
    assert_eq!(bound["team"]["identity"], "team-1");
    world.get(&person, "/v1/secrets/nl-01/secret/app/a").expect(200).await;
}

#[tokio::test]
async fn scopes_of_a_binding_bound_what_it_grants() {
    let world = World::new().await;
    world.secret("/app/a", "x").await;
    let person = world.person().await;
    let url = role(&world, &world.owner, "all").await;
    let all = rule("secret", &[], &["*"]);
    world.post(&world.owner, &format!("{url}/rules")).json(all).expect(201).await;
    let bind = json!({"userIdentity": person.subject, "scopes": ["api:read"]});
    let bound = world.post(&world.owner, &format!("{url}/bindings")).json(bind).expect(201).await;
    assert_eq!(bound.body["scopes"], json!(["api:read"]));
    let secret = "/v1/secrets/nl-01/secret/app/a";
    world.post(&person, &format!("{secret}/value")).expect(200).await;
    world.patch(&person, secret).json(json!({"description": "d"})).expect(403).await;
    let value = json!({"secretString": base64("y")});
    world.post(&person, &format!("{secret}/versions")).json(value).expect(403).await;
}

#[tokio::test]
async fn nobody_grants_more_than_they_hold() {
    let world = World::new().await;
    let (keeper, url, _) = holder(&world, "keepers", rule("iam_role", &[], &["*"])).await;
    let (person, other, _) =
        holder(&world, "apps", rule("secret", &["/app/*"], &["read", "list", "update"])).await;
    let also = json!({"userIdentity": keeper.subject});
    world.post(&world.owner, &format!("{other}/bindings")).json(also).expect(201).await;
    for (wanted, expected) in [
        (rule("secret", &["/app/x/*"], &["read"]), 201),
        (rule("iam_role", &[], &["read"]), 201),
        (rule("secret", &["/app/*"], &["getSecretValue"]), 400),
        (rule("secret", &[], &["read"]), 400),
        (rule("secret", &["*"], &["read"]), 400),
        (rule("secret", &["/app/*", "/infra/*"], &["read"]), 400),
        (rule("*", &["/app/*"], &["read"]), 400),
        (rule("secret", &["/app/*"], &["*"]), 400),
        (rule("kms_key", &[], &["read"]), 400),
    ] {
        let answer = world.post(&keeper, &format!("{url}/rules")).json(wanted.clone()).send().await;
        assert_eq!(answer.status, expected, "{wanted}: {}", answer.text);
        assert!(expected == 201 || answer.message().contains("more than you hold"));
    }
    // Nor by binding a role that says more, to themselves or to others.
    for (role, expected) in [
        ("secrets-full-access", 400),
        ("org-admin", 400),
        ("org-auditor", 400),
        ("kms-decrypt", 400),
        ("apps", 201),
    ] {
        for holder in [&keeper.subject, &person.subject] {
            let bind = json!({"userIdentity": holder});
            let answer = world.post(&keeper, &format!("{ROLES}/{role}/bindings")).json(bind).send();
            let answer = answer.await;
            assert_eq!(answer.status, expected, "{role}: {}", answer.text);
        }
    }
    // Whoever has no say over roles has none, whatever else they hold.
    let bind = json!({"userIdentity": person.subject});
    world.post(&person, &format!("{other}/bindings")).json(bind).expect(403).await;
}

#[tokio::test]
async fn system_roles_are_shown_and_bound_but_never_changed() {
    let world = World::new().await;
    let listed = world.get(&world.owner, ROLES).expect(200).await.body;
    let slugs: Vec<_> =
        listed.as_array().unwrap().iter().map(|role| role["slug"].as_str().unwrap()).collect();
    for slug in ["org-admin", "org-auditor", "secrets-full-access", "kms-hmac", "kms-export"] {
        assert!(slugs.contains(&slug), "{slug} {slugs:?}");
    }
    let url = format!("{ROLES}/secrets-read-access");
    let shown = world.get(&world.owner, &url).expect(200).await.body;
    assert_eq!((&shown["system"], &shown["isReadOnly"]), (&json!(true), &json!(true)));
    assert_eq!(shown["rules"][0]["resources"], json!(["secret"]));
    assert_eq!(shown["rules"][0]["permissions"], json!(["read", "list"]));
    let rule_url = format!("{url}/rules/{}", shown["rules"][0]["identity"].as_str().unwrap());
    for call in [
        world.delete(&world.owner, &url),
        world.delete(&world.owner, &rule_url),
        world.post(&world.owner, &format!("{url}/rules")).json(rule("secret", &[], &["read"])),
    ] {
        let refused = call.expect(400).await;
        assert!(refused.message().contains("read-only"), "{}", refused.text);
    }
    let bind = json!({"userIdentity": world.nobody.subject});
    world.post(&world.owner, &format!("{url}/bindings")).json(bind).expect(201).await;
    world.get(&world.nobody, "/v1/secrets/nl-01/secrets").expect(200).await;
}

#[tokio::test]
async fn roles_of_another_organisation_are_not_there() {
    let world = World::new().await;
    let url = role(&world, &world.owner, "secret-role").await;
    let (_, name) = url.rsplit_once('/').unwrap();
    for reference in [name, "secret-role"] {
        let url = format!("{ROLES}/{reference}");
        world.get(&world.stranger, &url).expect(404).await;
        world.delete(&world.stranger, &url).expect(404).await;
        let bind = json!({"userIdentity": world.stranger.subject});
        world.post(&world.stranger, &format!("{url}/bindings")).json(bind).expect(404).await;
    }
    let listed = world.get(&world.stranger, ROLES).expect(200).await;
    assert!(!listed.text.contains("secret-role"), "{}", listed.text);
    // Without any say over roles, one that is there and one that is not look alike.
    let known = world.get(&world.nobody, &url).expect(403).await.text;
    assert_eq!(known, world.get(&world.nobody, &format!("{ROLES}/none")).expect(403).await.text);
    world.get(&world.owner, &url).expect(200).await;
}

#[tokio::test]
async fn a_grant_on_one_role_is_for_that_role() {
    let world = World::new().await;
    let (one, two) =
        (role(&world, &world.owner, "one").await, role(&world, &world.owner, "two").await);
    let (_, id) = one.rsplit_once('/').unwrap();
    let (keeper, _, _) = holder(&world, "keeper", rule("iam_role", &[id], &["read", "list"])).await;
    world.get(&keeper, &one).expect(200).await;
    world.get(&keeper, &two).expect(403).await;
    let listed = world.get(&keeper, ROLES).expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
}
