//! Every operation of the API as a call that can be made, for the tests that walk over all of them.

use serde_json::{Value as Json, json};

use crate::project_calls::{self, InProject};
use crate::world::{Answer, Asking, Person, World, base64};

/// What the clock or the operator does. Moving to another root key takes several transactions, and stands by itself.
pub const UNATTENDED: [&str; 8] = [
    "audit.expire",
    "kms.purge",
    "kms.rotate.scheduled",
    "platform.administrator.create",
    "platform.administrator.delete",
    "platform.bootstrap",
    "platform.owner-token",
    "platform.restore",
];

/// One operation of the API as it is really called. `KEY` and `PATH` stand for what is made for it.
pub struct Call {
    pub action: &'static str,
    pub method: &'static str,
    /// The entry of `ROUTES` that serves it, after its method.
    pub route: (&'static str, &'static str),
    pub url: &'static str,
    pub body: fn(&Target) -> Json,
}

/// What a call is about: made afresh for each, so that no call finds what another has left.
#[derive(Default)]
pub struct Target {
    pub path: String,
    pub key: String,
    /// A ciphertext, signature or HMAC of the key over `x`.
    pub made: Json,
    /// Identity of a token of the caller's own.
    pub token: String,
    /// Subject of the owner.
    pub owner: String,
    /// An invite and its code.
    pub invite: [String; 2],
    /// A request for a larger quota.
    pub request: String,
    /// Something that is fresh for each call.
    pub fresh: String,
    /// A role with a rule and a binding.
    pub role: [String; 3],
    /// A team with somebody in it, and the somebody's membership.
    pub team: [String; 3],
    /// A service account with a credential.
    pub account: [String; 2],
    pub inside: InProject,
    /// A provider with a federated identity, where one is needed.
    pub federation: [String; 2],
}

const LIST: &str = "/v1/secrets/{region}/secrets";
const TAIL: (&str, &str) = ("ANY", "/v1/secrets/{region}/secret{*tail}");
const QUERY: (&str, &str) = ("ANY", "/v1/secrets/{region}/secret");
const ROLES: &str = "/v1/iam/roles";
const ROLE: &str = "/v1/iam/roles/{role}";
const ACCOUNTS: &str = "/v1/service-accounts";
const ACCOUNT: &str = "/v1/service-accounts/{account}";
const CREDENTIALS: &str = "/v1/service-accounts/{account}/access-credentials";
const PROVIDERS: &str = "/v1/federated-identity-providers";
const PROVIDER: &str = "/v1/federated-identity-providers/{provider}";
const FEDERATIONS: &str = "/v1/federated-identities";
const FEDERATION: &str = "/v1/federated-identities/{federation}";
const TEAM: &str = "/v1/teams/{team}";
const TOKENS: &str = "/v1/me/personal-access-tokens";
const KEYS: &str = "/v1/kms/{region}/keys";
const KEY: &str = "/v1/kms/{region}/keys/{key}";

fn none(_: &Target) -> Json {
    Json::Null
}

fn value(_: &Target) -> Json {
    json!({"secretString": base64("next")})
}

fn create(target: &Target) -> Json {
    let path = format!("{}/new", target.path);
    json!({"path": path, "kmsKeyIdentity": target.key, "secretString": base64("first")})
}

fn policy(_: &Target) -> Json {
    json!({"accessPolicy": {"conditions": [{"type": "ip", "effect": "allow", "ips": ["::1"]}]}})
}

fn no_policy(_: &Target) -> Json {
    json!({"accessPolicy": null})
}

fn key(target: &Target) -> Json {
    json!({"name": format!("made {}", target.key.split_at(4).1.split_at(10).1)})
}

