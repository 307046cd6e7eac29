//! Access policies: stored as sent, enforced on reveal and put alone (contract, 2.7, 14.14, 14.18).

use serde_json::{Value as Json, json};

use crate::world::{Person, World, base64};

pub const X: &str = "/v1/secrets/nl-01/secret/x";

pub async fn set(world: &World, policy: Json) {
    let body = json!({"accessPolicy": policy});
    world.put(&world.owner, &format!("{X}/policy")).json(body).expect(200).await;
}

/// The statuses of a reveal and of a put.
pub async fn try_both(world: &World, by: &Person, from: &str) -> [u16; 2] {
    let reveal = world.post(by, &format!("{X}/value")).from(from).send().await.status;
    let put = json!({"secretString": base64("next")});
    let put = world.post(by, &format!("{X}/versions")).json(put).from(from).send().await.status;
    [reveal, put]
}

pub async fn world_with_x() -> World {
    let world = World::new().await;
    world.secret("/x", "v").await;
    world
}

pub fn ip(effect: &str, nets: &[&str]) -> Json {
    json!({"conditions": [{"type": "ip", "effect": effect, "cidrs": nets}]})
}

pub fn time(effect: &str, start: i64, end: i64, zone: &str) -> Json {
    json!({"conditions": [{
        "type": "time", "effect": effect, "startHour": start, "endHour": end, "timezone": zone
    }]})
}

#[tokio::test]
async fn every_shape_is_stored_and_answered_exactly_as_sent() {
    let world = world_with_x().await;
    let hours = json!({"startHour": 8, "endHour": 18, "timezone": "Europe/Amsterdam"});
    for policy in [
        ip("allow", &["10.0.0.0/8", "192.168.1.0/24", "127.0.0.1", "2001:db8::/32"]),
        ip("deny", &["203.0.113.50"]),
        json!({"conditions": [{"type": "ip", "effect": "allow", "ips": ["127.0.0.1"]}]}),
        time("allow", 8, 18, "Europe/Amsterdam"),
        time("deny", 22, 6, "UTC"),
        time("allow", 0, 24, "America/New_York"),
        json!({
            "allowed": [{"type": "ip", "ips": ["127.0.0.1"]}, {"type": "time", "time": hours}],
            "denied": [{"type": "ip", "ips": ["203.0.113.50"]}]
        }),
        json!({"statements": [
            {"effect": "Allow", "actions": ["read"], "principals": ["team:platform"]}
        ]}),
        json!({"statements": [
            {"effect": "allow", "actions": ["secrets:get-value", "secrets:put-value"]},
            {"effect": "DENY", "actions": ["*"], "principals": ["serviceAccount:ci", "user:u"]}
        ]}),
        json!({"conditions": []}),
    ] {
        let body = json!({"accessPolicy": policy});
        let put = world.put(&world.owner, &format!("{X}/policy")).json(body);
        assert_eq!(put.expect(200).await.body["accessPolicy"], policy);
        let read = world.get(&world.owner, X).expect(200).await;
        assert_eq!(read.body["accessPolicy"], policy);
    }
}

