//! Create: which key, which path, which caller (contract, 2.6 S3, 2.8, 14.13).

use coffer_server::config::RegionConfig;
use serde_json::json;

use crate::create::{CANARY, SECRETS, body, create, input};
use crate::world::{World, base64, text_of};

#[tokio::test]
async fn a_key_is_named_by_identity_or_slug_and_answered_by_identity() {
    let world = World::new().await;
    for (path, name) in [("/by/identity", world.acme.key.as_str()), ("/by/slug", "default")] {
        let made = create(&world, body(&world, path, json!({"kmsKeyIdentity": name}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        assert_eq!(made.body["kmsKey"]["identity"], json!(world.acme.key));
        let url = format!("/v1/secrets/nl-01/secret{path}/value");
        let revealed = world.post(&world.owner, &url).expect(200).await;
        assert_eq!(revealed.body["kmsKeyIdentity"], json!(world.acme.key));
    }
}

#[tokio::test]
async fn every_symmetric_key_type_seals_and_opens() {
    let world = World::new().await;
    for key_type in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"] {
        let key = world.post(&world.owner, "/v1/kms/nl-01/keys");
        let key = key.json(json!({"name": key_type, "keyType": key_type})).expect(201).await;
        let path = format!("/types/{key_type}");
        let changes = json!({"kmsKeyIdentity": key.body["identity"]});
        assert_eq!(create(&world, body(&world, &path, changes)).await.status, 201);
        let url = format!("/v1/secrets/nl-01/secret{path}/value");
        let revealed = world.post(&world.owner, &url).expect(200).await;
        assert_eq!(text_of(&revealed), "value", "{key_type}");
    }
}

#[tokio::test]
async fn a_key_that_is_unknown_or_of_another_scope_gets_404() {
    let region = |slug: &str| RegionConfig { slug: slug.into(), name: None, kms: true };
    let world = World::with(|config| config.regions.push(region("be-01"))).await;
    let project = world.project("shop").await;
    let elsewhere = world.post(&world.owner, "/v1/kms/be-01/keys").json(json!({"name": "far"}));
    let elsewhere = elsewhere.expect(201).await.body["identity"].clone();
    let of_project = world.post(&world.owner, "/v1/kms/nl-01/keys").project(&project);
    let of_project = of_project.json(json!({"name": "shop"})).expect(201).await;
    let of_project = of_project.body["identity"].clone();
    for key in [
        json!("kms-d5obcgg3fspc73f7vqpg"),
        json!("no-such-key"),
        json!("DEFAULT"),
        json!("far"),
        elsewhere,
        of_project.clone(),
        json!("shop"),
        json!(world.globex.key),
    ] {
        let refused = create(&world, body(&world, "/x", json!({"kmsKeyIdentity": key}))).await;
        assert_eq!(refused.status, 404, "{key}: {}", refused.text);
    }
    for (key, status) in [(json!(world.acme.key), 404), (json!("default"), 404), (of_project, 201)]
    {
        let in_project = world.post(&world.owner, SECRETS).project(&project);
        let changes = json!({"kmsKeyIdentity": key});
        in_project.json(body(&world, "/x", changes)).expect(status).await;
    }
}

#[tokio::test]
async fn a_key_that_is_not_active_gets_400_until_it_is_again() {
    let world = World::new().await;
    let key = format!("/v1/kms/nl-01/keys/{}", world.acme.key);
    world.post(&world.owner, &format!("{key}/disable")).expect(200).await;
    let refused = create(&world, body(&world, "/x", json!({}))).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.message().contains("disabled"));
    world.post(&world.owner, &format!("{key}/enable")).expect(200).await;
    assert_eq!(create(&world, body(&world, "/x", json!({}))).await.status, 201);
    world.delete(&world.owner, &key).expect(200).await;
    let refused = create(&world, body(&world, "/y", json!({}))).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.message().contains("deletion"));
    world.delete(&world.owner, &format!("{key}/cancel-deletion")).expect(200).await;
    assert_eq!(create(&world, body(&world, "/y", json!({}))).await.status, 201);
}

