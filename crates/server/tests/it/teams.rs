//! Teams and members over HTTP (contract, sections 4.4, 4.5 and 14, 33 and 35).

use serde_json::{Value as Json, json};

use crate::world::{NOON, Person, World};

const TEAMS: &str = "/v1/teams";
const MEMBERS: &str = "/v1/memberships";

async fn team(world: &World, name: &str) -> String {
    let made = world.post(&world.owner, TEAMS).json(json!({"name": name})).expect(201).await;
    format!("{TEAMS}/{}", made.body["identity"].as_str().unwrap())
}

async fn membership(world: &World, person: &Person) -> String {
    let listed = world.get(&world.owner, MEMBERS).expect(200).await.body;
    let mut members = listed.as_array().unwrap().iter();
    let found = members.find(|member| member["user"]["subject"] == *person.subject).unwrap();
    format!("{MEMBERS}/{}", found["identity"].as_str().unwrap())
}

/// Somebody who may do everything to teams and members, and nothing else.
async fn keeper(world: &World) -> Person {
    let person = world.person_with("team", &[], &["*"]).await;
    world.grant(&person, "membership", &[], &["*"]).await;
    person
}

#[tokio::test]
async fn a_team_is_made_changed_and_deleted() {
    let world = World::new().await;
    let made = world.post(&world.owner, TEAMS).json(json!({
        "name": "Platform Team", "description": "d", "labels": {"a": "b"}, "annotations": {"c": "d"}
    }));
    let made = made.expect(201).await.body;
    assert_eq!((&made["slug"], &made["members"]), (&json!("platform-team"), &json!([])));
    for reference in [made["identity"].as_str().unwrap(), "platform-team"] {
        let read = world.get(&world.owner, &format!("{TEAMS}/{reference}")).expect(200).await;
        assert_eq!(read.body, made);
    }
    world.post(&world.owner, TEAMS).json(json!({"name": "platform-team"})).expect(409).await;
    world.set_now(NOON + 1_000_000);
    let url = format!("{TEAMS}/platform-team");
    let changed = world.put(&world.owner, &url).json(json!({"name": "Renamed", "labels": {}}));
    let changed = changed.expect(200).await.body;
    assert_eq!((&changed["name"], &changed["slug"]), (&json!("Renamed"), &made["slug"]));
    assert_eq!((&changed["labels"], &changed["annotations"]), (&json!({}), &made["annotations"]));
    assert_eq!(changed["updatedAt"], "2026-01-15T12:00:01Z");
    let listed = world.get(&world.owner, &format!("{TEAMS}?name=Renamed")).expect(200).await.body;
    assert_eq!(listed, json!([changed]));
    for bad in [json!({"name": ""}), json!({"description": "x".repeat(1025)}), json!({"labels": 1})]
    {
        world.put(&world.owner, &url).json(bad).expect(400).await;
    }
    world.get(&world.stranger, &url).expect(404).await;
    world.delete(&world.owner, &url).expect(204).await;
    world.get(&world.owner, &url).expect(404).await;
}

#[tokio::test]
async fn who_is_in_a_team_holds_what_it_holds() {
    let world = World::new().await;
    world.secret("/app/a", "x").await;
    let person = world.person().await;
    let url = team(&world, "readers").await;
    let bind = json!({"teamIdentity": "readers"});
    let bindings = "/v1/iam/roles/secrets-read-access/bindings";
    world.post(&world.owner, bindings).json(bind).expect(201).await;
    let reads = async || world.get(&person, "/v1/secrets/nl-01/secret/app/a").send().await.status;
    assert_eq!(reads().await, 403);
    let members = format!("{url}/members");
    let body = json!({"userIdentity": person.subject, "role": "ADMIN"});
    let added = world.post(&world.owner, &members).json(body).expect(201).await.body;
    assert_eq!((&added["role"], added["updatedAt"].is_string()), (&json!("ADMIN"), true));
    assert_eq!(reads().await, 200);
    // Once more changes what the member is there, and adds nobody.
    let body = json!({"userIdentity": person.subject});
    world.post(&world.owner, &members).json(body).expect(201).await;
    let read = world.get(&world.owner, &url).expect(200).await.body;
    assert_eq!(read["members"].as_array().unwrap().len(), 1);
    assert_eq!(read["members"][0]["role"], "MEMBER");
    let member = format!("{members}/{}", read["members"][0]["identity"].as_str().unwrap());
    world.delete(&world.owner, &member).expect(204).await;
    world.delete(&world.owner, &member).expect(404).await;
    assert_eq!(reads().await, 403);
    let body = json!({"userIdentity": person.subject});
    world.post(&world.owner, &members).json(body).expect(201).await;
    assert_eq!(reads().await, 200);
    world.delete(&world.owner, &url).expect(204).await;
    assert_eq!(reads().await, 403);
    // A later team of that name holds nothing of it.
    let again = team(&world, "readers").await;
    let body = json!({"userIdentity": person.subject});
    world.post(&world.owner, &format!("{again}/members")).json(body).expect(201).await;
    assert_eq!(reads().await, 403);
}