/// Every operation once, under the name of its action.
pub fn calls() -> Vec<Call> {
    let call = |action, method, route, url, body| Call { action, method, route, url, body };
    let secret = "/v1/secrets/nl-01/secretPATH";
    let mut all = vec![
        call("secrets.list", "GET", ("GET", LIST), "/v1/secrets/nl-01/secrets", none),
        call("secrets.create", "POST", ("POST", LIST), "/v1/secrets/nl-01/secrets", create),
        call("secrets.get", "GET", TAIL, secret, none),
        call("secrets.update", "PATCH", TAIL, secret, |_| json!({"description": "d"})),
        call("secrets.policy.update", "PUT", TAIL, "/v1/secrets/nl-01/secretPATH/policy", policy),
        call("secrets.policy.clear", "PUT", TAIL, "/v1/secrets/nl-01/secretPATH/policy", no_policy),
        call(
            "secrets.putSecretValue",
            "POST",
            TAIL,
            "/v1/secrets/nl-01/secretPATH/versions",
            value,
        ),
        call("secrets.getSecretValue", "POST", TAIL, "/v1/secrets/nl-01/secretPATH/value", none),
        call(
            "secrets.version.destroy",
            "DELETE",
            TAIL,
            "/v1/secrets/nl-01/secretPATH/versions?version=1",
            none,
        ),
        call("secrets.delete", "DELETE", TAIL, secret, none),
        call(
            "secrets.explain",
            "GET",
            ("GET", "/v1/secrets/{region}/explain"),
            "/v1/secrets/nl-01/explain?permission=read&path=PATH",
            none,
        ),
        call("kms.summary", "GET", ("GET", "/v1/kms/summary"), "/v1/kms/summary", none),
        call("kms.list", "GET", ("GET", KEYS), "/v1/kms/nl-01/keys", none),
        call("kms.create", "POST", ("POST", KEYS), "/v1/kms/nl-01/keys", key),
        call("kms.get", "GET", ("GET", KEY), "/v1/kms/nl-01/keys/KEY", none),
        call(
            "kms.encrypt",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/encrypt"),
            "/v1/kms/nl-01/keys/KEY/encrypt",
            |_| json!({"plaintext": base64("x")}),
        ),
        call(
            "kms.decrypt",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/decrypt"),
            "/v1/kms/nl-01/keys/KEY/decrypt",
            |target| json!({"ciphertext": target.made}),
        ),
        call(
            "kms.generate-data-key",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/generate-data-key"),
            "/v1/kms/nl-01/keys/KEY/generate-data-key",
            |_| json!({"keyBytes": 32}),
        ),
        call(
            "kms.rewrap",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/rewrap"),
            "/v1/kms/nl-01/keys/KEY/rewrap",
            |target| json!({"ciphertext": target.made}),
        ),
        call(
            "kms.sign",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/sign"),
            "/v1/kms/nl-01/keys/KEY/sign",
            |_| json!({"input": base64("x")}),
        ),
        call(
            "kms.verify",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/verify"),
            "/v1/kms/nl-01/keys/KEY/verify",
            |target| json!({"input": base64("x"), "signature": target.made}),
        ),
        call(
            "kms.hmac",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/hmac"),
            "/v1/kms/nl-01/keys/KEY/hmac",
            |_| json!({"input": base64("x")}),
        ),
        call(
            "kms.verify-hmac",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/verify-hmac"),
            "/v1/kms/nl-01/keys/KEY/verify-hmac",
            |target| json!({"input": base64("x"), "hmac": target.made}),
        ),
        call(
            "kms.public-key",
            "GET",
            ("GET", "/v1/kms/{region}/keys/{key}/public-key"),
            "/v1/kms/nl-01/keys/KEY/public-key",
            none,
        ),
        call(
            "kms.export",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/export"),
            "/v1/kms/nl-01/keys/KEY/export",
            none,
        ),
        call(
            "kms.wrapping-key",
            "GET",
            ("GET", "/v1/kms/{region}/wrapping-key"),
            "/v1/kms/nl-01/wrapping-key",
            none,
        ),
        call(
            "kms.rotation",
            "PATCH",
            ("PATCH", "/v1/kms/{region}/keys/{key}/rotation"),
            "/v1/kms/nl-01/keys/KEY/rotation",
            |_| json!({"keyRotationEnabled": true, "rotationPeriodInDays": 90}),
        ),
        call(
            "kms.rotate",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/rotate"),
            "/v1/kms/nl-01/keys/KEY/rotate",
            none,
        ),
        call(
            "kms.disable",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/disable"),
            "/v1/kms/nl-01/keys/KEY/disable",
            none,
        ),
        call(
            "kms.enable",
            "POST",
            ("POST", "/v1/kms/{region}/keys/{key}/enable"),
            "/v1/kms/nl-01/keys/KEY/enable",
            none,
        ),
        call("kms.delete", "DELETE", ("DELETE", KEY), "/v1/kms/nl-01/keys/KEY", none),
        call(
            "kms.cancel-deletion",
            "DELETE",
            ("DELETE", "/v1/kms/{region}/keys/{key}/cancel-deletion"),
            "/v1/kms/nl-01/keys/KEY/cancel-deletion",
            none,
        ),
        call("audit.list", "GET", ("GET", "/v1/audit"), "/v1/audit", none),
        call("regions.list", "GET", ("GET", "/v1/regions"), "/v1/regions", none),
        call("regions.get", "GET", ("GET", "/v1/regions/{region}"), "/v1/regions/nl-01", none),
        call("iam.role.list", "GET", ("GET", ROLES), ROLES, none),
        call(
            "iam.role.create",
            "POST",
            ("POST", ROLES),
            ROLES,
            |target| json!({"name": format!("{} made", target.role[0])}),
        ),
        call("iam.role.get", "GET", ("GET", ROLE), "/v1/iam/roles/ROLE", none),
        call("iam.role.delete", "DELETE", ("DELETE", ROLE), "/v1/iam/roles/ROLE", none),
        call(
            "iam.rule.create",
            "POST",
            ("POST", "/v1/iam/roles/{role}/rules"),
            "/v1/iam/roles/ROLE/rules",
            rule,
        ),
        call(
            "iam.rule.delete",
            "DELETE",
            ("DELETE", "/v1/iam/roles/{role}/rules/{rule}"),
            "/v1/iam/roles/ROLE/rules/RULE",
            none,
        ),
        call(
            "iam.binding.list",
            "GET",
            ("GET", "/v1/iam/roles/{role}/bindings"),
            "/v1/iam/roles/ROLE/bindings",
            none,
        ),
        call(
            "iam.binding.create",
            "POST",
            ("POST", "/v1/iam/roles/{role}/bindings"),
            "/v1/iam/roles/ROLE/bindings",
            |target| json!({"userIdentity": target.owner}),
        ),
        call(
            "iam.binding.delete",
            "DELETE",
            ("DELETE", "/v1/iam/roles/{role}/bindings/{binding}"),
            "/v1/iam/roles/ROLE/bindings/BINDING",
            none,
        ),
        call("iam.team.list", "GET", ("GET", "/v1/teams"), "/v1/teams", none),
        call(
            "iam.team.create",
            "POST",
            ("POST", "/v1/teams"),
            "/v1/teams",
            |target| json!({"name": format!("{} made", target.team[0])}),
        ),
        call("iam.team.get", "GET", ("GET", TEAM), "/v1/teams/TEAM", none),
        call(
            "iam.team.update",
            "PUT",
            ("PUT", TEAM),
            "/v1/teams/TEAM",
            |_| json!({"description": "d"}),
        ),
        call("iam.team.delete", "DELETE", ("DELETE", TEAM), "/v1/teams/TEAM", none),
        call(
            "iam.team-member.create",
            "POST",
            ("POST", "/v1/teams/{team}/members"),
            "/v1/teams/TEAM/members",
            |target| json!({"userIdentity": target.owner, "role": "ADMIN"}),
        ),
        call(
            "iam.team-member.delete",
            "DELETE",
            ("DELETE", "/v1/teams/{team}/members/{member}"),
            "/v1/teams/TEAM/members/SOMEBODY",
            none,
        ),
        call("iam.membership.list", "GET", ("GET", "/v1/memberships"), "/v1/memberships", none),
        call(
            "iam.membership.update",
            "PUT",
            ("PUT", "/v1/memberships/{membership}"),
            "/v1/memberships/MEMBERSHIP",
            |_| json!({"role": "MEMBER"}),
        ),
        call(
            "iam.membership.delete",
            "DELETE",
            ("DELETE", "/v1/memberships/{membership}"),
            "/v1/memberships/MEMBERSHIP",
            none,
        ),
        call("iam.invite.list", "GET", ("GET", "/v1/invites"), "/v1/invites", none),
        call(
            "iam.invite.create",
            "POST",
            ("POST", "/v1/invites"),
            "/v1/invites",
            |_| json!({"email": "new@acme.example"}),
        ),
        call(
            "iam.invite.delete",
            "DELETE",
            ("DELETE", "/v1/invites/{invite}"),
            "/v1/invites/INVITE",
            none,
        ),
        call(
            "metering.secret-versions",
            "GET",
            ("GET", "/v1/metering/secret-versions"),
            "/v1/metering/secret-versions",
            none,
        ),
        call("quotas.list", "GET", ("GET", "/v1/quotas"), "/v1/quotas", none),
        call("quotas.get", "GET", ("GET", "/v1/quotas/{quota}"), "/v1/quotas/secrets.count", none),
        call(
            "quotas.increase.create",
            "POST",
            ("POST", "/v1/quotas/increase-requests"),
            "/v1/quotas/increase-requests",
            |_| json!({"name": "secrets.count", "newMaxUsage": 2_000_000, "reason": "r"}),
        ),
        call("iam.service-account.list", "GET", ("GET", ACCOUNTS), ACCOUNTS, none),
        call(
            "iam.service-account.create",
            "POST",
            ("POST", ACCOUNTS),
            ACCOUNTS,
            |target| json!({"name": format!("{} made", target.account[0])}),
        ),
        call(
            "iam.service-account.get",
            "GET",
            ("GET", ACCOUNT),
            "/v1/service-accounts/ACCOUNT",
            none,
        ),
        call(
            "iam.service-account.update",
            "PUT",
            ("PUT", ACCOUNT),
            "/v1/service-accounts/ACCOUNT",
            |_| json!({"description": "d"}),
        ),
        call(
            "iam.service-account.delete",
            "DELETE",
            ("DELETE", ACCOUNT),
            "/v1/service-accounts/ACCOUNT",
            none,
        ),
        call(
            "iam.access-credential.list",
            "GET",
            ("GET", CREDENTIALS),
            "/v1/service-accounts/ACCOUNT/access-credentials",
            none,
        ),
        call(
            "iam.access-credential.create",
            "POST",
            ("POST", CREDENTIALS),
            "/v1/service-accounts/ACCOUNT/access-credentials",
            |_| json!({"name": "x"}),
        ),
        call(
            "iam.access-credential.delete",
            "DELETE",
            ("DELETE", "/v1/service-accounts/{account}/access-credentials/{credential}"),
            "/v1/service-accounts/ACCOUNT/access-credentials/CREDENTIAL",
            none,
        ),
        call("iam.identity-provider.list", "GET", ("GET", PROVIDERS), PROVIDERS, none),
        call("iam.identity-provider.create", "POST", ("POST", PROVIDERS), PROVIDERS, |target| {
            let issuer = format!("https://new.example.com{}", target.path);
            json!({"name": "x", "providerIssuer": issuer})
        }),
        call(
            "iam.identity-provider.get",
            "GET",
            ("GET", PROVIDER),
            "/v1/federated-identity-providers/PROVIDER",
            none,
        ),
        call(
            "iam.identity-provider.update",
            "PUT",
            ("PUT", PROVIDER),
            "/v1/federated-identity-providers/PROVIDER",
            |_| json!({"description": "d"}),
        ),
        call(
            "iam.identity-provider.delete",
            "DELETE",
            ("DELETE", PROVIDER),
            "/v1/federated-identity-providers/PROVIDER",
            none,
        ),
        call("iam.federated-identity.list", "GET", ("GET", FEDERATIONS), FEDERATIONS, none),
        call(
            "iam.federated-identity.create",
            "POST",
            ("POST", FEDERATIONS),
            FEDERATIONS,
            |target| {
                json!({"name": "x", "serviceAccountIdentity": target.account[0],
                    "providerIdentity": target.federation[0], "providerSubject": "x"})
            },
        ),
        call(
            "iam.federated-identity.get",
            "GET",
            ("GET", FEDERATION),
            "/v1/federated-identities/FEDERATION",
            none,
        ),
        call(
            "iam.federated-identity.update",
            "PUT",
            ("PUT", FEDERATION),
            "/v1/federated-identities/FEDERATION",
            |_| json!({"description": "d"}),
        ),
        call(
            "iam.federated-identity.delete",
            "DELETE",
            ("DELETE", FEDERATION),
            "/v1/federated-identities/FEDERATION",
            none,
        ),
        call("me.get", "GET", ("GET", "/v1/me"), "/v1/me", none),
        call("iam.token.list", "GET", ("GET", TOKENS), TOKENS, none),
        call("iam.token.create", "POST", ("POST", TOKENS), TOKENS, |_| json!({"name": "x"})),
        call(
            "iam.token.delete",
            "DELETE",
            ("DELETE", "/v1/me/personal-access-tokens/{token}"),
            "/v1/me/personal-access-tokens/TOKEN",
            none,
        ),
        call(
            "me.memberships.list",
            "GET",
            ("GET", "/v1/me/organisation-memberships"),
            "/v1/me/organisation-memberships",
            none,
        ),
    ];
    all.extend(project_calls::calls());
    all
}

