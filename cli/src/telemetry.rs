//! The server's own log on standard error, and its spans to an OTLP collector.

use crate::{failure::Failure, serve_args::LogFormat};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,wasmtime=warn,cranelift=warn,hyper=warn,h2=warn";

/// What becomes a span when there is a collector: ours, not those of the libraries that send them.
const SPAN_FILTER: &str = "off,fabric_gateway=debug,fabric_node=debug,fabric_driver=debug,fabric_host=debug";

/// Spans on their way to the collector, if there is one.
pub struct Spans(Option<SdkTracerProvider>);

impl Spans {
    /// Sends what is left.
    pub fn end(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Starts logging and tracing for the process.
pub fn start(format: LogFormat, otlp: Option<&str>) -> Result<Spans, Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let plain = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => plain.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => plain.json().flatten_event(true).boxed(),
    };
    let provider = otlp.map(provider).transpose()?;
    // A collector gets every request, attempt and invocation; the log on standard error stays as quiet as it is.
    let spans = provider.as_ref().map(|p| {
        let layer = tracing_opentelemetry::layer().with_tracer(p.tracer("fabric"));
        layer.with_filter(EnvFilter::new(SPAN_FILTER))
    });
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
    Ok(Spans(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, Failure> {
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/').trim_end_matches("/v1/traces"));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(&endpoint)
        .build()
        .map_err(|e| Failure::config(format!("otlp-endpoint {endpoint}: {e}")))?;
    let resource = Resource::builder().with_service_name("fabric").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
