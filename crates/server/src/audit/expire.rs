//! Records that are older than they are kept: dropped from the beginning of each stream, so that what is left proves
//! itself still.

use std::sync::Arc;

use crate::app::App;
use crate::clock::DAY;
use crate::error::Result;
use crate::gate::{self, Unattended};
use crate::model::action::Action;
use crate::model::chain::{CHECKPOINTS, End, Linked, UNLINKED};
use crate::store::Tx;

/// Records dropped in one transaction.
const DROPPED_AT_ONCE: i64 = 1024;

/// Drops what is older than the configuration wants it kept; how many records and checkpoints that were.
///
/// At most a day's records of an organisation at a time, which is once an hour: of a clock that is years ahead somebody
/// hears before the log is gone.
pub async fn expire(app: &Arc<App>) -> Result<i64> {
    let days = app.config.audit.retention_days;
    if days == 0 {
        return Ok(0);
    }
    let mut dropped = 0;
    let kept_from = app.clock.now() - i64::from(days) * DAY;
    let organisations =
        gate::inspect(app, async |tx| tx.list_chained_organisations().await).await?;
    for organisation in organisations {
        let oldest = async |tx: &mut Tx| tx.find_oldest_event().await;
        let Some(oldest) = gate::inspect_within(app, &organisation, oldest).await? else {
            continue;
        };
        let before = kept_from.min(oldest + DAY);
        if oldest < before {
            dropped += expire_of(app, &organisation, before).await?;
        }
    }
    Ok(dropped)
}

async fn expire_of(app: &Arc<App>, organisation: &str, before: i64) -> Result<i64> {
    let mut all = 0;
    loop {
        let list = async move |tx: &mut Tx| tx.list_streams_before(before).await;
        let streams = gate::inspect_within(app, organisation, list).await?;
        let mut dropped = 0;
        for stream in streams {
            loop {
                let count = drop_some(app, organisation, stream, before).await;
                dropped += count;
                if count < DROPPED_AT_ONCE {
                    break;
                }
            }
        }
        // What is old behind something that is not goes with that.
        if dropped == 0 {
            let old = async move |tx: &mut Tx| tx.find_old_checkpoint(before).await;
            if gate::inspect_within(app, organisation, old).await?.is_some() {
                all += drop_some(app, organisation, CHECKPOINTS, before).await;
            }
            return Ok(all);
        }
        all += dropped;
    }
}

/// As [`drop_from`]; a stream that fails holds no other one up.
async fn drop_some(app: &Arc<App>, organisation: &str, stream: i64, before: i64) -> i64 {
    drop_from(app, organisation, stream, before).await.unwrap_or_else(|error| {
        tracing::warn!(cause = error.cause(), "old records of {organisation:?} are still kept");
        0
    })
}

/// Drops the beginning of a stream; how many lines that were.
async fn drop_from(app: &Arc<App>, organisation: &str, stream: i64, before: i64) -> Result<i64> {
    let work = Unattended {
        action: Action::ExpireAudit,
        reason: "audit retention",
        organisation: organisation.to_owned(),
        project: String::new(),
        subject: String::new(),
    };
    let shared = app.clone();
    let done = gate::unattended(app, work, async move |tx| {
        let given = given_to_sinks(tx, &shared, stream).await?;
        let (base, count) = match stream {
            UNLINKED => {
                let mut base = tx.find_base(UNLINKED).await?;
                let count = tx.drop_unlinked(before).await?;
                base.place.number -= count;
                (base, count)
            }
            CHECKPOINTS => {
                let from = tx.find_base(CHECKPOINTS).await?.place.number;
                let Some(last) = tx.find_old_checkpoint(before).await? else { return Ok(None) };
                if last.place.number > given {
                    return Ok(None);
                }
                tx.drop_checkpoints(&last.place).await?;
                let count = last.place.number - from;
                (last, count)
            }
            stream => {
                let lines = tx.list_first_of_stream(stream, DROPPED_AT_ONCE).await?;
                let is_old = |line: &Linked, at: i64| at < before && line.place.number <= given;
                let old = lines.into_iter().take_while(|(line, at)| is_old(line, *at));
                let (count, last) =
                    old.fold((0, None), |(count, _), (line, _)| (count + 1, Some(line)));
                let Some(last) = last else { return Ok(None) };
                tx.drop_first_of_stream(&last.place).await?;
                (last, count)
            }
        };
        if count == 0 {
            return Ok(None);
        }
        let seal = tx.chain_key()?.seal(End::Base, &base);
        tx.set_base(&base, &seal).await?;
        tx.forget_sink_positions(&base.place).await?;
        tx.describe(told(&base, count));
        Ok(Some(count))
    });
    Ok(done.await?.unwrap_or_default())
}

/// Up to where every sink has a stream. Records of before there were chains are sent to none.
async fn given_to_sinks(tx: &mut Tx, app: &App, stream: i64) -> Result<i64> {
    if stream == UNLINKED {
        return Ok(i64::MAX);
    }
    let sinks: Vec<_> = app.config.audit.sinks.iter().map(|sink| sink.name().to_owned()).collect();
    // A sink that only other servers know is theirs as long as one of them tends it.
    let given = tx.find_given_to_all(stream, &sinks, app.clock.now() - DAY).await?;
    Ok(given.unwrap_or(i64::MAX))
}

fn told(base: &Linked, count: i64) -> String {
    match base.place.stream {
        UNLINKED => format!("{count} records of before there were chains"),
        CHECKPOINTS => format!("{count} checkpoints, up to {}", base.place.number),
        stream => format!("{count} records, up to {} of stream {stream}", base.place.number),
    }
}
