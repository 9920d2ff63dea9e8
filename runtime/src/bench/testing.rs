//! Rounds and reports that were not measured.

use std::collections::BTreeMap;

use mbsd_spec::{Precision, Variant};

use super::load::Load;
use super::report::{Accuracy, Cell, EngineInfo, Key, Machine, Noise, Outcome, Report, SCHEMA_VERSION, SubjectInfo};
use super::summary::{Basis, summarize};
use super::worker::Round;

pub(super) fn round(latencies_ms: &[f64]) -> Round {
    Round {
        engine_version: "1.2.3".to_owned(),
        load_ms: 100.0,
        first_ms: 20.0,
        latencies_ms: latencies_ms.to_vec(),
        elapsed_seconds: latencies_ms.iter().sum::<f64>() / 1e3,
        cpu_seconds: Some(latencies_ms.len() as f64 * 0.02),
        peak_memory_bytes: Some(1 << 20),
        steady: true,
        nodes: BTreeMap::from([("CPUExecutionProvider".to_owned(), 7)]),
        ..Round::default()
    }
}

pub(super) fn key(engine: &str, precision: Precision, batch: usize) -> Key {
    Key {
        subject: "demo".to_owned(),
        engine: engine.to_owned(),
        variant: Some(Variant::Full),
        precision: Some(precision),
        batch,
        text: Some(32),
        threads: 2,
        load: Load::Closed,
        pipeline: false,
    }
}

/// A cell whose rounds have these medians.
pub(super) fn cell(key: Key, medians: &[f64]) -> Cell {
    let rounds: Vec<Round> = medians.iter().map(|&median| round(&[median * 0.99, median, median * 1.01])).collect();
    let basis = Basis { batch: key.batch, flops: Some(2e9 * key.batch as f64), peak: Some(400.0) };
    let outcome = Outcome::Measured(Box::new(summarize(&rounds, basis).unwrap_or_default()));
    Cell { key, outcome }
}

pub(super) fn report(cells: Vec<Cell>) -> Report {
    let engine = |name: &str| EngineInfo {
        engine: name.to_owned(),
        version: Some("1.2.3".to_owned()),
        library: None,
        reason: None,
    };
    let accuracy = |precision, engine: &str, value| Accuracy {
        variant: Variant::Full,
        precision,
        engine: engine.to_owned(),
        measure: "roc_auc".to_owned(),
        value,
    };
    Report {
        schema_version: SCHEMA_VERSION,
        producer: "mbsd 0.1.0".to_owned(),
        git_revision: Some("0123456789ab".to_owned()),
        unix_seconds: 1_790_000_000,
        machine: Machine {
            cpu: Some("A processor".to_owned()),
            cores: 2,
            memory_bytes: Some(24 << 30),
            system: "linux x86_64".to_owned(),
            peak_gflops: BTreeMap::from([(2, 400.0)]),
        },
        engines: vec![engine("tract"), engine("ort-cpu")],
        subjects: vec![SubjectInfo {
            name: "demo".to_owned(),
            path: "target/demo/bundle".to_owned(),
            sha256: "ab".repeat(32),
            accuracy: vec![
                accuracy(Precision::F32, "ort-cpu", 0.92),
                accuracy(Precision::Int8, "ort-cpu", 0.91),
                accuracy(Precision::Int8, "tract", 0.85),
            ],
        }],
        rounds: 3,
        seconds: 1.0,
        noise: Noise { quiet: true, ..Noise::default() },
        cells,
    }
}
