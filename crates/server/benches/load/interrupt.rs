//! Ctrl-C ends the run in order, so that processes end and folders are removed.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Runs `work` while somebody listens for Ctrl-C.
pub fn during<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut listening = tokio::task::JoinSet::new();
    listening.spawn_on(
        async {
            if tokio::signal::ctrl_c().await.is_ok() {
                ASKED.store(true, Ordering::SeqCst);
            }
        },
        runtime.handle(),
    );
    work()
}

/// Fails once Ctrl-C was pressed.
pub fn check() -> Result<()> {
    ensure!(!ASKED.load(Ordering::SeqCst), "interrupted");
    Ok(())
}
