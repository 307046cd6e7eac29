//! Regions, as administrators of the platform switch their KMS.

use std::sync::Arc;

use coffer_api::UpdateRegionRequest;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{About, administer, oversee};
use crate::model::action::Action;
use crate::model::administrator::AdministratorCall;
use crate::model::identity::Region;
use crate::store::{RegionSwitch, Tx};

/// A region, and who says what of its KMS.
pub type View = (Region, RegionSwitch);

/// All regions.
pub async fn list(app: &Arc<App>, call: &AdministratorCall) -> Result<Vec<View>> {
    let about = About::Platform(String::new());
    oversee(app, call, Action::ListRegionSwitches, about, async |tx| views(tx).await).await
}

/// Switches a region's KMS on or off, over what the configuration says; without `kms`, back to that.
pub async fn update(
    app: &Arc<App>,
    call: &AdministratorCall,
    region: String,
    body: Result<UpdateRegionRequest>,
) -> Result<View> {
    let (shared, about) = (app.clone(), About::Platform(region.clone()));
    administer(app, call, Action::SwitchRegion, about, async move |tx| {
        let kms = body.as_ref().map_err(Clone::clone)?.kms;
        let id = find(tx, &region).await?.0.id;
        tx.switch_region(&id, kms, shared.clock.now()).await?;
        find(tx, &id).await
    })
    .await
}

async fn find(tx: &mut Tx, name: &str) -> Result<View> {
    let mut all = views(tx).await?.into_iter();
    let found = all.find(|(region, _)| region.id == name || region.slug == name);
    found.ok_or(Error::not_found("region"))
}

async fn views(tx: &mut Tx) -> Result<Vec<View>> {
    let switches = tx.list_region_switches().await?;
    Ok(tx.list_regions().await?.into_iter().zip(switches).collect())
}
