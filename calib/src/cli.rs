//! The command line of `mbsd-calib`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use mbsd_calib::ranges::RangeMethod;
use mbsd_runtime::engine::EngineKind;
use mbsd_spec::Variant;

/// Make 8-bit graphs of a bundle, and compare them with its f32 graphs.
#[derive(Debug, Parser)]
#[command(name = "mbsd-calib", bin_name = "mbsd calibrate", version)]
pub(crate) struct Arguments {
    /// Bundle folder with f32 graphs, as written by `mbsd export`
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// How: 8-bit products with activations quantized per token (int8) or by static ranges (qdq), or weights alone (w8)
    #[arg(long, value_enum)]
    pub(crate) method: MethodName,
    /// Labelled products to compare on: .parquet, .jsonl, .csv or .tsv, as for `mbsd eval`
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Labelled pairs, for alignment bundles: a table of product ids with columns `source` and `target`
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: Option<PathBuf>,
    /// Use so many rows, of every label its share [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<NonZeroUsize>,
    /// ROC-AUC, or accuracy for classification, that a graph may lose
    #[arg(long, value_name = "X", default_value_t = 0.005, value_parser = drop)]
    pub(crate) max_drop: f64,
    /// Write the bundle also where a graph loses more, or is not faster than f32
    #[arg(long)]
    pub(crate) force: bool,
    /// Graphs to make 8-bit ones of [default: all that encode products]
    #[arg(long, value_delimiter = ',', value_name = "VARIANT")]
    pub(crate) variants: Option<Vec<Variant>>,
    /// Engines to compare with [default: tract and ort-cpu where they are there; ort-cpu for qdq]
    #[arg(long, value_delimiter = ',', value_name = "ENGINE")]
    pub(crate) engines: Option<Vec<EngineKind>>,
    /// Bits of a weight: 7 for programs other than mbsd on x86 machines without VNNI
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(7..=8))]
    pub(crate) weight_bits: u8,
    /// How static ranges are chosen: min-max, percentile or mse
    #[arg(long, value_name = "HOW", default_value_t)]
    pub(crate) ranges: RangeMethod,
    /// With qdq: activations as unsigned bytes, which ONNX Runtime is faster with on CPUs and TensorRT does not read
    #[arg(long)]
    pub(crate) unsigned: bool,
    /// Leave products in f32 whose name contains this (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) keep: Vec<String>,
    /// Measure what each product alone costs, also where nothing needs it
    #[arg(long)]
    pub(crate) sensitivity: bool,
    /// Column with the truth
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub(crate) label_column: String,
    /// Column with the tag, for match bundles
    #[arg(long, value_name = "NAME", default_value = "tag")]
    pub(crate) tag_column: String,
    /// Column of the product id
    #[arg(long, value_name = "NAME", default_value = "id")]
    pub(crate) id_column: String,
    /// Column of the title
    #[arg(long, value_name = "NAME", default_value = "title")]
    pub(crate) title_column: String,
    /// Column of the image: a path, or embedded bytes
    #[arg(long, value_name = "NAME", default_value = "image")]
    pub(crate) image_column: String,
    /// Folder that image paths are relative to [default: the folder of the data]
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Option<PathBuf>,
    /// CPU threads to use [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// ONNX Runtime library, or the folder it is in
    #[arg(long, value_name = "PATH")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// The bundle to write: a new or empty folder
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
}

fn drop(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}
