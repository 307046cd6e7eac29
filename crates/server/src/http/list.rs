//! Lists on the wire: written page by page, with a cursor where one page was asked for.

use axum::body::Body;
use axum::http::header::LINK;
use axum::http::{HeaderName, HeaderValue, Uri};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;

use super::query::Params;
use super::reply::{self, Reply};
use crate::error::{Error, Outcome, Result};
use crate::secrets::browse::{Page, Pages};

/// One entry as it is written.
pub enum Line {
    Item(Vec<u8>),
    /// A directory of a level, told at the end.
    Directory(String),
}

impl Line {
    pub fn item(item: &impl Serialize) -> Self {
        // Metadata has nothing in it that could fail to be JSON.
        Self::Item(serde_json::to_vec(item).unwrap_or_default())
    }
}

/// What a list looks like: a bare array, or the object of a level.
pub struct Writer<T> {
    /// What stands before the next item: the beginning, then a comma.
    before: Vec<u8>,
    directories: Option<Vec<String>>,
    show: fn(T) -> Line,
}

impl<T: Send + 'static> Writer<T> {
    pub fn flat(show: fn(T) -> Line) -> Self {
        Self { before: b"[".to_vec(), directories: None, show }
    }

    /// `{"path": …, "secrets": […], "prefixes": […]}`; a directory's alphabet needs no escaping.
    pub fn level(path: &str, show: fn(T) -> Line) -> Self {
        let before = format!(r#"{{"path":"{path}","secrets":["#).into_bytes();
        Self { before, directories: Some(Vec::new()), show }
    }

    /// Answers with one page and its cursor when `paged`, else streams all.
    pub fn answer(mut self, pages: Pages<T>, paged: bool, uri: &Uri) -> Reply {
        if !paged {
            return self.stream(pages);
        }
        let page = pages.into_first();
        let next = page.as_ref().and_then(|page| page.next.clone());
        let mut text = self.page(page);
        text.extend_from_slice(&self.end());
        with_next(reply::as_json(reply::with(Outcome::Ok, Body::from(text))), uri, next.as_deref())
    }

    /// A failure half-way breaks the connection off, so that nobody takes a part for the whole.
    fn stream(mut self, mut pages: Pages<T>) -> Reply {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, Broken>>(1);
        #[expect(
            clippy::disallowed_methods,
            reason = "the list is read while the answer is being sent"
        )]
        tokio::spawn(async move {
            loop {
                let page = pages.next().await;
                let last = !matches!(page, Ok(Some(_)));
                let piece = match page {
                    Ok(None) => Ok(self.end()),
                    Ok(page) => Ok(self.page(page)),
                    Err(error) => {
                        tracing::error!(cause = error.cause(), "a list broke off");
                        Err(Broken)
                    }
                };
                if sender.send(piece.map(Bytes::from)).await.is_err() || last {
                    return;
                }
            }
        });
        let pieces =
            stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        reply::as_json(reply::with(Outcome::Ok, Body::from_stream(pieces)))
    }

    fn page(&mut self, page: Option<Page<T>>) -> Vec<u8> {
        let mut text = Vec::new();
        for item in page.into_iter().flat_map(|page| page.items) {
            match (self.show)(item) {
                Line::Directory(directory) => {
                    self.directories.get_or_insert_default().push(directory);
                }
                Line::Item(item) => {
                    text.append(&mut self.before);
                    text.extend_from_slice(&item);
                    self.before = b",".to_vec();
                }
            }
        }
        text
    }

    fn end(&mut self) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.before);
        if text == b"," {
            text.clear();
        }
        text.push(b']');
        if let Some(directories) = &self.directories {
            text.extend_from_slice(br#","prefixes":"#);
            text.extend_from_slice(&serde_json::to_vec(directories).unwrap_or_default());
            text.push(b'}');
        }
        text
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the list broke off")]
struct Broken;

/// Adds where the next page is, in both forms of section 15, 2. A cursor is the place where the next page
/// begins, in base64url.
fn with_next(mut reply: Reply, uri: &Uri, next: Option<&str>) -> Reply {
    let Some(next) = next else { return reply };
    let cursor = URL_SAFE_NO_PAD.encode(next);
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: String = kept.map(|pair| format!("{pair}&")).collect();
    let link = format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path());
    for (name, value) in [(LINK, link), (HeaderName::from_static("x-next-cursor"), cursor)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

/// The place that a cursor names, empty for the beginning.
pub fn read_cursor(params: &Params) -> Result<String> {
    let text = params.find("cursor")?.unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match bytes {
        Some(place) if place.len() <= 600 && place.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(place)
        }
        _ => Err(Error::invalid("cursor", "is not a cursor of this list")),
    }
}