/// What a guest may call who has a code; whoever accepts it is a member from then on.
fn guest_calls() -> Vec<Call> {
    vec![Call {
        action: "iam.invite.accept",
        method: "POST",
        route: ("POST", "/v1/invites/accept"),
        url: "/v1/invites/accept",
        body: |target| json!({"inviteCode": target.invite[1]}),
    }]
}

/// What administrators of the platform may call, and nobody else.
pub fn platform_calls() -> Vec<Call> {
    let call = |action, method, url: &'static str, body| {
        let route = match url.contains("REQUEST") || url.contains("/acme") || url.contains("nl-01")
        {
            true => match url.rsplit('/').next().unwrap() {
                "approve" => "/v1/platform/quota-increase-requests/{request}/approve",
                "deny" => "/v1/platform/quota-increase-requests/{request}/deny",
                "acme" => "/v1/platform/organisations/{organisation}",
                _ => "/v1/platform/regions/{region}",
            },
            false => url,
        };
        Call { action, method, route: (method, route), url, body }
    };
    const ORGANISATIONS: &str = "/v1/platform/organisations";
    const ACME: &str = "/v1/platform/organisations/acme";
    const REQUESTS: &str = "/v1/platform/quota-increase-requests";
    vec![
        call("platform.organisation.list", "GET", ORGANISATIONS, none),
        call(
            "platform.organisation.create",
            "POST",
            ORGANISATIONS,
            |target| json!({"name": format!("n{}", target.fresh), "ownerEmail": "o@example.invalid"}),
        ),
        call("platform.organisation.get", "GET", ACME, none),
        call("platform.organisation.update", "PATCH", ACME, |_| json!({"gates": {"kms": true}})),
        call("platform.region.list", "GET", "/v1/platform/regions", none),
        call(
            "platform.region.update",
            "PATCH",
            "/v1/platform/regions/nl-01",
            |_| json!({"kms": true}),
        ),
        call("platform.quota-increase-request.list", "GET", REQUESTS, none),
        call(
            "platform.quota-increase-request.approve",
            "POST",
            "/v1/platform/quota-increase-requests/REQUEST/approve",
            |_| json!({"reason": "r"}),
        ),
        call(
            "platform.quota-increase-request.deny",
            "POST",
            "/v1/platform/quota-increase-requests/REQUEST/deny",
            none,
        ),
        call("platform.audit.list", "GET", "/v1/platform/audit", none),
    ]
}