#[tokio::test]
async fn a_policy_that_breaks_a_rule_gets_400_on_create_and_on_put() {
    let world = world_with_x().await;
    set(&world, ip("allow", &["127.0.0.1"])).await;
    let condition = |condition: Json| json!({"conditions": [condition]});
    let statement = |statement: Json| json!({"statements": [statement]});
    let nets = |count: usize| (0..count).map(|at| format!("10.0.0.{at}")).collect::<Vec<_>>();
    let deny = json!({"type": "ip", "effect": "deny", "cidrs": ["192.0.2.1"]});
    let grouped = json!({"type": "ip", "ips": ["192.0.2.1"]});
    let hours = |start: Json| {
        let mut condition = time("allow", 8, 18, "UTC")["conditions"][0].take();
        condition["startHour"] = start;
        condition
    };
    let say = json!({"effect": "allow", "actions": ["read"]});
    for policy in [
        condition(json!({"type": "geo", "effect": "allow", "cidrs": ["127.0.0.1"]})),
        condition(json!({"type": "ip", "effect": "maybe", "cidrs": ["127.0.0.1"]})),
        condition(json!({"type": "ip", "cidrs": ["127.0.0.1"]})),
        condition(json!({"effect": "allow", "cidrs": ["127.0.0.1"]})),
        condition(json!({"type": "ip", "effect": "allow"})),
        condition(json!({"type": "ip", "effect": "allow", "cidr": ["127.0.0.1"]})),
        ip("allow", &["10.0.0.0/33"]),
        ip("allow", &["10.0.0"]),
        ip("allow", &["2001:db8::/129"]),
        ip("allow", &["host.example"]),
        ip("allow", &[""]),
        condition(json!({"type": "ip", "effect": "deny", "cidrs": nets(129)})),
        time("allow", 8, 8, "UTC"),
        time("allow", 0, 0, "UTC"),
        time("allow", 24, 8, "UTC"),
        time("allow", -1, 8, "UTC"),
        time("allow", 8, 25, "UTC"),
        time("allow", 8, 18, "Mars/Olympus"),
        time("allow", 8, 18, ""),
        condition(json!({"type": "time", "effect": "allow", "startHour": 8, "endHour": 18})),
        condition(hours(json!("8"))),
        condition(hours(json!(8.5))),
        json!({"conditions": vec![deny.clone(); 33]}),
        json!({"conditions": vec![deny; 20], "denied": vec![grouped; 13]}),
        json!({"condition": []}),
        json!({"allowed": [{"type": "time", "time": {"startHour": 8}}]}),
        statement(json!({"effect": "perhaps", "actions": ["read"]})),
        statement(json!({"actions": ["read"]})),
        statement(json!({"effect": "allow", "actions": ["delete"]})),
        statement(json!({"effect": "allow", "actions": ["Read"]})),
        statement(json!({"effect": "allow", "actions": ["read", "fly"]})),
        statement(json!({"effect": "allow"})),
        statement(json!({"effect": "allow", "actions": ["read"], "principals": ["role:x"]})),
        statement(json!({"effect": "allow", "actions": ["read"], "principals": ["platform"]})),
        statement(json!({"effect": "allow", "actions": ["read"], "principals": ["team:"]})),
        statement(json!({"effect": "allow", "actions": ["read"], "resources": ["/x"]})),
        json!({"statements": vec![say; 33]}),
        json!("allow"),
        json!(true),
    ] {
        let body = json!({"accessPolicy": policy});
        let refused = world.put(&world.owner, &format!("{X}/policy")).json(body).expect(400).await;
        assert!(refused.message().contains("accessPolicy"), "{policy}: {}", refused.text);
        let create = json!({
            "path": "/y", "kmsKeyIdentity": world.acme.key, "secretString": base64("v"),
            "accessPolicy": policy
        });
        let made = world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(create);
        made.expect(400).await;
    }
    let kept = world.get(&world.owner, X).expect(200).await;
    assert_eq!(kept.body["accessPolicy"], ip("allow", &["127.0.0.1"]));
}

#[tokio::test]
async fn a_policy_may_be_as_large_as_the_limits_say() {
    let world = world_with_x().await;
    let nets: Vec<_> = (0..128).map(|at| format!("10.0.0.{at}")).collect();
    let deny = json!({"type": "ip", "effect": "deny", "cidrs": nets});
    let say = json!({"effect": "allow", "actions": ["read"]});
    set(&world, json!({"conditions": vec![deny; 32], "statements": vec![say; 32]})).await;
    assert_eq!(try_both(&world, &world.owner, "10.0.0.127").await, [403, 403]);
    assert_eq!(try_both(&world, &world.owner, "10.0.0.128").await, [200, 200]);
}

