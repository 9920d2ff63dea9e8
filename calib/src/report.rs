//! What was measured, for people and for programs: a Markdown page with a picture, and JSON.

mod plot;

use std::fmt::Write;
use std::fs;

use mbsd_spec::bundle::{BundleWriter, QualityMeasured};
use mbsd_spec::{Task, Variant};
use serde::Serialize;

use crate::error::CalibError;
use crate::observe::RangeRow;
use crate::request::Request;
use crate::sensitivity::Sensitivity;
use crate::smooth::Alpha;

/// The folder of a bundle that reports lie in.
const FOLDER: &str = "quantization";

/// Products whose cost is listed on the page; JSON has all.
const LISTED: usize = 12;

/// What was measured of a bundle's 8-bit graphs.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The precision of the graphs.
    pub precision: String,
    /// How ranges were chosen; static ranges only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_method: Option<String>,
    /// Share of the spread of activations that was moved to the weights; static ranges only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f32>,
    /// What the model answers.
    pub task: Task,
    /// Bits of a weight.
    pub weight_bits: u8,
    /// What a graph was allowed to lose.
    pub max_drop: f64,
    /// The graphs.
    pub artifacts: Vec<ArtifactReport>,
}

/// One 8-bit graph.
#[derive(Debug, Clone, Serialize)]
pub struct ArtifactReport {
    /// Which graph.
    pub variant: Variant,
    /// Its file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// The f32 graph's size.
    pub f32_bytes: u64,
    /// Products in 8 bits.
    pub products: usize,
    /// Products in f32.
    pub kept: Vec<String>,
    /// The comparisons.
    pub engines: Vec<EngineReport>,
    /// Ranges of activations; static ranges only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<RangeRow>,
    /// What each product alone costs, where it was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitivity: Vec<Sensitivity>,
    /// Why the graph does not keep what it promises.
    pub refused: Vec<String>,
}

/// A comparison with one engine.
#[derive(Debug, Clone, Serialize)]
pub struct EngineReport {
    /// The engine.
    pub engine: String,
    /// Measures and speed.
    #[serde(flatten)]
    pub quality: QualityMeasured,
    /// Rows that are decided otherwise.
    pub decided_otherwise: usize,
    /// Logit of f32, and what the 8-bit graph's differs by.
    #[serde(skip)]
    pub points: Vec<(f32, f32)>,
}

impl Report {
    pub(crate) fn new(request: &Request, task: Task) -> Self {
        let ranges = request.method.static_ranges();
        Self {
            precision: request.method.precision().to_string(),
            range_method: ranges.map(|ranges| ranges.method.to_string()),
            smoothing: ranges.and_then(|ranges| ranges.smoothing).map(Alpha::share),
            task,
            weight_bits: request.weight_bits.bits(),
            max_drop: request.max_drop,
            artifacts: Vec::new(),
        }
    }

    /// Why graphs do not keep what they promise; empty where all do.
    pub fn refusals(&self) -> Vec<String> {
        self.artifacts.iter().flat_map(|artifact| artifact.refused.clone()).collect()
    }

    /// The comparisons, one a line, for a terminal.
    pub fn table(&self) -> String {
        let measure = if self.task == Task::Classification { "accuracy" } else { "ROC-AUC" };
        let mut text = format!(
            "{:<8}{:<10}{:>7}{:>10}{:>10}{:>9}{:>12}{:>7}{:>8}{:>16}\n",
            "graph", "engine", "rows", measure, self.precision, "drop", "max |diff|", "other", "speed", "MB (f32)"
        );
        for artifact in &self.artifacts {
            for engine in &artifact.engines {
                let quality = &engine.quality;
                let size = format!("{:.1} ({:.1})", artifact.bytes as f64 / 1e6, artifact.f32_bytes as f64 / 1e6);
                let _ = writeln!(
                    text,
                    "{:<8}{:<10}{:>7}{:>10.4}{:>10.4}{:>9.4}{:>12.2e}{:>7}{:>8.2}{:>16}",
                    artifact.variant,
                    engine.engine,
                    quality.rows,
                    quality.f32,
                    quality.quantized,
                    quality.f32 - quality.quantized,
                    quality.max_abs_diff,
                    engine.decided_otherwise,
                    quality.speedup,
                    size
                );
            }
        }
        text
    }

    /// Writes the page, its picture and the JSON into a bundle.
    pub(crate) fn write(&self, writer: &BundleWriter) -> Result<(), CalibError> {
        let folder = writer.path(FOLDER);
        fs::create_dir_all(&folder).map_err(CalibError::io(folder))?;
        let file = |extension: &str| format!("{FOLDER}/{}.{extension}", self.precision);
        let mut json = serde_json::to_string_pretty(self).map_err(|error| CalibError::Setting(error.to_string()))?;
        json.push('\n');
        writer.write(&file("json"), json)?;
        writer.write(&file("svg"), plot::svg(self))?;
        writer.write(&file("md"), self.markdown())?;
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {} graphs beside f32\n\n", self.precision);
        let _ = write!(text, "{} model, weights of {} bits", self.task, self.weight_bits);
        if let Some(method) = &self.range_method {
            let _ = write!(text, ", ranges by {method} of rows that are not among these");
        }
        if let Some(alpha) = self.smoothing {
            let _ = write!(text, ", smoothed with alpha {alpha}");
        }
        let _ = write!(
            text,
            ". A graph may lose {}. *Speed* is the time of the f32 graph through that of the {} graph over batches of\n\
             these rows, in turns, on the machine that wrote this; *other* are the rows that are decided otherwise.\n\n",
            self.max_drop, self.precision
        );
        text.push_str("| graph | engine | rows | measure | f32 | 8-bit | drop | max diff | mean diff | other | speed | MB | MB f32 |\n");
        text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
        for artifact in &self.artifacts {
            for engine in &artifact.engines {
                let q = &engine.quality;
                let _ = writeln!(
                    text,
                    "| {} | {} {} | {} | {} | {:.4} | {:.4} | {:.4} | {:.2e} | {:.2e} | {} | {:.2} | {:.1} | {:.1} |",
                    artifact.variant,
                    engine.engine,
                    q.engine_version,
                    q.rows,
                    q.measure,
                    q.f32,
                    q.quantized,
                    q.f32 - q.quantized,
                    q.max_abs_diff,
                    q.mean_abs_diff,
                    engine.decided_otherwise,
                    q.speedup,
                    artifact.bytes as f64 / 1e6,
                    artifact.f32_bytes as f64 / 1e6,
                );
            }
        }
        let _ = write!(text, "\n![Logits of f32, and what the 8-bit graph's differ by]({}.svg)\n", self.precision);
        for artifact in &self.artifacts {
            let _ = write!(text, "\n## {}\n\n", artifact.variant);
            for refused in &artifact.refused {
                let _ = writeln!(text, "**Forced**: {refused}.\n");
            }
            let _ = writeln!(text, "{} products in 8 bits; in f32: {}.", artifact.products, list(&artifact.kept));
            if !artifact.sensitivity.is_empty() {
                text.push_str("\n| product alone in 8 bits | mean difference |\n|---|---|\n");
                for one in artifact.sensitivity.iter().take(LISTED) {
                    let _ = writeln!(text, "| {} | {:.2e} |", one.product, one.mean_abs_diff);
                }
            }
        }
        text
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
