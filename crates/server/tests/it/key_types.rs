//! The thirteen types (contract, sections 3.3 to 3.5): made, shown, used and used again after rotations.

use coffer_server::config::RegionConfig;
use serde_json::{Value as Json, json};

use crate::world::{World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";

/// What an operation on a key answers.
pub async fn call(world: &World, key: &str, operation: &str, body: Json) -> Json {
    world.post(&world.owner, &format!("{KEYS}/{key}/{operation}")).json(body).expect(200).await.body
}

/// Fails with 400 and this in the message.
pub async fn refused(world: &World, key: &str, operation: &str, body: Json, says: &str) {
    let call = world.post(&world.owner, &format!("{KEYS}/{key}/{operation}")).json(body);
    let answer = call.expect(400).await;
    assert!(answer.message().contains(says), "{operation}: {}", answer.text);
}

#[tokio::test]
async fn every_type_is_made_and_shown() {
    let world = World::new().await;
    for (key_type, hash) in [
        ("aes128-gcm96", None),
        ("aes256-gcm96", None),
        ("chacha20-poly1305", None),
        ("rsa-2048", None),
        ("ecdsa-p256", None),
        ("ecdsa-p384", None),
        ("ecdsa-p521", None),
        ("ed25519", None),
        ("hmac", Some("sha256")),
        ("hmac-sha256", Some("sha256")),
        ("hmac-sha512", Some("sha512")),
    ] {
        let made = world.post(&world.owner, KEYS);
        let made = made.json(json!({"name": key_type, "keyType": key_type})).expect(201).await.body;
        assert_eq!(made["keyType"], key_type);
        assert_eq!(made["hashFunction"].as_str(), hash, "{made}");
        assert_eq!(made["latestVersion"], 1);
        assert!(made.get("imported").is_none() && made.get("allowRotation").is_none(), "{made}");
        let read = world.get(&world.owner, &format!("{KEYS}/{key_type}")).expect(200).await.body;
        assert_eq!(read, made);
    }
}

#[tokio::test]
async fn a_hash_function_belongs_to_hmac_keys() {
    let world = World::new().await;
    for (at, (key_type, hash, expected)) in [
        ("hmac", "sha256", Some("sha256")),
        ("hmac", "SHA-384", Some("sha384")),
        ("hmac", "sha2-512", Some("sha512")),
        ("hmac-sha256", "SHA256", Some("sha256")),
        ("hmac-sha512", "", Some("sha512")),
        ("hmac-sha512", "sha256", None),
        ("hmac", "sha1", None),
        ("hmac", "md5", None),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"name": format!("k{at}"), "keyType": key_type, "hashFunction": hash});
        let answer = world.post(&world.owner, KEYS).json(body).send().await;
        match expected {
            Some(expected) => assert_eq!(answer.body["hashFunction"], expected, "{}", answer.text),
            None => assert!(answer.status == 400 && answer.message().contains("hashFunction")),
        }
    }
    // Of another type it is accepted and says nothing.
    let body = json!({"name": "plain", "hashFunction": "sha256", "allowRotation": true});
    let plain = world.post(&world.owner, KEYS).json(body).expect(201).await.body;
    assert!(plain.get("hashFunction").is_none(), "{plain}");
}

#[tokio::test]
async fn hmacs_follow_the_keys_hash() {
    let world = World::new().await;
    for (name, key_type, hash, bytes) in [
        ("a", "hmac", "sha256", 32_usize),
        ("b", "hmac", "sha384", 48),
        ("c", "hmac-sha512", "sha512", 64),
    ] {
        let body = json!({"name": name, "keyType": key_type, "hashFunction": hash});
        world.key_of(&world.owner, body).await;
        let made = call(&world, name, "hmac", json!({"input": base64("x")})).await;
        let text = made["hmac"].as_str().unwrap();
        let bare = text.strip_prefix("thalassa:v1:").unwrap();
        assert_eq!(bare.len(), bytes.div_ceil(3) * 4, "{text}");
        for (input, hmac, valid) in
            [("x", text, true), ("x", bare, true), ("y", text, false), ("x", "AAAA", false)]
        {
            let body = json!({"input": base64(input), "hmac": hmac, "hashAlgorithm": hash});
            let verified = call(&world, name, "verify-hmac", body).await;
            assert_eq!(verified, json!({"valid": valid, "keyVersion": "1"}), "{name} {hmac}");
        }
        let other = if hash == "sha256" { "sha512" } else { "sha256" };
        for field in ["algorithm", "hashAlgorithm"] {
            let body = json!({"input": base64("x"), field: other});
            refused(&world, name, "hmac", body, field).await;
            let body = json!({"input": base64("x"), field: other, "hmac": text});
            refused(&world, name, "verify-hmac", body, field).await;
        }
        for junk in ["thalassa:v9:AAAA", "thalassa:v1:!", "!", "vault:v1:AAAA"] {
            let body = json!({"input": base64("x"), "hmac": junk});
            refused(&world, name, "verify-hmac", body, "hmac").await;
        }
    }
    let long = base64(vec![7; 65_536]);
    call(&world, "a", "hmac", json!({"input": long})).await;
    refused(&world, "a", "hmac", json!({"input": base64(vec![7; 65_537])}), "65536").await;
    call(&world, "a", "hmac", json!({"input": ""})).await;
}

