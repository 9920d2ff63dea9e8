//! The report as Markdown.

use std::fmt::Write as _;

use super::report::{Cell, Measurement, Outcome, Report};

/// Columns of the table, from which on they hold numbers.
pub(super) const NUMBERS: usize = 5;

impl Report {
    /// The report as Markdown: what was measured on, a table, and what was not measured and why.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for line in self.heading() {
            let _ = writeln!(text, "{line}  ");
        }
        let (columns, lines) = self.table();
        if !lines.is_empty() {
            let _ = writeln!(text, "\n| {} |", columns.join(" | "));
            let rules: Vec<&str> = (0..columns.len()).map(|c| if c < NUMBERS { "---" } else { "---:" }).collect();
            let _ = writeln!(text, "|{}|", rules.join("|"));
            for line in &lines {
                let _ = writeln!(text, "| {} |", line.join(" | "));
            }
        }
        let stages = self.stages();
        if !stages.is_empty() {
            let _ = writeln!(text, "\nMilliseconds of a request by stage:\n");
            let _ = writeln!(
                text,
                "| cell | tokenize | decode | preprocess | collate | infer |\n|---|---:|---:|---:|---:|---:|"
            );
            for line in stages {
                let _ = writeln!(text, "| {} |", line.join(" | "));
            }
        }
        let missing = self.missing();
        if !missing.is_empty() {
            let _ = writeln!(text, "\nNot measured:\n");
            for (cell, reason) in missing {
                let _ = writeln!(text, "- {cell}: {reason}");
            }
        }
        text
    }

    /// What was measured, on what, and how sure it is.
    pub(super) fn heading(&self) -> Vec<String> {
        let machine = &self.machine;
        let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
        let memory = machine.memory_bytes.map_or_else(String::new, |bytes| format!(", {:.0} GiB", bytes as f64 / GIB));
        let mut lines = vec![format!("Machine: {cpu}, {} cores{memory}, {}", machine.cores, machine.system)];
        let peak = |(threads, gflops): (&usize, &f64)| format!("{gflops:.0} GFLOP/s on {threads}");
        lines.push(format!(
            "Arithmetic peak (f32): {}",
            machine.peak_gflops.iter().map(peak).collect::<Vec<_>>().join(", ")
        ));
        let engine = |info: &super::EngineInfo| match (&info.version, &info.reason) {
            (Some(version), _) => format!("{} {version}", info.engine),
            (None, Some(_)) => format!("{} (not here)", info.engine),
            (None, None) => info.engine.clone(),
        };
        lines.push(format!("Engines: {}", self.engines.iter().map(engine).collect::<Vec<_>>().join(", ")));
        for subject in &self.subjects {
            lines.push(format!(
                "{}: {} ({})",
                subject.name,
                subject.path,
                &subject.sha256[..12.min(subject.sha256.len())]
            ));
        }
        let revision =
            self.git_revision.as_deref().map_or_else(String::new, |revision| format!(", revision {revision}"));
        lines.push(format!(
            "{}{revision}; {} round{} of {} s, a new process a cell and round",
            self.producer,
            self.rounds,
            if self.rounds == 1 { "" } else { "s" },
            self.seconds
        ));
        lines.push(match self.noise.quiet {
            true => "The machine was quiet.".to_owned(),
            false => format!("THE MACHINE WAS NOT QUIET: {}.", self.noise.reasons.join("; ")),
        });
        lines
    }

    /// Columns and lines of what was measured.
    pub(super) fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let columns = [
            "graph",
            "engine",
            "load",
            "batch x text",
            "threads",
            "p50 ms",
            "p90",
            "p95",
            "p99",
            "max",
            "mean",
            "deviation",
            "items/s",
            "GFLOP/s",
            "of peak",
            "load ms",
            "first ms",
            "memory MB",
            "CPU ms",
            "nodes",
        ];
        let lines = self.cells.iter().filter_map(|cell| Some(line(cell, cell.measurement()?))).collect();
        (columns.map(str::to_owned).to_vec(), lines)
    }

    pub(super) fn stages(&self) -> Vec<Vec<String>> {
        let of = |cell: &Cell| {
            let stages = cell.measurement()?.stages?;
            let values =
                [stages.tokenize_ms, stages.decode_ms, stages.preprocess_ms, stages.collate_ms, stages.infer_ms];
            Some([cell.key.describe()].into_iter().chain(values.map(figure)).collect())
        };
        self.cells.iter().filter_map(of).collect()
    }

    /// Cells without figures, and why. An engine that is not there is told once.
    pub(super) fn missing(&self) -> Vec<(String, String)> {
        let absent =
            |name: &str| self.engines.iter().find(|info| info.engine == name).and_then(|info| info.reason.clone());
        let mut missing: Vec<(String, String)> =
            self.engines.iter().filter_map(|info| Some((info.engine.clone(), info.reason.clone()?))).collect();
        for cell in &self.cells {
            if let Outcome::NotMeasured { reason } = &cell.outcome
                && absent(&cell.key.engine).is_none()
            {
                missing.push((cell.key.describe(), reason.clone()));
            }
        }
        missing
    }
}

