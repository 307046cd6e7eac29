//! The token endpoint: client credentials for access tokens, and what these are good for (contract, sections 5.1 and
//! 14, 36).

use ::base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};

use crate::issuer::{NOW, Signer, encode};
use crate::world::{Answer, Asking, NOON, Person, World, base64, fresh_root, text_of};

const ACCOUNTS: &str = "/v1/service-accounts";
const TOKEN: &str = "/oidc/token";
const VALUE: &str = "/v1/secrets/nl-01/secret/app/a/value";

/// A service account's credential.
pub struct Machine {
    pub account: String,
    pub id: String,
    pub key: String,
    pub secret: String,
}

impl Machine {
    /// One with a role (by slug) in acme.
    pub async fn new(world: &World, role: &str, request: Json) -> Self {
        let name = format!("{} machine", world.fresh_id(""));
        let made = world.post(&world.owner, ACCOUNTS).json(json!({"name": name})).expect(201).await;
        let account = made.body["identity"].as_str().unwrap().to_owned();
        let bind = json!({"name": "b", "serviceAccountIdentity": account});
        let url = format!("/v1/iam/roles/{role}/bindings");
        world.post(&world.owner, &url).json(bind).expect(201).await;
        Self::of(world, &account, request).await
    }

    /// One more credential of an account.
    pub async fn of(world: &World, account: &str, request: Json) -> Self {
        let url = format!("{ACCOUNTS}/{account}/access-credentials");
        let made = world.post(&world.owner, &url).json(request).expect(201).await.body;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self {
            account: account.to_owned(),
            id: text("identity"),
            key: text("accessKey"),
            secret: text("accessSecret"),
        }
    }

    fn basic(&self) -> String {
        format!("Basic {}", base64(format!("{}:{}", self.key, self.secret)))
    }

    fn asks<'w>(&self, world: &'w World, fields: &[(&str, &str)]) -> Asking<'w> {
        let mut all = vec![("grant_type", "client_credentials")];
        all.extend(fields);
        world.anonymous("POST", TOKEN).form(&all).header("authorization", &self.basic())
    }

    /// A token's text.
    pub async fn token(&self, world: &World) -> String {
        let granted = self.asks(world, &[]).expect(200).await.body;
        granted["access_token"].as_str().unwrap().to_owned()
    }
}

/// A caller with an access token, in acme.
pub fn bearer(world: &World, token: &str) -> Person {
    Person { token: token.to_owned(), ..world.owner.clone() }
}

/// Header and claims of a token, unverified.
pub fn parts(token: &str) -> [Json; 2] {
    let part = |at: usize| {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    [part(0), part(1)]
}

pub fn check_refusal(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.body["error"]), (status, &json!(code)), "{}", answer.text);
    assert!(answer.body["error_description"].as_str().is_some_and(|text| text.len() > 3));
    let fields: Vec<_> = answer.body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["error", "error_description"]);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    let told = answer.header("www-authenticate");
    assert_eq!(told.starts_with("Basic"), status == 401, "{told}");
}

