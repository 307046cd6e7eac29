//! Two organisations with the same slugs, names and paths never meet: what one sees is byte for byte the same,
//! whether the other is there or not.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::world::{Person, World, base64};

/// One step of a trace: method, URL, project, body.
type Step = (&'static str, String, &'static str, Json);

fn steps() -> Vec<Step> {
    let step = |method, url: &str, body| (method, url.to_owned(), "", body);
    let within = |method, url: &str, body| (method, url.to_owned(), "shop", body);
    let secret = |path: &str, value: &str| json!({"path": path, "kmsKeyIdentity": "main", "secretString": base64(value)});
    let rule = json!({
        "resources": ["secret"], "resourceIdentities": ["/app/*"], "permissions": ["getSecretValue"]
    });
    let elevation = json!({"policyIdentity": "readers", "reason": "r", "duration": "1h"});
    let provider = json!({"name": "ci", "providerIssuer": "https://issuer.example.com"});
    let more = json!({"name": "kms.keys", "newMaxUsage": 20_000, "reason": "r"});
    vec![
        step("POST", "/v1/kms/nl-01/keys", json!({"name": "main"})),
        step("POST", "/v1/secrets/nl-01/secrets", secret("/app/db", "one")),
        step("POST", "/v1/secrets/nl-01/secrets", secret("/app/db", "again")),
        step(
            "POST",
            "/v1/secrets/nl-01/secret/app/db/versions",
            json!({"secretString": base64("two")}),
        ),
        step("POST", "/v1/secrets/nl-01/secret/app/db/value", Json::Null),
        step("PATCH", "/v1/secrets/nl-01/secret/app/db", json!({"labels": {"a": "b"}})),
        step("GET", "/v1/secrets/nl-01/secrets?pathPrefix=/", Json::Null),
        step("POST", "/v1/projects", json!({"name": "shop"})),
        within("POST", "/v1/kms/nl-01/keys", json!({"name": "main"})),
        within("POST", "/v1/secrets/nl-01/secrets", secret("/app/db", "shop")),
        within("POST", "/v1/secrets/nl-01/secret/app/db/value", Json::Null),
        within("POST", "/v1/projects/iam/policies", json!({"name": "readers", "rules": [rule]})),
        within("GET", "/v1/projects/iam/policies/readers", Json::Null),
        within("GET", "/v1/projects/iam/policies/members", Json::Null),
        step("POST", "/v1/teams", json!({"name": "platform"})),
        step("POST", "/v1/service-accounts", json!({"name": "ci"})),
        step("POST", "/v1/service-accounts/ci/access-credentials", json!({"name": "k"})),
        step("GET", "/v1/service-accounts/ci/access-credentials", Json::Null),
        step("POST", "/v1/iam/roles", json!({"name": "apps"})),
        step("POST", "/v1/iam/roles/apps/rules", rule.clone()),
        step("POST", "/v1/iam/roles/apps/bindings", json!({"teamIdentity": "platform"})),
        step("POST", "/v1/iam/roles/apps/bindings", json!({"serviceAccountIdentity": "ci"})),
        step("GET", "/v1/iam/roles/apps", Json::Null),
        within(
            "POST",
            "/v1/projects/iam/policies/readers/bindings",
            json!({"teamIdentity": "platform"}),
        ),
        within("POST", "/v1/projects/iam/my-access-elevations", elevation),
        within("GET", "/v1/projects/iam/access-elevations", Json::Null),
        step("POST", "/v1/federated-identity-providers", provider),
        step("GET", "/v1/federated-identity-providers", Json::Null),
        step("POST", "/v1/invites", json!({"email": "new@example.com"})),
        step("GET", "/v1/invites", Json::Null),
        step("POST", "/v1/quotas/increase-requests", more),
        step("GET", "/v1/quotas", Json::Null),
        step("GET", "/v1/secrets/nl-01/explain?path=/app/db&permission=read", Json::Null),
        step("GET", "/v1/teams", Json::Null),
        step("GET", "/v1/projects", Json::Null),
        step("GET", "/v1/memberships", Json::Null),
        step("GET", "/v1/kms/summary", Json::Null),
        step("GET", "/v1/kms/nl-01/keys", Json::Null),
        step("POST", "/v1/kms/nl-01/keys/main/disable", Json::Null),
        step("POST", "/v1/secrets/nl-01/secret/app/db/value", Json::Null),
        within("POST", "/v1/secrets/nl-01/secret/app/db/value", Json::Null),
        step("POST", "/v1/kms/nl-01/keys/main/enable", Json::Null),
        step("DELETE", "/v1/secrets/nl-01/secret/app/db/versions?version=1", Json::Null),
        step("GET", "/v1/secrets/nl-01/secret/app/db?includeVersions=true", Json::Null),
        step("DELETE", "/v1/teams/platform", Json::Null),
        step("GET", "/v1/iam/roles/apps/bindings", Json::Null),
        step("DELETE", "/v1/secrets/nl-01/secret/app/db", Json::Null),
        step("DELETE", "/v1/kms/nl-01/keys/main", Json::Null),
        within("DELETE", "/v1/secrets/nl-01/secret/app/db", Json::Null),
        step("DELETE", "/v1/projects/shop", Json::Null),
        step("GET", "/v1/audit?limit=500", Json::Null),
    ]
}

