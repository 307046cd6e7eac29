//! `cofferd`: reads the command line and runs one command.

mod arguments;

use std::io::IsTerminal;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arguments::{Arguments, AuditCommand, Command, ConfigCommand, LogFormat};
use clap::{CommandFactory, Parser};
use coffer_server::app::App;
use coffer_server::config::{Config, settings};
use coffer_server::custody::WhenMissing;
use coffer_server::platform::{self, Founding, administrators};
use coffer_server::proof::Older;
use coffer_server::store::Store;
use coffer_server::tls::Tls;
use coffer_server::traces::Traces;
use coffer_server::{Listeners, backup, custody, dev, memory, open, proof, serve, sinks};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    memory::forbid_core_dumps()?;
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let traces = match &arguments.command {
        Command::Serve { settings } => Traces::start(&settings.load()?.traces, runtime.handle())?,
        _ => None,
    };
    begin_log(&arguments, traces.as_ref())?;
    let ended = runtime.block_on(run(arguments.command));
    // Sends what is left, for which it needs the runtime.
    drop(traces);
    // A sink's file on a disk that hangs is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Logs to stderr from here on.
fn begin_log(arguments: &Arguments, traces: Option<&Traces>) -> Result<()> {
    let filter = EnvFilter::builder().parse(&arguments.log).context("--log is no filter")?;
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let log = match arguments.log_format {
        LogFormat::Human => log.with_ansi(colours).boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let log = log.with_filter(filter);
    tracing_subscriber::registry().with(log).with(traces.map(Traces::layer)).init();
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
            let config = locked(store.load()?)?;
            work(move |progress| match file {
                Some(file) => proof::verify_file(&config, &file, older, progress),
                None => proof::verify(&config, organisation.as_deref(), older, progress),
            })
            .await
        }
        AuditCommand::Export { store, organisation, out } => {
            let config = locked(store.load()?)?;
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
