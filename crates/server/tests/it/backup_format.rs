//! What is in a backup, and that nothing else is taken for one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffer_server::app::App;
use coffer_server::backup::{self, Progress};
use coffer_server::config::Config;
use coffer_server::custody::WhenMissing;
use coffer_server::store::sql;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::json;

use crate::migrations::rewritten;
use crate::world::{World, base64, fresh_root, text_of};

/// A folder with this root key in it, and the settings for it.
fn place(world: &World, root: &str) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    put_root_key(folder.path(), root);
    let config = Config { data: folder.path().to_owned(), ..world.app.config.clone() };
    (folder, config)
}

fn put_root_key(folder: &Path, root: &str) {
    fs::write(folder.join("root.key"), root).unwrap();
    fs::set_permissions(folder.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A backup of the world's store, which serves meanwhile.
fn backed_up(world: &World) -> (tempfile::TempDir, PathBuf) {
    put_root_key(world.folder.path(), &world.root);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coffer.backup");
    backup::make(&world.app.config, &file, &Progress::default()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    (folder, file)
}

async fn restore(config: &Config, file: &Path) -> Result<String, String> {
    wait_for(&config.data);
    let (config, file) = (config.clone(), file.to_owned());
    let run = move || backup::restore(&config, &file, &Progress::default());
    let done = tokio::task::spawn_blocking(run).await.unwrap();
    done.map_err(|error| format!("{error:#}"))
}

/// Waits until nobody holds a folder's lock. Processes that other tests start do so for a moment after this one has
/// let go of it: from their fork to their exec.
fn wait_for(folder: &Path) {
    let free = || coffer_server::store::lock(folder).is_ok();
    for _ in 0..100 {
        if free() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn open(config: Config) -> Arc<App> {
    wait_for(&config.data);
    coffer_server::open(config, WhenMissing::Refuse).await.unwrap()
}

fn verify(config: &Config, file: &Path) -> Result<String, String> {
    backup::verify(config, file, &Progress::default()).map_err(|error| format!("{error:#}"))
}

/// What is in a folder, but for the file that locks it.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != "lock");
    names.sort_unstable();
    names
}

/// Every row of every table, as the schema has it.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let database = Connection::open(folder.join("coffer.db")).unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(tables).unwrap();
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let rows = |table: &str| {
        let mut statement = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..width).map(|at| row.get(at)).collect();
        let rows = statement.query_map([], row).unwrap();
        let mut rows: Vec<Vec<Value>> = rows.map(Result::unwrap).collect();
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    };
    tables.map(Result::unwrap).map(|table| (table.clone(), rows(&table))).collect()
}

/// Puts a row into every table that has none, made up from the schema: what refers to a row refers to one that is
/// there, and every other column has a value of its type.
pub(crate) fn fill_every_table(folder: &Path, root_key: &str) {
    let database = Connection::open(folder.join("coffer.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let texts = |sql: String| -> Vec<(String, String)> {
        let mut statement = database.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut empty: Vec<_> = contents(folder).into_iter().collect();
    empty.retain(|(_, rows)| rows.is_empty());
    assert!(empty.len() > 5);
    // What refers to an empty table is filled after it.
    let of = |table: &str, what: &str| format!("{what} FROM pragma_foreign_key_list('{table}')");
    while let Some(at) = empty.iter().position(|(table, _)| {
        let refers_to = texts(of(table, "SELECT \"table\", ''"));
        refers_to.iter().all(|(other, _)| empty.iter().all(|(table, _)| table != other))
    }) {
        let (table, _) = empty.remove(at);
        let columns = texts(format!("SELECT name, type FROM pragma_table_info('{table}')"));
        let values = columns.iter().map(|(column, kind)| {
            let referred = texts(of(&table, "SELECT \"from\", \"table\" || '.' || \"to\""));
            let to = referred.iter().find(|(from, _)| from == column).map(|(_, to)| to);
            match (to.and_then(|to| to.split_once('.')), kind.as_str()) {
                (Some((other, key)), _) => {
                    // Of one row, where a key has several columns.
                    format!("(SELECT {key} FROM {other} ORDER BY rowid LIMIT 1)")
                }
                _ if column == "root_key" => format!("'{root_key}'"),
                (None, "TEXT") => format!("'{table} ü {column}'"),
                (None, "BIGINT") => "-7".to_owned(),
                (None, kind) => format!("x'00ff{:02x}'", kind.len()),
            }
        });
        let values = values.collect::<Vec<_>>().join(", ");
        database.execute_batch(&format!("INSERT INTO {table} VALUES ({values})")).unwrap();
    }
    assert!(empty.is_empty(), "{empty:?}");
}

#[tokio::test]
async fn every_row_of_every_table_comes_back() {
    let world = World::new().await;
    world.secret("/kept", "hunter2").await;
    fill_every_table(world.folder.path(), world.app.keyring.fingerprint());
    let before = contents(world.folder.path());
    assert!(before.len() > 20 && before.values().all(|rows| !rows.is_empty()));
    let (_kept, file) = backed_up(&world);
    let (folder, config) = place(&world, &world.root);
    restore(&config, &file).await.unwrap();
    assert_eq!(names(folder.path()), ["coffer.db", "root.key"]);
    let rights = fs::metadata(folder.path().join("coffer.db")).unwrap().permissions().mode();
    assert_eq!(rights & 0o777, 0o600);
    let mut after = contents(folder.path());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    // What a restore adds: one record for each organisation, one for none, and seals nobody has counted.
    let is_of_restore = |row: &Vec<Value>| row.contains(&Value::Text("platform.restore".into()));
    let events = after.get_mut("audit_events").unwrap();
    let count = events.len();
    events.retain(|row| !is_of_restore(row));
    assert_eq!(count - events.len(), 3);
    // And where their streams end.
    let heads = after.get_mut("audit_heads").unwrap();
    heads.retain(|head| before["audit_heads"].contains(head));
    let seals = |row: &Vec<Value>| row.contains(&Value::Integer(4096 + (1 << 30)));
    assert!(after["kms_key_versions"].iter().any(seals), "{:?}", after["kms_key_versions"]);
    for (table, rows) in &before {
        assert!(table == "kms_key_versions" || *rows == after[table], "{table}");
        assert_eq!(rows.len(), after[table].len());
    }
    // And a store that came out of a backup can be backed up.
    let (_kept, second) = (tempfile::tempdir().unwrap(), folder.path().join("again.backup"));
    backup::make(&config, &second, &Progress::default()).unwrap();
    verify(&config, &second).unwrap();
}

#[tokio::test]
async fn no_table_is_sorted_in_memory() {
    let world = World::new().await;
    let database = Connection::open(world.folder.path().join("coffer.db")).unwrap();
    for table in contents(world.folder.path()).keys() {
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = database.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
        let key = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk");
        let all = sql::all_rows(table, &columns, &texts(&key));
        let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {all}")).unwrap();
        let steps = plan.query_map([], |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{table}: {steps:?}");
    }
}

#[tokio::test]
async fn a_backup_with_any_byte_changed_or_cut_off_is_refused() {
    let world = World::new().await;
    let (_kept, file) = backed_up(&world);
    verify(&world.app.config, &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let head = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let (folder, config) = place(&world, &world.root);
    let open = File::options().write(true).open(&file).unwrap();
    let started = std::time::Instant::now();
    for (at, byte) in bytes.iter().enumerate() {
        // Every bit of what is in clear, one of the rest.
        let bits = if at < head + 6 { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            open.write_all_at(&[byte ^ (1 << bit)], at as u64).unwrap();
            let refused = verify(&config, &file).unwrap_err();
            assert!(!refused.is_empty(), "{at}");
        }
        if at % 997 == 0 || at % 97 == 0 && at < head + 6 {
            assert!(restore(&config, &file).await.is_err(), "{at}");
            assert_eq!(names(folder.path()), ["root.key"], "{at}");
        }
        open.write_all_at(&[*byte], at as u64).unwrap();
    }
    verify(&config, &file).unwrap();
    open.write_all_at(b"x", bytes.len() as u64).unwrap();
    assert!(verify(&config, &file).unwrap_err().contains("behind the end"));
    for length in (0..bytes.len()).rev() {
        open.set_len(length as u64).unwrap();
        assert!(verify(&config, &file).is_err(), "{length}");
        if length % 1999 == 0 {
            assert!(restore(&config, &file).await.is_err(), "{length}");
            assert_eq!(names(folder.path()), ["root.key"], "{length}");
        }
    }
    println!("{} bytes, each changed and cut off, in {:?}", bytes.len(), started.elapsed());
}

/// The head of a backup and its chunks.
fn parts(bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let (head, mut rest) = bytes.split_at(ends.take(2).last().unwrap() + 1);
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (chunk, behind) = rest.split_at(5 + length);
        chunks.push(chunk.to_vec());
        rest = behind;
    }
    (head.to_vec(), chunks)
}

#[tokio::test]
async fn chunks_cannot_be_left_out_doubled_moved_or_taken_from_elsewhere() {
    let world = World::new().await;
    let reason = "x".repeat(4000);
    world.sql(&format!("UPDATE audit_events SET reason = '{reason}'"));
    for _ in 0..100 {
        world.get(&world.owner, "/v1/me").expect(200).await;
    }
    world.sql(&format!("UPDATE audit_events SET reason = '{reason}'"));
    let (_kept, file) = backed_up(&world);
    let (_other, elsewhere) = backed_up(&world);
    let (head, chunks) = parts(&fs::read(&file).unwrap());
    let (other_head, others) = parts(&fs::read(&elsewhere).unwrap());
    assert!(chunks.len() > 4 && others.len() == chunks.len());
    let refused = |what: &str, head: &[u8], chunks: &[Vec<u8>]| {
        fs::write(&file, [head, &chunks.concat()].concat()).unwrap();
        let verified = verify(&world.app.config, &file);
        assert!(verified.is_err(), "{what}: {verified:?}");
    };
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = chunks.clone();
        change(&mut changed);
        changed
    };
    refused("left out", &head, &changed(&|all| drop(all.remove(1))));
    refused("the first", &head, &changed(&|all| drop(all.remove(0))));
    refused("the last", &head, &changed(&|all| drop(all.pop())));
    refused(
        "an end before the end",
        &head,
        &changed(&|all| {
            all.truncate(2);
            all[1][0] = 1;
        }),
    );
    refused("no end", &head, &changed(&|all| all.last_mut().unwrap()[0] = 0));
    refused("twice", &head, &changed(&|all| all.insert(2, all[1].clone())));
    refused("the last twice", &head, &changed(&|all| all.push(all.last().unwrap().clone())));
    refused("moved", &head, &changed(&|all| all.swap(1, 2)));
    refused("of another backup", &head, &changed(&|all| all[1] = others[1].clone()));
    refused("all of another backup", &head, &others);
    refused("the head of another backup", &other_head, &chunks);
    refused("none", &head, &[]);
    fs::write(&file, [head, chunks.concat()].concat()).unwrap();
    verify(&world.app.config, &file).unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let world = World::new().await;
    let (_kept, file) = backed_up(&world);
    let bytes = fs::read(&file).unwrap();
    let (folder, config) = place(&world, &world.root);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().nth(1).unwrap().to_owned();
    assert!(!line.contains(world.root.trim().split_once(':').unwrap().1), "no key in the head");
    let lines = |line: &str| format!("coffer-backup-1\n{line}\n").into_bytes();
    for (bytes, expected) in [
        (b"".to_vec(), "no backup of Coffer"),
        (b"SQLite format 3".to_vec(), "no backup of Coffer"),
        (vec![b'x'; 100_000], "no backup of Coffer"),
        (b"coffer-backup-2\n".to_vec(), "use a newer cofferd"),
        (b"coffer-backup-1\n{}\n".to_vec(), "head of the backup is damaged"),
        (lines(&line.replace("\"schema\":", "\"schema\":99")), "use a newer cofferd"),
        (lines(&line), "ends too early"),
        (lines(&line.replace("\"rootKeys\":[\"", "\"rootKeys\":[\"\u{1b}")), "is damaged"),
    ] {
        fs::write(&file, bytes).unwrap();
        let (told, again) = (verify(&config, &file), restore(&config, &file).await);
        assert!(told.as_ref().is_err_and(|told| told.contains(expected)), "{expected}: {told:?}");
        assert!(again.is_err_and(|told| told.contains(expected)), "{expected}");
        assert_eq!(names(folder.path()), ["root.key"]);
    }

    fs::write(&file, bytes).unwrap();
    let needed = world.app.keyring.fingerprint();
    put_root_key(folder.path(), &fresh_root());
    for told in [verify(&config, &file), restore(&config, &file).await] {
        let told = told.unwrap_err();
        for expected in ["needs root key", needed, "root.key (root key ", "root_keys"] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }
    fs::remove_file(folder.path().join("root.key")).unwrap();
    let told = restore(&config, &file).await.unwrap_err();
    assert!(told.contains(needed) && told.contains("root.key (nothing there)"), "{told}");
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn a_store_is_never_overwritten() {
    let world = World::new().await;
    let (_kept, file) = backed_up(&world);
    let (folder, config) = place(&world, &world.root);
    for name in ["coffer.db", "coffer.db-wal"] {
        fs::write(folder.path().join(name), "something").unwrap();
        let told = restore(&config, &file).await.unwrap_err();
        assert!(told.contains(name) && told.contains("never overwritten"), "{told}");
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"something");
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    restore(&config, &file).await.unwrap();
    assert!(restore(&config, &file).await.is_err());
    let told = backup::make(&world.app.config, &file, &Progress::default()).unwrap_err();
    assert!(format!("{told:#}").contains("is there already"), "{told:#}");
    verify(&config, &file).unwrap();
}

#[tokio::test]
async fn a_backup_under_two_root_keys_needs_both() {
    let mut world = World::new().await;
    world.secret("/kept", "hunter2").await;
    let (old, new) = (world.root.clone(), fresh_root());
    world.restart(&[&new, &old]).await.unwrap();
    let entries =
        "[[root_keys]]\ncustody = 'file'\nfile = 'new.key'\n[[root_keys]]\ncustody = 'file'";
    let text = format!("{entries}\n[[regions]]\nslug = 'nl-01'");
    let root_keys = Config::parse(&text, &[]).unwrap().root_keys;
    put_root_key(world.folder.path(), &new);
    fs::rename(world.folder.path().join("root.key"), world.folder.path().join("new.key")).unwrap();
    put_root_key(world.folder.path(), &old);
    let both = Config { root_keys: root_keys.clone(), ..world.app.config.clone() };
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("backup");
    let said = backup::make(&both, &file, &Progress::default()).unwrap();
    assert!(said.contains("which needs root keys "), "{said}");
    let (folder, config) = place(&world, &new);
    let told = restore(&config, &file).await.unwrap_err();
    assert!(told.contains("needs root key "), "{told}");
    put_root_key(folder.path(), &old);
    assert!(restore(&config, &file).await.is_err());
    fs::write(folder.path().join("new.key"), &new).unwrap();
    fs::set_permissions(folder.path().join("new.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = Config { root_keys, ..config };
    restore(&config, &file).await.unwrap();
    world.continue_with(open(config).await);
    let value = "/v1/secrets/nl-01/secret/kept/value";
    assert_eq!(text_of(&world.post(&world.owner, value).expect(200).await), "hunter2");
}

#[tokio::test]
async fn a_backup_of_the_first_schema_is_restored_and_migrated() {
    let mut world = World::new().await;
    world.secret("/kept", "hunter2").await;
    let (old, config) = place(&world, &world.root);
    rewritten(&world, &old.path().join("coffer.db"));
    let file = old.path().join("backup");
    backup::make(&config, &file, &Progress::default()).unwrap();
    assert!(String::from_utf8_lossy(&fs::read(&file).unwrap()).contains("\"schema\":1,"));
    let (_folder, config) = place(&world, &world.root);
    restore(&config, &file).await.unwrap();
    world.app.store.close();
    world.continue_with(open(config).await);
    let value = "/v1/secrets/nl-01/secret/kept/value";
    assert_eq!(text_of(&world.post(&world.owner, value).expect(200).await), "hunter2");
    let put = world.post(&world.owner, "/v1/secrets/nl-01/secret/kept/versions");
    put.json(json!({"secretString": base64("next")})).expect(200).await;
}
