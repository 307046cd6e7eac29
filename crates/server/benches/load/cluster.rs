//! A PostgreSQL cluster of Debian's package that lives as long as the run, with the package's settings: durable, on
//! disk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

pub struct Cluster {
    child: Child,
    /// Without the database's name.
    base: String,
    runtime: tokio::runtime::Runtime,
    folder: TempDir,
}

impl Cluster {
    pub fn start(within: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(within)?;
        let programs = programs()?;
        // The server refuses to run as root.
        let user = match geteuid().is_root() {
            true => Some(user_of("postgres").or_else(|_| user_of("nobody"))?),
            false => None,
        };
        if let Some([user, group]) = user {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group))?;
        }
        let program = |name: &str| {
            let program = programs.join(name);
            let mut command = match user {
                None => Command::new(program),
                Some([user, group]) => {
                    let mut command = Command::new("setpriv");
                    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
                    command.arg("--clear-groups").arg(program);
                    command
                }
            };
            command.current_dir(folder.path()).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let data = folder.path().join("data");
        let mut initdb = program("initdb");
        initdb.args(["-U", "coffer", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        ensure!(initdb.status()?.success(), "initdb has failed");
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut server = program("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port]);
        let child = server.args(["-c", "listen_addresses=127.0.0.1"]).spawn()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let base = format!("postgres://coffer@127.0.0.1:{port}");
        let cluster = Self { child, base, runtime, folder };
        let began = Instant::now();
        while cluster.execute("SELECT 1").is_err() {
            ensure!(began.elapsed() < Duration::from_secs(30), "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// An empty database, or a copy of another one that nobody uses: its URL. PostgreSQL 15 or newer copies files.
    pub fn database(&self, name: &str, copy_of: &str) -> Result<String> {
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE {copy_of} STRATEGY file_copy"))?;
        Ok(format!("{}/{name}?sslmode=disable", self.base))
    }

    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.execute(&format!("DROP DATABASE {name}"))
    }

    fn execute(&self, sql: &str) -> Result<()> {
        let url = format!("{}/postgres?sslmode=disable", self.base);
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(connection);
            Ok(client.batch_execute(sql).await?)
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Told so, it ends its own processes at once.
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let told = id.is_some_and(|id| kill_process(id, Signal::QUIT).is_ok());
        if !told {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(self.folder.path());
    }
}

/// The newest programs of the package.
fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("install `postgresql`")?;
    let number = |folder: &PathBuf| -> u32 {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or_default()
    };
    let folders = versions.flatten().map(|version| version.path());
    Ok(folders.max_by_key(number).context("install `postgresql`")?.join("bin"))
}

/// The numbers of a user and of its group.
fn user_of(name: &str) -> Result<[u32; 2]> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name));
    let numbers = line.context("no such user")?.split(':').skip(2).map(str::parse::<u32>);
    let numbers: Vec<u32> = numbers.take(2).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| anyhow::anyhow!("a user without a group"))
}
