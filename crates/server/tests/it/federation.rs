//! Tokens of other issuers for access tokens, and the providers and identities that say which (contract, sections 5.2
//! to 5.4 and 14, 41 and 42).

use serde_json::{Value as Json, json};

use crate::issuer::{Issuer, NOW, Signer};
use crate::token_endpoint::{bearer, check_refusal, parts};
use crate::world::{Answer, NOON, World, base64, text_of};

pub const PROVIDERS: &str = "/v1/federated-identity-providers";
pub const FEDERATIONS: &str = "/v1/federated-identities";
const ACCOUNTS: &str = "/v1/service-accounts";
const VALUE: &str = "/v1/secrets/nl-01/secret/app/a/value";
pub const MINUTE: i64 = 60_000_000;

/// An organisation that trusts an issuer for the service account `ci`.
pub struct Trust {
    pub world: World,
    pub issuer: Issuer,
    pub signer: Signer,
    pub account: String,
    pub provider: String,
}

impl Trust {
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// The provider with further fields.
    pub async fn with(fields: Json) -> Self {
        let world = World::with(|config| config.federation.allow_private_issuers = true).await;
        world.secret("/app/a", "hunter2").await;
        let (issuer, signer) = (Issuer::new().await, Signer::ed25519("k1"));
        issuer.publish(&[&signer]);
        let made = world.post(&world.owner, ACCOUNTS).json(json!({"name": "ci"})).expect(201).await;
        let account = made.body["identity"].as_str().unwrap().to_owned();
        let bind = json!({"name": "b", "serviceAccountIdentity": "ci"});
        let url = "/v1/iam/roles/secrets-full-access/bindings";
        world.post(&world.owner, url).json(bind).expect(201).await;
        let mut request = json!({"name": "issuer", "providerIssuer": issuer.url});
        for (name, value) in fields.as_object().unwrap() {
            request[name] = value.clone();
        }
        let made = world.post(&world.owner, PROVIDERS).json(request).expect(201).await;
        let provider = made.body["identity"].as_str().unwrap().to_owned();
        Self { world, issuer, signer, account, provider }
    }

    /// Lets tokens of this subject in: the identity that does.
    pub async fn trusts(&self, subject: &str, fields: Json) -> String {
        let mut request = json!({"name": "x", "serviceAccountIdentity": "ci",
            "providerIdentity": self.provider, "providerSubject": subject});
        for (name, value) in fields.as_object().unwrap() {
            request[name] = value.clone();
        }
        let made = self.world.post(&self.world.owner, FEDERATIONS).json(request).expect(201).await;
        made.body["identity"].as_str().unwrap().to_owned()
    }

