//! The command line of `mbsd-calib`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum};
use mbsd_calib::ranges::RangeMethod;
use mbsd_calib::smooth::Alpha;
use mbsd_calib::table::TensorrtVersion;
use mbsd_runtime::arguments::{LabelArgs, ProductArgs, engine, variant};
use mbsd_runtime::engine::EngineKind;
use mbsd_spec::Variant;

/// Make 8-bit graphs of a bundle, and compare them with its f32 graphs.
#[derive(Debug, Parser)]
#[command(name = "mbsd-calib", bin_name = "mbsd calibrate", version)]
pub(crate) struct Arguments {
    /// Bundle folder with f32 graphs, as written by `mbsd export`
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// How: 8-bit products with activations quantized per token (int8) or by static ranges (qdq), weights alone (w8), or no graphs but
    /// TensorRT's calibration tables for the f32 ones (table)
    #[arg(long, value_enum)]
    pub(crate) method: MethodName,
    /// Labelled products to compare on: .parquet, .jsonl, .csv or .tsv, as for `mbsd eval`; for tables products without labels
    /// will do
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) labels: LabelArgs,
    #[command(flatten)]
    pub(crate) products: ProductArgs,
    /// Use so many rows, of every label and tag its share [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<NonZeroUsize>,
    /// ROC-AUC, or accuracy for classification, that a graph may lose
    #[arg(long, value_name = "X", default_value_t = 0.005, value_parser = drop)]
    pub(crate) max_drop: f64,
    /// Write the bundle also where a graph loses more, or is not faster than f32
    #[arg(long)]
    pub(crate) force: bool,
    /// Graphs to make 8-bit ones of [default: all that encode products]
    #[arg(long, value_delimiter = ',', value_name = "VARIANT", value_parser = variant())]
    pub(crate) variants: Option<Vec<Variant>>,
    /// Engines to compare with [default: tract and ort-cpu where they are there; ort-cpu for qdq]
    #[arg(long, value_delimiter = ',', value_name = "ENGINE", value_parser = engine())]
    pub(crate) engines: Option<Vec<EngineKind>>,
    /// Bits of a weight: 7 for programs other than mbsd on x86 machines without VNNI
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(7..=8))]
    pub(crate) weight_bits: u8,
    /// Leave products in f32 whose name contains this (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) keep: Vec<String>,
    /// Measure what each product alone costs, also where nothing needs it
    #[arg(long)]
    pub(crate) sensitivity: bool,
    /// Rows of the data to take static ranges from, of every label and tag its share; graphs are compared on the others
    #[arg(
        long,
        value_name = "N",
        default_value = "512",
        conflicts_with = "range_data",
        help_heading = "Static ranges"
    )]
    pub(crate) range_rows: NonZeroUsize,
    /// Other products to take static ranges from, in columns as those of the data; without labels
    #[arg(long, value_name = "FILE", help_heading = "Static ranges")]
    pub(crate) range_data: Option<PathBuf>,
    /// How static ranges are chosen
    #[arg(long, value_name = "HOW", default_value_t, value_parser = range_method(), help_heading = "Static ranges")]
    pub(crate) ranges: RangeMethod,
    /// Move the spread of activations to the weights: 0 levels the weights, 1 the activations, 0.5 both alike (qdq)
    #[arg(long, value_name = "ALPHA", value_parser = alpha, help_heading = "Static ranges")]
    pub(crate) smooth: Option<Alpha>,
    /// Activations as unsigned bytes, which ONNX Runtime is faster with on CPUs and TensorRT does not read (qdq)
    #[arg(long, help_heading = "Static ranges")]
    pub(crate) unsigned: bool,
    /// The TensorRT that will read the tables; ONNX Runtime takes those of any (table)
    #[arg(long, value_name = "VERSION", default_value_t, help_heading = "Static ranges")]
    pub(crate) tensorrt: TensorrtVersion,
    /// CPU threads to use [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// ONNX Runtime library, or the folder it is in
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// The bundle to write, or for tables their folder: new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print what was measured as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The methods by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodName {
    PerToken,
    Qdq,
    Weights,
    Table,
}

fn range_method() -> impl TypedValueParser<Value = RangeMethod> {
    PossibleValuesParser::new(RangeMethod::ALL.iter().map(|method| method.name())).try_map(|name| name.parse())
}

fn alpha(text: &str) -> Result<Alpha, String> {
    let number: f32 = text.parse().map_err(|_| "must be a number from 0 to 1".to_owned())?;
    Alpha::new(number).map_err(|error| error.to_string())
}

fn drop(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}
