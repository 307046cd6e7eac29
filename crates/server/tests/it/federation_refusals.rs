//! What is not to be had with another issuer's token, and what nobody can make us do with one.

use serde_json::{Value as Json, json};

use crate::federation::{FEDERATIONS, MINUTE, PROVIDERS, Trust};
use crate::issuer::{Issuer, Manner, NOW, Signer, encode};
use crate::token_endpoint::{bearer, check_refusal};
use crate::world::{NOON, Person, World};

const ACCOUNTS: &str = "/v1/service-accounts";

#[tokio::test]
async fn claims_must_be_there_and_right() {
    let trust = Trust::new().await;
    trust
        .trusts(
            "s",
            json!({"trustedAudiences": ["https://coffer.test"], "conditions": {"env": "prod"}}),
        )
        .await;
    let good = trust.claims("s", json!({"env": "prod"}));
    assert!(trust.accepts(&good).await);
    for (name, value) in [
        ("iss", json!("https://another.example.com")),
        ("iss", json!(format!("{}/", trust.issuer.url))),
        ("iss", json!([trust.issuer.url])),
        ("iss", Json::Null),
        ("sub", json!("S")),
        ("sub", json!("")),
        ("sub", Json::Null),
        ("aud", json!("https://other.test")),
        ("aud", json!([])),
        ("aud", Json::Null),
        ("exp", json!(NOW - 60)),
        ("exp", json!("soon")),
        ("exp", Json::Null),
        ("nbf", json!(NOW + 61)),
        ("env", json!("test")),
        ("env", Json::Null),
    ] {
        let mut claims = good.clone();
        match value.is_null() {
            true => drop(claims.as_object_mut().unwrap().remove(name)),
            false => claims[name] = value.clone(),
        }
        assert!(!trust.accepts(&claims).await, "{name} {value}");
    }
    // A minute of skew is allowed.
    for (name, value) in [("exp", json!(NOW - 59)), ("nbf", json!(NOW + 60))] {
        let mut claims = good.clone();
        claims[name] = value;
        assert!(trust.accepts(&claims).await, "{name}");
    }
}

#[tokio::test]
async fn signatures_must_be_the_issuers_own() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let (rsa, p256) = (Signer::rsa("rsa"), Signer::p256("p256"));
    trust.issuer.publish(&[&trust.signer, &rsa, &p256]);
    let claims = trust.claims("s", json!({}));
    assert!(trust.accepts(&claims).await);
    let body = encode(claims.to_string());
    let header = |json: Json| encode(json.to_string());
    let hmac = |secret: &[u8], kid: &str| {
        let message = format!("{}.{body}", header(json!({"alg": "HS256", "kid": kid})));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    };
    let good = trust.signer.token(&claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = trust.signer.token(&trust.claims("admin", json!({})));
    let stranger = Signer::ed25519("k1");
    let bring = json!({"kid": "k1", "jwk": stranger.jwk(), "jku": format!("{}/elsewhere", trust.issuer.url)});
    for (what, token) in [
        ("none", format!("{}.{body}.", header(json!({"alg": "none"})))),
        ("none with a signature", format!("{}.{body}.{signature}", header(json!({"alg": "none"})))),
        ("None", format!("{}.{body}.", header(json!({"alg": "None", "kid": "k1"})))),
        ("HMAC with the public key", hmac(&trust.signer.public_bytes(), "k1")),
        ("HMAC with the RSA key", hmac(&rsa.public_bytes(), "rsa")),
        ("HMAC with the key's text", hmac(rsa.jwk().to_string().as_bytes(), "rsa")),
        ("no signature", format!("{message}.")),
        ("no third part", message.to_owned()),
        ("another token's signature", format!("{message}.{}", other.rsplit('.').next().unwrap())),
        ("another key of that name", stranger.token(&claims)),
        ("a key it brings along", stranger.token_with("EdDSA", &bring, &claims)),
        ("another key's name", trust.signer.token_with("EdDSA", &json!({"kid": "rsa"}), &claims)),
        ("another algorithm's name", p256.token_with("ES384", &json!({"kid": "p256"}), &claims)),
        ("an RSA name for EdDSA", trust.signer.token_with("RS256", &json!({"kid": "k1"}), &claims)),
        (
            "critical",
            trust.signer.token_with("EdDSA", &json!({"kid": "k1", "crit": ["x"], "x": 1}), &claims),
        ),
        ("no JWT", "abc".to_owned()),
        ("dots", "...".to_owned()),
        ("long", format!("{good}{}", "A".repeat(20_000))),
    ] {
        let refused = trust.exchange(&token, &[]).await;
        assert!(refused.status == 400, "{what}: {}", refused.text);
        check_refusal(&refused, 400, "invalid_grant");
        assert!(!refused.text.contains(signature));
    }
    assert_eq!(trust.issuer.redirected(), 0, "what a token points to is never asked");
    // Its own token is no other issuer's.
    let ours = trust.token("s").await;
    check_refusal(&trust.exchange(&ours, &[]).await, 400, "invalid_grant");
}