#[tokio::test]
async fn a_path_that_is_taken_gets_409_and_keeps_its_secret() {
    let world = World::new().await;
    world.secret("/x", "first").await;
    let again = create(&world, body(&world, "/x", json!({"secretString": base64(CANARY)}))).await;
    assert_eq!(again.status, 409, "{}", again.text);
    assert!(!again.text.contains(&base64(CANARY)));
    let url = "/v1/secrets/nl-01/secret/x";
    assert_eq!(
        text_of(&world.post(&world.owner, &format!("{url}/value")).expect(200).await),
        "first"
    );
    world.delete(&world.owner, &format!("{url}/versions?version=1")).expect(204).await;
    assert_eq!(create(&world, body(&world, "/x", json!({}))).await.status, 409);
    for beside in ["/X", "/x/y", "/x-"] {
        assert_eq!(create(&world, body(&world, beside, json!({}))).await.status, 201);
    }
}

#[tokio::test]
async fn create_needs_the_permission_on_that_exact_path() {
    let world = World::new().await;
    let maker = world.person_with("secret", &["/app/*", "/exact"], &["create"]).await;
    for (path, status) in [
        ("/app/db", 201),
        ("/app/a/b/c", 201),
        ("/exact", 201),
        ("/app", 403),
        ("/application", 403),
        ("/exact/below", 403),
        ("/Exact", 403),
    ] {
        let made = world.post(&maker, SECRETS).json(body(&world, path, json!({})));
        made.expect(status).await;
    }
    let every = ["read", "update", "delete", "list", "getSecretValue", "putSecretValue"];
    let others = world.person_with("secret", &[], &every).await;
    world.post(&others, SECRETS).json(body(&world, "/y", json!({}))).expect(403).await;
    world.get(&maker, "/v1/secrets/nl-01/secret/app/db").expect(403).await;
}

#[tokio::test]
async fn create_in_a_region_without_kms_gets_503() {
    let world = World::new().await;
    let made = world.post(&world.owner, "/v1/secrets/de-01/secrets");
    let refused = made.json(body(&world, "/x", json!({}))).expect(503).await;
    assert!(refused.message().contains("KMS"));
    world.set_region_kms("nl-01", false).await;
    assert_eq!(create(&world, body(&world, "/x", json!({}))).await.status, 503);
    world.set_region_kms("nl-01", true).await;
    assert_eq!(create(&world, body(&world, "/x", json!({}))).await.status, 201);
}

#[tokio::test]
async fn no_refusal_repeats_a_value() {
    let world = World::new().await;
    let sent = base64(CANARY);
    for changes in [
        json!({"secretString": format!("{CANARY}!")}),
        json!({"secretString": {"x": sent}}),
        json!({"secretString": sent, "secretKeyValues": {"k": sent}}),
        input("secretKeyValues", json!({"k": CANARY})),
        input("secretKeyValues", json!({"k": [sent]})),
        input("generateSecret", json!(sent)),
        json!({"secretString": sent, "unknown": sent}),
        json!({"secretString": sent, "labels": sent}),
        json!({"secretString": sent, "kmsKeyIdentity": "no-such-key"}),
    ] {
        let refused = create(&world, body(&world, "/x", changes.clone())).await;
        assert!([400, 404].contains(&refused.status), "{changes}: {}", refused.text);
        assert!(!refused.text.contains("canary") && !refused.text.contains(&sent), "{changes}");
    }
    let records = json!(world.audit("action=secrets.create").await).to_string();
    assert!(!records.contains("canary") && !records.contains(&sent));
}

#[tokio::test]
async fn a_creation_is_audited_with_its_encryption_and_a_refusal_without() {
    let world = World::new().await;
    world.secret("/x", "v").await;
    create(&world, body(&world, "/x", json!({}))).await;
    world.post(&world.nobody, SECRETS).json(body(&world, "/y", json!({}))).expect(403).await;
    let seen: Vec<_> = world.audit("action=secrets.create").await;
    let seen: Vec<_> =
        seen.iter().map(|e| (&e["resourceIdentity"], &e["context"]["status"])).collect();
    let expected = [("/y", 403), ("/x", 409), ("/x", 201)].map(|(p, s)| (json!(p), json!(s)));
    assert!(seen.into_iter().eq(expected.iter().map(|(path, status)| (path, status))));
    let encrypted = world.audit("action=kms.encrypt").await;
    assert_eq!(encrypted.len(), 1);
    assert_eq!(encrypted[0]["resourceIdentity"], json!(world.acme.key));
}
