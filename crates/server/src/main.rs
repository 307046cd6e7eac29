//! `cofferd`: reads the command line and runs one command.

use std::io::IsTerminal;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use coffer_server::app::App;
use coffer_server::config::{Config, settings};
use coffer_server::custody::WhenMissing;
use coffer_server::platform::{self, Founding, administrators};
use coffer_server::proof::Older;
use coffer_server::store::Store;
use coffer_server::tls::Tls;
use coffer_server::{Listeners, backup, custody, dev, memory, open, proof, serve, sinks};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Coffer: a Secrets Manager with its own KMS and IAM.
#[derive(Parser)]
#[command(name = "cofferd", version, about)]
struct Arguments {
    /// What is logged: `info`, `warn`, or a filter such as `coffer_server=debug`.
    #[arg(long, global = true, env = "COFFER_LOG", default_value = "info")]
    log: String,
    /// How it is logged.
    #[arg(long, global = true, env = "COFFER_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum LogFormat {
    /// A line for people.
    #[default]
    Human,
    /// A line of JSON.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Make what is missing and serve: everything on one machine, for trying and developing.
    Dev {
        /// Address and port to listen on; port 0 picks a free one.
        #[arg(long, default_value_t = DEV_LISTEN)]
        listen: SocketAddr,
        /// Folder of the store and the root key.
        #[arg(long, default_value = "coffer-data")]
        data: PathBuf,
        /// Serve plain HTTP at an address other than loopback, where others can read it.
        #[arg(long)]
        insecure_http: bool,
    },
    /// Serve an existing store.
    Serve {
        #[command(flatten)]
        settings: Settings,
    },
    /// Make the first organisation on an empty store, and print its owner's token once.
    Bootstrap {
        #[command(flatten)]
        settings: Settings,
        /// Slug of the organisation, of `a-z 0-9 -`.
        #[arg(long)]
        organisation: String,
        /// E-mail address of its owner.
        #[arg(long)]
        owner: String,
    },
    /// Print a new token of an organisation's owner, for when the first is lost. Stop the server first.
    OwnerToken {
        #[command(flatten)]
        settings: Settings,
        /// Slug or identity of the organisation.
        #[arg(long)]
        organisation: String,
    },
    /// Make an administrator of the platform and print the token once; or list them, or revoke one. Stop the
    /// server first.
    AdminToken {
        #[command(flatten)]
        settings: Settings,
        /// What or whom the new token is for.
        #[arg(long, required_unless_present_any = ["list", "revoke"])]
        name: Option<String>,
        /// When it ends: a duration such as `90d`, or a time such as `2027-01-01T00:00:00Z`.
        #[arg(long, conflicts_with_all = ["list", "revoke"])]
        expires: Option<String>,
        /// List the administrators, without their tokens.
        #[arg(long, conflicts_with_all = ["name", "revoke"])]
        list: bool,
        /// Revoke the token of the administrator with this identity.
        #[arg(long, conflicts_with = "name")]
        revoke: Option<String>,
    },
    /// Make the root keys that the settings name and that are not there yet, and print the fingerprint of each.
    /// Can be run while the server serves; run it as the server's user.
    RootKey {
        #[command(flatten)]
        settings: Settings,
    },
    /// Write everything in the store to a sealed file, while the server serves or not; or check such a file.
    /// Run it as the server's user.
    Backup {
        #[command(flatten)]
        settings: Settings,
        /// Check this backup instead; `-` reads it from stdin.
        #[arg(long, value_name = "FILE")]
        verify: Option<PathBuf>,
        /// The file to make; `-` writes to stdout.
        #[arg(required_unless_present = "verify", conflicts_with = "verify")]
        out: Option<PathBuf>,
    },
    /// Verify or export the audit log, while the server serves or not. Run it as the server's user.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Check, show or list the settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell.
    Completions { shell: Shell },
    /// Write manual pages into a folder.
    Man { folder: PathBuf },
    /// Make a store out of a backup, where there is none yet.
    Restore {
        #[command(flatten)]
        settings: Settings,
        /// The backup; `-` reads it from stdin.
        r#in: PathBuf,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Check every link, seal and signature: 0 if the log is whole, 1 and the first bad record if it is not.
    Verify {
        #[command(flatten)]
        store: StoreArguments,
        /// Verify an export instead, with the keys of the store; `-` reads it from stdin.
        #[arg(long, value_name = "FILE", conflicts_with = "organisation")]
        file: Option<PathBuf>,
        /// Slug or identity of the only organisation to look at.
        #[arg(long)]
        organisation: Option<String>,
        /// The store is older than the chains: records of before are counted instead of refused.
        #[arg(long)]
        older: bool,
    },
    /// Write the log as JSON Lines, with all that proves that it is whole.
    Export {
        #[command(flatten)]
        store: StoreArguments,
        /// Slug or identity of the only organisation to export.
        #[arg(long)]
        organisation: Option<String>,
        /// The file to make; `-` writes to stdout.
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the settings, and that the files can be read which they name: 0 if a server could start with them.
    Check {
        #[command(flatten)]
        settings: Settings,
        /// Check the settings alone, where their files are not.
        #[arg(long)]
        no_files: bool,
    },
    /// Print all settings as they would be, defaults included, secrets not.
    Show {
        #[command(flatten)]
        settings: Settings,
    },
    /// List every setting with its default, as Markdown.
    Settings,
}

/// With what a command runs.
#[derive(Args)]
struct Settings {
    /// TOML file with the settings. Variables such as `COFFER_LIMITS_BODY_SECONDS` come after it and win; without a
    /// file they are all there is.
    #[arg(long)]
    config: Option<PathBuf>,
}

impl Settings {
    fn load(&self) -> Result<Config> {
        Config::load(self.config.as_deref())
    }
}

/// Which store: by its settings, or by the folder that `cofferd dev` has made.
#[derive(Args)]
#[group(multiple = false)]
struct StoreArguments {
    /// TOML file with the settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Folder of a store that `cofferd dev` serves.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl StoreArguments {
    fn config(self) -> Result<Config> {
        locked(match (self.config, self.data) {
            (_, Some(data)) => Config::dev(DEV_LISTEN, data),
            (config, None) => Config::load(config.as_deref())?,
        })
    }
}

const DEV_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8200);

impl Command {
    /// Whether there must be a store already.
    fn missing(&self) -> WhenMissing {
        match self {
            Self::Dev { .. } | Self::Bootstrap { .. } => WhenMissing::Make,
            Self::Serve { .. }
            | Self::OwnerToken { .. }
            | Self::AdminToken { .. }
            | Self::RootKey { .. }
            | Self::Backup { .. }
            | Self::Audit { .. }
            | Self::Config { .. }
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::Restore { .. } => WhenMissing::Refuse,
        }
    }
}

fn main() -> Result<()> {
    memory::forbid_core_dumps()?;
    let arguments = Arguments::parse();
    begin_log(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(arguments.command));
    // A sink's file on a disk that hangs is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Logs to stderr from here on.
fn begin_log(arguments: &Arguments) -> Result<()> {
    let filter = EnvFilter::builder().parse(&arguments.log).context("--log is no filter")?;
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match arguments.log_format {
        LogFormat::Human => log.with_ansi(colours).with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).with_target(false).init(),
    }
    Ok(())
}

async fn run(command: Command) -> Result<()> {
    let missing = command.missing();
    match command {
        Command::Dev { listen, data, insecure_http } => {
            let config = Config { insecure_http, ..Config::dev(listen, data.clone()) };
            config.check_exposure()?;
            let app = open_locked(config, missing).await?;
            let listeners = listen_all(&app).await?;
            let listening = listeners.api.first().context("no listener")?.local_addr()?;
            app.listens_on(listening);
            dev::prepare(&app, &data, listening).await?;
            // Before anybody hears that the server is there, and may stop it.
            let stop = asked_to_stop()?;
            say(&dev::welcome(&data, listening))?;
            serve(app, listeners, Vec::new(), stop).await;
        }
        Command::Serve { settings } => {
            serve_existing(open_locked(settings.load()?, missing).await?).await?;
        }
        Command::Bootstrap { settings, organisation, owner } => {
            let app = open_locked(settings.load()?, missing).await?;
            let founding = Founding { organisation, owner_email: owner };
            let founded = platform::found(&app, &founding).await?;
            app.store.close();
            // Here and below are the places that print a token: nobody will ever see it again.
            say(&format!(
                "organisation {}\ntoken {}\n",
                founded.organisation,
                founded.token.as_str()
            ))?;
        }
        Command::OwnerToken { settings, organisation } => {
            let app = open_locked(settings.load()?, missing).await?;
            let token = platform::mint_owner_token(&app, &organisation).await?;
            app.store.close();
            say(&format!("token {}\n", token.as_str()))?;
        }
        Command::AdminToken { settings, name, expires, list: _, revoke } => {
            let app = open_locked(settings.load()?, missing).await?;
            let said = administer(&app, name, expires, revoke).await;
            app.store.close();
            say(&said?)?;
        }
        Command::RootKey { settings } => {
            for line in custody::complete_root_keys(&settings.load()?)? {
                say(&format!("{line}\n"))?;
            }
        }
        Command::Backup { settings, verify, out } => {
            let config = locked(settings.load()?)?;
            work(move |progress| match (verify, out) {
                (Some(file), _) => backup::verify(&config, &file, progress),
                (None, out) => backup::make(&config, &out.context("no file")?, progress),
            })
            .await?;
        }
        Command::Audit { command } => audit(command).await?,
        Command::Config { command } => say(&configuration(&command)?)?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "cofferd", &mut text);
            say(&String::from_utf8(text)?)?;
        }
        Command::Man { folder } => clap_mangen::generate_to(Arguments::command(), folder)?,
        Command::Restore { settings, r#in } => {
            let config = locked(settings.load()?)?;
            work(move |progress| backup::restore(&config, &r#in, progress)).await?;
        }
    }
    Ok(())
}

async fn serve_existing(app: Arc<App>) -> Result<()> {
    let sinks = sinks::open(&app.config)?;
    let listeners = listen_all(&app).await?;
    if let Some(listener) = listeners.api.first() {
        app.listens_on(listener.local_addr()?);
    }
    let stop = asked_to_stop()?;
    let scheme = if listeners.tls.is_some() { "https" } else { "http" };
    for listener in &listeners.api {
        say(&format!("Coffer listens on {scheme}://{}\n", listener.local_addr()?))?;
    }
    if let Some(listener) = &listeners.metrics {
        say(&format!("Figures are at http://{}/metrics\n", listener.local_addr()?))?;
    }
    serve(app, listeners, sinks, stop).await;
    Ok(())
}

async fn audit(command: AuditCommand) -> Result<()> {
    match command {
        AuditCommand::Verify { store, file, organisation, older } => {
            let older = if older { Older::Counted } else { Older::Refused };
            let config = store.config()?;
            work(move |progress| match file {
                Some(file) => proof::verify_file(&config, &file, older, progress),
                None => proof::verify(&config, organisation.as_deref(), older, progress),
            })
            .await
        }
        AuditCommand::Export { store, organisation, out } => {
            let config = store.config()?;
            work(move |progress| proof::export(&config, organisation.as_deref(), &out, progress))
                .await
        }
    }
}

/// What there is to say of the settings.
fn configuration(command: &ConfigCommand) -> Result<String> {
    match command {
        ConfigCommand::Check { settings, no_files } => {
            let config = settings.load()?;
            if !no_files {
                check_files(&config)?;
            }
            Ok("the settings are good\n".to_owned())
        }
        ConfigCommand::Show { settings } => Ok(toml::to_string(&settings.load()?)?),
        ConfigCommand::Settings => settings::as_markdown(),
    }
}

/// Reads what a server would read, without making anything.
fn check_files(config: &Config) -> Result<()> {
    sinks::open(config)?;
    if let Some(tls) = &config.tls {
        Tls::open(tls, &config.data)?;
    }
    Store::check_settings(&config.store, &config.data)?;
    custody::root_keys(config, WhenMissing::Refuse).map(drop)
}

/// Does what takes long and may be stopped, and says on stderr what became of it: stdout is for the data.
async fn work(
    run: impl FnOnce(&backup::Progress) -> Result<String> + Send + 'static,
) -> Result<()> {
    let progress = Arc::new(backup::Progress::default());
    let (stop, shared) = (asked_to_stop()?, progress.clone());
    let mut running = tokio::task::spawn_blocking(move || run(&shared));
    let done = tokio::select! {
        done = &mut running => done,
        () = stop => {
            progress.stop();
            running.await
        }
    };
    Ok(writeln!(std::io::stderr(), "{}", done??)?)
}

/// Makes or revokes an administrator, or lists them all: what there is to say of it.
async fn administer(
    app: &Arc<App>,
    name: Option<String>,
    expires: Option<String>,
    revoke: Option<String>,
) -> Result<String> {
    if let Some(name) = name {
        let (made, token) = administrators::create(app, &name, expires.as_deref()).await?;
        return Ok(format!("administrator {}\ntoken {}\n", made.id, token.as_str()));
    }
    if let Some(id) = revoke {
        administrators::delete(app, &id).await?;
        return Ok(format!("administrator {id} is revoked\n"));
    }
    let time = |at: i64| jiff::Timestamp::from_microsecond(at).unwrap_or_default().to_string();
    let mut said = String::new();
    for one in administrators::list(app).await? {
        let until = one.expires_at.map_or("never".to_owned(), time);
        let used = one.last_used_at.map_or("never".to_owned(), time);
        let made = time(one.created_at);
        said += &format!("{} made {made} expires {until} used {used} {}\n", one.id, one.name);
    }
    Ok(said)
}

async fn open_locked(config: Config, missing: WhenMissing) -> Result<Arc<App>> {
    open(locked(config)?, missing).await
}

/// The settings, once memory is kept out of swap as they want it.
fn locked(config: Config) -> Result<Config> {
    memory::keep_out_of_swap(config.memory_lock)?;
    Ok(config)
}

async fn listen_all(app: &App) -> Result<Listeners> {
    let metrics = app.config.metrics.listen.as_slice();
    let (api, metrics) = (listen_on(&app.config.listen).await?, listen_on(metrics).await?);
    let tls = app.config.tls.as_ref();
    let tls = tls.map(|tls| Tls::open(tls, &app.config.data)).transpose()?.map(Arc::new);
    Ok(Listeners { api, tls, metrics: metrics.into_iter().next() })
}

async fn listen_on(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.with_context(|| format!("cannot listen on {address}"))?);
    }
    Ok(listeners)
}

/// Ready at SIGTERM or Ctrl-C.
fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
