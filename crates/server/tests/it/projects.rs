//! Projects over HTTP (contract, section 6.1): who sees them, what stands below what, what goes with them.

use serde_json::{Value as Json, json};

use crate::world::{Person, World, base64};

const PROJECTS: &str = "/v1/projects";

async fn project(world: &World, by: &Person, body: Json) -> Json {
    world.post(by, PROJECTS).json(body).expect(201).await.body
}

fn id(made: &Json) -> &str {
    made["identity"].as_str().unwrap()
}

async fn slugs(world: &World, by: &Person) -> Vec<String> {
    let listed = world.get(by, PROJECTS).expect(200).await.body;
    let listed = listed.as_array().unwrap().iter();
    listed.map(|project| project["slug"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_project_is_made_changed_and_deleted() {
    let world = World::new().await;
    let made = project(
        &world,
        &world.owner,
        json!({"name": "Card Payments", "description": "d", "labels": {"a": "b"}, "annotations": {"c": "d"}}),
    )
    .await;
    assert!(id(&made).starts_with("prj-"));
    assert_eq!((&made["slug"], &made["objectVersion"]), (&json!("card-payments"), &json!(1)));
    assert!(made.get("parentProject").is_none());
    for reference in [id(&made), "card-payments"] {
        let read = world.get(&world.owner, &format!("{PROJECTS}/{reference}")).expect(200).await;
        assert_eq!(read.body, made);
    }
    let again = world.post(&world.owner, PROJECTS).json(json!({"name": "card payments"}));
    again.expect(409).await;
    let url = format!("{PROJECTS}/card-payments");
    let changed = world.put(&world.owner, &url).json(json!({"name": "Cards", "labels": {}}));
    let changed = changed.expect(200).await.body;
    assert_eq!((&changed["name"], &changed["slug"]), (&json!("Cards"), &made["slug"]));
    assert_eq!((&changed["description"], &changed["objectVersion"]), (&json!("d"), &json!(2)));
    for (query, count) in
        [("slug=card-payments", 1), ("slug=x", 0), ("matchLabels[a]=b", 0), ("name=Cards", 1)]
    {
        let listed = world.get(&world.owner, &format!("{PROJECTS}?{query}")).expect(200).await;
        assert_eq!(listed.body.as_array().unwrap().len(), count, "{query}");
    }
    for bad in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "Root"}),
        json!({"name": "prj-d5obcgg3fspc73f7vqpg"}),
    ] {
        world.post(&world.owner, PROJECTS).json(bad).expect(400).await;
    }
    world.get(&world.stranger, &url).expect(404).await;
    world.delete(&world.owner, &url).expect(204).await;
    world.get(&world.owner, &url).expect(404).await;
    world.get(&world.owner, "/v1/kms/summary").project("card-payments").expect(404).await;
}

#[tokio::test]
async fn projects_stand_below_each_other_and_never_in_a_circle() {
    let world = World::new().await;
    let a = project(&world, &world.owner, json!({"name": "a"})).await;
    let b = project(&world, &world.owner, json!({"name": "b", "parentProjectIdentity": "a"})).await;
    assert_eq!(b["parentProject"], json!({"identity": a["identity"], "name": "a", "slug": "a"}));
    project(&world, &world.owner, json!({"name": "c", "parentProjectIdentity": b["identity"]}))
        .await;
    let under = async |child: &str, parent: &str| {
        let url = format!("{PROJECTS}/{child}");
        let body = json!({"parentProjectIdentity": parent});
        world.put(&world.owner, &url).json(body).send().await.status
    };
    assert_eq!(under("a", "c").await, 400);
    assert_eq!(under("a", "a").await, 400);
    assert_eq!(under("a", "nowhere").await, 400);
    assert_eq!(under("c", "a").await, 200);
    assert_eq!(under("b", "c").await, 200);
    assert_eq!(under("a", "b").await, 400);
    assert_eq!(under("c", "").await, 200);
    assert_eq!(under("a", "b").await, 200, "once apart they may be joined the other way");
    let b = world.get(&world.owner, &format!("{PROJECTS}/b")).expect(200).await.body;
    assert_eq!(b["parentProject"]["slug"], "c");
    world.put(&world.owner, &format!("{PROJECTS}/b")).json(json!({})).expect(200).await;
    assert_eq!(under("b", "c").await, 200);
}

