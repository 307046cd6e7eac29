//! Administrators of the platform, made and revoked by whoever has the store's files in hand.

use std::sync::Arc;

use coffer_crypto::token;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::{Error, Result};
use crate::gate::{self, Unattended};
use crate::model::action::Action;
use crate::model::administrator::Administrator;
use crate::model::limits::{TOKENS_MAX, check_name};
use crate::model::term::read_duration;

/// Makes an administrator; the token is shown this once. `expires` is a duration such as `90d` or a time
/// such as `2027-01-01T00:00:00Z`.
pub async fn create(
    app: &Arc<App>,
    name: &str,
    expires: Option<&str>,
) -> Result<(Administrator, Zeroizing<String>)> {
    let now = app.clock.now();
    let made = Administrator {
        id: app.clock.fresh_id("adm-")?,
        name: check_name(name)?,
        created_at: now,
        expires_at: expires.map(|text| read_end(text, now)).transpose()?,
        last_used_at: None,
    };
    let text = token::mint_administrator()?;
    let (hash, new) = (token::hash(&text), made.clone());
    gate::unattended(app, by_operator(Action::CreateAdministrator, &made.id), async move |tx| {
        if tx.list_administrators().await?.len() >= TOKENS_MAX {
            return Err(Error::invalid(
                "",
                format!("there are {TOKENS_MAX} administrators already"),
            ));
        }
        tx.insert_administrator(&hash, &new).await.map(Some)
    })
    .await?;
    Ok((made, text))
}

fn read_end(text: &str, now: i64) -> Result<i64> {
    let end = match read_duration(text) {
        Some(duration) => now.checked_add(duration),
        None => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond),
    };
    let Some(end) = end else {
        let why = "must be a duration such as `90d` or a time such as `2027-01-01T00:00:00Z`";
        return Err(Error::invalid("expires", why));
    };
    match end > now {
        true => Ok(end),
        false => Err(Error::invalid("expires", "has passed")),
    }
}

/// All of them, without tokens.
pub async fn list(app: &App) -> Result<Vec<Administrator>> {
    gate::inspect(app, async |tx| tx.list_administrators().await).await
}

/// Revokes an administrator's token.
pub async fn delete(app: &Arc<App>, id: &str) -> Result<()> {
    let gone = id.to_owned();
    gate::unattended(app, by_operator(Action::DeleteAdministrator, id), async move |tx| {
        tx.delete_administrator(&gone).await.map(Some)
    })
    .await
    .map(|_| ())
}

/// Recorded under no organisation, with all else of the platform.
fn by_operator(action: Action, subject: &str) -> Unattended {
    Unattended {
        action,
        reason: "command line",
        organisation: String::new(),
        project: String::new(),
        subject: subject.to_owned(),
    }
}
