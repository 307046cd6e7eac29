//! Requests for larger quotas, as administrators of the platform decide them.

use std::sync::Arc;

use coffer_api::DecideIncreaseRequest;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{About, administer, oversee};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::identity::Organisation;
use crate::model::limits;
use crate::model::quota::{Decision, Increase};
use crate::store::Tx;

/// A request, and who asks.
pub type View = (Increase, Organisation);

/// The last thousand requests, or those with one decision.
pub async fn list(
    app: &Arc<App>,
    call: &AdministratorCall,
    decision: Result<Option<Decision>>,
) -> Result<Vec<View>> {
    let about = About::Platform(String::new());
    oversee(app, call, Action::ListIncreases, about, async move |tx| {
        let mut views = Vec::new();
        for increase in tx.list_all_increases(decision.clone()?).await? {
            views.push(with_organisation(tx, increase).await?);
        }
        Ok(views)
    })
    .await
}

/// Decides a request that waits. An approved one raises the maximum at once, and never lowers it.
pub async fn decide(
    app: &Arc<App>,
    call: &AdministratorCall,
    id: String,
    decision: Decision,
    body: Result<DecideIncreaseRequest>,
) -> Result<View> {
    let (shared, about) = (app.clone(), About::Increase(id.clone()));
    let action = match decision {
        Decision::Approved => Action::ApproveIncrease,
        Decision::Denied | Decision::Pending => Action::DenyIncrease,
    };
    administer(app, call, action, about, async move |tx| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let reason = body.reason.clone().unwrap_or_default();
        if reason.chars().count() > limits::DESCRIPTION_CHARS_MAX {
            return Err(Error::invalid("reason", "longer than 1024 characters"));
        }
        tx.decide_increase(&id, decision, &reason, shared.clock.now()).await?;
        let increase = tx.find_increase(&id).await?.ok_or(Error::not_found("request"))?;
        if decision == Decision::Approved {
            let usages = tx.list_quotas().await?;
            let now = usages.iter().find(|usage| usage.quota == increase.quota);
            // 0 is no bound, which nothing is larger than.
            if now.is_some_and(|now| now.most > 0 && now.most < increase.new_most) {
                tx.set_quota(increase.quota, Some(increase.new_most)).await?;
            }
        }
        with_organisation(tx, increase).await
    })
    .await
}

async fn with_organisation(tx: &mut Tx, increase: Increase) -> Result<View> {
    let found = tx.find_organisation(&increase.organisation).await?;
    Ok((increase, found.ok_or_else(|| Error::corrupt("a request of no organisation"))?))
}
