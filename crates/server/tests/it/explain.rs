//! Explanations (contract, section 15, 10): they say what really happens, and tell nothing else.

use serde_json::{Value as Json, json};

use crate::world::{Person, World, base64};

const EXPLAIN: &str = "/v1/secrets/nl-01/explain";
const WORDS: [&str; 7] =
    ["create", "read", "update", "delete", "list", "getSecretValue", "putSecretValue"];

fn url(path: &str, permission: &str, principal: &str) -> String {
    let url = format!("{EXPLAIN}?path={path}&permission={permission}");
    if principal.is_empty() { url } else { format!("{url}&principal={principal}") }
}

async fn explain(world: &World, by: &Person, path: &str, word: &str, of: &str) -> Json {
    world.get(by, &url(path, word, of)).expect(200).await.body
}

/// Does what the permission is for; whether that is let pass.
async fn really(world: &World, by: &Person, path: &str, permission: &str) -> bool {
    let at = format!("/v1/secrets/nl-01/secret{path}");
    let secrets = "/v1/secrets/nl-01/secrets";
    // A tag that matches nothing stops a change behind all decisions.
    let tag = "\"999\"";
    let made = json!({"path": path, "kmsKeyIdentity": "default", "secretString": base64("v")});
    let value = json!({"secretString": base64("w")});
    let answer = match permission {
        "create" => world.post(by, secrets).json(made).send().await,
        "read" => world.get(by, &at).send().await,
        "update" => world.patch(by, &at).json(json!({})).header("if-match", tag).send().await,
        "delete" => world.delete(by, &at).header("if-match", tag).send().await,
        "list" => {
            let listed = world.get(by, &format!("{secrets}?pathPrefix=/")).send().await;
            let paths = listed.body.as_array().cloned().unwrap_or_default();
            return paths.iter().any(|secret| secret["path"] == path);
        }
        "getSecretValue" => world.post(by, &format!("{at}/value")).send().await,
        _ => world.post(by, &format!("{at}/versions")).json(value).send().await,
    };
    assert!([200, 403, 409, 412].contains(&answer.status), "{permission}: {}", answer.text);
    answer.status != 403
}

/// Secrets with and without policies; a policy may name `SUBJECT`.
async fn secrets(world: &World, subject: &str) -> Vec<&'static str> {
    let policies = [
        ("/app/prod/a", Json::Null),
        (
            "/app/prod/b",
            json!({"conditions": [
            {"type": "ip", "effect": "allow", "cidrs": ["10.0.0.0/8"]}]}),
        ),
        (
            "/app/dev/c",
            json!({"conditions": [
            {"type": "ip", "effect": "allow", "cidrs": ["10.0.0.0/8"]},
            {"type": "ip", "effect": "allow", "cidrs": ["127.0.0.0/8"]}]}),
        ),
        ("/app/dev/d", json!({"denied": [{"type": "ip", "ips": ["127.0.0.1"]}]})),
        (
            "/infra/e",
            json!({"statements": [
            {"effect": "Allow", "actions": ["read"], "principals": [format!("user:{subject}")]},
            {"effect": "Deny", "actions": ["write"], "principals": ["*"]}]}),
        ),
        (
            "/infra/f",
            json!({"conditions": [
            {"type": "time", "effect": "allow", "startHour": 0, "endHour": 1, "timezone": "UTC"}]}),
        ),
    ];
    let mut paths = Vec::new();
    for (path, policy) in policies {
        world.secret(path, "v").await;
        let url = format!("/v1/secrets/nl-01/secret{path}/policy");
        world.put(&world.owner, &url).json(json!({"accessPolicy": policy})).expect(200).await;
        paths.push(path);
    }
    paths
}