#[tokio::test]
async fn one_answer_for_whoever_is_not_let_in() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let good = trust.signer.token(&trust.claims("s", json!({})));
    assert_eq!(trust.exchange(&good, &[]).await.status, 200);
    let mut texts = Vec::new();
    for (name, value) in [
        ("organisation_id", "nobody"),
        ("organisation_id", "globex"),
        ("organisation_id", &*trust.world.globex.id),
        ("service_account_id", "nobody"),
        ("service_account_id", "sa-d9537foqog6c73bedc70"),
        ("subject_token", "a.b.c"),
    ] {
        let refused = trust.exchange(&good, &[(name, value)]).await;
        check_refusal(&refused, 400, "invalid_grant");
        texts.push(refused.text);
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
    for (name, value, code) in [
        ("subject_token", "", "invalid_request"),
        ("subject_token_type", "", "invalid_request"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", "invalid_request"),
        ("organisation_id", "", "invalid_request"),
        ("service_account_id", "", "invalid_request"),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:refresh_token",
            "invalid_request",
        ),
        ("actor_token", "x", "invalid_request"),
        ("audience", "https://elsewhere.test", "invalid_target"),
        ("resource", "https://elsewhere.test", "invalid_target"),
        ("scope", "admin", "invalid_scope"),
    ] {
        check_refusal(&trust.exchange(&good, &[(name, value)]).await, 400, code);
    }
}

#[tokio::test]
async fn a_flood_of_unknown_key_names_fetches_once_a_minute() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let claims = trust.claims("s", json!({"exp": NOW + 86_400}));
    assert!(trust.accepts(&claims).await);
    assert_eq!(trust.issuer.fetched(), 1);
    let invented = |at: usize| Signer::ed25519(&format!("unknown-{at}")).token(&claims);
    for at in 0..20 {
        check_refusal(&trust.exchange(&invented(at), &[]).await, 400, "invalid_grant");
    }
    assert_eq!(trust.issuer.fetched(), 1);
    trust.world.set_now(NOON + MINUTE);
    let tokens: Vec<_> = (0..20).map(invented).collect();
    let flood =
        futures_util::future::join_all(tokens.iter().map(|token| trust.exchange(token, &[])));
    assert!(flood.await.iter().all(|answer| answer.status == 400));
    assert_eq!(trust.issuer.fetched(), 2);
    assert!(trust.accepts(&claims).await, "the known key is taken all the while");
    // A key that comes new is found, once a minute has passed.
    let next = Signer::p256("k2");
    trust.issuer.publish(&[&trust.signer, &next]);
    let token = next.token(&claims);
    assert_eq!(trust.exchange(&token, &[]).await.status, 400);
    trust.world.set_now(NOON + 2 * MINUTE);
    assert_eq!(trust.exchange(&token, &[]).await.status, 200);
    assert_eq!(trust.issuer.fetched(), 3);
    // One that has gone is taken for ten minutes at most.
    trust.issuer.publish(&[&next]);
    trust.world.set_now(NOON + 12 * MINUTE - 1);
    assert!(trust.accepts(&claims).await);
    trust.world.set_now(NOON + 12 * MINUTE);
    assert!(!trust.accepts(&claims).await);
    assert_eq!(trust.issuer.fetched(), 4);
}

