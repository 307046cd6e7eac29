//! Gives a sink its records, again and again until it takes them, and keeps its place in the store.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Sink;
use super::look::{Found, Where, look};
use crate::app::App;
use crate::error::Error;
use crate::gate;

/// Between two looks, when there was nothing to give.
const IDLE: Duration = Duration::from_secs(1);
/// Between two looks through streams that did not go on lately.
const BETWEEN_PAGES: Duration = Duration::from_millis(20);
/// How often all streams are gone through: for what other servers wrote by a clock that is far behind.
const SWEEP: Duration = Duration::from_secs(300);
/// Microseconds that a record may take from its time to its commit, and by which clocks of servers may differ.
const SLACK: i64 = 120_000_000;
/// The first wait after a failure, which doubles with each up to the last.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(60)];
/// Microseconds that a server has a sink for itself, longer than a try to give it something takes.
const HOLD: i64 = 20_000_000;
/// How often it says that it still does.
const HOLD_AGAIN: Duration = Duration::from_secs(5);
/// How often another server looks whether it still does.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// What a server that stops has left for giving what waits.
const LAST: Duration = Duration::from_secs(3);

/// Gives a sink what it waits for until `stop` says so; then what is left, as far as that goes quickly.
pub async fn tend(app: Arc<App>, sink: Arc<Sink>, stop: watch::Receiver<bool>) {
    let mut stopped = stop.clone();
    let mut courier = Courier::new(&app, &sink);
    {
        let work = pin!(courier.work(stop));
        let late = pin!(async {
            let _ = stopped.wait_for(|stop| *stop).await;
            tokio::time::sleep(LAST).await;
        });
        futures_util::future::select(work, late).await;
    }
    courier.release().await;
}

struct Courier<'a> {
    app: &'a Arc<App>,
    sink: &'a Sink,
    /// What tells this server from others that hold the sink.
    holder: String,
    /// When it was last said that this server does.
    held_at: Option<Instant>,
    /// All that went on before is given.
    since: i64,
    /// How far all streams are gone through, and when that began.
    sweep: Option<Where>,
    swept_at: Instant,
    /// What the sink has not taken yet.
    unsent: Option<Batch>,
    /// When the oldest record was written that waits, of those that went on lately and of the others.
    oldest: [Option<i64>; 2],
    /// Failures since the last time that all was well.
    failures: u32,
}

/// What is given at once, and what holds once it is taken.
struct Batch {
    found: Found,
    /// Whether the sink has it, and only its place is not written.
    is_taken: bool,
    then: Then,
}

enum Then {
    /// All that went on before a time is given; if it is known to be all.
    Since(Option<i64>),
    /// The streams up to a place are gone through; if all of them were given.
    Swept(Option<Option<Where>>),
}

/// What a step has come to.
#[derive(PartialEq)]
enum Step {
    Gave,
    Swept,
    Nothing,
    /// Another server gives the sink its records.
    Elsewhere,
}

impl<'a> Courier<'a> {
    fn new(app: &'a Arc<App>, sink: &'a Sink) -> Self {
        Self {
            app,
            sink,
            // Without chance no server gets this far.
            holder: app.clock.fresh_id("sink-").unwrap_or_default(),
            held_at: None,
            since: 0,
            sweep: None,
            swept_at: Instant::now(),
            unsent: None,
            oldest: [None; 2],
            failures: 0,
        }
    }