#[tokio::test]
async fn an_explanation_says_what_really_happens() {
    let world = World::new().await;
    let mut people = vec![
        world.owner.clone(),
        world.nobody.clone(),
        world.person_as("org-admin").await,
        world.person_as("org-auditor").await,
        world.person_as("secrets-full-access").await,
        world.person_as("secrets-read-access").await,
        world.person_with("secret", &["/app/prod/*"], &["getSecretValue"]).await,
        world.person_with("secret", &["/app/*", "/infra/e"], &["list", "putSecretValue"]).await,
        world.person_with("secret", &["/app/dev/*"], &["*"]).await,
        world.person_with("kms_key", &[], &["*"]).await,
        world.person_with("*", &["/infra/*"], &["read", "update", "getSecretValue"]).await,
    ];
    // Grants of two roles, and one by way of a team.
    let mixed = world.person_with("secret", &["/app/prod/a"], &["read"]).await;
    world.grant(&mixed, "secret", &["*"], &["list", "delete"]).await;
    people.push(mixed.clone());
    let team = world.post(&world.owner, "/v1/teams").json(json!({"name": "t"})).expect(201).await;
    let team = team.body["identity"].as_str().unwrap().to_owned();
    let bound = json!({"teamIdentity": team});
    let role = "/v1/iam/roles/secrets-read-access/bindings";
    world.post(&world.owner, role).json(bound).expect(201).await;
    let teammate = world.person().await;
    let member = json!({"userIdentity": teammate.subject});
    let url = format!("/v1/teams/{team}/members");
    world.post(&world.owner, &url).json(member).expect(201).await;
    people.push(teammate);

    let paths = secrets(&world, &people[10].subject).await;
    let (mut allowed, mut refused) = (0, 0);
    for person in &people {
        let of = format!("user:{}", person.subject);
        for path in &paths {
            for word in WORDS {
                let said = explain(&world, &world.owner, path, word, &of).await;
                let happens = really(&world, person, path, word).await;
                assert_eq!(said["allowed"], happens, "{path} {word}: {said}");
                assert_eq!((&said["path"], &said["permission"]), (&json!(path), &json!(word)));
                assert!(said.get("grant").is_some() || !happens, "{said}");
                let own = world.get(person, &format!("{EXPLAIN}?path={path}&permission={word}"));
                let own = own.send().await;
                if own.status == 200 {
                    assert_eq!(own.body["allowed"], happens, "about oneself: {path} {word}");
                }
                *(if happens { &mut allowed } else { &mut refused }) += 1;
            }
        }
    }
    assert!(allowed > 100 && refused > 100, "{allowed} {refused}");
}

