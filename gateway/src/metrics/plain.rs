//! Conversion of OpenMetrics text to the older text format of Prometheus.
//!
//! The formats differ in their comments: a counter's comments name its sample, which ends in `_total`, an info is a
//! gauge, an unknown type is called untyped, and units and the end mark are absent
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::{borrow::Cow, fmt::Write as _};

/// Returns the name and type of a metric in the text format.
fn plain_type<'a>(name: &'a str, kind: &'a str) -> (Cow<'a, str>, &'a str) {
    match kind {
        "counter" => (format!("{name}_total").into(), kind),
        "info" => (format!("{name}_info").into(), "gauge"),
        "unknown" => (name.into(), "untyped"),
        "stateset" => (name.into(), "gauge"),
        _ => (name.into(), kind),
    }
}

/// Converts OpenMetrics text.
pub fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(named) = line.strip_prefix("# HELP ") {
            // Written with the type, which follows and has the name.
            help = named.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|named| named.split_once(' ')) {
            let (plain, kind) = plain_type(name, kind);
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                let _ = writeln!(text, "# HELP {plain} {help}");
            }
            let _ = writeln!(text, "# TYPE {plain} {kind}");
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::{
        metrics::{counter::Counter, gauge::Gauge, info::Info},
        registry::{Registry, Unit},
    };

    #[test]
    fn comments_name_the_samples_that_follow() {
        let mut registry = Registry::default();
        registry.register("a", "Things done", Counter::<u64>::default());
        registry.register_with_unit("b", "Room", Unit::Bytes, Gauge::<i64>::default());
        registry.register("c", "Build", Info::new(vec![("version", "1")]));
        let mut open = String::new();
        prometheus_client::encoding::text::encode(&mut open, &registry).unwrap();
        let expected = "# HELP a_total Things done.\n# TYPE a_total counter\na_total 0\n\
            # HELP b_bytes Room.\n# TYPE b_bytes gauge\nb_bytes 0\n\
            # HELP c_info Build.\n# TYPE c_info gauge\nc_info{version=\"1\"} 1\n";
        assert_eq!(plain(&open), expected);
    }
}