    async fn work(&mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let began = Instant::now();
            let step = self.step().await;
            // Where looking takes long, it is done less often.
            let rest = began.elapsed() * 4;
            let wait = match &step {
                Ok(Step::Gave) => Duration::ZERO,
                Ok(Step::Swept) => BETWEEN_PAGES.max(rest),
                Ok(Step::Nothing) => IDLE.max(rest),
                Ok(Step::Elsewhere) => ELSEWHERE,
                Err(_) => patience(self.failures),
            };
            match &step {
                Ok(Step::Elsewhere) => self.failures = 0,
                Ok(_) => self.is_well(),
                Err(error) => self.goes_wrong(error),
            }
            let is_stopping = *stop.borrow() || stop.has_changed().is_err();
            if is_stopping && !matches!(step, Ok(Step::Gave | Step::Swept)) {
                return;
            }
            self.wait(wait, &mut stop).await;
        }
    }

    /// Waits, and goes on holding the sink meanwhile: else servers would take turns at one that fails.
    async fn wait(&mut self, wait: Duration, stop: &mut watch::Receiver<bool>) {
        let until = Instant::now() + wait;
        while !*stop.borrow() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = pin!(tokio::time::sleep(left.min(HOLD_AGAIN)));
            let stopped = pin!(stop.wait_for(|stop| *stop));
            futures_util::future::select(waited, stopped).await;
            // The next step tells what it comes to.
            if self.held_at.is_some() && self.holds().await.is_err() {
                return;
            }
        }
    }

    /// Gives what waits once, and looks once.
    async fn step(&mut self) -> anyhow::Result<Step> {
        if !self.holds().await.map_err(told)? {
            return Ok(Step::Elsewhere);
        }
        if self.unsent.is_some() {
            self.give().await?;
            return Ok(Step::Gave);
        }
        let lately = self.look_lately().await?;
        let swept = self.look_everywhere().await?;
        Ok(if lately == Step::Gave { lately } else { swept })
    }

    /// Gives what there is of streams that went on lately.
    async fn look_lately(&mut self) -> anyhow::Result<Step> {
        let now = self.app.clock.now();
        let found = look(self.app, &self.sink.name, &Where::Lately(self.since)).await;
        let found = found.map_err(told)?;
        self.oldest[0] = found.oldest;
        self.tell_what_waits();
        let then = Then::Since(found.is_all.then_some(now - SLACK));
        self.give_found(found, then).await
    }

    /// Gives what there is of a few more of all streams.
    async fn look_everywhere(&mut self) -> anyhow::Result<Step> {
        let Some(at) = self.sweep.clone() else {
            if self.swept_at.elapsed() > SWEEP {
                (self.sweep, self.swept_at) = (Some(Where::beginning()), Instant::now());
            }
            return Ok(Step::Nothing);
        };
        let mut found = look(self.app, &self.sink.name, &at).await.map_err(told)?;
        self.oldest[1] = found.oldest;
        self.tell_what_waits();
        let more = found.more.take();
        let is_last = more.is_none();
        let then = Then::Swept(found.is_all.then_some(more));
        match self.give_found(found, then).await? {
            Step::Nothing if !is_last => Ok(Step::Swept),
            step => Ok(step),
        }
    }

    async fn give_found(&mut self, found: Found, then: Then) -> anyhow::Result<Step> {
        let step = if found.ends.is_empty() { Step::Nothing } else { Step::Gave };
        self.unsent = Some(Batch { found, is_taken: false, then });
        self.give().await?;
        Ok(step)
    }

    /// Gives the sink what it has not taken, then writes its place.
    async fn give(&mut self) -> anyhow::Result<()> {
        let Some(batch) = &mut self.unsent else { return Ok(()) };
        let (lines, figures) = (&batch.found.lines, &self.app.metrics.sinks);
        if !batch.is_taken && !lines.is_empty() {
            self.sink.take(lines, self.app.clock.now()).await?;
            figures.taken(&self.sink.name, lines.len());
        }
        batch.is_taken = true;
        if !batch.found.ends.is_empty() {
            let (ends, sink) = (batch.found.ends.clone(), self.sink.name.clone());
            let keep = gate::keep_house(self.app, "", async move |tx| {
                for end in &ends {
                    tx.set_sink_position(&sink, end).await?;
                }
                Ok(())
            });
            keep.await.map_err(told)?;
        }
        let Some(batch) = self.unsent.take() else { return Ok(()) };
        match batch.then {
            Then::Since(Some(since)) => (self.since, self.oldest[0]) = (since, None),
            Then::Swept(Some(more)) => (self.sweep, self.oldest[1]) = (more, None),
            Then::Since(None) | Then::Swept(None) => {}
        }
        self.tell_what_waits();
        Ok(())
    }

    /// Whether this server is the one that gives the sink its records. The embedded store has no other.
    async fn holds(&mut self) -> crate::error::Result<bool> {
        if self.held_at.is_some_and(|at| at.elapsed() < HOLD_AGAIN) {
            return Ok(true);
        }
        let is_alone = self.app.config.store.url.is_none();
        let holds = is_alone || {
            let (sink, holder) = (self.sink.name.clone(), self.holder.clone());
            let now = self.app.clock.now();
            let times = [now, now + HOLD, now + 2 * HOLD];
            gate::keep_house(self.app, "", async move |tx| {
                tx.hold_sink((&sink, &holder), times).await
            })
            .await?
        };
        if !holds {
            // What another one has given meanwhile is in the store.
            (self.held_at, self.unsent, self.oldest) = (None, None, [None; 2]);
            self.app.metrics.sinks.is_elsewhere(&self.sink.name);
            return Ok(false);
        }
        if self.held_at.replace(Instant::now()).is_none() {
            self.since = self.app.clock.now() - SLACK;
            (self.sweep, self.swept_at) = (Some(Where::beginning()), Instant::now());
        }
        Ok(true)
    }

    /// Lets another server go on at once.
    async fn release(&mut self) {
        if self.held_at.take().is_none() || self.app.config.store.url.is_none() {
            return;
        }
        let (sink, holder, now) =
            (self.sink.name.clone(), self.holder.clone(), self.app.clock.now());
        // Else they wait until the time is over.
        let _ = gate::keep_house(self.app, "", async move |tx| {
            tx.release_sink((&sink, &holder), now).await
        })
        .await;
    }

    fn tell_what_waits(&self) {
        let oldest = self.oldest.into_iter().flatten().min();
        self.app.metrics.sinks.waits(&self.sink.name, oldest);
    }

    /// Tells the operator once that it goes wrong.
    fn goes_wrong(&mut self, error: &anyhow::Error) {
        let sink = &self.sink.name;
        self.app.metrics.sinks.failed(sink);
        if self.failures == 0 {
            let cause = format!("{error:#}");
            tracing::warn!(sink, cause, "records do not get to a sink; they wait for it");
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Tells the operator once that it goes well again.
    fn is_well(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(sink = self.sink.name, "records get to a sink again");
        }
    }
}

/// How long to wait after so many failures: by chance, so that servers that failed together do not come together.
fn patience(failures: u32) -> Duration {
    let [first, last] = WAITS;
    let wait = first.saturating_mul(1 << failures.min(16)).min(last);
    let [chance] = coffer_crypto::random::array().unwrap_or([0_u8]);
    wait.mul_f64(0.5 + f64::from(chance) / 512.0)
}

#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn told(error: Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.cause())
}
