//! Invites (contract, section 4.5).

use serde_json::{Value as Json, json};

use crate::world::{Answer, NOON, Person, World};

const INVITES: &str = "/v1/invites";
const ACCEPT: &str = "/v1/invites/accept";

async fn invite(world: &World, by: &Person, more: Json) -> Json {
    let mut body = json!({"email": "new@acme.example"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.post(by, INVITES).json(body).expect(201).await.body
}

async fn accept(world: &World, code: &Json) -> Answer {
    world.anonymous("POST", ACCEPT).json(json!({"inviteCode": code})).send().await
}

fn member(accepted: &Answer, organisation: &str) -> Person {
    let text = |field: &Json| field.as_str().unwrap().to_owned();
    Person {
        subject: text(&accepted.body["user"]["subject"]),
        token: text(&accepted.body["token"]),
        organisation: organisation.to_owned(),
    }
}

#[tokio::test]
async fn whoever_has_the_code_becomes_a_member() {
    let world = World::new().await;
    let team = json!({"name": "Platform"});
    let team = world.post(&world.owner, "/v1/teams").json(team).expect(201).await.body;
    let made = invite(
        &world,
        &world.owner,
        json!({"role": "MEMBER", "duration": "24h",
        "joinTeamOnAccept": "platform", "rolebindingOnAccept": "secrets-read-access"}),
    )
    .await;
    let code = made["inviteCode"].as_str().unwrap();
    assert!(code.starts_with("tc_inv_") && code.len() == 47);
    assert_eq!(made["expiresAt"], "2026-01-16T12:00:00Z");
    let listed = world.get(&world.owner, INVITES).expect(200).await.body;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let shown = &listed[0];
    assert_eq!((&shown["email"], &shown["role"]), (&json!("new@acme.example"), &json!("MEMBER")));
    assert_eq!(shown["invitedByUser"]["subject"], *world.owner.subject);
    assert_eq!(shown["joinTeamOnAccept"]["identity"], team["identity"]);
    assert_eq!(shown["rolebindingOnAccept"]["slug"], "secrets-read-access");
    assert_eq!(shown["inviteCode"], made["identity"], "the code is shown once");
    assert_eq!(
        accept(&world, &shown["inviteCode"]).await.status,
        401,
        "the identity opens nothing"
    );

    let body = json!({"inviteCode": code, "name": "New Person"});
    let accepted = world.anonymous("POST", ACCEPT).json(body).expect(201).await;
    assert_eq!(accepted.body["organisation"]["slug"], "acme");
    assert_eq!(
        (&accepted.body["user"]["name"], &accepted.body["user"]["email"]),
        (&json!("New Person"), &json!("new@acme.example"))
    );
    let person = member(&accepted, "acme");
    world.get(&person, "/v1/secrets/nl-01/secrets").expect(200).await;
    world.get(&person, "/v1/kms/nl-01/keys").expect(404).await;
    let url = format!("/v1/teams/{}", team["identity"].as_str().unwrap());
    let team = world.get(&world.owner, &url).expect(200).await.body;
    assert_eq!(team["members"][0]["user"]["subject"], *person.subject);
    assert_eq!(world.get(&world.owner, INVITES).expect(200).await.body, json!([]));
    assert_eq!(accept(&world, &json!(code)).await.status, 401, "once");
    let record = world.audit("action=iam.invite.accept").await.remove(0);
    assert_eq!(
        (&record["resourceIdentity"], &record["context"]["status"]),
        (&made["identity"], &json!(201))
    );
}

#[tokio::test]
async fn a_known_user_joins_with_the_own_token() {
    let world = World::new().await;
    let made = invite(&world, &world.owner, json!({})).await;
    let body = json!({"inviteCode": made["inviteCode"]});
    // A member already: told, and the invite stays.
    world.post(&world.nobody, ACCEPT).json(body.clone()).expect(409).await;
    let joined = world.post(&world.stranger, ACCEPT).json(body.clone()).expect(201).await;
    assert_eq!(joined.body["user"]["subject"], *world.stranger.subject);
    assert!(joined.body.get("token").is_none(), "no new token for somebody known");
    let mine = world.get(&world.stranger, "/v1/me/organisation-memberships").expect(200).await.body;
    assert_eq!(mine.as_array().unwrap().len(), 2);
    world.post(&world.stranger, ACCEPT).json(body).expect(401).await;
    let record = world.audit("action=iam.invite.accept&responseStatus=201").await.remove(0);
    assert_eq!(record["userIdentity"], *world.stranger.subject);
}

#[tokio::test]
async fn a_credential_that_is_shown_must_be_good_and_a_users() {
    let world = World::new().await;
    let made = invite(&world, &world.owner, json!({})).await;
    let body = json!({"inviteCode": made["inviteCode"]});
    let bad = world.anonymous("POST", ACCEPT).header("authorization", "Bearer tc_pat_x");
    bad.json(body.clone()).expect(401).await;
    let token = json!({"name": "r", "scopes": ["api:read"]});
    let token = world.post(&world.stranger, "/v1/me/personal-access-tokens").json(token);
    let token = token.expect(201).await.body["token"].as_str().unwrap().to_owned();
    let reader = Person { token, ..world.stranger.clone() };
    world.post(&reader, ACCEPT).json(body.clone()).expect(403).await;
    let accounts = "/v1/service-accounts";
    world.post(&world.stranger, accounts).json(json!({"name": "ci"})).expect(201).await;
    let key = world.post(&world.stranger, &format!("{accounts}/ci/access-credentials"));
    let key = key.json(json!({"name": ""})).expect(201).await.body;
    let text = |field: &str| key[field].as_str().unwrap().to_owned();
    let pair = crate::world::base64(format!("{}:{}", text("accessKey"), text("accessSecret")));
    let machine = world.anonymous("POST", ACCEPT).header("authorization", &format!("Basic {pair}"));
    machine.json(body.clone()).expect(403).await;
    assert_eq!(accept(&world, &made["inviteCode"]).await.status, 201, "nothing was used up");
}

#[tokio::test]
async fn every_code_that_is_not_good_gets_the_same_401() {
    let world = World::new().await;
    let mut codes = vec![json!(""), json!("tc_inv_"), json!(format!("tc_inv_{}", "a".repeat(40)))];
    let used = invite(&world, &world.owner, json!({})).await["inviteCode"].clone();
    assert_eq!(accept(&world, &used).await.status, 201);
    let revoked = invite(&world, &world.owner, json!({})).await;
    let url = format!("{INVITES}/{}", revoked["identity"].as_str().unwrap());
    world.delete(&world.owner, &url).expect(204).await;
    world.delete(&world.owner, &url).expect(404).await;
    let expired = invite(&world, &world.owner, json!({"duration": "1h"})).await;
    codes.extend([used, revoked["inviteCode"].clone(), expired["inviteCode"].clone()]);
    world.set_now(NOON + 3_600_000_000);
    assert_eq!(world.get(&world.owner, INVITES).expect(200).await.body, json!([]));
    let mut seen = Vec::new();
    for code in &codes {
        let answer = accept(&world, code).await;
        seen.push((answer.status, answer.text.clone()));
    }
    assert!(seen.iter().all(|one| *one == seen[0] && one.0 == 401), "{seen:?}");
    assert!(world.audit("action=auth.failure").await.is_empty(), "in no organisation's log");
}

#[tokio::test]
async fn accepting_at_once_makes_one_member() {
    let world = World::new().await;
    let made = invite(&world, &world.owner, json!({})).await;
    let calls = (0..12).map(|_| accept(&world, &made["inviteCode"]));
    let answers = futures_util::future::join_all(calls).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(401)), (1, 11));
    let members = world.get(&world.owner, "/v1/memberships").expect(200).await.body;
    assert_eq!(members.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn failed_accepts_count_against_the_address() {
    let world = World::with(|config| config.limits.auth_failures_per_minute = 3).await;
    let made = invite(&world, &world.owner, json!({})).await;
    let wrong = json!({"inviteCode": format!("tc_inv_{}", "b".repeat(40))});
    let call = |body: &[u8]| world.anonymous("POST", ACCEPT).raw(body).from("203.0.113.9");
    call(wrong.to_string().as_bytes()).expect(401).await;
    call(b"{").expect(400).await;
    call(wrong.to_string().as_bytes()).expect(401).await;
    let count = || world.count("SELECT COUNT(*) FROM audit_events");
    let before = count();
    call(wrong.to_string().as_bytes()).expect(429).await;
    call(b"{").expect(429).await;
    assert_eq!(count(), before, "turned away without a record");
    let good = json!({"inviteCode": made["inviteCode"]}).to_string();
    call(good.as_bytes()).expect(201).await;
}

#[tokio::test]
async fn nobody_hands_out_what_they_do_not_hold() {
    let world = World::new().await;
    let inviter = world.person_with("membership", &[], &["create"]).await;
    let team = json!({"name": "readers"});
    world.post(&world.owner, "/v1/teams").json(team).expect(201).await;
    let bound = json!({"teamIdentity": "readers"});
    let url = "/v1/iam/roles/secrets-read-access/bindings";
    world.post(&world.owner, url).json(bound).expect(201).await;
    let admin = world.person_as("org-admin").await;
    let try_it = async |by: &Person, more: Json| {
        let mut body = json!({"email": "new@acme.example"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.post(by, INVITES).json(body).send().await.status
    };
    for (by, more, status) in [
        (&inviter, json!({}), 201),
        (&inviter, json!({"role": "OWNER"}), 400),
        (&inviter, json!({"joinTeamOnAccept": "readers"}), 400),
        (&inviter, json!({"rolebindingOnAccept": "secrets-read-access"}), 400),
        (&inviter, json!({"rolebindingOnAccept": "org-admin"}), 400),
        (&admin, json!({"role": "OWNER"}), 400),
        (&admin, json!({"rolebindingOnAccept": "org-admin"}), 201),
        (&admin, json!({"joinTeamOnAccept": "readers"}), 201),
        (&world.owner, json!({"role": "OWNER"}), 201),
        (&world.owner, json!({"role": "owner"}), 400),
        (&world.owner, json!({"joinTeamOnAccept": "none"}), 404),
        (&world.owner, json!({"rolebindingOnAccept": "none"}), 404),
        (&world.owner, json!({"email": "nobody"}), 400),
        (&world.owner, json!({"duration": "31d"}), 400),
        (&world.owner, json!({"duration": "1y"}), 400),
        (&world.owner, json!({"expiresAt": "2026-01-15T12:00:00Z"}), 400),
        (&world.owner, json!({"expiresAt": "2026-01-15T12:00:01Z"}), 201),
        (&world.owner, json!({"expiresAt": "2026-01-16T12:00:00Z", "duration": "1d"}), 400),
        (&world.nobody, json!({}), 403),
    ] {
        assert_eq!(try_it(by, more.clone()).await, status, "{more}");
    }
    world.grant(&inviter, "secret", &[], &["read", "list"]).await;
    // Who could not put anybody into the team by hand does not do it by an invite, nor with a role.
    let by_role = json!({"rolebindingOnAccept": "secrets-read-access"});
    assert_eq!(try_it(&inviter, json!({"joinTeamOnAccept": "readers"})).await, 400);
    assert_eq!(try_it(&inviter, by_role.clone()).await, 400);
    world.grant(&inviter, "team", &[], &["update"]).await;
    assert_eq!(try_it(&inviter, json!({"joinTeamOnAccept": "readers"})).await, 201);
    world.grant(&inviter, "iam_role", &[], &["update"]).await;
    assert_eq!(try_it(&inviter, by_role).await, 201);
    let told = world.audit("action=iam.invite.create").await[0]["description"].clone();
    assert!(told.as_str().unwrap().starts_with("new@acme.example MEMBER, role "), "{told}");
    world.get(&inviter, INVITES).expect(403).await;
}

/// An invite is worth what its maker may do when it is accepted.
#[tokio::test]
async fn an_invite_does_not_outlive_the_power_it_was_made_with() {
    let world = World::new().await;
    let inviter = world.person_with("membership", &[], &["create"]).await;
    world.grant(&inviter, "iam_role", &[], &["update"]).await;
    let binding = json!({"userIdentity": inviter.subject});
    let bindings = "/v1/iam/roles/secrets-full-access/bindings";
    let binding = world.post(&world.owner, bindings).json(binding).expect(201).await.body;
    let role = json!({"rolebindingOnAccept": "secrets-read-access"});
    let [lost, plain, gone] = [
        invite(&world, &inviter, role).await,
        invite(&world, &inviter, json!({})).await,
        invite(&world, &inviter, json!({})).await,
    ];
    let url = format!("{bindings}/{}", binding["identity"].as_str().unwrap());
    world.delete(&world.owner, &url).expect(204).await;
    assert_eq!(accept(&world, &lost["inviteCode"]).await.status, 401, "the role is held no more");
    assert_eq!(accept(&world, &plain["inviteCode"]).await.status, 201);
    let members = world.get(&world.owner, "/v1/memberships").expect(200).await.body;
    let mut members = members.as_array().unwrap().iter();
    let own = members.find(|one| one["user"]["subject"] == *inviter.subject).unwrap();
    let url = format!("/v1/memberships/{}", own["identity"].as_str().unwrap());
    world.delete(&world.owner, &url).expect(204).await;
    assert_eq!(accept(&world, &gone["inviteCode"]).await.status, 401, "the inviter has left");
    // What an owner handed out ends with the ownership.
    let second =
        world.member(&world.acme.id, coffer_server::model::identity::MemberRole::Owner).await;
    let made = invite(&world, &second, json!({"role": "OWNER"})).await;
    let members = world.get(&world.owner, "/v1/memberships").expect(200).await.body;
    let mut members = members.as_array().unwrap().iter();
    let own = members.find(|one| one["user"]["subject"] == *second.subject).unwrap();
    let url = format!("/v1/memberships/{}", own["identity"].as_str().unwrap());
    world.put(&world.owner, &url).json(json!({"role": "MEMBER"})).expect(200).await;
    assert_eq!(accept(&world, &made["inviteCode"]).await.status, 401);
}

#[tokio::test]
async fn what_an_invite_names_may_be_gone_when_it_is_accepted() {
    let world = World::new().await;
    world.post(&world.owner, "/v1/teams").json(json!({"name": "t"})).expect(201).await;
    world.post(&world.owner, "/v1/iam/roles").json(json!({"name": "r"})).expect(201).await;
    let names = json!({"joinTeamOnAccept": "t", "rolebindingOnAccept": "r"});
    let made = invite(&world, &world.owner, names).await;
    world.delete(&world.owner, "/v1/teams/t").expect(204).await;
    world.delete(&world.owner, "/v1/iam/roles/r").expect(204).await;
    let listed = world.get(&world.owner, INVITES).expect(200).await.body;
    assert!(listed[0].get("joinTeamOnAccept").is_none());
    let accepted = accept(&world, &made["inviteCode"]).await;
    assert_eq!(accepted.status, 201);
    let person = member(&accepted, "acme");
    world.get(&person, "/v1/kms/summary").expect(200).await;
}

#[tokio::test]
async fn an_address_that_is_known_makes_nobody_else() {
    let world = World::new().await;
    let email = format!("{}@example.invalid", world.owner.subject);
    let made = invite(&world, &world.owner, json!({"email": email})).await;
    let accepted = accept(&world, &made["inviteCode"]).await;
    assert_eq!(accepted.body["user"]["email"], *email);
    assert_ne!(accepted.body["user"]["subject"], *world.owner.subject);
}

/// A team may hold policies of projects, which an invite into it gives away, too.
#[tokio::test]
async fn an_invite_into_a_team_gives_its_policies() {
    let world = World::new().await;
    let post = async |url: &str, body: Json| {
        world.post(&world.owner, url).project("top").json(body).expect(201).await.body
    };
    let top = json!({"name": "top"});
    world.post(&world.owner, "/v1/projects").json(top).expect(201).await;
    world.post(&world.owner, "/v1/teams").json(json!({"name": "t"})).expect(201).await;
    let policies = "/v1/projects/iam/policies";
    post(&format!("{policies}/secrets-full-access/bindings"), json!({"teamIdentity": "t"})).await;
    let inviter = world.person_with("membership", &[], &["*"]).await;
    world.grant(&inviter, "team", &[], &["*"]).await;
    let invite = json!({"email": "new@acme.example", "joinTeamOnAccept": "t"});
    let invites = "/v1/invites";
    world.post(&inviter, invites).json(invite.clone()).expect(400).await;
    let own = json!({"userIdentity": inviter.subject});
    let bindings = format!("{policies}/secrets-full-access/bindings");
    let bound = post(&bindings, own).await["identity"].as_str().unwrap().to_owned();
    let made = world.post(&inviter, invites).json(invite).expect(201).await.body;
    // What the inviter no longer holds, nobody gets.
    let url = format!("{bindings}/{bound}");
    world.delete(&world.owner, &url).project("top").expect(204).await;
    let code = json!({"inviteCode": made["inviteCode"]});
    world.anonymous("POST", ACCEPT).json(code).expect(401).await;
}
