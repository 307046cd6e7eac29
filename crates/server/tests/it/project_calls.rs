//! Every operation on projects, their policies and elevations as a call that can be made, beside `calls`.

use serde_json::{Value as Json, json};

use crate::calls::{Call, Target, made};
use crate::world::{Person, World};

/// A project with a policy in it, the policy's rule and binding, and a request for the policy.
#[derive(Default)]
pub struct InProject {
    pub project: String,
    policy: String,
    rule: String,
    binding: String,
    elevation: String,
}

const PROJECTS: &str = "/v1/projects";
const PROJECT: &str = "/v1/projects/{project}";
const POLICIES: &str = "/v1/projects/iam/policies";
const ELEVATIONS: &str = "/v1/projects/iam/access-elevations";
const OWN: &str = "/v1/projects/iam/my-access-elevations";

fn none(_: &Target) -> Json {
    Json::Null
}

fn named(_: &Target) -> Json {
    json!({"name": "made"})
}

fn described(_: &Target) -> Json {
    json!({"description": "d"})
}

fn rule(_: &Target) -> Json {
    json!({"resources": ["secret"], "resourceIdentities": ["/x"], "permissions": ["read"]})
}

fn bind(target: &Target) -> Json {
    json!({"userIdentity": target.owner, "duration": "1h"})
}

fn request(target: &Target) -> Json {
    json!({"policyIdentity": target.inside.policy, "reason": "incident", "duration": "1h"})
}