#[tokio::test]
async fn what_five_rotations_ago_was_made_still_works() {
    let world = World::new().await;
    for key_type in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "rsa-2048"] {
        world.key_of(&world.owner, json!({"name": key_type, "keyType": key_type})).await;
        let first = call(&world, key_type, "encrypt", json!({"plaintext": base64("old")})).await;
        for _ in 0..5 {
            world.post(&world.owner, &format!("{KEYS}/{key_type}/rotate")).expect(200).await;
        }
        let body = json!({"ciphertext": first["ciphertext"]});
        let opened = call(&world, key_type, "decrypt", body.clone()).await;
        assert_eq!(opened, json!({"plaintext": base64("old"), "keyVersion": "1"}));
        let anew = call(&world, key_type, "rewrap", body).await;
        assert_eq!(anew["keyVersion"], "6");
        assert!(anew["ciphertext"].as_str().unwrap().starts_with("thalassa:v6:"), "{anew}");
        let body = json!({"ciphertext": anew["ciphertext"]});
        assert_eq!(call(&world, key_type, "decrypt", body).await["plaintext"], base64("old"));
    }
    for (key_type, make, verify, field) in [
        ("ed25519", "sign", "verify", "signature"),
        ("ecdsa-p256", "sign", "verify", "signature"),
        ("hmac", "hmac", "verify-hmac", "hmac"),
    ] {
        world.key_of(&world.owner, json!({"name": key_type, "keyType": key_type})).await;
        let first = call(&world, key_type, make, json!({"input": base64("old")})).await;
        for _ in 0..5 {
            world.post(&world.owner, &format!("{KEYS}/{key_type}/rotate")).expect(200).await;
        }
        let body = json!({"input": base64("old"), field: first[field]});
        assert_eq!(
            call(&world, key_type, verify, body).await,
            json!({"valid": true, "keyVersion": "1"})
        );
        // The same bytes as the latest version's are wrong.
        let bare = first[field].as_str().unwrap().rsplit(':').next().unwrap();
        let body = json!({"input": base64("old"), field: bare});
        assert_eq!(
            call(&world, key_type, verify, body).await,
            json!({"valid": false, "keyVersion": "6"})
        );
        let pinned = json!({"input": base64("new"), "keyVersion": "2"});
        assert_eq!(call(&world, key_type, make, pinned).await["keyVersion"], "2");
        for unknown in ["7", "0", "99999999"] {
            let body = json!({"input": base64("new"), "keyVersion": unknown});
            refused(&world, key_type, make, body, "keyVersion").await;
        }
    }
}

