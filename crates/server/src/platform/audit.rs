//! The records of no organisation: what administrators and the operator did, and failed authentications.

use std::sync::Arc;

use crate::app::App;
use crate::error::Result;
use crate::gate::{About, oversee};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::event::{Event, EventFilter};

/// What is searched for; `None` for what no record can match.
pub type Query = (Option<EventFilter>, i64, i64);

/// How many records match, and one page of them, newest first.
pub async fn search(
    app: &Arc<App>,
    call: &AdministratorCall,
    query: Result<Query>,
) -> Result<(i64, Vec<Event>)> {
    let about = About::Platform(String::new());
    oversee(app, call, Action::ListPlatformAudit, about, async move |tx| {
        let (filter, page, limit) = query.clone()?;
        match filter {
            Some(filter) => tx.list_events(&filter, limit, (page - 1) * limit).await,
            None => Ok((0, Vec::new())),
        }
    })
    .await
}
