//! Sign, verify and public keys (contract, sections 3.8, 3.10 and 14, 20). `tests/interop.py` checks the
//! signatures against another implementation.

use serde_json::{Value as Json, json};

use crate::key_types::{call, refused};
use crate::world::{World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";

async fn keys(world: &World) -> [&'static str; 5] {
    let all = ["rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519"];
    for key_type in all {
        world.key_of(&world.owner, json!({"name": key_type, "keyType": key_type})).await;
    }
    all
}

fn with(mut body: Json, more: &Json) -> Json {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The schemes a type knows.
fn schemes(key_type: &str) -> Vec<Json> {
    let ways: &[Json] = match key_type {
        "ed25519" => return vec![json!({})],
        "rsa-2048" => &[
            json!({}),
            json!({"signatureAlgorithm": "pss"}),
            json!({"signatureAlgorithm": "pkcs1v15"}),
        ],
        _ => &[json!({}), json!({"marshalling": "asn1"}), json!({"marshalling": "jws"})],
    };
    let hashes =
        [json!({}), json!({"hashAlgorithm": "sha2-384"}), json!({"hashAlgorithm": "SHA512"})];
    ways.iter().flat_map(|way| hashes.iter().map(|hash| with(way.clone(), hash))).collect()
}

#[tokio::test]
async fn every_scheme_verifies_its_own_signatures_only() {
    let world = World::new().await;
    for key_type in keys(&world).await {
        for scheme in schemes(key_type) {
            let signed = with(json!({"input": base64("hello")}), &scheme);
            let signed = call(&world, key_type, "sign", signed).await;
            let signature = signed["signature"].as_str().unwrap();
            let bare = signature.strip_prefix("thalassa:v1:").unwrap();
            assert_eq!(signed["keyVersion"], "1");
            for (input, text, valid) in [
                ("hello", signature, true),
                ("hello", bare, true),
                ("hellO", signature, false),
                ("", signature, false),
                ("hello", "thalassa:v1:AAAA", false),
                ("hello", "", false),
            ] {
                let body = with(json!({"input": base64(input), "signature": text}), &scheme);
                let verified = call(&world, key_type, "verify", body).await;
                assert_eq!(verified["valid"], valid, "{key_type} {scheme} {input:?} {text:?}");
            }
            for other in schemes(key_type).iter().filter(|other| **other != scheme) {
                let body = with(json!({"input": base64("hello"), "signature": signature}), other);
                let valid = call(&world, key_type, "verify", body).await["valid"] == true;
                assert_eq!(valid, is_same(key_type, &scheme, other), "{key_type} {scheme} {other}");
            }
        }
    }
}

/// Whether two schemes are one, written differently: a default, named.
fn is_same(key_type: &str, a: &Json, b: &Json) -> bool {
    let own = if key_type == "ecdsa-p384" {
        "sha2-384"
    } else if key_type == "ecdsa-p521" {
        "SHA512"
    } else {
        "sha256"
    };
    let full = |scheme: &Json| {
        [("hashAlgorithm", own), ("signatureAlgorithm", "pss"), ("marshalling", "asn1")]
            .map(|(field, default)| scheme[field].as_str().unwrap_or(default).to_owned())
    };
    full(a) == full(b)
}

#[tokio::test]
async fn a_digest_may_be_signed_in_place_of_its_message() {
    let world = World::new().await;
    for key_type in keys(&world).await {
        for hash in ["sha256", "sha384", "sha512"] {
            let algorithm = match hash {
                "sha256" => &aws_lc_rs::digest::SHA256,
                "sha384" => &aws_lc_rs::digest::SHA384,
                _ => &aws_lc_rs::digest::SHA512,
            };
            let digest = base64(aws_lc_rs::digest::digest(algorithm, b"hello"));
            let whole = json!({"input": base64("hello"), "hashAlgorithm": hash});
            let hashed = json!({"input": digest, "hashAlgorithm": hash, "prehashed": true});
            if key_type == "ed25519" {
                refused(&world, key_type, "sign", hashed, "prehashed").await;
                continue;
            }
            for (signed, verified) in [(&whole, &hashed), (&hashed, &whole), (&hashed, &hashed)] {
                let signature = call(&world, key_type, "sign", signed.clone()).await;
                let body = with(verified.clone(), &json!({"signature": signature["signature"]}));
                assert_eq!(
                    call(&world, key_type, "verify", body).await["valid"],
                    true,
                    "{key_type}"
                );
            }
            let short = base64(vec![7; 31]);
            for operation in ["sign", "verify"] {
                let mut body = json!({"input": short, "hashAlgorithm": hash, "prehashed": true});
                if operation == "verify" {
                    body["signature"] = json!("AAAA");
                }
                refused(&world, key_type, operation, body, "digest").await;
            }
        }
    }
}

#[tokio::test]
async fn what_a_key_has_no_use_for_is_refused() {
    let world = World::new().await;
    keys(&world).await;
    let base = json!({"input": base64("x")});
    for (key, more, says) in [
        ("rsa-2048", json!({"marshalling": "jws"}), "marshalling"),
        ("rsa-2048", json!({"signatureAlgorithm": "pkcs1"}), "pss or pkcs1v15"),
        ("rsa-2048", json!({"hashAlgorithm": "sha1"}), "hashAlgorithm"),
        ("ecdsa-p256", json!({"signatureAlgorithm": "pss"}), "signatureAlgorithm"),
        ("ecdsa-p256", json!({"marshalling": "raw"}), "asn1 or jws"),
        ("ed25519", json!({"marshalling": "jws"}), "marshalling"),
        ("ed25519", json!({"signatureAlgorithm": "pss"}), "signatureAlgorithm"),
        ("ed25519", json!({"context": "YQ=="}), "context"),
        ("ed25519", json!({"keyVersion": "2"}), "keyVersion"),
        ("ed25519", json!({"nonce": "AAAA"}), "nonce"),
        ("ed25519", json!({"input": "?"}), "base64"),
        ("ed25519", json!({"input": base64(vec![1; 65_537])}), "65536"),
    ] {
        refused(&world, key, "sign", with(base.clone(), &more), says).await;
    }
    // Ed25519 takes no hash, and ignores one; empty texts say nothing.
    for more in [json!({"hashAlgorithm": "sha512"}), json!({"context": "", "marshalling": ""})] {
        call(&world, "ed25519", "sign", with(base.clone(), &more)).await;
    }
    for signature in ["thalassa:v2:AAAA", "thalassa:v0:AAAA", "vault:v1:AAAA", "?"] {
        let body = with(base.clone(), &json!({"signature": signature}));
        refused(&world, "ed25519", "verify", body, "signature").await;
    }
}

#[tokio::test]
async fn ed25519_always_signs_alike() {
    let world = World::new().await;
    keys(&world).await;
    let body = json!({"input": base64("hello")});
    let first = call(&world, "ed25519", "sign", body.clone()).await;
    assert_eq!(call(&world, "ed25519", "sign", body.clone()).await, first);
    let ecdsa = call(&world, "ecdsa-p256", "sign", body.clone()).await;
    assert_ne!(call(&world, "ecdsa-p256", "sign", body).await, ecdsa);
}

#[tokio::test]
async fn public_keys_come_by_version() {
    let world = World::new().await;
    for key_type in keys(&world).await {
        let url = format!("{KEYS}/{key_type}");
        if key_type != "rsa-2048" {
            world.post(&world.owner, &format!("{url}/rotate")).expect(200).await;
        }
        let all = world.get(&world.owner, &format!("{url}/public-key")).expect(200).await.body;
        let all = all["keys"].as_object().unwrap().clone();
        assert_eq!(all.len(), if key_type == "rsa-2048" { 1 } else { 2 });
        for (version, key) in &all {
            let text = key.as_str().unwrap();
            match key_type {
                "ed25519" => assert_eq!(text.len(), 44, "{text}"),
                _ => assert!(text.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{text}"),
            }
            for spelled in [version.clone(), format!("v{version}")] {
                let one = world.get(&world.owner, &format!("{url}/public-key?version={spelled}"));
                assert_eq!(one.expect(200).await.body, json!({"keys": {version: key}}));
            }
        }
        for unknown in ["3", "0", "-1", "x", "1&version=2", "9223372036854775808"] {
            let url = format!("{url}/public-key?version={unknown}");
            world.get(&world.owner, &url).expect(400).await;
        }
    }
}
