//! Set or clear a secret's access policy.

use std::sync::Arc;

use coffer_api::SetPolicyRequest;

use super::{Named, View, address, names_in, parse_policy};
use crate::app::App;
use crate::error::Result;
use crate::gate;
use crate::model::action::Action;
use crate::model::caller::Call;
use crate::model::precondition::Precondition;

/// Replaces the whole policy. `null` and `{}` clear it, which is recorded as what it is.
pub async fn set(
    app: &Arc<App>,
    call: &Call,
    named: Named,
    body: Result<SetPolicyRequest>,
    precondition: Precondition,
) -> Result<View> {
    let policy = body.and_then(|body| {
        Ok(parse_policy(body.access_policy.as_ref())?.map(|(json, _)| json.clone()))
    });
    let action = match &policy {
        Ok(None) => Action::ClearPolicy,
        Ok(Some(_)) | Err(_) => Action::SetPolicy,
    };
    let shared = app.clone();
    gate::write(app, call, named.ask(action), async move |tx, scope| {
        let at = address(scope)?;
        let secret = tx.read_secret(&at).await?;
        let policy = policy.as_ref().map_err(Clone::clone)?;
        precondition.check(secret.object_version)?;
        let names = names_in(tx, policy.as_ref()).await?;
        let policy = policy.as_ref().map(|policy| (policy, &names));
        tx.set_policy(&secret.id, policy, shared.clock.now()).await?;
        View::new(&shared, scope, tx.read_secret(&at).await?, None)
    })
    .await
}
