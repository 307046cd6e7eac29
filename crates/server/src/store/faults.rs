//! Faults that tests have the store suffer. Only with the feature of that name, which no server is built with.

use std::sync::Mutex;

use super::postgres::Postgres;
use crate::error::Result;

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The database refuses it.
    Refuse,
    /// The connection is lost ahead of it; the embedded store gives its transaction up, as when the disk is full.
    Lose,
    /// A commit is done, and nobody hears of it.
    LoseAnswer,
}

/// Which statement is to fail: of the transactions that write, and of nothing else.
#[derive(Default)]
pub struct Faults(Mutex<Option<Armed>>);

struct Armed {
    fault: Fault,
    /// Statements that go well before.
    ahead: usize,
}

impl Faults {
    /// Has the `nth` statement from now on fail, or the `nth` commit where its answer is what is lost. Nothing fails
    /// behind it.
    pub fn arm(&self, fault: Fault, nth: usize) {
        self.set(Some(Armed { fault, ahead: nth.saturating_sub(1) }));
    }

    /// Lets everything go well again. Whether the fault has happened.
    pub fn disarm(&self) -> bool {
        self.set(None).is_none()
    }

    fn set(&self, armed: Option<Armed>) -> Option<Armed> {
        self.0.lock().ok().and_then(|mut known| std::mem::replace(&mut *known, armed))
    }

    /// What is to become of a statement that is about to run.
    pub(super) fn next(&self, sql: &str) -> Option<Fault> {
        let mut known = self.0.lock().ok()?;
        let armed = known.as_mut()?;
        if armed.fault == Fault::LoseAnswer && sql != "COMMIT" {
            return None;
        }
        match armed.ahead.checked_sub(1) {
            Some(ahead) => {
                armed.ahead = ahead;
                None
            }
            None => known.take().map(|armed| armed.fault),
        }
    }

    /// What a server is sent in the place of a statement about the transaction: it fails there as it would in earnest.
    fn instead(&self, sql: &'static str) -> &'static str {
        match self.next(sql) {
            None => sql,
            Some(Fault::Refuse) => "DO $$ BEGIN RAISE 'refused' USING ERRCODE = 'io_error'; END $$",
            Some(Fault::Lose) => LOSE,
            Some(Fault::LoseAnswer) => COMMIT_AND_LOSE,
        }
    }
}

impl Postgres {
    pub(super) fn instead(&self, sql: &'static str) -> &'static str {
        self.faults.get().map_or(sql, |faults| faults.instead(sql))
    }

    /// Where a test wants a statement to fail, it comes behind something that does.
    pub(super) fn suffer(&mut self) -> Result<()> {
        match self.instead("") {
            "" => Ok(()),
            fault => {
                let client = self.client()?;
                self.send(async move { client.batch_execute(fault).await.map(Ok) })
            }
        }
    }
}

const LOSE: &str =
    "DO $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END $$";
const COMMIT_AND_LOSE: &str = "COMMIT;
    DO $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END $$";
