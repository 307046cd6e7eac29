//! Encrypt and decrypt (contract, sections 3.6, 3.7 and 14, 19).

use ::base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value as Json, json};

use crate::world::{Answer, World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";

async fn encrypt(world: &World, key: &str, body: Json) -> Answer {
    world.post(&world.owner, &format!("{KEYS}/{key}/encrypt")).json(body).send().await
}

async fn decrypt(world: &World, key: &str, body: Json) -> Answer {
    world.post(&world.owner, &format!("{KEYS}/{key}/decrypt")).json(body).send().await
}

/// The ciphertext of a text under a key.
async fn sealed(world: &World, key: &str, text: &str) -> String {
    let answer = encrypt(world, key, json!({"plaintext": base64(text)})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["ciphertext"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_symmetric_type_opens_what_it_sealed() {
    let world = World::new().await;
    for key_type in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"] {
        let body = json!({"name": key_type, "keyType": key_type});
        world.post(&world.owner, KEYS).json(body).expect(201).await;
        let answer = encrypt(&world, key_type, json!({"plaintext": base64("hunter2")})).await;
        assert_eq!(answer.body["keyVersion"], "1");
        let ciphertext = answer.body["ciphertext"].as_str().unwrap();
        let block = STANDARD.decode(ciphertext.strip_prefix("thalassa:v1:").unwrap()).unwrap();
        assert_eq!(block.len(), 12 + "hunter2".len() + 16, "nonce, ciphertext, tag");
        let opened = decrypt(&world, key_type, json!({"ciphertext": ciphertext})).await;
        assert_eq!(opened.body, json!({"plaintext": base64("hunter2"), "keyVersion": "1"}));
        assert_ne!(sealed(&world, key_type, "hunter2").await, ciphertext, "a fresh nonce");
    }
}

#[tokio::test]
async fn a_plaintext_has_1_to_65535_bytes() {
    let world = World::new().await;
    for (bytes, expected) in [(0, 400), (1, 200), (65_535, 200), (65_536, 400), (100_000, 400)] {
        let plaintext = base64(vec![7; bytes]);
        let answer = encrypt(&world, "default", json!({"plaintext": plaintext})).await;
        assert_eq!(answer.status, expected, "{bytes}");
        if expected == 200 {
            let opened =
                decrypt(&world, "default", json!({"ciphertext": answer.body["ciphertext"]}));
            assert_eq!(opened.await.body["plaintext"], json!(plaintext), "{bytes}");
        }
    }
}

#[tokio::test]
async fn a_key_version_may_be_named_in_three_ways() {
    let world = World::new().await;
    world.post(&world.owner, &format!("{KEYS}/default/rotate")).expect(200).await;
    for (version, expected) in [
        (json!("1"), Some("1")),
        (json!(1), Some("1")),
        (json!("v1"), Some("1")),
        (json!("2"), Some("2")),
        (json!(2), Some("2")),
        (json!("v2"), Some("2")),
        (json!(""), Some("2")),
        (json!("3"), None),
        (json!(3), None),
        (json!("v3"), None),
        (json!("99999999999999999999"), None),
        (json!("-1"), None),
        (json!(-1), None),
        (json!("1.0"), None),
        (json!(1.5), None),
        (json!("latest"), None),
        (json!("v"), None),
        (json!(" 1"), None),
        (json!(true), None),
        (json!(["1"]), None),
    ] {
        let body = json!({"plaintext": "eA==", "keyVersion": version});
        let answer = encrypt(&world, "default", body).await;
        assert_eq!(answer.status, if expected.is_some() { 200 } else { 400 }, "{version}");
        assert_eq!(answer.body["keyVersion"].as_str(), expected, "{version}");
        if let Some(expected) = expected {
            let ciphertext = answer.body["ciphertext"].as_str().unwrap();
            assert!(ciphertext.starts_with(&format!("thalassa:v{expected}:")), "{ciphertext}");
            let opened = decrypt(&world, "default", json!({"ciphertext": ciphertext})).await;
            assert_eq!(opened.body["keyVersion"], expected);
        }
    }
}

#[tokio::test]
async fn a_context_must_be_shown_again() {
    let world = World::new().await;
    let (mine, other) = (base64("tenant-1"), base64("tenant-2"));
    let answer = encrypt(&world, "default", json!({"plaintext": "eA==", "context": mine})).await;
    let bound = &answer.body["ciphertext"];
    let free = sealed(&world, "default", "x").await;
    for (body, expected) in [
        (json!({"ciphertext": bound, "context": mine}), 200),
        (json!({"ciphertext": bound, "context": other}), 400),
        (json!({"ciphertext": bound, "context": base64("tenant-1 ")}), 400),
        (json!({"ciphertext": bound}), 400),
        (json!({"ciphertext": free}), 200),
        (json!({"ciphertext": free, "context": mine}), 400),
    ] {
        assert_eq!(decrypt(&world, "default", body.clone()).await.status, expected, "{body}");
    }
    let (most, more) = (base64([7; 1024]), base64([7; 1025]));
    for (context, expected) in
        [(json!(most), 200), (json!(more), 400), (json!("a*b"), 400), (json!(7), 400)]
    {
        let body = json!({"plaintext": "eA==", "context": context});
        assert_eq!(encrypt(&world, "default", body).await.status, expected);
        let body = json!({"ciphertext": free, "context": context});
        assert_eq!(decrypt(&world, "default", body).await.status, 400);
    }
}

#[tokio::test]
async fn plaintext_is_padded_base64_of_the_standard_alphabet() {
    let world = World::new().await;
    for plaintext in ["%%%%", "eA", "eA=", "eA===", "_-8=", "eA==\n", " eA==", "eB==", "e", "=="] {
        let answer = encrypt(&world, "default", json!({"plaintext": plaintext})).await;
        assert_eq!(answer.status, 400, "{plaintext:?}");
    }
    for body in [json!({}), json!({"plaintext": 7}), json!({"plaintext": "eA==", "nonce": "eA=="})]
    {
        assert_eq!(encrypt(&world, "default", body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_ciphertext_opens_with_its_own_key_alone() {
    let world = World::new().await;
    world.set_region_kms("de-01", true).await;
    let ciphertext = sealed(&world, "default", "hunter2").await;
    let other = world.key(&world.owner, "other").await;
    world.project("shop").await;
    let inside = world.post(&world.owner, KEYS).project("shop").json(json!({"name": "default"}));
    inside.expect(201).await;
    let far = world.post(&world.owner, "/v1/kms/de-01/keys").json(json!({"name": "default"}));
    far.expect(201).await;
    let body = json!({"ciphertext": ciphertext});
    for (what, call) in [
        ("another key", world.post(&world.owner, &format!("{KEYS}/{other}/decrypt"))),
        ("another organisation", world.post(&world.stranger, &format!("{KEYS}/default/decrypt"))),
        ("project", world.post(&world.owner, &format!("{KEYS}/default/decrypt")).project("shop")),
        ("another region", world.post(&world.owner, "/v1/kms/de-01/keys/default/decrypt")),
    ] {
        let answer = call.json(body.clone()).send().await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_changed_ciphertext_does_not_open() {
    let world = World::new().await;
    let ciphertext = sealed(&world, "default", "hunter2").await;
    world.post(&world.owner, &format!("{KEYS}/default/rotate")).expect(200).await;
    let block = STANDARD.decode(ciphertext.strip_prefix("thalassa:v1:").unwrap()).unwrap();
    let written = |block: &[u8]| format!("thalassa:v1:{}", STANDARD.encode(block));
    let mut changed: Vec<String> = (0..block.len() * 8)
        .step_by(5)
        .map(|bit| {
            let mut block = block.clone();
            block[bit / 8] ^= 1 << (bit % 8);
            written(&block)
        })
        .collect();
    changed.extend([0, 1, 12, 28, block.len() - 1].map(|length| written(&block[..length])));
    let longer: Vec<u8> = block.iter().copied().chain([0]).collect();
    changed.push(written(&longer));
    for (from, to) in [
        ("thalassa:v1:", "thalassa:v2:"),
        ("thalassa:v1:", "thalassa:v9:"),
        ("thalassa:v1:", "thalassa:v0:"),
        ("thalassa:v1:", "thalassa:v-1:"),
        ("thalassa:v1:", "thalassa:v99999999999999999999:"),
        ("thalassa:v1:", "thalassa:1:"),
        ("thalassa:v1:", "vault:v1:"),
        ("thalassa:v1:", "THALASSA:v1:"),
        ("thalassa:v1:", "thalassa:v1"),
        ("thalassa:v1:", ""),
        ("thalassa:v1:", " thalassa:v1:"),
    ] {
        changed.push(ciphertext.replace(from, to));
    }
    changed.extend([String::new(), "thalassa:v1:".into(), "thalassa:v1:****".into()]);
    for text in changed {
        let answer = decrypt(&world, "default", json!({"ciphertext": text})).await;
        assert_eq!(answer.status, 400, "{text}: {}", answer.text);
    }
    let body = json!({"ciphertext": ciphertext});
    assert_eq!(decrypt(&world, "default", body).await.body["plaintext"], base64("hunter2"));
}

#[tokio::test]
async fn ciphertexts_of_every_earlier_version_open() {
    let world = World::new().await;
    let mut ciphertexts = vec![sealed(&world, "default", "text 1").await];
    for version in 2..=6 {
        let rotated = world.post(&world.owner, &format!("{KEYS}/default/rotate")).expect(200).await;
        assert_eq!(rotated.body["latestVersion"], version);
        ciphertexts.push(sealed(&world, "default", &format!("text {version}")).await);
    }
    for (at, ciphertext) in ciphertexts.iter().enumerate() {
        let version = (at + 1).to_string();
        assert!(ciphertext.starts_with(&format!("thalassa:v{version}:")));
        let opened = decrypt(&world, "default", json!({"ciphertext": ciphertext})).await;
        let expected =
            json!({"plaintext": base64(format!("text {version}")), "keyVersion": version});
        assert_eq!(opened.body, expected);
    }
    let read = world.get(&world.owner, &format!("{KEYS}/default")).expect(200).await;
    let versions = read.body["versions"].as_array().unwrap();
    let numbers: Vec<_> = versions.iter().map(|v| v["version"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(versions.iter().all(|version| version["status"] == "active"));
}