#[tokio::test]
async fn role_rule_binding_and_condition_are_named() {
    let world = World::new().await;
    let paths = secrets(&world, "usr-x").await;
    let role = world.post(&world.owner, "/v1/iam/roles").json(json!({"name": "readers"}));
    let role = role.expect(201).await.body["identity"].as_str().unwrap().to_owned();
    let rules = format!("/v1/iam/roles/{role}/rules");
    let mut ids = Vec::new();
    for (identities, permissions) in [
        (json!(["/infra/*"]), json!(["read"])),
        (json!(["/app/*"]), json!(["getSecretValue", "read"])),
    ] {
        let rule = json!({"resources": ["secret"], "resourceIdentities": identities,
            "permissions": permissions});
        let made = world.post(&world.owner, &rules).json(rule).expect(201).await;
        ids.push(made.body["identity"].clone());
    }
    let machine = json!({"name": "ci"});
    world.post(&world.owner, "/v1/service-accounts").json(machine).expect(201).await;
    let bindings = format!("/v1/iam/roles/{role}/bindings");
    let bound = world.post(&world.owner, &bindings).json(json!({"serviceAccountIdentity": "ci"}));
    let bound = bound.expect(201).await.body["identity"].clone();
    let of = "serviceAccount:ci";
    let said = explain(&world, &world.owner, paths[0], "getSecretValue", of).await;
    assert_eq!(said["grant"]["role"], "readers");
    assert_eq!(said["grant"]["roleIdentity"], *role);
    assert_eq!(
        said["grant"]["rule"],
        json!({"identity": ids[1], "resources": ["secret"],
        "resourceIdentities": ["/app/*"], "permissions": ["read", "getSecretValue"]})
    );
    assert_eq!(said["grant"]["binding"], bound);
    assert!(said.get("accessPolicy").is_none(), "there is none: {said}");
    for (path, allowed, reason, condition) in [
        (paths[1], false, "access policy: no allow condition matches", Json::Null),
        (paths[2], true, "nothing in the access policy is against it", json!("conditions[1]")),
        (paths[3], false, "access policy: a deny condition matches", json!("denied[0]")),
    ] {
        let said = explain(&world, &world.owner, path, "getSecretValue", of).await;
        let policy = &said["accessPolicy"];
        assert_eq!((&policy["allowed"], &policy["reason"]), (&json!(allowed), &json!(reason)));
        assert_eq!(policy["condition"], condition, "{path}");
        assert_eq!(said["allowed"], allowed);
    }
    let said = explain(&world, &world.owner, paths[4], "putSecretValue", "").await;
    assert_eq!(said["accessPolicy"]["condition"], "statements[1]");
    assert_eq!(
        (&said["grant"]["role"], &said["grant"]["roleIdentity"]),
        (&json!("OWNER"), &Json::Null)
    );
    // From another address the same policy says something else.
    let office = world.get(&world.owner, &url(paths[1], "getSecretValue", of)).from("10.1.2.3");
    assert_eq!(office.expect(200).await.body["allowed"], true);
    let none = explain(&world, &world.owner, "/app/none", "getSecretValue", of).await;
    assert_eq!((&none["allowed"], none.get("accessPolicy")), (&json!(true), None));
    let no = explain(&world, &world.owner, paths[0], "delete", of).await;
    assert_eq!((&no["allowed"], no.get("grant")), (&json!(false), None));
}

#[tokio::test]
async fn scopes_of_credentials_and_bindings_count() {
    let world = World::new().await;
    world.secret("/a", "v").await;
    let admin = world.person_as("org-admin").await;
    let made = world.post(&admin, "/v1/me/personal-access-tokens");
    let made = made.json(json!({"name": "r", "scopes": ["api:read"]})).expect(201).await;
    let token = made.body["token"].as_str().unwrap().to_owned();
    let reader = Person { token, ..admin };
    for (word, allowed) in [("getSecretValue", true), ("putSecretValue", false), ("list", true)] {
        let said = explain(&world, &reader, "/a", word, "").await;
        assert_eq!(said["allowed"], allowed, "{word}: {said}");
        assert_eq!(really(&world, &reader, "/a", word).await, allowed, "{word}");
    }
    let bound = world.person().await;
    let binding = json!({"userIdentity": bound.subject, "scopes": ["api:read"]});
    let url = "/v1/iam/roles/secrets-full-access/bindings";
    let binding = world.post(&world.owner, url).json(binding).expect(201).await.body;
    let of = format!("user:{}", bound.subject);
    for (word, allowed) in [("getSecretValue", true), ("putSecretValue", false)] {
        let said = explain(&world, &world.owner, "/a", word, &of).await;
        assert_eq!(said["allowed"], allowed, "{word}: {said}");
        assert_eq!(really(&world, &bound, "/a", word).await, allowed, "{word}");
        if allowed {
            assert_eq!(said["grant"]["binding"], binding["identity"]);
        }
    }
}