#[tokio::test]
async fn a_policy_gates_values_alone() {
    let world = world_with_x().await;
    world.secret("/x/below", "v").await;
    set(&world, ip("deny", &["0.0.0.0/0", "::/0"])).await;
    let reveal = world.post(&world.owner, &format!("{X}/value")).expect(403).await;
    assert!(reveal.message().contains("access policy"), "{}", reveal.text);
    assert!(reveal.body.get("secretString").is_none());
    assert_eq!(try_both(&world, &world.owner, "127.0.0.1").await, [403, 403]);
    world.post(&world.owner, &format!("{X}/below/value")).expect(200).await;
    world.get(&world.owner, X).expect(200).await;
    world.get(&world.owner, &format!("{X}?includeVersions=true")).expect(200).await;
    for query in ["", "?pathPrefix=/"] {
        let listed = world.get(&world.owner, &format!("/v1/secrets/nl-01/secrets{query}"));
        assert!(listed.expect(200).await.text.contains(r#""path":"/x""#));
    }
    world.patch(&world.owner, X).json(json!({"description": "d"})).expect(200).await;
    set(&world, ip("deny", &["0.0.0.0/0"])).await;
    world.delete(&world.owner, &format!("{X}/versions?version=1")).expect(204).await;
    world.delete(&world.owner, X).expect(204).await;
}

#[tokio::test]
async fn a_policy_given_at_create_is_enforced() {
    let world = World::new().await;
    let create = json!({
        "path": "/x", "kmsKeyIdentity": world.acme.key, "secretString": base64("v"),
        "accessPolicy": ip("allow", &["10.0.0.0/8"])
    });
    world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(create).expect(201).await;
    assert_eq!(try_both(&world, &world.owner, "127.0.0.1").await, [403, 403]);
    assert_eq!(try_both(&world, &world.owner, "10.1.2.3").await, [200, 200]);
}

#[tokio::test]
async fn an_owner_is_not_exempt_but_may_clear_the_policy() {
    let world = world_with_x().await;
    let deny = json!({"statements": [{"effect": "deny", "actions": ["*"], "principals": ["*"]}]});
    for clear in [json!(null), json!({})] {
        set(&world, deny.clone()).await;
        assert_eq!(try_both(&world, &world.owner, "127.0.0.1").await, [403, 403]);
        set(&world, clear).await;
        assert_eq!(try_both(&world, &world.owner, "127.0.0.1").await, [200, 200]);
        let read = world.get(&world.owner, X).expect(200).await;
        assert!(read.body.get("accessPolicy").is_none(), "{}", read.text);
    }
}

#[tokio::test]
async fn clearing_and_setting_leave_different_records() {
    let world = world_with_x().await;
    let policy = ip("deny", &["192.0.2.1"]);
    for value in [json!(null), json!({}), policy.clone(), json!({}), policy, json!(null)] {
        set(&world, value).await;
    }
    let update = world.audit("action=secrets.policy.update").await;
    let clear = world.audit("action=secrets.policy.clear").await;
    assert_eq!((update.len(), clear.len()), (2, 4));
    assert!(update.iter().chain(&clear).all(|record| record["resourceIdentity"] == "/x"));
}

#[tokio::test]
async fn a_put_of_a_policy_that_is_no_policy_body_is_refused() {
    let world = world_with_x().await;
    let url = format!("{X}/policy");
    for raw in ["", "{}", "[]", "null", "{", r#"{"policy": {}}"#, r#"{"accessPolicy": {}, "x": 1}"#]
    {
        let refused = world.put(&world.owner, &url).raw(raw.as_bytes()).expect(400).await;
        assert!(!refused.message().is_empty(), "{raw}");
    }
    let body = json!({"accessPolicy": null});
    let missing = "/v1/secrets/nl-01/secret/y/policy";
    world.put(&world.owner, missing).json(body.clone()).expect(404).await;
    let others = ["read", "list", "delete", "create", "getSecretValue", "putSecretValue"];
    let person = world.person_with("secret", &[], &others).await;
    world.put(&person, &url).json(body.clone()).expect(403).await;
    let updater = world.person_with("secret", &["/x"], &["update"]).await;
    world.put(&updater, &url).json(body).expect(200).await;
}

#[tokio::test]
async fn a_refusal_by_the_policy_is_audited_with_its_reason_and_no_key_operation() {
    let world = world_with_x().await;
    set(&world, ip("allow", &["10.0.0.0/8"])).await;
    assert_eq!(try_both(&world, &world.owner, "127.0.0.1").await, [403, 403]);
    for action in ["secrets.getSecretValue", "secrets.putSecretValue"] {
        let records = world.audit(&format!("action={action}&responseStatus=403")).await;
        assert_eq!(records.len(), 1, "{action}");
        assert!(records[0]["description"].as_str().unwrap().contains("policy"), "{action}");
    }
    assert!(world.audit("action=kms.decrypt").await.is_empty());
    assert_eq!(world.audit("action=kms.encrypt").await.len(), 1);
}
