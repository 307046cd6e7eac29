//! What becomes of a change when the database fails at any of its statements: all of it is there or nothing is, and
//! whoever was told that it is done finds it.

use std::collections::{BTreeMap, BTreeSet};

use coffer_server::audit;
use coffer_server::error::Result;
use coffer_server::kms::{purge, rotate};
use coffer_server::model::action::Action;
use coffer_server::model::identity::MemberRole;
use coffer_server::platform::{self, administrators, restore};
use coffer_server::store::Fault;
use serde_json::json;
use tokio_postgres::SimpleQueryMessage;

use crate::calls::{Call, Target, UNATTENDED, all_calls, target};
use crate::idempotency::posts_that_change;
use crate::world::{Person, World};

/// Rows that were there before and are not any more, and the other way, by table.
pub type Difference = BTreeMap<String, [usize; 2]>;

/// Looks at all that a change may touch, in one question.
pub struct Eye {
    sql: String,
    /// To a server, kept open: to connect takes longer than to look.
    client: Option<tokio_postgres::Client>,
}

impl Eye {
    pub async fn new(world: &World) -> Self {
        let (quote, schema) = match world.is_embedded() {
            true => ("quote", "FROM pragma_table_info('TABLE')"),
            false => (
                "quote_nullable",
                "FROM information_schema.columns WHERE table_schema = current_schema() \
                 AND table_name = 'TABLE'",
            ),
        };
        let name = if world.is_embedded() { "name" } else { "column_name" };
        let tables = world.tables().into_iter().map(|table| {
            let columns = match table.as_str() {
                // Counts that servers tell each other by.
                "changes" => return "SELECT 'changes'".to_owned(),
                // They move with the records, and another one begins where nobody knows whether it did.
                "audit_heads" => return "SELECT 'audit_heads'".to_owned(),
                // Which slot a writer counts in is its own affair.
                "quota_counts" => {
                    return "SELECT 'quota_counts ' || organisation_id || name || SUM(used) \
                            FROM quota_counts GROUP BY organisation_id, name"
                        .to_owned();
                }
                // Of the records those that say that something was done.
                "audit_events" => {
                    return "SELECT 'audit_events ' || event_id || action FROM audit_events \
                            WHERE outcome IN ('ok', 'created', 'done', 'unchanged')"
                        .to_owned();
                }
                _ => world.select(&format!("SELECT {name} {}", schema.replace("TABLE", &table))),
            };
            // Seals are counted ahead of the change that they are for, and never counted back.
            let counted = |column: &String| table != "kms_key_versions" || column != "seals";
            let columns = columns.into_iter().flatten().filter(counted);
            let columns: Vec<_> = columns.map(|column| format!("{quote}({column})")).collect();
            format!("SELECT '{table} ' || {} FROM {table}", columns.join(" || ',' || "))
        });
        let sql = tables.collect::<Vec<_>>().join(" UNION ALL ");
        let Some(url) = &world.app.config.store.url else { return Self { sql, client: None } };
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { sql, client: Some(client) }
    }

    pub async fn look(&self, world: &World) -> BTreeSet<String> {
        let Some(client) = &self.client else {
            return world.select(&self.sql).into_iter().flatten().collect();
        };
        let found = client.simple_query(&self.sql).await.unwrap();
        let rows = found.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        rows.collect()
    }

    pub async fn difference(&self, world: &World, before: &BTreeSet<String>) -> Difference {
        let after = self.look(world).await;
        let mut found = Difference::new();
        for (at, rows) in
            [before.difference(&after), after.difference(before)].into_iter().enumerate()
        {
            for row in rows {
                let table = row.split(' ').next().unwrap().to_owned();
                found.entry(table).or_default()[at] += 1;
            }
        }
        found
    }
}

/// Something that changes what is stored.
enum Change {
    Called(Call),
    /// Made by the clock or by the operator, by the name of its action.
    Unattended(&'static str),
}

/// Every action that changes something, once.
fn changes() -> Vec<Change> {
    let mut known = BTreeSet::new();
    let changes_state =
        |name: &str| Action::ALL.iter().any(|a| a.rule().name == name && a.changes_state());
    let called = all_calls().into_iter().filter(|call| {
        changes_state(call.action) && call.action != "auth.failure" && known.insert(call.action)
    });
    let mut all: Vec<_> = called.map(Change::Called).collect();
    all.extend(UNATTENDED.map(Change::Unattended));
    all
}

#[test]
fn every_change_is_tried_here() {
    let changes = changes();
    let tried: BTreeSet<_> = changes.iter().map(Change::action).collect();
    let elsewhere = ["auth.failure", "platform.root-key.rotate"];
    let all = Action::ALL.iter().filter(|action| action.changes_state());
    let all = all.map(|action| action.rule().name).filter(|name| !elsewhere.contains(name));
    assert_eq!(tried, all.collect());
    assert_eq!(tried.len(), changes.len());
}

/// All that a change needs to be made, more than once.
struct Ready {
    by: Person,
    target: Target,
    url: String,
    key: String,
}

/// What whoever asked for a change was told.
struct Told {
    done: bool,
    text: String,
    is_replay: bool,
}

impl Change {
    fn action(&self) -> &'static str {
        match self {
            Self::Called(call) => call.action,
            Self::Unattended(action) => action,
        }
    }

