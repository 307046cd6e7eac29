//! Every operation on every type of key in every state (contract, sections 3.3, 3.6, 3.14 and 14, 25–26).

use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::world::{World, base64};

const KEYS: &str = "/v1/kms/nl-01/keys";
const TYPES: [(&str, &str); 13] = [
    ("a128", "aes128-gcm96"),
    ("a256", "aes256-gcm96"),
    ("cha", "chacha20-poly1305"),
    ("r2k", "rsa-2048"),
    ("r3k", "rsa-3072"),
    ("r4k", "rsa-4096"),
    ("p256", "ecdsa-p256"),
    ("p384", "ecdsa-p384"),
    ("p521", "ecdsa-p521"),
    ("ed", "ed25519"),
    ("mac", "hmac"),
    ("m256", "hmac-sha256"),
    ("m512", "hmac-sha512"),
];
/// Operation, method, body; the ones that change the key come last.
const OPERATIONS: [(&str, &str); 18] = [
    ("", "GET"),
    ("public-key", "GET"),
    ("encrypt", "POST"),
    ("decrypt", "POST"),
    ("generate-data-key", "POST"),
    ("rewrap", "POST"),
    ("sign", "POST"),
    ("verify", "POST"),
    ("hmac", "POST"),
    ("verify-hmac", "POST"),
    ("export", "POST"),
    ("bind a secret", "POST"),
    ("rotation", "PATCH"),
    ("rotate", "POST"),
    ("disable", "POST"),
    ("enable", "POST"),
    ("", "DELETE"),
    ("cancel-deletion", "DELETE"),
];

/// What the key made of `x` while it was active: ciphertext, signature, HMAC.
struct Made {
    url: String,
    name: String,
    ciphertext: Json,
    signature: Json,
    hmac: Json,
}

async fn made(world: &World, name: &str, key_type: &str) -> Made {
    let body = json!({"name": name, "keyType": key_type, "exportAllowed": true});
    let url = format!("{KEYS}/{}", world.key_of(&world.owner, body).await);
    let make = async |operation: &str, field: &str, input: &str| {
        let call = world.post(&world.owner, &format!("{url}/{operation}"));
        call.json(json!({input: base64("x")})).send().await.body[field].clone()
    };
    // Where the type cannot, anything of the right form does.
    let or_any = |made: Json| if made.is_null() { json!("thalassa:v1:AAAA") } else { made };
    Made {
        ciphertext: or_any(make("encrypt", "ciphertext", "plaintext").await),
        signature: or_any(make("sign", "signature", "input").await),
        hmac: or_any(make("hmac", "hmac", "input").await),
        name: name.to_owned(),
        url,
    }
}

/// Brings the key into a state, from whichever it is in.
async fn bring(world: &World, made: &Made, state: &str) {
    let call = async |method, tail: &str| {
        world.ask(method, &world.owner, &format!("{}{tail}", made.url)).send().await
    };
    call("DELETE", "/cancel-deletion").await;
    call("POST", "/enable").await;
    match state {
        "disabled" => drop(call("POST", "/disable").await),
        "pending_deletion" => drop(call("DELETE", "").await),
        _ => {}
    }
    assert_eq!(call("GET", "").await.body["status"], state);
}

