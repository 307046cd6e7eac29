//! Work by the clock, through the same gate as everything else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::audit;
use crate::error::Result;
use crate::gate;
use crate::kms;
use crate::platform;
use crate::sinks::{self, Sink};

/// Starts the work that goes on until `stop` changes; ends with the last flush.
#[expect(clippy::disallowed_methods, reason = "this is where background work is started")]
pub fn start(app: Arc<App>, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
    let mut hourly = tokio::spawn(work_hourly(app.clone()));
    tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut keys = app.store.keys_epoch();
        loop {
            let stopping = tokio::select! {
                _ = second.tick() => false,
                _ = stop.changed() => true,
            };
            app.load.shrink();
            app.values.forget_stale();
            if keys != std::mem::replace(&mut keys, app.store.keys_epoch()) {
                app.keyring.forget_ready();
            }
            if hourly.is_finished() {
                tracing::error!("work by the clock has panicked; it starts again");
                hourly = tokio::spawn(work_hourly(app.clone()));
            }
            if let Err(error) = flush_last_access(&app).await {
                tracing::warn!(cause = error.cause(), "last accesses are not written yet");
            }
            if let Err(error) = flush_last_use(&app).await {
                tracing::warn!(cause = error.cause(), "last uses of tokens are not written yet");
            }
            if stopping {
                // Wherever it is: each key is a transaction of its own.
                hourly.abort();
                return;
            }
        }
    })
}

/// Starts what gives sinks their records, each in a task of its own, until `stop` changes.
#[expect(clippy::disallowed_methods, reason = "this is where background work is started")]
pub fn start_sinks(
    app: &Arc<App>,
    sinks: Vec<Sink>,
    stop: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let start = |sink: Sink| {
        let (app, sink, stop) = (app.clone(), Arc::new(sink), stop.clone());
        tokio::spawn(async move {
            loop {
                let tending = tokio::spawn(sinks::tend(app.clone(), sink.clone(), stop.clone()));
                if tending.await.is_ok() {
                    return;
                }
                tracing::error!(sink = sink.name(), "what gives a sink its records has panicked");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    };
    sinks.into_iter().map(start).collect()
}

/// At start, then every hour: what takes longest comes last. What is not finished now is found again then.
async fn work_hourly(app: Arc<App>) {
    let mut hour = tokio::time::interval(Duration::from_secs(3600));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hour.tick().await;
        if let Err(error) = forget_answers(&app).await {
            tracing::warn!(cause = error.cause(), "answers that have expired are still kept");
        }
        if let Err(error) = kms::purge::purge_due(&app).await {
            tracing::warn!(cause = error.cause(), "keys are not purged yet");
        }
        if let Err(error) = platform::root_keys::rewrap(&app).await {
            tracing::warn!(cause = error.cause(), "the root key is not replaced yet");
        }
        if let Err(error) = kms::rotate::rotate_due(&app).await {
            tracing::warn!(cause = error.cause(), "keys are not rotated yet");
        }
        if let Err(error) = audit::expire(&app).await {
            tracing::warn!(cause = error.cause(), "records that are too old are still kept");
        }
        if let Err(error) = audit::checkpoint_all(&app).await {
            tracing::warn!(cause = error.cause(), "the audit log has no new checkpoint yet");
        }
    }
}

/// Secrets, credentials or answers in one transaction, so that nobody else's waits for long.
const ROWS_AT_ONCE: usize = 256;

/// Writes the last reveals, one row for each version. What cannot be written waits for the next time.
pub async fn flush_last_access(app: &App) -> Result<()> {
    let mut waiting: Vec<_> = app.last_access.waiting().into_iter().collect();
    // In one order on every server, so that no two wait for each other's rows.
    waiting.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for batch in waiting.chunks(ROWS_AT_ONCE) {
        let rows = batch.to_vec();
        gate::keep_house(app, "", async move |tx| {
            for (secret, accesses) in &rows {
                for (version, at) in &accesses.versions {
                    tx.touch_secret(&accesses.organisation, secret, *version, *at).await?;
                }
            }
            Ok(())
        })
        .await?;
        app.last_access.written(batch);
    }
    Ok(())
}

/// Writes when credentials were last used. What cannot be written waits for the next time.
pub async fn flush_last_use(app: &App) -> Result<()> {
    let mut waiting: Vec<_> = app.last_use.waiting().into_iter().collect();
    // In one order on every server, so that no two wait for each other's rows.
    waiting.sort_unstable();
    for batch in waiting.chunks(ROWS_AT_ONCE) {
        let rows = batch.to_vec();
        gate::keep_house(app, "", async move |tx| {
            for (credential, at) in &rows {
                match credential.split('-').next() {
                    Some("pat") => tx.touch_token(credential, *at).await?,
                    Some("fi") => tx.touch_federation(credential, *at).await?,
                    Some("adm") => tx.touch_administrator(credential, *at).await?,
                    _ => tx.touch_credential(credential, *at).await?,
                }
            }
            Ok(())
        })
        .await?;
        app.last_use.written(batch);
    }
    Ok(())
}

/// Drops the answers whose idempotency keys are over.
pub async fn forget_answers(app: &App) -> Result<()> {
    loop {
        let now = app.clock.now();
        let dropped = gate::keep_house(app, "", async move |tx| {
            let expired = tx.list_expired_answers(now, ROWS_AT_ONCE).await?;
            for (owner, key) in &expired {
                tx.drop_expired_answer((owner, key), now).await?;
            }
            Ok(expired.len())
        })
        .await?;
        if dropped < ROWS_AT_ONCE {
            return Ok(());
        }
    }
}