    fn takes_key(&self) -> bool {
        matches!(self, Self::Called(call) if posts_that_change().contains(call.action))
    }

    async fn ready(&self, world: &World, administrator: &Person) -> Ready {
        let by = match self.action() {
            // Whoever accepts is no member yet.
            "iam.invite.accept" => world.member(&world.globex.id, MemberRole::Member).await,
            name if name.starts_with("platform.") => administrator.clone(),
            _ => world.owner.clone(),
        };
        let mut target = match self {
            Self::Unattended(name) if !name.starts_with("kms.") => Target::default(),
            _ => target(world, self.action(), &by).await,
        };
        let key = &target.key;
        match self.action() {
            "kms.purge" => {
                let url = format!("/v1/kms/nl-01/keys/{key}");
                world.delete(&world.owner, &url).expect(200).await;
                world.sql(&format!(
                    "UPDATE kms_keys SET deletion_scheduled_at = 0 WHERE key_id = '{key}'"
                ));
            }
            "kms.rotate.scheduled" => {
                let url = format!("/v1/kms/nl-01/keys/{key}/rotation");
                let on = json!({"keyRotationEnabled": true, "rotationPeriodInDays": 90});
                world.patch(&world.owner, &url).json(on).expect(200).await;
                world.sql(&format!(
                    "UPDATE kms_key_versions SET created_at = 0 WHERE key_id = '{key}'"
                ));
            }
            "audit.expire" => {
                let acme = &world.acme.id;
                for sql in [
                    format!("DELETE FROM audit_bases WHERE organisation_id = '{acme}'"),
                    format!("INSERT INTO audit_bases SELECT '{acme}', -1, 9, link, seal FROM audit_heads LIMIT 1"),
                    format!(
                        "INSERT INTO audit_events VALUES ('{acme}', 1, '{}', '', '', '', 'auth.failure', 'caller',
                             '', 'ok', '', '', '', '', '', '', '', '', 0, NULL, NULL, NULL)",
                        world.fresh_id("ev-")
                    ),
                ] {
                    world.sql(&sql);
                }
            }
            "platform.administrator.delete" => {
                target.fresh = world.administrator().await.subject;
            }
            "platform.bootstrap" => {
                target.fresh = world.fresh_id("");
                world.sql("PRAGMA foreign_keys = OFF; DELETE FROM organisations");
            }
            _ => {}
        }
        let url = match self {
            Self::Called(call) => call.url(&target),
            Self::Unattended(_) => String::new(),
        };
        Ready { by, target, url, key: world.fresh_id("") }
    }

    async fn make(&self, world: &World, ready: &Ready) -> Told {
        let Self::Called(call) = self else {
            let done = self.make_unattended(world, &ready.target).await;
            let text = format!("{done:?}");
            return Told { done: done.is_ok_and(|done| done), text, is_replay: false };
        };
        let mut asking = world.ask(call.method, &ready.by, &ready.url);
        if self.takes_key() {
            asking = asking.header("idempotency-key", &ready.key);
        }
        let answer = call.send(asking, &ready.target).await;
        let done = answer.status < 300;
        let text = format!("{} {}", answer.status, answer.text);
        assert!(done || [500, 503].contains(&answer.status), "{}: {text}", call.action);
        Told { done, text, is_replay: answer.header("idempotency-replayed") == "true" }
    }

    /// Whether it was done. What the clock does tells its failures to the log alone.
    async fn make_unattended(&self, world: &World, target: &Target) -> Result<bool> {
        let app = &world.app;
        let done = match self.action() {
            "audit.expire" => audit::expire(app).await? == 1,
            "kms.purge" => purge::purge_due(app).await? == 1,
            "kms.rotate.scheduled" => rotate::rotate_due(app).await? == 1,
            "platform.administrator.create" => administrators::create(app, "x", None).await.is_ok(),
            "platform.administrator.delete" => {
                administrators::delete(app, &target.fresh).await.map(|()| true)?
            }
            "platform.bootstrap" => {
                let founding = platform::Founding {
                    organisation: "first".to_owned(),
                    owner_email: format!("{}@example.invalid", target.fresh),
                };
                platform::found(app, &founding).await.is_ok()
            }
            "platform.owner-token" => platform::mint_owner_token(app, "acme").await.is_ok(),
            "platform.restore" => restore::settle(app, "then").await.map(|()| true)?,
            other => panic!("{other} is made by nobody"),
        };
        Ok(done)
    }
}

