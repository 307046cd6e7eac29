//! HTTP in, HTTP out. Decides nothing: it reads requests, calls one operation, writes the answer.

mod administrator;
mod audit;
mod body;
mod caller;
mod client_address;
mod elevations;
mod explain;
mod federation;
mod health;
mod iam;
mod invites;
mod kept;
mod kms;
mod list;
mod me;
mod metering;
pub mod metrics;
mod oidc;
pub mod openapi;
mod platform;
mod policies;
mod projects;
mod query;
mod quotas;
mod regions;
pub mod reply;
mod secret_url;
mod secrets;
pub mod server;
mod service_accounts;
mod teams;
mod wire;
mod wire_policies;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, Method, Request, Uri};
use axum::middleware::Next;
use axum::routing::{MethodRouter, any, delete, get, patch, post, put};
use futures_util::FutureExt;
use tower::ServiceExt;

use crate::app::App;
use crate::error::{Error, Outcome};
use crate::load::Held;
use crate::model::caller::Arrival;
use crate::model::limits::{HEADER_BYTES_MAX, URL_BYTES_MAX};
use reply::Reply;

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path;)*) => {
        /// Every route: method and path. `ANY` stands for the methods that `secret_url` tells apart.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path),)*];

        fn handlers() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
            vec![$(($path, routes!(@ $method $handler)),)*]
        }
    };
    (@ GET $handler:path) => { get($handler) };
    (@ POST $handler:path) => { post($handler) };
    (@ PUT $handler:path) => { put($handler) };
    (@ PATCH $handler:path) => { patch($handler) };
    (@ DELETE $handler:path) => { delete($handler) };
    (@ ANY $handler:path) => { any($handler) };
}