#[tokio::test]
async fn circles_are_refused_when_both_halves_come_at_once() {
    let world = World::new().await;
    for round in 0..20 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        for name in [&a, &b] {
            project(&world, &world.owner, json!({"name": name})).await;
        }
        let put = |child: &str, parent: &str| {
            let url = format!("{PROJECTS}/{child}");
            world.put(&world.owner, &url).json(json!({"parentProjectIdentity": parent})).send()
        };
        let (one, other) = tokio::join!(put(&a, &b), put(&b, &a));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "round {round}");
    }
}

#[tokio::test]
async fn a_project_with_anything_in_it_stays() {
    let world = World::new().await;
    let made = project(&world, &world.owner, json!({"name": "p"})).await;
    project(&world, &world.owner, json!({"name": "below", "parentProjectIdentity": "p"})).await;
    let url = format!("{PROJECTS}/p");
    let refused = world.delete(&world.owner, &url).expect(400).await;
    assert!(refused.message().contains("1 projects below"), "{}", refused.text);
    world.delete(&world.owner, &format!("{PROJECTS}/below")).expect(204).await;
    let key = world.post(&world.owner, "/v1/kms/nl-01/keys").project(id(&made));
    let key = key.json(json!({"name": "k"})).expect(201).await.body;
    world.delete(&world.owner, &url).expect(400).await;
    let secret =
        json!({"path": "/a", "kmsKeyIdentity": key["identity"], "secretString": base64("x")});
    let asking = world.post(&world.owner, "/v1/secrets/nl-01/secrets").project("p");
    asking.json(secret).expect(201).await;
    let refused = world.delete(&world.owner, &url).expect(400).await;
    assert!(refused.message().contains("1 secrets, 1 keys"), "{}", refused.text);
    let revealed = world.post(&world.owner, "/v1/secrets/nl-01/secret/a/value").project("p");
    revealed.expect(200).await;
}

#[tokio::test]
async fn whoever_holds_nothing_in_a_project_learns_of_none() {
    let world = World::new().await;
    let maker = world.person_with("project", &["prj-*"], &["create"]).await;
    let made = project(&world, &maker, json!({"name": "mine"})).await;
    project(&world, &world.owner, json!({"name": "theirs"})).await;
    assert!(slugs(&world, &world.nobody).await.is_empty());
    for reference in [id(&made), "mine", "nothing"] {
        let url = format!("{PROJECTS}/{reference}");
        let hidden = world.get(&world.nobody, &url).expect(404).await;
        assert_eq!(hidden.message(), "project not found");
        world.put(&world.nobody, &url).json(json!({"name": "x"})).expect(404).await;
        world.delete(&world.nobody, &url).expect(404).await;
    }
    let policies = "/v1/projects/iam/policies";
    let bind = json!({"userIdentity": world.nobody.subject});
    let url = format!("{policies}/secrets-read-access/bindings");
    world.post(&world.owner, &url).project("mine").json(bind).expect(201).await;
    assert_eq!(slugs(&world, &world.nobody).await, ["mine"]);
    world.get(&world.nobody, &format!("{PROJECTS}/mine")).expect(200).await;
    world.put(&world.nobody, &format!("{PROJECTS}/mine")).json(json!({})).expect(403).await;
    world.get(&world.nobody, &format!("{PROJECTS}/theirs")).expect(404).await;
    world.post(&world.nobody, PROJECTS).json(json!({"name": "more"})).expect(403).await;
}

/// Holding a project lets nobody see another one.
#[tokio::test]
async fn a_project_is_put_below_one_that_is_seen() {
    let world = World::new().await;
    let maker = world.person_with("project", &["prj-*"], &["create"]).await;
    project(&world, &maker, json!({"name": "mine"})).await;
    let (acme, subject) = (world.acme.id.clone(), maker.subject.clone());
    // What is left is the policy of the own project.
    world
        .write(&acme, async move |tx| {
            for role in tx.list_roles_of(("user", &subject)).await? {
                for binding in tx.list_bindings(&role.id).await? {
                    tx.delete_binding(&role.id, &binding.id).await?;
                }
            }
            Ok(())
        })
        .await;
    project(&world, &world.owner, json!({"name": "hidden"})).await;
    for parent in ["hidden", "nothing"] {
        let put = world.put(&maker, &format!("{PROJECTS}/mine"));
        let refused = put.json(json!({"parentProjectIdentity": parent})).expect(400).await;
        assert!(refused.message().contains("there is no such project"), "{}", refused.text);
    }
}

