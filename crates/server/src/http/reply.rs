//! Answers: the only file that knows status codes.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use coffer_api::{ErrorBody, TokenRefusal};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Kept, Outcome, Result};
use crate::model::action::Action;

pub type Reply = Response<Body>;

/// The status of each outcome.
pub fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Ok => StatusCode::OK,
        Outcome::Created => StatusCode::CREATED,
        Outcome::Done => StatusCode::NO_CONTENT,
        Outcome::Unchanged => StatusCode::NOT_MODIFIED,
        Outcome::Invalid => StatusCode::BAD_REQUEST,
        Outcome::Unauthenticated => StatusCode::UNAUTHORIZED,
        Outcome::Denied => StatusCode::FORBIDDEN,
        Outcome::NotFound => StatusCode::NOT_FOUND,
        Outcome::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Precondition => StatusCode::PRECONDITION_FAILED,
        Outcome::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Outcome::UrlTooLong => StatusCode::URI_TOO_LONG,
        Outcome::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Outcome::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Outcome::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Outcome::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Outcome::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The outcomes of a status, for searching the audit log by it.
pub fn outcomes_of(code: u16) -> Vec<Outcome> {
    let all = Outcome::ALL.iter().map(|(outcome, _)| *outcome);
    all.filter(|outcome| status(*outcome).as_u16() == code).collect()
}

/// The answer of an action: its success with the body that `body` makes, or its refusal.
pub fn of<T, B: Serialize>(action: Action, result: Result<T>, body: impl FnOnce(T) -> B) -> Reply {
    match result {
        Ok(value) => json(action.rule().success, &body(value)),
        Err(error) => refusal(&error),
    }
}

/// As [`of`], with the object version as `ETag`.
pub fn tagged<T, B: Serialize>(
    action: Action,
    result: Result<T>,
    version: impl FnOnce(&T) -> i64,
    body: impl FnOnce(T) -> B,
) -> Reply {
    let version = result.as_ref().ok().map(version);
    let reply = of(action, result, body);
    match version {
        Some(version) => tag(reply, version),
        None => reply,
    }
}

fn tag(mut reply: Reply, object_version: i64) -> Reply {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{object_version}\"")) {
        reply.headers_mut().insert(ETAG, tag);
    }
    reply
}

/// The answer of an action that has nothing to say.
pub fn empty(action: Action, result: Result<()>) -> Reply {
    match result {
        Ok(()) => with(action.rule().success, Body::empty()),
        Err(error) => refusal(&error),
    }
}

/// A JSON body, zeroed once it is sent: it may hold a revealed value.
pub fn json(outcome: Outcome, body: &impl Serialize) -> Reply {
    // Counted first, because a buffer that grows leaves copies of what it held behind.
    let mut counter = Counter(0);
    if serde_json::to_writer(&mut counter, body).is_err() {
        return refusal(&Error::bug("an answer cannot be written as JSON"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(counter.0));
    if serde_json::to_writer(&mut *text, body).is_err() {
        return refusal(&Error::bug("an answer cannot be written as JSON"));
    }
    as_json(with(outcome, Body::from(Bytes::from_owner(text))))
}

/// A table as RFC 4180 has it.
pub fn csv(action: Action, table: String) -> Reply {
    let mut reply = with(action.rule().success, Body::from(table));
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// Figures as OpenMetrics has them.
pub fn figures(text: String) -> Reply {
    let mut reply = with(Outcome::Ok, Body::from(text));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// Marks a body as JSON.
pub fn as_json(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// The answer to a call that did not succeed. Logs what only the operator may know.
pub fn refusal(error: &Error) -> Reply {
    log(error);
    match error {
        Error::Unchanged { object_version } => {
            tag(with(Outcome::Unchanged, Body::empty()), *object_version)
        }
        Error::Replayed(kept) => replay(kept),
        _ => explain(message(error.outcome(), error.message()), error, "Bearer"),
    }
}

/// The answer of before, which says that it is one.
fn replay(kept: &Kept) -> Reply {
    let mut reply = with(kept.outcome, Body::from(kept.body.clone()));
    if !kept.body.is_empty() {
        reply = as_json(reply);
    }
    let name = HeaderName::from_static("idempotency-replayed");
    reply.headers_mut().insert(name, HeaderValue::from_static("true"));
    match kept.object_version {
        Some(version) => tag(reply, version),
        None => reply,
    }
}

/// As [`refusal`], in the shape of the token endpoint, which takes Basic.
pub fn token_refusal(error: &Error, body: &TokenRefusal) -> Reply {
    log(error);
    explain(json(error.outcome(), body), error, "Basic realm=\"coffer\"")
}

fn log(error: &Error) {
    match error.outcome() {
        // Counted instead: a line for each would be too much, too.
        _ if matches!(error, Error::Busy) => {}
        Outcome::Failed => tracing::error!(cause = error.cause(), "call failed"),
        Outcome::Unavailable => tracing::warn!(cause = error.cause(), "call not served"),
        _ => {}
    }
}

/// Says in the head what a client can do about it.
fn explain(mut reply: Reply, error: &Error, scheme: &'static str) -> Reply {
    let headers = reply.headers_mut();
    match error {
        Error::Unauthenticated { .. } => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        Error::TooMany { retry_after_seconds } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_seconds));
        }
        Error::Unavailable { .. } | Error::Busy => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    reply
}

/// A refusal of HTTP itself, before any operation: 405, 414, 431, unknown routes.
pub fn message(outcome: Outcome, message: impl Into<String>) -> Reply {
    json(outcome, &ErrorBody { message: message.into() })
}

/// 405, with the methods that would do.
pub fn wrong_method(allowed: &str) -> Reply {
    let mut reply =
        message(Outcome::WrongMethod, format!("method not allowed here; allowed: {allowed}"));
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        reply.headers_mut().insert(ALLOW, allowed);
    }
    reply
}

/// A reply with a body of any kind.
pub fn with(outcome: Outcome, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status(outcome);
    reply
}

/// What every answer carries: kept by nobody, and nothing that a browser would show or run.
const ALWAYS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];
/// Two years (RFC 6797).
const STRICT: &str = "max-age=63072000";

/// An answer as it leaves, strict where clients reach the server over HTTPS.
pub fn finish(mut reply: Reply, request_id: &str, is_https: bool) -> Reply {
    let headers: &mut HeaderMap = reply.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    reply
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
