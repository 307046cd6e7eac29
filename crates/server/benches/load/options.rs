//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Puts load on a server of its own and prints what it bears, beside the floors.
#[derive(Parser, Clone)]
#[command(name = "load")]
pub struct Options {
    /// How many secrets the store has; may stand more than once.
    #[arg(long, default_values_t = [1000])]
    pub secrets: Vec<usize>,
    /// Seconds that each line is measured.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 2.0)]
    pub warm: f64,
    /// `sqlite`, `postgres` (a cluster of its own), `postgres=URL` of an empty database, or `both`.
    #[arg(long, default_value = "sqlite")]
    pub store: String,
    /// Lines to measure, comma-separated; all when absent.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Puts in one commit of the bare loop on SQLite.
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Where the stores are; default: the system's temporary folder.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Says when lines begin, and waits that long before each, for a profiler.
    #[arg(long, default_value_t = 0.0)]
    pub pause: f64,
    /// What cargo passes.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Runs a floor, in a process of its own.
    #[arg(long, hide = true)]
    pub floor: Option<Floor>,
    /// The database of a floor: a file or a URL.
    #[arg(long, hide = true, default_value = "")]
    pub database: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Floor {
    Fixed,
    Sqlite,
    SqliteSingle,
    Postgres,
    PostgresSteps,
}

impl Options {
    pub fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub fn warm(&self) -> Duration {
        Duration::from_secs_f64(self.warm)
    }

    /// Whether a line is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}
