//! What is old goes, from the beginning of each stream, and what is left proves itself still.

use coffer_server::audit;
use coffer_server::config::Config;
use coffer_server::custody::WhenMissing;
use coffer_server::proof::Older;

use crate::world::{NOON, World};

const DAY: i64 = 86_400_000_000;

fn records(world: &World) -> i64 {
    world.count("SELECT COUNT(*) FROM audit_events WHERE action <> 'audit.expire'")
}

/// One reveal and one checkpoint a day.
async fn lives(world: &World, days: i64) {
    for day in 0..days {
        world.set_now(NOON + day * DAY);
        world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value").expect(200).await;
        audit::checkpoint_all(&world.app).await.unwrap();
    }
}

#[tokio::test]
async fn records_are_dropped_when_they_are_old_and_the_rest_is_whole() {
    let world = World::with(|config| config.audit.retention_days = 10).await;
    world.secret("/app/a", "hunter2").await;
    lives(&world, 20).await;
    let all = records(&world);
    audit::expire(&world.app).await.unwrap();
    world.verify_log().unwrap();
    let after_once = records(&world);
    assert!(after_once < all && after_once >= all - 30, "a day at a time: {after_once} of {all}");
    for _ in 0..30 {
        audit::expire(&world.app).await.unwrap();
    }
    world.verify_log().unwrap();
    let oldest = world.count("SELECT MIN(at) FROM audit_events");
    assert!(oldest >= NOON + 9 * DAY, "{oldest}");
    assert!(world.count("SELECT MIN(at) FROM audit_checkpoints") >= NOON + 9 * DAY);
    assert_eq!(
        world.count("SELECT COUNT(*) FROM audit_events WHERE action = 'secrets.getSecretValue'"),
        11
    );
    let told = world.audit("action=audit.expire&includeSystemServices=true").await;
    assert!(told.iter().any(|one| one.to_string().contains("records, up to ")), "{told:?}");
    // As the server sees it, nothing is left to do; what goes on is behind the base.
    let before = records(&world);
    audit::expire(&world.app).await.unwrap();
    assert_eq!(records(&world), before);
    world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value").expect(200).await;
    world.verify_log().unwrap();
    // Nobody drops more by saying that it was old.
    let oldest = "(SELECT MIN(number) FROM audit_events e WHERE e.stream = audit_events.stream \
                  AND e.organisation_id = audit_events.organisation_id)";
    world.sql(&format!("DELETE FROM audit_events WHERE number = {oldest}"));
    let error = world.verify_log().unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_takes_a_day_at_most() {
    let world = World::with(|config| config.audit.retention_days = 10).await;
    world.secret("/app/a", "hunter2").await;
    lives(&world, 5).await;
    let all = records(&world);
    world.set_now(NOON + 10_000 * DAY);
    audit::expire(&world.app).await.unwrap();
    assert_eq!(records(&world), all - 6, "those of the first day");
    world.verify_log().unwrap();
}

#[tokio::test]
async fn nothing_is_dropped_where_all_is_kept() {
    let world = World::with(|config| config.audit.retention_days = 0).await;
    world.secret("/app/a", "hunter2").await;
    lives(&world, 3).await;
    world.set_now(NOON + 10_000 * DAY);
    let all = records(&world);
    audit::expire(&world.app).await.unwrap();
    assert_eq!(records(&world), all);
}

/// Another server goes on with the store, as after a restart.
async fn opened_again(world: &mut World) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    world.write_root_key(folder.path());
    world.app.store.close();
    if world.is_embedded() {
        std::fs::copy(world.folder.path().join("coffer.db"), folder.path().join("coffer.db"))
            .unwrap();
    }
    let config = Config { data: folder.path().to_owned(), ..world.app.config.clone() };
    let app = coffer_server::open(config, WhenMissing::Refuse).await.unwrap();
    world.continue_with(app);
    folder
}

/// Records of before there were chains are counted, and go as they get old.
#[tokio::test]
async fn what_is_older_than_the_chains_is_counted() {
    let mut world = World::with(|config| config.audit.retention_days = 10).await;
    world.secret("/app/a", "hunter2").await;
    // As if the store were of before.
    for sql in [
        "UPDATE audit_events SET stream = NULL, number = NULL, link = NULL",
        "DELETE FROM audit_heads",
        "DELETE FROM signing_keys WHERE purpose = 'audit-chain'",
    ] {
        world.sql(sql);
    }
    let _folder = opened_again(&mut world).await;
    let told = world.verify_log_with(Older::Counted).unwrap();
    // Whoever drops the key of the chains has it look so as well.
    let error = world.verify_log().unwrap_err().to_string();
    assert!(error.contains("is in no chain"), "{error}");
    assert!(told.contains("are older than that, and only counted"), "{told}");
    world.post(&world.owner, "/v1/secrets/nl-01/secret/app/a/value").expect(200).await;
    world.verify_log_with(Older::Counted).unwrap();
    let columns = "organisation_id, at, duration, project_id, principal_kind, principal_id, action, resource_type,
        resource_id, outcome, reason, credential_id, credential_kind, client, user_agent, method, url_path, request_id";
    world.sql(&format!(
        "INSERT INTO audit_events (event_id, {columns}) SELECT event_id || 'x', {columns} FROM audit_events
         WHERE stream IS NULL AND organisation_id <> '' LIMIT 1"
    ));
    let error = world.verify_log_with(Older::Counted).unwrap_err().to_string();
    assert!(error.contains("is in no chain"), "{error}");
    world.sql("DELETE FROM audit_events WHERE event_id LIKE '%x'");
    for _ in 0..3 {
        audit::expire(&world.app).await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM audit_events WHERE stream IS NULL"), 0);
    world.verify_log().unwrap();
}
