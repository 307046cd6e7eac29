//! Whether the process lives, and whether it can serve. Answers anybody.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{self, Reply};
use crate::app::App;
use crate::error::Outcome;
use crate::platform;

/// How the parts of the server are.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// The database.
    store: &'static str,
    /// The keyring.
    kms: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "Health", responses((status = 200, body = Health)))]
pub async fn healthz() -> Reply {
    reply::json(Outcome::Ok, &Health { status: "ok", store: "ok", kms: "ok" })
}

/// The store answers and belongs to the root key at hand.
#[utoipa::path(get, path = "/readyz", tag = "Health", responses(
    (status = 200, body = Health),
    (status = 503, description = "Not ready", body = Health),
))]
pub async fn readyz(State(app): State<Arc<App>>) -> Reply {
    let word = |ok| if ok { "ok" } else { "unavailable" };
    let [store, kms] = platform::readiness(&app).await;
    let outcome = if store && kms { Outcome::Ok } else { Outcome::Unavailable };
    reply::json(outcome, &Health { status: word(store && kms), store: word(store), kms: word(kms) })
}
