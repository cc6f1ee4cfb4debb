//! The server's log on standard error, and its spans to an OTLP collector.

use crate::{
    Error,
    settings::{choices::LogFormat, hide_userinfo},
};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData},
};
use parking_lot::Mutex;
use std::time::Duration;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Log filter if `RUST_LOG` is not set.
const DEFAULT_FILTER: &str = "info,wasmtime=warn,cranelift=warn,hyper=warn,h2=warn,opentelemetry=off,opentelemetry_sdk=off,opentelemetry-otlp=off";

/// Time limit of one export to the collector.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Time limit of the last export, at the end of the process.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Filter of the exported spans: those of Fabric, not of the libraries that send them.
const SPAN_FILTER: &str = "off,fabric_gateway=debug,fabric_node=debug,fabric_driver=debug,fabric_host=debug";

/// The pipeline of spans to the collector, if there is one.
pub(crate) struct SpanPipeline(Option<SdkTracerProvider>);

impl SpanPipeline {
    /// Sends the remaining spans for at most one second, so that an unreachable collector does not delay the exit.
    pub(crate) fn end(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(LAST_SPANS)
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// An exporter to the collector. Logs once that exports fail and once that they succeed again.
#[derive(Debug)]
struct Exporter {
    inner: SpanExporter,
    collector: String,
    /// Spans lost since the last successful export.
    lost: Mutex<u64>,
}

impl opentelemetry_sdk::trace::SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let outcome = self.inner.export(batch).await;
        let mut lost = self.lost.lock();
        match outcome {
            Ok(()) if *lost > 0 => {
                tracing::info!(collector = self.collector, lost = *lost, "the collector accepts spans again");
                *lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if *lost == 0 {
                    tracing::warn!(
                        collector = self.collector, %error,
                        "the collector accepts no spans; they are dropped until it does, without further warnings"
                    );
                }
                *lost = lost.saturating_add(spans);
            }
        }
        // The error has been handled.
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Starts logging and tracing for the process.
pub(crate) fn start(format: LogFormat, otlp: Option<&str>) -> Result<SpanPipeline, Error> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let plain = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => plain.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => plain.json().flatten_event(true).boxed(),
    };
    let provider = otlp.map(provider).transpose()?;
    // A collector receives every request, attempt and invocation; the log on standard error keeps its own filter.
    let spans = provider.as_ref().map(|p| {
        let layer = tracing_opentelemetry::layer().with_tracer(p.tracer("fabric"));
        layer.with_filter(EnvFilter::new(SPAN_FILTER))
    });
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
    Ok(SpanPipeline(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, Error> {
    let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/').trim_end_matches("/v1/traces"));
    let inner = SpanExporter::builder()
        .with_http()
        .with_endpoint(&endpoint)
        .with_timeout(EXPORT_LIMIT)
        .build()
        .map_err(|e| Error::config(format!("otlp-endpoint {endpoint}: {e}")))?;
    let exporter = Exporter { inner, collector: hide_userinfo(&endpoint), lost: Mutex::new(0) };
    let resource = Resource::builder().with_service_name("fabric").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
