//! Figures for Prometheus, on a listener of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use super::reply::{self, Reply};
use crate::app::App;
use crate::error::Outcome;
use crate::platform;

/// The one route of the listener.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(figures))
        .fallback(async || reply::message(Outcome::NotFound, "no such route"))
        .with_state(app)
}

async fn figures(State(app): State<Arc<App>>) -> Reply {
    let now = platform::figures(&app).await;
    reply::figures(app.metrics.text(&now))
}
