//! Every statement runs on the real schema, keeps to one dialect and looks rows up by key.

use coffer_server::store::sql;
use rusqlite::Connection;

use crate::world::World;

/// The database of a world, opened beside the server.
async fn database() -> (World, Connection) {
    let world = World::new().await;
    let file = Connection::open(world.folder.path().join("coffer.db")).unwrap();
    (world, file)
}

/// The steps SQLite takes for a statement.
fn plan(database: &Connection, statement: &str) -> Vec<String> {
    let mut explained = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let nothing = vec![rusqlite::types::Null; explained.parameter_count()];
    let values = rusqlite::params_from_iter(nothing);
    let rows = explained.query_map(values, |row| row.get::<_, String>(3)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn every_statement_is_understood() {
    let (_world, database) = database().await;
    // Only PostgreSQL keeps the version of its schema in a table.
    database.execute_batch("CREATE TEMP TABLE schema_versions (version BIGINT)").unwrap();
    assert!(sql::ALL.len() > 50);
    for (name, statement) in sql::ALL {
        let explained = database.prepare(&format!("EXPLAIN {statement}"));
        assert!(explained.is_ok(), "{name}: {}", explained.err().unwrap());
    }
}

#[tokio::test]
async fn what_must_be_cheap_searches_and_never_scans() {
    let (_world, database) = database().await;
    assert!(plan(&database, sql::LIST_REGIONS)[0].contains("SCAN"), "a scan is told from a search");
    for wanted in [
        "LIST_SECRETS",
        "FIND_SECRET",
        "FIND_VALUE",
        "FIND_SECRET_TO_SEAL",
        "FIND_TOKEN",
        "FIND_CREDENTIAL",
        "FIND_CREDENTIAL_HOLDER",
        "FIND_FEDERATION_HOLDER",
        "FIND_PROVIDER_OF_ISSUER",
        "FIND_SIGNING_KEY",
        "LIST_FEDERATIONS_BETWEEN",
        "TOUCH_FEDERATION",
        "LIST_MOVED_HEADS",
        "FIND_HEAD",
        "FIND_BASE",
        "FIND_OLDEST_EVENT",
        "LIST_FIRST_OF_STREAM",
        "LIST_WAITING_STREAMS",
        "LIST_STREAMS_BEHIND",
        "LIST_RECORDS_BEHIND",
        "LIST_CHECKPOINTS_BEHIND",
        "FIND_SINK_POSITION",
        "LIST_RULES_OF",
        "FIND_KEY",
        "FIND_KEY_MATERIAL",
        "FIND_MEMBER_ROLE",
        "FIND_ORGANISATION",
        "FIND_PROJECT",
        "LIST_TEAMS_OF",
        "LIST_DUE_KEYS",
        "LIST_SPENT_KEYS",
        "LIST_PURGEABLE_KEYS",
        "FIND_ROTATION",
        "ADD_SEALS",
        "USE_QUOTA",
        "COUNT_VERSIONS",
        "FIND_ADMINISTRATOR",
        "FIND_INVITE",
        "FIND_KEPT_ANSWER",
        "DELETE_KEPT_ANSWER",
        "LIST_EXPIRED_ANSWERS",
    ] {
        let statement = sql::ALL.iter().find(|(name, _)| *name == wanted).unwrap().1;
        let steps = plan(&database, statement);
        assert!(steps.iter().any(|step| step.contains("SEARCH")), "{wanted}: {steps:#?}");
        // `bound` is what the statement itself has just collected: the caller's own bindings.
        let scans = |step: &&String| step.contains("SCAN") && !step.contains("SCAN bound");
        assert_eq!(steps.iter().find(scans), None, "{wanted}: {steps:#?}");
    }
}

#[tokio::test]
async fn a_list_of_secrets_comes_in_the_order_of_its_index() {
    let (_world, database) = database().await;
    let steps = plan(&database, sql::LIST_SECRETS);
    assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:#?}");
    assert!(steps.iter().any(|step| step.contains("path>? AND path<?")), "{steps:#?}");
}

/// The words of a statement, in upper case, without what stands in quotes.
fn words(statement: &str) -> Vec<String> {
    let bare: String = statement.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    let words = bare.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty()).map(str::to_uppercase).collect()
}

#[test]
fn no_statement_needs_one_database() {
    const WORDS: [&str; 26] = [
        "LIKE",
        "ILIKE",
        "GLOB",
        "REGEXP",
        "BOOLEAN",
        "AUTOINCREMENT",
        "SERIAL",
        "TRIGGER",
        "SEQUENCE",
        "LISTEN",
        "NOTIFY",
        "ARRAY",
        "ENUM",
        "JSON_EACH",
        "JSON_EXTRACT",
        "IFNULL",
        "GROUP_CONCAT",
        "STRFTIME",
        "DATETIME",
        "NOW",
        "CURRENT_TIMESTAMP",
        "ROWID",
        "PRAGMA",
        "BLOB",
        "IGNORE",
        "TRUE",
    ];
    const SIGNS: [&str; 7] = ["->", "::", "?", "@", "~", "\"", "`"];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut texts: Vec<(String, String)> =
        sql::ALL.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(|line| line.split("--").next().unwrap());
        texts.push((file.display().to_string(), lines.collect::<Vec<_>>().join("\n")));
    }
    assert!(texts.len() > sql::ALL.len());
    for (name, text) in &texts {
        let words = words(text);
        for forbidden in WORDS {
            assert!(!words.iter().any(|word| word == forbidden), "{name} uses {forbidden}");
        }
        for forbidden in SIGNS {
            assert!(!text.contains(forbidden), "{name} uses {forbidden}");
        }
    }
}