routes! {
    GET    "/healthz"                                      => health::healthz;
    GET    "/readyz"                                       => health::readyz;
    GET    "/openapi.json"                                 => openapi::document;

    POST   "/oidc/token"                                   => oidc::token;
    GET    "/oidc/jwks"                                    => oidc::jwks;
    GET    "/.well-known/openid-configuration"             => oidc::metadata;

    GET    "/v1/me"                                        => me::read;
    GET    "/v1/me/organisation-memberships"               => me::memberships;
    GET    "/v1/me/personal-access-tokens"                 => me::list_tokens;
    POST   "/v1/me/personal-access-tokens"                 => me::create_token;
    DELETE "/v1/me/personal-access-tokens/{token}"         => me::delete_token;
    GET    "/v1/regions"                                   => regions::list;
    GET    "/v1/regions/{region}"                          => regions::read;

    GET    "/v1/secrets/{region}/secrets"                  => secrets::list;
    POST   "/v1/secrets/{region}/secrets"                  => secrets::create;
    ANY    "/v1/secrets/{region}/secret"                   => secrets::at_path;
    ANY    "/v1/secrets/{region}/secret{*tail}"            => secrets::at_path;

    GET    "/v1/secrets/{region}/explain"                  => explain::explain;

    GET    "/v1/kms/summary"                               => kms::summary;
    GET    "/v1/kms/{region}/keys"                         => kms::list;
    POST   "/v1/kms/{region}/keys"                         => kms::create;
    GET    "/v1/kms/{region}/wrapping-key"                 => kms::wrapping_key;
    GET    "/v1/kms/{region}/keys/{key}"                   => kms::read;
    DELETE "/v1/kms/{region}/keys/{key}"                   => kms::schedule_deletion;
    DELETE "/v1/kms/{region}/keys/{key}/cancel-deletion"   => kms::cancel_deletion;
    PATCH  "/v1/kms/{region}/keys/{key}/rotation"          => kms::set_rotation;
    POST   "/v1/kms/{region}/keys/{key}/rotate"            => kms::rotate;
    POST   "/v1/kms/{region}/keys/{key}/disable"           => kms::disable;
    POST   "/v1/kms/{region}/keys/{key}/enable"            => kms::enable;
    POST   "/v1/kms/{region}/keys/{key}/encrypt"           => kms::data::encrypt;
    POST   "/v1/kms/{region}/keys/{key}/decrypt"           => kms::data::decrypt;
    POST   "/v1/kms/{region}/keys/{key}/generate-data-key" => kms::data::generate_data_key;
    POST   "/v1/kms/{region}/keys/{key}/rewrap"            => kms::data::rewrap;
    POST   "/v1/kms/{region}/keys/{key}/sign"              => kms::data::sign;
    POST   "/v1/kms/{region}/keys/{key}/verify"            => kms::data::verify;
    POST   "/v1/kms/{region}/keys/{key}/hmac"              => kms::data::hmac;
    POST   "/v1/kms/{region}/keys/{key}/verify-hmac"       => kms::data::verify_hmac;
    GET    "/v1/kms/{region}/keys/{key}/public-key"        => kms::data::public_key;
    POST   "/v1/kms/{region}/keys/{key}/export"            => kms::data::export;

    GET    "/v1/iam/roles"                                 => iam::list_roles;
    POST   "/v1/iam/roles"                                 => iam::create_role;
    GET    "/v1/iam/roles/{role}"                          => iam::read_role;
    DELETE "/v1/iam/roles/{role}"                          => iam::delete_role;
    POST   "/v1/iam/roles/{role}/rules"                    => iam::create_rule;
    DELETE "/v1/iam/roles/{role}/rules/{rule}"             => iam::delete_rule;
    GET    "/v1/iam/roles/{role}/bindings"                 => iam::list_bindings;
    POST   "/v1/iam/roles/{role}/bindings"                 => iam::create_binding;
    DELETE "/v1/iam/roles/{role}/bindings/{binding}"       => iam::delete_binding;

    GET    "/v1/teams"                                     => teams::list;
    POST   "/v1/teams"                                     => teams::create;
    GET    "/v1/teams/{team}"                              => teams::read;
    PUT    "/v1/teams/{team}"                              => teams::update;
    DELETE "/v1/teams/{team}"                              => teams::delete;
    POST   "/v1/teams/{team}/members"                      => teams::add_member;
    DELETE "/v1/teams/{team}/members/{member}"             => teams::drop_member;
    GET    "/v1/memberships"                               => teams::list_members;
    PUT    "/v1/memberships/{membership}"                  => teams::update_member;
    DELETE "/v1/memberships/{membership}"                  => teams::delete_member;

    GET    "/v1/service-accounts"                          => service_accounts::list;
    POST   "/v1/service-accounts"                          => service_accounts::create;
    GET    "/v1/service-accounts/{account}"                => service_accounts::read;
    PUT    "/v1/service-accounts/{account}"                => service_accounts::update;
    DELETE "/v1/service-accounts/{account}"                => service_accounts::delete;
    GET    "/v1/service-accounts/{account}/access-credentials" => service_accounts::list_credentials;
    POST   "/v1/service-accounts/{account}/access-credentials" => service_accounts::create_credential;
    DELETE "/v1/service-accounts/{account}/access-credentials/{credential}" => service_accounts::delete_credential;

    GET    "/v1/projects"                                  => projects::list;
    POST   "/v1/projects"                                  => projects::create;
    GET    "/v1/projects/{project}"                        => projects::read;
    PUT    "/v1/projects/{project}"                        => projects::update;
    DELETE "/v1/projects/{project}"                        => projects::delete;
    GET    "/v1/projects/iam/policies"                       => policies::list;
    POST   "/v1/projects/iam/policies"                       => policies::create;
    GET    "/v1/projects/iam/policies/resources"             => policies::list_assignable;
    GET    "/v1/projects/iam/policies/members"               => policies::list_members;
    GET    "/v1/projects/iam/policies/{policy}"              => policies::read;
    PUT    "/v1/projects/iam/policies/{policy}"              => policies::update;
    DELETE "/v1/projects/iam/policies/{policy}"              => policies::delete;
    POST   "/v1/projects/iam/policies/{policy}/rules"        => policies::create_rule;
    DELETE "/v1/projects/iam/policies/{policy}/rules/{rule}" => policies::delete_rule;
    GET    "/v1/projects/iam/policies/{policy}/bindings"     => policies::list_bindings;
    POST   "/v1/projects/iam/policies/{policy}/bindings"     => policies::create_binding;
    GET    "/v1/projects/iam/policies/{policy}/bindings/{binding}" => policies::read_binding;
    PUT    "/v1/projects/iam/policies/{policy}/bindings/{binding}" => policies::update_binding;
    DELETE "/v1/projects/iam/policies/{policy}/bindings/{binding}" => policies::delete_binding;
    GET    "/v1/projects/iam/access-bindings"                => policies::list_access;
    GET    "/v1/projects/iam/my-access-elevations"           => elevations::list_own;
    POST   "/v1/projects/iam/my-access-elevations"           => elevations::request;
    GET    "/v1/projects/iam/my-access-elevations/{elevation}" => elevations::read_own;
    POST   "/v1/projects/iam/my-access-elevations/{elevation}/cancel" => elevations::cancel;
    GET    "/v1/projects/iam/access-elevations"              => elevations::list;
    GET    "/v1/projects/iam/access-elevations/{elevation}"  => elevations::read;
    POST   "/v1/projects/iam/access-elevations/{elevation}/approve" => elevations::approve;
    POST   "/v1/projects/iam/access-elevations/{elevation}/reject" => elevations::reject;
    POST   "/v1/projects/iam/access-elevations/{elevation}/revoke" => elevations::revoke;
    GET    "/v1/federated-identity-providers"              => federation::list_providers;
    POST   "/v1/federated-identity-providers"              => federation::create_provider;
    GET    "/v1/federated-identity-providers/{provider}"   => federation::read_provider;
    PUT    "/v1/federated-identity-providers/{provider}"   => federation::update_provider;
    DELETE "/v1/federated-identity-providers/{provider}"   => federation::delete_provider;
    GET    "/v1/federated-identities"                      => federation::list;
    POST   "/v1/federated-identities"                      => federation::create;
    GET    "/v1/federated-identities/{federation}"         => federation::read;
    PUT    "/v1/federated-identities/{federation}"         => federation::update;
    DELETE "/v1/federated-identities/{federation}"         => federation::delete;
    GET    "/v1/invites"                                   => invites::list;
    POST   "/v1/invites"                                   => invites::create;
    POST   "/v1/invites/accept"                            => invites::accept;
    DELETE "/v1/invites/{invite}"                          => invites::delete;

    GET    "/v1/metering/secret-versions"                  => metering::secret_versions;
    GET    "/v1/quotas"                                    => quotas::list;
    POST   "/v1/quotas/increase-requests"                  => quotas::request_increase;
    GET    "/v1/quotas/{quota}"                            => quotas::read;

    GET    "/v1/audit"                                     => audit::search;

    GET    "/v1/platform/organisations"                    => platform::list_organisations;
    POST   "/v1/platform/organisations"                    => platform::create_organisation;
    GET    "/v1/platform/organisations/{organisation}"     => platform::read_organisation;
    PATCH  "/v1/platform/organisations/{organisation}"     => platform::update_organisation;
    GET    "/v1/platform/regions"                          => platform::list_regions;
    PATCH  "/v1/platform/regions/{region}"                 => platform::update_region;
    GET    "/v1/platform/quota-increase-requests"          => platform::list_increases;
    POST   "/v1/platform/quota-increase-requests/{request}/approve" => platform::approve;
    POST   "/v1/platform/quota-increase-requests/{request}/deny" => platform::deny;
    GET    "/v1/platform/audit"                            => platform::search_audit;
}

