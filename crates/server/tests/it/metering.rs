//! Versions and the hours that they were stored: exact, whatever happens to them and to the server.

use serde_json::{Value as Json, json};

use crate::world::{NOON, World, base64};
use coffer_server::model::identity::MemberRole;

const HOUR: i64 = 3_600_000_000;
const METERING: &str = "/v1/metering/secret-versions";

/// `[region, project, versions, version-hours]` of each item.
async fn metered(world: &World, query: &str) -> Vec<Json> {
    let told = world.get(&world.owner, &format!("{METERING}{query}")).expect(200).await.body;
    let row = |item: &Json| {
        json!([item["region"], item["projectIdentity"], item["versions"], item["versionHours"]])
    };
    told["items"].as_array().unwrap().iter().map(row).collect()
}

async fn put(world: &World, path: &str) {
    let url = format!("/v1/secrets/nl-01/secret{path}/versions");
    world.post(&world.owner, &url).json(json!({"secretString": base64("v")})).expect(200).await;
}

#[tokio::test]
async fn versions_are_metered_for_as_long_as_they_are_stored() {
    let world = World::new().await;
    assert_eq!(metered(&world, "").await, Vec::<Json>::new());
    world.secret("/app/a", "v").await;
    world.set_now(NOON + HOUR);
    put(&world, "/app/a").await;
    world.secret("/app/b", "v").await;
    world.set_now(NOON + 2 * HOUR);
    // Three versions: 2 + 1 + 1 hours.
    assert_eq!(metered(&world, "").await, [json!(["nl-01", null, 3, 4.0])]);
    world
        .delete(&world.owner, "/v1/secrets/nl-01/secret/app/a/versions?version=1")
        .expect(204)
        .await;
    world.set_now(NOON + 3 * HOUR);
    assert_eq!(metered(&world, "").await, [json!(["nl-01", null, 2, 6.0])]);
    world.delete(&world.owner, "/v1/secrets/nl-01/secret/app/a").expect(204).await;
    world.set_now(NOON + 5 * HOUR);
    // 2 of version 1, 2 of version 2, 4 of the other secret.
    assert_eq!(metered(&world, "").await, [json!(["nl-01", null, 1, 8.0])]);
    // At the same path, from the beginning.
    world.secret("/app/a", "v").await;
    world.set_now(NOON + 5 * HOUR + 1);
    let told = metered(&world, "").await;
    assert_eq!((&told[0][2], told[0][3].as_f64().unwrap()), (&json!(2), 8.0));
    // A period cuts at both ends: from 12:30 to 14:30, versions 1 (1.5), 2 (1.5) and the other one (1.5).
    let period = "?from=2026-01-15T12:30:00Z&to=2026-01-15T14:30:00%2B00:00";
    assert_eq!(metered(&world, period).await, [json!(["nl-01", null, 2, 4.5])]);
    let other_zone = "?from=2026-01-15T13:30:00%2B01:00&to=2026-01-15T14:30:00Z";
    assert_eq!(metered(&world, other_zone).await, metered(&world, period).await);
    let nothing = "?from=2026-01-15T12:30:00Z&to=2026-01-15T12:30:00Z";
    assert_eq!(metered(&world, nothing).await, [json!(["nl-01", null, 2, 0.0])]);
    // What is to come is not told.
    let told = world
        .get(&world.owner, &format!("{METERING}?to=2099-01-01T00:00:00Z"))
        .expect(200)
        .await
        .body;
    assert_eq!(
        (&told["from"], &told["to"]),
        (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-15T17:00:00.000001Z"))
    );
    // Microseconds are added up, not rounded away.
    let tiny = "?from=2026-01-15T16:59:59.996400Z&to=2026-01-15T17:00:00Z";
    assert_eq!(metered(&world, tiny).await, [json!(["nl-01", null, 2, 0.000001])]);
}

#[tokio::test]
async fn what_cannot_be_metered_is_told() {
    let world = World::new().await;
    for query in [
        "?from=yesterday",
        "?from=2026-01-15",
        "?to=1768478400",
        "?from=2026-01-16T00:00:00Z",
        "?from=2026-01-15T00:00:00Z&to=2026-01-14T00:00:00Z",
        "?from=2026-01-15T00:00:00Z&from=2026-01-15T00:00:00Z",
    ] {
        world.get(&world.owner, &format!("{METERING}{query}")).expect(400).await;
    }
}

#[tokio::test]
async fn organisations_and_projects_are_metered_apart() {
    let world = World::new().await;
    world.secret("/app/a", "v").await;
    let project =
        world.post(&world.owner, "/v1/projects").json(json!({"name": "p"})).expect(201).await;
    let project = project.body["identity"].as_str().unwrap().to_owned();
    let key = world.post(&world.owner, "/v1/kms/nl-01/keys").json(json!({"name": "of-p"}));
    key.header("x-project-identity", &project).expect(201).await;
    let body =
        json!({"path": "/in/project", "kmsKeyIdentity": "of-p", "secretString": base64("v")});
    let made = world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(body);
    made.header("x-project-identity", &project).expect(201).await;
    world.set_now(NOON + HOUR);
    let both = [json!(["nl-01", null, 1, 1.0]), json!(["nl-01", project, 1, 1.0])];
    assert_eq!(metered(&world, "").await, both);
    let within = world.get(&world.owner, METERING).header("x-project-identity", &project);
    assert_eq!(within.expect(200).await.body["items"].as_array().unwrap().len(), 1);
    // Nobody else's.
    let stranger = world.member(&world.globex.id, MemberRole::Owner).await;
    let told = world.get(&stranger, METERING).expect(200).await.body;
    assert_eq!(told["items"], json!([]));
    world.get(&world.nobody, METERING).expect(403).await;
    assert_eq!(world.audit("action=metering.secret-versions").await.len(), 3);
}

#[tokio::test]
async fn a_table_comes_as_csv() {
    let world = World::new().await;
    world.secret("/app/a", "v").await;
    world.set_now(NOON + HOUR / 2);
    let asked = world.get(&world.owner, METERING).header("accept", "text/csv");
    let answer = asked.expect(200).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(
        answer.text,
        "from,to,region,project,versions,versionHours\r\n\
         2026-01-01T00:00:00Z,2026-01-15T12:30:00Z,nl-01,,1,0.5\r\n"
    );
    for accept in ["*/*", "application/json, text/csv", "text/html"] {
        let answer = world.get(&world.owner, METERING).header("accept", accept).expect(200).await;
        assert_eq!(answer.header("content-type"), "application/json", "{accept}");
    }
}