#[tokio::test]
async fn many_at_once_wait_for_one_fetch() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let token = trust.signer.token(&trust.claims("s", json!({})));
    let all = futures_util::future::join_all((0..20).map(|_| trust.exchange(&token, &[]))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (1, 1));
}

#[tokio::test]
async fn whoever_asks_and_leaves_keeps_nobody_from_the_keys() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    trust.issuer.answers(Manner::Late);
    let token = trust.signer.token(&trust.claims("s", json!({})));
    let moment = std::time::Duration::from_millis(100);
    let gone = tokio::time::timeout(moment, trust.exchange(&token, &[])).await;
    assert!(gone.is_err(), "it has not waited for the answer");
    assert_eq!(trust.exchange(&token, &[]).await.status, 200);
    assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (1, 1));
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_for_a_minute() {
    for manner in [
        Manner::AsAnother,
        Manner::Redirecting,
        Manner::Huge,
        Manner::Failing,
        Manner::NotJson,
        Manner::Slow,
    ] {
        let trust = Trust::new().await;
        trust.trusts("s", json!({})).await;
        trust.issuer.answers(manner);
        let claims = trust.claims("s", json!({}));
        let begun = std::time::Instant::now();
        for _ in 0..3 {
            assert!(!trust.accepts(&claims).await, "{manner:?}");
        }
        assert!(begun.elapsed().as_secs() < 10, "{manner:?} took {:?}", begun.elapsed());
        let fetched = usize::from(manner != Manner::AsAnother);
        assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (1, fetched), "{manner:?}");
        assert_eq!(trust.issuer.redirected(), 0);
        trust.issuer.answers(Manner::Well);
        assert!(!trust.accepts(&claims).await, "not yet");
        trust.world.set_now(NOON + MINUTE);
        assert!(trust.accepts(&claims).await, "{manner:?}");
    }
}

#[tokio::test]
async fn private_addresses_are_not_called_unless_they_may_be() {
    let world = World::new().await;
    for issuer in ["http://127.0.0.1:1", "https://127.0.0.1:1", "https://[::1]", "https://10.0.0.1"]
    {
        let request = json!({"name": "x", "providerIssuer": issuer});
        world.post(&world.owner, PROVIDERS).json(request).expect(400).await;
    }
    // Made while it was allowed, and by a name that points inside.
    let mut trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let claims = trust.claims("s", json!({}));
    let named = trust.issuer.url.replace("127.0.0.1", "localhost").replace("http:", "https:");
    for place in ["", named.as_str()] {
        trust.world.sql(&format!("UPDATE identity_providers SET jwks_uri = '{place}'"));
        let mut config = trust.world.app.config.clone();
        config.federation.allow_private_issuers = false;
        let root = coffer_crypto::RootKey::parse(&trust.world.root).unwrap();
        let keyring = coffer_server::keyring::Keyring::new(root, Vec::new());
        let (store, clock) = (trust.world.app.store.clone(), trust.world.app.clock.clone());
        trust.world.continue_with(coffer_server::app::App::new(store, keyring, clock, config));
        assert!(!trust.accepts(&claims).await);
        assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (0, 0), "{place}");
    }
}

#[tokio::test]
async fn whoever_has_no_identity_there_makes_us_fetch_nothing() {
    let trust = Trust::new().await;
    assert!(!trust.accepts(&trust.claims("s", json!({}))).await);
    let id = trust.trusts("s", json!({})).await;
    trust.set(&format!("{FEDERATIONS}/{id}"), json!({"status": "inactive"})).await;
    assert!(!trust.accepts(&trust.claims("s", json!({}))).await);
    assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (0, 0));
}

