//! Lists: admitted and recorded once, then read page by page.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::{Ask, Scope, read, renew_within};
use crate::app::App;
use crate::error::Result;
use crate::model::action::Action;
use crate::model::caller::{Call, Claim};
use crate::store::Tx;

/// A page of a list, and where the next one begins.
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// What one page of a list may cost, so that no list holds a reading thread or the memory for long.
pub struct PageBounds {
    entries_max: usize,
    rows: usize,
    bytes: usize,
    looks: usize,
    heaviest: usize,
    step: usize,
}

impl PageBounds {
    /// Entries of one page, when the caller sets no limit.
    const ENTRIES: usize = 500;
    const ROWS_MAX: usize = 10_000;
    const BYTES_MAX: usize = 1 << 20;
    const LOOKS_MAX: usize = 4_000;
    /// Rows of one look-up.
    const STEP_ROWS_MAX: usize = 128;

    pub fn new(limit: Option<usize>) -> Self {
        let entries_max = limit.unwrap_or(Self::ENTRIES);
        Self { entries_max, rows: 0, bytes: 0, looks: 0, heaviest: 1, step: 1 }
    }

    /// Rows that the next look-up may bring; `None` when the page has had its look-ups.
    pub fn step(&mut self) -> Option<i64> {
        self.looks += 1;
        // Doubles, and never past what the bytes allow if all rows were like the heaviest so far.
        let by_bytes = (Self::BYTES_MAX / self.heaviest).max(1);
        let step = self.step.min(by_bytes);
        self.step = (self.step * 2).min(Self::STEP_ROWS_MAX);
        (self.looks <= Self::LOOKS_MAX).then(|| i64::try_from(step).unwrap_or(1))
    }

    /// A look-up brought rows that are not wanted: the next one begins small again.
    pub fn overreached(&mut self) {
        self.step = 1;
    }

    /// Counts a row that was looked at.
    pub fn count(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
        self.heaviest = self.heaviest.max(bytes);
    }

    pub fn are_reached(&self, entries: usize) -> bool {
        entries >= self.entries_max || self.rows >= Self::ROWS_MAX || self.bytes >= Self::BYTES_MAX
    }
}

/// Reads the page that begins at a place.
type ReadPage<T> = Arc<
    dyn for<'a> Fn(&'a mut Tx, &'a Scope, &'a str) -> LocalBoxFuture<'a, Result<Page<T>>>
        + Send
        + Sync,
>;

/// A list that is read page by page, each in its own transaction, after one admission and one record.
pub struct Pages<T> {
    app: Arc<App>,
    claim: Claim,
    action: Action,
    scope: Scope,
    read_page: ReadPage<T>,
    /// The page at hand; `None` at the end.
    at_hand: Option<Page<T>>,
}

/// Passes a list: admits, reads the first page from `from` on, records, and leaves the rest to be read.
pub async fn pages<T, F>(
    app: &Arc<App>,
    call: &Call,
    ask: Ask,
    from: String,
    read_page: F,
) -> Result<Pages<T>>
where
    T: Send + 'static,
    F: AsyncFn(&mut Tx, &Scope, &str) -> Result<Page<T>> + Send + Sync + 'static,
{
    let action = ask.action;
    let read_page = Arc::new(read_page);
    let read_page: ReadPage<T> = Arc::new(move |tx, scope, from| {
        let read_page = read_page.clone();
        Box::pin(async move { read_page(tx, scope, from).await })
    });
    let first = read_page.clone();
    let (scope, at_hand) = read(app, call, ask, async move |tx, scope| {
        Ok((scope.clone(), first(tx, scope, &from).await?))
    })
    .await?;
    let claim = call.claim.clone();
    Ok(Pages { app: app.clone(), claim, action, scope, read_page, at_hand: Some(at_hand) })
}

impl<T: Send + 'static> Pages<T> {
    /// The next page, `None` after the last. Grants are those of now: whoever loses them in the midst of a
    /// long list sees no more of it.
    #[expect(clippy::disallowed_methods, reason = "this is the door; the list was admitted above")]
    pub async fn next(&mut self) -> Result<Option<Page<T>>> {
        let Some(page) = self.at_hand.take() else { return Ok(None) };
        if let Some(from) = page.next.clone() {
            let renewed = renew_within(&self.app, &self.claim, &self.scope, self.action).await?;
            if let Some(renewed) = renewed {
                self.scope = renewed;
            }
            let (read_page, scope) = (self.read_page.clone(), self.scope.clone());
            let organisation = self.scope.organisation.clone();
            let read = async move |tx: &mut Tx| read_page(tx, &scope, &from).await;
            self.at_hand = Some(self.app.store.search(&organisation, read).await?);
        }
        Ok(Some(page))
    }

    /// The first page alone, for callers who asked for one.
    pub fn into_first(self) -> Option<Page<T>> {
        self.at_hand
    }
}
