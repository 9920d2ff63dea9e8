//! The fastest way to run a graph within a limit of latency and a floor of accuracy.

use std::str::FromStr;

use mbsd_spec::{Precision, Variant};
use serde::Serialize;

use super::load::Load;
use super::report::{Key, Measurement, Report};

/// What has to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Milliseconds that a request may take.
    pub max_ms: Option<f64>,
    /// At which share of requests that has to hold.
    pub percentile: Percentile,
    /// Least accuracy: its measure and value.
    pub floor: Option<Floor>,
    /// Which graph.
    pub variant: Option<Variant>,
    /// Text tokens of a row; the most of the report where it is not given.
    pub text: Option<usize>,
}

/// A share of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Percentile {
    /// Half of them.
    P50,
    /// 90%.
    P90,
    /// 95%.
    P95,
    /// 99%.
    P99,
}

impl Percentile {
    fn of(self, m: &Measurement) -> f64 {
        match self {
            Self::P50 => m.p50_ms,
            Self::P90 => m.p90_ms,
            Self::P95 => m.p95_ms,
            Self::P99 => m.p99_ms,
        }
    }

    /// `p95`.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }
}

impl FromStr for Percentile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::P50, Self::P90, Self::P95, Self::P99];
        all.into_iter().find(|one| one.name() == text).ok_or_else(|| "use p50, p90, p95 or p99".to_owned())
    }
}

/// A least accuracy.
#[derive(Debug, Clone, PartialEq)]
pub struct Floor {
    /// `roc_auc` or `accuracy`.
    pub measure: &'static str,
    /// Its least value.
    pub value: f64,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The settings.
    #[serde(flatten)]
    pub key: Key,
    /// Folder of the bundle, or the graph file.
    pub path: String,
    /// Latency at the limit's percentile.
    pub latency_ms: f64,
    /// Rows a second.
    pub items_per_second: f64,
    /// Most memory of the process.
    pub peak_memory_bytes: Option<u64>,
    /// The measure and value that the floor was held against.
    pub accuracy: Option<(String, f64)>,
}

/// Why there is no choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoChoice {
    /// In words.
    pub reason: String,
    /// Why each cell was left out, the fastest first.
    pub rejected: Vec<(String, String)>,
}

/// Chooses the cell with the most rows a second within the limits.
///
/// # Errors
/// [`NoChoice`] says of each cell why it is not within them.
pub fn choose(report: &Report, limits: &Limits) -> Result<Choice, NoChoice> {
    let of_variant = |key: &Key| limits.variant.is_none_or(|variant| key.variant == Some(variant));
    let variant = report.measured().find(|(key, _)| of_variant(key)).and_then(|(key, _)| key.variant);
    let mut candidates: Vec<(&Key, &Measurement)> = report
        .measured()
        .filter(|(key, _)| of_variant(key) && key.variant == variant && !matches!(key.load, Load::Open { .. }))
        .collect();
    let text = limits.text.or_else(|| candidates.iter().filter_map(|(key, _)| key.text).max());
    candidates.retain(|(key, _)| key.text.is_none() || key.text == text);
    candidates.sort_by(|a, b| b.1.items_per_second.total_cmp(&a.1.items_per_second));
    if candidates.is_empty() {
        let reason = "the report has no measured cell of that graph and text length".to_owned();
        return Err(NoChoice { reason, rejected: Vec::new() });
    }
    let mut rejected = Vec::new();
    for (key, measurement) in candidates {
        match within(report, limits, key, measurement) {
            Ok(accuracy) => {
                let path = report.subjects.iter().find(|subject| subject.name == key.subject);
                return Ok(Choice {
                    key: key.clone(),
                    path: path.map_or_else(|| key.subject.clone(), |subject| subject.path.clone()),
                    latency_ms: limits.percentile.of(measurement),
                    items_per_second: measurement.items_per_second,
                    peak_memory_bytes: measurement.peak_memory_bytes,
                    accuracy,
                });
            }
            Err(reason) => rejected.push((key.describe(), reason)),
        }
    }
    Err(NoChoice { reason: "nothing that was measured is within the limits".to_owned(), rejected })
}

fn within(
    report: &Report,
    limits: &Limits,
    key: &Key,
    measurement: &Measurement,
) -> Result<Option<(String, f64)>, String> {
    let latency = limits.percentile.of(measurement);
    if let Some(max) = limits.max_ms
        && latency > max
    {
        return Err(format!("{} is {latency:.1} ms", limits.percentile.name()));
    }
    let Some(floor) = &limits.floor else { return Ok(None) };
    let known = accuracy(report, key, floor.measure).ok_or_else(|| {
        format!("{} was not measured; `mbsd calibrate` measures f32 and 8-bit graphs on labelled rows", floor.measure)
    })?;
    if known < floor.value {
        return Err(format!("{} is {known:.4}", floor.measure));
    }
    Ok(Some((floor.measure.to_owned(), known)))
}

