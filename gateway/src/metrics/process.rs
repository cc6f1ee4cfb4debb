//! Metrics of the process from the operating system, under the names that Prometheus's own client libraries use
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>), and the version of the build.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, family::Family, gauge::ConstGauge},
};
use rustix::process::{Resource, getrlimit};

/// Resource use of the process: times in seconds (the start since 1970), memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Facts {
    cpu_s: f64,
    start_s: f64,
    resident: u64,
    virtual_: u64,
    descriptors: u64,
    threads: u64,
}

/// Reads `/proc`; `None` on systems without it.
fn facts() -> Option<Facts> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot_s: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let descriptors = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    parse(&stat, boot_s, rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64)
        // The count opened one descriptor.
        .map(|facts| Facts { descriptors: descriptors.saturating_sub(1), ..facts })
}

/// Parses `stat` as proc(5) describes it.
#[allow(clippy::cast_precision_loss, reason = "seconds need no more digits")]
fn parse(stat: &str, boot_s: u64, ticks: u64, page: u64) -> Option<Facts> {
    // The second field is the program's name in parentheses, which may contain any character.
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let seconds = |of: u64| of as f64 / ticks as f64;
    Some(Facts {
        cpu_s: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        start_s: boot_s as f64 + seconds(field(22)?),
        virtual_: field(23)?,
        resident: field(24)? * page,
        descriptors: 0,
    })
}

/// Collects the process metrics on each scrape.
#[derive(Debug)]
pub struct ProcessMetrics;

#[allow(clippy::cast_precision_loss, reason = "a metric is a float")]
impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut write = |name: &str, help: &str, metric: &dyn Metric| metric.write(name, help, &mut encoder);
        if let Some(facts) = facts() {
            write("process_cpu_seconds", "Processor time, user and system", &ConstCounter::new(facts.cpu_s))?;
            let help = "Start time of the process, in seconds since 1970";
            write("process_start_time_seconds", help, &ConstGauge::new(facts.start_s))?;
            write("process_resident_memory_bytes", "Resident memory", &ConstGauge::new(facts.resident as f64))?;
            write("process_virtual_memory_bytes", "Virtual memory", &ConstGauge::new(facts.virtual_ as f64))?;
            write("process_open_fds", "Open file descriptors", &ConstGauge::new(facts.descriptors as f64))?;
            write("process_threads", "Threads of the operating system", &ConstGauge::new(facts.threads as f64))?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            write("process_max_fds", "File descriptors that may be open", &ConstGauge::new(most as f64))?;
        }
        let builds = Family::<[(&str, &str); 1], prometheus_client::metrics::gauge::Gauge>::default();
        builds.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        write("fabric_build_info", "Version of the running build; always 1", &builds)
    }
}

/// A metric of any type.
trait Metric {
    fn write(&self, name: &str, help: &str, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error>;
}

impl<M: EncodeMetric> Metric for M {
    fn write(&self, name: &str, help: &str, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let metric = encoder.encode_descriptor(name, &format!("{help}."), None, self.metric_type())?;
        self.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_proc() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 0 1 0 0 0 150 50 0 0 20 0 9 0 1000 4096000 25 0";
        let expected =
            Facts { cpu_s: 2.0, start_s: 510.0, resident: 102_400, virtual_: 4_096_000, descriptors: 0, threads: 9 };
        assert_eq!(parse(stat, 500, 100, 4096), Some(expected));
        assert_eq!(parse("7 (a b", 500, 100, 4096), None);
    }

    #[test]
    fn this_process_has_them() {
        let facts = facts().unwrap();
        assert!(facts.resident > 1 << 20 && facts.descriptors >= 3 && facts.threads >= 1, "{facts:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(facts.start_s < now + 2.0 && facts.start_s > now - 86_400.0, "{facts:?}");
    }
}
