//! The report: what was measured, on what. `docs/formats.md` documents it field by field.

use std::collections::BTreeMap;

use mbsd_spec::{Precision, Variant};
use serde::{Deserialize, Serialize};

use super::load::Load;

/// The version of the report's fields that this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Program and version that measured.
    pub producer: String,
    /// Revision of the checkout the program lies in, with `-dirty` where files differ from it; of a program elsewhere none.
    pub git_revision: Option<String>,
    /// When it was measured, in seconds since 1970.
    pub unix_seconds: u64,
    /// What it was measured on.
    pub machine: Machine,
    /// The engines that were asked for.
    pub engines: Vec<EngineInfo>,
    /// What was run.
    pub subjects: Vec<SubjectInfo>,
    /// Rounds measured.
    pub rounds: usize,
    /// Seconds a cell is measured for in each round, warm-up not counted.
    pub seconds: f64,
    /// Whether the machine was at rest.
    pub noise: Noise,
    /// What was measured, in the order in which a round goes through it.
    pub cells: Vec<Cell>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name for itself.
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Operating system and architecture, `linux x86_64`.
    pub system: String,
    /// Single-precision GFLOP/s of multiply-adds in registers, by number of threads: what no program here exceeds.
    pub peak_gflops: BTreeMap<usize, f64>,
}

/// An engine that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its name.
    pub engine: String,
    /// The version of the library that computes; `None` where it is not there, or a peer has not said it.
    pub version: Option<String>,
    /// The shared library that was taken.
    pub library: Option<String>,
    /// Why it is not there.
    pub reason: Option<String>,
}

/// A bundle or a graph that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectInfo {
    /// Its name in cells.
    pub name: String,
    /// Where it lay.
    pub path: String,
    /// SHA-256 of a bundle's manifest, which has that of every file, or of a graph file.
    pub sha256: String,
    /// What is known of its answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accuracy: Vec<Accuracy>,
}

/// How right a graph's answers are, as the bundle's manifest has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The graph.
    pub variant: Variant,
    /// Its arithmetic.
    pub precision: Precision,
    /// The engine that it was measured with.
    pub engine: String,
    /// `roc_auc` or `accuracy`.
    pub measure: String,
    /// Its value.
    pub value: f64,
}

/// Whether the machine was at rest while it was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Whether nothing below disturbed the figures.
    pub quiet: bool,
    /// What did, in words.
    pub reasons: Vec<String>,
    /// How much longer than its fastest run a fixed piece of arithmetic took between the cells, at the 90th percentile: 0.1 is a
    /// tenth.
    pub probe_spread: f64,
    /// Share of the machine's processor time that other programs took.
    pub others: Option<f64>,
    /// Share of it that the hypervisor gave to other machines.
    pub stolen: Option<f64>,
}

/// One way to run one graph, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which way.
    #[serde(flatten)]
    pub key: Key,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What tells cells apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Name of a [`SubjectInfo`].
    pub subject: String,
    /// Name of an [`EngineInfo`].
    pub engine: String,
    /// The graph of a bundle; `None` for a graph file.
    pub variant: Option<Variant>,
    /// Its arithmetic; `None` for a graph file.
    pub precision: Option<Precision>,
    /// Rows of a request.
    pub batch: usize,
    /// Text tokens of a row; `None` where the graph reads no text.
    pub text: Option<usize>,
    /// Threads.
    pub threads: usize,
    /// How requests come.
    #[serde(flatten)]
    pub load: Load,
    /// Whether a request starts from a title and an encoded image instead of tensors.
    #[serde(default)]
    pub pipeline: bool,
}

/// What came of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// It was measured.
    Measured(Box<Measurement>),
    /// It was not.
    NotMeasured {
        /// Why.
        reason: String,
    },
}

