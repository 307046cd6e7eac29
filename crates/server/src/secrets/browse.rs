//! Lists: one level of the tree, or everything below a prefix. They cost what the page shows, not what the
//! tree holds: a directory is passed over by its key range, and only ranges the caller may read are looked at.

use std::sync::Arc;

use coffer_api::{Directory, Map, SecretPath};

use super::View;
use crate::app::App;
use crate::error::Result;
use crate::gate::{self, Ask, PageBounds, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::decide::{Target, allows, readable_prefixes};
use crate::model::secret::Secret;
use crate::store::Tx;

pub use crate::gate::{Page, Pages};

/// Sorts behind a path and before every longer one: below the whole alphabet of paths.
const JUST_AFTER: &str = "!";
/// Sorts behind everything that begins with a path: above the whole alphabet of paths.
const BEHIND_ALL: &str = "~";
/// What to list.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The directories and secrets directly in a directory.
    Level(Directory),
    /// Every secret in a directory and below.
    Below(Directory),
    /// A secret, and every secret in the directory of the same name.
    AtAndBelow(SecretPath),
}

impl What {
    /// The directory or path, for the record.
    fn name(&self) -> &str {
        match self {
            Self::Level(directory) | Self::Below(directory) => directory.as_str(),
            Self::AtAndBelow(path) => path.as_str(),
        }
    }
}

/// A list as it was asked for.
#[derive(Debug, Clone)]
pub struct Query {
    pub what: What,
    /// Labels that a secret of a flat list must carry.
    pub labels: Map,
    /// Entries of the page; without it, pages follow each other until the end.
    pub limit: Option<usize>,
    /// Where the page begins, from an earlier page; empty for the beginning.
    pub from: String,
}

/// One line of a list.
pub enum Entry {
    Directory(String),
    Secret(Box<View>),
}

/// Reads a list; the first page is at hand when this returns.
pub async fn list(
    app: &Arc<App>,
    call: &Call,
    region: String,
    query: Result<Query>,
) -> Result<Pages<Entry>> {
    // A query that does not parse is told where a path that does not parse would be.
    let (from, subject) = match &query {
        Ok(query) => (query.from.clone(), Subject::Within(query.what.name().to_owned())),
        Err(error) => (String::new(), Subject::Secret(Err(error.clone()))),
    };
    let ask = Ask { action: Action::ListSecrets, region: Some(region), subject };
    let shared = app.clone();
    gate::pages(app, call, ask, from, async move |tx: &mut Tx, scope: &Scope, from: &str| {
        let query = query.as_ref().map_err(Clone::clone)?;
        read_page(&shared, tx, scope, query, from).await
    })
    .await
}

async fn read_page(
    app: &App,
    tx: &mut Tx,
    scope: &Scope,
    query: &Query,
    from: &str,
) -> Result<Page<Entry>> {
    let mut page = Page { items: Vec::new(), next: None };
    let mut bounds = PageBounds::new(query.limit);
    let mut at = from.to_owned();
    for (start, end) in readable_ranges(scope, &query.what) {
        at = at.max(start);
        while at < end {
            let Some(step) = bounds.step() else {
                page.next = Some(at);
                return Ok(page);
            };
            let rows =
                tx.list_secrets((scope.region_id(), &scope.project), (&at, &end), step).await?;
            let last_step = i64::try_from(rows.len()).is_ok_and(|count| count < step);
            for secret in rows {
                if secret.path < at {
                    // Lies in a directory that was just passed over: the look-up reached too far.
                    bounds.overreached();
                    continue;
                }
                if bounds.are_reached(page.items.len()) {
                    page.next = Some(at);
                    return Ok(page);
                }
                bounds.count(secret.weight());
                at = take_row(app, scope, query, secret, &mut page.items)?;
            }
            if last_step {
                break;
            }
        }
    }
    Ok(page)
}

/// Puts one row's entry on the page, and says where to go on.
fn take_row(
    app: &App,
    scope: &Scope,
    query: &Query,
    secret: Secret,
    entries: &mut Vec<Entry>,
) -> Result<String> {
    let after = [&secret.path, JUST_AFTER].concat();
    if !allows(&scope.caller.grants, Action::ReadSecret, Target::One(&secret.path)) {
        return Ok(after);
    }
    if let What::Level(level) = &query.what {
        let name = secret.path.get(level.as_str().len()..).unwrap_or_default();
        if let Some((child, _)) = name.split_once('/') {
            let directory = [level.as_str(), child, "/"].concat();
            let behind = [&directory, BEHIND_ALL].concat();
            entries.push(Entry::Directory(directory));
            return Ok(behind);
        }
    }
    let flat = !matches!(query.what, What::Level(_));
    if !flat || query.labels.iter().all(|(key, value)| secret.labels.get(key) == Some(value)) {
        entries.push(Entry::Secret(Box::new(View::new(app, scope, secret, None)?)));
    }
    Ok(after)
}

/// The ranges of paths that are both asked for and possibly readable, in order and apart from each other.
fn readable_ranges(scope: &Scope, what: &What) -> Vec<(String, String)> {
    let behind = |prefix: &str| [prefix, BEHIND_ALL].concat();
    let asked: Vec<(String, String)> = match what {
        What::Level(directory) | What::Below(directory) => {
            vec![(directory.as_str().to_owned(), behind(directory.as_str()))]
        }
        What::AtAndBelow(path) => {
            let directory = [path.as_str(), "/"].concat();
            vec![
                (path.as_str().to_owned(), [path.as_str(), JUST_AFTER].concat()),
                (directory.clone(), behind(&directory)),
            ]
        }
    };
    let readable = readable_prefixes(&scope.caller.grants);
    let mut ranges = Vec::new();
    for (start, end) in asked {
        for prefix in &readable {
            let start = start.as_str().max(prefix).to_owned();
            let end = end.clone().min(behind(prefix));
            if start < end {
                ranges.push((start, end));
            }
        }
    }
    ranges
}