async fn status(world: &World, made: &Made, operation: (&str, &'static str)) -> u16 {
    let url = match operation.0 {
        "" => made.url.clone(),
        "bind a secret" => "/v1/secrets/nl-01/secrets".to_owned(),
        operation => format!("{}/{operation}", made.url),
    };
    let x = base64("x");
    let body = match operation.0 {
        "encrypt" => json!({"plaintext": x}),
        "decrypt" | "rewrap" => json!({"ciphertext": made.ciphertext}),
        "generate-data-key" => json!({"keyBytes": 32}),
        "sign" | "hmac" => json!({"input": x}),
        "verify" => json!({"input": x, "signature": made.signature}),
        "verify-hmac" => json!({"input": x, "hmac": made.hmac}),
        "rotation" => json!({"keyRotationEnabled": true, "rotationPeriodInDays": 30}),
        "bind a secret" => json!({
            "path": format!("/bound/{}-{}", made.name, world.fresh_id("")),
            "kmsKeyIdentity": made.url.trim_start_matches(KEYS).trim_start_matches('/'),
            "secretString": x,
        }),
        _ => Json::Null,
    };
    let call = world.ask(operation.1, &world.owner, &url);
    let answer = if body.is_null() { call.send().await } else { call.json(body).send().await };
    let says = answer.message();
    assert!(answer.status < 300 || (answer.status == 400 && !says.is_empty()), "{}", answer.text);
    assert!(answer.body.get("valid").is_none_or(|valid| *valid == true), "{}", answer.text);
    answer.status
}

#[tokio::test]
async fn every_operation_by_every_type_in_every_state() {
    let world = World::new().await;
    let mut keys = Vec::new();
    for (short, key_type) in TYPES {
        keys.push(made(&world, short, key_type).await);
    }
    let mut table = String::new();
    for state in ["active", "disabled", "pending_deletion"] {
        let columns: Vec<_> = TYPES.iter().map(|(short, _)| format!("{short:>4}")).collect();
        writeln!(table, "{state:<24} {}", columns.join(" ")).unwrap();
        for operation in OPERATIONS {
            let name = format!("{} {}", operation.1, operation.0);
            write!(table, "  {name:<22}").unwrap();
            for key in &keys {
                bring(&world, key, state).await;
                write!(table, " {:>4}", status(&world, key, operation).await).unwrap();
                // Rotation by the clock is on for one cell only.
                let off = json!({"keyRotationEnabled": false});
                world.patch(&world.owner, &format!("{}/rotation", key.url)).json(off).send().await;
            }
            table.push('\n');
        }
    }
    insta::assert_snapshot!(table, @"
    active                   a128 a256  cha  r2k  r3k  r4k p256 p384 p521   ed  mac m256 m512
      GET                     200  200  200  200  200  200  200  200  200  200  200  200  200
      GET public-key          400  400  400  200  200  200  200  200  200  200  400  400  400
      POST encrypt            200  200  200  200  200  200  400  400  400  400  400  400  400
      POST decrypt            200  200  200  200  200  200  400  400  400  400  400  400  400
      POST generate-data-key  200  200  200  200  200  200  400  400  400  400  400  400  400
      POST rewrap             200  200  200  200  200  200  400  400  400  400  400  400  400
      POST sign               400  400  400  200  200  200  200  200  200  200  400  400  400
      POST verify             400  400  400  200  200  200  200  200  200  200  400  400  400
      POST hmac               400  400  400  400  400  400  400  400  400  400  200  200  200
      POST verify-hmac        400  400  400  400  400  400  400  400  400  400  200  200  200
      POST export             200  200  200  200  200  200  200  200  200  200  200  200  200
      POST bind a secret      201  201  201  400  400  400  400  400  400  400  400  400  400
      PATCH rotation          200  200  200  200  200  200  200  200  200  200  200  200  200
      POST rotate             200  200  200  200  200  200  200  200  200  200  200  200  200
      POST disable            200  200  200  200  200  200  200  200  200  200  200  200  200
      POST enable             200  200  200  200  200  200  200  200  200  200  200  200  200
      DELETE                  200  200  200  200  200  200  200  200  200  200  200  200  200
      DELETE cancel-deletion  400  400  400  400  400  400  400  400  400  400  400  400  400
    disabled                 a128 a256  cha  r2k  r3k  r4k p256 p384 p521   ed  mac m256 m512
      GET                     200  200  200  200  200  200  200  200  200  200  200  200  200
      GET public-key          400  400  400  200  200  200  200  200  200  200  400  400  400
      POST encrypt            400  400  400  400  400  400  400  400  400  400  400  400  400
      POST decrypt            400  400  400  400  400  400  400  400  400  400  400  400  400
      POST generate-data-key  400  400  400  400  400  400  400  400  400  400  400  400  400
      POST rewrap             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST sign               400  400  400  400  400  400  400  400  400  400  400  400  400
      POST verify             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST hmac               400  400  400  400  400  400  400  400  400  400  400  400  400
      POST verify-hmac        400  400  400  400  400  400  400  400  400  400  400  400  400
      POST export             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST bind a secret      400  400  400  400  400  400  400  400  400  400  400  400  400
      PATCH rotation          200  200  200  200  200  200  200  200  200  200  200  200  200
      POST rotate             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST disable            200  200  200  200  200  200  200  200  200  200  200  200  200
      POST enable             200  200  200  200  200  200  200  200  200  200  200  200  200
      DELETE                  200  200  200  200  200  200  200  200  200  200  200  200  200
      DELETE cancel-deletion  400  400  400  400  400  400  400  400  400  400  400  400  400
    pending_deletion         a128 a256  cha  r2k  r3k  r4k p256 p384 p521   ed  mac m256 m512
      GET                     200  200  200  200  200  200  200  200  200  200  200  200  200
      GET public-key          400  400  400  200  200  200  200  200  200  200  400  400  400
      POST encrypt            400  400  400  400  400  400  400  400  400  400  400  400  400
      POST decrypt            400  400  400  400  400  400  400  400  400  400  400  400  400
      POST generate-data-key  400  400  400  400  400  400  400  400  400  400  400  400  400
      POST rewrap             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST sign               400  400  400  400  400  400  400  400  400  400  400  400  400
      POST verify             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST hmac               400  400  400  400  400  400  400  400  400  400  400  400  400
      POST verify-hmac        400  400  400  400  400  400  400  400  400  400  400  400  400
      POST export             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST bind a secret      400  400  400  400  400  400  400  400  400  400  400  400  400
      PATCH rotation          400  400  400  400  400  400  400  400  400  400  400  400  400
      POST rotate             400  400  400  400  400  400  400  400  400  400  400  400  400
      POST disable            400  400  400  400  400  400  400  400  400  400  400  400  400
      POST enable             400  400  400  400  400  400  400  400  400  400  400  400  400
      DELETE                  200  200  200  200  200  200  200  200  200  200  200  200  200
      DELETE cancel-deletion  200  200  200  200  200  200  200  200  200  200  200  200  200
    ");
}