/// Of the cell's graph on its engine. f32 is the same on every engine within what `mbsd verify` accepts, so that the least known
/// counts; an 8-bit graph is not.
fn accuracy(report: &Report, key: &Key, measure: &str) -> Option<f64> {
    let subject = report.subjects.iter().find(|subject| subject.name == key.subject)?;
    let of_graph = subject.accuracy.iter().filter(|known| {
        Some(known.variant) == key.variant && Some(known.precision) == key.precision && known.measure == measure
    });
    let any_engine = key.precision == Some(Precision::F32);
    of_graph.filter(|known| any_engine || known.engine == key.engine).map(|known| known.value).min_by(f64::total_cmp)
}

impl Choice {
    /// The settings to use, in words and as flags.
    pub fn text(&self, percentile: Percentile) -> String {
        let Self { key, path, latency_ms, items_per_second, peak_memory_bytes, accuracy } = self;
        let mut text =
            format!("{}: {} {latency_ms:.1} ms, {items_per_second:.1} items/s", key.describe(), percentile.name());
        if let Some(bytes) = peak_memory_bytes {
            text.push_str(&format!(", {:.0} MB", *bytes as f64 / 1e6));
        }
        if let Some((measure, value)) = accuracy {
            text.push_str(&format!(", {measure} {value:.4}"));
        }
        let precision = key.precision.map_or_else(String::new, |precision| format!(" --precision {precision}"));
        text.push_str(&format!(
            "\n  --bundle {path} --engine {}{precision} --threads {}\n  requests of {} row{}",
            key.engine,
            key.threads,
            key.batch,
            if key.batch == 1 { "" } else { "s" }
        ));
        if key.load == Load::Saturated {
            text.push_str(", a session of one thread for each thread");
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::testing::{cell, key, report};

    fn limits() -> Limits {
        Limits { max_ms: None, percentile: Percentile::P95, floor: None, variant: None, text: None }
    }

    /// Times in ms of a request: f32 40 and 200, int8 20 and 100 (ort-cpu), f16 30, int8 of tract 10.
    fn measured() -> Report {
        report(vec![
            cell(key("ort-cpu", Precision::F32, 1), &[40.0, 40.0]),
            cell(key("ort-cpu", Precision::F32, 8), &[200.0, 200.0]),
            cell(key("ort-cpu", Precision::Int8, 1), &[20.0, 20.0]),
            cell(key("ort-cpu", Precision::Int8, 8), &[100.0, 100.0]),
            cell(key("ort-cpu", Precision::F16, 1), &[30.0, 30.0]),
            cell(key("tract", Precision::Int8, 1), &[10.0, 10.0]),
        ])
    }

    fn chosen(limits: &Limits) -> (String, usize) {
        let choice = choose(&measured(), limits).unwrap();
        (format!("{} {}", choice.key.engine, choice.key.precision.unwrap()), choice.key.batch)
    }

    #[test]
    fn the_fastest_within_the_limits_is_chosen() {
        assert_eq!(chosen(&limits()), ("tract int8".to_owned(), 1));
        let floor = |value| Some(Floor { measure: "roc_auc", value });
        // tract's int8 graph is at 0.85.
        assert_eq!(chosen(&Limits { floor: floor(0.9), ..limits() }), ("ort-cpu int8".to_owned(), 8));
        let quick = Limits { floor: floor(0.9), max_ms: Some(50.0), ..limits() };
        assert_eq!(chosen(&quick), ("ort-cpu int8".to_owned(), 1));
        assert_eq!(chosen(&Limits { floor: floor(0.915), ..quick }), ("ort-cpu f32".to_owned(), 1));
    }

    #[test]
    fn what_is_left_out_is_told_why() {
        let none = choose(&measured(), &Limits { max_ms: Some(1.0), ..limits() }).unwrap_err();
        assert_eq!(none.rejected.len(), 6);
        assert_eq!(none.rejected[0].1, "p95 is 10.1 ms");
        let floor = Some(Floor { measure: "roc_auc", value: 0.99 });
        let none = choose(&measured(), &Limits { floor, ..limits() }).unwrap_err();
        let of = |engine: &str| none.rejected.iter().find(|(cell, _)| cell.contains(engine)).unwrap().1.clone();
        assert!(of("f16").contains("roc_auc was not measured"));
        assert_eq!(of("int8, tract"), "roc_auc is 0.8500");
        let none = choose(&measured(), &Limits { variant: Some(Variant::Text), ..limits() }).unwrap_err();
        assert!(none.reason.contains("no measured cell"));
    }

    #[test]
    fn the_settings_are_told_as_flags() {
        let choice = choose(&measured(), &limits()).unwrap();
        let text = choice.text(Percentile::P95);
        assert!(text.contains("--bundle target/demo/bundle --engine tract --precision int8 --threads 2"), "{text}");
        assert!(text.contains("requests of 1 row\n"), "{text}");
    }
}
