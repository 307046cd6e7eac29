//! The listening side: accepts, bounds, serves, drains.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::tls::Tls;

/// Bytes of a request's head that are buffered at most; smaller limits are told in `http/mod.rs`.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Milliseconds that sent data may stay unread.
const UNREAD_MILLIS_MAX: u32 = 30_000;

/// What is listened on, and how.
pub struct Door {
    pub listener: TcpListener,
    pub tls: Option<Arc<Tls>>,
    /// One for each connection.
    pub places: Arc<Semaphore>,
}

/// Serves what comes through `door` until `stop` changes, then lets running requests end.
pub async fn serve(app: Arc<App>, router: Router, door: Door, mut stop: watch::Receiver<bool>) {
    let limits = &app.config.limits;
    let head_time = Duration::from_secs(limits.header_seconds);

    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_time).max_buf_size(HEAD_BYTES_MAX);
    loop {
        let place = tokio::select! {
            place = door.places.clone().acquire_owned() => place,
            _ = stop.changed() => break,
        };
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: wait for some to come back instead of spinning.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        // SECURITY: whoever does not take an answer in this time is cut off, and its place is free again.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD_MILLIS_MAX);
        let (app, router) = (app.clone(), router.clone());
        let counted = app.load_figures.connected();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (app, router) = (app.clone(), router.clone());
            async move {
                let request = request.map(Body::new);
                Ok::<_, std::convert::Infallible>(
                    super::answer(&app, router, peer.ip(), request).await,
                )
            }
        });
        let (http, watcher) = (http.clone(), graceful.watcher());
        let acceptor = door.tls.as_ref().map(|tls| tls.acceptor());
        #[expect(clippy::disallowed_methods, reason = "each connection is a task")]
        tokio::spawn(async move {
            // A client that breaks off, or does no handshake in time, is its own affair.
            match acceptor {
                None => {
                    let connection = http.serve_connection(TokioIo::new(stream), service);
                    let _ = watcher.watch(connection).await;
                }
                Some(acceptor) => {
                    let shaken = tokio::time::timeout(head_time, acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        let connection = http.serve_connection(TokioIo::new(stream), service);
                        let _ = watcher.watch(connection).await;
                    }
                }
            }
            drop((place, counted));
        });
    }
    drop(door);
    let drained =
        tokio::time::timeout(Duration::from_secs(limits.drain_seconds), graceful.shutdown());
    if drained.await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}
