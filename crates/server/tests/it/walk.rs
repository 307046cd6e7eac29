//! The getting-started walk of the product documents.

use serde_json::json;

use crate::world::{World, base64, text_of};

#[tokio::test]
async fn a_secret_is_made_revealed_rotated_and_browsed() {
    let world = World::new().await;
    let made = world.secret("/app/production/db/password", "hunter2").await;
    assert_eq!(made["currentVersion"], 1);
    let url = "/v1/secrets/nl-01/secret/app/production/db/password";
    let revealed = world.post(&world.owner, &format!("{url}/value")).expect(200).await;
    assert_eq!(text_of(&revealed), "hunter2");
    let put = world
        .post(&world.owner, &format!("{url}/versions"))
        .json(json!({"secretString": base64("hunter3")}))
        .expect(200)
        .await;
    assert_eq!(put.body, json!({"path": "/app/production/db/password", "version": 2}));
    let first = world.post(&world.owner, &format!("{url}/value")).json(json!({"version": 1}));
    assert_eq!(text_of(&first.expect(200).await), "hunter2");
    let level = world.get(&world.owner, "/v1/secrets/nl-01/secrets?path=/app/").expect(200).await;
    assert_eq!(
        level.body,
        json!({"path": "/app/", "prefixes": ["/app/production/"], "secrets": []})
    );
    let actions: Vec<_> =
        world.audit("resourceType=secret").await.iter().map(|e| e["action"].clone()).collect();
    assert_eq!(
        actions,
        [
            "secrets.list",
            "secrets.getSecretValue",
            "secrets.putSecretValue",
            "secrets.getSecretValue",
            "secrets.create"
        ]
    );
}