/// The other form of the calls on a secret: its path in the query (contract, section 14, 2).
fn calls_by_query() -> Vec<Call> {
    let form = |url: &str| match url.split_once("PATH").unwrap() {
        (_, "") => "/v1/secrets/nl-01/secret?path=PATH",
        (_, "/policy") => "/v1/secrets/nl-01/secret/policy?path=PATH",
        (_, "/versions") => "/v1/secrets/nl-01/secret/versions?path=PATH",
        (_, "/value") => "/v1/secrets/nl-01/secret/value?path=PATH",
        _ => "/v1/secrets/nl-01/secret/versions?version=1&path=PATH",
    };
    let with_tail = calls().into_iter().filter(|call| call.route == TAIL);
    with_tail
        .map(|call| {
            let url = form(call.url);
            let route = if url.contains("/secret?") { QUERY } else { TAIL };
            Call { url, route, ..call }
        })
        .collect()
}

/// Makes what a call of this action needs that a person makes.
pub async fn target(world: &World, action: &str, by: &Person) -> Target {
    let mut target = key_and_secret(world, action).await;
    target.owner.clone_from(&world.owner.subject);
    target.fresh = world.fresh_id("");
    if action.starts_with("iam.invite.") {
        let invite = json!({"email": "new@acme.example"});
        let made = world.post(&world.owner, "/v1/invites").json(invite).expect(201).await.body;
        target.invite =
            ["identity", "inviteCode"].map(|field| made[field].as_str().unwrap().to_owned());
    }
    if action == "quotas.increase.create" {
        // One waits for each quota at most.
        world.sql("DELETE FROM quota_increase_requests");
    }
    if action.ends_with(".approve") || action.ends_with(".deny") {
        world.sql("DELETE FROM quota_increase_requests");
        let wanted = json!({"name": "kms.keys", "newMaxUsage": 900_000, "reason": "r"});
        world.sql("UPDATE quotas SET most = NULL");
        target.request = made(world, "/v1/quotas/increase-requests", wanted).await;
    }
    target.inside = project_calls::target(world, action, by).await;
    if action == "iam.token.delete" {
        let made = world.post(by, "/v1/me/personal-access-tokens").json(json!({"name": "x"}));
        let made = made.expect(201).await;
        made.body["identity"].as_str().unwrap().clone_into(&mut target.token);
    }
    if action.starts_with("iam.ro") || action.starts_with("iam.ru") || action.starts_with("iam.b") {
        let name = format!("{} role", world.fresh_id(""));
        let role = made(world, "/v1/iam/roles", json!({"name": name})).await;
        let url = format!("/v1/iam/roles/{role}");
        let rule = made(world, &format!("{url}/rules"), rule(&target)).await;
        let binding = json!({"userIdentity": world.person().await.subject});
        let binding = made(world, &format!("{url}/bindings"), binding).await;
        target.role = [role, rule, binding];
    }
    if action.starts_with("iam.team") || action.starts_with("iam.me") {
        let somebody = world.person().await.subject;
        let name = format!("{} team", world.fresh_id(""));
        let team = made(world, "/v1/teams", json!({"name": name})).await;
        let member = json!({"userIdentity": somebody});
        made(world, &format!("/v1/teams/{team}/members"), member).await;
        let members = world.get(&world.owner, "/v1/memberships").expect(200).await.body;
        let mut members = members.as_array().unwrap().iter();
        let membership = members.find(|member| member["user"]["subject"] == *somebody).unwrap();
        let membership = membership["identity"].as_str().unwrap().to_owned();
        target.team = [team, somebody, membership];
    }
    if action.starts_with("iam.se") || action.starts_with("iam.a") {
        let name = format!("{} account", world.fresh_id(""));
        let account = made(world, "/v1/service-accounts", json!({"name": name})).await;
        let url = format!("/v1/service-accounts/{account}/access-credentials");
        let credential = made(world, &url, json!({"name": ""})).await;
        target.account = [account, credential];
    }
    if action.starts_with("iam.id") || action.starts_with("iam.f") {
        let issuer = format!("https://known.example.com{}", target.path);
        let request = json!({"name": "x", "providerIssuer": issuer});
        target.federation[0] = made(world, PROVIDERS, request).await;
    }
    if action.starts_with("iam.f") {
        let account = json!({"name": format!("{} account", world.fresh_id(""))});
        target.account[0] = made(world, ACCOUNTS, account).await;
        let request = json!({"name": "x", "serviceAccountIdentity": target.account[0],
            "providerIdentity": target.federation[0], "providerSubject": "x"});
        target.federation[1] = made(world, FEDERATIONS, request).await;
    }
    target
}