#[tokio::test]
async fn one_organisations_keys_are_not_anothers() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let world = &trust.world;
    // Globex trusts the same issuer with keys of its own making.
    let forger = Signer::ed25519("k1");
    let provider = json!({"name": "x", "providerIssuer": trust.issuer.url,
        "localJwks": {"keys": [forger.jwk()]}});
    let provider = world.post(&world.stranger, PROVIDERS).json(provider).expect(201).await.body;
    world.post(&world.stranger, ACCOUNTS).json(json!({"name": "ci"})).expect(201).await;
    let identity = json!({"name": "x", "serviceAccountIdentity": "ci",
        "providerIdentity": provider["identity"], "providerSubject": "*"});
    world.post(&world.stranger, FEDERATIONS).json(identity).expect(201).await;
    let claims = trust.claims("s", json!({}));
    let (forged, good) = (forger.token(&claims), trust.signer.token(&claims));
    let globex = [("organisation_id", "globex")];
    assert_eq!(trust.exchange(&forged, &[]).await.status, 400);
    assert_eq!(trust.exchange(&good, &[]).await.status, 200);
    assert_eq!(trust.exchange(&good, &globex).await.status, 400);
    let granted = trust.exchange(&forged, &globex).await;
    assert_eq!(granted.status, 200, "{}", granted.text);
    // And its token opens nothing of acme's.
    let by = bearer(world, granted.body["access_token"].as_str().unwrap());
    world.get(&by, "/v1/secrets/nl-01/secrets").expect(403).await;
    // Nor can an identity name what is another organisation's.
    let identity = json!({"name": "x", "serviceAccountIdentity": trust.account,
        "providerIdentity": provider["identity"], "providerSubject": "*"});
    world.post(&world.stranger, FEDERATIONS).json(identity).expect(404).await;
    let identity = json!({"name": "x", "serviceAccountIdentity": "ci",
        "providerIdentity": trust.provider, "providerSubject": "*"});
    world.post(&world.stranger, FEDERATIONS).json(identity).expect(404).await;
}

#[tokio::test]
async fn nobody_trusts_tokens_for_more_than_they_hold() {
    let trust = Trust::new().await;
    let world = &trust.world;
    // May do everything to providers and identities, and nothing with secrets.
    let keeper = world.person_with("federated_identity", &[], &["*"]).await;
    world.grant(&keeper, "identity_provider", &[], &["*"]).await;
    let identity = |account: &str| {
        json!({"name": "x", "serviceAccountIdentity": account,
        "providerIdentity": trust.provider, "providerSubject": "x"})
    };
    world.post(&world.owner, ACCOUNTS).json(json!({"name": "weak"})).expect(201).await;
    // Trusting tokens for an account is as good as making a credential of it.
    for account in ["weak", "ci", "none"] {
        let refused = world.post(&keeper, FEDERATIONS).json(identity(account)).expect(404).await;
        assert_eq!(refused.message(), "service account not found");
    }
    let own = trust.trusts("own", json!({})).await;
    let status = json!({"conditions": {}});
    world.put(&keeper, &format!("{FEDERATIONS}/{own}")).json(status).expect(400).await;
    world.grant(&keeper, "service_account", &[], &["update"]).await;
    let weak = world.post(&keeper, FEDERATIONS).json(identity("weak")).expect(201).await.body;
    world.post(&keeper, FEDERATIONS).json(identity("ci")).expect(400).await;
    let strong = trust.trusts("s", json!({})).await;
    let urls =
        [weak["identity"].as_str().unwrap(), &strong].map(|id| format!("{FEDERATIONS}/{id}"));
    let put = async |by: &Person, url: &str, body: Json| {
        world.put(by, url).json(body).send().await.status
    };
    for body in [
        json!({"trustedAudiences": []}),
        json!({"audienceMatchMode": "any"}),
        json!({"conditions": {}}),
        json!({"allowedScopes": []}),
        json!({"expiresAt": "2027-01-01T00:00:00Z"}),
    ] {
        assert_eq!(put(&keeper, &urls[0], body.clone()).await, 200, "{body}");
        assert_eq!(put(&keeper, &urls[1], body.clone()).await, 400, "{body}");
    }
    // Shutting somebody out is no escalation; letting them in again is.
    assert_eq!(put(&keeper, &urls[1], json!({"description": "d"})).await, 200);
    assert_eq!(put(&keeper, &urls[1], json!({"status": "inactive"})).await, 200);
    assert_eq!(put(&keeper, &urls[1], json!({"status": "active"})).await, 400);
    assert_eq!(put(&world.owner, &urls[1], json!({"status": "active"})).await, 200);
    // Nor by saying which keys are the issuer's.
    let provider = format!("{PROVIDERS}/{}", trust.provider);
    let own = Signer::ed25519("mine");
    for body in [
        json!({"localJwks": {"keys": [own.jwk()]}}),
        json!({"providerJwksUri": "https://example.com/keys"}),
    ] {
        assert_eq!(put(&keeper, &provider, body).await, 400);
    }
    assert_eq!(put(&keeper, &provider, json!({"name": "n", "status": "inactive"})).await, 200);
    assert_eq!(put(&keeper, &provider, json!({"status": "active"})).await, 400);
    // A credential hands on no more scopes and no later end than its own.
    let tokens = "/v1/me/personal-access-tokens";
    let limited =
        json!({"name": "x", "scopes": ["api:write"], "expiresAt": "2026-06-01T00:00:00Z"});
    let made = world.post(&world.owner, tokens).json(limited).expect(201).await.body;
    let limited = Person { token: made["token"].as_str().unwrap().into(), ..world.owner.clone() };
    for (fields, status) in [
        (json!({}), 400),
        (json!({"allowedScopes": ["api:read"]}), 400),
        (json!({"expiresAt": "2026-05-01T00:00:00Z"}), 400),
        (json!({"allowedScopes": ["api:read"], "expiresAt": "2026-07-01T00:00:00Z"}), 400),
        (json!({"allowedScopes": ["api:read"], "expiresAt": "2026-05-01T00:00:00Z"}), 201),
    ] {
        let mut request = identity("weak");
        for (name, value) in fields.as_object().unwrap() {
            request[name] = value.clone();
        }
        world.post(&limited, FEDERATIONS).json(request).expect(status).await;
    }
}