#[tokio::test]
async fn nobody_puts_into_a_team_whom_they_could_not_give_its_roles() {
    let world = World::new().await;
    let keeper = keeper(&world).await;
    let (plain, strong) = (team(&world, "plain").await, team(&world, "strong").await);
    let bind = json!({"teamIdentity": "strong"});
    world.post(&world.owner, "/v1/iam/roles/org-admin/bindings").json(bind).expect(201).await;
    for subject in [&keeper.subject, &world.nobody.subject] {
        let body = json!({"userIdentity": subject});
        world.post(&keeper, &format!("{plain}/members")).json(body.clone()).expect(201).await;
        let refused =
            world.post(&keeper, &format!("{strong}/members")).json(body).expect(400).await;
        assert!(refused.message().contains("more than you hold"), "{}", refused.text);
    }
    for (body, expected) in [
        (json!({"userIdentity": world.stranger.subject}), 404),
        (json!({"userIdentity": "usr-none"}), 404),
        (json!({"userIdentity": world.nobody.subject, "role": "BOSS"}), 400),
        (json!({}), 400),
    ] {
        world.post(&world.owner, &format!("{plain}/members")).json(body).expect(expected).await;
    }
}

#[tokio::test]
async fn members_are_listed_and_leave() {
    let world = World::new().await;
    world.secret("/app/a", "x").await;
    let person = world.person_as("secrets-read-access").await;
    let read = "/v1/secrets/nl-01/secret/app/a";
    world.get(&person, read).expect(200).await;
    let listed = world.get(&world.owner, MEMBERS).expect(200).await.body;
    let roles: Vec<_> =
        listed.as_array().unwrap().iter().map(|member| member["role"].as_str().unwrap()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "OWNER").count(), 1);
    assert_eq!(roles.len(), 3, "the owner, the one without a role, and this one");
    let url = membership(&world, &person).await;
    world.delete(&world.stranger, &url).expect(404).await;
    world.get(&person, read).expect(200).await;
    world.delete(&world.owner, &url).expect(204).await;
    world.delete(&world.owner, &url).expect(404).await;
    world.get(&person, read).expect(403).await;
    let bindings = "/v1/iam/roles/secrets-read-access/bindings";
    let left = world.get(&world.owner, bindings).expect(200).await.body;
    assert_eq!(left, json!([]), "the role has gone with the membership");
}

#[tokio::test]
async fn owners_are_made_by_owners_and_one_stays() {
    let world = World::new().await;
    let keeper = keeper(&world).await;
    let (own, other) =
        (membership(&world, &world.owner).await, membership(&world, &world.nobody).await);
    let set = async |by: &Person, url: &str, role: &str, expected: u16| -> Json {
        world.put(by, url).json(json!({"role": role})).expect(expected).await.body
    };
    set(&world.owner, &own, "MEMBER", 400).await;
    world.delete(&world.owner, &own).expect(400).await;
    set(&keeper, &membership(&world, &keeper).await, "OWNER", 400).await;
    set(&keeper, &own, "MEMBER", 400).await;
    world.delete(&keeper, &own).expect(400).await;
    set(&world.owner, &other, "BOSS", 400).await;
    world.get(&world.nobody, MEMBERS).expect(403).await;
    assert_eq!(set(&world.owner, &other, "OWNER", 200).await["role"], "OWNER");
    world.get(&world.nobody, MEMBERS).expect(200).await;
    assert_eq!(set(&world.owner, &own, "MEMBER", 200).await["role"], "MEMBER");
    world.get(&world.owner, MEMBERS).expect(403).await;
    set(&world.nobody, &other, "MEMBER", 400).await;
}

#[tokio::test]
async fn two_owners_who_leave_at_once_do_not_both_leave() {
    let world = std::sync::Arc::new(World::new().await);
    let url = membership(&world, &world.nobody).await;
    world.put(&world.owner, &url).json(json!({"role": "OWNER"})).expect(200).await;
    let own = membership(&world, &world.owner).await;
    let leave = |by: Person, url: String| {
        let world = world.clone();
        tokio::spawn(async move {
            world.put(&by, &url).json(json!({"role": "MEMBER"})).send().await.status
        })
    };
    let (one, two) =
        tokio::join!(leave(world.owner.clone(), own), leave(world.nobody.clone(), url));
    let mut statuses = [one.unwrap(), two.unwrap()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}