/// A measured cell. Times are those of a request, which has `batch` rows; intervals are 95% t-intervals over rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Requests measured, of all rounds.
    pub requests: usize,
    /// Mean latency.
    pub mean_ms: f64,
    /// Its interval.
    pub mean_interval_ms: Option<[f64; 2]>,
    /// Median latency.
    pub p50_ms: f64,
    /// The interval of the rounds' medians.
    pub p50_interval_ms: Option<[f64; 2]>,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
    /// Sample standard deviation over all requests.
    pub deviation_ms: f64,
    /// The median of each round.
    pub round_p50_ms: Vec<f64>,
    /// Rows a second.
    pub items_per_second: f64,
    /// Its interval.
    pub items_per_second_interval: Option<[f64; 2]>,
    /// Billions of multiplications and additions a second, of matrix products and convolutions; `None` where a graph holds some
    /// that cannot be counted.
    pub gflops: Option<f64>,
    /// Share of the machine's single-precision peak on as many threads. 8-bit graphs may exceed 1.
    pub share_of_peak: Option<f64>,
    /// From a new process to a session that can run, mean over rounds; the file is in the page cache.
    pub load_ms: f64,
    /// The first request after loading, mean over rounds.
    pub first_ms: f64,
    /// Most memory that the process had at any time, the largest of all rounds.
    pub peak_memory_bytes: Option<u64>,
    /// Processor seconds per request, over all threads.
    pub cpu_seconds_per_request: Option<f64>,
    /// Processor seconds of what was measured, of all rounds.
    pub cpu_seconds: Option<f64>,
    /// Rounds in which latency had not settled when the time to warm up was over.
    pub unsteady_rounds: usize,
    /// With arrivals at a given rate: requests that were not served by the end, because the rate is more than can be kept up.
    pub unserved: usize,
    /// Nodes of the loaded graph by where they run.
    pub nodes: BTreeMap<String, usize>,
    /// Where the time of a request went, in a cell with `pipeline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
}

/// Mean milliseconds of a request by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    /// Titles to token rows.
    pub tokenize_ms: f64,
    /// Encoded images to RGB.
    pub decode_ms: f64,
    /// RGB to pixel values.
    pub preprocess_ms: f64,
    /// Rows to tensors.
    pub collate_ms: f64,
    /// The graph.
    pub infer_ms: f64,
}

impl Cell {
    /// What was measured, if it was.
    pub fn measurement(&self) -> Option<&Measurement> {
        match &self.outcome {
            Outcome::Measured(measurement) => Some(measurement),
            Outcome::NotMeasured { .. } => None,
        }
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// In words, if it is none, or one of another schema.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        match value.get("schema_version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(SCHEMA_VERSION) => {}
            Some(version) => {
                return Err(format!("report schema {version}, this build reads {SCHEMA_VERSION}; measure again"));
            }
            None => return Err("not a report of `mbsd bench`: it has no `schema_version`".to_owned()),
        }
        serde_json::from_value(value).map_err(|error| format!("not a report of `mbsd bench`: {error}"))
    }

    /// The report as JSON.
    ///
    /// # Panics
    /// Never: plain fields are JSON.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a struct of plain fields is JSON");
        text.push('\n');
        text
    }

    /// Cells that were measured.
    pub fn measured(&self) -> impl Iterator<Item = (&Key, &Measurement)> {
        self.cells.iter().filter_map(|cell| Some((&cell.key, cell.measurement()?)))
    }
}

impl Key {
    /// The cell in words: `demo full f32, tract, batch 8, 32 tokens, 2 threads`.
    pub fn describe(&self) -> String {
        let mut text = self.subject.clone();
        for part in [self.variant.map(Variant::name), self.precision.map(Precision::name)].into_iter().flatten() {
            text.push(' ');
            text.push_str(part);
        }
        text.push_str(&format!(", {}, batch {}", self.engine, self.batch));
        if let Some(tokens) = self.text {
            text.push_str(&format!(", {tokens} tokens"));
        }
        text.push_str(&format!(", {} thread{}", self.threads, if self.threads == 1 { "" } else { "s" }));
        if self.load != Load::Closed {
            text.push_str(&format!(", {}", self.load));
        }
        if self.pipeline {
            text.push_str(", from titles and images");
        }
        text
    }
}