#[tokio::test]
async fn only_who_may_read_every_role_may_ask() {
    let world = World::new().await;
    let question = format!("{EXPLAIN}?path=/a&permission=read");
    for (identities, permissions, status) in [
        (&[][..], &["read"][..], 200),
        (&["*"], &["*"], 200),
        (&["role-1"], &["read"], 403),
        (&["a*"], &["read"], 403),
        (&[], &["list"], 403),
    ] {
        let person = world.person_with("iam_role", identities, permissions).await;
        world.get(&person, &question).expect(status).await;
    }
    world.get(&world.nobody, &question).expect(403).await;
    let foreign = world.get(&world.stranger, &question);
    foreign.header("x-organisation-identity", &world.acme.id).expect(403).await;
    let stranger = format!("{question}&principal=user:{}", world.stranger.subject);
    world.get(&world.owner, &stranger).expect(404).await;
    for (query, status) in [
        ("path=/a", 400),
        ("permission=read", 400),
        ("path=a&permission=read", 400),
        ("path=/a/&permission=read", 400),
        ("path=/a&permission=encrypt", 400),
        ("path=/a&permission=Read", 400),
        ("path=/a&permission=read&principal=bob", 400),
        ("path=/a&permission=read&principal=", 400),
        ("path=/a&permission=read&principal=team:x", 400),
        ("path=/a&permission=read&principal=user:x", 404),
        ("path=/a&permission=read&principal=serviceAccount:x", 404),
        ("path=/a&path=/b&permission=read", 400),
    ] {
        world.get(&world.owner, &format!("{EXPLAIN}?{query}")).expect(status).await;
    }
    world.get(&world.owner, "/v1/secrets/none/explain?path=/a&permission=read").expect(404).await;
    world.set_gates([true, false, true]).await;
    let off = world.get(&world.owner, &question).expect(403).await;
    assert!(off.message().contains("KMS must be enabled"), "{}", off.text);
}

/// Who may read roles but not the secret hears the same whether there is one or not, with a policy or without.
#[tokio::test]
async fn a_secret_that_may_not_be_read_is_not_told() {
    let world = World::new().await;
    let paths = secrets(&world, "usr-x").await;
    let asker = world.person_with("iam_role", &[], &["read"]).await;
    let reader = world.person_with("secret", &[], &["getSecretValue", "read"]).await;
    let of = format!("user:{}", reader.subject);
    for word in WORDS {
        let mut seen: Vec<Json> = Vec::new();
        for path in paths.iter().copied().chain(["/none", "/app/none"]) {
            let mut said = explain(&world, &asker, path, word, &of).await;
            said["path"] = Json::Null;
            seen.push(said);
        }
        assert!(seen.iter().all(|said| *said == seen[0]), "{word}: {seen:#?}");
        assert!(seen[0].get("accessPolicy").is_none());
    }
    // About oneself it says what one could try, and not why.
    world.grant(&asker, "secret", &[], &["getSecretValue"]).await;
    let said = explain(&world, &asker, paths[3], "getSecretValue", "").await;
    assert_eq!(said["accessPolicy"], json!({"allowed": false}));
    assert_eq!(said["allowed"], false);
}

/// A policy means whom its names meant when it was set, in explanations too.
#[tokio::test]
async fn a_slug_that_is_free_again_is_explained_as_it_is_decided() {
    let world = World::new().await;
    let person = world.person_with("secret", &["/a"], &["getSecretValue"]).await;
    world.secret("/a", "x").await;
    let team = json!({"name": "t"});
    let member = json!({"userIdentity": person.subject});
    let join = async || {
        world.post(&world.owner, "/v1/teams").json(team.clone()).expect(201).await;
        world.post(&world.owner, "/v1/teams/t/members").json(member.clone()).expect(201).await;
    };
    join().await;
    let statement = json!({"effect": "Allow", "actions": ["read"], "principals": ["team:t"]});
    let policy = json!({"accessPolicy": {"statements": [statement]}});
    world.put(&world.owner, "/v1/secrets/nl-01/secret/a/policy").json(policy).expect(200).await;
    let of = format!("user:{}", person.subject);
    for may in [true, false] {
        let told = explain(&world, &world.owner, "/a", "getSecretValue", &of).await;
        assert_eq!(told["allowed"], may, "{told}");
        assert_eq!(really(&world, &person, "/a", "getSecretValue").await, may);
        world.delete(&world.owner, "/v1/teams/t").expect(204).await;
        join().await;
    }
}
