//! Coffer's service: secrets, keys, authorisation and audit over HTTP.
//!
//! | room | what it is for |
//! | --- | --- |
//! | [`gate`] | the one door: admit, begin, operate, audit, commit |
//! | [`model`] | nouns and rules, pure |
//! | [`store`] | rows, and the only SQL |
//! | [`keyring`] | root key → key version → data key → value |
//! | [`budget`] | leave to seal, counted |
//! | [`egress`], [`issuers`] | outgoing calls, guarded; the keys of other issuers |
//! | [`lane`] | slow work, bounded |
//! | [`load`] | what one caller, one organisation and all together may ask at once |
//! | [`directory`] | token → caller with compiled grants, in memory |
//! | [`values`] | sealed values that are revealed often, in memory |
//! | [`auth`] | who is calling |
//! | [`secrets`], [`kms`], [`iam`], [`audit`], [`platform`] | operations |
//! | [`http`] | HTTP in, HTTP out |
//! | [`traces`] | spans for a collector |
//! | [`sinks`] | the audit log as it goes elsewhere |
//! | [`tls`] | the certificate, taken anew when it changes |
//! | [`jobs`] | work by the clock |
//! | [`backup`] | the whole store in a sealed file, and back |
//! | [`app`], [`config`], [`clock`], [`error`], [`custody`], [`dev`], [`memory`] | what requests share, settings, time, failures, root keys, first start, memory |

pub mod app;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod budget;
pub mod clock;
pub mod config;
pub mod custody;
pub mod dev;
pub mod directory;
pub mod egress;
pub mod error;
pub mod gate;
pub mod http;
pub mod iam;
pub mod issuers;
pub mod jobs;
pub mod keyring;
pub mod kms;
pub mod lane;
pub mod load;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod platform;
pub mod proof;
pub mod secrets;
pub mod sinks;
pub mod store;
pub mod tls;
pub mod traces;
pub mod values;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use app::App;
use clock::Clock;
use config::Config;
use custody::WhenMissing;
use keyring::Keyring;
use sinks::Sink;
use store::Store;
use tls::Tls;

/// Connections that may ask for figures at once.
const METRICS_CONNECTIONS: usize = 16;

/// Opens the data folder of `config`: root key, store, regions.
pub async fn open(config: Config, missing: WhenMissing) -> anyhow::Result<Arc<App>> {
    custody::prepare_folder(&config.data)?;
    // Locked before anything is made: two first starts must not make two root keys.
    let lock = store::lock(&config.data)?;
    custody::remove_unfinished(&config.data)?;
    let is_embedded = config.store.url.is_none();
    if is_embedded && missing == WhenMissing::Refuse && !config.data.join("coffer.db").exists() {
        anyhow::bail!(
            "{} holds no store; make one with `cofferd bootstrap`",
            config.data.display()
        );
    }
    let (first, others) = custody::root_keys(&config, missing)?;
    let store = match is_embedded {
        true => Store::open(&config.data, lock)?,
        false => Store::connect(&config.store, &config.data, lock)?,
    };
    let app = App::new(store, Keyring::new(first, others), Clock::System, config);
    prepare(&app).await?;
    Ok(app)
}

/// What has to be so before anything is recorded: the root keys are those of the store, records are linked, and regions
/// and quotas are as the configuration wants them.
pub async fn prepare(app: &Arc<App>) -> error::Result<()> {
    platform::root_keys::check(app).await?;
    audit::link_records(app).await?;
    platform::configure_regions(app, &app.config.regions).await?;
    platform::configure_quotas(app, &app.config.quotas).await
}

/// Seconds between two looks at the files of the certificate.
const CERTIFICATE_SECONDS: u64 = 10;

/// What is listened on.
pub struct Listeners {
    /// For callers.
    pub api: Vec<TcpListener>,
    /// How they do HTTPS, when they do.
    pub tls: Option<Arc<Tls>>,
    /// For Prometheus.
    pub metrics: Option<TcpListener>,
}

/// Serves the listeners until `shutdown` is ready, then drains, writes what waits, gives it to the sinks and closes the
/// store.
pub async fn serve(
    app: Arc<App>,
    listeners: Listeners,
    sinks: Vec<Sink>,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(false);
    let (stop_sinks, sinks_stopped) = watch::channel(false);
    let sinks = jobs::start_sinks(&app, sinks, &sinks_stopped);
    let job = jobs::start(app.clone(), stopped.clone());
    let router = http::router(app.clone());
    // All listeners share the places.
    let places = Arc::new(Semaphore::new(app.config.limits.connections_max));
    let start = |router: Router, listener, tls: Option<Arc<Tls>>, places: &Arc<Semaphore>| {
        let door = http::server::Door { listener, tls, places: places.clone() };
        let server = http::server::serve(app.clone(), router, door, stopped.clone());
        #[expect(clippy::disallowed_methods, reason = "each listener is a task")]
        tokio::spawn(server)
    };
    let tls = listeners.tls;
    let renewing = tls.clone().map(|tls| start_renewing(app.clone(), tls));
    let api = listeners.api.into_iter();
    let api = api.map(|listener| start(router.clone(), listener, tls.clone(), &places));
    // Has places of its own, so that figures are told when all others are taken.
    let own = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    let metrics = listeners
        .metrics
        .map(|listener| start(http::metrics::router(app.clone()), listener, None, &own));
    let servers: Vec<_> = api.chain(metrics).collect();
    shutdown.await;
    tracing::info!("stopping");
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    let _ = stop.send(true);
    for server in servers {
        let _ = server.await;
    }
    let _ = job.await;
    // Once more, for the requests that have drained since.
    if let Err(error) = jobs::flush_last_access(&app).await {
        tracing::warn!(cause = error.cause(), "last accesses are lost");
    }
    if let Err(error) = jobs::flush_last_use(&app).await {
        tracing::warn!(cause = error.cause(), "last uses of tokens are lost");
    }
    if let Err(error) = audit::checkpoint_all(&app).await {
        tracing::warn!(cause = error.cause(), "the audit log ends without a checkpoint");
    }
    let _ = stop_sinks.send(true);
    for sink in sinks {
        let _ = sink.await;
    }
    app.store.close();
}

/// Takes the certificate anew when its files have changed, and at SIGHUP at once.
#[expect(clippy::disallowed_methods, reason = "this is where background work is started")]
fn start_renewing(app: Arc<App>, tls: Arc<Tls>) -> JoinHandle<()> {
    app.load_figures.certificate_ends(tls.expires_at());
    tokio::spawn(async move {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let asked = async |hangup: &mut Option<Signal>| match hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        };
        let mut told = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(CERTIFICATE_SECONDS)) => {}
                _ = asked(&mut hangup) => told = false,
            }
            match tls.renew() {
                Ok(true) => {
                    app.load_figures.certificate_ends(tls.expires_at());
                    tracing::info!("the certificate is a new one");
                    told = false;
                }
                Ok(false) => told = false,
                // Once, and not every ten seconds.
                Err(error) if !told => {
                    tracing::error!("the certificate stays as it was: {error:#}");
                    told = true;
                }
                Err(_) => {}
            }
        }
    })
}
