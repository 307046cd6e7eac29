//! How far it is, on a terminal; and being told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Result, bail};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// Rows between two looks.
const ROWS_AT_ONCE: u64 = 1024;

/// Shared by whoever works and whoever may stop the work.
pub struct Progress {
    bar: ProgressBar,
    rows: AtomicU64,
    stopped: AtomicBool,
}

impl Default for Progress {
    /// Shown where stderr is a terminal.
    fn default() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {msg}: {human_pos} rows, {elapsed}")
        {
            bar.set_style(style);
        }
        Self { bar, rows: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }
}

impl Progress {
    /// What is done from here on.
    pub fn begin(&self, what: &'static str) {
        self.rows.store(0, Ordering::Relaxed);
        self.bar.set_message(what);
        self.bar.set_position(0);
    }

    /// One more row is done. An error once it was stopped.
    pub fn row(&self) -> Result<()> {
        let rows = self.rows.fetch_add(1, Ordering::Relaxed) + 1;
        if rows.is_multiple_of(ROWS_AT_ONCE) {
            self.bar.set_position(rows);
        }
        self.check()
    }

    /// An error once it was stopped.
    pub fn check(&self) -> Result<()> {
        match self.stopped.load(Ordering::Relaxed) {
            true => bail!("stopped"),
            false => Ok(()),
        }
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Leaves the terminal as it was: `12,345 rows, 3.2 MiB, 2.1 s`.
    pub fn finish(&self, rows: u64, bytes: u64) -> String {
        self.bar.finish_and_clear();
        let (rows, bytes) = (HumanCount(rows), HumanBytes(bytes));
        format!("{rows} rows, {bytes}, {:.1} s", self.bar.elapsed().as_secs_f64())
    }
}
