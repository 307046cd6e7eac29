//! Traces by OpenTelemetry, sent over OTLP: one span for each request, and below it one for each time it has waited for
//! the store. Nothing is made of them while the settings name no collector.
//!
//! Attributes are routes, actions, statuses and the request's identity: never a path, a name, a value or a token.

use std::time::Duration;

use anyhow::Context;
use axum::http::{HeaderMap, Method};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Status, TraceContextExt, TracerProvider};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Span, Subscriber, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer};

use crate::config::TracesConfig;
use crate::egress::collector::Collector;

/// What the spans are known by, so that no log has them.
const TARGET: &str = "coffer_traces";
/// How long the collector may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends spans to a collector until it is dropped.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to the collector of the settings, if they name one. What it does not take is dropped, and nobody waits.
    pub fn start(settings: &TracesConfig, runtime: &Handle) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let client = Collector::new(PATIENCE, runtime)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(PATIENCE)
            .build()
            .context("`traces.endpoint`")?;
        let sampler = Sampler::TraceIdRatioBased(settings.ratio);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(Resource::builder_empty().with_service_name("cofferd").build());
        Ok(Some(Self(provider.build())))
    }

    /// Takes the spans of here, and nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("cofferd"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer::Layer::with_filter(layer, Targets::new().with_target(TARGET, LevelFilter::TRACE))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces are lost");
        }
    }
}

/// The span of a request, below that of its caller where a `traceparent` tells one (W3C Trace Context).
pub fn request(method: &Method, headers: &HeaderMap, id: &str) -> Span {
    let span = trace_span!(
        target: TARGET,
        "request",
        otel.kind = "server",
        http.request.method = method.as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
        coffer.action = Empty,
        coffer.request_id = id,
    );
    if !span.is_disabled() && headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        let _ = span.set_parent(parent);
    }
    span
}

/// The action that the request is, as the audit log has it.
pub fn act(action: &'static str) {
    Span::current().record("coffer.action", action);
}

/// How the request was answered.
pub fn answered(span: &Span, method: &str, route: &str, status: u16) {
    if span.is_disabled() {
        return;
    }
    // It has begun long ago under another name, for nobody knew the route.
    span.context().span().update_name(format!("{method} {route}"));
    span.record("http.route", route);
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}

/// Waits for the store, which does `what`.
pub async fn wait<T>(what: &'static str, answer: impl Future<Output = T>) -> T {
    answer.instrument(trace_span!(target: TARGET, "store", otel.name = what)).await
}
