//! The floor of a put on SQLite: one loop that commits so many puts at once, or one.

use std::time::Instant;

use anyhow::{Context, Result};
use coffer_server::store::{Value, sql};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Rows, Statement};

use crate::bare::{Put, Puts, Scope, Times, own_cpu, tell};
use crate::options::{Floor, Options};

pub fn run(options: &Options) -> Result<()> {
    let connection = connect(&options.database)?;
    let found = connection.query_row(Scope::FIND, [], |row| {
        let length = |at| row.get::<_, u32>(at).map(|length| length as usize);
        Ok(Scope {
            organisation: row.get(0)?,
            region: row.get(1)?,
            key: row.get(2)?,
            lengths: [length(3)?, length(4)?],
            latest: 0,
        })
    })?;
    let latest = connection.query_row(Scope::LATEST, [&found.organisation], |row| row.get(0))?;
    let scope = Scope { latest, ..found };
    let secrets = *options.secrets.first().context("how many secrets?")?;
    let (mut puts, mut statements) =
        (Puts::new(&scope, secrets, (0, 1)), Statements::of(&connection)?);
    let together = (options.floor == Some(Floor::Sqlite)).then_some(options.batch);
    let times = Times::begin(options);
    let (mut micros, mut cpu) = (Vec::new(), None);
    while !times.is_over() {
        if times.is_warm() && cpu.is_none() {
            cpu = Some(own_cpu()?);
        }
        let began = Instant::now();
        statements.begin.raw_execute()?;
        let mut last = puts.draw();
        match together {
            None => statements.put(&last)?,
            Some(batch) => {
                for nth in 0..batch {
                    if nth > 0 {
                        last = puts.draw();
                    }
                    statements.savepoint.raw_execute()?;
                    statements.put(&last)?;
                    statements.release.raw_execute()?;
                }
            }
        }
        statements.set_head.change(&last.head())?;
        statements.commit.raw_execute()?;
        if cpu.is_some() {
            let took = u32::try_from(began.elapsed().as_micros())?;
            micros.extend(std::iter::repeat_n(took, together.unwrap_or(1)));
        }
    }
    tell(micros, options, own_cpu()?.saturating_sub(cpu.unwrap_or_default()), 0);
    Ok(())
}

/// A connection set up as the server's.
fn connect(file: &str) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// What is run again and again, prepared once.
struct Statements<'c> {
    begin: Statement<'c>,
    savepoint: Statement<'c>,
    release: Statement<'c>,
    commit: Statement<'c>,
    find_secret: Bound<'c>,
    insert_version: Bound<'c>,
    use_quota: Bound<'c>,
    set_latest: Bound<'c>,
    insert_event: Bound<'c>,
    set_head: Bound<'c>,
}

impl<'c> Statements<'c> {
    fn of(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            savepoint: connection.prepare("SAVEPOINT operation")?,
            release: connection.prepare("RELEASE operation")?,
            commit: connection.prepare("COMMIT")?,
            find_secret: Bound::new(connection, sql::FIND_SECRET_TO_SEAL)?,
            insert_version: Bound::new(connection, sql::INSERT_SECRET_VERSION)?,
            use_quota: Bound::new(connection, sql::USE_QUOTA)?,
            set_latest: Bound::new(connection, sql::SET_LATEST_VERSION)?,
            insert_event: Bound::new(connection, sql::INSERT_EVENT)?,
            set_head: Bound::new(connection, sql::SET_HEAD)?,
        })
    }

    fn put(&mut self, put: &Put<'_>) -> Result<()> {
        let (secret, version) = {
            let mut rows = self.find_secret.query(&put.secret())?;
            let row = rows.next()?.context("no such secret")?;
            (row.get::<_, String>("secret_id")?, row.get::<_, i64>("latest_version")? + 1)
        };
        self.insert_version.change(&put.version(&secret, version))?;
        self.use_quota.query(&put.quota())?.next()?.context("no such quota")?;
        self.set_latest.change(&put.latest(&secret, version))?;
        for event in put.events() {
            self.insert_event.change(&event)?;
        }
        Ok(())
    }
}

/// A statement, and which value each of its parameters takes: SQLite numbers them by first appearance.
struct Bound<'c> {
    statement: Statement<'c>,
    order: Vec<usize>,
}

impl<'c> Bound<'c> {
    fn new(connection: &'c Connection, sql: &str) -> Result<Self> {
        let statement = connection.prepare(sql)?;
        let number = |index| {
            let name = statement.parameter_name(index).context("a parameter without a name")?;
            Ok(name.trim_start_matches('$').parse::<usize>()? - 1)
        };
        let order = (1..=statement.parameter_count()).map(number).collect::<Result<_>>()?;
        Ok(Self { statement, order })
    }

    fn bind(&mut self, values: &[Value<'_>]) -> Result<()> {
        for (index, at) in self.order.iter().enumerate() {
            let value = values.get(*at).context("a parameter without a value")?;
            self.statement.raw_bind_parameter(index + 1, value)?;
        }
        Ok(())
    }

    fn query(&mut self, values: &[Value<'_>]) -> Result<Rows<'_>> {
        self.bind(values)?;
        Ok(self.statement.raw_query())
    }

    fn change(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.bind(values)?;
        anyhow::ensure!(self.statement.raw_execute()? == 1, "not one row");
        Ok(())
    }
}
