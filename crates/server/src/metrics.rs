//! Figures for Prometheus, in the text format of OpenMetrics.
//!
//! Labels are routes, actions, outcomes and the like: never a name, a path or an organisation, of which there is no end.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds: from what memory answers to what a client gives up on.
const LATENCIES: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Operations, or calls' records, in a commit: at most 256.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    /// As it is written in the description of the API, empty for no such route.
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    action: &'static str,
    outcome: &'static str,
}

/// One of several alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

/// What the store counts.
#[derive(Clone)]
pub struct StoreFigures {
    operations: Family<Operation, Counter>,
    batches: Histogram,
}

impl Default for StoreFigures {
    fn default() -> Self {
        Self { operations: Family::default(), batches: Histogram::new(BATCHES) }
    }
}

impl StoreFigures {
    /// One record is durable.
    pub fn recorded(&self, action: &'static str, outcome: &'static str) {
        self.operations.get_or_create(&Operation { action, outcome }).inc();
    }

    /// One commit carried so many operations or calls' records.
    #[expect(clippy::cast_precision_loss, reason = "256 at most")]
    pub fn committed(&self, count: usize) {
        self.batches.observe(count as f64);
    }
}

/// How often what was looked for was in memory.
#[derive(Clone, Default)]
pub struct CacheFigures {
    hits: Counter,
    misses: Counter,
}

impl CacheFigures {
    pub fn looked(&self, is_found: bool) {
        let counter = if is_found { &self.hits } else { &self.misses };
        counter.inc();
    }
}

/// One of the sinks that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

/// What sinks were given, and what waits for them.
#[derive(Clone, Default)]
pub struct SinkFigures {
    records: Family<Sink, Counter>,
    failures: Family<Sink, Counter>,
    lags: Family<Sink, Gauge<f64, AtomicU64>>,
    /// When the oldest record was written that a sink has not got; none when it has all.
    oldest: Arc<Mutex<BTreeMap<String, Option<i64>>>>,
}

impl SinkFigures {
    fn register(&self, registry: &mut Registry) {
        let (records, failures, lags) =
            (self.records.clone(), self.failures.clone(), self.lags.clone());
        registry.register("sink_records", "Records that a sink has taken", records);
        registry.register("sink_failures", "Times that a sink has not taken records", failures);
        registry.register_with_unit(
            "sink_lag",
            "Age of the oldest record that a sink has not got",
            Unit::Seconds,
            lags,
        );
    }

