//! Figures for Prometheus, on a listener of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use super::health;
use super::reply::{self, Reply};
use crate::app::App;
use crate::error::Outcome;
use crate::platform;

/// The routes of the listener: also those that tell how the server is, for whoever has no certificate to show.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(figures))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(async || reply::message(Outcome::NotFound, "no such route"))
        .with_state(app)
}

async fn figures(State(app): State<Arc<App>>) -> Reply {
    let now = platform::figures(&app).await;
    reply::figures(app.metrics.text(&now))
}
