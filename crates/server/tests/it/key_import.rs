//! Bring your own key, and take it out again (contract, sections 3.11, 3.12 and 14, 22–23).

use ::base64::{Engine, engine::general_purpose::STANDARD};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
    OaepPublicEncryptingKey, PublicEncryptingKey,
};
use coffer_crypto::{Algorithm, Cipher, Digest};
use serde_json::{Value as Json, json};

use crate::world::{Answer, World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";

/// Wraps material as a customer does.
pub struct Customer(OaepPublicEncryptingKey);

impl Customer {
    pub async fn new(world: &World, region: &str) -> Self {
        let url = format!("/v1/kms/{region}/wrapping-key");
        let given = world.get(&world.owner, &url).expect(200).await.body;
        assert_eq!(given["algorithm"], "RSA_AES_KEY_WRAP_SHA_256");
        let pem = given["publicKey"].as_str().unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = PublicEncryptingKey::from_der(&STANDARD.decode(der).unwrap()).unwrap();
        assert_eq!(key.key_size_bits(), 4096);
        Self(OaepPublicEncryptingKey::new(key).unwrap())
    }

    fn plain(&self, oaep: &'static OaepAlgorithm, material: &[u8]) -> Vec<u8> {
        let mut block = vec![0; 512];
        self.0.encrypt(oaep, material, &mut block, None).unwrap();
        block
    }

    pub fn wrapped(&self, oaep: &'static OaepAlgorithm, material: &[u8]) -> Vec<u8> {
        let kek = [9; 32];
        let mut padded = vec![0; material.len() + 16];
        let wrapping = AesKek::new(&AES_256, &kek).unwrap();
        let padded = wrapping.wrap_with_padding(material, &mut padded).unwrap().to_vec();
        [self.plain(oaep, &kek), padded].concat()
    }
}

async fn import(world: &World, name: &str, key_type: &str, blob: &[u8], more: Json) -> Answer {
    let mut body = json!({
        "name": name, "keyType": key_type, "exportAllowed": true, "importKeyMaterial": base64(blob)
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.post(&world.owner, KEYS).json(body).send().await
}

async fn exported(world: &World, name: &str, body: Json) -> Vec<u8> {
    let call = world.post(&world.owner, &format!("{KEYS}/{name}/export"));
    let given = call.json(body).expect(200).await.body;
    STANDARD.decode(given["keyMaterial"].as_str().unwrap()).unwrap()
}

fn material(key_type: &str) -> Vec<u8> {
    use coffer_crypto::{ecdsa::Curve, rsa::Modulus};
    let algorithm = match key_type {
        "aes128-gcm96" => Algorithm::Aead(Cipher::Aes128Gcm),
        "aes256-gcm96" | "chacha20-poly1305" => Algorithm::Aead(Cipher::Aes256Gcm),
        "rsa-2048" => Algorithm::Rsa(Modulus::Bits2048),
        "ecdsa-p256" => Algorithm::Ecdsa(Curve::P256),
        "ecdsa-p521" => Algorithm::Ecdsa(Curve::P521),
        "ed25519" => Algorithm::Ed25519,
        _ => Algorithm::Hmac(Digest::Sha256),
    };
    algorithm.generate().unwrap().expose().to_vec()
}

#[tokio::test]
async fn material_comes_in_and_goes_out_the_same() {
    let world = World::new().await;
    let customer = Customer::new(&world, "nl-01").await;
    for key_type in [
        "aes128-gcm96",
        "aes256-gcm96",
        "chacha20-poly1305",
        "rsa-2048",
        "ecdsa-p256",
        "ecdsa-p521",
        "ed25519",
    ] {
        let material = material(key_type);
        for (way, blob) in [
            ("wrapped", Some(customer.wrapped(&OAEP_SHA256_MGF1SHA256, &material))),
            (
                "plain",
                material.len().lt(&40).then(|| customer.plain(&OAEP_SHA256_MGF1SHA256, &material)),
            ),
        ] {
            let Some(blob) = blob else { continue };
            let name = format!("{key_type}-{way}");
            let made = import(&world, &name, key_type, &blob, json!({})).await;
            assert_eq!(made.status, 201, "{name}: {}", made.text);
            assert_eq!(made.body["imported"], true);
            assert_eq!(made.body["allowRotation"], false);
            assert!(!made.text.contains(&base64(&material)));
            assert_eq!(exported(&world, &name, json!({})).await, material, "{name}");
        }
    }
    let hashed = customer.wrapped(&OAEP_SHA512_MGF1SHA512, &material("aes256-gcm96"));
    for (hash, expected) in [("sha256", 400), ("sha384", 400), ("sha512", 201)] {
        let more = json!({"hashFunction": hash});
        let answer = import(&world, "hashed", "aes256-gcm96", &hashed, more).await;
        assert_eq!(answer.status, expected, "{hash}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_no_material_of_the_type_is_refused_and_leaves_nothing() {
    let world = World::with(|config| {
        let region =
            coffer_server::config::RegionConfig { slug: "be-01".into(), name: None, kms: true };
        config.regions.push(region);
    })
    .await;
    let customer = Customer::new(&world, "nl-01").await;
    let elsewhere = Customer::new(&world, "be-01").await;
    let oaep = &OAEP_SHA256_MGF1SHA256;
    let (aes, ed) = (material("aes256-gcm96"), material("ed25519"));
    let good = customer.wrapped(oaep, &aes);
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    let mut altered_block = good.clone();
    altered_block[7] ^= 1;
    for (about, key_type, blob) in [
        ("another length", "aes128-gcm96", good.clone()),
        ("another kind", "ed25519", good.clone()),
        ("another kind", "aes256-gcm96", customer.wrapped(oaep, &ed)),
        ("another curve", "ecdsa-p521", customer.wrapped(oaep, &material("ecdsa-p256"))),
        ("another modulus", "rsa-3072", customer.wrapped(oaep, &material("rsa-2048"))),
        ("plain, but not symmetric", "ed25519", customer.plain(oaep, &ed)),
        ("altered", "aes256-gcm96", altered),
        ("altered", "aes256-gcm96", altered_block),
        ("cut", "aes256-gcm96", good[..520].to_vec()),
        ("cut", "aes256-gcm96", good[..511].to_vec()),
        ("longer", "aes256-gcm96", [good.clone(), vec![0; 8]].concat()),
        ("another region's", "aes256-gcm96", elsewhere.wrapped(oaep, &aes)),
        ("SHA-1", "aes256-gcm96", customer.wrapped(&OAEP_SHA1_MGF1SHA1, &aes)),
        ("nothing", "aes256-gcm96", Vec::new()),
        ("huge", "aes256-gcm96", vec![1; 100_000]),
        ("not wrapped", "aes256-gcm96", aes.clone()),
    ] {
        let refused = import(&world, "refused", key_type, &blob, json!({})).await;
        assert_eq!(refused.status, 400, "{about}: {}", refused.text);
        assert!(refused.message().contains("importKeyMaterial"), "{about}: {}", refused.text);
    }
    for (key_type, more, says) in [
        ("hmac", json!({}), "cannot be imported"),
        ("hmac-sha256", json!({}), "cannot be imported"),
        ("aes256-gcm96", json!({"hashFunction": "sha1"}), "hashFunction"),
        ("aes256-gcm96", json!({"importKeyMaterial": "?"}), "base64"),
        (
            "aes256-gcm96",
            json!({"keyRotationEnabled": true, "rotationPeriodInDays": 30}),
            "allowRotation",
        ),
    ] {
        let refused = import(&world, "refused", key_type, &good, more).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.message().contains(says), "{}", refused.text);
    }
    assert_eq!(import(&world, "refused", "aes256-gcm96", &good, json!({})).await.status, 201);
    assert_eq!(import(&world, "refused", "aes256-gcm96", &good, json!({})).await.status, 409);
}

#[tokio::test]
async fn an_imported_key_rotates_only_when_it_may() {
    let world = World::new().await;
    let customer = Customer::new(&world, "nl-01").await;
    for (name, may) in [("fixed", false), ("free", true)] {
        let blob = customer.wrapped(&OAEP_SHA256_MGF1SHA256, &material("aes256-gcm96"));
        let more = json!({"allowRotation": may});
        assert_eq!(import(&world, name, "aes256-gcm96", &blob, more).await.status, 201);
        let url = format!("{KEYS}/{name}");
        let sealed = world.post(&world.owner, &format!("{url}/encrypt"));
        let sealed = sealed.json(json!({"plaintext": base64("x")})).expect(200).await.body;
        let expected = if may { 200 } else { 400 };
        world.post(&world.owner, &format!("{url}/rotate")).expect(expected).await;
        let on = json!({"keyRotationEnabled": true, "rotationPeriodInDays": 1});
        world.patch(&world.owner, &format!("{url}/rotation")).json(on).expect(expected).await;
        let read = world.get(&world.owner, &url).expect(200).await.body;
        assert_eq!(read["latestVersion"], if may { 2 } else { 1 });
        assert_eq!((&read["imported"], &read["allowRotation"]), (&json!(true), &json!(may)));
        let opened = world.post(&world.owner, &format!("{url}/decrypt"));
        let opened = opened.json(json!({"ciphertext": sealed["ciphertext"]})).expect(200).await;
        assert_eq!(opened.body["plaintext"], base64("x"));
    }
}

#[tokio::test]
async fn export_needs_permission_of_the_key_itself() {
    let world = World::new().await;
    let refused = world.post(&world.owner, &format!("{KEYS}/default/export")).expect(400).await;
    assert!(refused.message().contains("exportAllowed"), "{}", refused.text);
    world.key_of(&world.owner, json!({"name": "open", "exportAllowed": true})).await;
    world.post(&world.owner, &format!("{KEYS}/open/rotate")).expect(200).await;
    let latest = exported(&world, "open", json!({})).await;
    let first = exported(&world, "open", json!({"keyVersion": "1"})).await;
    assert_eq!((latest.len(), first.len()), (32, 32));
    assert_ne!(latest, first);
    assert_eq!(exported(&world, "open", json!({"keyVersion": 2})).await, latest);
    for unknown in ["3", "0"] {
        let call = world.post(&world.owner, &format!("{KEYS}/open/export"));
        call.json(json!({"keyVersion": unknown})).expect(400).await;
    }
    let records = world.audit("action=kms.export").await;
    assert_eq!(records.len(), 6, "{records:#?}");
}

#[tokio::test]
async fn a_region_has_one_wrapping_key() {
    let world = World::new().await;
    let read = async || {
        let given = world.get(&world.owner, "/v1/kms/nl-01/wrapping-key").expect(200).await;
        given.body["publicKey"].as_str().unwrap().to_owned()
    };
    let (one, two, three) = tokio::join!(read(), read(), read());
    assert!(one == two && two == three && one == read().await);
    let theirs = world.get(&world.stranger, "/v1/kms/nl-01/wrapping-key").expect(200).await;
    assert_eq!(theirs.body["publicKey"], one);
    world.get(&world.owner, "/v1/kms/de-01/wrapping-key").expect(503).await;
    world.get(&world.owner, "/v1/kms/xx-01/wrapping-key").expect(404).await;
}