#[tokio::test]
async fn a_subject_token_is_in_no_record_and_no_file() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let canary = json!({"canary": "canary-4711-do-not-leak", "exp": NOW + 300});
    let good = trust.signer.token(&trust.claims("s", canary.clone()));
    let bad = trust.signer.token(&trust.claims("t", canary));
    let granted = trust.exchange(&good, &[]).await;
    let refused = trust.exchange(&bad, &[]).await;
    check_refusal(&refused, 400, "invalid_grant");
    let ours = granted.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(trust.works(&ours).await, 200);
    let needles = [good, bad, ours].map(|token| token.rsplit('.').next().unwrap().to_owned());
    let mut places =
        vec![refused.text, trust.world.get(&trust.world.owner, "/v1/audit").expect(200).await.text];
    for entry in std::fs::read_dir(trust.world.folder.path()).unwrap() {
        places.push(
            String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned(),
        );
    }
    for place in &places {
        for needle in &needles {
            assert!(!place.contains(needle.as_str()));
        }
        assert!(!place.contains("canary-4711"));
    }
}

#[tokio::test]
async fn an_issuer_serves_what_the_tests_think_it_does() {
    let issuer = Issuer::new().await;
    let signer = Signer::ed25519("k");
    issuer.publish(&[&signer]);
    let egress = coffer_server::egress::Egress::new(coffer_server::egress::Reach::Anywhere);
    let keys = egress.get(&format!("{}/keys", issuer.url)).await.unwrap();
    let keys: Json = serde_json::from_slice(&keys).unwrap();
    assert_eq!(keys, json!({"keys": [signer.jwk()]}));
    let without_tls = format!("{}/keys", issuer.url.replace("http:", "https:"));
    assert_eq!(egress.get(&without_tls).await, Err("cannot be reached"));
    let by_name = format!("{}/keys", issuer.url.replace("127.0.0.1", "localhost"));
    assert!(egress.get(&by_name).await.is_ok(), "called at the address the name was found to have");
    for (manner, why) in [
        (Manner::Redirecting, "does not answer 200"),
        (Manner::Failing, "does not answer 200"),
        (Manner::Huge, "answers more than 1 MiB"),
    ] {
        issuer.answers(manner);
        assert_eq!(egress.get(&format!("{}/keys", issuer.url)).await, Err(why));
    }
}
