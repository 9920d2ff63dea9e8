//! Commands that measure how fast graphs run: `bench`, `choose`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use mbsd_runtime::bench::choose::Percentile;
use mbsd_runtime::bench::{Launch, Load, Peer};
use mbsd_runtime::engine::EngineKind;
use mbsd_spec::{Precision, Variant};

use mbsd_runtime::arguments::{engine, precision, variant};

/// Arguments of `mbsd bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) what: BenchWhat,
    /// ONNX graph file to measure, under a name; may be given several times
    #[arg(long = "graph", value_name = "NAME=FILE", value_parser = named_graph)]
    pub(crate) graphs: Vec<(String, PathBuf)>,
    /// Another program to measure in turns with the engines; it speaks the protocol of benches/peers/README.md
    #[arg(long = "peer", value_name = "NAME=COMMAND", value_parser = peer)]
    pub(crate) peers: Vec<Peer>,
    /// How requests come: closed (one after the other), saturated (every thread busy), open:RATE (random, RATE a second)
    #[arg(long = "load", value_name = "LOADS", value_delimiter = ',', default_value = "closed")]
    pub(crate) loads: Vec<Load>,
    /// Start from titles and encoded images, and say how long each stage takes
    #[arg(long)]
    pub(crate) with_pipeline: bool,
    /// Rounds; intervals come from their differences [default: 5; 3 with --quick]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<NonZeroUsize>,
    /// Seconds to measure each cell in a round, after its warm-up [default: 1; 0.2 with --quick]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// A first impression: no new round after 20 seconds
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write the report as JSON, for --compare and `mbsd choose`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as Markdown, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Say what changed between two reports beyond noise, instead of measuring; exit 1 on a regression
    #[arg(long, num_args = 2, value_names = ["OLD.json", "NEW.json"], conflicts_with_all = ["bundles", "graphs", "quick", "json", "html"])]
    pub(crate) compare: Vec<PathBuf>,
    /// With --compare: the share by which a cell may be slower
    #[arg(long, value_name = "X", default_value_t = 0.05, value_parser = share)]
    pub(crate) threshold: f64,
}

/// What to measure, for `bench` and `choose`.
#[derive(Debug, Args)]
pub(crate) struct BenchWhat {
    /// Bundle folder, or NAME=FOLDER; may be given several times
    #[arg(long = "bundle", value_name = "DIR", value_parser = named_bundle)]
    pub(crate) bundles: Vec<(String, PathBuf)>,
    /// Engines; one that cannot be had is said in the report
    #[arg(long, value_name = "ENGINES", value_delimiter = ',', default_value = "tract,ort-cpu", value_parser = engine())]
    pub(crate) engines: Vec<EngineKind>,
    /// Graphs [default: full, text and image, those that there are; with --quick the first of them]
    #[arg(long, value_name = "VARIANTS", value_delimiter = ',', value_parser = variant())]
    pub(crate) variants: Vec<Variant>,
    /// Arithmetic of the graphs [default: all that the bundle has]
    #[arg(long, value_name = "PRECISIONS", value_delimiter = ',', value_parser = precision())]
    pub(crate) precisions: Vec<Precision>,
    /// Rows of a request
    #[arg(long, value_name = "ROWS", value_delimiter = ',', default_value = "1,8")]
    pub(crate) batch: Vec<NonZeroUsize>,
    /// Text tokens of a row [default: 32, or as many as the bundle's rows may have]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    pub(crate) text: Vec<NonZeroUsize>,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) threads: Vec<NonZeroUsize>,
    /// ONNX Runtime library, or the folder it is in, for the ort- engines
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// Let a GPU engine run operations on the CPU that it has no kernel for, instead of failing
    #[arg(long)]
    pub(crate) cpu_nodes: bool,
}

/// Arguments of `mbsd choose`.
#[derive(Debug, Args)]
pub(crate) struct ChooseArgs {
    /// Report of `mbsd bench` to choose from, instead of a quick measurement
    #[arg(long, value_name = "FILE.json")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) what: BenchWhat,
    /// Milliseconds that a request may take
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub(crate) max_ms: Option<f64>,
    /// Share of requests for which that has to hold: p50, p90, p95 or p99
    #[arg(long, value_name = "PERCENTILE", default_value = "p95")]
    pub(crate) percentile: Percentile,
    /// Least ROC-AUC, of those in the bundle's manifest
    #[arg(long, value_name = "X", value_parser = share, conflicts_with = "min_accuracy")]
    pub(crate) min_auc: Option<f64>,
    /// Least accuracy, of those in the bundle's manifest
    #[arg(long, value_name = "X", value_parser = share)]
    pub(crate) min_accuracy: Option<f64>,
    /// Print the choice as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn named_bundle(text: &str) -> Result<(String, PathBuf), String> {
    if let Some((name, folder)) = text.split_once('=')
        && !name.is_empty()
        && !folder.is_empty()
    {
        return Ok((name.to_owned(), PathBuf::from(folder)));
    }
    let folder = PathBuf::from(text);
    let name = folder.file_name().map_or_else(|| text.to_owned(), |name| name.to_string_lossy().into_owned());
    Ok((name, folder))
}

fn named_graph(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), PathBuf::from(file))),
        _ => Err("must be a name and a file, as in encoder=encoder.onnx".to_owned()),
    }
}

fn peer(text: &str) -> Result<Peer, String> {
    let wrong = || "must be a name and a command, as in pytorch=python peer.py".to_owned();
    let (name, command) = text.split_once('=').ok_or_else(wrong)?;
    let mut words = command.split_whitespace().map(str::to_owned);
    let program = words.next().filter(|_| !name.is_empty()).ok_or_else(wrong)?;
    let launch = Launch { program: PathBuf::from(program), arguments: words.collect() };
    Ok(Peer { name: name.to_owned(), launch })
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 3600.0 => Ok(value),
        _ => Err("must be a number of seconds, above 0 and at most 3600".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("must be a number above 0".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be between 0 and 1".to_owned()),
    }
}