/// Makes something as the owner: its identity.
pub async fn made(world: &World, url: &str, request: Json) -> String {
    let made = world.post(&world.owner, url).json(request).expect(201).await;
    made.body["identity"].as_str().unwrap().to_owned()
}

fn rule(_: &Target) -> Json {
    json!({"resources": ["secret"], "resourceIdentities": ["/x"], "permissions": ["read"]})
}

async fn key_and_secret(world: &World, action: &str) -> Target {
    let name = world.fresh_id("t").split_off(8);
    let path = format!("/app/{name}");
    let key = world.key(&world.owner, &format!("key {name}")).await;
    let made = json!({"path": path, "kmsKeyIdentity": key, "secretString": base64("canary")});
    world.post(&world.owner, "/v1/secrets/nl-01/secrets").json(made).expect(201).await;
    let url = format!("/v1/kms/nl-01/keys/{key}");
    match action {
        "kms.enable" => drop(world.post(&world.owner, &format!("{url}/disable")).expect(200).await),
        "kms.cancel-deletion" => drop(world.delete(&world.owner, &url).expect(200).await),
        "kms.export" => return special(world, path, json!({"exportAllowed": true}), None).await,
        "kms.sign" | "kms.verify" | "kms.public-key" => {
            let made = Some(("sign", "signature"));
            return special(world, path, json!({"keyType": "ed25519"}), made).await;
        }
        "kms.hmac" | "kms.verify-hmac" => {
            return special(world, path, json!({"keyType": "hmac"}), Some(("hmac", "hmac"))).await;
        }
        "kms.decrypt" | "kms.rewrap" => {
            let sealed = world.post(&world.owner, &format!("{url}/encrypt"));
            let sealed = sealed.json(json!({"plaintext": base64("x")})).expect(200).await;
            let made = sealed.body["ciphertext"].clone();
            return Target { path, key, made, ..Target::default() };
        }
        _ => {}
    }
    Target { path, key, made: Json::Null, ..Target::default() }
}