#[tokio::test]
async fn client_credentials_get_a_token_that_does_what_the_account_may() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let machine = Machine::new(&world, "secrets-full-access", json!({})).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &*machine.key),
        ("client_secret", &*machine.secret),
    ];
    // As Go's library does: Basic with escaped parts, then the form.
    let escaped = base64(format!("{}:{}", machine.key.replace('_', "%5F"), machine.secret));
    for call in [
        machine.asks(&world, &[]),
        machine.asks(&world, &[]).header("authorization", &format!("basic {escaped}")),
        machine.asks(&world, &[("client_id", &machine.key)]),
        world.anonymous("POST", TOKEN).form(&form),
        world.anonymous("POST", "//oidc/token").form(&form),
        machine.asks(&world, &[("scope", ""), ("unknown", "x")]),
    ] {
        let granted = call.expect(200).await;
        assert_eq!(granted.header("cache-control"), "no-store");
        assert_eq!(granted.body["token_type"], "Bearer");
        assert_eq!(granted.body["expires_in"], 3600);
        let fields: Vec<_> = granted.body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["access_token", "expires_in", "token_type"]);
        let token = granted.body["access_token"].as_str().unwrap();
        let by = bearer(&world, token);
        assert_eq!(text_of(&world.post(&by, VALUE).expect(200).await), "hunter2");
        let me = world.get(&by, "/v1/me").expect(200).await.body;
        assert_eq!(me["serviceAccountIdentity"], machine.account.as_str());
        assert_eq!(me["credentialIdentity"], machine.id.as_str());
        let [header, claims] = parts(token);
        assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
        assert_eq!(claims["sub"], machine.account.as_str());
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(NOW), &json!(NOW + 3600)));
        assert_eq!((&claims["iss"], &claims["aud"]), (&claims["aud"], &claims["iss"]));
        assert_eq!(claims["organisation"], world.acme.id.as_str());
        assert!(
            claims["jti"].as_str().unwrap().starts_with("at-") && claims.get("scope").is_none()
        );
    }
    // Only as Bearer.
    let token = machine.token(&world).await;
    let call = world.get(&world.owner, "/v1/me");
    call.header("authorization", &format!("Token {token}")).expect(401).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_words_of_oauth() {
    let world = World::new().await;
    let machine =
        Machine::new(&world, "secrets-read-access", json!({"scopes": ["api:read"]})).await;
    let good = machine.basic();
    let basic = |key: &str, secret: &str| format!("Basic {}", base64(format!("{key}:{secret}")));
    let unknown = format!("tc_sk_{}", "x".repeat(40));
    let grant = ("grant_type", "client_credentials");
    for (authorization, form, status, code) in [
        (good.as_str(), vec![], 400, "invalid_request"),
        (&good, vec![("grant_type", "")], 400, "invalid_request"),
        (&good, vec![grant, grant], 400, "invalid_request"),
        (&good, vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (&good, vec![("grant_type", "authorization_code")], 400, "unsupported_grant_type"),
        (&good, vec![grant, ("scope", "admin")], 400, "invalid_scope"),
        (&good, vec![grant, ("scope", "api:read api:read")], 400, "invalid_scope"),
        (&good, vec![grant, ("scope", "api:write")], 400, "invalid_scope"),
        (&good, vec![grant, ("access_token_lifetime", "59")], 400, "invalid_request"),
        (&good, vec![grant, ("access_token_lifetime", "25h")], 400, "invalid_request"),
        (&good, vec![grant, ("access_token_lifetime", "soon")], 400, "invalid_request"),
        (&good, vec![grant, ("client_secret", &machine.secret)], 400, "invalid_request"),
        (&good, vec![grant, ("client_id", "other")], 400, "invalid_request"),
        ("", vec![grant], 401, "invalid_client"),
        ("", vec![grant, ("client_id", &machine.key)], 401, "invalid_client"),
        (
            "",
            vec![grant, ("client_id", &machine.key), ("client_secret", &unknown)],
            401,
            "invalid_client",
        ),
        (&basic(&machine.key, &unknown), vec![grant], 401, "invalid_client"),
        (&basic(&machine.secret, &machine.key), vec![grant], 401, "invalid_client"),
        (&basic(&machine.key, ""), vec![grant], 401, "invalid_client"),
        ("Basic !!!", vec![grant], 401, "invalid_client"),
        ("Basic", vec![grant], 401, "invalid_client"),
        (&format!("Bearer {}", world.owner.token), vec![grant], 401, "invalid_client"),
    ] {
        let mut call = world.anonymous("POST", TOKEN).form(&form);
        if !authorization.is_empty() {
            call = call.header("authorization", authorization);
        }
        check_refusal(&call.send().await, status, code);
    }
    let call = machine.asks(&world, &[]).add_header("authorization", &good);
    check_refusal(&call.send().await, 401, "invalid_client");
    let call = machine.asks(&world, &[]).header("content-type", "application/json");
    check_refusal(&call.send().await, 400, "invalid_request");
    let long = "x".repeat(70_000);
    let call = machine.asks(&world, &[("x", &long)]);
    check_refusal(&call.send().await, 400, "invalid_request");
    world.anonymous("GET", TOKEN).expect(405).await;
}

#[tokio::test]
async fn scopes_may_only_narrow() {
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let wide = Machine::new(&world, "secrets-full-access", json!({})).await;
    let narrow = Machine::of(&world, &wide.account, json!({"scopes": ["api:read"]})).await;
    let other = Machine::of(&world, &wide.account, json!({"scopes": ["kubernetes"]})).await;
    for (machine, wanted, given, reveals, puts) in [
        (&wide, "", None, 200, 200),
        (&wide, "api:read", Some("api:read"), 200, 403),
        (&wide, "api:read api:write", Some("api:read api:write"), 200, 200),
        (&wide, "kubernetes", Some("kubernetes"), 403, 403),
        (&narrow, "", Some("api:read"), 200, 403),
        (&narrow, "api:read", Some("api:read"), 200, 403),
        (&other, "", Some("kubernetes"), 403, 403),
    ] {
        let granted = machine.asks(&world, &[("scope", wanted)]).expect(200).await.body;
        assert_eq!(granted.get("scope").and_then(Json::as_str), given, "{wanted}");
        let by = bearer(&world, granted["access_token"].as_str().unwrap());
        world.post(&by, VALUE).expect(reveals).await;
        let put = world.post(&by, "/v1/secrets/nl-01/secret/app/a/versions");
        put.json(json!({"secretString": base64("next")})).expect(puts).await;
    }
    check_refusal(
        &narrow.asks(&world, &[("scope", "api:write")]).send().await,
        400,
        "invalid_scope",
    );
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_with_its_credential() {
    let world = World::new().await;
    let ends = json!({"expiresAt": "2026-01-15T12:30:00Z"});
    let machine = Machine::new(&world, "secrets-read-access", ends).await;
    for (lifetime, seconds) in
        [("", 1800), ("60", 60), ("90s", 90), ("1m30s", 90), ("24h", 1800), ("86400", 1800)]
    {
        let granted =
            machine.asks(&world, &[("access_token_lifetime", lifetime)]).expect(200).await;
        assert_eq!(granted.body["expires_in"], seconds, "{lifetime}");
        let by = bearer(&world, granted.body["access_token"].as_str().unwrap());
        world.set_now(NOON + seconds * 1_000_000 - 1);
        world.get(&by, "/v1/me").expect(200).await;
        world.set_now(NOON + seconds * 1_000_000);
        world.get(&by, "/v1/me").expect(401).await;
        world.set_now(NOON);
    }
    world.set_now(NOON + 1_800_000_000);
    check_refusal(&machine.asks(&world, &[]).send().await, 401, "invalid_client");
}

#[tokio::test]
async fn what_it_was_given_for_is_taken_away_with_the_next_call() {
    let world = World::new().await;
    let works = async |token: &str| world.get(&bearer(&world, token), "/v1/me").send().await.status;
    let one = Machine::new(&world, "secrets-read-access", json!({})).await;
    let two = Machine::of(&world, &one.account, json!({})).await;
    let (of_one, of_two) = (one.token(&world).await, two.token(&world).await);
    assert_eq!([works(&of_one).await, works(&of_two).await], [200, 200]);
    let account = format!("{ACCOUNTS}/{}", one.account);
    let url = format!("{account}/access-credentials/{}", one.id);
    world.delete(&world.owner, &url).expect(204).await;
    assert_eq!([works(&of_one).await, works(&of_two).await], [401, 200]);
    check_refusal(&one.asks(&world, &[]).send().await, 401, "invalid_client");
    // What its roles give is looked up at every call, too.
    let list = "/v1/secrets/nl-01/secrets";
    world.get(&bearer(&world, &of_two), list).expect(200).await;
    let bindings = "/v1/iam/roles/secrets-read-access/bindings";
    let bound = world.get(&world.owner, bindings).expect(200).await.body;
    let id = bound[0]["identity"].as_str().unwrap();
    world.delete(&world.owner, &format!("{bindings}/{id}")).expect(204).await;
    world.get(&bearer(&world, &of_two), list).expect(403).await;
    world.delete(&world.owner, &account).expect(204).await;
    assert_eq!(works(&of_two).await, 401);
}

#[tokio::test]
async fn no_other_text_is_taken_for_a_token() {
    let world = World::new().await;
    let machine = Machine::new(&world, "secrets-read-access", json!({})).await;
    let token = machine.token(&world).await;
    let good = world.get(&bearer(&world, &token), "/v1/me").expect(200).await;
    assert!(good.body["serviceAccountIdentity"].is_string());
    let [header, claims] = parts(&token);
    let pieces: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = pieces[..] else { panic!() };
    let with = |name: &str, value: Json| {
        let mut claims = claims.clone();
        claims[name] = value;
        encode(claims.to_string())
    };
    let kid = header["kid"].as_str().unwrap();
    let headed = |header: Json| encode(header.to_string());
    let none = headed(json!({"alg": "none", "kid": kid, "typ": "at+jwt"}));
    let hmac = headed(json!({"alg": "HS256", "kid": kid, "typ": "at+jwt"}));
    // Somebody else's key under our key's name, with every claim right.
    let forged =
        Signer::ed25519(kid).token_with("EdDSA", &json!({"kid": kid, "typ": "at+jwt"}), &claims);
    let changed = signature.replace(|c: char| c.is_ascii_lowercase(), "A");
    let mut texts = Vec::new();
    for bad in [
        format!("{head}.{}.{signature}", with("exp", json!(NOW + 999_999))),
        format!("{head}.{}.{signature}", with("organisation", json!(world.globex.id))),
        format!("{head}.{}.{signature}", with("scope", json!("api:write"))),
        format!("{head}.{body}.{changed}"),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{head}.{body}.{signature}="),
        format!("{head}.{body}.{signature}.x"),
        format!("{head}..{signature}"),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{hmac}.{body}.{signature}"),
        forged,
        token.to_uppercase(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "x".repeat(3000),
    ] {
        let refused = world.get(&bearer(&world, &bad), "/v1/me").expect(401).await;
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        texts.push(refused.text);
    }
    let unknown = Person { token: format!("tc_pat_{}", "x".repeat(40)), ..world.owner.clone() };
    texts.push(world.get(&unknown, "/v1/me").expect(401).await.text);
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all: {texts:?}");
}

#[tokio::test]
async fn a_token_is_of_its_organisation_and_its_issuer_alone() {
    let world = World::with(|config| config.public_url = Some("https://one.test".into())).await;
    let machine = Machine::new(&world, "secrets-full-access", json!({})).await;
    let token = machine.token(&world).await;
    let by = bearer(&world, &token);
    assert_eq!(parts(&token)[1]["iss"], "https://one.test");
    let list = "/v1/secrets/nl-01/secrets";
    world.get(&by, list).expect(200).await;
    let stranger = world.get(&world.stranger, list);
    let stranger = stranger.header("x-organisation-identity", &world.acme.id).expect(403).await;
    for organisation in [&world.globex.id, "globex", "nobody"] {
        let elsewhere = world.get(&by, list).header("x-organisation-identity", organisation);
        assert_eq!(elsewhere.expect(403).await.text, stranger.text);
    }
    world.get(&by, list).without("x-organisation-identity").expect(400).await;
    // A server that calls itself something else takes none of them, though it has the same keys.
    let mut config = world.app.config.clone();
    config.public_url = Some("https://two.test".into());
    let root = coffer_crypto::RootKey::parse(&world.root).unwrap();
    let keyring = coffer_server::keyring::Keyring::new(root, Vec::new());
    let store = world.app.store.clone();
    let other = coffer_server::app::App::new(store, keyring, world.app.clock.clone(), config);
    let mut world = world;
    world.continue_with(other);
    world.get(&by, list).expect(401).await;
}

#[tokio::test]
async fn the_signing_key_is_published_and_moves_with_the_root_key() {
    let mut world = World::new().await;
    let empty = world.anonymous("GET", "/oidc/jwks").expect(200).await.body;
    assert_eq!(empty, json!({"keys": []}), "nothing is made for whoever asks");
    let machine = Machine::new(&world, "secrets-read-access", json!({})).await;
    let token = machine.token(&world).await;
    let keys = world.anonymous("GET", "/oidc/jwks").expect(200).await.body;
    let key = &keys["keys"][0];
    assert_eq!(parts(&token)[0]["kid"], key["kid"]);
    let described =
        world.anonymous("GET", "/.well-known/openid-configuration").expect(200).await.body;
    assert_eq!(described["issuer"], parts(&token)[1]["iss"]);
    assert_eq!(
        described["jwks_uri"],
        format!("{}/oidc/jwks", described["issuer"].as_str().unwrap())
    );
    // It is enough for anybody to verify a token with.
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.clone()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_audience(&[described["issuer"].as_str().unwrap()]);
    let with = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode::<Json>(&token, &with, &validation).unwrap();

    let (old, new) = (world.root.clone(), fresh_root());
    world.restart(&[&new, &old]).await.unwrap();
    world.get(&bearer(&world, &token), "/v1/me").expect(200).await;
    let in_use = async |world: &World| {
        coffer_server::platform::root_keys::in_use(&world.app).await.unwrap().len()
    };
    assert_eq!(in_use(&world).await, 1);
    // Two keys `default`, the signing key and the one of the log's chains.
    assert_eq!(coffer_server::platform::root_keys::rewrap(&world.app).await.unwrap(), 4);
    world.restart(&[&new]).await.unwrap();
    world.get(&bearer(&world, &token), "/v1/me").expect(200).await;
    let later = machine.token(&world).await;
    assert_eq!(parts(&later)[0]["kid"], key["kid"], "it is the same key");
    assert!(world.restart(&[&old]).await.is_err());
    // The row of another name does not open.
    world.sql("UPDATE signing_keys SET key_id = 'jwk-other' WHERE purpose = 'access-token'");
    world.restart(&[&new]).await.unwrap();
    let refused = world.get(&bearer(&world, &later), "/v1/me").send().await;
    assert_eq!(refused.status, 500, "{}", refused.text);
}

#[tokio::test]
async fn servers_that_need_the_key_at_once_agree_on_one() {
    let world = World::new().await;
    let machine = Machine::new(&world, "secrets-read-access", json!({})).await;
    let (one, two) = tokio::join!(machine.token(&world), machine.token(&world));
    assert_eq!(parts(&one)[0], parts(&two)[0]);
    for token in [one, two] {
        world.get(&bearer(&world, &token), "/v1/me").expect(200).await;
    }
}

#[tokio::test]
async fn tokens_are_recorded_and_failures_bounded() {
    let world = World::with(|config| config.limits.auth_failures_per_minute = 3).await;
    let machine = Machine::new(&world, "secrets-read-access", json!({})).await;
    let token = machine.token(&world).await;
    world.get(&bearer(&world, &token), "/v1/regions").expect(200).await;
    world.get(&bearer(&world, &token), "/v1/secrets/nl-01/secrets").expect(200).await;
    let log = world.audit(&format!("serviceAccount={}", machine.account)).await;
    let actions: Vec<_> = log.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert!(actions.ends_with(&["auth.token.issue"]), "{actions:?}");
    let issued = log.last().unwrap();
    assert_eq!(issued["resourceIdentity"], parts(&token)[1]["jti"]);
    assert_eq!(issued["context"]["credentials_type"], "access_credential");
    assert_eq!(log[0]["context"]["credentials_type"], "access_token");
    let listed = world
        .get(&world.owner, &format!("{ACCOUNTS}/{}/access-credentials", machine.account))
        .expect(200)
        .await;
    assert_eq!(listed.body[0]["lastUsedAt"], "2026-01-15T12:00:00Z");
    let failures =
        || world.count("SELECT COUNT(*) FROM audit_events WHERE action = 'auth.failure'");
    for (call, status, code) in [
        (world.anonymous("POST", TOKEN).form(&[]), 400, "invalid_request"),
        (machine.asks(&world, &[("scope", "x")]), 400, "invalid_scope"),
        (machine.asks(&world, &[]).header("authorization", "Basic eA=="), 401, "invalid_client"),
    ] {
        let before = failures();
        check_refusal(&call.send().await, status, code);
        assert_eq!(failures(), before + 1, "{code}");
    }
    let late = machine.asks(&world, &[]).header("authorization", "Basic eA==").send().await;
    check_refusal(&late, 429, "temporarily_unavailable");
    assert!(late.header("retry-after").parse::<u64>().is_ok());
    assert_eq!(failures(), 3, "without a record");
    // Who has a credential gets on.
    machine.token(&world).await;
}

#[tokio::test]
async fn a_secret_or_token_is_in_no_file_and_no_answer_but_its_own() {
    let world = World::new().await;
    let machine = Machine::new(&world, "secrets-read-access", json!({})).await;
    let token = machine.token(&world).await;
    let signature = token.rsplit('.').next().unwrap().to_owned();
    world.get(&bearer(&world, &token), "/v1/me").expect(200).await;
    let refused = machine.asks(&world, &[("scope", &token)]).expect(400).await;
    assert!(!refused.text.contains(&signature));
    let refused = machine.asks(&world, &[("grant_type", &token)]).expect(400).await;
    assert!(!refused.text.contains(&signature));
    let refused = world.anonymous("POST", TOKEN).form(&[("grant_type", &machine.secret)]);
    assert!(!refused.expect(400).await.text.contains(&machine.secret));
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for needle in [&signature, &machine.secret] {
            assert!(!text.contains(needle.as_str()), "{}", path.display());
        }
    }
}