#[tokio::test]
async fn a_ciphertext_opens_in_its_own_place_only() {
    let region = RegionConfig { slug: "be-01".into(), name: None, kms: true };
    let world = World::with(|config| config.regions.push(region)).await;
    let body = json!({"plaintext": base64("x"), "context": base64("order 4711")});
    let sealed = call(&world, "default", "encrypt", body).await["ciphertext"].clone();
    let right = json!({"ciphertext": sealed, "context": base64("order 4711")});
    assert_eq!(call(&world, "default", "decrypt", right.clone()).await["plaintext"], base64("x"));

    world.key(&world.owner, "other").await;
    refused(&world, "other", "decrypt", right.clone(), "does not open").await;
    for context in [json!(null), json!(""), json!(base64("order 4712"))] {
        let body = json!({"ciphertext": sealed, "context": context});
        refused(&world, "default", "decrypt", body.clone(), "does not open").await;
        refused(&world, "default", "rewrap", body, "does not open").await;
    }
    let here = json!({"name": "default"});
    world.post(&world.owner, "/v1/kms/be-01/keys").json(here.clone()).expect(201).await;
    let elsewhere = world.post(&world.owner, "/v1/kms/be-01/keys/default/decrypt");
    elsewhere.json(right.clone()).expect(400).await;
    let theirs = world.post(&world.stranger, &format!("{KEYS}/default/decrypt"));
    theirs.json(right.clone()).expect(400).await;
    world.project("shop").await;
    world.post(&world.owner, KEYS).project("shop").json(here).expect(201).await;
    let inside = world.post(&world.owner, &format!("{KEYS}/default/decrypt")).project("shop");
    inside.json(right).expect(400).await;

    // Even the same material under another name does not open it: the row of the key was copied.
    world.sql(&format!(
        "UPDATE kms_key_versions SET wrapped_material = (SELECT wrapped_material
         FROM kms_key_versions WHERE key_id = '{}') WHERE key_id = (SELECT key_id FROM kms_keys
         WHERE slug = 'other')",
        world.acme.key
    ));
    let body = json!({"ciphertext": sealed, "context": base64("order 4711")});
    world.post(&world.owner, &format!("{KEYS}/other/decrypt")).json(body).expect(500).await;
}

#[tokio::test]
async fn rsa_encrypts_little_and_without_a_context() {
    let world = World::new().await;
    world.key_of(&world.owner, json!({"name": "rsa", "keyType": "rsa-2048"})).await;
    let most = base64(vec![7; 190]);
    let sealed = call(&world, "rsa", "encrypt", json!({"plaintext": most})).await;
    let body = json!({"ciphertext": sealed["ciphertext"]});
    assert_eq!(call(&world, "rsa", "decrypt", body).await["plaintext"], json!(most));
    let more = json!({"plaintext": base64(vec![7; 191])});
    refused(&world, "rsa", "encrypt", more, "190 bytes").await;
    let context = base64("c");
    let body = json!({"plaintext": base64("x"), "context": context});
    refused(&world, "rsa", "encrypt", body, "context").await;
    let body = json!({"ciphertext": sealed["ciphertext"], "context": context});
    refused(&world, "rsa", "decrypt", body.clone(), "context").await;
    refused(&world, "rsa", "rewrap", body, "context").await;
    refused(
        &world,
        "rsa",
        "generate-data-key",
        json!({"keyBytes": 32, "context": context}),
        "context",
    )
    .await;
    let junk = json!({"ciphertext": format!("thalassa:v1:{}", base64(vec![7; 256]))});
    refused(&world, "rsa", "decrypt", junk, "does not open").await;
}

#[tokio::test]
async fn a_data_key_is_given_once_and_sealed() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for bytes in [16_usize, 32, 64] {
        for context in ["", "vol 1"] {
            let body = json!({"keyBytes": bytes, "context": base64(context)});
            let made = call(&world, "default", "generate-data-key", body).await;
            let plaintext = made["plaintext"].as_str().unwrap();
            assert_eq!(plaintext.len(), bytes.div_ceil(3) * 4);
            assert_eq!(made["keyVersion"], "1");
            let body = json!({"ciphertext": made["ciphertext"], "context": base64(context)});
            assert_eq!(call(&world, "default", "decrypt", body).await["plaintext"], plaintext);
            assert!(!seen.contains(&plaintext.to_owned()));
            seen.push(plaintext.to_owned());
        }
    }
    for bytes in [json!(0), json!(-16), json!(24), json!(65), json!("32"), json!(null)] {
        refused(&world, "default", "generate-data-key", json!({"keyBytes": bytes}), "keyBytes")
            .await;
    }
    refused(&world, "default", "generate-data-key", json!({}), "keyBytes").await;
}

#[tokio::test]
async fn only_symmetric_keys_are_bound_to_secrets() {
    let world = World::new().await;
    for key_type in ["ed25519", "hmac", "ecdsa-p256"] {
        let key = world.key_of(&world.owner, json!({"name": key_type, "keyType": key_type})).await;
        let body = json!({"path": "/a", "kmsKeyIdentity": key, "secretString": base64("x")});
        let refused = world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(body);
        let refused = refused.expect(400).await;
        assert!(refused.message().contains("bound to secrets"), "{}", refused.text);
    }
}
