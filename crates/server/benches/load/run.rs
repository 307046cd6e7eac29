//! One run: for each store and each number of secrets the lines of a table, the floors among them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::asks::{Asks, Kind, World};
use crate::bare;
use crate::client::Load;
use crate::cluster::Cluster;
use crate::figures::{Line, Measured};
use crate::options::Options;
use crate::process::Server;
use crate::{report, setup};

/// The line that others are told in parts of.
pub const FIXED: &str = "fixed body (floor)";
pub const BARE: &str = "bare loop (floor of put)";
pub const SINGLE: &str = "bare loop, one transaction each";

/// Each floor of a put: its line and its hidden name.
const BARE_SQLITE: [(&str, &str); 2] = [(BARE, "sqlite"), (SINGLE, "sqlite-single")];
const BARE_POSTGRES: [(&str, &str); 2] =
    [(BARE, "postgres"), ("bare loop, a wait for each statement", "postgres-steps")];

pub fn run(options: &Options) -> Result<()> {
    let within = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let mut all = Vec::new();
    for store in stores(&options.store)? {
        let database = match store {
            Wanted::Sqlite => Database::Sqlite,
            Wanted::Postgres(Some(url)) => Database::Given(url),
            Wanted::Postgres(None) => Database::Own(Cluster::start(&within)?),
        };
        for secrets in &options.secrets {
            let measured = Run::new(options, &database, *secrets, &within)?.measure(&database)?;
            report::print_lines(&measured, options);
            all.push(measured);
        }
    }
    report::print_targets(&all);
    Ok(())
}

enum Wanted {
    Sqlite,
    Postgres(Option<String>),
}

fn stores(text: &str) -> Result<Vec<Wanted>> {
    Ok(match text.split_once('=') {
        None if text == "sqlite" => vec![Wanted::Sqlite],
        None if text == "postgres" => vec![Wanted::Postgres(None)],
        None if text == "both" => vec![Wanted::Sqlite, Wanted::Postgres(None)],
        Some(("postgres", url)) => vec![Wanted::Postgres(Some(url.to_owned()))],
        _ => bail!("`--store` is `sqlite`, `postgres`, `postgres=URL` or `both`"),
    })
}

enum Database {
    Sqlite,
    /// Somebody's own, used as it is.
    Given(String),
    Own(Cluster),
}

/// A server with its secrets, and what its floors run on.
struct Run<'o> {
    options: &'o Options,
    secrets: usize,
    server: Server,
    world: Arc<World>,
    load: Load,
    loaded: Duration,
    /// MiB at most, while it was loaded.
    peak: f64,
    /// Where the bare loops run: a copy, where there can be one.
    bare: String,
    _folder: TempDir,
}

impl<'o> Run<'o> {
    fn new(
        options: &'o Options,
        database: &Database,
        secrets: usize,
        within: &Path,
    ) -> Result<Self> {
        let folder = tempfile::tempdir_in(within)?;
        let url = match database {
            Database::Sqlite => None,
            Database::Given(url) => Some(url.clone()),
            Database::Own(cluster) => Some(cluster.database("coffer", "template0")?),
        };
        let store = setup::Store::make(folder.path(), url.as_deref())?;
        let server = Server::cofferd(&store.config)?;
        let world = store.people(&server, secrets)?;
        let load = Load {
            address: server.address,
            connections: options.connections,
            threads: options.threads,
            warm: options.warm(),
            measured: Some(options.seconds()),
        };
        let loaded = setup::fill(&world, &load)?;
        let peak = server.process.usage()?.peak;
        server.process.stop()?;
        let bare = match database {
            Database::Sqlite => copy(&store.data, folder.path())?,
            Database::Given(url) => url.clone(),
            Database::Own(cluster) => cluster.database("bare", "coffer")?,
        };
        let server = Server::cofferd(&store.config)?;
        let load = Load { address: server.address, ..load };
        Ok(Self { options, secrets, server, world, load, loaded, peak, bare, _folder: folder })
    }

    fn measure(self, database: &Database) -> Result<Measured> {
        let mut lines = Vec::new();
        let mut floor = Command::new(std::env::current_exe()?);
        let floor = Server::listening(floor.args(["--floor", "fixed"]))?;
        lines.push(self.line(&floor, Kind::Reveal, FIXED)?);
        drop(floor);
        for (kind, name) in Kind::MEASURED {
            if self.options.wants(name) {
                lines.push(self.line(&self.server, kind, name)?);
            }
        }
        let (store, floors): (_, &[_]) = match database {
            Database::Sqlite => ("SQLite", &BARE_SQLITE),
            Database::Given(_) | Database::Own(_) => ("PostgreSQL", &BARE_POSTGRES),
        };
        for (name, floor) in floors.iter().filter(|_| self.options.wants("put")) {
            lines.push(bare::run(name, floor, &self.bare, self.secrets, self.options)?);
        }
        let peak = self.server.process.usage()?.peak.max(self.peak);
        let start = self.server.start;
        self.server.process.stop()?;
        if let Database::Own(cluster) = database {
            cluster.drop_database("bare")?;
            cluster.drop_database("coffer")?;
        }
        Ok(Measured { store, secrets: self.secrets, loaded: self.loaded, start, peak, lines })
    }

    fn line(&self, server: &Server, kind: Kind, name: &'static str) -> Result<Line> {
        let connections = self.load.connections;
        if self.options.pause > 0.0 {
            eprintln!("{name}: process {}", server.process.id());
            std::thread::sleep(Duration::from_secs_f64(self.options.pause));
        }
        let load = Load { address: server.address, ..self.load };
        let make = |at| Asks::new(&self.world, kind, (at, connections), kind as u64 + 1);
        let mut usages = Vec::new();
        let taken = load.run(make, || {
            usages.push(server.process.usage()?);
            Ok(())
        })?;
        let [before, after] = usages.as_slice() else { bail!("the line has not ended") };
        let cpu = after.cpu.saturating_sub(before.cpu);
        Ok(Line::new(name, &taken, cpu, Some(after.memory)))
    }
}

/// A copy of the database, which nobody has open.
fn copy(data: &Path, folder: &Path) -> Result<String> {
    for file in std::fs::read_dir(data)? {
        let file = file?;
        let name = file.file_name();
        // The log is there only when it could not be emptied.
        if name.to_str().is_some_and(|name| name.starts_with("coffer.db")) {
            std::fs::copy(file.path(), folder.join(name))?;
        }
    }
    let copied = folder.join("coffer.db");
    Ok(copied.to_str().context("a folder that is not text")?.to_owned())
}