const GIB: f64 = (1u64 << 30) as f64;

fn line(cell: &Cell, m: &Measurement) -> Vec<String> {
    let key = &cell.key;
    let names = [Some(key.subject.as_str()), key.variant.map(|v| v.name()), key.precision.map(|p| p.name())];
    let size = match key.text {
        Some(text) => format!("{} x {text}", key.batch),
        None => key.batch.to_string(),
    };
    let optional = |value: Option<f64>, show: &dyn Fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    let mut notes: Vec<String> = m.nodes.iter().map(|(place, count)| format!("{count} {place}")).collect();
    if m.unserved > 0 {
        notes.push(format!("{} requests not served: the rate is too high", m.unserved));
    }
    if m.unsteady_rounds > 0 {
        notes.push(format!("not settled after warm-up in {} rounds", m.unsteady_rounds));
    }
    vec![
        names.into_iter().flatten().collect::<Vec<_>>().join(" "),
        key.engine.clone(),
        format!("{}{}", key.load, if key.pipeline { ", whole way" } else { "" }),
        size,
        key.threads.to_string(),
        with_interval(m.p50_ms, m.p50_interval_ms),
        figure(m.p90_ms),
        figure(m.p95_ms),
        figure(m.p99_ms),
        figure(m.max_ms),
        figure(m.mean_ms),
        figure(m.deviation_ms),
        with_interval(m.items_per_second, m.items_per_second_interval),
        optional(m.gflops, &|gflops| format!("{gflops:.0}")),
        optional(m.share_of_peak, &|share| format!("{:.0}%", 100.0 * share)),
        figure(m.load_ms),
        figure(m.first_ms),
        optional(m.peak_memory_bytes.map(|bytes| bytes as f64 / 1e6), &|megabytes| format!("{megabytes:.0}")),
        optional(m.cpu_seconds_per_request.map(|seconds| seconds * 1e3), &figure),
        notes.join("; "),
    ]
}

/// A value and half the width of its interval.
fn with_interval(value: f64, interval: Option<[f64; 2]>) -> String {
    match interval {
        Some([low, high]) => format!("{} ± {}", figure(value), figure((high - low) / 2.0)),
        None => figure(value),
    }
}

/// Three digits that count.
pub(super) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use mbsd_spec::Precision;

    use super::*;
    use crate::bench::testing::{cell, key, report};

    #[test]
    fn a_report_is_told_with_what_was_not_measured() {
        let absent = Cell {
            key: key("ort-cuda", Precision::F32, 1),
            outcome: Outcome::NotMeasured { reason: "libcudart.so.13 is missing".to_owned() },
        };
        let refused = Cell {
            key: key("tract", Precision::F16, 1),
            outcome: Outcome::NotMeasured { reason: "the bundle has no such graph".to_owned() },
        };
        let mut report = report(vec![cell(key("tract", Precision::F32, 8), &[100.0, 102.0, 104.0]), absent, refused]);
        report.engines.push(crate::bench::EngineInfo {
            engine: "ort-cuda".to_owned(),
            version: None,
            library: None,
            reason: Some("libcudart.so.13 is missing".to_owned()),
        });
        insta::assert_snapshot!(report.markdown());
    }

    #[test]
    fn the_schema_is_what_is_documented() {
        let absent = Cell {
            key: key("tract", Precision::F16, 1),
            outcome: Outcome::NotMeasured { reason: "the bundle has no such graph".to_owned() },
        };
        let report = report(vec![cell(key("tract", Precision::F32, 8), &[100.0, 102.0]), absent]);
        insta::assert_snapshot!(report.to_json());
        assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
        let other = report.to_json().replace("\"schema_version\": 1", "\"schema_version\": 9");
        assert_eq!(Report::from_json(&other).unwrap_err(), "report schema 9, this build reads 1; measure again");
        for wrong in ["{}", "[", "{\"schema_version\": 1}"] {
            assert!(Report::from_json(wrong).is_err(), "{wrong}");
        }
    }
}
