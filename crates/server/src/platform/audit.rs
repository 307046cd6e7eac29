//! The records of no organisation: what administrators and the operator did, and failed authentications.

use std::sync::Arc;

use crate::app::App;
use crate::error::Result;
use crate::gate::{About, oversee};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::event::{Event, EventFilter};

/// How many records match, and one page of them, newest first.
pub async fn search(
    app: &Arc<App>,
    call: &AdministratorCall,
    query: Result<(EventFilter, i64, i64)>,
) -> Result<(i64, Vec<Event>)> {
    let about = About::Platform(String::new());
    oversee(app, call, Action::ListPlatformAudit, about, async move |tx| {
        let (filter, page, limit) = query.clone()?;
        tx.list_events(&filter, limit, (page - 1) * limit).await
    })
    .await
}
