//! Several servers on one PostgreSQL database. Left out where the tests have none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_server::app::App;
use coffer_server::store::{Store, lock};
use serde_json::json;

use crate::world::{World, base64, postgres};

const SECRET: &str = "/v1/secrets/nl-01/secret/app/a";
/// What is taken away on one server is gone on every other one within this.
const HEARD: Duration = Duration::from_secs(1);

/// One more server with connections and memory of its own on the store of a world.
async fn another(world: &World) -> (Arc<App>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = world.app.config.clone();
    let store = Store::connect(&config.store, folder.path(), lock(folder.path()).unwrap()).unwrap();
    let keyring = crate::world::keyring(&[&world.root]);
    let app = App::new(store, keyring, world.app.clock.clone(), config);
    coffer_server::prepare(&app).await.unwrap();
    (app, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_takes_away_no_other_gives_a_second_later() {
    if postgres().is_none() {
        return;
    }
    let world = World::new().await;
    world.secret("/app/a", "hunter2").await;
    let (second, _folder) = another(&world).await;
    let reveal = format!("{SECRET}/value");
    for round in 0..5 {
        let person = world.person_as("secrets-full-access").await;
        let elsewhere = || world.post(&person, &reveal).send_to(second.clone());
        let known = Instant::now();
        while elsewhere().await.status != 200 {
            assert!(known.elapsed() < HEARD, "round {round}: a new grant is not heard of");
        }
        let subject = person.subject.clone();
        let unbind = async move |tx: &mut coffer_server::store::Tx| {
            tx.delete_bindings(("user", &subject)).await
        };
        world.write(&world.acme.id, unbind).await;
        let gone = Instant::now();
        loop {
            let asked = gone.elapsed();
            if elsewhere().await.status != 200 {
                break;
            }
            assert!(asked < HEARD, "round {round}: what was taken away is still there");
        }
    }
    second.store.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn puts_through_two_servers_make_versions_without_a_gap() {
    if postgres().is_none() {
        return;
    }
    let world = World::new().await;
    world.secret("/app/a", "first").await;
    let (second, _folder) = another(&world).await;
    let servers = [world.app.clone(), second.clone()];
    let mut made = Vec::new();
    for round in 0..10 {
        let calls = (0..8).map(|n| {
            let put = world.post(&world.owner, &format!("{SECRET}/versions"));
            let put = put.json(json!({"secretString": base64(format!("{round} {n}"))}));
            put.send_to(servers[n % 2].clone())
        });
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
            made.push(answer.body["version"].as_i64().unwrap());
        }
    }
    made.sort_unstable();
    assert_eq!(made, (2..=81).collect::<Vec<_>>());
    second.store.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_once_bring_the_schema_up_to_date_once() {
    let Some(url) = postgres() else { return };
    let settings = crate::world::schema_of_its_own(&url).await;
    let starts = (0..4).map(|_| {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::connect(&settings, folder.path(), lock(folder.path()).unwrap());
            store.unwrap().close();
        })
    });
    for started in starts.collect::<Vec<_>>() {
        started.await.unwrap();
    }
}