/// Every operation once.
pub fn calls() -> Vec<Call> {
    /// Action, method, route, body.
    type Row = (&'static str, &'static str, &'static str, fn(&Target) -> Json);
    const ROWS: [Row; 29] = [
        ("iam.project.list", "GET", PROJECTS, none),
        (
            "iam.project.create",
            "POST",
            PROJECTS,
            |target| json!({"name": format!("{} made", target.inside.project)}),
        ),
        ("iam.project.get", "GET", PROJECT, none),
        ("iam.project.update", "PUT", PROJECT, described),
        ("iam.project.delete", "DELETE", PROJECT, none),
        ("iam.policy.list", "GET", POLICIES, none),
        ("iam.policy.create", "POST", POLICIES, named),
        ("iam.policy.resources", "GET", "/v1/projects/iam/policies/resources", none),
        ("iam.policy.members", "GET", "/v1/projects/iam/policies/members", none),
        ("iam.policy.get", "GET", "/v1/projects/iam/policies/{policy}", none),
        ("iam.policy.update", "PUT", "/v1/projects/iam/policies/{policy}", described),
        ("iam.policy.delete", "DELETE", "/v1/projects/iam/policies/{policy}", none),
        ("iam.policy-rule.create", "POST", "/v1/projects/iam/policies/{policy}/rules", rule),
        (
            "iam.policy-rule.delete",
            "DELETE",
            "/v1/projects/iam/policies/{policy}/rules/{rule}",
            none,
        ),
        ("iam.policy-binding.list", "GET", "/v1/projects/iam/policies/{policy}/bindings", none),
        ("iam.policy-binding.create", "POST", "/v1/projects/iam/policies/{policy}/bindings", bind),
        (
            "iam.policy-binding.get",
            "GET",
            "/v1/projects/iam/policies/{policy}/bindings/{binding}",
            none,
        ),
        (
            "iam.policy-binding.update",
            "PUT",
            "/v1/projects/iam/policies/{policy}/bindings/{binding}",
            described,
        ),
        (
            "iam.policy-binding.delete",
            "DELETE",
            "/v1/projects/iam/policies/{policy}/bindings/{binding}",
            none,
        ),
        ("iam.access-binding.list", "GET", "/v1/projects/iam/access-bindings", none),
        ("iam.own-elevation.list", "GET", OWN, none),
        ("iam.own-elevation.create", "POST", OWN, request),
        ("iam.own-elevation.get", "GET", "/v1/projects/iam/my-access-elevations/{elevation}", none),
        (
            "iam.own-elevation.cancel",
            "POST",
            "/v1/projects/iam/my-access-elevations/{elevation}/cancel",
            none,
        ),
        ("iam.elevation.list", "GET", ELEVATIONS, none),
        ("iam.elevation.get", "GET", "/v1/projects/iam/access-elevations/{elevation}", none),
        (
            "iam.elevation.approve",
            "POST",
            "/v1/projects/iam/access-elevations/{elevation}/approve",
            none,
        ),
        (
            "iam.elevation.reject",
            "POST",
            "/v1/projects/iam/access-elevations/{elevation}/reject",
            none,
        ),
        (
            "iam.elevation.revoke",
            "POST",
            "/v1/projects/iam/access-elevations/{elevation}/revoke",
            none,
        ),
    ];
    let call = |(action, method, path, body)| {
        let url = match action {
            "iam.access-binding.list" => {
                "/v1/projects/iam/access-bindings?resourceType=secret&resourceIdentity=/x"
            }
            _ => path,
        };
        Call { action, method, route: (method, path), url, body }
    };
    ROWS.into_iter().map(call).collect()
}

/// Makes a project of acme for a call of this action by a person.
pub async fn target(world: &World, action: &str, by: &Person) -> InProject {
    let about = ["iam.project", "iam.policy", "iam.access-b", "iam.own-e", "iam.elevation"];
    if !about.iter().any(|start| action.starts_with(start)) {
        return InProject::default();
    }
    let project = world.project(&world.fresh_id("p").to_lowercase()).await;
    let asking = |url: &str, body: Json| {
        world.post(&world.owner, url).header("x-project-identity", &project).json(body)
    };
    let id = |answer: crate::world::Answer| answer.body["identity"].as_str().unwrap().to_owned();
    let policy = id(asking(POLICIES, json!({"name": "readers"})).expect(201).await);
    let url = format!("{POLICIES}/{policy}");
    let rule = id(asking(&format!("{url}/rules"), rule(&Target::default())).expect(201).await);
    let owner = json!({"userIdentity": world.owner.subject});
    let binding = id(asking(&format!("{url}/bindings"), owner).expect(201).await);
    let mut inside = InProject { project, policy, rule, binding, elevation: String::new() };
    if action.contains("elevation") {
        let wanted = json!({"policyIdentity": inside.policy, "reason": "r", "duration": "1h"});
        let somebody = world.person_with("secret", &["/none"], &["read"]).await;
        let own = action.starts_with("iam.own").then_some(by);
        let mut answer = None;
        for person in own.into_iter().chain([&somebody]) {
            let asking = world.post(person, OWN).header("x-project-identity", &inside.project);
            let asked = asking.json(wanted.clone()).send().await;
            answer = answer.or((asked.status == 201).then_some(asked));
        }
        inside.elevation = id(answer.unwrap());
        if action == "iam.elevation.revoke" {
            let url = format!("{ELEVATIONS}/{}/approve", inside.elevation);
            let asking = world.post(&world.owner, &url);
            asking.header("x-project-identity", &inside.project).expect(200).await;
        }
    }
    inside
}

impl InProject {
    /// Puts identities in the place of names.
    pub fn fill(&self, url: &str) -> String {
        [
            ("{project}", &self.project),
            ("{policy}", &self.policy),
            ("{rule}", &self.rule),
            ("{binding}", &self.binding),
            ("{elevation}", &self.elevation),
        ]
        .iter()
        .fold(url.to_owned(), |url, (name, id)| url.replace(name, id))
    }
}

#[tokio::test]
async fn made_things_are_of_the_project() {
    let world = World::new().await;
    let inside = target(&world, "iam.elevation.revoke", &world.owner).await;
    assert!(!inside.fill("{project}{policy}{rule}{binding}{elevation}").contains('{'));
    made(&world, PROJECTS, json!({"name": "another"})).await;
}
