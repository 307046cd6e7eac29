//! What a noisy organisation takes from a quiet one: nothing.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::blocking::Client;
use serde_json::{Value as Json, json};

use crate::custody::{Operator, is_kept};
use crate::world::{World, base64};

const SECRETS: &str = "/v1/secrets/nl-01/secrets";
const ME: &str = "/v1/me";

fn figure(world: &World, name: &str) -> String {
    let text = world.app.metrics.text(&coffer_server::metrics::Moment::default());
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_default().to_owned()
}

/// Holds `count` places with calls of an organisation whose bodies do not come, while `then` runs.
async fn while_held(world: &World, count: usize, then: impl AsyncFnOnce()) {
    let (done, _) = tokio::sync::broadcast::channel::<()>(1);
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let mut done = done.subscribe();
            let body =
                json!({"path": "/held", "kmsKeyIdentity": "default", "secretString": "eA=="});
            let call = world.post(&world.owner, SECRETS).json(body);
            call.send_after(async move { drop(done.recv().await) })
        })
        .collect();
    let ended = async {
        while world.app.load.in_flight() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        then().await;
        drop(done);
    };
    let (answers, ()) = tokio::join!(join_all(calls), ended);
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "all have been served, and one has made the secret");
    assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)));
}

#[tokio::test]
async fn an_organisation_takes_no_more_than_its_share_of_the_places() {
    let world = World::with(|config| {
        (config.limits.in_flight_max, config.limits.in_flight_per_organisation_max) = (6, 4);
    })
    .await;
    while_held(&world, 4, async || {
        let refused = world.get(&world.owner, ME).expect(429).await;
        assert_eq!(refused.header("retry-after"), "1");
        // Nor with another credential of the same organisation.
        world.get(&world.nobody, ME).expect(429).await;
        world.get(&world.stranger, ME).expect(200).await;
        world.anonymous("GET", "/healthz").expect(200).await;
    })
    .await;
    world.get(&world.owner, ME).expect(200).await;
    assert_eq!(world.app.load.in_flight(), 0);
    assert_eq!(figure(&world, "coffer_limited_total{by=\"organisation\"}"), "2");
}

#[tokio::test]
async fn what_is_too_much_for_the_server_is_shed() {
    let world = World::with(|config| {
        (config.limits.in_flight_max, config.limits.in_flight_per_organisation_max) = (4, 4);
    })
    .await;
    while_held(&world, 4, async || {
        let shed = world.get(&world.stranger, ME).expect(503).await;
        assert_eq!(shed.header("retry-after"), "1");
        assert_eq!(shed.message(), "the server has too much to do; try again");
        for (url, form) in [("/oidc/token", true), ("/v1/invites/accept", false)] {
            let call = world.anonymous("POST", url);
            let call = if form { call.form(&[]) } else { call.json(json!({})) };
            call.expect(503).await;
        }
        for url in ["/healthz", "/readyz", "/openapi.json"] {
            world.anonymous("GET", url).expect(200).await;
        }
    })
    .await;
    world.get(&world.stranger, ME).expect(200).await;
    assert_eq!(figure(&world, "coffer_shed_total"), "3");
}

#[tokio::test]
async fn each_credential_and_each_organisation_has_a_rate_of_its_own() {
    let world = World::with(|config| {
        config.limits.requests_per_second_per_credential = 10;
        config.limits.requests_per_second_per_organisation = 15;
    })
    .await;
    let call = async |person, count| {
        let mut statuses = Vec::new();
        for _ in 0..count {
            let answer = world.get(person, ME).send().await;
            assert!(answer.status == 200 || answer.header("retry-after") == "1", "{answer:?}");
            statuses.push(answer.status);
        }
        statuses.iter().filter(|status| **status == 200).count()
    };
    let began = Instant::now();
    let (owner, nobody) = (call(&world.owner, 60).await, call(&world.nobody, 60).await);
    let stranger = call(&world.stranger, 5).await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    // The world has called once already.
    assert!((9..=10 * (seconds + 2)).contains(&owner), "{owner} in {seconds} s");
    assert!(owner + nobody <= 15 * (seconds + 2), "{owner} and {nobody} in {seconds} s");
    assert_eq!(stranger, 5);
    assert_ne!(figure(&world, "coffer_limited_total{by=\"credential\"}"), "");
}

/// A quiet organisation is served while another one sends all it can.
#[test]
fn nobody_starves() {
    let mut operator = Operator::new();
    operator.configure("");
    operator.fill(&Client::new());
    let said = operator.run(&["admin-token", "--name", "a"]).said;
    let administrator = said.split("token ").nth(1).unwrap().trim().to_owned();
    let config = fs::read_to_string(operator.file("coffer.toml")).unwrap();
    let limits = "[limits]\nin_flight_max = 24\nin_flight_per_organisation_max = 8\n";
    fs::write(operator.file("coffer.toml"), format!("{config}{limits}")).unwrap();
    let server = operator.serve();
    let http = Client::new();
    let made = http
        .post(format!("{}/v1/platform/organisations", server.env["COFFER_ENDPOINT"]))
        .bearer_auth(administrator)
        .json(&json!({"slug": "noisy", "name": "noisy", "ownerEmail": "n@noisy.invalid"}))
        .send()
        .unwrap();
    assert_eq!(made.status(), 201);
    let made: Json = made.json().unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    let noisy = |http: &Client, method: &str, url: &str, body: Json| {
        let url = format!("{}{url}", server.env["COFFER_ENDPOINT"]);
        let call = http.request(method.parse().unwrap(), url).bearer_auth(&token);
        call.header("X-Organisation-Identity", "noisy").json(&body).send().unwrap().status()
    };
    assert_eq!(noisy(&http, "POST", "/v1/kms/nl-01/keys", json!({"name": "k"})), 201);
    let secret = json!({"path": "/a", "kmsKeyIdentity": "k", "secretString": base64("x")});
    assert_eq!(noisy(&http, "POST", SECRETS, secret), 201);

    let (stop, turned_away, served) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let http = Client::new();
                while !stop.load(Ordering::Relaxed) {
                    let url = "/v1/secrets/nl-01/secret/a/versions";
                    match noisy(&http, "POST", url, json!({"secretString": base64("y")})).as_u16() {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        429 => turned_away.fetch_add(1, Ordering::Relaxed),
                        status => panic!("{status}"),
                    };
                }
            });
        }
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            let asked = Instant::now();
            is_kept(&server, &http);
            slowest = slowest.max(asked.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (served, turned_away) = (served.into_inner(), turned_away.into_inner());
    println!("{served} served and {turned_away} turned away beside; the slowest took {slowest:?}");
    assert!(served > 0 && turned_away > 0);
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert_eq!(server.stop().0, Some(0));
}