    /// A sink has taken so many records.
    pub fn taken(&self, sink: &str, count: usize) {
        let sink = Sink { sink: sink.to_owned() };
        self.records.get_or_create(&sink).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A sink has not taken what it was given.
    pub fn failed(&self, sink: &str) {
        self.failures.get_or_create(&Sink { sink: sink.to_owned() }).inc();
    }

    /// What waits for a sink.
    pub fn waits(&self, sink: &str, oldest: Option<i64>) {
        self.lock().insert(sink.to_owned(), oldest);
        // Told from the beginning, so that one that fails at once is a change.
        drop(self.failures.get_or_create(&Sink { sink: sink.to_owned() }));
    }

    /// Another server gives a sink its records, and knows what waits.
    pub fn is_elsewhere(&self, sink: &str) {
        self.lock().remove(sink);
    }

    /// Tells the ages of what waits.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of an age")]
    fn tell(&self, now: i64) {
        self.lags.clear();
        for (sink, oldest) in &*self.lock() {
            let age = oldest.map_or(0, |at| now.saturating_sub(at).max(0));
            let lag = self.lags.get_or_create_owned(&Sink { sink: sink.clone() });
            lag.set(age as f64 / 1e6);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<i64>>> {
        self.oldest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server turns away, and what it holds.
#[derive(Clone, Default)]
pub struct LoadFigures {
    shed: Counter,
    limited: Family<By, Counter>,
    connections: Gauge,
    certificate_expiry: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    by: &'static str,
}

impl LoadFigures {
    /// A call found no place.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// A call was one too many of this credential, organisation or address.
    pub fn limited(&self, by: &'static str) {
        self.limited.get_or_create(&By { by }).inc();
    }

    /// One more connection, until what this gives is dropped.
    pub fn connected(&self) -> impl Drop + use<> {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The certificate ends then, in seconds since 1970.
    pub fn certificate_ends(&self, at: i64) {
        self.certificate_expiry.set(at);
    }
}

struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What is so at this moment; asked for when somebody looks.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Microseconds since 1970.
    pub at: i64,
    /// By what they are for.
    pub queues: Vec<(&'static str, usize)>,
    pub value_bytes: u64,
    pub in_flight: usize,
    pub is_store_ready: bool,
    pub is_kms_ready: bool,
    /// Of all organisations, by quota.
    pub counts: Vec<(&'static str, i64)>,
}

fn register_load(registry: &mut Registry, load: &LoadFigures) {
    registry.register(
        "shed",
        "Calls that found no place and were answered with 503",
        load.shed.clone(),
    );
    registry.register(
        "limited",
        "Calls that were too many and were answered with 429, by what they were too many of",
        load.limited.clone(),
    );
    registry.register("connections", "Connections that are open", load.connections.clone());
    registry.register_with_unit(
        "certificate_expiry_timestamp",
        "When the certificate ends, since 1970; 0 without one",
        Unit::Seconds,
        load.certificate_expiry.clone(),
    );
}

/// All figures of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Histogram, fn() -> Histogram>,
    queues: Family<Named, Gauge>,
    value_bytes: Gauge,
    in_flight: Gauge,
    ready: Family<Named, Gauge>,
    counts: Family<Named, Gauge>,
    pub sinks: SinkFigures,
}

impl Metrics {
    pub fn new(
        store: &StoreFigures,
        values: &CacheFigures,
        callers: &CacheFigures,
        load: &LoadFigures,
    ) -> Self {
        let mut registry = Registry::with_prefix("coffer");
        let requests: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCIES));
        let metrics = Self {
            requests: requests.clone(),
            queues: Family::default(),
            value_bytes: Gauge::default(),
            in_flight: Gauge::default(),
            ready: Family::default(),
            counts: Family::default(),
            sinks: SinkFigures::default(),
            registry: Registry::default(),
        };
        registry.register_with_unit(
            "request_duration",
            "HTTP requests, from the head to the answer",
            Unit::Seconds,
            requests,
        );
        registry.register(
            "operations",
            "Operations whose record is durable, by action of the audit log and outcome",
            store.operations.clone(),
        );
        registry.register(
            "commit_batch",
            "Operations or calls' records that one commit has carried",
            store.batches.clone(),
        );
        for (name, figures) in [("values", values), ("callers", callers)] {
            let (hits, misses) = (format!("{name}_hits"), format!("{name}_misses"));
            registry.register(hits, "Looked for and found in memory", figures.hits.clone());
            registry.register(misses, "Looked for and read from the store", figures.misses.clone());
        }
        register_load(&mut registry, load);
        registry.register("in_flight", "Calls under way", metrics.in_flight.clone());
        registry.register("queue", "Jobs that wait for the store", metrics.queues.clone());
        registry.register_with_unit(
            "values_memory",
            "Memory that sealed values take",
            Unit::Bytes,
            metrics.value_bytes.clone(),
        );
        registry.register("ready", "1: can serve", metrics.ready.clone());
        registry.register(
            "stored",
            "Secrets, versions, keys and service accounts of all organisations",
            metrics.counts.clone(),
        );
        metrics.sinks.register(&mut registry);
        let build: Family<Vec<(&'static str, &'static str)>, Gauge> = Family::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build", "Always 1, with the version", build);
        Self { registry, ..metrics }
    }

    /// One request was answered.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let request = Request { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&request).observe(took.as_secs_f64());
    }

    /// All figures as text, with those of this moment.
    pub fn text(&self, now: &Moment) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, count) in &now.queues {
            self.queues.get_or_create(&Named { name }).set(number(*count));
        }
        self.counts.clear();
        self.sinks.tell(now.at);
        self.in_flight.set(number(now.in_flight));
        self.value_bytes.set(i64::try_from(now.value_bytes).unwrap_or(i64::MAX));
        for (name, is_ready) in [("store", now.is_store_ready), ("kms", now.is_kms_ready)] {
            self.ready.get_or_create(&Named { name }).set(i64::from(is_ready));
        }
        for (name, count) in &now.counts {
            self.counts.get_or_create(&Named { name }).set(*count);
        }
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