    /// Claims with what every token has, and these.
    pub fn claims(&self, subject: &str, more: Json) -> Json {
        let mut claims = json!({"iss": self.issuer.url, "sub": subject, "iat": NOW, "exp": NOW + 300,
            "aud": "https://coffer.test"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    pub async fn exchange(&self, token: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("organisation_id", "acme"),
            ("service_account_id", "ci"),
        ];
        all.retain(|(name, _)| !fields.iter().any(|(other, _)| other == name));
        all.extend(fields.iter().filter(|(_, value)| !value.is_empty()));
        self.world.anonymous("POST", "/oidc/token").form(&all).send().await
    }

    /// Whether a token with these claims is accepted; if not, for the one reason there is.
    pub async fn accepts(&self, claims: &Json) -> bool {
        let answer = self.exchange(&self.signer.token(claims), &[]).await;
        if answer.status != 200 {
            check_refusal(&answer, 400, "invalid_grant");
        }
        answer.status == 200
    }

    /// The access token for a subject token.
    pub async fn token(&self, subject: &str) -> String {
        let token = self.signer.token(&self.claims(subject, json!({})));
        let granted = self.exchange(&token, &[]).await;
        assert_eq!(granted.status, 200, "{}", granted.text);
        granted.body["access_token"].as_str().unwrap().to_owned()
    }

    /// The status of a call with an access token.
    pub async fn works(&self, token: &str) -> u16 {
        self.world.get(&bearer(&self.world, token), "/v1/me").send().await.status
    }

    pub async fn set(&self, url: &str, fields: Json) -> Answer {
        self.world.put(&self.world.owner, url).json(fields).send().await
    }
}

#[tokio::test]
async fn tokens_as_three_platforms_make_them_are_taken() {
    let trust = Trust::new().await;
    let github = "repo:acme/app:ref:refs/heads/main";
    let gitlab = "project_path:acme/app:ref_type:branch:ref:main";
    let kubernetes = "system:serviceaccount:build:runner";
    trust
        .trusts(
            "repo:acme/app:*",
            json!({"trustedAudiences": ["https://coffer.test"],
        "conditions": {"repository_owner": "acme", "event_name": ["push", "workflow_dispatch"]}}),
        )
        .await;
    trust.trusts(gitlab, json!({"conditions": {"ref_protected": true, "project_id": 7}})).await;
    trust
        .trusts(
            "system:serviceaccount:build:*",
            json!({"audienceMatchMode": "exact",
        "trustedAudiences": ["https://coffer.test", "other"]}),
        )
        .await;
    for (subject, more) in [
        (
            github,
            json!({"repository": "acme/app", "repository_owner": "acme", "event_name": "push",
            "ref": "refs/heads/main", "runner_environment": "github-hosted", "nbf": NOW - 5, "jti": "x"}),
        ),
        (
            gitlab,
            json!({"project_id": "7", "ref_protected": "true", "aud": ["https://gitlab.test"],
            "nbf": NOW - 5, "user_login": "me"}),
        ),
        (
            kubernetes,
            json!({"aud": ["https://coffer.test"], "nbf": NOW,
            "kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "runner"}}}),
        ),
    ] {
        let token = trust.signer.token(&trust.claims(subject, more));
        for kind in ["jwt", "id_token"] {
            let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
            let granted = trust.exchange(&token, &[("subject_token_type", &kind)]).await;
            assert_eq!(granted.status, 200, "{subject}: {}", granted.text);
            assert_eq!(granted.body["token_type"], "Bearer");
            assert_eq!(granted.body["expires_in"], 3600);
            let by = bearer(&trust.world, granted.body["access_token"].as_str().unwrap());
            assert_eq!(text_of(&trust.world.post(&by, VALUE).expect(200).await), "hunter2");
        }
    }
    assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (1, 1), "one fetch for all");
    let log = trust.world.audit(&format!("serviceAccount={}", trust.account)).await;
    let exchanged: Vec<_> =
        log.iter().filter(|entry| entry["action"] == "auth.token.exchange").collect();
    assert_eq!(exchanged.len(), 6);
    assert!(
        exchanged
            .iter()
            .all(|entry| entry["resourceIdentity"].as_str().unwrap().starts_with("at-"))
    );
}

#[tokio::test]
async fn every_algorithm_with_a_public_key_is_taken() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    let signers =
        [Signer::ed25519("ed"), Signer::p256("p256"), Signer::p384("p384"), Signer::rsa("rsa")];
    trust.issuer.publish(&signers.iter().collect::<Vec<_>>());
    let claims = trust.claims("s", json!({}));
    for signer in &signers {
        let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
        let all = if signer.kid == "rsa" { &rsa[..] } else { &[signer.algorithm()] };
        for algorithm in all {
            for headers in [json!({"kid": signer.kid, "typ": "JWT"}), json!({})] {
                let token = signer.token_with(algorithm, &headers, &claims);
                let granted = trust.exchange(&token, &[]).await;
                assert_eq!(granted.status, 200, "{algorithm} {headers}: {}", granted.text);
            }
        }
    }
}

#[tokio::test]
async fn keys_may_be_given_instead_of_fetched() {
    let signer = Signer::p256("given");
    let trust = Trust::with(json!({"localJwks": {"keys": [signer.jwk()]}})).await;
    let id = trust.trusts("s", json!({})).await;
    let owner = &trust.world.owner;
    let shown = trust.world.get(owner, &format!("{FEDERATIONS}/{id}")).expect(200).await.body;
    assert!(shown["provider"].get("localJwks").is_none(), "only the provider itself shows them");
    let token = signer.token(&trust.claims("s", json!({})));
    assert_eq!(trust.exchange(&token, &[]).await.status, 200);
    assert!(!trust.accepts(&trust.claims("s", json!({}))).await, "signed by a published key");
    assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (0, 0));
    // The place of the keys may be given, too.
    let url = format!("{PROVIDERS}/{}", trust.provider);
    let keys = format!("{}/keys", trust.issuer.url);
    let set = trust.set(&url, json!({"localJwks": {"keys": []}, "providerJwksUri": keys})).await;
    assert_eq!((set.status, set.body.get("localJwks")), (200, None), "{}", set.text);
    assert!(trust.accepts(&trust.claims("s", json!({}))).await);
    assert_eq!((trust.issuer.described(), trust.issuer.fetched()), (0, 1));
}

#[tokio::test]
async fn a_token_lives_as_long_as_asked_and_no_longer_than_its_identity() {
    let trust = Trust::new().await;
    trust.trusts("s", json!({})).await;
    trust.trusts("ends", json!({"expiresAt": "2026-01-15T12:10:00Z"})).await;
    let token = trust.signer.token(&trust.claims("s", json!({})));
    for (lifetime, seconds) in [
        ("", 3600),
        ("3600", 3600),
        ("39600s", 39_600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("60", 60),
        ("24h", 86_400),
    ] {
        let granted = trust.exchange(&token, &[("access_token_lifetime", lifetime)]).await;
        assert_eq!(granted.body["expires_in"], seconds, "{lifetime}: {}", granted.text);
        let claims = &parts(granted.body["access_token"].as_str().unwrap())[1];
        assert_eq!(claims["exp"].as_i64().unwrap() - NOW, seconds);
    }
    for lifetime in ["59", "59s", "24h1s", "86401", "0", "-1h", "x", "2d", "99999999999999999999"] {
        let refused = trust.exchange(&token, &[("access_token_lifetime", lifetime)]).await;
        check_refusal(&refused, 400, "invalid_request");
    }
    // An end that is set later, or moved, holds for tokens that are out already.
    let id = trust.trusts("moved", json!({})).await;
    let moved = trust.token("moved").await;
    let url = format!("{FEDERATIONS}/{id}");
    let set = trust.set(&url, json!({"expiresAt": "2026-01-15T12:05:00Z"})).await;
    assert_eq!(set.status, 200, "{}", set.text);
    trust.world.set_now(NOON + 5 * MINUTE - 1);
    assert_eq!(trust.works(&moved).await, 200);
    trust.world.set_now(NOON + 5 * MINUTE);
    assert_eq!(trust.works(&moved).await, 401);
    trust.world.set_now(NOON);
    let ends = trust.token("ends").await;
    assert_eq!(parts(&ends)[1]["exp"], NOW + 600);
    trust.world.set_now(NOON + 10 * MINUTE - 1);
    assert_eq!(trust.works(&ends).await, 200);
    trust.world.set_now(NOON + 10 * MINUTE);
    assert_eq!(trust.works(&ends).await, 401);
    assert!(!trust.accepts(&trust.claims("ends", json!({"exp": NOW + 3600}))).await);
    let listed = trust.world.get(&trust.world.owner, FEDERATIONS).expect(200).await.body;
    let statuses: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert!(statuses.contains(&"expired") && statuses.contains(&"active"), "{statuses:?}");
}

#[tokio::test]
async fn scopes_of_the_identity_bound_the_token() {
    let trust = Trust::new().await;
    let id = trust.trusts("s", json!({"allowedScopes": ["api:read"]})).await;
    let token = trust.signer.token(&trust.claims("s", json!({})));
    let granted = trust.exchange(&token, &[]).await;
    assert_eq!(granted.body["scope"], "api:read");
    let text = granted.body["access_token"].as_str().unwrap();
    let by = bearer(&trust.world, text);
    trust.world.post(&by, VALUE).expect(200).await;
    let put = trust.world.post(&by, "/v1/secrets/nl-01/secret/app/a/versions");
    put.json(json!({"secretString": base64("x")})).expect(403).await;
    let refused = trust.exchange(&token, &[("scope", "api:read api:write")]).await;
    check_refusal(&refused, 400, "invalid_scope");
    // A second identity that lets more in is found when that is asked for.
    trust.trusts("*", json!({"allowedScopes": ["api:write"]})).await;
    let granted = trust.exchange(&token, &[("scope", "api:write")]).await;
    assert_eq!(granted.body["scope"], "api:write", "{}", granted.text);
    // Scopes that are taken away end the tokens that have them.
    let url = format!("{FEDERATIONS}/{id}");
    assert_eq!(trust.set(&url, json!({"allowedScopes": ["kubernetes"]})).await.status, 200);
    assert_eq!(trust.works(text).await, 401);
}

#[tokio::test]
async fn what_is_taken_away_ends_the_token_with_the_next_call() {
    let trust = Trust::new().await;
    let provider = format!("{PROVIDERS}/{}", trust.provider);
    for (what, status) in [("inactive", "active"), ("revoked", "")] {
        let url = format!("{FEDERATIONS}/{}", trust.trusts(what, json!({})).await);
        let token = trust.token(what).await;
        assert_eq!(trust.works(&token).await, 200);
        assert_eq!(trust.set(&url, json!({"status": what})).await.status, 200);
        assert_eq!(trust.works(&token).await, 401, "{what}");
        assert!(!trust.accepts(&trust.claims(what, json!({}))).await);
        let back = trust.set(&url, json!({"status": "active"})).await;
        assert_eq!(back.status, if status.is_empty() { 400 } else { 200 }, "{}", back.text);
        assert_eq!(trust.works(&token).await, 401, "what has ended stays so");
        assert_eq!(trust.accepts(&trust.claims(what, json!({}))).await, !status.is_empty());
    }
    // Other terms end what was given out under the old ones.
    let url = format!("{FEDERATIONS}/{}", trust.trusts("terms", json!({})).await);
    for (terms, status) in [
        (json!({"description": "d", "labels": {"a": "b"}}), 200),
        (json!({"conditions": {"ref": "main"}}), 401),
        (json!({"conditions": {}}), 401),
        (json!({"audienceMatchMode": "all"}), 401),
        (json!({"trustedAudiences": []}), 200),
        (json!({"trustedAudiences": ["another"]}), 401),
    ] {
        let more = if terms.get("labels").is_some() { json!({}) } else { json!({"ref": "main"}) };
        let claims = trust.claims("terms", more);
        let granted = trust.exchange(&trust.signer.token(&claims), &[]).await;
        let token = granted.body["access_token"].as_str().unwrap().to_owned();
        assert_eq!(trust.set(&url, terms.clone()).await.status, 200);
        assert_eq!(trust.works(&token).await, status, "{terms}");
    }
    let id = trust.trusts("deleted", json!({})).await;
    let token = trust.token("deleted").await;
    trust.world.delete(&trust.world.owner, &format!("{FEDERATIONS}/{id}")).expect(204).await;
    assert_eq!(trust.works(&token).await, 401);
    trust.trusts("provider", json!({})).await;
    let token = trust.token("provider").await;
    assert_eq!(trust.set(&provider, json!({"status": "inactive"})).await.status, 200);
    assert_eq!(trust.works(&token).await, 401);
    assert!(!trust.accepts(&trust.claims("provider", json!({}))).await);
    assert_eq!(trust.set(&provider, json!({"status": "active"})).await.status, 200);
    assert_eq!(trust.works(&token).await, 401, "what has ended stays so");
    // Its keys are read again, a minute after the last time.
    trust.world.set_now(NOON + 60_000_000);
    let token = trust.token("provider").await;
    assert_eq!(trust.works(&token).await, 200);
    let keys = json!({"localJwks": {"keys": [trust.signer.jwk()]}});
    assert_eq!(trust.set(&provider, keys).await.status, 200);
    assert_eq!(trust.works(&token).await, 401, "given out under other keys");
    let token = trust.token("provider").await;
    assert_eq!(trust.works(&token).await, 200);
    let account = format!("{ACCOUNTS}/{}", trust.account);
    trust.world.delete(&trust.world.owner, &account).expect(204).await;
    assert_eq!(trust.works(&token).await, 401);
    assert!(!trust.accepts(&trust.claims("provider", json!({}))).await);
    let left = trust.world.get(&trust.world.owner, FEDERATIONS).expect(200).await;
    assert_eq!(left.body, json!([]), "they went with the account");
}

#[tokio::test]
async fn the_identity_of_the_named_account_counts() {
    let trust = Trust::new().await;
    let other = trust.world.post(&trust.world.owner, ACCOUNTS).json(json!({"name": "other"}));
    let other = other.expect(201).await.body["identity"].as_str().unwrap().to_owned();
    trust.trusts("*", json!({"serviceAccountIdentity": other})).await;
    let id = trust.trusts("s", json!({})).await;
    let token = trust.signer.token(&trust.claims("s", json!({})));
    for (named, expected) in
        [("ci", &trust.account), (&*trust.account, &trust.account), ("other", &other)]
    {
        let granted = trust.exchange(&token, &[("service_account_id", named)]).await;
        let claims = &parts(granted.body["access_token"].as_str().unwrap())[1];
        assert_eq!(claims["sub"], expected.as_str());
        assert_eq!(claims["client_id"] == id.as_str(), *expected == trust.account);
    }
    let by_identity = [("organisation_id", trust.world.acme.id.as_str())];
    assert_eq!(trust.exchange(&token, &by_identity).await.status, 200);
    let url = format!("{FEDERATIONS}/{id}");
    let shown = trust.world.get(&trust.world.owner, &url).expect(200).await.body;
    assert_eq!(shown["lastUsedAt"], "2026-01-15T12:00:00Z", "{shown}");
    coffer_server::jobs::flush_last_use(&trust.world.app).await.unwrap();
    assert!(trust.world.app.last_use.find(&id).is_none());
    let shown = trust.world.get(&trust.world.owner, &url).expect(200).await.body;
    assert_eq!(shown["lastUsedAt"], "2026-01-15T12:00:00Z", "{shown}");
}

#[tokio::test]
async fn a_provider_is_made_changed_and_deleted() {
    let world = World::new().await;
    let issuer = "https://token.actions.githubusercontent.com";
    let labels = json!({"thalassa.cloud/managed-by": "tcloud"});
    let request = json!({"name": "github", "description": "d", "labels": labels,
        "annotations": {"a": "b"}, "providerIssuer": issuer});
    let made = world.post(&world.owner, PROVIDERS).json(request.clone()).expect(201).await.body;
    let id = made["identity"].as_str().unwrap();
    assert!(id.starts_with("idp-"), "{made}");
    assert_eq!((&made["status"], &made["objectVersion"]), (&json!("active"), &json!(1)));
    assert_eq!(made["createdBy"]["subject"], world.owner.subject.as_str());
    for (name, value) in request.as_object().unwrap() {
        assert_eq!(made[name], *value, "{name}");
    }
    let url = format!("{PROVIDERS}/{id}");
    assert_eq!(world.get(&world.owner, &url).expect(200).await.body, made);
    world.post(&world.owner, PROVIDERS).json(request.clone()).expect(409).await;
    // A slash at the end is another issuer, and another organisation has its own.
    let slash = json!({"name": "slash", "providerIssuer": format!("{issuer}/")});
    world.post(&world.owner, PROVIDERS).json(slash).expect(201).await;
    world.post(&world.stranger, PROVIDERS).json(request).expect(201).await;
    world.get(&world.stranger, &url).expect(404).await;
    world.get(&world.nobody, &url).expect(403).await;
    let changed = world.put(&world.owner, &url).json(json!({"name": "GitHub", "labels": {},
        "providerIssuer": "https://example.com", "providerJwksUri": "https://example.com/keys"}));
    let changed = changed.expect(200).await.body;
    assert_eq!((&changed["name"], &changed["providerIssuer"]), (&json!("GitHub"), &json!(issuer)));
    assert_eq!((&changed["labels"], &changed["objectVersion"]), (&json!({}), &json!(2)));
    assert_eq!(changed["description"], "d");
    for (query, count) in [
        ("", 2),
        ("?name=GitHub", 1),
        (&format!("?identity={id}"), 1),
        ("?matchLabels%5Bx%5D=y", 0),
        ("?slug=x", 2),
    ] {
        let listed = world.get(&world.owner, &format!("{PROVIDERS}{query}")).expect(200).await.body;
        assert_eq!(listed.as_array().unwrap().len(), count, "{query}");
    }
    for (field, value) in [
        ("providerIssuer", json!("http://example.com")),
        ("providerIssuer", json!("https://127.0.0.1")),
        ("providerIssuer", json!("https://example.com/?a=b")),
        ("providerIssuer", json!("https://a:b@example.com")),
        ("providerIssuer", json!("")),
        ("providerIssuer", json!(null)),
        ("providerJwksUri", json!("http://example.com/keys")),
        ("providerJwksUri", json!("https://[::1]/keys")),
        ("localJwks", json!("x")),
        ("localJwks", json!({"keys": "x"})),
        ("localJwks", json!({"keys": [{"kty": "x", "x": "x".repeat(65_536)}]})),
        ("localJwks", json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
        (
            "localJwks",
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "d": "x",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}),
        ),
        ("status", json!("revoked")),
        ("name", json!(" ")),
        ("labels", json!({"": "x"})),
    ] {
        let mut request = json!({"name": "x", "providerIssuer": "https://bad.example.com"});
        request[field] = value.clone();
        let refused = world.post(&world.owner, PROVIDERS).json(request).expect(400).await;
        assert!(refused.message().contains(field), "{field} {value}: {}", refused.text);
    }
    world.delete(&world.owner, &url).expect(204).await;
    world.get(&world.owner, &url).expect(404).await;
}

#[tokio::test]
async fn a_federated_identity_is_made_changed_and_deleted() {
    let trust = Trust::new().await;
    let world = &trust.world;
    let fields = json!({"name": "main", "description": "d",
        "labels": {"thalassa.cloud/wif-key": "k", "kubernetes_cluster_id": "c"},
        "annotations": {"thalassa.cloud/wif.repo": "acme/app"}, "trustedAudiences": ["a", "b"],
        "audienceMatchMode": "all", "allowedScopes": ["api:read"], "expiresAt": "2027-01-01T00:00:00Z",
        "conditions": {"branch": "main", "ref_protected": true, "n": [1, 2]}});
    let id = trust.trusts("repo:acme/*", fields.clone()).await;
    let url = format!("{FEDERATIONS}/{id}");
    let shown = world.get(&world.owner, &url).expect(200).await.body;
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert!(id.starts_with("fi-"));
    assert_eq!((&shown["status"], &shown["objectVersion"]), (&json!("active"), &json!(1)));
    assert_eq!(shown["serviceAccount"]["slug"], "ci");
    assert_eq!(shown["provider"]["providerIssuer"], trust.issuer.url.as_str());
    assert_eq!(shown["providerSubject"], "repo:acme/*");
    assert_eq!(shown["createdBy"]["subject"], world.owner.subject.as_str());
    let changed = trust.set(&url, json!({"description": "e", "providerSubject": "*"})).await.body;
    assert_eq!(
        (&changed["description"], &changed["providerSubject"]),
        (&json!("e"), &json!("repo:acme/*"))
    );
    assert_eq!(
        (&changed["conditions"], &changed["objectVersion"]),
        (&fields["conditions"], &json!(2))
    );
    let changed =
        trust.set(&url, json!({"conditions": {}, "trustedAudiences": [], "allowedScopes": []}));
    let changed = changed.await.body;
    assert_eq!((&changed["conditions"], &changed["allowedScopes"]), (&json!({}), &json!([])));
    for (query, count) in [
        ("?matchLabels[thalassa.cloud/wif-key]=k&matchLabels[kubernetes_cluster_id]=c", 1),
        ("?matchLabels[thalassa.cloud/wif-key]=x", 0),
        ("?name=main", 1),
        ("?name=x", 0),
    ] {
        let listed =
            world.get(&world.owner, &format!("{FEDERATIONS}{query}")).expect(200).await.body;
        assert_eq!(listed.as_array().unwrap().len(), count, "{query}");
    }
    for (field, value) in [
        ("providerSubject", json!("")),
        ("providerSubject", json!("x".repeat(2049))),
        ("audienceMatchMode", json!("some")),
        ("allowedScopes", json!(["admin"])),
        ("expiresAt", json!("2026-01-15T12:00:00Z")),
        ("trustedAudiences", json!([""])),
        ("trustedAudiences", json!("x")),
        ("conditions", json!({"a": null})),
        ("conditions", json!({"a": {"b": 1}})),
        ("conditions", json!({"a": []})),
        ("conditions", json!([])),
        ("name", json!("")),
    ] {
        let mut request = json!({"name": "x", "serviceAccountIdentity": "ci",
            "providerIdentity": trust.provider, "providerSubject": "s"});
        request[field] = value.clone();
        let refused = world.post(&world.owner, FEDERATIONS).json(request).expect(400).await;
        assert!(refused.message().contains(field), "{field} {value}: {}", refused.text);
    }
    for (field, value) in [("serviceAccountIdentity", "none"), ("providerIdentity", "none")] {
        let mut request = json!({"name": "x", "serviceAccountIdentity": "ci",
            "providerIdentity": trust.provider, "providerSubject": "s"});
        request[field] = json!(value);
        world.post(&world.owner, FEDERATIONS).json(request).expect(404).await;
    }
    assert_eq!(trust.set(&url, json!({"status": "expired"})).await.status, 400);
    // A provider that is named stays.
    let provider = format!("{PROVIDERS}/{}", trust.provider);
    let refused = world.delete(&world.owner, &provider).expect(409).await;
    assert!(refused.message().contains(&id), "{}", refused.text);
    world.delete(&world.owner, &url).expect(204).await;
    world.get(&world.owner, &url).expect(404).await;
    world.delete(&world.owner, &provider).expect(204).await;
}