/// Lists in an order that no identity decides.
fn settled(answer: Json) -> Json {
    match answer {
        Json::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(settled).collect();
            items.sort_by_key(|item| {
                let mut nothing = HashMap::new();
                let text = without_chance(&item.to_string(), &mut nothing);
                text.split('#')
                    .map(|part| part.trim_start_matches(char::is_numeric))
                    .collect::<String>()
            });
            Json::Array(items)
        }
        Json::Object(fields) => {
            Json::Object(fields.into_iter().map(|(name, value)| (name, settled(value))).collect())
        }
        other => other,
    }
}

async fn take(world: &World, by: &Person, (method, url, project, body): &Step) -> (u16, String) {
    let call = world.ask(method, by, url);
    let call = if project.is_empty() { call } else { call.project(project) };
    let answer = match body {
        Json::Null => call.send().await,
        body => call.json(body.clone()).send().await,
    };
    (answer.status, settled(answer.body).to_string())
}

/// Puts numbers, in the order in which they come, in the place of what is random: identities and secrets.
fn without_chance(text: &str, known: &mut HashMap<String, usize>) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let mut told = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_word) {
        let (before, from) = rest.split_at(at);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        told.push_str(before);
        match word.len() >= 20 {
            true => {
                let next = known.len();
                told.push_str(&format!("#{}", known.entry(word.to_owned()).or_insert(next)));
            }
            false => told.push_str(word),
        }
        rest = after;
    }
    told + rest
}

async fn trace(world: &World, beside: Option<&Person>) -> Vec<String> {
    let mut known = HashMap::new();
    let mut lines = Vec::new();
    for step in steps() {
        if let Some(other) = beside {
            take(world, other, &step).await;
        }
        let (status, text) = take(world, &world.owner, &step).await;
        if let Some(other) = beside {
            assert!(!text.contains(&other.subject) && !text.contains(&world.globex.id), "{text}");
        }
        let text = without_chance(&text, &mut known);
        lines.push(format!("{} {} {status} {text}", step.0, step.1));
    }
    lines
}

#[tokio::test]
async fn a_tenant_sees_the_same_whether_another_is_there_or_not() {
    let alone = trace(&World::new().await, None).await;
    let world = World::new().await;
    let beside = trace(&world, Some(&world.stranger)).await;
    for (one, other) in alone.iter().zip(&beside) {
        assert_eq!(one, other);
    }
    let refused = alone.iter().filter(|line| line.contains(" 40")).count();
    assert_eq!((alone.len(), refused), (51, 3), "{alone:#?}");
}
