//! Secrets.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;
use coffer_api::{
    BrowseResponse, CreateSecretRequest, Directory, GetSecretValueRequest, GetSecretValueResponse,
    PutSecretValueRequest, PutSecretValueResponse, Secret, SecretText, SetPolicyRequest,
    UpdateSecretRequest, Versions,
};
use serde::{Deserialize, Serialize};

use super::body::JsonBody;
use super::caller::{Authenticated, Segment, precondition};
use super::kms::read_body;
use super::list::{Line, Writer, read_cursor};
use super::query::Params;
use super::reply::{self, Reply};
use super::secret_url::{self, Operation, WrongMethod, parse_path};
use super::wire;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::precondition::Precondition;
use crate::model::secret::{Format, decode_key_values};
use crate::secrets::browse::{Entry, Query, What};
use crate::secrets::value::{Put, Revealed};
use crate::secrets::{Named, View, browse, manage, policy, value};

/// Browse one level, or list everything below a prefix
///
/// `path` browses a directory: its secrets and its child directories. `pathPrefix` lists every secret below
/// as a bare array. Neither means `path=/`; both is an error. Only what the caller may read is shown.
#[utoipa::path(get, path = "/v1/secrets/{region}/secrets", tag = "Secrets",
    params(
        ("path" = Option<String>, Query, description = "Directory to browse", example = "/app/"),
        ("pathPrefix" = Option<String>, Query, description = "Directory to list, with everything below"),
        ("limit" = Option<i64>, Query, description = "Entries a page; all when absent", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "From `X-Next-Cursor` of the page before"),
    ),
    responses((status = 200, description = "An object for `path`, an array for `pathPrefix`", body = Listing)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    uri: Uri,
) -> Reply {
    let query = read_query(&Params::parse(uri.query()));
    let (what, paged) = match &query {
        Ok(query) => (Some(query.what.clone()), query.limit.is_some()),
        Err(_) => (None, false),
    };
    match browse::list(&app, &call, region, query).await {
        Ok(pages) => match what {
            Some(What::Level(level)) => Writer::level(level.as_str(), show_entry),
            _ => Writer::flat(show_entry),
        }
        .answer(pages, paged, &uri),
        Err(error) => reply::refusal(&error),
    }
}

fn show_entry(entry: Entry) -> Line {
    match entry {
        Entry::Directory(directory) => Line::Directory(directory),
        Entry::Secret(view) => Line::item(&wire::secret(*view)),
    }
}

/// Either form of a list, for the description of the API.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Listing {
    Level(BrowseResponse),
    Flat(Vec<Secret>),
}

fn read_query(params: &Params) -> Result<Query> {
    let directory =
        |text: &str| Directory::parse(text).map_err(|error| Error::invalid("", error.to_string()));
    let what = match (params.find("path")?, params.find("pathPrefix")?) {
        (Some(_), Some(_)) => return Err(Error::invalid("", "give either `path` or `pathPrefix`")),
        (None, None) => What::Level(directory("/")?),
        (Some(path), None) => What::Level(directory(path)?),
        (None, Some(prefix)) if prefix.ends_with('/') => What::Below(directory(prefix)?),
        (None, Some(prefix)) => What::AtAndBelow(parse_path(prefix)?),
    };
    Ok(Query { what, labels: params.labels()?, limit: params.limit()?, from: read_cursor(params)? })
}

/// Make a secret with its first value
///
/// Exactly one of `secretString`, `secretKeyValues` and `generateSecret`. The value is not repeated in the
/// answer; reveal it with getSecretValue.
#[utoipa::path(post, path = "/v1/secrets/{region}/secrets", tag = "Secrets",
    request_body = CreateSecretRequest, responses((status = 201, body = Secret)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Authenticated(call): Authenticated,
    Segment(region): Segment<2>,
    request: Request,
) -> Reply {
    /// The path alone, which must be known before the rest is looked at.
    #[derive(Deserialize)]
    struct PathOnly {
        path: String,
    }
    let body = read_body(&app, request).await;
    let path = body.parse::<PathOnly>().and_then(|body| parse_path(&body.path));
    let named = Named { region, path };
    show(Action::CreateSecret, manage::create(&app, &call, named, body.parse()).await)
}

/// Everything at `…/secret…`: which operation it is, and on which path, `secret_url` says.
pub async fn at_path(State(app): State<Arc<App>>, request: Request) -> Reply {
    let params = Params::parse(request.uri().query());
    let (region, tail) = split(request.uri().path());
    if !tail.is_empty() && !tail.starts_with('/') && !tail.starts_with('%') {
        return reply::message(crate::error::Outcome::NotFound, "no such route");
    }
    let addressed = match secret_url::read(request.method(), tail, &params) {
        Ok(addressed) => addressed,
        Err(WrongMethod(allowed)) => return reply::wrong_method(allowed),
    };
    let named = Named { region, path: addressed.path };
    let (mut parts, body) = request.into_parts();
    let authenticated =
        <Authenticated as axum::extract::FromRequestParts<_>>::from_request_parts(&mut parts, &app);
    let call = match authenticated.await {
        Ok(Authenticated(call)) => call,
        Err(refusal) => return refusal,
    };
    let at = At { app, call, named, params, precondition: precondition(&parts.headers) };
    let body = Request::from_parts(parts, body);
    match addressed.operation {
        Operation::Read => read(at).await,
        Operation::Update => update(at, body).await,
        Operation::SetPolicy => set_policy(at, body).await,
        Operation::Put => put(at, body).await,
        Operation::Reveal => reveal(at, body).await,
        Operation::DestroyVersion => destroy_version(at).await,
        Operation::Delete => delete(at).await,
    }
}