/// A target with a key of another kind, and what an operation of it makes of `x`.
async fn special(
    world: &World,
    path: String,
    mut request: Json,
    operation: Option<(&str, &str)>,
) -> Target {
    request["name"] = json!(format!("special {}", path.trim_start_matches("/app/")));
    let key = world.key_of(&world.owner, request).await;
    let Some((operation, field)) = operation else {
        return Target { path, key, made: Json::Null, ..Target::default() };
    };
    let url = format!("/v1/kms/nl-01/keys/{key}/{operation}");
    let made = world.post(&world.owner, &url).json(json!({"input": base64("x")}));
    let made = made.expect(200).await.body[field].clone();
    Target { path, key, made, ..Target::default() }
}

impl Call {
    pub fn url(&self, target: &Target) -> String {
        let url = self.url.replace("PATH", &target.path).replace("KEY", &target.key);
        let url = url.replace("INVITE", &target.invite[0]).replace("REQUEST", &target.request);
        let [role, rule, binding] = &target.role;
        let url = url.replace("TOKEN", &target.token).replace("ROLE", role);
        let url = url.replace("RULE", rule).replace("BINDING", binding);
        let [team, somebody, membership] = &target.team;
        let url = url.replace("TEAM", team).replace("SOMEBODY", somebody);
        let [account, credential] = &target.account;
        let url = url.replace("MEMBERSHIP", membership);
        let url = url.replace("ACCOUNT", account).replace("CREDENTIAL", credential);
        let [provider, federation] = &target.federation;
        let url = url.replace("PROVIDER", provider).replace("FEDERATION", federation);
        target.inside.fill(&url)
    }

    pub async fn send(&self, call: Asking<'_>, target: &Target) -> Answer {
        let call = match self.route.1.starts_with("/v1/projects/iam/") {
            true => call.header("x-project-identity", &target.inside.project),
            false => call,
        };
        match (self.body)(target) {
            Json::Null => call.send().await,
            body => call.json(body).send().await,
        }
    }
}

fn open_calls() -> Vec<Call> {
    let open =
        ["/healthz", "/readyz", "/openapi.json", "/oidc/jwks", "/.well-known/openid-configuration"];
    let call = |url| Call { action: "", method: "GET", route: ("GET", url), url, body: none };
    let token = Call {
        action: "auth.failure",
        method: "POST",
        route: ("POST", "/oidc/token"),
        url: "/oidc/token",
        body: none,
    };
    open.into_iter().map(call).chain([token]).collect()
}

/// The calls of every route in every form.
pub fn all_calls() -> Vec<Call> {
    let mut all = open_calls();
    all.extend(calls());
    all.extend(calls_by_query());
    all.extend(platform_calls());
    // Last, because it makes members of strangers.
    all.extend(guest_calls());
    all
}
