//! Commands that look at graphs: `run`, `inspect`, `verify`.

use std::path::PathBuf;

use clap::Args;
use mbsd_runtime::engine::{EngineKind, EngineOptions};
use mbsd_spec::{Precision, Variant};

use super::common::{BundleArgs, EngineArgs, engine, precision, variant};

/// Arguments of `mbsd run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// Graph to run
    #[arg(long, default_value = "full", value_parser = variant())]
    pub(crate) variant: Variant,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Tensors by input name; those that the graph does not take are left aside
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) inputs: PathBuf,
    /// Where to write the outputs
    #[arg(long, value_name = "FILE.safetensors", required_unless_present = "check")]
    pub(crate) outputs: Option<PathBuf>,
    /// Take inputs named PREFIX + name too: with `src_`, `src_input_ids` feeds `input_ids`
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    /// Compare the outputs with tensors of the inputs file named `<output>` or `<variant>.<output>`, and fail where
    /// they differ by more than the tolerance
    #[arg(long)]
    pub(crate) check: bool,
    /// Largest absolute difference that `--check` accepts
    #[arg(long, value_name = "X", default_value_t = 1e-4, value_parser = tolerance)]
    pub(crate) tolerance: f64,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `mbsd inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Bundle folder, as written by `mbsd export`
    #[arg(long, value_name = "DIR", required_unless_present = "file")]
    pub(crate) bundle: Option<PathBuf>,
    /// A graph that is in no bundle, instead of one
    #[arg(long, value_name = "FILE.onnx", conflicts_with_all = ["bundle", "graph", "precision"])]
    pub(crate) file: Option<PathBuf>,
    /// Show this graph, node by node
    #[arg(long, value_name = "VARIANT", value_parser = variant())]
    pub(crate) graph: Option<Variant>,
    /// Count the graph's multiply-adds at these sizes too: text=64, batch=1 (a batch of 1 where it is not given)
    #[arg(long, value_name = "NAME=SIZE", value_delimiter = ',', value_parser = named_size)]
    pub(crate) sizes: Vec<(String, u64)>,
    /// Arithmetic of the graph to show
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precision())]
    pub(crate) precision: Precision,
    /// ONNX Runtime library, or the folder it is in
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `mbsd verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// Engines to measure with; one that is named and cannot be had is a failure [default: tract, and ort-cpu where
    /// there is a library]
    #[arg(long, value_name = "ENGINES", value_delimiter = ',', value_parser = engine())]
    pub(crate) engines: Vec<EngineKind>,
    /// ONNX Runtime library, or the folder it is in, for the ort- engines
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl VerifyArgs {
    /// How engines are found.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        EngineOptions { onnxruntime: self.onnxruntime.clone() }
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 => Ok(value),
        _ => Err("must be a number of at least 0".to_owned()),
    }
}

fn named_size(text: &str) -> Result<(String, u64), String> {
    let wrong = || "must be a name and a number, as in text=64".to_owned();
    let (name, size) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.trim().to_owned(), size.trim().parse().map_err(|_| wrong())?))
}