/// The region, decoded, and what follows `…/secret`, as it stands.
fn split(path: &str) -> (String, &str) {
    let rest = path.strip_prefix("/v1/secrets/").unwrap_or_default();
    let (region, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let region = percent_encoding::percent_decode_str(region).decode_utf8_lossy().into_owned();
    (region, rest.strip_prefix("secret").unwrap_or_default())
}

/// One authenticated call on one secret.
pub struct At {
    app: Arc<App>,
    call: Call,
    named: Named,
    params: Params,
    precondition: Precondition,
}

/// Metadata of a secret, never its value
#[utoipa::path(get, path = "/v1/secrets/{region}/secret/{path}", tag = "Secrets",
    params(("includeVersions" = Option<bool>, Query, description = "Also list all versions")),
    responses((status = 200, body = Secret), (status = 304, description = "Not changed")))]
pub async fn read(at: At) -> Reply {
    let versions = at.params.flag("includeVersions").map(|included| match included {
        true => Versions::Included,
        false => Versions::LeftOut,
    });
    let read = manage::read(&at.app, &at.call, at.named, versions, at.precondition).await;
    show(Action::ReadSecret, read)
}

/// Change description, labels and annotations
#[utoipa::path(patch, path = "/v1/secrets/{region}/secret/{path}", tag = "Secrets",
    request_body = UpdateSecretRequest, responses((status = 200, body = Secret)))]
pub async fn update(at: At, request: Request) -> Reply {
    let body = read_body(&at.app, request).await.parse::<UpdateSecretRequest>();
    let done = manage::update(&at.app, &at.call, at.named, body, at.precondition).await;
    show(Action::UpdateSecret, done)
}

/// Set or clear the access policy
#[utoipa::path(put, path = "/v1/secrets/{region}/secret/{path}/policy", tag = "Secrets",
    request_body = SetPolicyRequest, responses((status = 200, body = Secret)))]
pub async fn set_policy(at: At, request: Request) -> Reply {
    let body = read_body(&at.app, request).await.parse::<SetPolicyRequest>();
    let done = policy::set(&at.app, &at.call, at.named, body, at.precondition).await;
    show(Action::SetPolicy, done)
}

/// putSecretValue: add a version, which becomes the current one
#[utoipa::path(post, path = "/v1/secrets/{region}/secret/{path}/versions", tag = "Secrets",
    request_body = PutSecretValueRequest, responses((status = 200, body = PutSecretValueResponse)))]
pub async fn put(at: At, request: Request) -> Reply {
    let body = read_body(&at.app, request).await.parse::<PutSecretValueRequest>();
    let put = value::put(&at.app, &at.call, at.named, body, at.precondition).await;
    reply::of(Action::PutSecretValue, put, |put| show_put(&put))
}

/// getSecretValue: reveal a value
///
/// The current version, or the one the body names. Needs no body at all.
#[utoipa::path(post, path = "/v1/secrets/{region}/secret/{path}/value", tag = "Secrets",
    request_body = Option<GetSecretValueRequest>, responses((status = 200, body = GetSecretValueResponse)))]
pub async fn reveal(at: At, request: Request) -> Reply {
    let body: JsonBody = read_body(&at.app, request).await;
    let body = body.parse_or_default::<GetSecretValueRequest>();
    match value::reveal(&at.app, &at.call, at.named, body).await.and_then(show_value) {
        Ok(shown) => reply::json(Action::GetSecretValue.rule().success, &shown),
        Err(error) => reply::refusal(&error),
    }
}

/// Destroy a version's value for ever; the others stay
#[utoipa::path(delete, path = "/v1/secrets/{region}/secret/{path}/versions", tag = "Secrets",
    params(("version" = i64, Query, description = "Which version", minimum = 1)),
    responses((status = 204, description = "Destroyed, now or earlier")))]
pub async fn destroy_version(at: At) -> Reply {
    let version = match at.params.number("version") {
        Ok(Some(version)) if version >= 1 => Ok(version),
        Ok(_) => Err(Error::invalid("version", "must be 1 or more")),
        Err(error) => Err(error),
    };
    let done = manage::destroy_version(&at.app, &at.call, at.named, version, at.precondition).await;
    reply::empty(Action::DestroyVersion, done)
}

/// Delete a secret with all its versions, for good
#[utoipa::path(delete, path = "/v1/secrets/{region}/secret/{path}", tag = "Secrets",
    responses((status = 204, description = "Deleted; the path is free again")))]
pub async fn delete(at: At) -> Reply {
    let done = manage::delete(&at.app, &at.call, at.named, at.precondition).await;
    reply::empty(Action::DeleteSecret, done)
}

fn show(action: Action, view: Result<View>) -> Reply {
    reply::tagged(action, view, |view| view.secret.object_version, wire::secret)
}

pub(super) fn show_put(put: &Put) -> PutSecretValueResponse {
    PutSecretValueResponse { path: put.path.clone(), version: put.version }
}

fn show_value(revealed: Revealed) -> Result<GetSecretValueResponse> {
    let (secret_string, secret_key_values) = match revealed.format {
        Format::String => (Some(SecretText::encode(revealed.value.expose())), None),
        Format::KeyValue => (None, Some(decode_key_values(&revealed.value)?)),
    };
    Ok(GetSecretValueResponse {
        path: revealed.path,
        version: revealed.version,
        secret_string,
        secret_key_values,
        kms_key_identity: revealed.key,
        kms_key_version: revealed.key_version.to_string(),
    })
}
