//! A store of an earlier version opens, with everything in it.

use std::os::unix::fs::PermissionsExt;

use coffer_server::config::Config;
use coffer_server::custody::WhenMissing;
use rusqlite::Connection;
use serde_json::json;

use crate::world::{World, base64, text_of};

/// The rows of a store, in a new file with the first schema.
pub(crate) fn rewritten(world: &World, file: &std::path::Path) {
    let old = Connection::open(file).unwrap();
    old.execute_batch(include_str!("../../migrations/0001_foundation.sql")).unwrap();
    let now = world.folder.path().join("coffer.db");
    old.execute("ATTACH DATABASE $1 AS later", [now.to_str().unwrap()]).unwrap();
    old.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut statement = old.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    for table in names("SELECT name FROM main.sqlite_schema WHERE type = 'table'") {
        // But for those that are elsewhere by now.
        let columns = names(&format!(
            "SELECT name FROM pragma_table_info('{table}', 'main') INTERSECT
             SELECT name FROM pragma_table_info('{table}', 'later')"
        ))
        .join(", ");
        let copy =
            format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM later.{table}");
        old.execute_batch(&copy).unwrap();
    }
    let root_key = world.app.keyring.fingerprint();
    old.execute("INSERT INTO meta (name, value) VALUES ('root_key', $1)", [root_key]).unwrap();
    old.execute_batch("PRAGMA user_version = 1; DETACH DATABASE later; PRAGMA journal_mode = WAL")
        .unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_schema_opens() {
    let mut world = World::new().await;
    world.secret("/kept", "hunter2").await;
    let key = world.key(&world.owner, "pending").await;
    world.delete(&world.owner, &format!("/v1/kms/nl-01/keys/{key}")).expect(200).await;
    let folder = tempfile::tempdir().unwrap();
    rewritten(&world, &folder.path().join("coffer.db"));
    std::fs::write(folder.path().join("root.key"), &world.root).unwrap();
    for (name, rights) in [("", 0o700), ("root.key", 0o600), ("coffer.db", 0o600)] {
        let rights = std::fs::Permissions::from_mode(rights);
        std::fs::set_permissions(folder.path().join(name), rights).unwrap();
    }
    world.app.store.close();
    let config = Config { data: folder.path().to_owned(), ..world.app.config.clone() };
    let app = coffer_server::open(config, WhenMissing::Refuse).await.unwrap();
    world.continue_with(app);
    let value = "/v1/secrets/nl-01/secret/kept/value";
    assert_eq!(text_of(&world.post(&world.owner, value).expect(200).await), "hunter2");
    let put = world.post(&world.owner, "/v1/secrets/nl-01/secret/kept/versions");
    put.json(json!({"secretString": base64("next")})).expect(200).await;
    world.key(&world.owner, "pending").await;
    let pending = world.get(&world.owner, &format!("/v1/kms/nl-01/keys/{key}")).expect(200).await;
    assert_eq!(pending.body["status"], "pending_deletion");
    let quotas = world.get(&world.owner, "/v1/quotas").expect(200).await.body;
    let used = |one: &serde_json::Value| one["currentUsage"].as_i64().unwrap();
    let used: Vec<_> = quotas.as_array().unwrap().iter().map(used).collect();
    assert_eq!(used, [0, 3, 1, 2], "counted from what was there, and on from there");
    let file = Connection::open(folder.path().join("coffer.db")).unwrap();
    let unnamed = "SELECT COUNT(*) FROM kms_key_versions WHERE root_key = ''";
    assert_eq!(file.query_row(unnamed, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}
