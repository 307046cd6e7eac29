//! Keys.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use coffer_api::{
    CreateKeyRequest, DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, KmsKey,
    KmsSummary, KmsSummaryRegion, SecretText,
};

use super::body::JsonBody;
use super::caller::{Authenticated, precondition};
use super::query::Params;
use super::reply::{self, Reply};
use super::wire;
use crate::app::App;
use crate::error::Result;
use crate::kms::{self, Named, View};
use crate::model::action::Action;
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
    Path(region): Path<String>,
    uri: Uri,
) -> Reply {
    let params = Params::parse(uri.query());
    let listed = kms::manage::list(&app, &call, region, read_query(&params)).await;
    let next = listed.as_ref().ok().and_then(|(_, next)| next.clone());
    let reply = reply::of(Action::ListKeys, listed, |(keys, _)| {
        keys.into_iter().map(wire::key).collect::<Vec<_>>()
    });
    with_next(reply, &uri, next.as_deref())
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
        after: super::secrets::read_cursor(params)?,
    })
}

/// Adds where the next page is, in both forms of section 15, 2.
pub fn with_next(mut reply: Reply, uri: &Uri, next: Option<&str>) -> Reply {
    let Some(next) = next else { return reply };
    let cursor = super::secrets::write_cursor(next);
    let kept = uri.query().unwrap_or_default().split('&');
    let kept: Vec<_> =
        kept.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor=")).collect();
    let query = kept.iter().map(|pair| format!("{pair}&")).collect::<String>();
    let link = format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path());
    let headers = [(LINK, link), (HeaderName::from_static("x-next-cursor"), cursor)];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

/// Make a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys", tag = "KMS",
    request_body = CreateKeyRequest, responses((status = 201, body = KmsKey)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Path(region): Path<String>,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<CreateKeyRequest>();
    show(Action::CreateKey, kms::manage::create(&app, &call, region, body).await)
}

type Place = Path<(String, String)>;

/// Read a key with its versions
#[utoipa::path(get, path = "/v1/kms/{region}/keys/{key}", tag = "KMS",
    responses((status = 200, body = KmsKey), (status = 304, description = "Not changed")))]
pub async fn read(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    headers: HeaderMap,
) -> Reply {
    show(
        Action::ReadKey,
        kms::manage::read(&app, &call, named(place), precondition(&headers)).await,
    )
}

/// Schedule a key's deletion in 30 days
#[utoipa::path(delete, path = "/v1/kms/{region}/keys/{key}", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn schedule_deletion(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    headers: HeaderMap,
) -> Reply {
    let done =
        kms::state::schedule_deletion(&app, &call, named(place), precondition(&headers)).await;
    show(Action::DeleteKey, done)
}

/// Take a scheduled deletion back
#[utoipa::path(delete, path = "/v1/kms/{region}/keys/{key}/cancel-deletion", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn cancel_deletion(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    headers: HeaderMap,
) -> Reply {
    let done = kms::state::cancel_deletion(&app, &call, named(place), precondition(&headers)).await;
    show(Action::CancelDeletion, done)
}

/// Add a version to a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/rotate", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn rotate(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    headers: HeaderMap,
) -> Reply {
    let done = kms::rotate::rotate(&app, &call, named(place), precondition(&headers)).await;
    show(Action::RotateKey, done)
}

/// Disable a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/disable", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn disable(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    headers: HeaderMap,
) -> Reply {
    let done = kms::state::disable(&app, &call, named(place), precondition(&headers)).await;
    show(Action::DisableKey, done)
}

/// Enable a key
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/enable", tag = "KMS",
    responses((status = 200, body = KmsKey)))]
pub async fn enable(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    headers: HeaderMap,
) -> Reply {
    let done = kms::state::enable(&app, &call, named(place), precondition(&headers)).await;
    show(Action::EnableKey, done)
}

/// Encrypt a small plaintext
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/encrypt", tag = "KMS",
    request_body = EncryptRequest, responses((status = 200, body = EncryptResponse)))]
pub async fn encrypt(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<EncryptRequest>();
    let sealed = kms::data::encrypt(&app, &call, named(place), body).await;
    reply::of(Action::Encrypt, sealed, |ciphertext| EncryptResponse {
        ciphertext: ciphertext.to_string(),
        key_version: ciphertext.key_version.to_string(),
    })
}

/// Decrypt what encrypt gave
#[utoipa::path(post, path = "/v1/kms/{region}/keys/{key}/decrypt", tag = "KMS",
    request_body = DecryptRequest, responses((status = 200, body = DecryptResponse)))]
pub async fn decrypt(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    place: Place,
    request: Request,
) -> Reply {
    let body = read_body(&app, request).await.parse::<DecryptRequest>();
    let opened = kms::data::decrypt(&app, &call, named(place), body).await;
    reply::of(Action::Decrypt, opened, |(plaintext, version)| DecryptResponse {
        plaintext: SecretText::encode(plaintext.expose()),
        key_version: version.to_string(),
    })
}

pub async fn read_body(app: &App, request: Request) -> JsonBody {
    let (parts, body) = request.into_parts();
    let time = std::time::Duration::from_secs(app.config.limits.body_seconds);
    JsonBody::read(&parts.headers, body, time).await
}

fn named(Path((region, key)): Place) -> Named {
    Named { region, key }
}

fn show(action: Action, view: Result<View>) -> Reply {
    reply::tagged(action, view, |view| view.key.object_version, wire::key_view)
}
