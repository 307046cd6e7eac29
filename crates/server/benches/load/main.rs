//! Load on a real server, beside the floors that it stands on: the tables of `docs/performance.md`.
//!
//! `cargo bench -p coffer-server --bench load -- --help`

#![expect(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "a bench prints")]

mod asks;
mod bare;
mod bare_postgres;
mod bare_sqlite;
mod client;
mod cluster;
mod figures;
mod fixed;
mod interrupt;
mod options;
mod process;
mod report;
mod run;
mod setup;

use anyhow::Result;
use clap::Parser;

use options::{Floor, Options};

/// As the server has it: the floors must not be slower for the want of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    // `cargo bench` says `--bench`; `cargo test --all-targets` does not, and then there is nothing to test.
    if !std::env::args().any(|argument| argument == "--bench" || argument == "--floor") {
        println!("no load without `cargo bench -p coffer-server --bench load`");
        return Ok(());
    }
    let options = Options::parse();
    let Some(floor) = options.floor else { return interrupt::during(|| run::run(&options)) };
    std::thread::scope(|scope| {
        bare::end_with_parent(scope);
        let done = match floor {
            Floor::Fixed => fixed::run(),
            Floor::Sqlite | Floor::SqliteSingle => bare_sqlite::run(&options),
            Floor::Postgres | Floor::PostgresSteps => bare_postgres::run(&options),
        };
        // The thread that waits for the end of the input would keep this one.
        let Err(error) = done else { std::process::exit(0) };
        eprintln!("{error:#}");
        std::process::exit(1)
    })
}
