//! Keys: made, listed, governed.

pub mod data;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use coffer_api::{
    CreateKeyRequest, KmsKey, KmsSummary, KmsSummaryRegion, SetRotationRequest, WrappingKeyResponse,
};

use super::body::JsonBody;
use super::caller::{Authenticated, Segment, precondition};
use super::list::{Line, Writer, read_cursor};
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::error::Result;
use crate::kms::{self, Named, View};
use crate::model::action::Action;
use crate::model::idempotency::IdempotencyKey;
use crate::model::key::KeyFilter;

/// Where KMS can be used
#[utoipa::path(get, path = "/v1/kms/summary", tag = "KMS", responses((status = 200, body = KmsSummary)))]
pub async fn summary(State(app): State<Arc<App>>, Authenticated(call): Authenticated) -> Reply {
    let summary = kms::manage::summary(&app, &call).await;
    reply::of(Action::KmsSummary, summary, |(feature_enabled, regions)| KmsSummary {
        feature_enabled,
        regions: regions
            .into_iter()
            .map(|summary| KmsSummaryRegion {
                identity: summary.region.id,
                name: summary.region.name,
                slug: summary.region.slug,
                kms_available: summary.region.kms,
                total_keys: summary.counts.iter().sum(),
                active_keys: summary.counts[0],
                disabled_keys: summary.counts[1],
                pending_deletion_keys: summary.counts[2],
            })
            .collect(),
    })
}

/// List keys
///
/// Every filter narrows. Without `limit` all keys come at once.
#[utoipa::path(get, path = "/v1/kms/{region}/keys", tag = "KMS",
    params(
        ("identity" = Option<String>, Query), ("name" = Option<String>, Query),
        ("slug" = Option<String>, Query), ("status" = Option<String>, Query),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "From `X-Next-Cursor` of the page before"),
    ),
    responses((status = 200, body = Vec<KmsKey>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    uri: Uri,
) -> Reply {
    let query = read_query(&Params::parse(uri.query()));
    let paged = query.as_ref().is_ok_and(|query| query.limit.is_some());
    match kms::manage::list(&app, &call, region, query).await {
        Ok(pages) => Writer::flat(|key| Line::item(&wire::key(key))).answer(pages, paged, &uri),
        Err(error) => reply::refusal(&error),
    }
}

fn read_query(params: &Params) -> Result<kms::manage::Query> {
    Ok(kms::manage::Query {
        filter: KeyFilter {
            identity: params.text("identity")?,
            name: params.text("name")?,
            slug: params.text("slug")?,
            status: params.text("status")?,
        },
        limit: params.limit()?,
        after: read_cursor(params)?,
    })
}

/// Make a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys", tag = "KMS",
    request_body = CreateKeyRequest, responses((status = 201, body = KmsKey)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateKeyRequest>();
    show(Action::CreateKey, kms::manage::create(&app, &call, region, body).await)
}

/// Read a key with its versions
#[utoipa::path(get, path = "/v1/kms/{region}/keys/{key}", tag = "KMS",
    responses((status = 200, body = KmsKey), (status = 304, description = "Not changed")))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    headers: HeaderMap,
) -> Reply {
    show(
        Action::ReadKey,
        kms::manage::read(&app, &call, Named { region, key }, precondition(&headers)).await,
    )
}

/// Schedule a key's deletion in 30 days
#[utoipa::path(delete, path = "/v1/kms/{region}/keys/{key}", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn schedule_deletion(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    headers: HeaderMap,
) -> Reply {
    let done =
        kms::state::schedule_deletion(&app, &call, Named { region, key }, precondition(&headers))
            .await;
    show(Action::DeleteKey, done)
}

/// Take a scheduled deletion back
#[utoipa::path(delete, path = "/v1/kms/{region}/keys/{key}/cancel-deletion", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn cancel_deletion(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    headers: HeaderMap,
) -> Reply {
    let done =
        kms::state::cancel_deletion(&app, &call, Named { region, key }, precondition(&headers))
            .await;
    show(Action::CancelDeletion, done)
}

/// Add a version to a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/rotate", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn rotate(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    headers: HeaderMap,
) -> Reply {
    let done =
        kms::rotate::rotate(&app, &call, Named { region, key }, precondition(&headers)).await;
    show(Action::RotateKey, done)
}

/// Change when a key is rotated by the clock
///
/// What is absent stays as it is; `{}` changes nothing.
#[utoipa::path(patch, path = "/v1/kms/{region}/keys/{key}/rotation", tag = "KMS",
    request_body = SetRotationRequest, responses((status = 200, body = KmsKey)))]
pub async fn set_rotation(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    request: Request,
) -> Reply {
    let precondition = precondition(request.headers());
    let body = read_body(&app, request).await.parse::<SetRotationRequest>();
    let named = Named { region, key };
    let done = kms::rotate::set_rotation(&app, &call, named, body, precondition).await;
    show(Action::SetRotation, done)
}

/// The public key that wraps key material for import
#[utoipa::path(get, path = "/v1/kms/{region}/wrapping-key", tag = "KMS",
    responses((status = 200, body = WrappingKeyResponse)))]
pub async fn wrapping_key(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
) -> Reply {
    let found = kms::material::wrapping_key(&app, &call, region).await;
    reply::of(Action::ReadWrappingKey, found, |public_key| WrappingKeyResponse {
        public_key: public_key.to_string(),
        algorithm: "RSA_AES_KEY_WRAP_SHA_256".to_owned(),
    })
}

/// Disable a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/disable", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn disable(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    headers: HeaderMap,
) -> Reply {
    let done =
        kms::state::disable(&app, &call, Named { region, key }, precondition(&headers)).await;
    show(Action::DisableKey, done)
}

/// Enable a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/enable", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn enable(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    Segment(key): Segment<4>,
    headers: HeaderMap,
) -> Reply {
    let done = kms::state::enable(&app, &call, Named { region, key }, precondition(&headers)).await;
    show(Action::EnableKey, done)
}

pub async fn read_body(app: &App, request: Request) -> JsonBody {
    let (parts, body) = request.into_parts();
    let time = std::time::Duration::from_secs(app.config.limits.body_seconds);
    let body = JsonBody::read(&parts.headers, body, time).await;
    if let Some(key) = parts.extensions.get::<Arc<IdempotencyKey>>() {
        key.with_body(body.came());
    }
    body
}

fn show(action: Action, view: Result<View>) -> Reply {
    reply::tagged(action, view, |view| view.key.object_version, wire::key_view)
}