/// The routes, ready to serve.
pub fn router(app: Arc<App>) -> Router {
    handlers()
        .into_iter()
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler))
        .route_layer(axum::middleware::from_fn(tell_route))
        .fallback(async || reply::message(Outcome::NotFound, "no such route"))
        .method_not_allowed_fallback(async || {
            reply::message(Outcome::WrongMethod, "method not allowed here")
        })
        .with_state(app)
}

/// Answers one request that came from `peer`. The order of layers: request id, limits on the head, route,
/// caller, body, operation.
pub async fn answer(app: &App, router: Router, peer: IpAddr, mut request: Request<Body>) -> Reply {
    // Joining an endpoint that ends with `/` and a path that begins with one gives `//` (section 1.1).
    if let Some(path) =
        request.uri().path_and_query().filter(|path| path.as_str().starts_with("//"))
        && let Ok(uri) = Uri::try_from(path.as_str().get(1..).unwrap_or_default())
    {
        *request.uri_mut() = uri;
    }
    let began = Instant::now();
    let arrival = arrival(app, peer, &request);
    let (id, method) = (arrival.request_id.clone(), request.method().clone());
    // Its place among the calls under way, from when it is known whose it is until it is answered.
    let held = Held::default();
    let reply = match check_head(&request) {
        Some(refusal) => refusal,
        None => {
            request.extensions_mut().insert(arrival);
            request.extensions_mut().insert(held.clone());
            let answered = AssertUnwindSafe(router.oneshot(request)).catch_unwind().await;
            match answered {
                Ok(Ok(reply)) => reply,
                Ok(Err(never)) => match never {},
                Err(_) => reply::refusal(&Error::bug("a handler panicked")),
            }
        }
    };
    let route = reply.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    app.metrics.answered(method_of(&method), route, reply.status().as_u16(), began.elapsed());
    drop(held);
    reply::finish(reply, &id, app.is_https)
}

/// A method as figures tell it: anybody can invent others.
fn method_of(method: &Method) -> &str {
    let known =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    if known.contains(method) { method.as_str() } else { "other" }
}

/// Tells which route has answered.
async fn tell_route(matched: MatchedPath, request: Request<Body>, next: Next) -> Reply {
    let mut reply = next.run(request).await;
    reply.extensions_mut().insert(matched);
    reply
}

fn arrival(app: &App, peer: IpAddr, request: &Request<Body>) -> Arrival {
    let headers = request.headers();
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sent_id = text("x-request-id");
    let keeps = (1..=128).contains(&sent_id.len())
        && sent_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    Arrival {
        at: app.clock.now(),
        client: client_address::client_address(peer, headers, &app.trusted_proxies),
        user_agent: text("user-agent").chars().take(256).collect(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        request_id: match keeps {
            true => sent_id.to_owned(),
            false => app.clock.fresh_id("req-").unwrap_or_default(),
        },
    }
}

/// Limits that hold before anything is parsed or authenticated.
fn check_head(request: &Request<Body>) -> Option<Reply> {
    let url = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let block = |headers: &HeaderMap| -> usize {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
    };
    if url > URL_BYTES_MAX {
        Some(reply::message(Outcome::UrlTooLong, "URL is longer than 4 KiB"))
    } else if block(request.headers()) > HEADER_BYTES_MAX {
        Some(reply::message(Outcome::HeadersTooLarge, "header block is larger than 16 KiB"))
    } else {
        None
    }
}