/// Whoever makes a project holds it, and holds nothing else by it.
#[tokio::test]
async fn the_maker_of_a_project_is_its_administrator_and_no_more() {
    let world = World::new().await;
    let maker = world.person_with("project", &[], &["create"]).await;
    project(&world, &maker, json!({"name": "mine"})).await;
    project(&world, &world.owner, json!({"name": "theirs"})).await;
    let key = world.post(&maker, "/v1/kms/nl-01/keys").project("mine").json(json!({"name": "k"}));
    let key = key.expect(201).await.body;
    let secret =
        json!({"path": "/a", "kmsKeyIdentity": key["identity"], "secretString": base64("x")});
    let create = world.post(&maker, "/v1/secrets/nl-01/secrets").project("mine");
    create.json(secret).expect(201).await;
    world.post(&maker, "/v1/secrets/nl-01/secret/a/value").project("mine").expect(200).await;
    world.get(&maker, "/v1/audit").project("mine").expect(200).await;
    world
        .put(&maker, &format!("{PROJECTS}/mine"))
        .json(json!({"description": "d"}))
        .expect(200)
        .await;
    // SECURITY: `*` of a project is not `*` of the organisation, whatever header comes with the call.
    for url in ["/v1/iam/roles", "/v1/teams", "/v1/memberships", "/v1/service-accounts"] {
        world.get(&maker, url).project("mine").expect(403).await;
        world.post(&maker, url).project("mine").json(json!({"name": "x"})).send().await;
    }
    world.get(&maker, "/v1/audit").expect(403).await;
    world.get(&maker, "/v1/kms/nl-01/keys").expect(404).await;
    world.get(&maker, "/v1/secrets/nl-01/secrets").expect(403).await;
    world
        .put(&maker, &format!("{PROJECTS}/theirs"))
        .project("mine")
        .json(json!({}))
        .expect(403)
        .await;
    world.delete(&maker, &format!("{PROJECTS}/theirs")).project("mine").expect(403).await;
    let made = world.get(&world.owner, "/v1/teams").expect(200).await.body;
    assert_eq!(made, json!([]));
}

#[tokio::test]
async fn the_gate_closes_projects_and_what_lies_in_them() {
    let world = World::new().await;
    project(&world, &world.owner, json!({"name": "p"})).await;
    let policies = "/v1/projects/iam/policies";
    world.get(&world.owner, policies).project("p").expect(200).await;
    world.get(&world.owner, policies).expect(400).await;
    world.set_gates([true, true, false]).await;
    for refused in [
        world.get(&world.owner, PROJECTS).send().await,
        world.get(&world.owner, &format!("{PROJECTS}/p")).send().await,
        world.get(&world.owner, policies).project("p").send().await,
        world.get(&world.owner, policies).send().await,
        world.get(&world.owner, "/v1/secrets/nl-01/secrets").project("p").send().await,
    ] {
        assert_eq!(refused.status, 403);
        assert_eq!(refused.message(), "projects are not enabled for this organisation");
    }
    world.get(&world.owner, "/v1/secrets/nl-01/secrets").expect(200).await;
}

#[tokio::test]
async fn a_deleted_project_takes_its_policies_along_and_its_slug_is_free() {
    let world = World::new().await;
    project(&world, &world.owner, json!({"name": "p"})).await;
    let policies = "/v1/projects/iam/policies";
    let url = format!("{policies}/secrets-full-access/bindings");
    let bind = json!({"userIdentity": world.nobody.subject});
    world.post(&world.owner, &url).project("p").json(bind).expect(201).await;
    world.get(&world.nobody, "/v1/secrets/nl-01/secrets").project("p").expect(200).await;
    let ask = json!({"policyIdentity": "org-admin", "reason": "r", "duration": "1h"});
    let own = "/v1/projects/iam/my-access-elevations";
    world.post(&world.nobody, own).project("p").json(ask).expect(201).await;
    world.delete(&world.owner, &format!("{PROJECTS}/p")).expect(204).await;
    world.get(&world.nobody, "/v1/secrets/nl-01/secrets").project("p").expect(404).await;
    project(&world, &world.owner, json!({"name": "p"})).await;
    world.get(&world.nobody, "/v1/secrets/nl-01/secrets").project("p").expect(404).await;
}
