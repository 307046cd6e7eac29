//! Request bodies: bounded, JSON only, of bounded depth, zeroed when dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as Incoming, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::{Error, Result, describe_json_error};
use crate::model::idempotency::Body;
use crate::model::limits::{BODY_BYTES_MAX, FORM_BYTES_MAX, JSON_DEPTH_MAX};

/// A body as it came, or why it was not taken. What is wrong with it is told in its turn.
pub struct JsonBody(Result<Body>);

impl JsonBody {
    /// Takes the body in, at most 256 KiB of it.
    pub async fn read(headers: &HeaderMap, body: Incoming, time: Duration) -> Self {
        let taken = take(body, BODY_BYTES_MAX, time).await;
        Self(taken.and_then(|bytes| match bytes.is_empty() || is(headers, "application/json") {
            true => Ok(Arc::new(bytes)),
            false => Err(Error::MediaType),
        }))
    }

    /// What came, to tell the request from others. What was not taken is like nothing that ever was.
    pub fn came(&self) -> Body {
        self.0.clone().unwrap_or_else(|_| Arc::new(Zeroizing::new(vec![0])))
    }

    /// Parses a body that must be there.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let bytes = self.0.as_ref().map_err(Clone::clone)?;
        if bytes.is_empty() {
            return Err(Error::invalid("", "the body is missing"));
        }
        check_depth(bytes)?;
        // A struct would also be read from an array, field by field.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Error::invalid("", "the body must be a JSON object"));
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| describe_json_error("", &error))?;
        json.end().map_err(|_| Error::invalid("", "something follows the JSON body"))?;
        Ok(value)
    }

    /// Parses a body that may be left out.
    pub fn parse_or_default<T: DeserializeOwned + Default>(&self) -> Result<T> {
        match &self.0 {
            Ok(bytes) if bytes.is_empty() => Ok(T::default()),
            _ => self.parse(),
        }
    }
}

/// Takes a form in, at most 64 KiB of it.
pub async fn read_form(
    headers: &HeaderMap,
    body: Incoming,
    time: Duration,
) -> Result<Zeroizing<Vec<u8>>> {
    let too_large = |error| match error {
        Error::BodyTooLarge => Error::invalid("", "the form is larger than 64 KiB"),
        other => other,
    };
    let bytes = take(body, FORM_BYTES_MAX, time).await.map_err(too_large)?;
    match bytes.is_empty() || is(headers, "application/x-www-form-urlencoded") {
        true => Ok(bytes),
        false => Err(Error::invalid("", "send `Content-Type: application/x-www-form-urlencoded`")),
    }
}

async fn take(body: Incoming, bytes_max: usize, time: Duration) -> Result<Zeroizing<Vec<u8>>> {
    match tokio::time::timeout(time, take_slowly(body, bytes_max)).await {
        Ok(taken) => taken,
        Err(_) => Err(Error::invalid("", "the body did not come in time")),
    }
}

async fn take_slowly(mut body: Incoming, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>> {
    // What was announced, or nothing where there is no body at all.
    let announced = body.size_hint().exact().map(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length.is_none_or(|length| length > bytes_max)) {
        return Err(Error::BodyTooLarge);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.flatten().unwrap_or_default()));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::invalid("", "the body broke off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > bytes_max {
            return Err(Error::BodyTooLarge);
        }
        add(&mut bytes, &data);
    }
    Ok(bytes)
}

/// SECURITY: a vector that grows by itself would leave copies of values behind.
fn add(bytes: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    let wanted = bytes.len() + data.len();
    if wanted > bytes.capacity() {
        let room = Vec::with_capacity(wanted.max(2 * bytes.capacity()));
        let few = std::mem::replace(bytes, Zeroizing::new(room));
        bytes.extend_from_slice(&few);
    }
    bytes.extend_from_slice(data);
}

/// Whether the body is said to be of a type.
fn is(headers: &HeaderMap, media_type: &str) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(media_type)
}

/// SECURITY: counted before parsing, so that depth costs no stack.
fn check_depth(bytes: &[u8]) -> Result<()> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(Error::invalid("", format!("JSON is nested deeper than {JSON_DEPTH_MAX}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_texts() {
        assert!(check_depth("[".repeat(16).as_bytes()).is_ok());
        assert!(check_depth("[".repeat(17).as_bytes()).is_err());
        assert!(check_depth(format!("\"{}\"", "[".repeat(99)).as_bytes()).is_ok());
        assert!(check_depth(format!("\"\\\"{}\"", "{".repeat(99)).as_bytes()).is_ok());
        assert!(check_depth("[]".repeat(99).as_bytes()).is_ok());
    }

    #[test]
    fn errors_never_repeat_values() {
        const CANARY: &str = "canary-9f3a";
        for json in [
            format!(r#"{{"path":"/a","kmsKeyIdentity":"k","secretString":{{"x":"{CANARY}"}}}}"#),
            format!(r#"{{"path":"/a","kmsKeyIdentity":"k","secretKeyValues":"{CANARY}"}}"#),
            format!(r#"{{"path":"/a","kmsKeyIdentity":"k","generateSecret":"{CANARY}"}}"#),
            format!(r#""{CANARY}""#),
            format!(r#"{{"path":"/a","secretString":"{CANARY}"#),
            format!(r#"["{CANARY}"]"#),
        ] {
            let body = JsonBody(Ok(Arc::new(Zeroizing::new(json.into_bytes()))));
            let error = body.parse::<coffer_api::CreateSecretRequest>().err().unwrap();
            assert!(!error.message().contains("canary"), "{}", error.message());
            assert!(!error.cause().contains("canary"), "{}", error.cause());
        }
    }
}