#[test]
fn a_tenants_rows_are_reached_through_the_organisation() {
    const TABLES: [&str; 26] = [
        "kept_answers",
        "kept_answer_room",
        "quotas",
        "quota_increase_requests",
        "invites",
        "projects",
        "members",
        "teams",
        "team_members",
        "roles",
        "role_rules",
        "role_bindings",
        "kms_keys",
        "kms_key_versions",
        "secrets",
        "secret_versions",
        "last_accesses",
        "ended_versions",
        "audit_events",
        "audit_heads",
        "audit_bases",
        "audit_checkpoints",
        "audit_checkpoint_heads",
        "audit_sink_positions",
        "identity_providers",
        "federated_identities",
    ];
    // A person's own memberships; what the clock and the root key look for in every organisation; when something of
    // an identity that nobody else has was last used; what administrators decide for any; an invite by its code; what a
    // restore does to all keys; where the chains of the log begin and end, and what waits for a sink.
    const EXCEPTIONS: [&str; 18] = [
        "LIST_EXPIRED_ANSWERS",
        "ADD_LOST_SEALS",
        "LIST_ALL_INCREASES",
        "FIND_INCREASE",
        "FIND_INVITE",
        "LIST_MEMBERSHIPS",
        "LIST_DUE_KEYS",
        "LIST_SPENT_KEYS",
        "LIST_PURGEABLE_KEYS",
        "LIST_FOREIGN_VERSIONS",
        "COUNT_FOREIGN",
        "LIST_ROOT_KEYS",
        "TOUCH_FEDERATION",
        "COUNT_UNLINKED",
        "LIST_MOVED_CHAINS",
        "LIST_CHAINED_ORGANISATIONS",
        "LIST_WAITING_STREAMS",
        "LIST_STREAMS_BEHIND",
    ];
    for (name, statement) in sql::ALL.iter().filter(|(name, _)| !EXCEPTIONS.contains(name)) {
        let of_a_tenant = words(statement).windows(2).any(|pair| {
            ["FROM", "JOIN", "INTO", "UPDATE"].contains(&pair[0].as_str())
                && TABLES.iter().any(|table| pair[1].eq_ignore_ascii_case(table))
        });
        let bound = statement.contains("organisation_id = $1")
            || (statement.starts_with("INSERT") && statement.contains("(organisation_id,"));
        assert!(bound || !of_a_tenant, "{name} reaches past the organisation");
    }
}