/// One change in a world, over and over.
struct Trial<'w> {
    world: &'w World,
    eye: &'w Eye,
    administrator: &'w Person,
    change: &'w Change,
    fault: Fault,
}

impl Trial<'_> {
    /// Lets each statement of the change fail until it goes well: how often it was tried.
    async fn run(&self) -> usize {
        let (world, change, about) = (self.world, self.change, self.change.action());
        let faults = world.app.store.faults();
        let mut usual = Difference::new();
        // The first makes what is made once for all, such as a counter.
        for _ in 0..2 {
            let ready = change.ready(world, self.administrator).await;
            let before = self.eye.look(world).await;
            let told = change.make(world, &ready).await;
            assert!(told.done, "{about}: {}", told.text);
            usual = self.eye.difference(world, &before).await;
        }
        let (mut unheard, mut ready) = (0, change.ready(world, self.administrator).await);
        let mut before = self.eye.look(world).await;
        for nth in 1.. {
            let about = format!("{about}, {:?} at {nth}", self.fault);
            faults.arm(self.fault, nth);
            let told = change.make(world, &ready).await;
            let happened = faults.disarm();
            let made = self.eye.difference(world, &before).await;
            // What was asked for again after it had been done unheard.
            assert!(!told.is_replay, "{about}");
            match told.done {
                true => assert_eq!(made, usual, "{about}: {}", told.text),
                false if self.fault == Fault::LoseAnswer && !made.is_empty() => {
                    assert_eq!(made, usual, "{about}: {}", told.text);
                    unheard += 1;
                }
                false => assert_eq!(made, Difference::new(), "{about}: {}", told.text),
            }
            if told.done || !made.is_empty() {
                self.ask_again(&ready, &about).await;
            }
            if !happened {
                assert!(told.done, "{about}: {}", told.text);
                assert!(nth > 1, "{about}: nothing has failed");
                assert!(self.fault != Fault::LoseAnswer || unheard == 1, "{about}: {unheard}");
                return nth - 1;
            }
            if told.done {
                // Where a connection is lost, another one does it.
                assert!(self.fault == Fault::Lose && !world.is_embedded(), "{about}");
            }
            if told.done || !made.is_empty() {
                ready = change.ready(world, self.administrator).await;
                before = self.eye.look(world).await;
            }
        }
        unreachable!()
    }

    /// Whoever asks again with the same key is answered as before, and nothing is done again.
    async fn ask_again(&self, ready: &Ready, about: &str) {
        if !self.change.takes_key() {
            return;
        }
        let before = self.eye.look(self.world).await;
        let again = self.change.make(self.world, ready).await;
        assert!(again.done && again.is_replay, "{about}: {}", again.text);
        let made = self.eye.difference(self.world, &before).await;
        let tables: Vec<_> = made.keys().collect();
        assert_eq!(tables, ["audit_events"], "{about}");
    }
}

/// Tries every `of`th change.
async fn try_all(fault: Fault, part: usize, of: usize) {
    let world = World::new().await;
    let (eye, administrator) = (Eye::new(&world).await, world.administrator().await);
    let (mut tried, mut statements) = (0, 0);
    for change in changes().iter().skip(part).step_by(of) {
        let (world, eye, administrator) = (&world, &eye, &administrator);
        if change.action() == "platform.bootstrap" {
            // It needs a store without any organisation.
            let world = World::new().await;
            let (eye, administrator) = (&Eye::new(&world).await, &world.administrator().await);
            let trial = Trial { world: &world, eye, administrator, change, fault };
            statements += trial.run().await;
        } else {
            statements += Trial { world, eye, administrator, change, fault }.run().await;
        }
        tried += 1;
    }
    println!("{fault:?}, part {part} of {of}: {tried} changes, {statements} faults");
}

#[tokio::test]
async fn a_change_is_refused_at_each_statement() {
    try_all(Fault::Refuse, 0, 2).await;
}

#[tokio::test]
async fn every_other_change_is_refused_at_each_statement() {
    try_all(Fault::Refuse, 1, 2).await;
}

#[tokio::test]
async fn the_database_is_lost_at_each_statement_of_a_change() {
    try_all(Fault::Lose, 0, 2).await;
}

#[tokio::test]
async fn the_database_is_lost_at_each_statement_of_every_other_change() {
    try_all(Fault::Lose, 1, 2).await;
}

#[tokio::test]
async fn what_was_committed_unheard_is_done_once() {
    try_all(Fault::LoseAnswer, 0, 1).await;
}
