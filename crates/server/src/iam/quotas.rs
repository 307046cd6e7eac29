//! Quotas as the organisation sees them, and asking for more (contract, section 6.4).

use std::sync::Arc;

use coffer_api::CreateIncreaseRequest;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Ask, Scope, Subject};
use crate::model::action::Action;
use crate::model::caller::{Call, Standing};
use crate::model::limits;
use crate::model::quota::{Decision, Increase, Quota, Usage};
use crate::store::Tx;

/// The largest maximum that may be asked for.
const NEW_MOST_MAX: i64 = 1_000_000_000_000;

/// A quota with the requests for more of it.
pub struct View {
    pub usage: Usage,
    pub increases: Vec<Increase>,
}

/// All quotas.
pub async fn list(app: &Arc<App>, call: &Call) -> Result<Vec<View>> {
    let ask = Ask { action: Action::ListQuotas, region: None, subject: Subject::None };
    gate::read(app, call, ask, async |tx, _: &Scope| views(tx).await).await
}

/// One quota by its name.
pub async fn read(app: &Arc<App>, call: &Call, name: String) -> Result<View> {
    let ask =
        Ask { action: Action::ReadQuota, region: None, subject: Subject::Within(name.clone()) };
    gate::read(app, call, ask, async move |tx, _| {
        let mut views = views(tx).await?.into_iter();
        let found = views.find(|view| view.usage.quota.name() == name);
        found.ok_or(Error::not_found("quota"))
    })
    .await
}

async fn views(tx: &mut Tx) -> Result<Vec<View>> {
    let increases = tx.list_increases().await?;
    let of = |quota| increases.iter().filter(move |increase| increase.quota == quota);
    let usages = tx.list_quotas().await?.into_iter();
    let view = |usage: Usage| View { increases: of(usage.quota).cloned().collect(), usage };
    Ok(usages.map(view).collect())
}

/// Asks the platform for a larger maximum. One request waits for each quota at most.
pub async fn request_increase(
    app: &Arc<App>,
    call: &Call,
    body: Result<CreateIncreaseRequest>,
) -> Result<Increase> {
    // Decided on the organisation itself, so that a rule which names other identities is none for it.
    let subject = match &call.caller.standing {
        Standing::Member(organisation) => Subject::New(organisation.id.clone()),
        Standing::Stranger | Standing::Unnamed => Subject::None,
    };
    let ask = Ask { action: Action::RequestIncrease, region: None, subject };
    let shared = app.clone();
    gate::write(app, call, ask, async move |tx, scope| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let now = shared.clock.now();
        let increase = Increase {
            organisation: scope.organisation.clone(),
            id: shared.clock.fresh_id("qir-")?,
            quota: Quota::from_name(&body.name).ok_or(Error::not_found("quota"))?,
            new_most: body.new_max_usage,
            reason: body.reason.clone().unwrap_or_default(),
            decision: Decision::Pending,
            decision_reason: String::new(),
            created_at: now,
            updated_at: now,
        };
        check(tx, &increase).await?;
        tx.insert_increase(&increase).await?;
        Ok(increase)
    })
    .await
}

async fn check(tx: &mut Tx, increase: &Increase) -> Result<()> {
    if increase.reason.chars().count() > limits::DESCRIPTION_CHARS_MAX {
        return Err(Error::invalid("reason", "longer than 1024 characters"));
    }
    let usages = tx.list_quotas().await?;
    let most = usages.iter().find(|usage| usage.quota == increase.quota).map(|usage| usage.most);
    if most == Some(0) {
        return Err(Error::invalid("name", "this quota has no maximum"));
    }
    if increase.new_most <= most.unwrap_or_default() || increase.new_most > NEW_MOST_MAX {
        let why = format!("must be more than the present maximum, at most {NEW_MOST_MAX}");
        return Err(Error::invalid("newMaxUsage", why));
    }
    let waits =
        |other: &Increase| other.quota == increase.quota && other.decision == Decision::Pending;
    match tx.list_increases().await?.iter().any(waits) {
        true => Err(Error::Conflict("a request for this quota waits already".to_owned())),
        false => Ok(()),
    }
}
