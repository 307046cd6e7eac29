//! What a store has to be told once it came out of a backup.

use crate::app::App;
use crate::error::Result;
use crate::gate;
use crate::model::action::Action;
use crate::model::limits::SEALS_BEFORE_ROTATION;

/// Leaves a record of the restore in every log, with the time of the backup, and has every symmetric key replaced
/// at the next look of the clock.
///
/// SECURITY: nobody knows how often a key has sealed since the backup. What it may have sealed until it would have
/// been replaced is counted in full.
pub async fn settle(app: &App, taken_at: &str) -> Result<()> {
    let work = super::by_operator(Action::Restore, "");
    let work = gate::Unattended { subject: taken_at.to_owned(), ..work };
    let taken_at = taken_at.to_owned();
    gate::unattended(app, work, async move |tx| {
        tx.add_lost_seals(SEALS_BEFORE_ROTATION).await?;
        for organisation in tx.list_organisations().await? {
            tx.note_in(&organisation.id, Action::Restore, &taken_at);
        }
        Ok(Some(()))
    })
    .await?;
    Ok(())
}
